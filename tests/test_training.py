"Chapter 08: parity, precision on every exit, guards, exact resume after SIGKILL, two processes, bad input."

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nlpdeep.benchmarks import bench_train
from nlpdeep.checkpoint import Checkpoint, load_state, save_state
from nlpdeep.core import InputError, set_seed
from nlpdeep.losses import linear_cross_entropy
from nlpdeep.precision import LinearCrossEntropyLoss
from nlpdeep.schedules import (
    classifier_groups,
    find_lr,
    fit_slanted,
    layer_rates,
    lm_groups,
    slanted_triangular,
)
from nlpdeep.training import ProgressLines, RNNRegularizer, classifier_learner, lm_learner

from fastai.basics import (
    Callback,
    CancelBatchException,
    CancelFitException,
    CrossEntropyLossFlat,
    DataLoaders,
    L,
    OptimWrapper,
)
from fastai.text.all import (
    AWD_LSTM,
    Adam,
    TextLearner,
    accuracy,
    awd_lstm_clas_config,
    awd_lstm_lm_config,
    get_language_model,
    get_text_classifier,
    top_k_accuracy,
)
from fastai.text.all import (
    LMLearner as FastaiLMLearner,
)

from nlpdeep import (
    benchmarks as benchmarks_mod,
)
from nlpdeep import (
    checkpoint as checkpoint_mod,
)
from nlpdeep import (
    kernels as kernels_mod,
)
from nlpdeep import (
    precision as precision_mod,
)
from nlpdeep import (
    schedules as schedules_mod,
)
from nlpdeep import (
    training as training_mod,
)
from nlpdeep.awd_lstm import AWDLSTMConfig, WeightDropout, language_model
from nlpdeep.lm_dataloader import LMDataLoader
from nlpdeep.losses import LazyLogits

WORDS = 24


def documents(n=60, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randint(0, WORDS, (20,), generator=g) for _ in range(n)]


def loaders(docs=None, bs=4, seq_len=10, words=WORDS):
    docs = docs or documents()
    dls = DataLoaders(
        LMDataLoader(docs, bs=bs, seq_len=seq_len, shuffle=True),
        LMDataLoader(docs[:10], bs=bs, seq_len=seq_len),
        device='cpu',
    )
    dls.vocab = list(range(words))
    return dls


def model(drop_mult=1.0, **kw):
    return language_model(AWDLSTMConfig(WORDS, **(dict(emb_sz=12, n_hid=16, n_layers=2) | kw)), drop_mult)


def fastai_model():
    return get_language_model(
        AWD_LSTM, WORDS, config=dict(awd_lstm_lm_config, emb_sz=12, n_hid=16, n_layers=2)
    )


class Curve(Callback):
    run_valid = False

    def before_fit(self):
        self.all = []

    def after_batch(self):
        self.all.append(self.loss.item())


class StopAt(Callback):
    "Breaks the fit off after training step `n`."

    order, run_valid = 120, False

    def __init__(self, n):
        self.n = n

    def after_batch(self):
        if self.train_iter == self.n:
            raise KeyboardInterrupt


@contextlib.contextmanager
def silent(learn):
    with learn.no_bar(), learn.no_logging():
        yield


def fit(learn, epochs=1, lr=5e-3, **kw):
    with silent(learn):
        learn.fit_one_cycle(epochs, lr, **kw)
    return learn


def trained(make=model, cls=lm_learner, epochs=1, lr=5e-3, cbs=(), fit_kw=None, **kw):
    set_seed(1)
    m = make()
    dls = loaders()
    return fit(cls(dls, m, cbs=[Curve(), *cbs], **kw), epochs, lr, **(fit_kw or {}))


def apart(a, b):
    assert len(a) == len(b) > 0
    return max(abs(x - y) for x, y in zip(a, b))


# --- the loss: chapter 07's


def test_loss_is_chapter_07s():
    from nlpdeep import losses as losses_mod

    assert linear_cross_entropy is linear_cross_entropy


