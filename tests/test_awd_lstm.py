"Chapter 07: dropouts, AR and TAR, the encoder beside nn.LSTM and fastai's AWD_LSTM, weights by name."

import copy
import dataclasses
import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hsettings
from hypothesis import strategies as st
from torch import nn

from nlpdeep import kernels as kernels_mod
from nlpdeep import regularization as regularization_mod
from nlpdeep.awd_lstm import (
    AWDLSTM,
    AWDLSTMConfig,
    WeightDropout,
    language_model,
    load_weights,
    named_weights,
    plug_into_fastai,
    save_weights,
)
from nlpdeep.benchmarks import bench_lstm, next_word_loss
from nlpdeep.core import InputError, set_seed
from nlpdeep.course import WeightAverage, exchange_words
from nlpdeep.losses import linear_cross_entropy
from nlpdeep.records import assert_parity as parity
from nlpdeep.regularization import (
    Dropout,
    EmbeddingDropout,
    LMModel7,
    RNNDropout,
    dropout_mask,
    rnn_regularization,
)
from nlpdeep.training import rnn_callbacks

V = 40
SMALL = AWDLSTMConfig(V, emb_sz=8, n_hid=12, n_layers=3)
OFF = dict(hidden_p=0.0, input_p=0.0, embed_p=0.0, weight_p=0.0)


def bare(n):
    return n.replace('module.', '').replace('_raw', '')


@pytest.fixture(autouse=True)
def seeded():
    set_seed(0)


@pytest.fixture(scope='module')
def fastai():
    "fastai's own pieces; importing them takes seconds."
    from fastai.callback import rnn
    from fastai.text.models import awdlstm, core

    class Box:
        pass

    box = Box()
    for mod in (awdlstm, core, rnn):
        box.__dict__.update({k: v for k, v in vars(mod).items() if k[0] != '_'})
    return box


def arch(cfg):
    return {k: v for k, v in dataclasses.asdict(cfg).items() if k != 'vocab_sz'}


def words(*size):
    return torch.randint(0, V, size)


# ---- masks


@hsettings(max_examples=25, deadline=None)
@given(p=st.floats(0, 1), seed=st.integers(0, 999))
def test_share_of_zeros(p, seed):
    torch.manual_seed(seed)
    mask = dropout_mask(torch.ones(1), (100, 100), p)
    assert abs((mask == 0).float().mean() - p) < 0.03
    if p < 1:
        assert torch.allclose(mask[mask != 0], torch.tensor(1 / (1 - p))) and torch.isfinite(mask).all()


@pytest.mark.parametrize('p', [-0.1, 1.1, float('nan')])
def test_bad_probability(p):
    with pytest.raises(InputError, match='probability'):
        dropout_mask(torch.ones(2), (2,), p)


def test_dropout_is_pytorchs():
    parity(Dropout(0.3), nn.Dropout(0.3), torch.randn(9, 7))
    parity(
        lambda x: Dropout(0.3)(x.transpose(0, 1)),
        lambda x: F.dropout(x.transpose(0, 1), 0.3),
        torch.randn(9, 7, 4),
    )  # in memory order
    x = torch.randn(3)
    assert Dropout(0.3).eval()(x) is x and Dropout(0.0)(x) is x and (Dropout(1.0)(x) == 0).all()


def test_mask_keeps_dtype():
    assert dropout_mask(torch.ones(1, dtype=torch.bfloat16), (3,), 0.5).dtype == torch.bfloat16


@hsettings(max_examples=20, deadline=None)
@given(bs=st.integers(1, 5), seq=st.integers(1, 9), p=st.floats(0.1, 0.9))
def test_rnn_dropout_shared_over_time(bs, seq, p):
    y = RNNDropout(p)(torch.ones(bs, seq, 50))
    assert (y == y[:, :1]).all()
    if bs > 1:
        assert len({tuple(r[0].tolist()) for r in y}) > 1


def test_rnn_dropout_is_fastais(fastai):
    parity(RNNDropout(0.4), fastai.RNNDropout(0.4), torch.randn(4, 7, 5))


def test_embedding_dropout(fastai):
    emb, w = nn.Embedding(V, 6, padding_idx=1), words(4, 30)
    parity(EmbeddingDropout(emb, 0.5), fastai.EmbeddingDropout(copy.deepcopy(emb), 0.5), w)
    d = EmbeddingDropout(emb, 0.5)
    gone = (d(w) == 0).all(-1)
    for v in w[w != 1].unique():
        assert len(gone[w == v].unique()) == 1
    before = emb.weight.clone()
    assert torch.equal(d.eval()(w, scale=0.5), emb(w) * 0.5) and torch.equal(emb.weight, before)


