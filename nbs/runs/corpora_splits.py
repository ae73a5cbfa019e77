"""How much a split flatters: one model (TF-IDF of words, a linear support vector machine: quick for many
classes), one corpus, several ways of keeping texts apart.

Newsgroups: by row, by the words a post begins with (a thread mostly keeps its subject line), and the
published test part, which is also later in time. Speeches since 1900, cut into paragraphs, the party to be
told: by row, by speech, by president, in time. Records nbs/results/corpora_splits.json.
"""

import functools

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from nlpdeep.corpora import newsgroups, speeches, split_parts
from nlpdeep.runs import Plan, run_script

SPLITS = dict(
    newsgroups=('by row', 'by subject line', 'published test part'),
    speeches=('by row', 'by speech', 'by president', 'in time (from 1985)'),
)

PLAN = Plan(
    makes='corpora_splits',
    chapter='01_corpora',
    minutes=2,
    data='TF-IDF of words, linear support vector machine',
    configs=[dict(corpus=c, split=s) for c, splits in SPLITS.items() for s in splits],
    seeds=lambda config: range(3) if config['split'].startswith('by ') else (0,),
)


def accuracy(pred, labels):
    return float(np.mean(np.array(pred) == np.array(labels)))


def opening(text, n=4):
    "The words a post begins with, without `re`: a thread mostly keeps its subject line."
    return ' '.join([w for w in text.split()[: n + 1] if w != 're'][:n])


@functools.cache
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


def two_parts(corpus, split, seed):
    "Rows to learn from and rows to score."
    if corpus == 'newsgroups':
        df = newsgroups()
        train, test = df[df.part == 'train'].reset_index(drop=True), df[df.part == 'test']
        if split == 'published test part':
            return train, test
        groups, share = (train.index if split == 'by row' else train.text.map(opening)), 0.1
    else:
        train = paragraphs()
        if split.startswith('in time'):
            return train[train.year < 1985], train[train.year >= 1985]
        groups = {'by row': train.index, 'by speech': train.speech, 'by president': train.president}[split]
        share = 0.3
    part = np.array(split_parts(groups, test=0, valid=share, seed=seed))
    return train[part == 'train'], train[part == 'valid']


def run(seed, corpus, split):
    a, b = two_parts(corpus, split, seed)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), LinearSVC()).fit(a.text, a.label)
    metrics = dict(
        accuracy=accuracy(model.predict(b.text), b.label),
        majority=accuracy([a.label.mode()[0]] * len(b), b.label),
        trained_on=len(a),
        scored_on=len(b),
    )
    if len(model.classes_) == 2:
        scores = model.decision_function(b.text)
        metrics['auc'] = float(roc_auc_score(b.label == model.classes_[1], scores))
    return metrics


if __name__ == '__main__':
    run_script(__file__)