def test_lazy_scores_serve_any_metric():
    h, w, b, y = torch.randn(4, 6, 5), torch.randn(30, 5), torch.randn(30), torch.randint(0, 30, (4, 6))
    lazy, real = LazyLogits(h, w, b), F.linear(h, w, b)
    for m in (accuracy, partial(top_k_accuracy, k=3)):
        assert m(lazy, y) == m(real, y)
    assert torch.equal(lazy.max(-1).values, real.max(-1).values) and torch.equal(
        torch.cat([lazy, lazy]), torch.cat([real, real])
    )
    assert lazy.argmax(-1, keepdim=True).shape == (4, 6, 1)
    with pytest.raises(AttributeError):
        lazy.__no_such__
    loss = LinearCrossEntropyLoss(reduction='none')
    assert torch.allclose(
        loss(lazy, y), F.cross_entropy(real.flatten(0, 1), y.flatten(), reduction='none'), atol=1e-6
    )
    weight = torch.rand(30)
    assert torch.allclose(
        LinearCrossEntropyLoss(weight=weight)(lazy, y),
        F.cross_entropy(real.flatten(0, 1), y.flatten(), weight=weight),
        atol=1e-6,
    )


# --- optimizer


@pytest.mark.parametrize('make', [model, fastai_model])
def test_learner_equals_fastais(make):
    "Stock model, loss, optimizer and callbacks against lm_learner, step for step."
    set_seed(1)
    m = make()
    stock = fit(
        FastaiLMLearner(
            loaders(),
            m,
            loss_func=CrossEntropyLossFlat(),
            opt_func=Adam,
            metrics=accuracy,
            wd=0.1,
            cbs=Curve(),
        ),
        2,
    )
    ours = trained(make, epochs=2, wd=0.1, prec='fp32')
    assert apart(stock.curve.all, ours.curve.all) < 1e-4
    assert list(stock.recorder.values[-1][:3]) == pytest.approx(list(ours.recorder.values[-1][:3]), abs=1e-3)


def test_optimizer_state_is_fastais():
    "The state of one loads into the other."
    a = trained(opt_func=Adam, prec='fp32')
    b = trained(prec='fp32')
    for s, t in zip(a.opt.state_dict()['state'], b.opt.state_dict()['state']):
        assert {k for k in s if torch.is_tensor(s[k])} <= set(t) and float(s['step']) == float(t['step'])
        assert torch.allclose(s['sqr_avg'], t['sqr_avg'], atol=1e-6)


def test_optimizer_drops_gradients():
    learn = trained()
    assert all(p.grad is None for p in learn.model.parameters())


# --- precision


class Fails(nn.Module):
    def __init__(self, e):
        super().__init__()
        self.lin, self.e = nn.Linear(1, WORDS), e

    def reset(self):
        pass

    def forward(self, x):
        raise self.e


@pytest.mark.parametrize('kind', ['bf16', 'fp16'])
@pytest.mark.parametrize(
    'error',
    [
        RuntimeError('broken'),
        KeyboardInterrupt(),
        CancelBatchException(),
        CancelFitException(),
        MemoryError(),
    ],
)
def test_autocast_closes_when_the_model_fails(kind, error):
    m = Fails(error)
    learn = lm_learner(loaders(), m, prec=kind)
    with contextlib.suppress(BaseException), silent(learn):
        learn.fit(1)
    assert not torch.is_autocast_enabled('cpu') and not m._forward_hooks and not m._forward_pre_hooks
    assert torch.backends.mkldnn.enabled and type(F.linear(torch.ones(1, 1), m.lin.weight)) is torch.Tensor


@pytest.mark.parametrize(
    'event',
    [
        'before_batch',
        'after_pred',
        'after_loss',
        'before_backward',
        'before_step',
        'after_step',
        'after_batch',
        'after_train',
        'before_validate',
    ],
)
@pytest.mark.parametrize('error', [RuntimeError('broken'), CancelFitException()])
def test_autocast_is_closed_wherever_it_fails(event, error):
    def fail(self):
        raise error

    cb = type('Fail', (Callback,), {event: fail, 'order': 200})()
    m = model()
    learn = lm_learner(loaders(), m, prec='bf16', cbs=cb)
    with contextlib.suppress(RuntimeError), silent(learn):
        learn.fit(1)
    assert not torch.is_autocast_enabled('cpu') and not m._forward_hooks and not m._forward_pre_hooks
    learn.remove_cb(cb)
    fit(learn)  # it can be used again
    assert learn.recorder.losses