def test_embedding_dropout_touches_looked_up_rows_only():
    "No multiplication with the whole table: the graph holds nothing of its size but the lookup's gradient."
    seen = []
    emb = nn.Embedding(5000, 8)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (seen.append(t.shape), t)[1], lambda t: t):
        EmbeddingDropout(emb, 0.5)(words(2, 3)).sum().backward()
    assert (5000, 8) not in seen


# ---- weight dropout


@pytest.mark.parametrize('kind', ['LSTM', 'GRU', 'RNN'])
@pytest.mark.parametrize(
    'kw', [dict(batch_first=True), dict(bidirectional=True), dict(bias=False), dict(num_layers=2)]
)
@pytest.mark.parametrize('state', [False, True])
def test_weight_dropout_off_is_pytorchs(kind, kw, state):
    def make():
        return getattr(nn, kind)(5, 6, **kw)

    h = torch.randn(make().num_layers * (1 + make().bidirectional), 3 if kw.get('batch_first') else 4, 6)
    args = () if not state else ((h, h + 1),) if kind == 'LSTM' else (h,)
    x = torch.randn(3, 4, 5)
    parity(WeightDropout(make(), 0.5).eval(), make(), x, *args, names=bare)
    parity(WeightDropout(make(), 0.0), make(), x, *args, names=bare)


def test_weight_dropout_is_fastais(fastai):
    make, x, h = (lambda: nn.LSTM(5, 6, batch_first=True)), torch.randn(3, 4, 5), torch.randn(1, 3, 6)
    parity(WeightDropout(make(), 0.4), fastai.WeightDropout(make(), 0.4), x, (h, h))
    both = ['weight_hh_l0', 'weight_ih_l0']
    parity(WeightDropout(make(), 0.4, both), fastai.WeightDropout(make(), 0.4, both), x, (h, h))


def test_weight_dropout_properties():
    layer, x = WeightDropout(nn.LSTM(5, 64, batch_first=True), 0.4), torch.randn(2, 3, 5)
    w1, w2 = layer.dropped()[1], layer.dropped()[1]
    assert not torch.equal(w1, w2) and abs((w1 == 0).float().mean() - 0.4) < 0.02
    a, b = layer(x)[0], layer.eval()(x)[0]
    assert torch.allclose(a[:, 0], b[:, 0], atol=1e-6) and not torch.allclose(
        a[:, 1:], b[:, 1:], atol=1e-3
    )  # the first step starts from zero
    layer.train()
    torch.manual_seed(1)
    layer(x)[0].sum().backward()
    torch.manual_seed(1)
    used = layer.dropped()[1] != 0
    g = layer.weight_hh_l0_raw.grad
    assert (g[~used] == 0).all() and (g[used] != 0).float().mean() > 0.9
    assert all(
        a is b for a, b in zip(layer.eval().dropped(), layer.weights())
    )  # nothing is rebuilt in evaluation


@pytest.mark.parametrize('kw', [{}, dict(bidirectional=True)])
def test_side_by_side(kw):
    """The GPU's path: one piece of memory, matrices first; same values, same gradients, each forward its own
    memory.
    """
    layer = WeightDropout(nn.LSTM(5, 6, **kw), 0.4)
    torch.manual_seed(1)
    a = layer.dropped(together=False)
    torch.manual_seed(1)
    b = layer.dropped(together=True)
    order = sorted(b, key=lambda w: w.data_ptr())
    assert [w.dim() for w in order] == sorted((w.dim() for w in b), reverse=True)
    assert all(y.data_ptr() - x.data_ptr() == 4 * x.numel() for x, y in zip(order, order[1:]))

    def grads(ws):
        return torch.autograd.grad(sum((w.pow(3)).sum() for w in ws), layer.weights())

    assert all(map(torch.equal, a, b)) and all(map(torch.equal, grads(a), grads(b)))
    again = layer.dropped(together=True)
    assert again[0].data_ptr() != b[0].data_ptr()  # two passes before one backward do not disturb each other


def test_weight_dropout_survives_copy_and_cast():
    layer, x = WeightDropout(nn.LSTM(5, 6), 0.4).eval(), torch.randn(3, 4, 5)
    other = copy.deepcopy(layer)
    assert torch.equal(other(x)[0], layer(x)[0])
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(2)
    assert not torch.allclose(other(x)[0], layer(x)[0])
    assert other.double()(x.double())[0].dtype == torch.float64
    ws = {
        n: torch.randn_like(p) for n, p in layer.named_parameters()
    }  # weights swapped for one call are the ones used
    assert not torch.allclose(torch.func.functional_call(layer, ws, (x,))[0], layer(x)[0])


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        language_model(SMALL)(words(2, 5))[0].sum().backward()


