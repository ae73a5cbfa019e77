"Chapter 06: LSTM and GRU against PyTorch's, gates, the model."

import pytest
import torch
import torch.nn as nn
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpdeep.core import InputError, set_seed
from nlpdeep.course import gate_trace, gradient_over_time, write_numbers
from nlpdeep.lstm import GRU, LSTM, GRUCell, LMModel6, LSTMCell, ReadableLSTMCell
from nlpdeep.records import assert_parity as parity
from nlpdeep.rnn import torch_name


@pytest.fixture(autouse=True)
def seed():
    set_seed(0)


def state(*shape, kind=LSTM):
    return (torch.randn(shape), torch.randn(shape)) if kind is LSTM else torch.randn(shape)


REF = {LSTM: nn.LSTM, GRU: nn.GRU}
both = pytest.mark.parametrize('kind', [LSTM, GRU], ids=['lstm', 'gru'])


def readable_from(ref):
    cell = ReadableLSTMCell(ref.input_size, ref.hidden_size)
    ws = torch.cat([ref.weight_hh, ref.weight_ih], dim=1).chunk(4)
    with torch.no_grad():
        for g, w, b in zip(
            ('input_gate', 'forget_gate', 'candidate', 'output_gate'),
            ws,
            (ref.bias_ih + ref.bias_hh).chunk(4),
        ):
            getattr(cell, g).weight.copy_(w)
            getattr(cell, g).bias.copy_(b)
    return cell


def test_cells():
    x = torch.randn(4, 3)
    assert set(parity(LSTMCell(3, 5), nn.LSTMCell(3, 5), x, state(4, 5), atol=1e-6)) == {
        'outputs',
        'inputs',
        'parameters',
    }
    parity(GRUCell(3, 5), nn.GRUCell(3, 5), x, state(4, 5, kind=GRU), atol=1e-6)


def test_readable():
    ref = nn.LSTMCell(3, 5)
    cell = readable_from(ref)

    def f(c):
        return lambda x, h, mem: c(x, (h, mem))

    parity(f(cell), f(ref), torch.randn(4, 3), torch.randn(4, 5), torch.randn(4, 5), atol=1e-6)


@pytest.mark.parametrize('slip', ['forget', 'order', 'tanh'])
def test_slips_are_found(slip):
    "The proof fails for the well-known mistakes."

    class Wrong(LSTMCell):
        def gates(self, x, h):
            i, f, g, o = super().gates(x, h)
            return dict(forget=(i, i, g, o), order=(i, f, o, g), tanh=(i, f, (1 + g) / 2, o))[slip]

    with pytest.raises(AssertionError):
        parity(Wrong(3, 5), nn.LSTMCell(3, 5), torch.randn(4, 3), state(4, 5))


def test_reset_gate_placement():
    ref, x, h = nn.GRUCell(3, 5), torch.randn(4, 3), torch.randn(4, 5)
    xr, xz, xn = (x @ ref.weight_ih.T + ref.bias_ih).chunk(3, 1)
    wr, wz, wn = ref.weight_hh.chunk(3)
    br, bz, bn = ref.bias_hh.chunk(3)
    r, z = torch.sigmoid(xr + h @ wr.T + br), torch.sigmoid(xz + h @ wz.T + bz)

    def out(n):
        return (1 - z) * torch.tanh(n) + z * h

    assert torch.allclose(out(xn + r * (h @ wn.T + bn)), ref(x, h), atol=1e-6)
    assert not torch.allclose(out(xn + (r * h) @ wn.T + bn), ref(x, h), atol=1e-3)


@both
@pytest.mark.parametrize('passed', [False, True])
@pytest.mark.parametrize('batch_first', [False, True])
@pytest.mark.parametrize('layers', [1, 2, 3])
def test_layers(kind, layers, batch_first, passed):
    x = torch.randn(4, 7, 3)
    s = (state(layers, 4 if batch_first else 7, 5, kind=kind),) if passed else ()
    parity(
        kind(3, 5, layers, batch_first),
        REF[kind](3, 5, layers, batch_first=batch_first),
        x,
        *s,
        names=torch_name,
        atol=1e-6,
    )

    def wide(o):
        return o.double() if torch.is_tensor(o) else tuple(map(wide, o))

    parity(
        kind(3, 5, layers, batch_first).double(),
        REF[kind](3, 5, layers, batch_first=batch_first).double(),
        wide(x),
        *wide(s),
        names=torch_name,
        atol=1e-13,
        rtol=0,
    )


