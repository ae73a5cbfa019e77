"""Kinds of faults that people report of tools like this one, each held by the right value: memory, state
that leaks,
runs that go on, foreign code and secrets, checks that can be walked around, time, words.
(Causal models of many families: test_causal_matrix.py. Writing: test_core.py. Own texts: test_corpora.py.)"""

import contextlib
import copy
import errno
import gzip
import hashlib
import http.server
import json
import lzma
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.basics import Callback, DataLoaders
from fastai.callback.tracker import ReduceLROnPlateau, SaveModelCallback
from fastai.callback.training import GradientAccumulation

from forks import CAN_FORK, ask_a_fork, needs_fork
from fuzz import tiny_gguf
from nlpdeep import causal_models, checkpoint, fast_words, fetch, kernels
from nlpdeep.awd_lstm import AWDLSTMConfig, WeightDropout, language_model
from nlpdeep.bpe import BPETokenizer
from nlpdeep.causal_classifier import CausalClassifier, CausalClassifierConfig, LastToken, causal_class_probs
from nlpdeep.causal_generation import generate_causal
from nlpdeep.causal_models import CausalLM, attention_maps, from_hf, tiny_tokenizer, to_hf
from nlpdeep.causal_training import HiddenLM, causal_learner, causal_perplexity
from nlpdeep.cli import TableWriter, app, classify_table
from nlpdeep.core import InputError, atomic, own_randomness, reading_copy, set_seed, torch_threads, version
from nlpdeep.course import WeightAverage, exchange_words
from nlpdeep.generation import generate
from nlpdeep.gpt2 import GPT2, GPT2Config, KVCache
from nlpdeep.language_model import LossCurve, ProgressLog, perplexity, run_one_cycle
from nlpdeep.lm_dataloader import Documents, LMDataLoader, TokenArray
from nlpdeep.model_folder import can_write, config_checksum, load_folder, save_folder
from nlpdeep.pretraining import PerplexityCurve
from nlpdeep.processor import PAD_ID, TextProcessor, detokenize
from nlpdeep.rules import replace_all_caps
from nlpdeep.sampling import sample_next
from nlpdeep.subwords import SubwordTokenizer
from nlpdeep.text_classifier import TextClassifier, class_weights, ensemble, indicators
from nlpdeep.texts import as_frame, check_texts, own_texts, subsample
from nlpdeep.training import lm_learner
from nlpdeep.ulmfit import Classifier, class_probs

TEXT = 'a good warm film . a bad cold film . 0123456789'


@pytest.fixture(scope='module')
def tok():
    return tiny_tokenizer([TEXT * 20], 290)


def gpt2(tok, **kw):
    torch.manual_seed(0)
    return GPT2(GPT2Config(len(tok), 48, 32, 2, 4, init_sd=0.3, **kw)).eval()


def words():
    return TextProcessor.build([['xxbos', *TEXT.split(), 'xxmaj', 'the']] * 3, 60, 1)


# ---------------------------------------------------------------- writing


def test_a_full_disk_is_named_whoever_says_it(tmp_path):
    for e in (
        OSError(errno.ENOSPC, 'x'),
        RuntimeError('Error while serializing: I/O error: No space left on device (os error 28)'),
    ):
        with pytest.raises(InputError, match='the disk is full'), atomic(tmp_path / 'f'):
            raise e
    with pytest.raises(RuntimeError, match='other'), atomic(tmp_path / 'f'):
        raise RuntimeError('other')
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- memory


def test_views_and_keys_in_a_checkpoint(tmp_path):
    whole = torch.arange(4.0)
    state = dict(whole=whole, part=whole[1:], square=whole.view(2, 2), again=whole, none=whole[:0])
    state |= {'numbered': {1: 'a', None: 'b'}}
    back = checkpoint.load_state(checkpoint.save_state(tmp_path / 'state', state))
    assert back['numbered'] == state['numbered']
    for name in ('whole', 'part', 'square', 'again', 'none'):
        assert torch.equal(back[name], state[name]), name
    with pytest.raises(InputError, match=r'key \(1, 2\)'):
        checkpoint.save_state(tmp_path / 'state', {(1, 2): 3})
    assert torch.equal(checkpoint.load_state(tmp_path / 'state')['whole'], whole), 'the old one is lost'


@pytest.mark.parametrize('bs', [1, 3, 5])
def test_a_state_of_another_size_is_refused(bs):
    r = WeightDropout(torch.nn.LSTM(6, 8, batch_first=True), 0.5)
    state = torch.zeros(1, bs, 8)
    with pytest.raises(InputError, match='state must be'):
        r(torch.randn(4, 3, 6), (state, state))
    with pytest.raises(InputError, match='pair'):
        r(torch.randn(4, 3, 6), (torch.zeros(1, 4, 8),))
    wi, wh, x, h = torch.randn(32, 6), torch.randn(32, 8), torch.randn(4, 6), torch.zeros(4, 8)
    with pytest.raises(InputError, match='h and c'):  # one row would be broadcast, silently
        kernels.lstm_step(x, h, torch.zeros(bs, 8), wi, wh)


def test_matrices_of_three_dimensions_do_not_reach_the_private_product():
    with torch.no_grad(), pytest.raises(RuntimeError):
        kernels.fast_linear(torch.randn(3, 400), torch.randn(2, 400, 400))


def test_documents_follow_a_tensor_that_moves_its_memory():
    "As it does when it is sent to a worker that is not a fork."
    docs = [torch.arange(5), torch.arange(5, 9)]
    kept = Documents(docs)
    for d in docs:
        d.share_memory_()
        d += 10
    assert [a.tolist() for a in kept.arrays(np.arange(2))] == [d.tolist() for d in docs]
    ids = torch.arange(9)
    own = TokenArray(ids, torch.tensor([0, 4, 9]))
    ids += 1
    assert own.arrays(np.array([0]))[0].tolist() == [0, 1, 2, 3]


def _spawned(n_workers):
    r = np.random.RandomState(0)
    docs = [torch.tensor(r.randint(2, 30, r.randint(15, 40))) for _ in range(40)]
    return [b[0].clone() for b in LMDataLoader(docs, bs=4, seq_len=10, num_workers=n_workers)]


@pytest.mark.slow
def test_spawned_workers_read_the_documents():
    was = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method('spawn', force=True)
    try:
        assert all(map(torch.equal, _spawned(0), _spawned(2)))
    finally:
        multiprocessing.set_start_method(was, force=True)


# ---------------------------------------------------------------- state that leaks


def _entries(tok):
    "Every public function that reads with a model: name -> (model, function of it)."
    torch.manual_seed(0)
    w = words()
    lm = language_model(AWDLSTMConfig(len(w), 16, 24, 2))
    cl = Classifier(AWDLSTMConfig(len(w), 16, 24, 2), 2, 8, chunk=4)
    ids = [np.array([2, *range(9, 9 + n)]) for n in (3, 7, 2, 11)]
    top = LastToken(gpt2(tok), 2)
    torch.nn.init.normal_(top.score.weight)
    rows = [np.arange(1, 4), np.arange(2, 12)]
    return {
        'generate': (lm, lambda m: generate(m, w, 'a good', n_words=8, temperature=1.5, seed=1)),
        'perplexity': (lm, lambda m: perplexity(m, ids, 2, 3)),
        'class_probs': (cl, lambda m: class_probs(m, ids, 2).tolist()),
        'generate_causal': (
            gpt2(tok),
            lambda m: generate_causal(m, tok, ['a good', 'a'], 5, temperature=1.0, seed=3),
        ),
        'causal_perplexity': (gpt2(tok), lambda m: causal_perplexity(m, tok, [TEXT, 'a good film'], bs=1)),
        'causal_class_probs': (top, lambda m: causal_class_probs(m, rows, 1, 'fp32').tolist()),
        'attention_maps': (gpt2(tok), lambda m: attention_maps(m, torch.arange(1, 6)[None]).tolist()),
    }


