"""The recorded runs of chapter 01: sizes of the corpora, the honest baselines, what a leak does.

    NLPDEEP_DATA=FOLDER python nbs/runs/corpora.py [sizes] [baselines] [leak]      all three, if none is named

A corpus that is not at hand is left out, with a word on why. What is recorded already is left out too, so a
call that was broken off can be repeated.
"""

import random
import sys
import time
from collections import Counter

import numpy as np
import pandas as pd

from nlpdeep.baselines import majority_baseline, tfidf_baseline
from nlpdeep.core import InputError
from nlpdeep.corpora import (
    _film_key,
    human_numbers,
    imdb,
    movie_snippets,
    newsgroups,
    speeches,
    split_parts,
    wikitext2,
)
from nlpdeep.records import record, results

CORPORA = dict(
    movie_snippets=movie_snippets, imdb=imdb, wikitext2=wikitext2, speeches=speeches, newsgroups=newsgroups
)
SEEDS = 5  # for the baselines on a few labels
LEAK_SEEDS = 40


def get(name):
    try:
        return CORPORA[name]()
    except InputError as e:
        print(f'left out: {e}')
        return None


def accuracy(pred, labels):
    return float(np.mean(np.array(pred) == np.array(labels)))


def done(name, seed=None, **config) -> bool:
    "Is this run in the records?"
    try:
        return any(o['seed'] == seed and o['config'] == config for o in results(name))
    except InputError:
        return False


def size(corpus, texts, labels, train=()):
    if done('corpora', corpus=corpus):
        return
    words = [t.lower().split() for t in texts]
    n = [len(w) for w in words]
    q = dict(
        zip(
            ('words_5', 'words_25', 'median_words', 'words_75', 'words_95'),
            np.percentile(n, [5, 25, 50, 75, 95]),
        )
    )
    m = dict(
        texts=len(texts),
        words=sum(n),
        characters=sum(map(len, texts)),
        longest=max(n),
        different_words=len({w for o in words for w in o}),
        **q,
        twice=len(texts) - len(set(texts)),
    )
    if train:
        m['in_train'] = sum(t in train for t in texts)
    if labels[0] is not None:
        m['largest_class'] = max(Counter(labels).values()) / len(labels)
    record('corpora', m, data='whitespace-separated words, lower case', corpus=corpus)
    print(corpus, m, flush=True)


def sizes():
    for part in ('train', 'valid'):
        lines = human_numbers(part)
        size(
            f'human_numbers, {part}',
            lines,
            [None] * len(lines),
            () if part == 'train' else set(human_numbers('train')),
        )
    for name in CORPORA:
        df = get(name)
        if df is None:
            continue
        train = set(df.text[df.part == 'train'])
        for part in ('train', 'valid', 'test', 'unsup', 'unsup-valid', 'unsup-test'):
            o = df[df.part == part]
            if len(o):
                size(f'{name}, {part}', list(o.text), list(o.label), () if part == 'train' else train)


def labelled(name):
    """Training and validation texts; where nothing was published for validation, a tenth of the training
    part. The test part is not used.
    """
    df = get(name)
    if df is None:
        return None
    df = df[df.part.isin(['train', 'valid'])].reset_index(drop=True)
    if not (df.part == 'valid').any():
        df['part'] = split_parts(df.text, test=0, valid=0.1)
    return df[df.part == 'train'], df[df.part == 'valid']


def baselines():
    for name, sizes in dict(
        movie_snippets=(100, 500, 2000, None), newsgroups=(2000, None), imdb=(100, 500, 2000, None)
    ).items():
        pair = labelled(name)
        if not pair:
            continue
        train, valid = pair
        for n in sizes:
            for seed in range(SEEDS if n else 1):
                rows = random.Random(seed).sample(range(len(train)), n) if n else range(len(train))
                a = train.iloc[list(rows)]
                for f in (majority_baseline, tfidf_baseline):
                    what = dict(corpus=name, labels=f'{n or len(train):,}', baseline=f.__name__.split('_')[0])
                    if done('corpora_baselines', seed, **what):
                        continue
                    t = time.time()
                    acc = accuracy(f(a.text, a.label, valid.text), valid.label)
                    record(
                        'corpora_baselines',
                        dict(accuracy=acc),
                        data='validation parts',
                        seed=seed,
                        minutes=(time.time() - t) / 60,
                        **what,
                    )
                    print(name, n, seed, f.__name__, round(acc, 4), flush=True)


def film_only(train, valid):
    best = train.groupby('key').label.agg(lambda o: o.value_counts().idxmax())
    return valid.key.map(best).fillna(train.label.value_counts().idxmax())


def leak():
    df = movie_snippets()
    df = df[df.part.isin(['train', 'valid'])].reset_index(drop=True)
    df['key'] = df.film.map(_film_key)

    def run(split, seed, a, b):
        if done('corpora_leak', seed, split=split):
            return
        m = dict(
            tfidf=accuracy(tfidf_baseline(a.text, a.label, b.text), b.label),
            film_only=accuracy(film_only(a, b), b.label),
            majority=accuracy(majority_baseline(a.text, a.label, b.text), b.label),
            rows=len(b),
        )
        record('corpora_leak', m, data='movie_snippets without the test films', seed=seed, split=split)
        print(split, seed, m, flush=True)

    for seed in range(LEAK_SEEDS):
        for split, groups in {'by film': df.key, 'by row': df.index}.items():
            part = np.array(split_parts(groups, test=0, valid=1 / 8, seed=seed))
            run(split, seed, df[part == 'train'], df[part == 'valid'])
        # the same rows twice: a quarter of the films; half of their rows to predict, the other half in
        # training, or as many rows of other films instead
        part = np.array(split_parts(df.key, test=0, valid=1 / 4, seed=seed))
        known, held = df[part == 'train'], df[part == 'valid']
        half = np.array(split_parts(held.index, test=0, valid=1 / 2, seed=seed))
        ask, twins = held[half == 'valid'], held[half == 'train']
        rest = known.sample(len(known) - len(twins), random_state=seed)
        run('same rows, films unknown', seed, known, ask)
        run('same rows, films known', seed, pd.concat([rest, twins]), ask)


if __name__ == '__main__':
    for f in sys.argv[1:] or ['sizes', 'baselines', 'leak']:
        dict(sizes=sizes, baselines=baselines, leak=leak)[f]()