def test_unknown_weight():
    with pytest.raises(InputError, match='weight_hh_l0'):
        WeightDropout(nn.LSTM(5, 6), 0.4, 'weight_hh_l7')


# ---- AR and TAR


@hsettings(max_examples=25, deadline=None)
@given(alpha=st.floats(0, 5), beta=st.floats(0, 5), bs=st.integers(1, 4), seq=st.integers(1, 6))
def test_regularization_is_the_formula(alpha, beta, bs, seq):
    raw = torch.randn(bs, seq, 7)
    out = Dropout(0.5)(raw)
    want = alpha * out.pow(2).sum() / out.numel()
    if seq > 1:
        want = want + beta * sum((raw[:, t] - raw[:, t - 1]).pow(2).sum() for t in range(1, seq)) / (
            bs * (seq - 1) * 7
        )
    assert torch.isclose(rnn_regularization(raw, out, alpha, beta), want, atol=1e-5)


def test_regularization_in_half_precision():
    raw = torch.full((2, 3, 4), 300.0, dtype=torch.float16)  # its square is beyond fp16
    assert torch.isfinite(rnn_regularization(raw, raw))


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        raw = x.float()[..., None] * self.w
        return raw, raw, raw * 2

    def reset(self):
        pass


def test_callbacks_in_a_learner(fastai):
    "What fastai's Learner differentiates is its loss plus exactly the penalties."
    from fastai.basics import Callback, CrossEntropyLossFlat, DataLoaders, Learner

    seen = []

    class Grab(Callback):
        order, run_valid = 99, False

        def after_loss(self):
            seen.append((self.loss_grad - self.loss).item())

    batch = torch.tensor([[0, 1], [2, 1]])
    for knobs in [(0, 0), (2, 0), (0, 1), (2, 1)]:
        learn = Learner(
            DataLoaders([(batch, batch)], [(batch, batch)]),
            Toy(),
            loss_func=CrossEntropyLossFlat(),
            lr=0.0,
            cbs=rnn_callbacks(*knobs) + [Grab()],
        )
        with learn.no_bar(), learn.no_logging():
            learn.fit(1)
    raw = batch.float()[..., None] * torch.ones(3)
    ar, tar = 2 * (2 * raw).pow(2).mean(), (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    assert seen == pytest.approx([0.0, ar.item(), tar.item(), (ar + tar).item()], abs=1e-4)


def test_added_loss(fastai):
    """In training the loss that is differentiated grows by exactly the penalties; the loss that is reported
    does not; in validation nothing is added.
    """
    from types import SimpleNamespace as NS

    reset, unpack, reg = rnn_callbacks(2, 1)
    raw = torch.randn(3, 4, 5)
    out = Dropout(0.5)(raw)
    learn = NS(loss_grad=torch.tensor(7.0), training=True, rnn=NS(raw_out=raw, out=out))
    reg.learn = learn
    reg.after_loss()
    assert torch.isclose(
        learn.loss_grad, 7 + 2 * out.pow(2).mean() + (raw[:, 1:] - raw[:, :-1]).pow(2).mean()
    )
    learn.training, learn.loss_grad = False, torch.tensor(7.0)
    reg.after_loss()
    assert learn.loss_grad == 7


# ---- the model


def test_tied_weight_is_one():
    lm = language_model(SMALL)
    assert lm[1].decoder.weight is lm[0].encoder.weight
    held = [p for g in torch.optim.Adam(lm.parameters()).param_groups for p in g['params']]
    assert len(held) == len({id(p) for p in held}) == 1 + 4 * 3 + 1
    lm[0].encoder.weight.grad = None
    lm(words(2, 3))[0].sum().backward()
    assert lm[0].encoder.weight.grad is lm[1].decoder.weight.grad is not None


@pytest.mark.parametrize('layers', [1, 2, 3])
def test_stacked_lstm(layers):
    class Ref(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = [8] + [12] * (layers - 1) + [8]
            self.encoder = nn.Embedding(V, 8, padding_idx=1)
            self.rnns = nn.ModuleList(nn.LSTM(i, o, batch_first=True) for i, o in zip(sizes, sizes[1:]))

        def forward(self, xs):
            outs, state = [], [None] * layers
            for x in xs:
                x = self.encoder(x)
                for l, r in enumerate(self.rnns):
                    x, h = r(x, state[l])
                    state[l] = tuple(o.detach() for o in h)
                outs.append(x)
            return outs, state

    class Ours(AWDLSTM):
        def forward(self, xs):
            self.reset()
            return [super(Ours, self).forward(x) for x in xs], self.hidden

    parity(Ours(V, 8, 12, layers, **OFF), Ref(), list(words(3, 4, 6)), names=bare)
    parity(Ours(V, 8, 12, layers).eval(), Ref(), list(words(3, 4, 6)), names=bare)


@pytest.mark.parametrize(
    'kw', [{}, dict(n_layers=1), dict(bidir=True), dict(tie_weights=False, out_bias=False)]
)
def test_step_by_step_as_fastais(fastai, kw):
    cfg = dataclasses.replace(SMALL, **kw)
    set_seed(1)
    ours = language_model(cfg)
    set_seed(1)
    theirs = fastai.get_language_model(fastai.AWD_LSTM, V, config=arch(cfg))
    assert list(ours.state_dict()) == list(theirs.state_dict()) and all(
        map(torch.equal, ours.parameters(), theirs.parameters())
    )

    def steps(model):
        opt, losses, g = torch.optim.Adam(model.parameters(), lr=1e-2), [], torch.Generator().manual_seed(0)
        for k, (bs, sl) in enumerate([(4, 6), (4, 6), (2, 6), (5, 3), (5, 1)]):
            if k == 3:
                model.reset()
            x, y = torch.randint(0, V, (2, bs, sl), generator=g)
            torch.manual_seed(k)
            s, raw, out = model(x)
            loss = F.cross_entropy(s.flatten(0, 1), y.flatten()) + rnn_regularization(raw, out)
            loss.backward()
            opt.step()
            opt.zero_grad()
            losses.append(loss.item())
        return losses

    assert steps(ours) == pytest.approx(steps(theirs), abs=1e-5)
    for p, q in zip(ours.parameters(), theirs.parameters()):
        torch.testing.assert_close(p, q, atol=1e-5, rtol=1e-4)
    ours.eval(), theirs.eval()
    ours.reset(), theirs.reset()
    for x in words(2, 3, 5):
        for a, b in zip(ours(x), theirs(x)):
            torch.testing.assert_close(a, b)
    for a, b in zip(ours[0].hidden, theirs[0].hidden):
        torch.testing.assert_close(a, b)


def test_state():
    enc, x = AWDLSTM(V, 8, 12, 2, **OFF), words(4, 5)
    a = enc(x)
    b = enc(x)
    enc.reset()
    assert torch.equal(enc(x), a) and not torch.allclose(a, b)
    enc.reset()
    enc(x)
    fewer = enc(x[:2])
    more = enc(x)
    assert torch.allclose(fewer, b[:2], atol=1e-6)
    assert torch.allclose(more[2:], a[2:], atol=1e-6)
    assert all(not o.requires_grad for h in enc.hidden for o in h) and enc.bs == 4


def test_state_follows_precision():
    enc, x = AWDLSTM(V, 8, 12, 2, **OFF), words(2, 5)
    enc(x)
    assert enc.double()(x).dtype == torch.float64
    enc.float()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        enc(x)
    assert enc(x).dtype == torch.float32  # a state kept in 16 bits is no trouble for the next call in 32


def test_padding_gets_no_gradient_from_lookups():
    enc = AWDLSTM(V, 8, 12, 1, pad_token=3)
    enc(torch.full((2, 4), 3)).sum().backward()
    assert (enc.encoder.weight.grad[3] == 0).all()


def test_from_embeds():
    enc, x = AWDLSTM(V, 8, 12, 2, **OFF), words(2, 5)
    a = enc(x)
    enc.reset()
    assert torch.allclose(enc(enc.encoder(x), from_embeds=True), a)


@pytest.mark.parametrize(
    'bad, says',
    [
        (dict(n_layers=0), 'n_layers'),
        (dict(vocab_sz=0), 'vocab_sz'),
        (dict(embed_p=2), 'embed_p'),
        (dict(pad_token=V), 'pad_token'),
        (dict(bidir=True, emb_sz=7), 'even'),
    ],
)
def test_bad_config(bad, says):
    with pytest.raises(InputError, match=says):
        dataclasses.replace(SMALL, **bad)
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.n_hid = 3


def test_config(fastai):
    for cfg, theirs in [
        (AWDLSTMConfig(V), fastai.awd_lstm_lm_config),
        (AWDLSTMConfig.classifier(V), fastai.awd_lstm_clas_config),
    ]:
        assert {k: getattr(cfg, k) for k in theirs} == theirs
    half = SMALL.scaled(0.5)
    assert half.weight_p == SMALL.weight_p / 2 and half.n_hid == SMALL.n_hid
    lm = language_model(SMALL, drop_mult=0.5)
    assert (
        lm[0].rnns[0].weight_p == half.weight_p
        and lm[1].output_dp.p == half.output_p
        and lm[0].encoder_dp.embed_p == half.embed_p
    )
    assert AWDLSTMConfig(**dataclasses.asdict(SMALL)) == SMALL


def test_lmmodel7():
    model, x = LMModel7(V, 16, 2, 0.4), words(4, 6)
    s, raw, out = model(x)
    assert s.shape == (4, 6, V) and model.score.weight is model.embed.weight

    class Ref(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn, self.drop, self.score = (
                nn.Embedding(V, 16),
                nn.LSTM(16, 16, 2, batch_first=True),
                nn.Dropout(0.4),
                nn.Linear(16, V),
            )
            self.score.weight = self.embed.weight

        def forward(self, x):
            raw, _ = self.rnn(self.embed(x))
            out = self.drop(raw)
            return self.score(out), raw, out

    model.reset()
    parity(model, Ref(), x)
    model.reset()
    a = model.eval()(x)[0]
    assert not torch.allclose(model(x)[0], a)
    gru = LMModel7(V, 16, 2, 0.4, rnn=nn.GRU)
    gru(x)
    gru(x)
    assert not gru.h.requires_grad


# ---- weights


def test_fastais_weights_by_name(fastai, tmp_path):
    theirs = fastai.get_language_model(fastai.AWD_LSTM, V, config=arch(SMALL))
    theirs(words(2, 3))
    state, x = theirs.state_dict(), words(3, 5)
    theirs.reset()
    want = theirs.eval()(x)[0]
    old = {
        k.replace('encoder_dp.emb', 'encoder_dp'): v for k, v in state.items() if 'encoder_dp' not in k
    }  # files of another age
    old |= {
        f'0.rnns.{l}.module.weight_hh_l0': torch.randn(12 * 4 if l < 2 else 8 * 4, 12 if l < 2 else 8)
        for l in range(3)
    }
    for src in (theirs, state, dict(reversed(state.items())), old, dict(model=state, opt={})):
        lm = language_model(SMALL)
        load_weights(lm, src)
        assert torch.equal(lm.eval()(x)[0], want)
    enc = AWDLSTM.from_config(SMALL)
    assert load_weights(enc, theirs[0])['missing'] == []
    assert load_weights(enc, fastai.SentenceEncoder(5, theirs[0]))['unused'] == []
    assert load_weights(enc, theirs, strict=False)['unused'] == ['decoder.weight', 'decoder.bias']
    with pytest.raises(InputError, match='left over'):
        load_weights(enc, theirs)
    lm.load_state_dict(state)
    theirs.load_state_dict(lm.state_dict())


def test_file(tmp_path):
    from safetensors import safe_open

    lm = language_model(SMALL)
    f = save_weights(lm, tmp_path / 'deep' / 'lm.safetensors')
    with safe_open(f, 'pt') as o:
        names = set(o.keys())
    assert (
        'decoder.weight' not in names
        and 'encoder.weight' in names
        and not any('module' in n or 'raw' in n for n in names)
    )
    assert len(names) == len(list(lm.parameters()))
    other = language_model(SMALL)
    load_weights(other, f)
    assert all(map(torch.equal, lm.parameters(), other.parameters()))
    untied = dataclasses.replace(SMALL, tie_weights=False)
    save_weights(language_model(untied), tmp_path / 'u.safetensors')
    load_weights(language_model(untied), tmp_path / 'u.safetensors')


def test_tied_under_any_name(tmp_path):
    """A name whose tensor is the memory of a loaded one counts as loaded; two values for one weight do not
    fit.
    """
    a, b = LMModel7(V, 8, 2, 0.1), LMModel7(V, 8, 2, 0.1)
    f = save_weights(a, tmp_path / 'seven.safetensors')
    assert load_weights(b, f) == dict(loaded=list(named_weights(b)), missing=[], unused=[])
    assert all(map(torch.equal, a.parameters(), b.parameters())) and b.score.weight is b.embed.weight
    state = {k: v for k, v in a.state_dict().items() if k != 'embed.weight'}  # either name will do
    c = LMModel7(V, 8, 2, 0.1)
    load_weights(c, state)
    assert torch.equal(c.embed.weight, a.embed.weight)
    before = c.embed.weight.clone()
    with pytest.raises(InputError, match='embed.weight and score.weight differ'):
        load_weights(c, state | {'embed.weight': torch.randn(V, 8)})
    with pytest.raises(InputError, match='missing'):
        load_weights(c, {k: v for k, v in state.items() if k != 'score.weight'})
    assert torch.equal(c.embed.weight, before)
    untied = nn.ModuleDict(dict(x=nn.Linear(3, 3, bias=False), y=nn.Linear(3, 3, bias=False)))
    assert load_weights(untied, {'x.weight': torch.ones(3, 3)}, strict=False)['missing'] == [
        'y.weight'
    ]  # equal sizes are not one weight
    with torch.device('meta'):
        nowhere = nn.ModuleDict(dict(x=nn.Linear(3, 3, bias=False), y=nn.Linear(3, 3, bias=False)))
    assert load_weights(nowhere, {'x.weight': torch.ones(3, 3)}, strict=False)['missing'] == ['y.weight']


def test_a_file_of_fastais_learner(fastai, tmp_path):
    "What learn.save writes after fit_one_cycle holds numpy's numbers; the way our message names opens it."
    from fastai.basics import CrossEntropyLossFlat, DataLoaders, Learner
    from fastai.learner import load_model

    theirs, x = fastai.get_language_model(fastai.AWD_LSTM, V, config=arch(SMALL)), words(4, 6)
    learn = Learner(
        DataLoaders([(x, x)], [(x, x)]),
        theirs,
        loss_func=CrossEntropyLossFlat(),
        cbs=rnn_callbacks(),
        path=tmp_path,
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    f = learn.save('lm')
    with pytest.raises(Exception, match='WeightsUnpickler'):
        torch.load(f, weights_only=True)
    with pytest.raises(InputError, match=r'load_model\(path, model, None, with_opt=False\)'):
        load_weights(language_model(SMALL), f)
    lm = language_model(SMALL)
    load_model(f, lm, None, with_opt=False)
    want = [p.cpu() for p in learn.model.parameters()]
    assert all(map(torch.equal, lm.parameters(), want)) and lm[1].decoder.weight is lm[0].encoder.weight
    load_weights(
        lm2 := language_model(SMALL),
        torch.load(learn.save('plain', with_opt=False), weights_only=True, map_location='cpu'),
    )
    assert all(map(torch.equal, lm2.parameters(), want))


def test_what_does_not_fit(tmp_path):
    lm = language_model(SMALL)
    before = [p.clone() for p in lm.parameters()]
    f = save_weights(lm, tmp_path / 'lm.safetensors')
    cut = tmp_path / 'cut.safetensors'
    cut.write_bytes(f.read_bytes()[:500])

    def other(**kw):
        return language_model(dataclasses.replace(SMALL, **kw))

    state = dict(lm.state_dict())
    half = {k: v for k, v in state.items() if 'rnns.1' not in k}
    for src, says in [
        (other(n_hid=14), 'sizes.*48, 8.*there|there'),
        (other(vocab_sz=V + 1), 'encoder.weight is'),
        (other(n_layers=2), 'missing|sizes'),
        (half, 'missing.*rnns.1'),
        (other(tie_weights=False), 'tie_weights'),
        (tmp_path / 'no.safetensors', 'no file'),
        (tmp_path / 'a.pth', 'pickle'),
        (cut, 'no whole'),
    ]:
        with pytest.raises(InputError, match=says):
            load_weights(lm, src)
    assert all(map(torch.equal, lm.parameters(), before))
    assert load_weights(lm, half, strict=False)['missing'] == [n for n in named_weights(lm) if 'rnns.1' in n]
    with pytest.raises(InputError, match='differ'):
        named_weights({'0.a.w': torch.zeros(2), '1.a.w': torch.ones(2)})


# ---- in fastai's place


def test_classifier_in_fastais_head(fastai):
    plug_into_fastai()

    def make(a):
        return (
            set_seed(2),
            fastai.get_text_classifier(a, V, 2, seq_len=4, config=dict(emb_sz=8, n_hid=12, n_layers=2)),
        )[1]

    x = words(3, 10)
    x[2, :4] = 1
    x[1, 5:] = 7
    parity(make(AWDLSTM), make(fastai.AWD_LSTM), x, copy=False)
    for split, model in [
        (fastai.awd_lstm_clas_split, make(AWDLSTM)),
        (fastai.awd_lstm_lm_split, fastai.get_language_model(AWDLSTM, V, config=arch(SMALL))),
    ]:
        assert sum(p.numel() for g in split(model) for p in g) == sum(p.numel() for p in model.parameters())


def test_language_model_learner(tmp_path):
    import pandas as pd
    from fastai.text.all import TextDataLoaders, language_model_learner

    plug_into_fastai()
    df = pd.DataFrame(
        dict(
            text=['one two three four five six seven'] * 12,
            label=['a', 'b'] * 6,
            is_valid=[False] * 8 + [True] * 4,
        )
    )
    dls = TextDataLoaders.from_df(
        df,
        path=tmp_path,
        text_col='text',
        label_col='label',
        valid_col='is_valid',
        is_lm=True,
        bs=4,
        seq_len=5,
    )
    cfg = dict(
        emb_sz=8,
        n_hid=12,
        n_layers=2,
        pad_token=1,
        bidir=False,
        output_p=0.1,
        hidden_p=0.1,
        input_p=0.1,
        embed_p=0.1,
        weight_p=0.1,
        tie_weights=True,
        out_bias=True,
    )
    learn = language_model_learner(dls, AWDLSTM, config=cfg, pretrained=False)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    assert isinstance(learn.model[0], AWDLSTM) and len(learn.recorder.values) == 1


# ---- averaged weights, exchanged words


def test_weight_average():
    lin = nn.Linear(2, 1)
    mean = WeightAverage(lin, 0.9)
    for _ in range(5):
        mean.update()
    assert all(map(torch.allclose, mean.mean, lin.parameters()))  # the mean of equal weights is that weight
    before = [p.clone() for p in lin.parameters()]
    with torch.no_grad():
        lin.weight.fill_(1e3)
    mean.update()
    mean.copy_to(lin)
    assert torch.equal(lin.bias, before[1]) and (lin.weight > before[0]).all() and (lin.weight < 1e3).all()


@hsettings(max_examples=25, deadline=None)
@given(ids=st.lists(st.integers(0, 9), min_size=2, max_size=60), seed=st.integers(0, 99))
def test_exchange_words(ids, seed):
    torch.manual_seed(seed)
    ids = torch.tensor(ids)
    new = exchange_words(ids, [0, 1, 2], 5)
    followed = torch.cat([ids[1:] == 5, torch.tensor([False])])
    moved = new != ids
    assert not (moved & ~(followed & (ids < 3))).any()  # nothing else changes
    pairs = set(zip(ids[followed].tolist(), new[followed].tolist()))
    assert (
        len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
    )  # one way through the whole text


# ---- loss and speed


@hsettings(max_examples=25, deadline=None)
@given(
    n=st.integers(1, 40),
    words=st.integers(2, 30),
    hid=st.integers(1, 9),
    chunk=st.integers(1, 50),
    bias=st.booleans(),
    ignored=st.booleans(),
    reduction=st.sampled_from(['mean', 'sum']),
    seed=st.integers(0, 99),
)
def test_loss_equals_cross_entropy(n, words, hid, chunk, bias, ignored, reduction, seed):
    g = torch.Generator().manual_seed(seed)
    h, w, b = (
        torch.randn(n, hid, generator=g),
        torch.randn(words, hid, generator=g),
        torch.randn(words, generator=g),
    )
    y = torch.randint(0, words, (n,), generator=g)
    if ignored:
        y[::2] = -100
    if (y == -100).all():
        return
    args = (h, w, b) if bias else (h, w)
    parity(
        lambda h, w, b=None: linear_cross_entropy(h, w, y, b, chunk=chunk, reduction=reduction, impl='ours'),
        lambda h, w, b=None: F.cross_entropy(F.linear(h, w, b), y, reduction=reduction),
        *args,
        atol=2e-5,
    )


@pytest.mark.parametrize('frozen', ['h', 'w', 'b'])
def test_loss_computes_only_what_is_asked(frozen):
    t = dict(h=torch.randn(9, 4), w=torch.randn(7, 4), b=torch.randn(7))
    y = torch.arange(9) % 7
    for k, v in t.items():
        v.requires_grad_(k != frozen)
    linear_cross_entropy(t['h'], t['w'], y, t['b'], chunk=4).backward()
    assert t[frozen].grad is None and all(v.grad is not None for k, v in t.items() if k != frozen)


def test_loss_without_gradients_and_twice():
    h, w, y = torch.randn(9, 4), torch.randn(7, 4, requires_grad=True), torch.arange(9) % 7
    with torch.no_grad():
        assert not linear_cross_entropy(h, w, y).requires_grad
    loss = linear_cross_entropy(h, w, y)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match='second time'):
        loss.backward()
    assert math.isnan(linear_cross_entropy(h, w, torch.full((9,), -100)).item())  # as F.cross_entropy


@pytest.mark.parametrize('onednn', [True, False])
@pytest.mark.parametrize('low', [None, torch.bfloat16, torch.float16])
def test_loss_by_every_product(onednn, low, monkeypatch):
    h, w, b, y = (
        torch.randn(33, 8),
        torch.randn(50, 8) * 0.3,
        torch.randn(50) * 0.1,
        torch.randint(0, 50, (33,)),
    )
    has = kernels_mod.has_onednn()
    monkeypatch.setattr(kernels_mod, 'has_onednn', lambda: onednn and has)
    args = [o.clone().requires_grad_() for o in (h, w, b)]
    linear_cross_entropy(args[0], args[1], y, args[2], chunk=10, low=low).backward()
    ref = [o.clone().requires_grad_() for o in (h, w, b)]
    F.cross_entropy(F.linear(*ref), y).backward()
    for a, r in zip(args, ref):
        assert (a.grad - r.grad).norm() < (1e-5 if low is None else 2e-2) * r.grad.norm()


def test_loss_of_hopeless_tokens_is_exact():
    for low in (None, torch.bfloat16, torch.float16):
        assert linear_cross_entropy(
            torch.tensor([[300.0, 0], [0, 300.0]]), torch.eye(2), torch.tensor([1, 1]), low=low
        ).item() == pytest.approx(150)


def test_loss_refuses():
    h, w = torch.randn(4, 3), torch.randn(5, 3)
    for y, kw, what in (
        (torch.tensor([0, 1, 2, 5]), {}, '5 words'),
        (torch.tensor([0, 1, 2, -1]), {}, 'from -1'),
        (torch.zeros(3, dtype=int), {}, '3 targets'),
        (torch.zeros(4, dtype=int), dict(reduction='none'), 'none'),
    ):
        with pytest.raises(InputError, match=what):
            linear_cross_entropy(h, w, y, **kw)


def test_chunked_loss():
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.lm = language_model(SMALL)

        def forward(self, x, y):
            self.lm.reset()
            s, raw, out = self.lm(x)
            return F.cross_entropy(s.flatten(0, 1), y.flatten()), raw, out

    class Chunked(Whole):
        def forward(self, x, y):
            self.lm.reset()
            return next_word_loss(self.lm, x, y, chunk=5)

    parity(Chunked(), Whole(), *words(2, 4, 6))


def test_loss_of_hidden_states_in_half():
    "Hidden states in 16 bits and weights in 32, as inside an autocast: products in 16, the loss in 32."
    h, w, y = torch.randn(20, 8), torch.randn(30, 8, requires_grad=True), torch.arange(20)
    loss = linear_cross_entropy(h.bfloat16(), w, y)
    loss.backward()
    assert (
        loss.dtype == torch.float32
        and w.grad.dtype == torch.float32
        and abs(loss - F.cross_entropy(h @ w.t(), y)) < 0.02
    )


@pytest.mark.parametrize('batch_first', [True, False])
@pytest.mark.parametrize('bias', [True, False])
def test_one_step_is_the_kernels(batch_first, bias):
    "Without gradients a single step is done by hand; output and state are the kernel's."
    lstm = nn.LSTM(5, 6, batch_first=batch_first, bias=bias)
    x, state = (
        torch.randn(3, 1, 5) if batch_first else torch.randn(1, 3, 5),
        tuple(torch.randn(1, 3, 6) for _ in range(2)),
    )
    for hx in (None, state):
        want, (h, c) = lstm(x, hx)
        wd = WeightDropout(copy.deepcopy(lstm), 0.5).eval()
        with torch.no_grad():
            got, (h2, c2) = wd(x, hx)
        for a, b in ((want, got), (h, h2), (c, c2)):
            assert a.shape == b.shape and torch.allclose(a, b, atol=1e-6)
    assert wd(x, state)[0].requires_grad  # with gradients: the kernel


def test_bench(monkeypatch):
    sizes = dict(rounds=1, vocab_sz=V, emb_sz=8, n_hid=12, n_layers=2, bs=3, seq=5)
    rows = bench_lstm(**sizes)
    assert [o['stage'] for o in rows] == [
        'step',
        'step, one loss',
        'evaluation',
        'one word at a time',
    ] and all(o['identical'] for o in rows)
    monkeypatch.setattr(
        regularization_mod.RNNDropout, 'forward', lambda self, x: x
    )  # a model that drops nothing is found out
    assert not bench_lstm(**sizes)[1]['identical']


def test_nothing_heavy_at_import():
    import subprocess
    import sys

    code = (
        "import sys, nlpdeep.awd_lstm; print(sorted({'fastai', 'spacy', 'transformers', 'safetensors', "
        "'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout.strip() == '[]'


@pytest.mark.parametrize('kind', [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize('grad', [True, False])
def test_weight_dropout_checks_sizes(kind, grad):
    "A kernel given another size would read, or write, memory that is not its own."
    layer = WeightDropout(kind(5, 4, batch_first=True), 0.5)

    def state(layers=1, bs=2, hid=4):
        h = torch.zeros(layers, bs, hid)
        return (h, h) if kind is nn.LSTM else h

    with torch.set_grad_enabled(grad):
        for seq in (1, 3):
            assert layer(torch.randn(2, seq, 5), state())[0].shape == (2, seq, 4)
            for x in (torch.randn(2, seq, 6), torch.randn(2, 5), torch.randn(1, 2, seq, 5)):
                with pytest.raises(InputError, match='takes'):
                    layer(x)
            for bad in (state(bs=1), state(bs=3), state(hid=5), state(layers=2)):
                with pytest.raises(InputError, match='state must be'):
                    layer(torch.randn(2, seq, 5), bad)
