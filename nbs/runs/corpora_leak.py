"""What a leak does: the movie snippets split by film and by row, and the same rows with their films known and
unknown, forty draws each.

Records nbs/results/corpora_leak.json (config `split`): TF-IDF, a model that reads nothing but the film's
name, and the largest class.
"""

import functools

import numpy as np
import pandas as pd

from nlpdeep.baselines import majority_baseline, tfidf_baseline
from nlpdeep.corpora import _film_key, movie_snippets, split_parts
from nlpdeep.runs import Plan, run_script

PLAN = Plan(
    makes='corpora_leak',
    chapter='01_corpora',
    minutes=10,
    data='movie_snippets without the test films',
    configs=[
        dict(split=split)
        for split in ('by film', 'by row', 'same rows, films unknown', 'same rows, films known')
    ],
    seeds=range(40),
)


@functools.cache
def snippets():
    df = movie_snippets()
    df = df[df.part.isin(['train', 'valid'])].reset_index(drop=True)
    df['key'] = df.film.map(_film_key)
    return df


def accuracy(pred, labels):
    return float(np.mean(np.array(pred) == np.array(labels)))


def film_only(train, valid):
    best = train.groupby('key').label.agg(lambda o: o.value_counts().idxmax())
    return valid.key.map(best).fillna(train.label.value_counts().idxmax())


def two_parts(split, seed):
    "Rows to learn from and rows to predict."
    df = snippets()
    if split in ('by film', 'by row'):
        groups = df.key if split == 'by film' else df.index
        part = np.array(split_parts(groups, test=0, valid=1 / 8, seed=seed))
        return df[part == 'train'], df[part == 'valid']
    # the same rows twice: a quarter of the films; half of their rows to predict, the other half in
    # training, or as many rows of other films instead
    part = np.array(split_parts(df.key, test=0, valid=1 / 4, seed=seed))
    known, held = df[part == 'train'], df[part == 'valid']
    half = np.array(split_parts(held.index, test=0, valid=1 / 2, seed=seed))
    ask, twins = held[half == 'valid'], held[half == 'train']
    rest = known.sample(len(known) - len(twins), random_state=seed)
    return (known if split.endswith('unknown') else pd.concat([rest, twins])), ask


def run(seed, split):
    a, b = two_parts(split, seed)
    return dict(
        tfidf=accuracy(tfidf_baseline(a.text, a.label, b.text), b.label),
        film_only=accuracy(film_only(a, b), b.label),
        majority=accuracy(majority_baseline(a.text, a.label, b.text), b.label),
        rows=len(b),
    )


if __name__ == '__main__':
    run_script(__file__)
