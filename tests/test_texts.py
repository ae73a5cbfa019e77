"Texts and labels of one's own: what is measured on them, and what is said of a table."

import numpy as np
import pytest
from sklearn.metrics import f1_score

from nlpdeep.texts import evaluate_classes, own_texts


def test_macro_f1_is_that_of_scikit_learn():
    "A class that nobody asked for and nobody said has no part in it."
    p = np.eye(3)[[0, 1, 1, 0, 1]] * 0.8 + 0.1
    for true in ('aabba', 'ababa', 'abbab'):
        e = evaluate_classes(list(true), p, list('abc'))
        want = f1_score(list(true), ['abc'[k] for k in p.argmax(1)], average='macro')
        assert abs(e['f1'] - want) < 1e-12


def test_a_separator_that_no_label_has_is_said(tmp_path):
    f = tmp_path / 'a.csv'
    rows = [f'so it goes {k},bad; power' if k % 2 else f'and so on {k},good' for k in range(40)]
    f.write_text('\n'.join(['text,label', *rows]))
    with pytest.warns(UserWarning, match=r"no label has '\|' in it"):
        own_texts(f, separator='|')
