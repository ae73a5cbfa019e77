"""LMModel7's ablation with one weight decay for all rows; and weight decay and momentum, each by itself. The
training is that of `ablation_numbers`; all rows but the first keep its weight decay of 0.1.

Records: nbs/results/ablation_fair.json (config `row`: the row of the table).
"""

from ablation_numbers import FULL, model7, train
from fastai.basics import CrossEntropyLossFlat, Learner, accuracy
from fastai.callback.rnn import ModelResetter, RNNCallback, RNNRegularizer

from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls
from nlpdeep.runs import Plan, run_script

BARE = FULL | dict(p=0.0, tied=False, alpha=0.0, beta=0.0)  # no part, the same weight decay
ROWS = {
    'full, weight decay 0.01': FULL | dict(wd=0.01),
    'none of them': BARE,
    'tied only': BARE | dict(tied=True),
    'dropout only': BARE | dict(p=FULL['p']),
    'AR and TAR only': BARE | dict(alpha=FULL['alpha'], beta=FULL['beta']),
    'untied, decoder drawn like the embedding': BARE | dict(decoder='normal'),
}
MOMENTUM = "full, Learner's momentum"
EPOCHS, LR = 15, 1e-2

PLAN = Plan(
    makes='ablation_fair',
    chapter='07_awd_lstm',
    minutes=20,
    data='human_numbers, last fifth',
    configs=[dict(row=row) for row in (*ROWS, MOMENTUM)],
    seeds=range(20),
)


def train_learner(model, dls):
    "The full recipe in fastai's `Learner`, whose one-cycle takes the momentum from 0.95 to 0.85 and back."
    learn = Learner(
        dls,
        model,
        loss_func=CrossEntropyLossFlat(),
        metrics=accuracy,
        cbs=[ModelResetter(), RNNCallback(), RNNRegularizer(FULL['alpha'], FULL['beta'])],
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS, LR, wd=FULL['wd'])
    train_loss, valid_loss, acc = map(float, learn.recorder.values[-1])
    return dict(accuracy=acc, train_loss=train_loss, valid_loss=valid_loss)


def run(seed, row):
    dls = sequence_dls(number_data(human_number_tokens()).ids)
    if row == MOMENTUM:
        return train_learner(model7(FULL['p'], FULL['tied'], FULL['decoder']), dls)
    how = ROWS[row]
    out = train(model7(how['p'], how['tied'], how['decoder']), dls, how['alpha'], how['beta'], how['wd'])
    return {k: out[k] for k in ('accuracy', 'train_loss', 'valid_loss')}


if __name__ == '__main__':
    run_script(__file__)