READERS = (
    'generate perplexity class_probs generate_causal causal_perplexity causal_class_probs attention_maps'
)


@pytest.mark.parametrize('name', READERS.split())
def test_reading_leaves_nothing_and_takes_nothing(name, tok):
    "In training mode, in threads, of a copy, after a fork: the same, and the model is as it was."
    model, entry = _entries(tok)[name]
    model.train()
    if hasattr(model, 'reset'):
        model(torch.randint(2, 9, (3, 4)))  # it is in the middle of a text
    before = checkpoint._memory(model)
    want = entry(model)
    python, torch_ = random.getstate(), torch.get_rng_state()
    with ThreadPoolExecutor(4) as threads:
        assert [*threads.map(lambda _: entry(model), range(8))] == [want] * 8
    assert entry(copy.deepcopy(model)) == want
    assert all(m.training for m in model.modules())
    assert checkpoint._memory(model).keys() == before.keys()
    for n, kept in checkpoint._memory(model).items():
        for a, b in zip(kept['hidden'], before[n]['hidden']):
            assert all(map(torch.equal, a, b))
    assert random.getstate() == python and torch.equal(torch.get_rng_state(), torch_)
    if CAN_FORK:
        assert ask_a_fork(entry, model) == want


@needs_fork
def test_a_fork_does_not_wait_for_threads_that_are_gone(tok):
    model, entry = _entries(tok)['generate_causal']
    with torch_threads(2):
        want = entry(model)
        assert ask_a_fork(entry, model) == want


def tiny_fit(epochs=1, **kw):
    c = TextClassifier(base='', lm_epochs=0, epochs=epochs, emb_sz=6, n_hid=6, n_layers=1, **kw)
    return c.fit([f'a {"good bad".split()[k % 2]} film {k}' for k in range(32)], [0, 1] * 16)


def test_fits_in_threads_draw_from_generators_of_their_own():
    want = tiny_fit(0).predict_proba(['a good film'])
    random.seed(1)
    state, steps = random.getstate(), []

    def fit(k):
        return tiny_fit(0, say=lambda line: steps.append(k)).predict_proba(['a good film'])

    with ThreadPoolExecutor(3) as threads:
        assert all((o == want).all() for o in threads.map(fit, range(3)))
    assert random.getstate() == state
    assert sum(a != b for a, b in zip(steps, steps[1:])) == 2  # one after the other


def test_a_fit_may_stand_where_gradients_are_off():
    want = tiny_fit().predict_proba(['a good film'])
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert (tiny_fit().predict_proba(['a good film']) == want).all()


def test_a_reading_copy_shares_weights_and_nothing_else():
    m = language_model(AWDLSTMConfig(40, 16, 24, 2)).train()
    twin = reading_copy(m)
    assert [p.data_ptr() for p in twin.parameters()] == [p.data_ptr() for p in m.parameters()]
    assert twin[0].encoder is twin[0].encoder_dp.emb and twin[0].encoder is not m[0].encoder


def test_what_is_hung_on_a_reading_copy_stays_there():
    "transformers hangs hooks on a model that is asked for its attention; they piled up on the original."
    from transformers import LlamaConfig, LlamaForCausalLM

    small = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2)
    m = LlamaForCausalLM(LlamaConfig(vocab_size=50, max_position_embeddings=32, **small)).eval()
    ids = torch.arange(6)[None]
    first, again = attention_maps(m, ids), attention_maps(m, ids)
    assert first.shape == (3, 2, 6, 6) and torch.equal(first, again)
    with torch.no_grad():
        for _ in range(2):
            assert len(reading_copy(m)(ids, output_hidden_states=True).hidden_states) == 4
    assert not any(v for o in m.modules() for k, v in vars(o).items() if 'hooks' in k and isinstance(v, dict))


def test_constructors_change_no_mode(tok):
    lm = CausalLM(gpt2(tok), tok, 'x')
    CausalClassifier(lm)
    LastToken(lm.model, 2)
    assert not any(m.training for m in lm.model.modules())
    assert LastToken(gpt2(tok).train(), 2).training


def test_a_fit_leaves_the_callers_randomness(tok):
    set_seed(3)
    c = CausalClassifier(
        CausalLM(gpt2(tok), tok, 'x'), CausalClassifierConfig(groups=1, lm_bs=2, seq_len=8, bs=4, epochs=1)
    )
    state = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    # nothing can be held out of these: no validation, and no TypeError either
    c.fit(['a good warm film', 'a bad cold film'] * 12, ['p', 'n'] * 12)
    assert random.getstate() == state[0] and np.random.get_state()[1].tolist() == state[1]
    assert torch.equal(torch.get_rng_state(), state[2])
    with own_randomness(5), own_randomness(6):
        random.random()
    assert random.getstate() == state[0]
    with pytest.raises(ZeroDivisionError), own_randomness():  # without a seed: from where they stand
        assert random.getstate() == state[0] and torch.equal(torch.get_rng_state(), state[2])
        random.random(), np.random.rand(), torch.rand(1), 1 / 0
    assert random.getstate() == state[0] and np.random.get_state()[1].tolist() == state[1]
    assert torch.equal(torch.get_rng_state(), state[2])


def test_a_state_read_in_inference_mode_can_be_trained_on():
    m, x = language_model(AWDLSTMConfig(40, 16, 24, 2)).eval(), torch.randint(0, 40, (4, 7))
    with torch.inference_mode():
        m.reset()
        m(x)
    m.train()
    m(x[:2])[0].sum().backward()


def test_a_copy_made_during_training_has_its_own_weights():
    class Keep(Callback):
        def after_batch(self):
            if self.training and self.iter == 1:
                self.learn.kept = copy.deepcopy(self.model)
                self.learn.weights = {k: v.clone() for k, v in self.model.state_dict().items()}

    m = lm()
    learn = lm_learner(loaders(), m, prec='bf16', cbs=Keep())
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2)
    fresh, x = lm(), torch.randint(2, 30, (2, 6))
    fresh.load_state_dict(learn.weights)
    for o in (fresh, learn.kept):
        o.eval()
        o.reset()
    m[1].lazy = 'untouched'
    assert torch.equal(learn.kept(x)[0], fresh(x)[0])  # in 32 bits, as nobody trains it
    assert m[1].lazy == 'untouched'


def test_devices_of_averages_and_exchanged_words():
    net = torch.nn.Linear(2, 2)
    mean = WeightAverage(net)
    mean.mean = [m.to('meta') for m in mean.mean]
    net.to('meta')
    mean.update()
    assert exchange_words(torch.tensor([3, 9, 4, 9]), [3, 4], 9).tolist()[1::2] == [9, 9]


# ---------------------------------------------------------------- going on after a break


