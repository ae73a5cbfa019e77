"""How much reading is enough (chapter 09a): what each pass of pretraining is worth to a classifier, beside
its perplexity.

    NLPDEEP_DATA=FOLDER python nbs/runs/pretrain_worth.py --bases ONE,TWO,en [--seeds 1,2,3,4,5] [--labels
        100,500,2000]

`--bases`: language models of `nbs/runs/pretrain.py`, one after each pass (folders, or `en`). Beside them
    stands an encoder of the same size and words with random weights. Nothing in an encoder is trained:
    logistic regression gets its word vectors and states, averaged over the text, as in the arm `linear_all`
    of
`ulmfit_labels.py` and `ulmfit_imdb.py`, so that what changes is the reading and nothing else. Read forwards.
    Records nbs/results/pretrain_worth.json: accuracy on the validation texts (no test text is touched) by
    tokens read, data and number of labels.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from ulmfit_imdb import BOTH, by_linear, parts

from nlpdeep.awd_lstm import language_model
from nlpdeep.core import set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ULMFiTConfig
from nlpdeep.pretraining import pretrained, save_lm
from nlpdeep.records import record
from nlpdeep.texts import as_frame, subsample


def untrained(folder, like, seed):
    "A language model of the size and the words of `like`, with random weights."
    base = pretrained(like)
    set_seed(seed)
    return save_lm(
        folder,
        language_model(ULMFiTConfig(**base.sizes).encoder(len(base.words))),
        base.words,
        dict(tokens=0),
    ).as_posix()


def texts(data, labels, seed):
    "Labelled texts and validation texts, with their labels."
    if data == 'IMDb':
        d = parts(seed, labels)[0]
        tr, va = d['train'], d['valid']
    else:
        d = as_frame(subsample(movie_snippets(), None, int(labels), seed), seed=seed)
        tr, va = d[d.part == 'train'], d[d.part == 'valid']
    return tr, va


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--bases', default='en')
    a.add_argument('--seeds', default='1,2,3,4,5')
    a.add_argument('--labels', default='100,500,2000')
    a = a.parse_args()
    with tempfile.TemporaryDirectory() as d:
        bases = a.bases.split(',')
        for base in [untrained(Path(d) / 'random', bases[-1], 42)] + bases:
            tokens = pretrained(base).card['tokens']
            for data in ('movie snippets, split by film', 'IMDb'):
                for labels in a.labels.split(','):
                    for seed in map(int, a.seeds.split(',')):
                        t = time.time()
                        tr, va = texts(data, labels, seed)
                        acc = float(
                            np.mean(
                                by_linear(tr.text, tr.label, dict(valid=va.text), BOTH[:1], base)[
                                    'valid'
                                ].argmax(1)
                                == (va.label == sorted(set(tr.label))[1])
                            )
                        )
                        record(
                            'pretrain_worth',
                            dict(valid=acc),
                            data=data,
                            seed=seed,
                            minutes=(time.time() - t) / 60,
                            arm='linear_all',
                            labels=labels,
                            tokens=tokens,
                        )
                    print(
                        f'{tokens:,} tokens, {data}, {labels} labels: the last of the seeds {acc:.3f}',
                        flush=True,
                    )