def test_precision_follows_the_machine_or_the_variable():
    kinds = {}
    for forced in ('', 'bf16', 'fp16', 'fp32'):
        with patch.dict(os.environ, NLPDEEP_PRECISION=forced):
            learn = trained()
            kinds[forced] = learn.precision.kind if hasattr(learn, 'precision') else 'fp32'
            assert np.isfinite(learn.curve.all).all()
    assert {k: v for k, v in kinds.items() if k} == dict(bf16='bf16', fp16='fp16', fp32='fp32')
    with pytest.raises(InputError, match='int8'):
        trained(prec='int8')


def test_all_precisions_agree():
    full = trained(prec='fp32').curve.all
    assert (
        apart(trained(prec='bf16').curve.all, full) < 0.05
        and apart(trained(prec='fp16').curve.all, full) < 0.05
    )


def test_clips_after_unscaling():
    """In fp16 the bound holds for true gradients: the clipped training is that of 32 bits, not one slowed
    down by the scale.
    """
    small = partial(trained, clip=0.02, epochs=2, lr=2e-2)
    full, half = small(prec='fp32'), small(prec='fp16')
    assert (
        apart(full.curve.all, half.curve.all) < 0.02
        and apart(full.curve.all, trained(epochs=2, lr=2e-2, prec='fp32').curve.all) > 1e-3
    )
    norms = []

    class Norms(Callback):
        order, run_valid = 60, False

        def before_step(self):
            norms.append(nn.utils.get_total_norm([p.grad for p in self.model.parameters()]).item())

    small(prec='fp16', cbs=[Norms()])
    assert max(norms) < 0.0201


def test_own_lstm_is_used_and_right():
    "`WeightDropout` takes our bf16 LSTM where it is the better one, and PyTorch's everywhere else."
    set_seed(0)
    x, calls = torch.randn(6, 3, 700), []

    def wrapped(*sizes, **kwargs):
        return WeightDropout(nn.LSTM(*sizes, **kwargs), 0.0)

    lstm = wrapped(700, 400)
    real = kernels_mod._LSTM16.apply
    with (
        patch.object(kernels_mod, 'prefers_own_lstm', lambda: True),
        patch.object(kernels_mod._LSTM16, 'apply', lambda *a: calls.append(1) or real(*a)),
    ):
        with torch.autocast('cpu', torch.bfloat16):
            out, (h, c) = lstm(x)
        assert len(calls) == 1 and torch.equal(out[-1], h[0])
        ref, (rh, rc) = lstm(x)  # 32 bits: PyTorch's
        assert (out.float() - ref).abs().max() < 0.02 and (c - rc).abs().max() < 0.05
        with torch.autocast('cpu', torch.bfloat16), torch.no_grad():
            lstm(x)  # no gradients: PyTorch's
        with torch.autocast('cpu', torch.bfloat16):
            wrapped(9, 9)(torch.randn(2, 2, 9))
            wrapped(700, 400, 2)(x)
            wrapped(700, 400, bidirectional=True)(x)
        assert len(calls) == 1


@pytest.mark.parametrize('prec', ['fp32', 'bf16'])
def test_evaluation_holds_no_scores(prec):
    "Neither in training nor in validation is a tensor of all scores made."
    seen = []

    class Look(Callback):
        order = 90

        def after_loss(self):
            seen.append(type(self.pred))

    trained(cbs=[Look()], prec=prec)
    assert set(seen) == {LazyLogits}
    learn = trained()
    learn.model.eval()
    assert type(learn.model(torch.zeros(2, 3, dtype=int))[0]) is torch.Tensor
    with learn.no_bar():
        preds, targs, loss = learn.get_preds(reorder=False, with_loss=True)
        assert preds.shape[-1] == WORDS and loss.mean() > 0 and len(learn.validate()) == 3


# --- schedules and groups


