"""The honest baselines of chapter 01: the largest class, and TF-IDF with logistic regression, on few and on
all labels of three corpora.

Scored on the validation part; the test parts are not used. Where none was published for validation, a tenth
of the training part is kept for it. Groups are never split: films (as published here), and a thread of a
newsgroup, which mostly keeps the words its posts begin with.
Records nbs/results/corpora_baselines.json.
"""

import functools
import random

import numpy as np
from corpora_splits import opening

from nlpdeep.baselines import majority_baseline, tfidf_baseline
from nlpdeep.core import InputError
from nlpdeep.corpora import imdb, movie_snippets, newsgroups, split_parts
from nlpdeep.runs import Plan, run_script

CORPORA = dict(movie_snippets=movie_snippets, newsgroups=newsgroups, imdb=imdb)
# how many labels: a few, and all there are
LABELS = dict(
    movie_snippets=('100', '500', '2,000', '8,835'),
    newsgroups=('2,000', '10,147'),
    imdb=('100', '500', '2,000', '22,500'),
)

PLAN = Plan(
    makes='corpora_baselines',
    chapter='01d_baselines',
    minutes=6,
    data=lambda config: (
        'validation part, whole threads' if config['corpus'] == 'newsgroups' else 'validation parts'
    ),
    configs=[
        dict(corpus=name, labels=n, baseline=b)
        for name, sizes in LABELS.items()
        for n in sizes
        for b in ('majority', 'tfidf')
    ],
    seeds=lambda config: (0,) if config['labels'] == LABELS[config['corpus']][-1] else range(5),
)


@functools.cache
def labelled(name):
    "Training and validation texts."
    df = CORPORA[name]()
    df = df[df.part.isin(['train', 'valid'])].reset_index(drop=True)
    if not (df.part == 'valid').any():
        groups = df.text.map(opening) if name == 'newsgroups' else df.text
        df['part'] = split_parts(groups, test=0, valid=0.1)
    return df[df.part == 'train'], df[df.part == 'valid']


def run(seed, corpus, labels, baseline):
    train, valid = labelled(corpus)
    n = int(labels.replace(',', ''))
    if n > len(train) or (labels == LABELS[corpus][-1] and n != len(train)):
        raise InputError(f'{corpus} has {len(train):,} labelled training texts, not {labels}')
    rows = range(n) if n == len(train) else random.Random(seed).sample(range(len(train)), n)
    a = train.iloc[list(rows)]
    f = dict(majority=majority_baseline, tfidf=tfidf_baseline)[baseline]
    said = np.array(f(a.text, a.label, valid.text))
    return dict(accuracy=float(np.mean(said == np.array(valid.label))), trained_on=n, scored_on=len(valid))


if __name__ == '__main__':
    run_script(__file__)
