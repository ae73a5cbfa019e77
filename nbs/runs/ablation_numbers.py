"""What is each part of LMModel7 and of the full AWD-LSTM worth on Human Numbers? One thing changes at a time.

The recipe is the lessons': fastai's `TextLearner` (AR, TAR and the state's reset), 15 epochs up to 1e-2,
batches of 64 rows and 16 words, the last fifth validates.
Records: nbs/results/ablation_numbers.json (config `model`, and `row`: the row of the table).
"""

from fastai.basics import CrossEntropyLossFlat, accuracy
from fastai.callback import schedule  # noqa: F401
from fastai.text.learner import TextLearner
from torch import nn

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls
from nlpdeep.regularization import LMModel7
from nlpdeep.runs import Plan, run_script

V, H, EPOCHS, LR = 30, 64, 15, 1e-2

# LMModel7, less one part; then none of its parts, and one part added
FULL = dict(p=0.4, tied=True, alpha=2.0, beta=1.0, wd=0.1, decoder='default')
NONE = FULL | dict(p=0.0, tied=False, alpha=0.0, beta=0.0, wd=0.01)
SEVEN = {
    'full': FULL,
    'no dropout': FULL | dict(p=0.0),
    'no AR': FULL | dict(alpha=0.0),
    'no TAR': FULL | dict(beta=0.0),
    'untied': FULL | dict(tied=False),
    'none of them': NONE,
    'tied only': NONE | dict(tied=True),
    'untied, decoder drawn like the embedding': NONE | dict(decoder='normal'),
}

# the full model at LMModel7's sizes: half of fastai's dropouts, as the record of human_numbers has it; then
# with LMModel7's embedding
HALF = dict(drops=None, normal=False)
DROPS = ('embed_p', 'input_p', 'weight_p', 'hidden_p', 'output_p')
AWD = {
    'full': HALF,
    'no dropout': dict(drops={}, normal=False),
    'embedding drawn N(0, 1)': HALF | dict(normal=True),
    'N(0, 1), no dropout': dict(drops={}, normal=True),
    **{f'N(0, 1), only {k} = 0.4': dict(drops={k: 0.4}, normal=True) for k in DROPS},
}


def model7(p, tied, decoder, **rest):
    """LMModel7; untied, its decoder is a matrix of its own, drawn as `nn.Linear` does or (`normal`) as the
    embedding is.
    """
    model = LMModel7(V, H, 2, p)
    if not tied:
        own = nn.Linear(H, V)
        if decoder == 'normal':
            nn.init.normal_(own.weight)
        model.score = own
    return model


def awd_lstm(drops, normal):
    """The full AWD-LSTM with an id of its own for padding. `drops`: the dropouts that are not zero (default:
    half of fastai's).
    """
    cfg = AWDLSTMConfig(V + 1, emb_sz=H, n_hid=H, n_layers=2, pad_token=V)
    if drops is None:
        model = language_model(cfg, drop_mult=0.5)
    else:
        model = language_model(
            AWDLSTMConfig(
                V + 1, emb_sz=H, n_hid=H, n_layers=2, pad_token=V, **{k: drops.get(k, 0.0) for k in DROPS}
            )
        )
    if normal:
        nn.init.normal_(model[0].encoder.weight)  # the decoder's weight too: it is tied
    return model


# whose differences five seeds can't tell from chance
CLOSE = [('LMModel7', row) for row in ('full', 'no dropout', 'no AR', 'no TAR', 'untied')]
PLAN = Plan(
    makes='ablation_numbers',
    chapter='07_awd_lstm',
    minutes=22,
    data='human_numbers, last fifth',
    configs=[dict(model=m, row=row) for m, rows in dict(LMModel7=SEVEN, AWDLSTM=AWD).items() for row in rows],
    seeds=lambda config: range(20) if (config['model'], config['row']) in CLOSE else range(5),
)


def train(model, dls, alpha, beta, wd):
    """The lessons' training. Returns the last epoch's losses and accuracy, and the best and first epochs'
    validation loss.
    """
    learn = TextLearner(
        dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, alpha=alpha, beta=beta
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS, LR, wd=wd)
    rows = [tuple(map(float, o)) for o in learn.recorder.values]
    train_loss, valid_loss, acc = rows[-1]
    return dict(
        accuracy=acc,
        train_loss=train_loss,
        valid_loss=valid_loss,
        lowest_valid_loss=min(o[1] for o in rows),
        parameters=sum(p.numel() for p in model.parameters()),
    )


def run(seed, model, row):
    dls = sequence_dls(number_data(human_number_tokens()).ids)
    if model == 'LMModel7':
        how = SEVEN[row]
        return train(model7(**how), dls, how['alpha'], how['beta'], how['wd'])
    return train(awd_lstm(**AWD[row]), dls, FULL['alpha'], FULL['beta'], FULL['wd'])


if __name__ == '__main__':
    run_script(__file__)