def test_slanted_corners():
    f = slanted_triangular(np.array([1.0, 2.0]), 0.25, 10)
    assert np.allclose(f(0), [0.1, 0.2]) and np.allclose(f(0.25), [1, 2]) and np.allclose(f(1), [0.1, 0.2])
    learn = trained()
    fit_slanted
    with silent(learn):
        fit_slanted(learn, 1, slice(1e-4, 1e-2))
    assert max(learn.recorder.hps['lr']) <= 1e-2
    for bad in (0, 1, -1):
        pytest.raises(InputError, slanted_triangular, 0.1, bad)


def test_groups_cover_every_weight_once():
    clas = get_text_classifier(AWD_LSTM, WORDS, 2, config=dict(awd_lstm_clas_config, emb_sz=8, n_hid=8))
    for groups, m in (
        (lm_groups, model()),
        (lm_groups, fastai_model()),
        (classifier_groups, clas),
        (classifier_groups, nn.Linear(2, 3)),
        (lm_groups, nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))),
    ):
        got = groups(m)
        flat = [p for g in (got if isinstance(got[0], (list, L)) else [got]) for p in g]
        assert sorted(map(id, flat)) == sorted(map(id, m.parameters()))


def test_find_lr_changes_nothing():
    plain = trained(epochs=2).curve.all
    set_seed(1)
    m = model()
    learn = lm_learner(loaders(), m, cbs=Curve())
    was = [p.clone() for p in m.parameters()]
    rate = find_lr(learn, show=False, steps=60)
    assert 1e-5 < rate < 10 and all(torch.equal(p, q) for p, q in zip(was, m.parameters()))
    assert fit(learn, 2).curve.all == plain
    set_seed(1)
    assert (
        1e-5 < find_lr(lm_learner(loaders(), model()), end=1e6, show=False, steps=60) < 1e5
    )  # into the absurd: it stops there


# --- guards


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_nan_is_named_and_weights_are_whole(value):
    class Break(Callback):
        order, run_valid = 5, False

        def after_loss(self):
            if self.train_iter == 35:
                self.learn.loss_grad = self.loss_grad * value

    set_seed(1)
    m = model()
    learn = lm_learner(loaders(), m, cbs=Break())
    with pytest.raises(
        InputError, match=r'the loss is (nan|inf) at epoch 1, batch 5 of 30, learning rate'
    ) as e:
        fit(learn, 2)
    assert 'Exception occured' not in str(e.value) and all(p.isfinite().all() for p in m.parameters())


def test_bad_gradient_is_named():
    class Break(Callback):
        order, run_valid = 5, False

        def before_step(self):
            self.model[0].rnns[1].weight_hh_l0_raw.grad[0, 0] = float('nan')

    set_seed(1)
    m = model()
    learn = lm_learner(loaders(), m, prec='fp32', cbs=Break())
    with pytest.raises(InputError, match='rnns.1.weight_hh_l0_raw is not finite at epoch 0, batch 0'):
        fit(learn)
    assert all(p.isfinite().all() for p in m.parameters())


def test_a_gradient_that_no_scale_mends():
    """In fp16 a step that overflows is left out, and the scale halved; a gradient that is never finite must
    not be left out for ever.
    """

    class Break(Callback):
        order, run_valid = 5, False

        def __init__(self, steps):
            self.steps = steps

        def before_step(self):
            if self.train_iter in self.steps:
                self.model[0].rnns[1].weight_hh_l0_raw.grad[0, 0] = float('nan')

    set_seed(1)
    m = model()
    was = [p.clone() for p in m.parameters()]
    with pytest.raises(InputError, match='rnns.1.weight_hh_l0_raw is not finite at any scale'):
        fit(lm_learner(loaders(), m, prec='fp16', cbs=Break(range(99))), 2)
    assert all(torch.equal(p, q) for p, q in zip(m.parameters(), was))
    set_seed(1)
    m = model()
    fit(lm_learner(loaders(), m, prec='fp16', cbs=Break({3, 9})), 2)  # now and then it is an overflow
    assert all(p.isfinite().all() for p in m.parameters())


