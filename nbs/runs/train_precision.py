"""The same language model trained in 32 and in 16 bits.

Records: nbs/results/train_precision.json.
"""

import functools
import re

import torch
from fastai.basics import DataLoaders

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.core import device, set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.lm_dataloader import LMDataLoader
from nlpdeep.numericalization import Vocab
from nlpdeep.runs import Plan, run_script
from nlpdeep.training import lm_learner

PLAN = Plan(
    makes='train_precision',
    chapter='08_training',
    minutes=4,
    data='movie snippets, validation part',
    configs=[dict(precision=kind, epochs=3) for kind in ('fp32', 'bf16')],
    seeds=range(3),
)


@functools.cache
def texts():
    "Vocabulary, and ids of the training and of the validation texts."
    df = movie_snippets()

    def split(part):
        return [re.findall(r'\w+|[^\w\s]', t.lower()) for t in df[(df.part == part) & (df.text != '')].text]

    train, valid = split('train'), split('valid')
    words = Vocab.build(train, max_vocab=4000, min_freq=2)
    return words, *([torch.from_numpy(words.encode(['xxbos', *t])) for t in o] for o in (train, valid))


def run(seed, precision, epochs):
    words, *parts = texts()
    set_seed(seed)
    dls = DataLoaders(
        *(LMDataLoader(o, bs=32, seq_len=35, shuffle=k == 0) for k, o in enumerate(parts)), device=device()
    )
    dls.vocab = words
    learn = lm_learner(
        dls,
        language_model(AWDLSTMConfig(len(words), emb_sz=64, n_hid=64, n_layers=1), drop_mult=0.3),
        clip=1.0,
        prec=precision,
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, 8e-3)
    row = learn.recorder.values[-1]
    return dict(perplexity=row[3], accuracy=row[2])


if __name__ == '__main__':
    run_script(__file__)
