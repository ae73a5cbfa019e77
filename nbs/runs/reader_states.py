"""Which states of a frozen transformer are worth keeping? SmolLM2 reads the training snippets and the general
question behind each; a linear probe gets the states at the end of the question, those at the end of the text,
too, or the averages over the text as well.

The training snippets are cut into four folds, whole films each. The probe is that of `TextClassifier`: it
learns from so many snippets of three folds, chooses its penalty among them, and judges the fourth; no
validation or test snippet is read. Record: nbs/results/reader_states.json, `accuracy` and `log_loss` over all
snippets of the four folds.
"""

import functools

import numpy as np
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold

from nlpdeep.corpora import movie_snippets
from nlpdeep.reader_features import CausalReader, open_reader
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.text_classifier import TextClassifier

KEPT = ('question', 'both', 'all')
PLAN = Plan(
    makes='reader_states',
    chapter='10b_reader_features',
    minutes=25,
    needs='SmolLM2',
    data='movie snippets, split by film',
    configs=[dict(labels=n) for n in ('100', '500', '2000', 'all')],
    seeds=lambda config: (1,) if config['labels'] == 'all' else (1, 2, 3),
    precision='',
)


class Kept(CausalReader):
    "A reader that has read all of `texts`, and hands out a part of their features."

    def __init__(self, texts, features, columns):
        self.found = dict(zip(texts, features[:, columns]))

    def features(self, texts):
        return np.stack([self.found[t] for t in texts])

    def ids(self, texts):
        return []

    def unknown(self, ids):
        return 0.0


@functools.cache
def readers():
    "The labelled training snippets, and a reader for each kind of states."
    df = movie_snippets()
    df = df[(df.part == 'train') & df.label.notna()].drop_duplicates('text')
    reader = open_reader('smollm2')
    x = np.concatenate([reader.features(list(df.text[k : k + 512])) for k in range(0, len(df), 512)])
    kinds = []  # of each block of features, in the reader's order
    for depth in sorted(reader.averaged.union(reader.layers)):
        kinds += ['all'] * (depth in reader.averaged) + ['question', 'both'] * (depth in reader.layers)
    kinds = np.repeat(kinds, x.shape[1] // len(kinds))
    return df, {k: Kept(df.text, x, np.isin(kinds, KEPT[: n + 1])) for n, k in enumerate(KEPT)}


def run(seed, labels):
    df, kept = readers()
    n = None if labels == 'all' else int(labels)
    judged = {k: np.zeros(len(df)) for k in kept}
    for fold, (rest, held) in enumerate(GroupKFold(4).split(df, groups=df.film)):
        drawn = np.random.default_rng([seed, fold]).permutation(rest)[:n]
        for k, reader in kept.items():
            c = TextClassifier(base=reader, normalize=False, random_state=seed)
            c.fit(df.text.iloc[drawn], df.label.iloc[drawn])
            judged[k][held] = c.predict_proba(df.text.iloc[held])[:, c.classes.index('fresh')]
    fresh = (df.label == 'fresh').to_numpy()
    return [
        Row(
            dict(accuracy=float(((p > 0.5) == fresh).mean()), log_loss=float(log_loss(fresh, p))),
            dict(states=k),
        )
        for k, p in judged.items()
    ]


if __name__ == '__main__':
    run_script(__file__)
