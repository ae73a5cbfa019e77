"""The exercises' checks know the usual wrong answers by name: each is handed in, and the check says which.

A check is taken from its chapter and run by itself with what it needs, so nothing is trained here.
"""

import ast
import contextlib

import notebooks as nbs
import pytest

PRELUDE = """
import math
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from nlpdeep.core import set_seed
"""


def given(chapter: str, needs: str) -> str:
    "`needs` as code: a line `@name other` stands for these definitions of the chapter."
    lines = []
    for line in needs.splitlines():
        lines += map(nbs.definitions(chapter).get, line[1:].split()) if line.startswith('@') else [line]
    return '\n\n'.join(lines)


def told(chapter: str, check: str, needs: str, answer: str, arguments: str = '') -> str:
    "What `check` of a chapter says to `answer`."
    space = {}
    for code in (PRELUDE, given(chapter, needs), nbs.definitions(chapter)[check], answer):
        exec(code, space)
    return eval(f'{check}({arguments})', space)


SHARE = 'def share_gone(counts, embed_p):\n    keep = torch.rand(len(counts)) >= embed_p\n'
WINDOW = 'def window_mask(n, width):\n    back = torch.arange(n)[:, None] - torch.arange(n)\n'
# checks that get the answer as an argument, and what the chapter calls it
GIVEN = {'check_combine': 'combine', 'check_accumulate': 'Accumulate', 'check_split': 'split_perplexity'}
CASES = [
    # chapter, check, what it needs, the wrong answer, what the check says
    ('06', 'check_tied', '\nfrom nlpdeep.lstm import LSTMCell\nfrom nlpdeep.rnn import cell_weights\n',
     """class TiedLSTMCell(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        cell_weights(self, a, b, gates=3)
    def forward(self, x, state):
        h, c = state
        f, g, o = (F.linear(x, self.weight_ih, self.bias_ih)
                   + F.linear(h, self.weight_hh, self.bias_hh)).chunk(3, 1)
        f = f.sigmoid()
        c = f * c + f * g.tanh()
        return o.sigmoid() * c.tanh(), c""", 'the wrong cell, with i = f'),
    ('07', 'check_dropout', '',
     """class BrokenDropout(nn.Module):
    def __init__(self, p):
        super().__init__()
    def forward(self, x):
        return x * torch.empty_like(x).bernoulli_(0.5) / 0.5""", 'the p of the notebook'),
    ('07', 'check_zoneout', '', 'def zoneout(new, old, p, training):\n'
     '    return torch.where(torch.rand_like(new) < p, new, old)', 'changed places'),
    ('07', 'check_zoneout', '', 'def zoneout(new, old, p, training):\n'
     '    return torch.where(torch.rand_like(new) < p, old, new / (1 - p))', 'nothing is scaled'),
    ('07', 'check_share', '', SHARE + '    return (~keep).float().mean()', 'share of the vocabulary'),
    ('08', 'check_combine', '', 'def f(grads, rows):\n    return sum(grads) / len(grads)', 'plain mean'),
    ('08', 'check_combine', '',
     'def f(grads, rows):\n    return sum(n * g for n, g in zip(rows, grads))', 'sum over all rows'),
    ('09', 'check_freeze', '', """def freeze_to(groups, n):
    for g in groups[n:]:
        g.requires_grad_(True)
    for g in groups[:n]:
        g.requires_grad_(False)
    return sum(1 for g in groups for p in g.parameters() if p.requires_grad)""", 'counts tensors'),
    ('09', 'check_weigh', '', """def weigh(first, second, y):
    ws = np.arange(0, 1.001, 0.05).round(2)
    return max(ws, key=lambda w: ((w * first + (1 - w) * second).argmax(1) == y).mean())""",
     'nearest to one half'),
    ('10', 'check_guess', '', 'my_guess = 1.5', 'the error of one accuracy'),
    ('10', 'check_wilson', '', """def wilson(right, n, z=1.96):
    p = right / n
    return p - z * (p * (1 - p) / n) ** 0.5, p + z * (p * (1 - p) / n) ** 0.5""", 'plain formula'),
    ('10', 'check_mcnemar', '', """def mcnemar(first, second):
    from scipy.stats import binomtest
    a, b = int((first & ~second).sum()), int((second & ~first).sum())
    return a, b, binomtest(a, a + b, alternative='greater').pvalue""", 'of one side'),
    ('11', 'check_window', '', WINDOW + '    return back.abs() < width', 'looks ahead'),
    ('11', 'check_window', '', WINDOW + '    return (back >= 0) & (back <= width)', 'one position too many'),
    ('11', 'check_cache', '\nfrom nlpdeep.gpt2 import GPT2, GPT2Config, KVCache\n', 'PREDICTION = 3600',
     'keys only'),
    ('11', 'check_cache', '\nfrom nlpdeep.gpt2 import GPT2, GPT2Config, KVCache\n', 'PREDICTION = 28800',
     'share its width'),
    ('11', 'check_no_repeat', '', """def no_repeat(scores, ids, n=3):
    scores[ids[1:][ids[:-1] == ids[-1]]] = -math.inf
    return scores""", 'forbids pairs'),
    ('11', 'check_parameters', '\nfrom nlpdeep.gpt2 import GPT2, GPT2Config, GPT2_SIZES\n',
     """def n_parameters(c):
    e = c.emb_sz
    return (2 * c.vocab_sz + c.ctx) * e + c.n_layers * (12 * e * e + 13 * e) + 2 * e""", 'the head as well'),
    ('11', 'check_induction', '', """def induction(maps, n):
    return maps.diagonal(1 - n, -2, -1).mean(-1)""", 'first copy as well'),
    ('12', 'check_last_token', '', 'def at_last_token(h, mask):\n    return h[:, -1]', 'the last column'),
    ('12', 'check_last_token', '', 'def at_last_token(h, mask):\n'
     '    return h[torch.arange(len(h)), mask.sum(1) - 1]', 'only if padding is behind'),
    ('12', 'check_rates', '', 'def rates(n, free, lr, div=2.6):\n'
     '    return [lr / div ** (n - 1 - k) for k in range(n)]', 'theirs is 0'),
    ('12', 'check_memo', '', 'PREDICTION = 500 * 10 * 7', 'if only once'),
    ('12', 'check_left_out', '', """def left_out(judge, text):
    w = text.split()
    return [(w[i], judge([' '.join(w[:i] + w[i + 1 :])])[0] - judge([text])[0]) for i in range(len(w))]""",
     'the sign is turned'),
    ('13', 'check_needed', '@precision', 'def needed_false_alarms(found, share, wanted):\n'
     '    return found * share * (1 - wanted) / wanted', 'count among the honest'),
    ('13', 'check_words', '', 'def words_needed(g, z=4):\n    return math.ceil(z / (2 * g - 1))',
     'the square of z'),
    ('14', 'check_ece', '', 'def ece(b):\n'
     '    return np.average(b.claimed - b.right, weights=b.reviews)', 'a distance has none'),
    ('14', 'check_ece', '', """def ece(b):
    return (b.claimed - b.right).abs().mean()""", 'plain mean of the bins'),
    ('14', 'check_paired', '', """def paired_interval(a, b):
    e = 1.96 * np.hypot(a.std(), b.std()) / len(a) ** 0.5
    d = a.mean() - b.mean()
    return d - e, d + e""", 'different texts'),
    ('06', 'check_latch',
     "LETTERS = 'ab.'\nfrom nlpdeep.lstm import ReadableLSTMCell\n@set_gate memory by_hand",
     'latch = by_hand', 'counts, and forgets'),
    ('07', 'check_prediction', '@tar_of\nfrom nlpdeep.regularization import Dropout, RNNDropout',
     'prediction = dict(raw=0, Dropout=0.5, RNNDropout=0)', 'without scaling'),
    ('08', 'check_accumulate', 'from fastai.text.all import *\nfrom fastai.basics import SGD',
     'def f(n):\n    return Callback()', 'after every batch'),
    ('08', 'check_split', '@Constant', 'def f(model, dl, unk):\n'
     '    return 1 / torch.tensor([0.0, 1.0, 2.0, 3.0]).softmax(0)[0].item(), 5.15556', 'changed places'),
    ('09', 'check_copy', '', """def copy_encoder(source, target):
    a, b = source.state_dict(), target.state_dict()
    fits = [k for k in a if k in b and a[k].shape == b[k].shape]
    for k in fits:
        b[k].copy_(a[k])
    return sorted((set(a) | set(b)) - set(fits))""", 'in the source only'),
    ('12', 'check_groups', '', """def in_groups(blocks, n):
    k = len(blocks) // n
    return [blocks[i * k : (i + 1) * k] for i in range(n - 1)] + [blocks[(n - 1) * k :]]""",
     'leave the last one with'),
    ('14', 'check_when_sure', '', """def when_sure(p, right, share):
    return right[p.max(1).argsort()[: round(share * len(p))]].mean()""", 'least sure of'),
    ('14', 'check_guess', 'from nlpdeep.baselines import accuracy_interval', 'guess = {10: 81, 2: 8000}',
     'EACH side'),
]  # fmt: skip


