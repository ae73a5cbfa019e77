"""The strongest baseline that only counts: TF-IDF of words, of characters or of both, with and without class
weights, and logistic regression, on the movie snippets.

A draw takes the same labelled snippets as ulmfit_labels.py and asked.py do with that seed. For each number of
labels one setting is chosen by the mean accuracy on the validation part over five draws; then the test part
is scored once for each draw.
Minutes are of CPU time. Records nbs/results/counts.json.
"""

import functools
import itertools
import time
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from nlpdeep.texts import subsample
from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, Row, run_script


def WORDS():
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)


def CHARS():
    return TfidfVectorizer(analyzer='char_wb', ngram_range=(2, 5), sublinear_tf=True)


COUNTS = {
    'words': lambda: WORDS(),
    'characters': lambda: CHARS(),
    'words and characters': lambda: make_union(WORDS(), CHARS()),
}
SETTINGS = list(itertools.product(COUNTS, (None, 'balanced'), (3, 10)))


def fit(setting, texts, y):
    counts, weight, C = setting
    return make_pipeline(
        COUNTS[counts](), LogisticRegression(C=C, class_weight=weight, max_iter=1000, solver='liblinear')
    ).fit(texts, y)


DRAWS = range(1, 6)

PLAN = Plan(
    makes='counts',
    chapter='10_transfer',
    minutes=12,
    data='movie snippets, split by film',
    configs=[dict(labels=labels) for labels in ('100', '500', '2000', 'all')],
    seeds=lambda config: (1,) if config['labels'] == 'all' else DRAWS,  # nothing is drawn: one run
)


@functools.cache
def parts():
    df = movie_snippets()
    return df, {p: df[(df.part == p) & df.label.notna()] for p in ('valid', 'test')}


def draw(labels, seed):
    df = parts()[0]
    d = df if labels == 'all' else subsample(df, None, int(labels), seed)
    return d[(d.part == 'train') & d.label.notna()]


def right(p, m):
    part = parts()[1][p]
    return float((m.predict(part.text) == part.label).mean())


@functools.cache
def chosen(labels):
    "The setting that is best on the validation part, over the draws."
    draws = [draw(labels, s) for s in (DRAWS if labels != 'all' else (1,))]
    score = {s: np.mean([right('valid', fit(s, d.text, d.label)) for d in draws]) for s in SETTINGS}
    return max(score, key=score.get)


def run(seed, labels):
    counts, weight, C = chosen(labels)
    d, t = draw(labels, seed), time.process_time()
    m = fit((counts, weight, C), d.text, d.label)
    how = dict(counts=counts, class_weight=weight or 'none', C=C)
    return [Row({p: right(p, m) for p in parts()[1]}, how, minutes=(time.process_time() - t) / 60)]


if __name__ == '__main__':
    run_script(__file__)
