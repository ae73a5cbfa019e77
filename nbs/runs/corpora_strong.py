"""Two ways to classify movie snippets without a neural network, scored on the validation part.

The strength of the regularisation is chosen by cross-validation over films within the training texts.
Records nbs/results/corpora_strong.json.
"""

import functools

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline, make_union

from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, run_script

WORDS = dict(ngram_range=(1, 2), sublinear_tf=True)
LETTERS = dict(analyzer='char_wb', ngram_range=(2, 5), sublinear_tf=True, min_df=2)
WAYS = {
    'words and pairs': lambda: TfidfVectorizer(**WORDS),
    'words, pairs and letters': lambda: make_union(TfidfVectorizer(**WORDS), TfidfVectorizer(**LETTERS)),
}
ALL = '8,835'  # labelled snippets of the training films

PLAN = Plan(
    makes='corpora_strong',
    chapter='01d_baselines',
    minutes=4,
    data='movie snippets, validation part',
    configs=[dict(labels=n, features=way) for n in ('100', '500', '2,000', ALL) for way in WAYS],
    seeds=lambda config: (0,) if config['labels'] == ALL else range(3),
)
snippets = functools.cache(movie_snippets)


def run(seed, labels, features):
    df = snippets()
    a, valid = df[df.part == 'train'], df[df.part == 'valid']
    if labels != ALL:
        a = a.sample(int(labels.replace(',', '')), random_state=seed)
    search = GridSearchCV(
        make_pipeline(WAYS[features](), LogisticRegression(max_iter=1000)),
        {'logisticregression__C': [1, 10, 30, 100]},
        cv=GroupKFold(3),
    )
    search.fit(a.text, a.label, groups=a.film)
    right = np.mean(np.array(search.predict(valid.text)) == np.array(valid.label))
    return dict(accuracy=float(right), C=search.best_params_['logisticregression__C'])


if __name__ == '__main__':
    run_script(__file__)
