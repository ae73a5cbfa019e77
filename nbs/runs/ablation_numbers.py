"""What is each part of LMModel7 and of the full AWD-LSTM worth on Human Numbers? One thing changes at a time
(chapter 07).

    python nbs/runs/ablation_numbers.py                          every run that is not recorded yet, five
        seeds each
    python nbs/runs/ablation_numbers.py --seeds 1 --only untied  some of them
    python nbs/runs/ablation_numbers.py --again                  also those that are recorded

The recipe is the lessons': fastai's `TextLearner` (AR, TAR and the state's reset), 15 epochs up to 1e-2,
batches of 64 rows and 16 words, the last fifth validates.
Records: nbs/results/ablation_numbers.json (config `model`, and `row`: the row of the table).
"""

import argparse
import time

import torch
from fastai.basics import CrossEntropyLossFlat, accuracy
from fastai.callback import schedule  # noqa: F401
from fastai.text.learner import TextLearner
from torch import nn

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.core import InputError, set_seed, size
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls
from nlpdeep.records import record, results
from nlpdeep.regularization import LMModel7

DATA = 'human_numbers, last fifth'
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


def runs():
    "(model, row, a function that builds it, alpha, beta, weight decay)"
    for row, s in SEVEN.items():
        yield 'LMModel7', row, lambda s=s: model7(**s), s['alpha'], s['beta'], s['wd']
    for row, s in AWD.items():
        yield 'AWDLSTM', row, lambda s=s: awd_lstm(**s), FULL['alpha'], FULL['beta'], FULL['wd']


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


def recorded():
    try:
        return {
            (o['config']['model'], o['config']['row'], o['seed'], o['size'])
            for o in results('ablation_numbers')
        }
    except InputError:
        return set()


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', type=int, default=5)
    p.add_argument('--only', default='', help='part of "MODEL: row"')
    p.add_argument('--again', action='store_true')
    p.add_argument(
        '--minutes', type=float, default=1e9, help='stop after so many minutes; the next call goes on'
    )
    a = p.parse_args()
    torch.set_num_threads(1)  # the matrices are small: a second thread only waits
    dls, done, start = sequence_dls(number_data(human_number_tokens()).ids), recorded(), time.time()
    for seed in range(a.seeds):  # a seed for every row, then the next
        for name, row, make, *how in runs():
            if a.only not in f'{name}: {row}' or not a.again and (name, row, seed, size()) in done:
                continue
            if time.time() - start > 60 * a.minutes:
                raise SystemExit('more to do: call again')
            set_seed(seed)
            t = time.time()
            m = train(make(), dls, *how)
            record(
                'ablation_numbers',
                m,
                data=DATA,
                seed=seed,
                minutes=(time.time() - t) / 60,
                model=name,
                row=row,
            )
            print(f'{name}: {row:42} seed {seed}  {m["accuracy"]:.4f}  {m["valid_loss"]:.3f}', flush=True)
