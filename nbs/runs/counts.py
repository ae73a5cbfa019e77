"""The strongest baseline that only counts (chapter 10): TF-IDF of words, of characters or of both, with and
without class weights, and logistic regression, on the movie snippets.

    python nbs/runs/counts.py [--labels 100,500,2000,all] [--seeds 1,2,3,4,5] [--again]

A draw takes the same labelled snippets as ulmfit_labels.py and asked.py do with that seed. For each number of
labels one setting is chosen by the mean accuracy on the validation part over the draws; then the test part is
scored once for each draw.
Minutes are of CPU time. Records nbs/results/counts.json; what is recorded already is left out, unless
`--again`.
"""

import argparse
import itertools
import time
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from nlpdeep.texts import subsample
from nlpdeep.records import record, results, results_dir
from nlpdeep.corpora import movie_snippets


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


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    for k, v in dict(labels='100,500,2000,all', seeds='1,2,3,4,5').items():
        a.add_argument(f'--{k}', default=v)
    a.add_argument('--again', action='store_true')
    a = a.parse_args()
    done = {
        (o['config']['labels'], o['seed'])
        for o in (results('counts') if (results_dir() / 'counts.json').exists() and not a.again else [])
    }
    df = movie_snippets()
    parts = {p: df[(df.part == p) & df.label.notna()] for p in ('valid', 'test')}

    def right(p, m):
        return float((m.predict(parts[p].text) == parts[p].label).mean())

    for labels in a.labels.split(','):
        draws = {}
        for seed in map(int, a.seeds.split(',')):
            d = df if labels == 'all' else subsample(df, None, int(labels), seed)
            draws[seed] = d[(d.part == 'train') & d.label.notna()]
            if labels == 'all':
                break  # nothing is drawn: one run
        if all((labels, s) in done for s in draws):
            continue
        begin = time.process_time()
        score = {
            s: np.mean([right('valid', fit(s, d.text, d.label)) for d in draws.values()]) for s in SETTINGS
        }
        best = max(score, key=score.get)
        print(
            labels,
            {k: round(v, 4) for k, v in score.items()},
            f'{time.process_time() - begin:.0f} s',
            flush=True,
        )
        for seed, d in draws.items():
            t, m = time.process_time(), fit(best, d.text, d.label)
            record(
                'counts',
                {p: right(p, m) for p in parts},
                data='movie snippets, split by film',
                seed=seed,
                minutes=(time.process_time() - t) / 60,
                labels=labels,
                counts=best[0],
                class_weight=best[1] or 'none',
                C=best[2],
            )
