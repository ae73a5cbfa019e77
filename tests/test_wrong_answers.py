"""The checks of the exercises name well-known wrong answers: each of these is given to the check of its
chapter, which must say what was done. (The checks that need a model or a corpus are tried where a notebook
runs.)
"""

from collections import Counter

import notebooks as nbs
import numpy as np
import pytest
import torch

IDF = """
def inverse_document_frequency(word, texts):
    n, df = len(texts), {df}
    return {value}
"""
EACH = 'sum(word in text.split() for text in texts)'
FIND = """
def find(i, row_len, seq_len):
    bs = (91 - 1) // row_len
    return {value}
"""
GRAD = """
def grad_w(w, x):
    h = d = 0.0
    for o in x:
        {step}
    return d
"""
# chapter, check, what it must say, the wrong answer
WRONG = [
    ('01_corpora', 'check_leaked', 'cleaned form', "def leaked(a, b): return ['good film', 'bad']"),
    (
        '01_corpora',
        'check_leaked',
        'sets of words',
        "def leaked(a, b): return ['good  film', 'Bad, bad.', 'BAD']",
    ),
    ('01_corpora', 'check_leaked', 'only case', "def leaked(a, b): return ['BAD']"),
    (
        '01_corpora',
        'check_idf',
        'how often',
        IDF.format(
            df='sum(text.split().count(word) for text in texts)', value='np.log((1 + n) / (1 + df)) + 1'
        ),
    ),
    (
        '01_corpora',
        'check_idf',
        'inside other words',
        IDF.format(df='sum(word in text for text in texts)', value='np.log((1 + n) / (1 + df)) + 1'),
    ),
    ('01_corpora', 'check_idf', 'last + 1', IDF.format(df=EACH, value='np.log((1 + n) / (1 + df))')),
    ('01_corpora', 'check_idf', 'above and below', IDF.format(df=EACH, value='np.log(n / df) + 1')),
    ('01_corpora', 'check_idf', 'base 10', IDF.format(df=EACH, value='np.log10((1 + n) / (1 + df)) + 1')),
    (
        '01_corpora',
        'check_time',
        'a bound belongs',
        "def split_time(y, v, t): return ['train' if o <= v else 'valid' if o <= t else 'test' for o in y]",
    ),
    (
        '01_corpora',
        'check_zipf',
        'the slope itself',
        'def zipf_exponent(words, low=10, high=1000): return -1.3',
    ),
    ('01_corpora', 'check_film', 'you trained on', 'def find_the_film(): return 0.99'),
    (
        '02_tokenization',
        'check_history',
        'the earliest merge first',
        'def history(p, m): return WANT[p][::-1]',
    ),
    ('02_tokenization', 'check_history', 'only the last merge', 'def history(p, m): return WANT[p][-1:]'),
    (
        '02_tokenization',
        'check_longest',
        'greedy',
        "def longest_match(word, vocab): return ['un', 'film', 'able']",
    ),
    (
        '02_tokenization',
        'check_longest',
        '*whole* word',
        "def longest_match(w, v): return dict(unfilmable=['unf', 'i', 'l', 'm', 'able'], "
        "film=['film']).get(w, ['film', 'xxunk'])",
    ),
    ('02_tokenization', 'check_travel', 'count characters', 'def bytes_per_token(t, x): return 2'),
    (
        '02_tokenization',
        'check_travel',
        'average the ratios',
        'def bytes_per_token(tokenize, x): return np.mean([len(o.encode()) / len(tokenize(o)) for o in x])',
    ),
    (
        '03_numericalization',
        'check_smallest',
        '*more* than',
        'def smallest(c, s): return 2 if s == .6 else 1',
    ),
    ('03_numericalization', 'check_smallest', 'counted from 0', 'def smallest(c, s): return 0'),
    (
        '03_numericalization',
        'check_mean',
        'forget to divide',
        'def mean_embedding(i, w): return torch.bincount(i, minlength=len(w)).float() @ w',
    ),
    (
        '03_numericalization',
        'check_mean',
        'each token once',
        'def mean_embedding(i, w): return w[i.unique()].mean(0)',
    ),
    (
        '03_numericalization',
        'check_mean',
        'size of the vocabulary',
        'def mean_embedding(i, w): return torch.bincount(i, minlength=len(w)).float() @ w / len(w)',
    ),
    ('03_numericalization', 'check_strangest', 'take their share', 'def strangest(d, v, n): return [1, 3]'),
    ('03_numericalization', 'check_strangest', 'sort upwards', 'def strangest(d, v, n): return [0, 1]'),
    ('03_numericalization', 'check_strangest', 'shorter than 10', 'def strangest(d, v, n): return [2, 3]'),
    (
        '04_lm_dataloader',
        'check_find',
        'the row below',
        FIND.format(value='i // (bs * seq_len), i // seq_len % bs, i % seq_len'),
    ),
    (
        '04_lm_dataloader',
        'check_find',
        'like cards',
        FIND.format(value='i // bs // seq_len, i % bs, i // bs % seq_len'),
    ),
    (
        '04_lm_dataloader',
        'check_find',
        'the row first',
        FIND.format(value='i // row_len, i % row_len // seq_len, i % row_len % seq_len'),
    ),
    ('04_lm_dataloader', 'check_is_good', 'along a row', 'def is_good(loader): return True'),
    (
        '04_lm_dataloader',
        'check_windows',
        'shuffled apart',
        """
def shuffled_windows(stream, bs, seq_len):
    w = stream[:999].view(111, 9)
    x, y = (v[torch.randperm(110)].split(bs) for v in (w[:110], w[:110] + 1))
    return list(zip(x, y))
""",
    ),
    ('05_rnn', 'check_bptt', 'as detach does', GRAD.format(step='d, h = h, w * h + o')),
    (
        '05_rnn',
        'check_bptt',
        'before its derivative',
        GRAD.format(step='h = w * h + o; d = h + w * d'),
    ),
    ('05_rnn', 'check_letters', 'a space alone', "def letter_data(t): return Letters('ab c.')"),
    ('05_rnn', 'check_letters', 'signs and digits', "def letter_data(t): return Letters('ab 1!. c.')"),
]


class Letters:
    "Stands for what `letter_data` gives back."

    def __init__(self, text):
        self.tokens = list(text)


@pytest.mark.parametrize('chapter, check, says, answer', WRONG, ids=[f'{w[1]}: {w[2]}' for w in WRONG])
def test_it_is_named(chapter, check, says, answer):
    from sklearn.feature_extraction.text import TfidfVectorizer

    from nlpdeep.core import set_seed

    toy = [('e', 's'), ('l', 'o'), ('es', 't'), ('lo', 'w'), ('low', 'est')]
    names = dict(
        np=np,
        torch=torch,
        Counter=Counter,
        TfidfVectorizer=TfidfVectorizer,
        toys=['a funny film', 'a dull film', 'a funny and moving film'],
        WANT=dict(e=[], low=[('l', 'o'), ('lo', 'w')], lowest=toy),
        vocab=None,
        set_seed=set_seed,
        Letters=Letters,
    )
    written = nbs.definitions(chapter[:2])
    for name in ('lm_batches', 'interleaved_batches', 'drops_last', 'no_shift', 'batches_mixed', check):
        if name in written:
            exec(written[name], names)
    exec(answer, names)
    said = names[check]()
    assert said.startswith('not yet') and says in said, said
