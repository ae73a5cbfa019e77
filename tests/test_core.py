"The ground floor: the dial, records, proofs, the guard, whole-or-nothing files."

import importlib.metadata
import json
import os
import subprocess
import sys

import pytest
import torch

from nlpdeep import core as core_mod
from nlpdeep import doctor as doctor_mod
from nlpdeep import records as records_mod
from nlpdeep.core import (
    InputError,
    _package,
    atomic,
    device,
    precision,
    set_seed,
    settings,
    size,
    version,
    write_json,
)
from nlpdeep.doctor import doctor
from nlpdeep.records import assert_parity, bench, record, results, summary


def python(code, **env):
    "Run `code` in a fresh interpreter; returns the finished process."
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, env={**os.environ, **env}, timeout=120
    )


def test_import_is_light():
    r = python(
        "import sys, nlpdeep; print(sorted({'torch', 'fastai', 'spacy', 'transformers', 'pandas', 'numpy', "
        "'sklearn', 'matplotlib', 'typer'} & set(sys.modules)))"
    )
    assert r.stdout.strip() == '[]', r.stdout + r.stderr


def test_import_is_fast():
    """Under 0.1 s of this process's own time beyond the bare interpreter (the best of five: the machine may
    be busy).
    """
    code = 'import time; t = time.process_time(); import nlpdeep; print(time.process_time() - t)'
    assert min(float(python(code).stdout) for _ in range(5)) < 0.1


def test_version_stands_once():
    import nlpdeep

    assert nlpdeep.__version__ == version() == settings()['package']['version']
    with pytest.raises(AttributeError):
        nlpdeep.no_such_thing


@pytest.mark.parametrize(
    'var,val', [('NLPDEEP_SIZE', 'huge'), ('NLPDEEP_DEVICE', 'tpu'), ('NLPDEEP_PRECISION', 'fp8')]
)
def test_bad_setting_names_itself(monkeypatch, var, val):
    monkeypatch.setenv(var, val)
    with pytest.raises(InputError, match=f'{var}.*{val}'):
        size()
        device()
        precision()


@pytest.mark.skipif(torch.cuda.is_available(), reason='needs a machine without CUDA')
def test_cuda_asked_for_where_there_is_none(monkeypatch):
    monkeypatch.setenv('NLPDEEP_DEVICE', 'cuda')
    with pytest.raises(InputError, match='CUDA'):
        device()


def test_seed_reaches_all_three():
    import random

    import numpy as np

    def draw():
        return (random.random(), np.random.rand(), torch.rand(3).tolist())

    set_seed(3)
    a = draw()
    set_seed(3)
    assert draw() == a
    assert set_seed() == int(settings()['course']['seed'])


def test_atomic_file_and_folder(tmp_path):
    f = tmp_path / 'deep' / 'a.json'
    write_json(f, dict(a=1))
    with pytest.raises(KeyError):
        with atomic(f) as p:
            p.write_text('half')
            raise KeyError
    assert json.loads(f.read_text()) == dict(a=1) and os.listdir(f.parent) == ['a.json']
    d = tmp_path / 'model'
    for name in 'ab':
        with atomic(d, folder=True) as p:
            (p / name).write_text(name)
    with pytest.raises(KeyError):
        with atomic(d, folder=True) as p:
            (p / 'c').write_text('c')
            raise KeyError
    assert os.listdir(d) == ['b'] and sorted(os.listdir(tmp_path)) == ['deep', 'model']


def test_atomic_says_why_it_cannot_write(tmp_path):
    (tmp_path / 'file').write_text('x')
    with pytest.raises(InputError, match='cannot write'):
        with atomic(tmp_path / 'file' / 'a'):
            pass
    with pytest.raises(InputError, match='disk is full'):
        with atomic(tmp_path / 'b'):
            raise OSError(28, 'No space left on device')
    assert os.listdir(tmp_path) == ['file']


def test_records(tmp_path, monkeypatch):
    monkeypatch.setenv('NLPDEEP_RESULTS', str(tmp_path))
    for seed in (0, 1):
        record('r', dict(acc=seed), data='d', seed=seed, minutes=0.5, model='m', layers=(1, 2))
    record(
        'r', dict(acc=5), data='d', seed=1, model='m', layers=(1, 2)
    )  # replaces, though JSON turned the tuple into a list
    assert [o['metrics']['acc'] for o in results('r')] == [0, 5]
    r = results('r')[0]
    assert (
        r['versions']['torch'] == importlib.metadata.version('torch')
        and r['command']
        and str(tmp_path) not in json.dumps(r)
    )
    assert summary('r', by='model').loc['m', 'seeds'] == 2
    with pytest.raises(InputError, match='passes the filter'):
        summary('r', by='model', where=lambda o: False)
    with pytest.raises(InputError, match=r"'s'.*there are: r"):
        results('s')