@pytest.mark.parametrize(
    'chapter, check, needs, answer, says', CASES, ids=[f'{c}-{k[6:]}-{s[:18]}' for c, k, _, _, s in CASES]
)
def test_a_known_mistake_is_named(chapter, check, needs, answer, says):
    got = told(chapter, check, needs, answer, 'f' if check in GIVEN else '')
    assert got.startswith('not yet') and says in got


@pytest.mark.parametrize('p, says', [(dict(accused=128, wrongly=40), 'only the honest'),
                                     (dict(accused=90, wrongly=38), 'others are accused')])  # fmt: skip
def test_alarms(p, says):
    assert says in told('13', 'check_prediction', '', '', repr(p))


def test_where_exercises_begin():
    "Each chapter says once that a command runs its checks."
    for path in nbs.all_notebooks():
        if nbs.kind(path) == 'chapter' and path.name[:2] >= '06':
            prose = [''.join(c['source']) for c in nbs.read(path)['cells'] if c['cell_type'] == 'markdown']
            assert sum(f'nlpdeep check {path.name[:2]}`' in s for s in prose) >= 1, path.stem


def solved(chapter: str, check: str, space: dict):
    "Define in `space` what the solutions define up to the cell of `check`, as far as it needs no data."
    (path,) = (nbs.NBS / 'solutions').glob(f'{chapter}_*.ipynb')
    for cell in nbs.read(path)['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'code' and '%pip' not in source:
            for node in ast.parse(source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Assign)):
                    with contextlib.suppress(Exception):  # it needs data, or a model
                        exec(compile(ast.Module([node], []), path.name, 'exec'), space)
            if f'def {check}(' in source:
                return
    raise AssertionError(f'no solution has {check}')