def loaders(seed=0):
    r = np.random.RandomState(seed)
    docs = [[r.randint(2, 30, r.randint(15, 40)) for _ in range(n)] for n in (24, 12)]
    train, valid = (LMDataLoader(o, bs=4, seq_len=10, shuffle=k == 0) for k, o in enumerate(docs))
    return DataLoaders(train, valid, device=torch.device('cpu'))


def lm(drop=1.0):
    torch.manual_seed(0)
    return language_model(AWDLSTMConfig(30, 8, 12, 1), drop)


class StopAt(Callback):
    order = 200

    def __init__(self, epoch, i):
        self.at = epoch, i

    def after_batch(self):
        if self.training and (self.epoch, self.iter) == self.at:
            raise KeyboardInterrupt


def run(cbs=(), epochs=3, lr=0.02, path=None, stop=None, every=2, seed=3, **kw):
    set_seed(seed)
    learn = lm_learner(loaders(), kw.pop('model', lm)(), cbs=[o() for o in cbs], **(dict(prec='fp32') | kw))
    more = [checkpoint.Checkpoint(path, every)] if path else []
    with contextlib.suppress(KeyboardInterrupt), learn.no_bar(), learn.no_logging():
        learn.fit(epochs, lr, cbs=more + ([StopAt(*stop)] if stop else []))
    return learn


def same(a, b):
    return all(map(torch.equal, a.model.state_dict().values(), b.model.state_dict().values()))


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    'n_acc, stop',
    [
        (12, (1, 5)),
        *(pytest.param(n, stop, marks=SLOW) for n in (4, 12, 400) for stop in ((0, 3), (1, 4), (2, 0))),
    ],
)
def test_accumulated_gradients_survive(tmp_path, n_acc, stop):
    kw = dict(cbs=[lambda: GradientAccumulation(n_acc)], path=tmp_path / 'c')
    whole = run(cbs=kw['cbs'])
    run(stop=stop, **kw)
    assert same(run(seed=9, **kw), whole)


@pytest.mark.slow
def test_nobody_hears_of_epochs_that_are_skipped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    kw = dict(
        cbs=[lambda: SaveModelCallback(fname='best'), lambda: ReduceLROnPlateau(patience=1, factor=2.0)],
        epochs=5,
        lr=0.1,
        alpha=0.0,
        beta=0.0,
        guard=False,
    )
    whole = run(**kw)
    rates = [float(h['lr']) for h in whole.opt.hypers]
    run(path='c', stop=(3, 1), **kw)
    again = run(path='c', **kw)
    assert same(again, whole) and [float(h['lr']) for h in again.opt.hypers] == rates
    assert torch.tensor(again.recorder.values).equal(torch.tensor(whole.recorder.values))
    seen = []

    class Watch(Callback):
        def before_epoch(self):
            seen.append(self.epoch)

    finished = run(path='c', **(kw | dict(cbs=[*kw['cbs'], Watch])))
    assert same(finished, whole) and seen == []
    assert not any(isinstance(o, checkpoint._SkipEpochs) for o in finished.cbs)


def test_history_is_that_of_the_whole_run(tmp_path):
    def history(path, stop=None):
        set_seed(1)
        learn, losses, epochs = lm_learner(loaders(), lm(), [], prec='fp32'), [], []
        cbs = [checkpoint.Checkpoint(path, 3)] + ([StopAt(*stop)] if stop else [])
        with contextlib.suppress(KeyboardInterrupt):
            run_one_cycle(
                learn,
                3,
                0.01,
                losses,
                'x',
                ProgressLog(None),
                lambda *o: epochs.append((len(losses), o)),
                cbs,
            )
        return losses, epochs

    whole = history(tmp_path / 'a')
    history(tmp_path / 'b', (1, 4))
    assert history(tmp_path / 'b') == whole
    assert history(tmp_path / 'b') == whole  # finished: told once more, computed no more
    assert LossCurve([1.0], None, None).state_dict() == dict(losses=[], epochs=[])


def test_the_curve_of_perplexities_has_no_holes(tmp_path):
    "Broken off right behind a checkpoint, whose step has been measured already."

    class StopBehind(Callback):
        order = 101

        def after_batch(self):
            if self.training and (self.epoch, self.iter) == (1, 2):
                raise KeyboardInterrupt

    def curve(path, *more):
        look = PerplexityCurve([np.arange(2, 20)], 3)
        set_seed(1)
        learn = lm_learner(loaders(), lm(), prec='fp32', cbs=[look, checkpoint.Checkpoint(path, 3), *more])
        with contextlib.suppress(KeyboardInterrupt), learn.no_bar(), learn.no_logging():
            learn.fit(2, 0.01)
        return [(o['step'], o['perplexity']) for o in look.points]

    whole = curve(tmp_path / 'a')
    assert len(curve(tmp_path / 'b', StopBehind())) < len(whole)
    assert curve(tmp_path / 'b') == whole


@pytest.mark.parametrize(
    'other, what',
    [
        (dict(model=lambda: lm(0.5)), 'model 0.*_p'),
        (dict(prec='bf16'), 'callbacks Precision'),
        (dict(alpha=0.0), 'RNNRegularizer alpha'),
        (dict(clip=0.3), 'DivergenceGuard clip'),
        (dict(cbs=[lambda: GradientAccumulation(8)]), 'GradientAccumulation'),
        (dict(loss_func=torch.nn.CrossEntropyLoss()), 'loss'),
    ],
)
def test_another_run_is_refused(tmp_path, other, what):
    run(path=tmp_path / 'c', stop=(1, 1))
    with pytest.raises(InputError, match=f'another run, with other .*{what}'):
        run(path=tmp_path / 'c', **other)


