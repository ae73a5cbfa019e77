"""Two recorded runs of chapter 01: how much a split flatters, and how strong the baselines are.

    python nbs/runs/corpora_splits.py [splits] [baselines]      both, if none is named

`splits`: one model (TF-IDF of words, a linear support vector machine: quick for many classes), one corpus,
    several ways of keeping texts apart. Newsgroups: by row, by the words a post begins with (a thread mostly
    keeps its subject line), and the published test part,
which is also later in time. Speeches since 1900, cut into paragraphs, the party to be told: by row, by
speech, by president, in time.
`baselines`: two ways to classify movie snippets without a neural network, scored on the validation part; the
    strength of the regularisation is chosen by cross-validation over films within the training texts.
What is recorded already is left out, so a call that was broken off can be repeated.
"""

import sys
import time

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from nlpdeep.core import InputError
from nlpdeep.corpora import movie_snippets, newsgroups, speeches, split_parts
from nlpdeep.records import record, results

SEEDS = 3


def done(name, seed, **config) -> bool:
    "Is this run in the records?"
    try:
        return any(o['seed'] == seed and o['config'] == config for o in results(name))
    except InputError:
        return False


def accuracy(pred, labels):
    return float(np.mean(np.array(pred) == np.array(labels)))


def compare(corpus, split, seed, a, b):
    "Train on the rows of `a`, score on those of `b` (text, label)."
    if done('corpora_splits', seed, corpus=corpus, split=split):
        return
    t = time.time()
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC()).fit(a.text, a.label)
    m = dict(
        accuracy=accuracy(model.predict(b.text), b.label),
        majority=accuracy([a.label.mode()[0]] * len(b), b.label),
        trained_on=len(a),
        scored_on=len(b),
    )
    record(
        'corpora_splits',
        m,
        data='TF-IDF of words, linear support vector machine',
        seed=seed,
        minutes=(time.time() - t) / 60,
        corpus=corpus,
        split=split,
    )
    print(corpus, split, seed, m, flush=True)


def opening(text, n=4):
    "The words a post begins with, without `re`: a thread mostly keeps its subject line."
    return ' '.join([w for w in text.split()[: n + 1] if w != 're'][:n])


def paragraphs(first=1900, least=25):
    "Paragraphs of the speeches since `first`, with the party as label."
    df = speeches()
    df = df[(df.year >= first) & df.party.isin(['Republican', 'Democratic'])]
    rows = [
        (p, o.party, o.president, o.year, f'{o.president} {o.year}')
        for o in df.itertuples()
        for p in o.text.split('\n')
        if len(p.split()) >= least
    ]
    return pd.DataFrame(rows, columns=['text', 'label', 'president', 'year', 'speech'])


def splits():
    df = newsgroups()
    train, test = df[df.part == 'train'].reset_index(drop=True), df[df.part == 'test']
    for seed in range(SEEDS):
        for split, groups in {'by row': train.index, 'by subject line': train.text.map(opening)}.items():
            part = np.array(split_parts(groups, test=0, valid=0.1, seed=seed))
            compare('newsgroups', split, seed, train[part == 'train'], train[part == 'valid'])
    compare('newsgroups', 'published test part', 0, train, test)
    df = paragraphs()
    for seed in range(SEEDS):
        for split, groups in {
            'by row': df.index,
            'by speech': df.speech,
            'by president': df.president,
        }.items():
            part = np.array(split_parts(groups, test=0, valid=0.3, seed=seed))
            compare('speeches', split, seed, df[part == 'train'], df[part == 'valid'])
    compare('speeches', 'in time (from 1985)', 0, df[df.year < 1985], df[df.year >= 1985])


WORDS = dict(ngram_range=(1, 2), sublinear_tf=True)
LETTERS = dict(analyzer='char_wb', ngram_range=(2, 5), sublinear_tf=True, min_df=2)
WAYS = {
    'words and pairs': lambda: TfidfVectorizer(**WORDS),
    'words, pairs and letters': lambda: make_union(TfidfVectorizer(**WORDS), TfidfVectorizer(**LETTERS)),
}


def baselines():
    df = movie_snippets()
    valid = df[df.part == 'valid']
    for n in (100, 500, 2000, None):
        for seed in range(SEEDS if n else 1):
            a = df[df.part == 'train']
            if n:
                a = a.sample(n, random_state=seed)
            for way, make in WAYS.items():
                if done('corpora_strong', seed, features=way, labels=f'{n or len(a):,}'):
                    continue
                t = time.time()
                search = GridSearchCV(
                    make_pipeline(make(), LogisticRegression(max_iter=1000)),
                    {'logisticregression__C': [1, 10]},
                    cv=GroupKFold(3),
                )
                search.fit(a.text, a.label, groups=a.film)
                m = dict(
                    accuracy=accuracy(search.predict(valid.text), valid.label),
                    C=search.best_params_['logisticregression__C'],
                )
                record(
                    'corpora_strong',
                    m,
                    data='movie snippets, validation part',
                    seed=seed,
                    minutes=(time.time() - t) / 60,
                    features=way,
                    labels=f'{n or len(a):,}',
                )
                print(n, seed, way, m, flush=True)


if __name__ == '__main__':
    for f in sys.argv[1:] or ['splits', 'baselines']:
        dict(splits=splits, baselines=baselines)[f]()
