"Chapter 05: data, baselines, the models, and the recurrent layers against PyTorch's."

import numpy as np
import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpdeep.core import InputError, set_seed
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import (
    NGram,
    accuracy_by_part,
    gradient_over_time,
    group_chunks,
    number_data,
    number_parts,
    number_table,
    sequence_dls,
    three_word_dls,
    train_numbers,
    write_numbers,
)
from nlpdeep.records import assert_parity as parity
from nlpdeep.rnn import (
    RNN,
    LMModel1,
    LMModel2,
    LMModel3,
    LMModel4,
    LMModel5,
    RNNCell,
    cell_weights,
    detached,
    torch_name,
)


@pytest.fixture(scope='module')
def data():
    return number_data(human_number_tokens())


@pytest.fixture(autouse=True)
def seed():
    set_seed(0)


# -- data


def test_numbers(data):
    assert len(data.tokens) == 63_095 and len(data.vocab) == 30 and data.vocab[:3] == ['one', '.', 'two']
    assert [data.vocab[i] for i in data.ids] == data.tokens


def lessons_dls(ids, sl, bs=64):
    "The lessons' own construction, step by step."
    from fastai.basics import DataLoaders, L, tensor

    def group(ds):
        m, new = len(ds) // bs, L()
        for i in range(m):
            new += L(ds[i + m * j] for j in range(bs))
        return new

    if sl:
        seqs = L(
            (tensor(ids[i : i + sl]), tensor(ids[i + 1 : i + sl + 1]))
            for i in range(0, len(ids) - sl - 1, sl)
        )
    else:
        seqs = L((tensor(ids[i : i + 3]), ids[i + 3]) for i in range(0, len(ids) - 4, 3))
    cut = int(len(seqs) * 0.8)
    return DataLoaders.from_dsets(
        group(seqs[:cut]), group(seqs[cut:]), bs=bs, drop_last=True, shuffle=False, num_workers=0
    )


@pytest.mark.parametrize('sl', [0, 16])
def test_batches_are_the_lessons(data, sl):
    ids = data.ids[:20_000]
    ours, theirs = sequence_dls(ids, sl) if sl else three_word_dls(ids, chunks=True), lessons_dls(ids, sl)
    for k in (0, 1):
        a, b = list(ours[k]), list(theirs[k])
        assert len(a) == len(b) > 0
        for (x, y), (x2, y2) in zip(a, b):
            assert torch.equal(x.cpu(), x2.cpu()) and torch.equal(y.cpu(), y2.cpu()) and x.dtype == x2.dtype


def test_order_without_chunks(data):
    dls = three_word_dls(data.ids[:2_000])
    xs = torch.cat([x for x, _ in dls.train]).cpu()
    assert torch.equal(xs.flatten(), torch.tensor(data.ids[: xs.numel()]))
    x, y = next(iter(dls.valid))
    start = 3 * len(dls.train.dataset)
    assert x[0].tolist() == data.ids[start : start + 3] and y[0] == data.ids[start + 3]


