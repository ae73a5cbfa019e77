"""What each part of chapter 08 is worth on real language: the training run that closes the chapter, taken
apart. Optimizer, schedule and bound on the gradient, each at several rates.

The model, its data and its three epochs are those of closing_lstm.py. Record: nbs/results/closing_parts.json:
the perplexity on the validation part after the last epoch, and `lowest`, the lowest after any.
`constant`, `cosine` (a linear climb over the first twentieth, then a fall along a cosine to zero) and
`one cycle` (fastai's, which moves the momentum too) have AdamW; `SGD` has a momentum of 0.9, and the rate of
`cosine`. `no bound` is `one cycle` without a bound on the gradient.
"""

import math

import torch
from closing_lstm import EMB, EPOCHS, tokens_of
from fastai.basics import DataLoaders
from fastai.callback import schedule  # noqa: F401
from fastai.callback.schedule import ParamScheduler, SchedCos, SchedLin, combine_scheds
from fastai.optimizer import SGD

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.core import InputError
from nlpdeep.corpora import movie_snippets
from nlpdeep.lm_dataloader import LMDataLoader
from nlpdeep.numericalization import Vocab
from nlpdeep.runs import Plan, run_script
from nlpdeep.training import lm_learner

RATES = {
    'constant': (1e-2, 2e-2, 4e-2, 8e-2),
    'cosine': (1e-2, 2e-2, 4e-2, 8e-2),
    'one cycle': (1e-2, 2e-2, 4e-2, 8e-2),
    'no bound': (4e-2,),
    'SGD': (3.0, 10.0, 30.0),
}
PLAN = Plan(
    makes='closing_parts',
    chapter='08_training',
    minutes=25,
    data='movie_snippets, train and valid',
    configs=[dict(arm=arm, rate=rate) for arm, rates in RATES.items() for rate in rates],
    seeds=range(1, 4),
)


def loaders():
    df = movie_snippets()
    train, valid = (tokens_of(df, part) for part in ('train', 'valid'))
    words = Vocab.build(train, max_vocab=4000, min_freq=2)
    dls = DataLoaders(
        *(
            LMDataLoader(
                [torch.tensor(words.encode(['xxbos', *t]).tolist()) for t in texts],
                bs=32,
                seq_len=35,
                shuffle=first,
            )
            for texts, first in ((train, True), (valid, False))
        ),
        device=torch.device('cpu'),
    )
    dls.vocab = words
    return dls


def run(seed, arm, rate):
    dls = loaders()
    config = AWDLSTMConfig(
        len(dls.vocab),
        emb_sz=EMB,
        n_hid=EMB,
        n_layers=1,
        output_p=0.4,
        input_p=0.4,
        embed_p=0.1,
        weight_p=0.5,
    )
    model = language_model(config, drop_mult=0.4)
    other = dict(opt_func=lambda params, **kw: SGD(params, mom=0.9, **kw)) if arm == 'SGD' else {}
    clip = None if arm == 'no bound' else 1.0
    learn = lm_learner(dls, model, clip=clip, alpha=0, beta=0, guard=False, **other)
    wd = 0.0 if arm == 'SGD' else 0.1
    falling = combine_scheds([0.05, 0.95], [SchedLin(rate / 20, rate), SchedCos(rate, 0.0)])
    with learn.no_bar(), learn.no_logging():
        if arm == 'constant':
            learn.fit(EPOCHS, rate, wd=wd)
        elif arm in ('cosine', 'SGD'):
            learn.fit(EPOCHS, rate, wd=wd, cbs=ParamScheduler({'lr': falling}))
        else:
            learn.fit_one_cycle(EPOCHS, rate, wd=wd)
    after = [float(row[3]) for row in learn.recorder.values]
    after = [o if math.isfinite(o) else 1e9 for o in after]
    if len(after) != EPOCHS:
        raise InputError(f'{arm} at {rate}: {len(after)} epochs of {EPOCHS} were done')
    return dict(perplexity=after[-1], lowest=min(after))


if __name__ == '__main__':
    run_script(__file__)