CHECKS = {(c, k): n for c, k, n, _, _ in CASES if (c, k) != ('10', 'check_guess')}
# what some checks print in the end is about the chapter's models; here two toy texts do
TOYS = """
from collections import Counter
from scipy.stats import binomtest

def movie_snippets():
    return pd.DataFrame({'text': ['a film', 'the film']})

two = np.array([True, False])
right = {'TF-IDF': two, 'mean and answer': two}
ulmfit_right, tfidf_right, p_test = two, two, np.array([[0.9, 0.1], [0.4, 0.6]])
intervals = {'paired, drawing films': (0.0, 1.0)}
raw = soft = pd.DataFrame({'claimed': [0.6], 'right': [0.5], 'reviews': [2]})
"""


@pytest.mark.parametrize('chapter, check', CHECKS, ids=[f'{c}-{k[6:]}' for c, k in CHECKS])
def test_the_solution_is_not_taken_for_a_mistake(chapter, check):
    space = {}
    exec(PRELUDE + TOYS + given(chapter, CHECKS[chapter, check]), space)
    solved(chapter, check, space)
    exec(nbs.definitions(chapter)[check], space)
    if check == 'check_memo':
        space['PREDICTION'] = 500 * 20 + 500 * 10 * 7
    assert eval(f'{check}({GIVEN.get(check, "")})', space).startswith('well done')
