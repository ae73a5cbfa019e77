"""The same language model trained in 32 and in 16 bits (chapter 08), several seeds: python
nbs/runs/train_precision.py [--seeds N]

Records: nbs/results/train_precision.json. What is recorded already is not run again.
"""

import argparse
import re
import time

import torch
from fastai.basics import DataLoaders

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.core import InputError, device, set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.lm_dataloader import LMDataLoader
from nlpdeep.numericalization import Vocab
from nlpdeep.records import record, results
from nlpdeep.training import lm_learner

DATA = 'movie snippets, validation part'
args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument('--seeds', type=int, default=5)
args.add_argument('--kinds', nargs='*', default=['fp32', 'bf16'])
a = args.parse_args()

df = movie_snippets()


def split(part):
    return [re.findall(r'\w+|[^\w\s]', t.lower()) for t in df[(df.part == part) & (df.text != '')].text]


train, valid = split('train'), split('valid')
words = Vocab.build(train, max_vocab=4000, min_freq=2)
train, valid = ([torch.from_numpy(words.encode(['xxbos', *t])) for t in o] for o in (train, valid))
try:
    done = {(o['config']['precision'], o['seed']) for o in results('train_precision')}
except InputError:
    done = set()
for seed in range(a.seeds):
    for kind in a.kinds:
        if (kind, seed) in done:
            continue
        start = time.time()
        set_seed(seed)
        dls = DataLoaders(
            *(LMDataLoader(o, bs=32, seq_len=35, shuffle=k == 0) for k, o in enumerate((train, valid))),
            device=device(),
        )
        dls.vocab = words
        learn = lm_learner(
            dls,
            language_model(AWDLSTMConfig(len(words), emb_sz=64, n_hid=64, n_layers=1), drop_mult=0.3),
            clip=1.0,
            prec=kind,
        )
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(3, 8e-3)
        row = learn.recorder.values[-1]
        record(
            'train_precision',
            dict(perplexity=row[3], accuracy=row[2]),
            data=DATA,
            seed=seed,
            minutes=(time.time() - start) / 60,
            precision=kind,
            epochs=3,
        )
        print(kind, seed, row[3], flush=True)
