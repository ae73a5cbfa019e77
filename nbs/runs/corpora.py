"""Sizes of the corpora: texts, words, lengths, duplicates, and what also stands in the training part.

Records nbs/results/corpora.json, a row for each part of each corpus.
"""

from collections import Counter

import numpy as np

from nlpdeep.corpora import human_numbers, imdb, movie_snippets, newsgroups, speeches, wikitext2
from nlpdeep.runs import Plan, run_script

CORPORA = dict(
    movie_snippets=movie_snippets, imdb=imdb, wikitext2=wikitext2, speeches=speeches, newsgroups=newsgroups
)
PARTS = dict(
    human_numbers=('train', 'valid'),
    movie_snippets=('train', 'valid', 'test', 'unsup', 'unsup-valid', 'unsup-test'),
    imdb=('train', 'test', 'unsup'),
    wikitext2=('train', 'valid'),
    speeches=('train', 'valid', 'test'),
    newsgroups=('train', 'test'),
)

PLAN = Plan(
    makes='corpora',
    chapter='01_corpora',
    minutes=3,
    data='whitespace-separated words, lower case',
    configs=[dict(corpus=f'{name}, {part}') for name, parts in PARTS.items() for part in parts],
)


def run(seed, corpus):
    name, part = corpus.split(', ')
    if name == 'human_numbers':
        texts, labels, train = human_numbers(part), [None], set(human_numbers('train'))
    else:
        df = CORPORA[name]()
        train = set(df.text[df.part == 'train'])
        texts, labels = list(df.text[df.part == part]), list(df.label[df.part == part])
    words = [t.lower().split() for t in texts]
    n = [len(w) for w in words]
    names = ('words_5', 'words_25', 'median_words', 'words_75', 'words_95')
    m = dict(
        texts=len(texts),
        words=sum(n),
        characters=sum(map(len, texts)),
        longest=max(n),
        different_words=len({w for o in words for w in o}),
        **dict(zip(names, np.percentile(n, [5, 25, 50, 75, 95]))),
        twice=len(texts) - len(set(texts)),
    )
    if part != 'train':
        m['in_train'] = sum(t in train for t in texts)
    if labels[0] is not None:
        m['largest_class'] = max(Counter(labels).values()) / len(labels)
    return m


if __name__ == '__main__':
    run_script(__file__)
