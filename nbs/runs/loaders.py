"""Time an epoch of batches in three ways: fastai's loader, the few lines of chapter 04, and the package's.

Two corpora that come by themselves: movie snippets (many short documents) and presidential messages (few long
ones).
All three give the same batches, which is checked, and are timed in turn, as training reads them: a batch is
passed on and forgotten. The five lines for a language model give views into one stream, which have other
strides than fastai's batches; `copied` are the same lines with each view made contiguous, as the others'
are. Records nbs/results/loaders.json.
"""

import functools
import random
import statistics
import time
from collections import deque

import numpy as np
import torch

from nlpdeep.benchmarks import _copying, _five_lines, _padded_batches, _stream_views, _training_order
from fastai.text import data as fastai_data  # after nlpdeep, which sets a broken torchvision aside

from nlpdeep.core import InputError
from nlpdeep.corpora import movie_snippets, speeches
from nlpdeep.lm_dataloader import LMDataLoader, SortedDataLoader
from nlpdeep.numericalization import Vocab
from nlpdeep.runs import Plan, run_script
from nlpdeep.tokenization import tokenize_texts


def same(a, b):
    "Are two epochs of batches equal?"
    pairs = [(torch.equal(i, j)) for p, q in zip(a, b) for i, j in zip(p, q)]
    return len(a) == len(b) and all(pairs)


def lm_arms(docs, bs=64, seq_len=72):
    "Functions that each begin an epoch of batches in a new random order."
    kw = dict(bs=bs, seq_len=seq_len, shuffle=True)
    theirs, ours = fastai_data.LMDataLoader(docs, **kw), LMDataLoader(docs, **kw)

    def few(lines):
        own = list(docs)

        def epoch():
            random.shuffle(own)
            return lines(own, bs, seq_len)

        return epoch

    return dict(
        reference=lambda: theirs, simple=few(_stream_views), copied=few(_five_lines), package=lambda: ours
    )


def classifier_arms(docs, bs=64):
    "The same for padded batches with labels."
    labels = torch.arange(len(docs)) % 2
    items = list(zip(docs, labels))
    lens = np.array([len(d) for d in docs])
    kw = dict(bs=bs, shuffle=True, num_workers=0, before_batch=fastai_data.pad_input)
    theirs, ours = fastai_data.SortedDL(items, **kw), SortedDataLoader(items, **kw)

    def simple():
        return _padded_batches(docs, labels, _training_order(lens, bs), bs)

    return dict(reference=lambda: theirs, simple=simple, package=lambda: ours)


ARMS = {'language model': lm_arms, 'classifier': classifier_arms}
CORPORA = ('movie snippets', 'presidential messages')
ROUNDS = 15  # fastai's loader takes part in every third

PLAN = Plan(
    makes='loaders',
    chapter='04a_loaders',
    minutes=2,
    data=lambda config: config['corpus'],
    configs=[dict(loader=loader, corpus=corpus) for corpus in CORPORA for loader in ARMS],
    seeds=(0,),
)


@functools.cache
def documents(corpus):
    "The ids of every document."
    snippets = movie_snippets()
    texts = snippets[snippets.label.notna()].text if corpus == 'movie snippets' else speeches().text
    tokens = tokenize_texts(texts, n_workers=0)
    vocab = Vocab.build(tokens, min_freq=2)
    return [torch.from_numpy(np.asarray(vocab.encode(t), np.int64)) for t in tokens]


def in_turn(arms, rounds):
    "Milliseconds of every round of every arm, in turn; None in the rounds that fastai's loader sits out."
    times = {k: [] for k in arms}
    for i in range(rounds):
        for k in list(arms)[:: 1 if i % 2 else -1]:
            if k == 'reference' and i % 3:
                times[k].append(None)
                continue
            random.seed(0)
            np.random.seed(0)
            start = time.perf_counter()
            arms[k]()
            times[k].append(1000 * (time.perf_counter() - start))
    return times


def run(seed, loader, corpus):
    docs = documents(corpus)
    epochs, arms = {}, {}
    for name, begin in ARMS[loader](docs).items():
        random.seed(0)
        np.random.seed(0)
        epochs[name] = list(begin())
        arms[name] = lambda begin=begin: deque(begin(), maxlen=0)
    wrong = [k for k, batches in epochs.items() if not same(batches, epochs['reference'])]
    if wrong:
        raise InputError(f"{loader}, {corpus}: the batches of {wrong} are not those of fastai's loader")
    counted = dict(documents=len(docs), tokens=sum(map(len, docs)), batches=len(epochs['reference']))
    arms['memcpy'] = _copying(epochs['package']).run
    epochs.clear()
    times = in_turn(arms, ROUNDS)

    def against(k):
        "The median, over the rounds, of an arm's time divided by the package's."
        return statistics.median(a / b for a, b in zip(times[k], times['package']) if a)

    return (
        counted
        | {f'{k}_ms': statistics.median(t for t in v if t) for k, v in times.items()}
        | {
            'package': against('reference'),
            'simple': statistics.median(a / b for a, b in zip(times['reference'], times['simple']) if a),
            'package_to_simple': against('simple'),
            'package_to_copied': against('copied' if 'copied' in times else 'simple'),
            'of_roof': against('memcpy'),
            'identical': True,
        }
    )


if __name__ == '__main__':
    run_script(__file__)