def test_a_damaged_checkpoint_has_one_before_it(tmp_path):
    whole, path = run(epochs=2), tmp_path / 'c.ckpt'
    run(epochs=2, path=path, stop=(1, 3))
    older = tmp_path / 'c.older.ckpt'
    places = [[checkpoint.load_state(o)[k] for k in ('epoch', 'batch')] for o in (older, path)]
    assert places == [[1, 2], [1, 4]]
    good = path.read_bytes()
    path.write_bytes(good[: len(good) // 2])
    with pytest.warns(UserWarning, match='c.ckpt is cut short.*c.older.ckpt: epoch 1, batch 2'):
        run(epochs=2, path=path, stop=(1, 3), seed=9)
    assert path.read_bytes() != good[: len(good) // 2]
    checkpoint.load_state(path), checkpoint.load_state(older)  # what was damaged has not become the older one
    assert same(run(epochs=2, path=path, seed=8), whole)
    for o in (path, older):
        o.write_bytes(b'x')
    with pytest.raises(InputError, match='c.ckpt.*Delete it to begin anew'):
        run(epochs=2, path=path)
    checkpoint.save_state(path, dict(own='state'))  # whole, and something else
    with pytest.raises(InputError, match='no checkpoint of a training'):
        run(epochs=2, path=path)


def test_other_data_is_refused_wherever_it_differs():
    a = [np.arange(3, 12) for _ in range(30)]
    b = [*a[:7], np.arange(4, 13), *a[8:]]
    marks = [checkpoint._data_mark(LMDataLoader(o, bs=2, seq_len=4)) for o in (a, a, b)]
    assert marks[0] == marks[1] != marks[2]


def test_odd_checkpoints_say_so(tmp_path):
    from safetensors.torch import save_file

    def h(s):
        return hashlib.sha256(s.encode()).hexdigest()

    for state in (
        '',
        '[',
        '{"evil": []}',
        '{"tensor": "t9"}',
        '{"a": 1, "b": 2}',
        '{"dict": 3}',
        '[' * 99_999,
    ):
        save_file({}, tmp_path / 'f', metadata=dict(nlpdeep_state='1', state=state, sha256=h(state)))
        if state != '[':
            with pytest.raises(InputError, match='Delete it to begin anew'):
                checkpoint.load_state(tmp_path / 'f')
    for meta in (dict(nlpdeep_state='1'), dict(nlpdeep_state='x', state='{}', sha256='')):
        save_file({}, tmp_path / 'f', metadata=meta)
        with pytest.raises(InputError, match='Delete it to begin anew'):
            checkpoint.load_state(tmp_path / 'f')


@pytest.mark.slow
def test_a_compiled_model_trains():
    compiled = torch.compile(lm(), backend='eager')
    assert reading_copy(compiled)[0].encoder.weight is compiled._orig_mod[0].encoder.weight
    learn = lm_learner(loaders(), compiled, prec='fp32')
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-2)
    assert np.isfinite(learn.recorder.values[-1]).all()


# ---------------------------------------------------------------- foreign code and secrets


def test_code_of_a_model_folder_never_runs(tmp_path, monkeypatch):
    ran = tmp_path / 'RAN'
    (tmp_path / 'evil.py').write_text(f'open({str(ran)!r}, "w").write("x")\nclass C: pass\n')
    maps = {'AutoConfig': 'evil.C', 'AutoModelForCausalLM': 'evil.C', 'AutoTokenizer': ['evil.C', None]}
    (tmp_path / 'config.json').write_text(json.dumps(dict(model_type='evil', auto_map=maps)))
    (tmp_path / 'tokenizer_config.json').write_text(json.dumps(dict(auto_map=maps)))
    (tmp_path / 'tokenizer.json').write_text('{}')
    (tmp_path / 'model.safetensors').write_bytes(b'x' * 100)
    monkeypatch.setattr('builtins.input', lambda *a: pytest.fail('a question was asked'))
    with pytest.raises(InputError):
        causal_models.load_pretrained(tmp_path)
    assert not ran.exists()


@contextlib.contextmanager
def server(handle):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            handle(self)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    try:
        yield s.server_port
    finally:
        s.shutdown()
        s.server_close()


@pytest.mark.parametrize('elsewhere', [True, False])
def test_a_password_does_not_follow_to_another_host(tmp_path, elsewhere):
    seen = []

    def last(h):
        seen.append(h.headers.get('Authorization'))
        h.send_response(200)
        h.end_headers()
        h.wfile.write(b'ok')

    with server(last) as there:

        def first(h):
            if h.path == '/b':
                return last(h)
            h.send_response(302)
            h.send_header('Location', f'http://127.0.0.1:{there}/' if elsewhere else '/b')
            h.end_headers()

        with server(first) as here:
            fetch.download_file(f'http://me:secret@127.0.0.1:{here}/a', tmp_path / 'f')
    assert (tmp_path / 'f').read_text() == 'ok' and (seen[0] is None) == elsewhere


def test_a_hub_that_says_nothing_is_soon_given_up(monkeypatch):
    for v in ('HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE', 'NLPDEEP_OFFLINE', 'http_proxy', 'HTTP_PROXY'):
        monkeypatch.delenv(v, raising=False)
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    waited = []
    monkeypatch.setattr(
        'urllib.request.urlopen', lambda r, timeout: waited.append(timeout) or time.sleep(1e-9) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        causal_models._reachable()
    assert waited == [5]
    monkeypatch.undo()
    monkeypatch.delenv('HF_HUB_OFFLINE', raising=False)
    with server(lambda h: h.send_error(404)) as port:
        monkeypatch.setenv('HF_ENDPOINT', f'http://127.0.0.1:{port}')
        assert causal_models._reachable()  # it answers
    monkeypatch.setenv('HF_ENDPOINT', 'http://127.0.0.1:9')
    assert not causal_models._reachable()


# ---------------------------------------------------------------- checks that can be walked around


def test_a_zip_must_list_what_it_says(tmp_path):
    f = tmp_path / 'a.zip'
    with zipfile.ZipFile(f, 'w') as z:
        for k in range(6):
            z.writestr(f'train/pos/{k}.txt', f'review {k} ' * 20)
    assert len([*fetch.members(f)]) == 6
    d = bytearray(f.read_bytes())
    at = d.find(b'PK\x01\x02')
    for n in range(1, 256):
        d[at + 32] = n
        f.write_bytes(bytes(d))
        with pytest.raises(InputError):
            list(fetch.members(f))


def test_remarks_of_a_tar_take_no_memory(tmp_path):
    f, size = tmp_path / 'a.tar.xz', 300 * 2**20
    with lzma.open(f, 'wb', preset=0) as z:
        i = tarfile.TarInfo('././@LongLink')
        i.type, i.size = tarfile.GNUTYPE_LONGNAME, size
        z.write(i.tobuf(tarfile.GNU_FORMAT))
        z.write(b'a' * 2**20)
    with pytest.raises(InputError, match='remarks'):
        list(fetch.members(f))
    many = tmp_path / 'many.tar.gz'
    with tarfile.open(many, 'w:gz') as t:
        for k in range(3000):
            t.addfile(tarfile.TarInfo(f'{k}'))
    with pytest.raises(InputError, match='unpacks to more'):  # heads count
        list(fetch.members(many, limit=2**20))
    assert len([*fetch.members(many)]) == 3000


@pytest.fixture
def folder(tmp_path):
    w = words()
    weights = dict(weight=torch.ones(2), n=torch.ones(3))
    save_folder(tmp_path / 'm', weights, w, dict(kind='toy', sizes={}, card={}))

    def change(edit=None, tensors=None, tokenizer=None):
        d = tmp_path / 'm'
        cfg = json.loads((d / 'config.json').read_text())
        if tensors:
            from safetensors.torch import save_file

            save_file(tensors, d / 'model.safetensors')
        if tokenizer is not None:
            (d / 'tokenizer.json').write_text(tokenizer)
        for k in list(cfg['sha256']):
            cfg['sha256'][k] = hashlib.sha256((d / k).read_bytes()).hexdigest()
        if edit:
            edit(cfg)
        cfg.pop('checksum')
        text = json.dumps(cfg, sort_keys=True, ensure_ascii=False)
        cfg['checksum'] = hashlib.sha256(text.encode()).hexdigest()
        (d / 'config.json').write_text(json.dumps(cfg))
        return load_folder(d)

    return change


@pytest.mark.parametrize('still', [False, True], ids=['exchanged', 'in place'])
def test_a_reader_beside_a_writer_gets_one_version(tmp_path, still):
    w = [words(), TextProcessor.build([['xxbos', 'other', 'words']], max_vocab=100, min_freq=1)]
    place, stop = tmp_path / 'm', threading.Event()

    def save(k):
        save_folder(
            place, dict(weight=torch.full((50,), float(k))), w[k], dict(kind='toy', sizes={}, card={})
        )

    save(0)
    if still:  # a folder of the user's in it: it stays, and its files are replaced one by one
        (place / 'data').mkdir()
        (place / 'data' / 'mine').write_text('mine')

    def write():
        while not stop.is_set():
            for k in (1, 0):
                save(k)

    def read():
        weights, got, _ = load_folder(place)
        assert list(got.vocab) == list(w[int(weights['weight'][0])].vocab)
        return int(weights['weight'][0])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        seen = [read() for _ in range(25)]
    finally:
        stop.set()
        thread.join()
    assert set(seen) <= {0, 1}


def test_weights_must_be_finite_fractions(folder):
    assert torch.equal(folder()[0]['weight'], torch.ones(2))
    for bad in (
        torch.tensor([1.0, torch.nan]),
        torch.tensor([1.0, torch.inf]),
        torch.ones(2, dtype=torch.int8),
    ):
        with pytest.raises(InputError, match='weight'):
            folder(tensors=dict(weight=bad))


@pytest.mark.parametrize(
    'edit',
    [
        lambda c: c.pop('sha256'),
        lambda c: c.update(sha256=[]),
        lambda c: c.update(sha256={'../../etc/passwd': 'x'}),
        lambda c: c.update(settings=[]),
        lambda c: c.update(settings={}, classes='ab', info={}),
        lambda c: c.update(format=9, versions=[]),
        lambda c: c.update(format='1'),
    ],
)
def test_odd_configs_are_refused(folder, edit):
    with pytest.raises(InputError):
        folder(edit)


@pytest.mark.parametrize(
    'text', ['[]', '{', '{}', '[' * 99_999, '{"lang": ["en"], "kind": "words", "hash": ""}']
)
def test_odd_tokenizers_are_refused(folder, text):
    with pytest.raises(InputError):
        folder(tokenizer=text)
    for kind, lang in (('pieces', 'en'), ('other', 'en'), ('words', 'en.stop_words'), ('words', '../x')):
        with pytest.raises(InputError):
            folder(tokenizer=json.dumps(dict(lang=lang, kind=kind, hash='')))


@pytest.fixture(scope='module')
def asked(tmp_path_factory):
    place = tmp_path_factory.mktemp('asked') / 'm'
    TextClassifier().fit(
        [f'a {"good bad".split()[k % 2]} film {k}' for k in range(32)], ['p', 'n'] * 16
    ).save(place)
    return place


@pytest.mark.parametrize(
    'edit, tensors',
    [
        (lambda c: c.update(classes=[]), None),
        (lambda c: c.update(classes=['a', 'b', 'c']), None),
        (lambda c: c.update(classes=['a', 'a']), None),
        (lambda c: c.update(classes=[['a'], ['b']]), None),
        (lambda c: c.update(temperature='hot'), None),
        (lambda c: c.update(temperature=0), None),
        (lambda c: c.update(form='odd'), None),
        (lambda c: c.update(unknown='x'), None),
        (lambda c: c.update(asked={}), None),
        (lambda c: c.update(asked=3), None),
        (lambda c: c['asked'].update(sizes=[['forwards', dict(emb_sz=8, n_hid=10**9, n_layers=2)]]), None),
        (None, lambda w: w.pop('head.coef')),
        (None, lambda w: w.update({'head.coef': w['head.coef'][:5].contiguous()})),
        (None, lambda w: w.update({'head.intercept': torch.ones(3)})),
    ],
)
def test_odd_classifiers_are_refused_before_they_answer(asked, tmp_path, edit, tensors):
    from safetensors.torch import load_file, save_file

    d = tmp_path / 'm'
    shutil.copytree(asked, d)
    if tensors:
        w = load_file(d / 'model.safetensors')
        tensors(w)
        save_file(w, d / 'model.safetensors')
    cfg = json.loads((d / 'config.json').read_text())
    cfg['sha256'] = {k: hashlib.sha256((d / k).read_bytes()).hexdigest() for k in cfg['sha256']}
    (edit or (lambda c: None))(cfg)
    (d / 'config.json').write_text(json.dumps(cfg | dict(checksum=config_checksum(cfg))))
    with pytest.raises(InputError, match='odd or not whole|do not fit'):
        TextClassifier.load(d)


@pytest.mark.parametrize('path', [None, 3, b'm', 'a\0b'])
def test_what_is_no_path_is_refused(path):
    for f in (TextClassifier.load, load_folder, can_write):
        with pytest.raises(InputError, match='path of a folder is expected'):
            f(path)


def test_a_tar_with_a_size_below_nothing_is_damaged(tmp_path):
    f, i = tmp_path / 'a.tar.gz', tarfile.TarInfo('a')
    head = bytearray(i.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = b'\xff' * 12
    head[148:156] = b'%06o\0 ' % (sum(head[:148]) + 8 * 32 + sum(head[156:512]))
    with gzip.open(f, 'wb') as z:
        z.write(bytes(head) + bytes(2048))
    with pytest.raises(InputError, match='damaged'):
        list(fetch.members(f))


def test_scores_that_are_not_finite_are_refused(tok):
    m = gpt2(tok)
    m.ln_f.weight.data.fill_(float('nan'))
    top = LastToken(m, 2)
    for f in (
        lambda: generate_causal(m, tok, 'a good', max_new=2),
        lambda: generate_causal(m, tok, 'a good', max_new=2, beams=2),
        lambda: causal_perplexity(m, tok, 'a good film'),
        lambda: causal_class_probs(top, [np.array([1, 2])], precision='fp32'),
        lambda: sample_next(torch.tensor([[-torch.inf, -torch.inf]])),
    ):
        with pytest.raises(InputError, match='not finite'):
            f()
    cl = Classifier(AWDLSTMConfig(30, 16, 24, 2), 2, 8)
    cl.head.layers[2].weight.data.fill_(float('inf'))
    with pytest.raises(InputError, match='not finite'):
        class_probs(cl, [np.array([2, 9, 9])])


@pytest.mark.slow
def test_gguf_files_are_known_by_all_their_bytes(tmp_path, monkeypatch):
    pytest.importorskip('gguf')
    monkeypatch.setenv('NLPDEEP_HOME', str(tmp_path / 'home'))

    def scores(f):
        with torch.no_grad():
            return causal_models.causal_logits(
                causal_models.load_pretrained(f).model, torch.tensor([[1, 2, 3]])
            )

    for k in 'ab':
        (tmp_path / k).mkdir()
    a = tiny_gguf(tmp_path / 'a' / 'm.gguf', 0)
    whole = a.read_bytes()
    other = bytearray(whole)
    other[-64:] = np.full(16, 2, np.float32).tobytes()  # the same head, the same size
    b = tmp_path / 'b' / 'm.gguf'
    b.write_bytes(bytes(other))
    first = scores(a)
    assert not torch.equal(first, scores(b)) and torch.equal(first, scores(a))
    kept = next((tmp_path / 'home' / 'models').glob('m-*/model.safetensors'))
    kept.write_bytes(kept.read_bytes()[:-10])  # the copy in the cache is checked, and made again
    assert torch.equal(first, scores(a))
    for n in range(4, len(whole), len(whole) // 12):
        b.write_bytes(whole[:n])
        with pytest.raises(InputError, match='cannot be read'):
            causal_models.load_pretrained(b)


def test_gpt2s_of_transformers_that_ours_cannot_be(tok):
    from transformers import GPT2Config as Config
    from transformers import GPT2ForSequenceClassification, GPT2LMHeadModel, GPT2Model

    cfg = Config(vocab_size=50, n_positions=16, n_embd=8, n_layer=1, n_head=1, pad_token_id=0)
    whole, x = GPT2LMHeadModel(cfg).eval(), torch.randint(50, (1, 5))
    bare = GPT2Model(cfg).eval()
    bare.load_state_dict(whole.transformer.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(from_hf(bare)(x), whole(x).logits)
    with pytest.raises(InputError, match='score'):
        from_hf(GPT2ForSequenceClassification(cfg))
    whole.lm_head.weight = torch.nn.Parameter(torch.randn(50, 8))
    with pytest.raises(InputError, match='head that is not its embedding'):
        from_hf(whole)
    assert LastToken(whole, 2, groups=1).lm is whole  # of use as it is


def test_the_end_of_text_is_the_tokenizers(tok, tmp_path):
    m = gpt2(tok)
    assert to_hf(m).config.eos_token_id is None
    assert to_hf(m, tok).generation_config.eos_token_id == tok.eos_token_id
    causal_models.save_pretrained(CausalLM(m, tok, 'x'), tmp_path / 'm')
    kept = json.loads((tmp_path / 'm' / 'config.json').read_text())
    assert kept['eos_token_id'] == kept['bos_token_id'] == tok.eos_token_id


def test_metrics_of_a_causal_learner_see_scores(tok):
    from fastai.basics import accuracy

    r = np.random.RandomState(0)
    docs = [np.tile(r.randint(2, 30, 6), 4) for _ in range(8)]
    dls = DataLoaders(*(LMDataLoader(docs, bs=4, seq_len=12) for _ in range(2)), device=torch.device('cpu'))
    learn = causal_learner(dls, gpt2(tok, embed_p=0.0), 'fp32', metrics=[accuracy])
    with learn.no_bar(), learn.no_logging():
        said = learn.validate()[1]
    with torch.no_grad():
        hits = [learn.model.model(x).argmax(-1) == y.as_subclass(torch.Tensor) for x, y in dls.valid]
    assert abs(said - torch.cat([h.flatten() for h in hits]).float().mean()) < 1e-6
    assert HiddenLM(gpt2(tok)).plain


def test_prompts_that_need_care(tok):
    m = gpt2(tok)
    for odd, what in (
        (['a', 'a\ud800b'], 'prompt 1 .*half a character'),
        ([b'a'], 'bytes'),
        ([None], 'NoneType'),
    ):
        with pytest.raises(InputError, match=what):
            generate_causal(m, tok, odd, max_new=2)
    with pytest.raises(InputError, match='text 1 .*half a character'):
        causal_perplexity(m, tok, ['a', 'a\ud800b'])
    wide = tiny_tokenizer([TEXT * 20], 290)
    wide.add_special_tokens({'pad_token': '[PAD]'})  # beyond the model
    assert generate_causal(m, wide, ['a good', 'a bad cold film'], 3) == generate_causal(
        m, tok, ['a good', 'a bad cold film'], 3
    )

    class TwoBeginnings:
        "As Llama's: it puts its own beginning in front."

        def __init__(self):
            self.eos_token_id = self.pad_token_id = self.bos_token_id = 0

        def __call__(self, text, add_special_tokens=True, **kw):
            return dict(input_ids=[0] * add_special_tokens + tok(text)['input_ids'])

        def get_vocab(self):
            return {}

        def decode(self, ids, **kw):
            return ids.tolist()

    assert generate_causal(m, TwoBeginnings(), 'a', 1, start=True)[:2] == [0, *tok('a')['input_ids']]


def test_gpt2_says_what_is_wrong_with_ids(tok):
    m, c = gpt2(tok), KVCache()
    with torch.no_grad():
        m(torch.zeros(1, 3, dtype=torch.long), None, c)
        for f, what in (
            (lambda: m(torch.tensor([1, 2])), r'\(bs, seq\)'),
            (lambda: m(torch.zeros(1, 0, dtype=torch.long)), r'\(bs, seq\)'),
            (lambda: m(torch.tensor([[len(tok)]])), 'ids run from'),
            (lambda: m(torch.tensor([[-1]])), 'ids run from'),
            (lambda: m(torch.zeros(3, 1, dtype=torch.long), None, c), 'filled by 1 rows'),
        ):
            with pytest.raises(InputError, match=what):
                f()


# ---------------------------------------------------------------- labels and texts


class Coin:
    "Stands for a classifier: it judges by the number of characters."

    classes, several_ = ['even', 'odd'], None

    def predict_proba(self, texts, unknown):
        fine = np.array([isinstance(o, str) and bool(o.strip()) for o in texts])
        odd = np.array([len(o) % 2 if ok else np.nan for o, ok in zip(texts, fine)], dtype=float)
        return np.stack([1 - odd, odd], 1)


def judged(tmp_path, name, content, out='out.csv', **kw):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return classify_table(Coin(), tmp_path / name, tmp_path / out, **kw), tmp_path / out


@pytest.mark.parametrize(
    'name, content, says',
    [
        ('a.csv', 'text,id\nx,no\n"a film,no\nb,no\nc",3\n', 'lines 3 to 5'),
        ('b.csv', 'text,id\n"a film,1\nb,2\n', 'lines 2 to 3'),
        ('c.csv', 'text,id\na,1\nb,2,3\n', 'line 3 has 3 cells, the header 2'),
        ('d.csv', 'text,id\na,1\n'.encode('utf-16'), 'UTF-16.*iconv -f UTF-16 '),
        ('e.csv', b'text,id\n' + b'a,1\n' * 5000 + b'caf\xe9,2\n', 'byte 0xe9 in line 5002'),
        ('f.csv', b'PK\x03\x04' + bytes(range(256)), 'zip file, as Excel'),
        ('g.csv', b'\0' * 999, 'full of zero bytes'),
        ('h.csv', 'text,text\na,b\n', "2 columns 'text'"),
        ('i.jsonl', '{"text": "a"}\n' * 3 + '{"text":\n', 'not JSON in line 4'),
        ('j.csv.gz', 'text,id\na,1\n', 'not compressed as its name says'),
    ],
)
def test_a_table_is_judged_as_it_is_learned_from(tmp_path, name, content, says):
    "Whatever a training refuses is refused before the first row is judged, by the same words."
    with pytest.raises(InputError, match=f'{name}.*{says}'):
        judged(tmp_path, name, content, rows=2)
    with pytest.raises(InputError, match=f'{name}.*{says}'):
        own_texts(tmp_path / name, label=None)
    assert not (tmp_path / 'out.csv').exists()


def test_quotation_marks_of_a_tsv_swallow_no_rows(tmp_path, capsys):
    done, out = judged(tmp_path, 'a.tsv', 'text\tid\n"a\t1\nbb\t2\nc"\t3\n')
    assert done['judged'] == 3 and 'line 2' in capsys.readouterr().err
    assert [o.split(',')[1:3] for o in out.read_text().splitlines()[1:]] == [
        ['1', 'even'],
        ['2', 'even'],
        ['3', 'even'],
    ]


def test_columns_of_yours_are_never_lost(tmp_path):
    _, out = judged(tmp_path, 'a.csv', 'text,label,said,probability\na,x,y,z\n')
    assert out.read_text() == 'text,label,said,probability,said 2,probability 2\na,x,y,z,odd,1.0\n'
    lines = [dict(text='a', n=7)] * 3 + [dict(n=None, text='\ud83d', late=True)]
    some = ''.join(json.dumps(o) + '\n' for o in lines)
    done, out = judged(tmp_path, 'a.jsonl', some, rows=2)
    assert done['judged'] == 4 and out.read_text().splitlines()[::3] == [
        'text,n,late,label,probability',
        'a,7,,odd,1.0',
    ]
    assert out.read_text().splitlines()[-1] == '?,,True,odd,1.0'


def test_frames_with_other_columns_are_not_written_askew(tmp_path):
    with TableWriter(tmp_path / 'a.csv', 'a.csv') as w:
        w.write(pd.DataFrame(dict(a=[1], b=[2])))
        w.write(pd.DataFrame(dict(b=[4], a=[3])))
        with pytest.raises(InputError, match="'c' is a column only from row 3"):
            w.write(pd.DataFrame(dict(a=[1], c=[2])))
    assert (tmp_path / 'a.csv').read_text() == 'a,b\n1,2\n3,4\n'


def test_rows_are_known_by_place_and_not_by_name():
    "Two rows of a DataFrame may have the same name."
    df = pd.DataFrame(
        dict(text=[f't{k}' for k in range(40)], label=['a', 'b'] * 20, part='train'), index=[7] * 40
    )
    assert len(subsample(df, 10)) == 10
    few = subsample(df, labels=8)
    assert len(few) == 40 and (few.part == 'train').sum() == 8


def test_what_is_no_list_of_texts_is_refused():
    texts, labels = [f'a film {k}' for k in range(20)], ['p', 'n'] * 10
    assert check_texts(dict(text=texts, n=labels)) == texts  # never the names of columns
    for odd, what in (
        (None, 'NoneType'),
        (3, 'int'),
        (np.array('abc'), 'ndarray'),
        ({1: 'a'}, 'one text was given'),
        ({1: 'a', 2: 'b'}, "no column 'text'"),
        (['a', 'b\ud800'], 'row 1 .*half a character'),
    ):
        with pytest.raises(InputError, match=what):
            check_texts(odd)
    twice = pd.DataFrame([['a', 'b', 'p']] * 9, columns=['text', 'text', 'label'])
    for given, what in ((('abc', 'abc'), 'one training text'), ((twice,), "'text' more than once")):
        with pytest.raises(InputError, match=what):
            as_frame(*given)
    with pytest.raises(InputError, match='one text was given as unsup'):
        as_frame(texts, labels, unsup='abc')
    more = as_frame(texts, labels, unsup=pd.DataFrame(dict(text=['mine'], n=[1])))
    assert list(more.text[more.part == 'unsup']) == ['mine']


def test_labels_of_odd_kinds_are_named():
    for odd, what in (
        ([[1], ['a']], 'names or numbers, not both'),
        ([['a'], None, ['b']], r'row 1 .*\[\] says that none fits'),
    ):
        with pytest.raises(InputError, match=what):
            indicators(odd)
    for odd in ('a', -1.0, float('inf'), float('nan')):
        with pytest.raises(InputError, match='weight above 0'):
            class_weights({0: odd}, np.array([0, 1]), [0, 1])


@pytest.mark.parametrize(
    'setting', [dict(max_len='a'), dict(patience=-1), dict(question=3), dict(say=3), dict(unknown='x')]
)
def test_settings_are_checked_before_any_work(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        TextClassifier(base='no such reader', **setting).fit(['a b'] * 10 + ['c d'] * 10, [0] * 10 + [1] * 10)


def test_skipped_texts_have_no_label(monkeypatch):
    c = TextClassifier()
    c.classes_, c._model = np.array(['a', 'b']), 'some'
    monkeypatch.setattr(c, 'predict_proba', lambda *o: np.array([[np.nan, np.nan], [0.9, 0.2]]))
    for form, want in ((None, [None, 'a']), ('lists', [None, ['a']])):
        c.several_ = form
        assert list(c.predict(['', 'x'], 'skip')) == want
    c.several_ = 'array'
    said = c.predict(['', 'x'], 'skip')
    assert np.isnan(said[0]).all() and said[1].tolist() == [1, 0]


def test_generators_are_read_once(monkeypatch):
    c = TextClassifier(base='', lm_epochs=0, epochs=0, emb_sz=8, n_hid=8, n_layers=1)
    c.fit((f'a film {k % 7}' for k in range(40)), (k % 2 for k in range(40)), unsup=None)
    assert c.classes == [0, 1]
    assert ensemble([c, c], (o for o in ['a film', 'a'])).shape == (2, 2)
    other = copy.copy(c)
    other.classes_ = np.array([0, 2])
    with pytest.raises(InputError, match='other classes: 0, 1; 0, 2'):
        ensemble([c, other], ['a'])


@pytest.mark.parametrize('name', ['../x', 'a/b', 'config.json', 'lm'])
def test_more_files_of_a_folder_have_plain_names(tmp_path, name):
    with pytest.raises(InputError, match='extra takes the names'):
        save_folder(tmp_path / 'm', dict(w=torch.ones(1)), words(), {}, {name: 'text'})
    assert not any(tmp_path.iterdir())


# ---------------------------------------------------------------- time


@pytest.mark.parametrize('s', [":'(", ':-):(', '()', '😀😁', '((a', '"a.', ':-).:(', '[“'])
def test_long_chunks_are_cut_as_spacy_cuts_them(s):
    w = fast_words.WordTokenizer('en')
    spacy = fast_words._spacy('en', tuple(w.special_toks)).tokenizer
    for n in (60, 150):
        for text in (s * n, f'x{s * n}y', f'{s * n} {s}'):
            assert w.doc(text) == [o.text for o in spacy(text)]


@pytest.mark.parametrize('s', [":'(", ':-):(', '()', '😀😁'])
def test_long_chunks_take_linear_time(s):
    def clock(n):
        w = fast_words.WordTokenizer('en')
        t = time.process_time()
        w.doc(s * (n // len(s)))
        return time.process_time() - t

    clock(90)
    assert clock(6000) < max(20 * clock(1000), 0.5)  # 36 times where it is quadratic


def test_capitals_take_linear_time():
    t = time.process_time()
    assert replace_all_caps('AB' * 50_000 + 'a') == 'AB' * 50_000 + 'a'
    assert time.process_time() - t < 2
    assert replace_all_caps('WHY? I A1-B é ÀB') == 'xxup why? i xxup a1-b é ÀB'


# ---------------------------------------------------------------- words


def test_repetitions_of_odd_digits_are_read():
    assert detokenize('xxrep ² a'.split()) == '² a'
    assert detokenize('xxwrep ① no'.split()) == '① no'
    assert detokenize(['xxrep', '12' * 2500, 'a']) == 'a' * 40


def test_a_text_cannot_hold_the_padding():
    w = words()
    assert w.vocab[PAD_ID] == 'xxpad'
    assert PAD_ID not in w(['a good xxpad film'])[0]


@pytest.mark.parametrize(
    'kw, what',
    [
        (dict(temperature=float('nan')), 'temperature must be a finite number'),
        (dict(temperature='a'), 'temperature must be a finite number'),
        (dict(top_k=1.5), 'top_k must be a whole number'),
        (dict(n=2.5), 'n must be at least 1'),
        (dict(n='a'), 'n must be at least 1'),
        (dict(seed=2**70), 'seed is .*64 bits'),
        (dict(prompt=None), 'the text is missing'),
        (dict(prompt=['a']), 'the text is a list'),
    ],
)
def test_settings_of_writing_are_named(kw, what):
    w = words()
    with pytest.raises(InputError, match=what):
        generate(language_model(AWDLSTMConfig(len(w), 8, 8, 1)), w, **(dict(n_words=2) | kw))
    with pytest.raises(InputError, match='64 bits'):
        set_seed(-(2**64))


@pytest.mark.parametrize('stream', ['stdin', 'files'])
def test_what_the_system_says_is_a_message(stream, monkeypatch, capfd):
    "No traceback, whatever the shell has connected, and whatever a disk says."
    if stream == 'stdin':
        monkeypatch.setattr(sys, 'stdin', None)
        says = 'there is no text to judge'
    else:
        monkeypatch.setattr('nlpdeep.doctor.doctor', lambda network: open('/no/such/file'))
        says = 'nlpdeep: No such file or directory: /no/such/file'
    with pytest.raises(SystemExit) as e:
        app(['classify'] if stream == 'stdin' else ['doctor', '--no-network'], standalone_mode=True)
    assert e.value.code == 2 and says in capfd.readouterr().err


def test_the_package_is_a_command():
    done = subprocess.run(
        [sys.executable, '-m', 'nlpdeep', '--version'],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(Path(__file__).parent.parent)),
    )
    assert done.stdout == f'nlpdeep {version()}\n'


def test_small_parts_refuse():
    "Small parts of the package with input that they once took and answered wrongly, or without a clear word."
    from nlpdeep import awd_lstm, causal_models, language_model, processor, rnn, sampling, subwords, training
    from nlpdeep.bpe import BPETokenizer
    from nlpdeep.fast_words import WordTokenizer
    from nlpdeep.lstm import GRU, LSTM
    from nlpdeep.tokenization import RulesTokenizer, parallel_tokenize, tokenize_texts

    text, ids = 'one text', [np.array([2, 3, 4])]
    words = processor.TextProcessor.build([['one', 'text']])
    tokenizers = [WordTokenizer(), subwords.CharTokenizer(), BPETokenizer.train(['a'])]
    tokenizers += [RulesTokenizer(), RulesTokenizer(WordTokenizer('de'))]
    drop = awd_lstm.WeightDropout(torch.nn.LSTM(4, 6, batch_first=True), 0.5)
    packed = torch.nn.utils.rnn.pack_sequence([torch.randn(3, 4)])
    refused = {
        'at least one layer': [lambda o=o: o(4, 6, 0) for o in (rnn.RNN, LSTM, GRU)],
        'clip is -1': [lambda: training.DivergenceGuard(-1.0)],
        'clip is nan': [lambda: training.DivergenceGuard(float('nan'))],
        'a list of texts': [
            lambda: words(text),
            lambda: processor.tokenize(text),
            lambda: tokenize_texts(text),
            lambda: list(parallel_tokenize(text, n_workers=1)),
            *[lambda o=o: list(o(text)) for o in tokenizers],
            lambda: BPETokenizer.train(text),
            lambda: subwords.SubwordTokenizer().setup(text),
        ],
        'two tokens': [
            lambda o=o: language_model.perplexity(torch.nn.Linear(1, 1), o) for o in ([], [[]], [[3]])
        ],
        'no token': [
            lambda: language_model.unigram_perplexity([], ids, 9),
            lambda: language_model.unigram_perplexity(ids, [np.array([], int)], 9),
        ],
        'beyond vocab_sz=4': [lambda: language_model.unigram_perplexity(ids, ids, 4)],
        'proj_size': [lambda: awd_lstm.WeightDropout(torch.nn.LSTM(4, 6, proj_size=3), 0.5)],
        'padded batch': [lambda: drop(packed)],
        'no model to save': [lambda: subwords.SubwordTokenizer().save('never.model')],
        'single row': [lambda t=t: sampling.sample_next(torch.randn(9), t) for t in (0, 1)],
        'at least one$': [lambda: causal_models.train_tiny(steps=0)],
    }
    for what, calls in refused.items():
        for call in calls:
            with pytest.raises(InputError, match=what):
                call()


def test_special_tokens_of_bpe(tmp_path):
    a = BPETokenizer.train(['one<sep>two three<my sep>'] * 5, 272, special=('<sep>', '<my sep>'))
    a.save(tmp_path)
    files = tmp_path / 'vocab.json', tmp_path / 'merges.txt'
    b = BPETokenizer.from_files(*files)
    text = 'one<sep>two<my sep>'
    assert b.special == a.special and b.encode(text) == a.encode(text) and b.decode(a.encode(text)) == text
    with pytest.raises(InputError, match="'<pad>' is not in the vocabulary"):
        BPETokenizer.from_files(*files, special=('<pad>',))
    (tmp_path / 'added_tokens.json').unlink()
    assert BPETokenizer.from_files(*files).decode(a.encode(text)) == text
    for odd in ('[]', '{"a": "b"}', '[' * 99_999):
        (tmp_path / 'vocab.json').write_text(odd)
        with pytest.raises(InputError, match='no vocabulary'):
            BPETokenizer.from_files(*files)


def test_the_default_number_of_pieces_holds_every_character():
    text = 'The quick brown fox jumps over the lazy dog 0123456789!'
    tok = SubwordTokenizer()
    tok.setup([text] * 20)
    assert tok.decode(next(iter(tok([text])))).strip() == text


def test_long_lines_are_learned_from():
    r = random.Random(0)
    vocab = [
        ''.join(r.choice(['ka', 'mi', 'no', 'la', 'se', 'ra', 'to']) for _ in range(3)) for _ in range(60)
    ]
    long = ' '.join(r.choice(vocab) for _ in range(1500))
    short = '\n'.join(long.split(' ')[k] + ' ' + long.split(' ')[k + 1] for k in range(0, 1500, 2))
    counts = []
    for text in (long, short):
        t = SubwordTokenizer(vocab_sz=150)
        t.setup([text, 'zzz yyy'])
        counts.append(len([*t([long])][0]))
    assert max(counts) < len(long) / 3  # characters alone would be one each
    with pytest.raises(InputError, match=r'pieces from 1 lines: \w'):
        SubwordTokenizer(vocab_sz=12).setup(['abcdefghijklmnopqrstuvwxyz'])


@pytest.mark.slow
def test_without_the_extra_it_is_named():
    code = """
import sys
for m in ('transformers', 'tokenizers', 'accelerate', 'gguf'): sys.modules[m] = None
from nlpdeep import causal_models as C
from nlpdeep.gpt2 import GPT2, GPT2Config
for f in (lambda: C.train_tiny(['a b c ' * 50], steps=1), lambda: C.to_hf(GPT2(GPT2Config(9, 8, 8, 1, 1))),
          lambda: C.tiny_tokenizer(['a']), C.gpt2_tokenizer, lambda: C.load_pretrained('gpt2')):
    try: f()
    except C.InputError as e: assert 'nlpdeep[gpt2]' in str(e), e
    else: raise SystemExit('nothing was said')
"""
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(Path(__file__).parent.parent)),
    )
    assert done.returncode == 0, done.stderr