@both
def test_double(kind):
    "In 64 bits they agree far beyond 1e-6."
    ours, ref = kind(8, 16, 2, batch_first=True).double(), REF[kind](8, 16, 2, batch_first=True).double()
    got = parity(ours, ref, torch.randn(4, 30, 8).double(), names=torch_name, atol=1e-12, rtol=1e-12)
    assert max(got.values()) < 1e-11


@both
def test_same_seed_same_weights(kind):
    set_seed(5)
    a = kind(3, 5, 2)
    set_seed(5)
    b = REF[kind](3, 5, 2)
    for n, p in a.named_parameters():
        assert torch.equal(p, b.get_parameter(torch_name(n)))


@both
@given(seq=st.integers(2, 6), cut=st.integers(1, 5), layers=st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_passed_state(kind, seq, cut, layers):
    cut = min(cut, seq - 1)
    rnn, x = kind(3, 5, layers, batch_first=True), torch.randn(4, seq, 3)
    whole, _ = rnn(x)
    _, mid = rnn(x[:, :cut])
    rest, _ = rnn(x[:, cut:], mid)
    assert torch.allclose(rest, whole[:, cut:], atol=1e-5) and not torch.allclose(
        rnn(x[:, cut:])[0], rest, atol=1e-4
    )


def test_both_states_matter():
    lstm, x, (h, c) = LSTM(3, 5), torch.randn(6, 4, 3), state(1, 4, 5)
    out = lstm(x, (h, c))[0]
    for s in ((h, torch.zeros_like(c)), (torch.zeros_like(h), c)):
        assert not torch.allclose(lstm(x, s)[0], out, atol=1e-3)


@both
def test_bad_input(kind):
    rnn = kind(3, 5, 2, batch_first=True)
    with pytest.raises(InputError, match='n_in = 3'):
        rnn(torch.randn(4, 7, 2))
    with pytest.raises(InputError, match='one step'):
        rnn(torch.randn(4, 0, 3))
    with pytest.raises(InputError, match='state'):
        rnn(torch.randn(4, 7, 3), state(2, 3, 5, kind=kind))


@pytest.mark.parametrize('kind', [LSTM, GRU, nn.LSTM, nn.GRU])
def test_model6(kind):
    model, x = LMModel6(30, 16, rnn=kind), torch.randint(30, (8, 12))
    whole = model(x)
    model.reset()
    first, second = model(x[:, :7]), model(x[:, 7:])
    assert torch.allclose(torch.cat([first, second], 1), whole, atol=1e-5)
    hs = model.h if isinstance(model.h, tuple) else (model.h,)
    assert not any(h.requires_grad for h in hs)
    with pytest.raises(InputError, match='reset'):
        model(x[:3])
    model.reset()
    assert model.h is None


def test_model6_is_the_torch_one():
    parity(LMModel6(30, 16), LMModel6(30, 16, rnn=nn.LSTM), torch.randint(30, (8, 6)), names=torch_name)


def test_trace():
    lstm, x = LSTM(3, 5, 2, batch_first=True), torch.randn(4, 6, 3)
    traces = gate_trace(lstm, x)
    out, (h, c) = lstm(x)
    assert len(traces) == 2 and all(v.shape == (6, 4, 5) for t in traces for v in t.values())
    assert torch.allclose(traces[1]['h'].transpose(0, 1), out) and torch.allclose(traces[0]['c'][-1], c[0])
    for t in traces:
        assert torch.allclose(t['f'][1:] * t['c'][:-1] + t['i'][1:] * t['g'][1:], t['c'][1:], atol=1e-6)
        for k in 'ifo':
            assert ((0 < t[k]) & (t[k] < 1)).all()
    assert not any(cell._forward_hooks for cell in lstm.cells)


def test_carousel():
    "With no way through h, the gradient of c is the product of the forget gates; open gates keep it."
    lstm, x = LSTM(3, 5, batch_first=True), torch.randn(4, 30, 3)
    with torch.no_grad():
        lstm.cells[0].weight_hh.zero_()
        lstm.cells[0].weight_ih.zero_()
        lstm.cells[0].bias_ih.zero_()
        lstm.cells[0].bias_hh.zero_()
    forgets = gradient_over_time(lstm, x, part=1)[0]
    assert torch.allclose(
        forgets[:-1] / forgets[1:], torch.full((29,), 0.5), atol=1e-4
    )  # sigmoid(0), each step
    with torch.no_grad():
        lstm.cells[0].bias_ih[5:10] = 20.0
    assert torch.allclose(gradient_over_time(lstm, x, part=1)[0], torch.ones(30), atol=0.01)