@given(n=st.integers(1, 200), bs=st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_group_chunks(n, bs):
    if n < bs:
        with pytest.raises(InputError, match='bs'):
            group_chunks(range(n), bs)
        return
    out = group_chunks(range(n), bs)
    m = n // bs
    assert sorted(out) == list(range(m * bs))
    rows = np.array(out).reshape(m, bs).T
    assert (np.diff(rows, axis=1) == 1).all() and (rows[:, 0] == np.arange(bs) * m).all()


def test_too_short():
    for f in (
        lambda: number_data([]),
        lambda: three_word_dls([1, 2, 3]),
        lambda: three_word_dls(list(range(100)), chunks=True),
        lambda: sequence_dls(list(range(500))),
    ):
        with pytest.raises(InputError):
            f()


def test_parts(data):
    assert number_parts(['two', 'hundred', 'nineteen', '.', 'forty', 'two', 'thousand']) == [
        'hundreds digit',
        'hundred',
        'ones',
        '.',
        'tens',
        'thousands digit',
        'thousand',
    ]
    assert len(number_parts(data.tokens)) == len(data.tokens) and set(number_parts(data.tokens)) == {
        '.',
        'thousand',
        'hundred',
        'thousands digit',
        'hundreds digit',
        'tens',
        'ones',
    }
    assert number_parts([]) == []


# -- baselines


def test_ngram(data):
    m = NGram(list('abacab'), 2)
    assert (m('a'), m('c'), m('z'), m('')) == ('b', 'a', 'a', 'a')
    assert NGram([5, 1, 5, 0], 2)([5]) == 1  # a tie goes to the one seen first
    assert NGram([1, 2, 3], 1)([1]) == NGram([1, 2, 3], 1)([])
    assert m.accuracy([('a', 'b'), ('a', 'c')]) == 0.5
    for bad in (([], 2), ([1], 0)):
        with pytest.raises(InputError):
            NGram(*bad)


def test_most_common(data):
    dls = three_word_dls(data.ids)
    counts = torch.cat([y for _, y in dls.valid]).bincount()
    assert data.vocab[
        counts.argmax()
    ] == 'thousand' and counts.max().item() / counts.sum().item() == pytest.approx(0.15165, abs=1e-5)


# -- models


def test_loop_is_written_out():
    parity(LMModel2(30, 16), LMModel1(30, 16), torch.randint(30, (8, 3)))


def test_any_length():
    for n in (1, 2, 7):
        assert LMModel2(30, 16)(torch.randint(30, (8, n))).shape == (8, 30)


@pytest.mark.parametrize('cls', [LMModel3, LMModel4, LMModel5])
def test_state(cls):
    """A kept state changes the answer, carries no history, equals reading in one go, and is forgotten at
    reset.
    """
    model, x = cls(30, 16), torch.randint(30, (8, 12))
    whole = model(x)
    model.reset()
    first, second = model(x[:, :7]), model(x[:, 7:])
    last = (lambda o: o) if cls is LMModel3 else (lambda o: o[:, -1])
    assert torch.allclose(last(second), last(whole), atol=1e-6)
    assert not model.h.requires_grad
    model.reset()
    assert not torch.allclose(model(x[:, 7:]), second, atol=1e-3)
    model.reset()
    assert torch.allclose(model(x[:, :7]), first)
    with pytest.raises(InputError, match='reset'):
        model(x[:3])
    for _ in range(2):
        model(x).sum().backward()  # the second would fail, were the history not cut


def test_model4_steps():
    a, b, x = LMModel4(30, 16), LMModel3(30, 16), torch.randint(30, (8, 6))
    b.load_state_dict(a.state_dict())
    out = a(x)
    for t in range(6):
        b.reset()
        assert torch.allclose(b(x[:, : t + 1]), out[:, t], atol=1e-6)


def test_model5_layers():
    x = torch.randint(30, (8, 6))
    ours, theirs = LMModel5(30, 16), LMModel5(30, 16, rnn=nn.RNN)
    parity(ours, theirs, x, names=torch_name)
    set_seed(3)
    a = LMModel5(30, 16)
    set_seed(3)
    b = LMModel5(30, 16, rnn=nn.RNN)
    for n, p in a.named_parameters():
        assert torch.equal(p, b.get_parameter(torch_name(n)))  # the same weights from the same seed


def test_training_beats_counting(data):
    ids = data.ids[:12_000]
    keep = []
    got = train_numbers(LMModel4(30, 32), sequence_dls(ids, bs=16), epochs=3, lr=1e-2, keep=keep)
    assert (
        len(keep) == 3
        and got['accuracy'] == keep[-1][2]
        and got['best'] >= got['accuracy']
        and keep[-1][0] < keep[0][0]
    )
    with pytest.raises(InputError):
        train_numbers(LMModel4(30, 8), None, epochs=0, lr=1)


def test_accuracy_by_part(data):
    "The parts add up to fastai's accuracy, and count every prediction."
    ids, parts = data.ids[:12_000], number_parts(data.tokens[:12_000])
    model, dls = LMModel4(30, 16), sequence_dls(ids, sl=8, bs=16)
    acc = train_numbers(model, dls, epochs=1, lr=1e-2)['accuracy']
    got, n = accuracy_by_part(model, dls, parts)
    assert sum(n.values()) == len(dls.valid) * 8 * 16 and sum(got[k] * n[k] for k in n) / sum(
        n.values()
    ) == pytest.approx(acc, abs=1e-6)

    class Oracle(LMModel4):
        def forward(self, x):
            return F.one_hot(self.truth.pop(0), 30).float()

    oracle = Oracle(30, 4)
    oracle.truth = [y for _, y in dls.valid]
    assert set(accuracy_by_part(oracle, dls, parts)[0].values()) == {1.0}
    stop = data.vocab.index('.')  # right only where a full stop stands: the parts are those of the targets

    class Stops(LMModel4):
        def forward(self, x):
            return F.one_hot(torch.full_like(x, stop), 30).float()

    got, _ = accuracy_by_part(Stops(30, 4), dls, parts)
    assert got.pop('.') == 1 and set(got.values()) == {0.0}


def test_reset_is_called(data):
    calls = []

    class Counting(LMModel4):
        def reset(self):
            calls.append(self.training)
            super().reset()

    train_numbers(Counting(30, 8), sequence_dls(data.ids[:6_000], bs=16), epochs=2, lr=1e-3)
    assert (
        len(calls) >= 5 and calls.count(True) >= 2
    )  # before two trainings and two validations, and at the end


# -- layers


@pytest.mark.parametrize('act', ['tanh', 'relu'])
def test_cell(act):
    got = parity(
        RNNCell(3, 5, act),
        nn.RNNCell(3, 5, nonlinearity=act),
        torch.randn(4, 3),
        torch.randn(4, 5),
        atol=1e-6,
    )
    assert set(got) == {'outputs', 'inputs', 'parameters'}


@pytest.mark.parametrize('state', [False, True])
@pytest.mark.parametrize('batch_first', [False, True])
@pytest.mark.parametrize('layers', [1, 2, 3])
def test_layers(layers, batch_first, state):
    for act in ('tanh', 'relu'):
        for dtype, tol in (
            (torch.float32, dict(atol=1e-6, rtol=1e-5)),
            (torch.float64, dict(atol=1e-13, rtol=0)),
        ):
            ours, ref = (
                RNN(3, 5, layers, batch_first, nonlinearity=act).to(dtype),
                nn.RNN(3, 5, layers, batch_first=batch_first, nonlinearity=act).to(dtype),
            )
            x = torch.randn(4, 7, 3, dtype=dtype)
            h = (torch.randn(layers, 4 if batch_first else 7, 5, dtype=dtype),) if state else ()
            parity(ours, ref, x, *h, names=torch_name, **tol)


@given(bs=st.integers(1, 4), seq=st.integers(2, 6), cut=st.integers(1, 5), layers=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_passed_state(bs, seq, cut, layers):
    cut = min(cut, seq - 1)
    rnn, x = RNN(3, 5, layers, batch_first=True), torch.randn(bs, seq, 3)
    whole, last = rnn(x)
    _, mid = rnn(x[:, :cut])
    rest, end = rnn(x[:, cut:], mid)
    assert torch.allclose(rest, whole[:, cut:], atol=1e-5) and torch.allclose(end, last, atol=1e-5)
    assert not torch.allclose(rnn(x[:, cut:])[0], rest, atol=1e-4)


def test_bad_input():
    rnn = RNN(3, 5, 2, batch_first=True)
    with pytest.raises(InputError, match='n_in = 3'):
        rnn(torch.randn(4, 7, 2))
    with pytest.raises(InputError, match='n_in'):
        rnn(torch.randn(7, 3))
    with pytest.raises(InputError, match='one step'):
        rnn(torch.randn(4, 0, 3))
    with pytest.raises(InputError, match='state'):
        rnn(torch.randn(4, 7, 3), torch.zeros(1, 4, 5))
    with pytest.raises(InputError, match='tanh or relu'):
        RNNCell(3, 5, 'gelu')


def test_weights_and_names():
    cell = nn.Module()
    cell_weights(cell, 3, 16, gates=4)
    assert {n: tuple(p.shape) for n, p in cell.named_parameters()} == dict(
        weight_ih=(64, 3), weight_hh=(64, 16), bias_ih=(64,), bias_hh=(64,)
    )
    assert all(p.abs().max() <= 0.25 for p in cell.parameters())
    assert (
        torch_name('rnn.cells.12.bias_hh') == 'rnn.bias_hh_l12' and torch_name('i_h.weight') == 'i_h.weight'
    )


def test_detached():
    t = torch.ones(2, requires_grad=True) * 2
    assert detached(None) is None and torch.equal(detached(t), t) and not detached(t).requires_grad
    assert [o.requires_grad for o in detached((t, t))] == [False, False]


@pytest.mark.parametrize('batch_first', [False, True])
def test_gradient_over_time(batch_first):
    half = RNN(1, 1, nonlinearity='relu', batch_first=batch_first)
    with torch.no_grad():
        for p, v in zip(half.parameters(), (1.0, 0.5, 0.0, 0.0)):
            p.fill_(v)
    x = torch.ones(2, 4, 1) if batch_first else torch.ones(4, 2, 1)
    assert torch.allclose(gradient_over_time(half, x), torch.tensor([[0.125, 0.25, 0.5, 1]]))
    assert not half.cells[0]._forward_hooks
    deep = gradient_over_time(RNN(3, 5, 2, batch_first=batch_first), torch.randn(4, 6, 3))
    assert deep.shape == (2, 6 if batch_first else 4) and deep[-1, -1] == 1 and (deep > 0).all()


# -- what the course shares


def test_write_numbers(data):
    """Writing one word at a time is the same as reading the whole text anew for every word; the model is left
    as it was.
    """
    model = LMModel4(30, 16)
    model.train()
    text = 'nine . ten . eleven'.split()
    prompt = ' '.join(text)
    got = write_numbers(model, data, prompt, n=6).split()
    with torch.no_grad():
        for _ in range(6):
            model.reset()
            text.append(
                data.vocab[model(torch.tensor([[data.vocab.index(w) for w in text]]))[0, -1].argmax()]
            )
    assert got == text[5:] and model.training
    for bad in ('', 'ten million'):
        with pytest.raises(InputError, match='vocabulary'):
            write_numbers(model, data, bad)


def test_number_table():
    assert list(number_table('LMModel5', 'LMModel1', names={'LMModel5': 'stacked'}).index) == [
        'stacked',
        'LMModel1',
    ]
    with pytest.raises(InputError, match='LMModel99'):
        number_table('LMModel1', 'LMModel99')


def test_models_know_no_data():
    "The models import neither data nor training."
    import nlpdeep.lstm
    import nlpdeep.rnn

    for m in (nlpdeep.rnn, nlpdeep.lstm):
        text = open(m.__file__, encoding='utf-8').read()
        assert not any(o in text for o in ('fastai', 'course', 'corpora', 'DataLoader'))
