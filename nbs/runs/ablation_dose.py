"""Is it the place of a dropout, or its dose? The small AWD-LSTM of `ablation_movies`, one dropout alone.

Each gets the dose that only input dropout has there, a quarter. One row more has input dropout with new zeros
at every step instead of one mask for all steps. Compare with the rows `no dropout` and `only input_p` of
`ablation_movies`, which has the same texts and the same recipe. Records: nbs/results/ablation_dose.json
(config `row`).
"""

import math

from ablation_movies import ALONE, EMB, EPOCHS, LR, PENALTIES, corpus, loaders
from fastai.basics import CrossEntropyLossFlat
from fastai.text.learner import TextLearner

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.regularization import Dropout
from nlpdeep.runs import Plan, run_script

DOSE = 0.25
NEW_ZEROS = 'only input_p, new zeros each step'
ROWS = {f'only {name} = {DOSE}': name for name in ALONE if name != 'input_p'} | {NEW_ZEROS: 'input_p'}
PLAN = Plan(
    makes='ablation_dose',
    chapter='07_awd_lstm',
    minutes=20,
    data='movie_snippets, as in ablation_movies',
    configs=[dict(row=row) for row in ROWS],
    seeds=range(3),
)


def run(seed, row):
    train_ids, valid_ids, vocab = corpus()
    doses = {name: DOSE * (name == ROWS[row]) for name in ALONE}
    model = language_model(
        AWDLSTMConfig(len(vocab), emb_sz=EMB, n_hid=EMB, n_layers=1, pad_token=0, **doses), 1.0
    )
    if row == NEW_ZEROS:
        model[0].input_dp = Dropout(DOSE)
    learn = TextLearner(loaders(train_ids, valid_ids), model, loss_func=CrossEntropyLossFlat(), **PENALTIES)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS, LR, wd=0.1)
        losses = [row[1] for row in learn.recorder.values]
        known = learn.validate(dl=learn.dls.train)[0]
    return dict(
        valid_loss=losses[-1],
        perplexity=math.exp(losses[-1]),
        lowest_perplexity=math.exp(min(losses)),
        train_perplexity=math.exp(known),
    )


if __name__ == '__main__':
    run_script(__file__)