def test_parity_finds_each_kind_of_difference():
    lin = torch.nn.Linear(3, 2)

    class Twin(torch.nn.Linear):
        def forward(self, x):
            return self.f(x)

    def twin(f):
        t = Twin(3, 2)
        t.f = lambda x: f(t, x)
        return t

    x = torch.randn(4, 3)
    good = assert_parity(twin(lambda t, x: x @ t.weight.T + t.bias), lin, x)
    assert good['outputs'] < 1e-6 and good['inputs'] < 1e-6 and good['parameters'] < 1e-5
    for f, word in [
        (lambda t, x: x @ t.weight.T, 'outputs'),
        (lambda t, x: (x.detach() @ t.weight.T) + t.bias, 'inputs'),
        (lambda t, x: x @ t.weight.T.detach() + t.bias, 'parameters'),
        (lambda t, x: (x @ t.weight.T + t.bias)[:2], 'shape'),
        (lambda t, x: (x @ t.weight.T + t.bias, x), 'ours gives'),
        (lambda t, x: (x @ t.weight.T + t.bias) * float('nan'), 'differ'),
    ]:
        with pytest.raises(AssertionError, match=word):
            assert_parity(twin(f), lin, x)


def test_parity_with_state_and_names():
    ref, ours = torch.nn.GRU(3, 4, batch_first=True), torch.nn.GRU(3, 4, batch_first=True)
    x, h = torch.randn(2, 5, 3), torch.randn(1, 2, 4)
    assert set(assert_parity(ours, ref, x, h)) == {'outputs', 'inputs', 'parameters'}
    with pytest.raises(AssertionError):
        assert_parity(torch.nn.GRU(3, 4, batch_first=True), ref, x, h, copy=False)


def test_bench_tells_wrong_from_right():
    r = bench('s', ours=lambda: 1, theirs=lambda: 2, rounds=3)
    assert (
        set(r) == {'stage', 'ratio', 'low', 'high', 'identical'}
        and r['identical'] is False
        and r['low'] <= r['ratio'] <= r['high']
    )
    assert (
        bench('s', ours=lambda: 1, theirs=lambda: 2, same=lambda a, b: b == 2 * a, rounds=1)['identical']
        is True
    )


FAKE = {
    'fine': 'ok = 1',
    'broken': 'raise RuntimeError("operator torchvision::nms does not exist")',
    'linked': 'raise ImportError("libcudart.so.13: cannot open")',
}


@pytest.mark.parametrize('kind', FAKE)
@pytest.mark.parametrize('first', ['import nlpdeep', 'import transformers.utils.import_utils, nlpdeep'])
def test_torchvision_guard(tmp_path, kind, first):
    "A torchvision that cannot load counts as absent, in any order of import; one that loads is left alone."
    (tmp_path / 'torchvision').mkdir()
    (tmp_path / 'torchvision' / '__init__.py').write_text(f'__version__ = "0.28.0"\n{FAKE[kind]}\n')
    code = f"""
import sys
{first}
import transformers.utils.import_utils as u
there = sys.modules.get('torchvision') is not None
print(there, there or u.is_torchvision_available())
"""
    r = python(code, PYTHONPATH=str(tmp_path))
    assert r.stdout.split() == (['True', 'True'] if kind == 'fine' else ['False', 'False']), (
        r.stdout + r.stderr
    )


def test_doctor_finds_what_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setenv('NLPDEEP_DATA', str(tmp_path / 'nowhere'))
    monkeypatch.setattr(
        importlib.metadata,
        'version',
        lambda n, _v=importlib.metadata.version: stop(n) if n == 'spacy' else _v(n),
    )

    def stop(n):
        raise importlib.metadata.PackageNotFoundError(n)

    bad = [t for ok, t in doctor(network=False) if not ok]
    assert any('NLPDEEP_DATA' in t for t in bad) and any(
        t.startswith('spacy is missing: pip install "spacy>=') for t in bad
    )


def test_settings_say_nothing_twice():
    "What stands in settings.ini does not stand in pyproject.toml."
    root = _package().parent
    text = (root / 'pyproject.toml').read_text(encoding='utf-8')
    assert version() not in text and settings()['package']['repository'] not in text and 'torch>' not in text
