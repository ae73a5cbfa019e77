"The module of chapter 07, `nlpdeep.regularization`: what its page shows, with the ends and the odd cases."

import pytest
import torch
from torch import nn

from nlpdeep.core import InputError, set_seed
from nlpdeep.records import assert_parity as parity
from nlpdeep.regularization import (
    Dropout,
    EmbeddingDropout,
    LMModel7,
    RNNDropout,
    dropout_mask,
    rnn_regularization,
)


@pytest.mark.parametrize('p', [-0.1, 1.5])
def test_a_probability_is_between_0_and_1(p):
    with pytest.raises(InputError, match='between 0 and 1'):
        dropout_mask(torch.ones(2, 2), (2, 2), p)


@pytest.mark.parametrize('shape', [(16, 32, 8), (5,), (0, 3)])
def test_dropout_is_pytorchs(shape):
    x = torch.randn(shape)
    parity(Dropout(0.3), nn.Dropout(0.3), x)
    if len(shape) == 3:
        parity(Dropout(0.3), nn.Dropout(0.3), x.transpose(0, 1))  # another order in memory


def test_the_ends_and_evaluation():
    x = torch.randn(4, 5)
    assert (Dropout(1.0)(x) == 0).all() and Dropout(0.0)(x) is x and Dropout(0.5).eval()(x) is x
    assert (RNNDropout(1.0)(x[None]) == 0).all() and RNNDropout(0.5).eval()(x) is x


def test_one_mask_a_row():
    set_seed(0)
    y = RNNDropout(0.4)(torch.ones(8, 20, 500))
    assert (y == y[:, :1]).all() and not torch.equal(y[0], y[1]) and abs((y == 0).float().mean() - 0.4) < 0.03


def test_a_word_is_gone_everywhere_or_nowhere():
    emb, words = nn.Embedding(20, 6), torch.randint(0, 20, (4, 50))
    set_seed(0)
    gone = (EmbeddingDropout(emb, 0.5)(words) == 0).all(-1)
    for w in words.unique():
        assert len(gone[words == w].unique()) == 1
    before, dp = emb.weight.clone(), EmbeddingDropout(emb, 0.5).eval()
    assert torch.equal(dp(words, scale=0.5), emb(words) * 0.5) and torch.equal(emb.weight, before)


@pytest.mark.parametrize('alpha, beta', [(0, 0), (3, 0), (0, 5), (0.5, 0.25)])
def test_each_penalty_by_itself(alpha, beta):
    raw, out = torch.randn(2, 4, 5), torch.randn(2, 4, 5)
    ar, tar = out.pow(2).mean(), (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    assert torch.isclose(rnn_regularization(raw, out, alpha, beta), alpha * ar + beta * tar)
    one = raw[:, :1]
    assert torch.isclose(rnn_regularization(one, one, alpha, beta), alpha * one.pow(2).mean())


@pytest.mark.parametrize('rnn', [nn.LSTM, nn.GRU, nn.RNN])
def test_lmmodel7(rnn):
    set_seed(0)
    m = LMModel7(30, 16, 2, 0.4, rnn=rnn)
    x = torch.randint(0, 30, (3, 7))
    assert m.score.weight is m.embed.weight
    scores, raw, out = m(x)
    assert scores.shape == (3, 7, 30) and ((out == 0) | torch.isclose(out, raw / 0.6)).all()
    m.eval()
    m.reset()
    first = m(x)[0]
    second = m(x)[0]
    assert not torch.allclose(first, second)  # the state is kept
    m.reset()
    assert torch.equal(m(x)[0], first)  # and forgotten
    sum(o.sum() for o in m(x)).backward()
    sum(o.sum() for o in m(x)).backward()  # detached: a second step is possible
