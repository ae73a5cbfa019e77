"""Time an epoch of batches in three ways: fastai's loader, the few lines of chapter 04, and the package's.

Two corpora that come by themselves: movie snippets (many short documents) and presidential messages (few long
ones).
All three give the same batches, which is checked. Records nbs/results/loaders.json.
"""

import functools
import random
import statistics
import time

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from nlpdeep.records import bench
from fastai.text import data as fastai_data  # after nlpdeep, which sets a broken torchvision aside

from nlpdeep.corpora import movie_snippets, speeches
from nlpdeep.lm_dataloader import LMDataLoader, SortedDataLoader
from nlpdeep.numericalization import Vocab
from nlpdeep.runs import Plan, run_script
from nlpdeep.tokenization import tokenize_texts


def lm_batches(docs, bs, seq_len):
    "The five lines of chapter 04."
    stream = torch.cat(docs)
    n = (len(stream) - 1) // bs * bs
    x = stream[:n].view(bs, -1).split(seq_len, dim=1)
    y = stream[1 : n + 1].view(bs, -1).split(seq_len, dim=1)
    return list(zip(x, y))


def padded_batches(docs, labels, order, bs):
    "The simple loader for a classifier of chapter 04."
    out = []
    for i in range(0, len(order), bs):
        some = order[i : i + bs]
        x = pad_sequence([docs[j] for j in some], batch_first=True, padding_value=1)
        out.append((x, labels[some]))
    return out


def training_order(lens, bs):
    "Shuffled, then sorted by length within pieces of fifty batches, batches shuffled (chapter 04)."
    order = np.random.permutation(len(lens))
    longest = np.flatnonzero(order == lens.argmax())[0]
    order[[0, longest]] = order[[longest, 0]]
    pieces = [order[i : i + 50 * bs] for i in range(0, len(order), 50 * bs)]
    pieces = [p[np.argsort(-lens[p], kind='stable')] for p in pieces]
    order = np.concatenate(pieces)
    last = (len(order) - 1) // bs * bs
    middle = order[bs:last].reshape(-1, bs)
    order[bs:last] = np.random.permutation(middle).flatten()
    return order


def same(a, b):
    "Are two epochs of batches equal?"
    pairs = [(torch.equal(i, j)) for p, q in zip(a, b) for i, j in zip(p, q)]
    return len(a) == len(b) and all(pairs)


def median_ms(f, rounds):
    "The median time of `f` in milliseconds."
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def lm_arms(docs, bs=64, seq_len=72):
    "Functions that each make an epoch's batches in a new random order."
    kw = dict(bs=bs, seq_len=seq_len, shuffle=True)
    theirs, ours = fastai_data.LMDataLoader(docs, **kw), LMDataLoader(docs, **kw)
    own = list(docs)

    def reference():
        random.seed(0)
        return list(theirs)

    def simple():
        random.seed(0)
        random.shuffle(own)
        return lm_batches(own, bs, seq_len)

    def package():
        random.seed(0)
        return list(ours)

    return reference, simple, package


def classifier_arms(docs, bs=64):
    "The same for padded batches with labels."
    labels = torch.arange(len(docs)) % 2
    items = list(zip(docs, labels))
    lens = np.array([len(d) for d in docs])
    kw = dict(bs=bs, shuffle=True, num_workers=0, before_batch=fastai_data.pad_input)
    theirs, ours = fastai_data.SortedDL(items, **kw), SortedDataLoader(items, **kw)

    def reference():
        np.random.seed(0)
        return list(theirs)

    def simple():
        np.random.seed(0)
        return padded_batches(docs, labels, training_order(lens, bs), bs)

    def package():
        np.random.seed(0)
        return list(ours)

    return reference, simple, package


ARMS = {'language model': lm_arms, 'classifier': classifier_arms}
CORPORA = ('movie snippets', 'presidential messages')
ROUNDS = 9

PLAN = Plan(
    makes='loaders',
    chapter='04_lm_dataloader',
    minutes=3,
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


def copied_ms(batches, rounds):
    "The roofline: the time to copy the bytes of all batches once, in one piece, by memcpy."
    n = sum(o.numel() * o.element_size() for b in batches for o in b) // 8
    a, b = np.ones(n), np.empty(n)
    return median_ms(lambda: np.copyto(b, a), rounds)


def run(seed, loader, corpus):
    docs, arms, rows = documents(corpus), ARMS[loader], []
    for stage, i, j in (
        ('simple against reference', 1, 0),
        ('package against reference', 2, 0),
        ('package against simple', 2, 1),
    ):
        fresh = arms(docs)  # an epoch's order grows out of the one before: all begin anew
        rows.append(bench(stage, fresh[i], fresh[j], same, ROUNDS))
    reference, simple, package = arms(docs)
    return dict(
        documents=len(docs),
        tokens=sum(map(len, docs)),
        batches=len(simple()),
        reference_ms=median_ms(reference, ROUNDS),
        simple_ms=median_ms(simple, ROUNDS),
        package_ms=median_ms(package, ROUNDS),
        copied_ms=copied_ms(package(), ROUNDS),
        simple=rows[0]['ratio'],
        package=rows[1]['ratio'],
        package_to_simple=rows[2]['ratio'],
        identical=all(r['identical'] for r in rows),
    )


if __name__ == '__main__':
    run_script(__file__)