def test_divergence_is_said():
    with pytest.raises(InputError, match='diverges.*Turn the learning rate down'):
        trained(lr=200.0, prec='fp32')
    assert trained(lr=200.0, prec='fp32', guard=False).curve.all  # only with the guard


def test_memory_that_runs_out_is_explained():
    class Greedy(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return torch.empty(2**50) * self.w

    learn = lm_learner(loaders(), Greedy(), alpha=0, beta=0)
    with (
        pytest.raises(
            InputError, match=r'out of memory at epoch 0, batch 0, of shape \(4, 10\).*bs.*seq_len'
        ),
        silent(learn),
    ):
        learn.fit(1)
    m = Fails(torch.OutOfMemoryError('CUDA out of memory'))
    learn = lm_learner(loaders(), m, alpha=0, beta=0)
    with pytest.raises(InputError, match='out of memory'), silent(learn):
        learn.fit(1)
    m = Fails(RuntimeError('some other thing'))
    learn = lm_learner(loaders(), m)
    with pytest.raises(RuntimeError, match='other thing'), silent(learn):
        learn.fit(1)


def test_learners_refuse():
    with pytest.raises(InputError, match='23 words'):
        lm_learner(loaders(words=23), model())
    empty = DataLoaders([], [], device='cpu')
    with pytest.raises(InputError, match='no batch'):
        lm_learner(empty, model())
    for learner in (lm_learner, classifier_learner):
        with pytest.raises(InputError, match='is an encoder'):
            learner(loaders(), model()[0])
        with pytest.raises(InputError, match='is a class'):
            learner(loaders(), nn.Linear)


def test_regularizer_counts_steps_not_rows():
    for bs, seq_len in ((1, 10), (4, 1)):
        set_seed(1)
        learn = lm_learner(loaders(documents(12), bs=bs, seq_len=seq_len), model(), cbs=Curve())
        fit(learn)
        assert np.isfinite(learn.curve.all).all() and all(
            p.isfinite().all() for p in learn.model.parameters()
        )


def test_alpha_and_beta_change_the_loss_as_they_should():
    raw, out = torch.randn(2, 5, 3), torch.randn(2, 5, 3)
    for alpha, beta in ((0, 0), (2.0, 0), (0, 3.0), (1.0, 1.0)):
        cb = RNNRegularizer(alpha, beta)
        learn = type(
            'Lrn',
            (),
            dict(training=True, loss_grad=torch.zeros(()), rnn=type('R', (), dict(raw_out=raw, out=out))),
        )()
        cb.learn = learn
        cb.after_loss()
        assert learn.loss_grad.item() == pytest.approx(
            (alpha * out.pow(2).mean() + beta * (raw[:, 1:] - raw[:, :-1]).pow(2).mean()).item(), abs=1e-6
        )


# --- the classifier


def classifier_loaders(n=40, bs=8):
    g = torch.Generator().manual_seed(0)
    x = torch.randint(3, WORDS, (n, 12), generator=g)
    y = (x[:, :6].float().mean(1) > x[:, 6:].float().mean(1)).long()
    ds = list(zip(x, y))
    return DataLoaders(*(torch_dl(ds, bs, k == 0) for k in range(2)), device='cpu')


def torch_dl(ds, bs, shuffle):
    from fastai.data.load import DataLoader

    return DataLoader(ds, bs=bs, shuffle=shuffle, num_workers=0)


def clas_model():
    return get_text_classifier(
        AWD_LSTM, WORDS, 2, seq_len=6, config=dict(awd_lstm_clas_config, emb_sz=8, n_hid=8, n_layers=2)
    )


def test_classifier_equals_fastais_and_goes_by_groups():
    set_seed(1)
    m = clas_model()
    stock = fit(
        TextLearner(
            classifier_loaders(),
            m,
            loss_func=CrossEntropyLossFlat(),
            opt_func=Adam,
            metrics=accuracy,
            cbs=Curve(),
        ),
        2,
    )
    set_seed(1)
    m = clas_model()
    learn = classifier_learner(classifier_loaders(), m, prec='fp32', cbs=Curve())
    fit(learn, 2)
    assert apart(stock.curve.all, learn.curve.all) < 1e-4
    learn.freeze_to(-2)
    assert [all(p.requires_grad for p in g) for g in learn.opt.param_lists] == [False, False, True, True]
    fit(learn, 1, layer_rates(1e-2, 4))
    with learn.no_bar():
        assert learn.get_preds()[0].shape == (40, 2)


def test_classifier_that_returns_scores_alone():
    class Bag(nn.Module):
        def __init__(self):
            super().__init__()
            self.emb, self.lin = nn.Embedding(WORDS, 8), nn.Linear(8, 2)

        def forward(self, x):
            return self.lin(self.emb(x).mean(1))

    set_seed(1)
    learn = classifier_learner(classifier_loaders(), Bag(), prec='bf16', cbs=Curve())
    fit(learn, 8, 1e-1)
    assert np.mean(learn.curve.all[-5:]) < np.mean(learn.curve.all[:5]) - 0.05


# --- progress


def test_progress_lines():
    lines = []
    trained(cbs=[ProgressLines(10, lines.append)])
    assert len(lines) == 3 and all(
        re.fullmatch(
            r'epoch 1/1  batch \d+/30  loss [\d.]+  lr [\d.e-]+  [\d,]+ a second  [\d.]+ min left', o
        )
        for o in lines
    )


# --- checkpoints


def test_state_survives_and_damage_is_found(tmp_path):
    f = tmp_path / 'a'
    shared = torch.randn(3, 4)
    state = dict(
        a=shared,
        b=shared,
        t=shared.t(),
        half=torch.randn(2).bfloat16(),
        scalar=torch.tensor(3),
        empty=torch.zeros(0, 2),
        nest=[(1, 'x', None), L(2.0, True)],
        keys={3: 'three'},
        np=np.float32(2),
    )
    save_state(f, state)
    back = load_state(f)
    assert (
        torch.equal(back['t'], shared.t())
        and torch.equal(back['half'], state['half'])
        and back['nest'] == [(1, 'x', None), L(2.0, True)]
        and back['keys'] == {3: 'three'}
        and back['np'] == 2
    )
    whole = f.read_bytes()
    rng = np.random.default_rng(0)
    for cut in (0, 1, 8, len(whole) // 2, len(whole) - 1):
        f.write_bytes(whole[:cut])
        with pytest.raises(InputError, match='cut short or damaged'):
            load_state(f)
    for k in rng.integers(len(whole) // 2, len(whole), 20):
        bad = bytearray(whole)
        bad[k] ^= 1 << rng.integers(8)
        f.write_bytes(bytes(bad))
        with pytest.raises(InputError):
            load_state(f)
    f.write_bytes(whole)
    load_state(f)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    f = tmp_path / 'a'
    save_state(f, dict(a=1))
    was = f.read_bytes()
    with (
        patch('safetensors.torch.save_file', side_effect=OSError(28, 'full')),
        pytest.raises(InputError, match='full'),
    ):
        save_state(f, dict(a=2))
    with patch('os.fsync', side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        save_state(f, dict(a=2))
    assert f.read_bytes() == was and [o.name for o in tmp_path.iterdir()] == ['a']


@pytest.mark.parametrize(
    'make,kw',
    [
        (model, {}),
        (fastai_model, {}),
        (model, dict(prec='bf16')),
        (model, dict(prec='fp16')),
        (model, dict(opt_func=Adam)),
        (model, dict(opt_func=partial(OptimWrapper, opt=torch.optim.AdamW))),
    ],
    ids=['ours', 'fastai', 'bf16', 'fp16', 'Adam', 'torch'],
)
def test_broken_off_and_resumed_is_undisturbed(make, kw, tmp_path):
    whole = trained(make, epochs=2, **kw)
    for stop, every in ((41, 7), (7, 7), (31, 1000))[: 3 if make is model and not kw else 1]:
        f = tmp_path / f'{stop}'
        with pytest.raises(KeyboardInterrupt):
            trained(make, epochs=2, cbs=[StopAt(stop)], fit_kw=dict(cbs=Checkpoint(f, every)), **kw)
        set_seed(99)
        m = make()  # another start: all that counts is in the file
        again = fit(
            lm_learner(loaders(), m, cbs=Curve(), **kw),
            2,
            cbs=Checkpoint(f, every),
        )
        assert again.curve.all == whole.curve.all[-len(again.curve.all) :] and len(again.curve.all) < 60
        assert again.recorder.values == whole.recorder.values and all(
            torch.equal(p, q) for p, q in zip(m.parameters(), whole.model.parameters())
        )


def test_checkpoint_refuses_another_run(tmp_path):
    f = tmp_path / 'f'
    with pytest.raises(KeyboardInterrupt):
        trained(epochs=2, cbs=[StopAt(10)], fit_kw=dict(cbs=Checkpoint(f, 4)))
    was = f.read_bytes()
    for kw, what in (
        (dict(epochs=3), 'epochs: 2 there, 3 here'),
        (dict(lr=1.0), 'schedule'),
        (dict(make=lambda: model(n_hid=20)), 'shapes'),
        (dict(wd=0.3), 'weight decay'),
    ):
        with pytest.raises(InputError, match=f'another run.*{what}'):
            trained(fit_kw=dict(cbs=Checkpoint(f, 4)), **(dict(epochs=2) | kw))

    def again(docs=None, dls=None, epochs=2, f=f, **kw):
        set_seed(1)
        return fit(
            lm_learner(dls or loaders(docs), model()),
            epochs,
            cbs=Checkpoint(f, 4, **kw),
        )

    with pytest.raises(InputError, match='another run.*training data'):
        again(documents(seed=5))
    few = documents()
    few[1:30] = documents(seed=5)[1:30]  # first, middle and last as they were
    with pytest.raises(InputError, match='another run.*training data'):
        again(few)
    words = loaders()
    words.vocab = list(range(1, WORDS + 1))
    with pytest.raises(InputError, match='another run.*vocabulary'):
        again(dls=words)
    with pytest.raises(InputError, match='another run.*first weights'):
        again(also={'first weights': 'abc'})
    assert f.read_bytes() == was
    g = f.with_name('g')
    again(f=g, also=dict(seed=1))
    again(f=g, also=dict(seed=1))  # finished, and asked again
    with pytest.raises(InputError, match='another run.*seed: 1 there, 2 here'):
        again(f=g, also=dict(seed=2))
    with pytest.raises(InputError, match='another run.*training data'):
        again(documents(seed=5), f=g, also=dict(seed=1))
    f.write_bytes(was[:-9])
    f.with_name('f.older').write_bytes(b'')
    with pytest.raises(InputError, match='cut short'):
        trained(epochs=2, fit_kw=dict(cbs=Checkpoint(f, 4)))
    assert f.read_bytes() == was[:-9]
    with pytest.raises(InputError, match='every'):
        Checkpoint(f, 0)


def test_checkpoint_stays_out_of_validation(tmp_path):
    learn = trained()
    learn.add_cb(Checkpoint(tmp_path / 'f'))
    with learn.no_bar():
        learn.validate()
        learn.get_preds(reorder=False)
        find_lr(learn, show=False, steps=40)
    assert not (tmp_path / 'f').exists()


SCRIPT = """
import sys, time, torch
sys.path.insert(0, sys.argv[1])
import test_training as t
from nlpdeep.checkpoint import Checkpoint
from nlpdeep.training import Callback, lm_learner
torch.set_num_threads(1)
class Log(Callback):
    run_valid, order = False, 110
    def after_batch(self):
        with open(sys.argv[3], 'a') as f: f.write(f'{self.epoch} {self.iter} {self.loss.item()!r}\\n')
        time.sleep(float(sys.argv[4]))
t.set_seed(int(sys.argv[5])); m = t.model()
t.fit(lm_learner(t.loaders(), m, cbs=Log(), clip=1.), 3, 1e-2, cbs=Checkpoint(sys.argv[2], 4))
"""


def test_killed_and_resumed_gives_the_same_losses(tmp_path):
    """SIGKILL in mid-epoch, twice; the run that goes on gives every loss of one never killed, to the last
    digit.
    """

    def start(name, seed, wait=0.0):
        return subprocess.Popen(
            [
                sys.executable,
                '-c',
                SCRIPT,
                str(Path(__file__).parent),
                str(tmp_path / name),
                str(tmp_path / f'{name}.txt'),
                str(wait),
                str(seed),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )

    def log(name):
        return (
            [l.split() for l in (tmp_path / f'{name}.txt').read_text().splitlines()]
            if (tmp_path / f'{name}.txt').exists()
            else []
        )

    def kill_at(p, n):
        while len(log('b')) < n and p.poll() is None:
            time.sleep(0.005)
        os.kill(p.pid, signal.SIGKILL)
        p.communicate()
        assert p.returncode == -signal.SIGKILL

    whole = start('a', 1)
    kill_at(start('b', 1, 0.02), 43)
    n = len(log('b'))
    kill_at(start('b', 2, 0.02), n + 20)
    last = start('b', 3)
    for p in (whole, last):
        _, err = p.communicate()
        assert not p.returncode, err
    a, b = ({(int(e), int(i)): loss for e, i, loss in log(k)} for k in 'ab')
    assert a == b and len(a) == 90 and n < 90


# --- several processes

DISTRIBUTED = """
import os, sys
sys.path.insert(0, sys.argv[1])
import test_training as t, torch, fastai.distributed
from nlpdeep.core import write_json
torch.set_num_threads(1)
class Log(t.Callback):
    order = 60
    def before_fit(self): self.all = []
    def after_batch(self): self.all.append(float(self.learn.to_detach(self.loss.detach())))
rank, out = int(os.environ.get('RANK', 0)), {}
for bs in (6, 5) if sys.argv[3] == 'all' else (6,):   # rows that divide evenly, and rows that do not
    t.set_seed(1 + rank); m = t.model(0.)
    learn = t.lm_learner(t.loaders(bs=bs), m, cbs=Log(), clip=1., prec='fp32')
    keep = t.Checkpoint(f'{sys.argv[2]}.state{bs}', 7)
    with t.silent(learn), learn.distrib_ctx(sync_bn=False): learn.fit_one_cycle(2, 1e-2, cbs=keep)
    last, weight = [float(o) for o in learn.recorder.values[-1]], [p.sum().item() for p in m.parameters()]
    out[bs] = dict(train=learn.log.all, last=last, weight=weight)
if not rank: write_json(sys.argv[2], out)
"""


def test_two_processes_give_the_losses_of_one(tmp_path):
    (tmp_path / 'train.py').write_text(DISTRIBUTED)
    env = {k: v for k, v in os.environ.items() if k not in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK')} | dict(
        ACCELERATE_USE_CPU='true', OMP_NUM_THREADS='1'
    )

    def start(n):
        launch = (
            [sys.executable]
            if n == 1
            else [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', str(n)]
        )
        return subprocess.Popen(
            [
                *launch,
                str(tmp_path / 'train.py'),
                str(Path(__file__).parent),
                str(tmp_path / f'{n}.json'),
                'all',
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        )

    runs = [start(1), start(2)]
    for p in runs:
        out, _ = p.communicate()
        assert not p.returncode, out[-3000:]
    one, two = (json.loads((tmp_path / f'{n}.json').read_text()) for n in (1, 2))
    assert apart(one['6']['train'], two['6']['train']) < 1e-4  # every batch, training and validation
    for bs in ('6', '5'):
        assert np.allclose(one[bs]['weight'], two[bs]['weight'], atol=1e-3) and np.allclose(
            one[bs]['last'][1:], two[bs]['last'][1:], atol=1e-4
        )
    assert {p.name for p in tmp_path.glob('2.json-*.state6')} == {
        f'2.json-{r}of2{older}.state6' for r in range(2) for older in ('', '.older')
    }


# --- the house


@pytest.mark.slow
def test_bench_rows():
    with (
        patch.dict(benchmarks_mod.STEPS, {'step small': (16, 24, 100)}, clear=True),
        patch.object(benchmarks_mod, 'lm_precision', lambda words, dev=None: 'bf16'),
    ):
        rows = bench_train(rounds=1)
    assert [o['stage'] for o in rows] == ['weight dropout', 'step small', 'step small fp32'] and all(
        o['identical'] for o in rows
    )
