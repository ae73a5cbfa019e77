"The ground floor: the dial, records, proofs, the guard, whole-or-nothing files."

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nlpdeep import core as core_mod
from nlpdeep import doctor as doctor_mod
from nlpdeep import records as records_mod
from nlpdeep.core import (
    InputError,
    _package,
    atomic,
    check_destination,
    device,
    precision,
    recover,
    set_seed,
    settings,
    size,
    version,
    write_json,
)
from nlpdeep.doctor import doctor
from nlpdeep.records import Roof, assert_parity, bench, record, results, show_bench, summary


def python(code, **env):
    "Run `code` in a fresh interpreter; returns the finished process."
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, env={**os.environ, **env}, timeout=300
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


def test_records_of_two_machines_are_never_averaged(tmp_path, monkeypatch):
    monkeypatch.setenv('NLPDEEP_RESULTS', str(tmp_path))
    for machine, prec in (
        ('CPU (x86_64), 1 threads', 'fp32'),
        ('CPU (x86_64), 1 threads', 'bf16'),
        ('NVIDIA T4, 15 GiB', 'fp16'),
    ):
        monkeypatch.setattr(records_mod, 'device_report', lambda said=f'{machine}, {prec}': said)
        for seed in (0, 1, 1):
            record('r', dict(acc=seed), data='d', seed=seed, model='m')
    assert len(results('r', 'all')) == 6 and len(results('r')) == 4 and len(results('r', 'cuda')) == 2
    table = summary('r', by='model')
    assert list(table['seeds']) == [2, 2, 2] and list(table['precision']) == ['fp32', 'bf16', 'fp16']
    assert list(table['device']) == ['CPU (x86_64)'] * 2 + ['NVIDIA T4, 15 GiB']
    old = results('r', 'all')[0]
    del old['precision'], old['threads']
    records_mod.write_json(tmp_path / 'r.json', [dict(old, device='CPU (x86_64), 2 threads, bf16')])
    monkeypatch.setattr(records_mod, 'device_report', lambda: 'CPU (x86_64), 1 threads, fp32')
    record(
        'r', dict(acc=9), data='d', seed=0, model='m', precision='bf16'
    )  # its own precision before the machine's
    record('r', dict(acc=9), data='d', seed=0, model='m')
    # an older record without a precision of its own made way for the last one
    assert [o.get('precision') for o in results('r')] == ['bf16', 'fp32']


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


def test_a_parity_that_compares_nothing_is_no_proof():
    ones = torch.ones(2)
    for ours, ref in (
        (lambda x: (x, 1.0), lambda x: (x, 2.0)),
        (lambda x: (x, np.array([1.0])), lambda x: (x, np.array([2.0]))),
        (lambda x: (x, True), lambda x: (x, False)),
        (lambda x: None, lambda x: None),
        (lambda x: 'yes', lambda x: 'no'),
    ):
        with pytest.raises(AssertionError, match='differ|nothing was compared'):
            assert_parity(ours, ref, ones)
    with pytest.raises(InputError, match='grads=False'):
        assert_parity(lambda x: x + 1, lambda x: x + 1, torch.ones(2, dtype=torch.long))


def test_numbers_of_numpy_and_nan_in_records(tmp_path, monkeypatch):
    monkeypatch.setenv('NLPDEEP_RESULTS', str(tmp_path))
    record('r', dict(acc=0.9), data='d', seed=np.int64(1), rate=np.float32(0.5), sizes=[1, 2])
    record('r', dict(acc=float('nan')), data='d', seed=2, rate=torch.tensor(0.5), sizes=[1, 2])
    assert [(o['seed'], o['config']) for o in results('r')] == [
        (seed, dict(rate=0.5, sizes=[1, 2])) for seed in (1, 2)
    ]
    table = summary('r', 'rate')
    assert list(table.acc) == ['nan'] and list(table.seeds) == [2]


def test_parity_with_state_and_names():
    ref, ours = torch.nn.GRU(3, 4, batch_first=True), torch.nn.GRU(3, 4, batch_first=True)
    x, h = torch.randn(2, 5, 3), torch.randn(1, 2, 4)
    assert set(assert_parity(ours, ref, x, h)) == {'outputs', 'inputs', 'parameters'}
    with pytest.raises(AssertionError):
        assert_parity(torch.nn.GRU(3, 4, batch_first=True), ref, x, h, copy=False)


def test_bench_with_a_simple_way_and_a_roof():
    roof = Roof(lambda: None, amount=6, unit='cakes', about='no baking')
    arms = dict(ours=lambda: sum(range(20_000)), theirs=lambda: sum(range(20_000)))
    r = bench('s', **arms, simple=arms['ours'], rounds=3, roof=roof)
    assert r['identical'] and r['to_simple'] > 0 and 0 < r['of_roof'] < 1 and r['rate'] < r['roof_rate']
    shown = show_bench([r, bench('bare', ours=lambda: 1, theirs=lambda: 1)])
    assert 'cakes' in shown and shown.endswith('roof of s: no baking')
    assert not bench('s', **arms, simple=lambda: 0, rounds=1)['identical']
    assert bench('s', **arms, simple=lambda: 0, same_simple=lambda a, b: True, rounds=1)['identical']


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


def test_only_our_files_are_replaced(tmp_path):
    d = tmp_path / 'm'
    ours = {'a', 'b', 'sub/c'}.__contains__

    def write(*names):
        with atomic(d, folder=True, ours=ours) as p:
            for o in names:
                (p / o).parent.mkdir(exist_ok=True)
                (p / o).write_text('new')

    write('a', 'b', 'sub/c')
    (d / 'README.md').write_text('mine')
    write('a')  # an older model's files go, a file of the user's stays
    assert sorted(os.listdir(d)) == ['README.md', 'a'] and (d / 'README.md').read_text() == 'mine'
    (d / 'data').mkdir()
    (d / 'data' / 'a').write_text('mine')
    write('b', 'sub/c')  # so does a folder
    write('b')
    assert sorted(os.listdir(d)) == ['README.md', 'b', 'data'] and (d / 'data' / 'a').read_text() == 'mine'
    with pytest.raises(InputError, match='folder'):
        write('data')
    with pytest.raises(InputError, match='is a folder; give a file'):
        with atomic(d):
            pass
    assert os.listdir(tmp_path) == ['m'] and (d / 'data' / 'a').exists()


def test_current_folder_links_and_devices(tmp_path, monkeypatch):
    real, here = tmp_path / 'real', tmp_path / 'here'
    real.mkdir(), here.mkdir()
    os.symlink('real', tmp_path / 'link')
    os.symlink('later', tmp_path / 'dangling')
    monkeypatch.chdir(here)
    for place in ('.', tmp_path / 'link', tmp_path / 'dangling'):
        check_destination(place, folder=True)
        with atomic(place, folder=True) as p:
            (p / 'a').write_text('a')
    assert all(os.listdir(o) == ['a'] for o in (here, real, tmp_path / 'later', '.'))
    assert (tmp_path / 'link').is_symlink() and (tmp_path / 'dangling').is_symlink()
    os.symlink('t.json', 'l.json')
    write_json('l.json', [1])
    assert os.path.islink('l.json') and json.loads((here / 't.json').read_text()) == [1]
    os.symlink('/dev/null', 'null')
    check_destination('null')
    write_json('null', [1])
    assert os.path.islink('null') and Path('/dev/null').is_char_device()
    os.mkfifo('pipe')
    fd = os.open('pipe', os.O_RDWR)
    write_json('pipe', [1])
    assert json.loads(os.read(fd, 100)) == [1]
    os.close(fd)
    os.symlink('loop', 'loop')
    for bad in ('n' * 300, 'new/' + 'n' * 300, 'loop', 'a/b', 'a\0'):
        with pytest.raises(InputError, match='cannot write'):
            check_destination(bad)
    long = 'n' * 255  # the longest name there is
    check_destination(long)
    write_json(long, [1])
    os.chdir(tmp_path)
    assert not [o for o in os.listdir(here) + os.listdir('.') if o.startswith('.')]


def test_modes_follow_the_umask(tmp_path):
    def private(p):
        p.write_text('x')
        p.chmod(0o600)

    before = os.umask(0o027)
    try:
        with atomic(tmp_path / 'm', folder=True) as p:
            private(p / 'w')
        with atomic(tmp_path / 'f') as p:
            private(p)
    finally:
        os.umask(before)
    modes = [(tmp_path / o).stat().st_mode & 0o777 for o in ('m', 'm/w', 'f')]
    assert modes == [0o750, 0o640, 0o640]


def test_what_a_killed_writer_left(tmp_path):
    d = tmp_path / 'm'
    code = (
        'import os, sys\nfrom nlpdeep import core\n{}\n'
        'with core.atomic(sys.argv[1], folder=True) as p:\n    (p / "a").write_text("new")\n    {}\n'
    )
    die = 'os.kill(os.getpid(), 9)'
    with atomic(d, folder=True) as p:
        (p / 'a').write_text('old')
    for before, within in (
        ('', die),
        (f'core._swap = lambda a, b: {die}', ''),
        (f'swap = core._swap\ncore._swap = lambda a, b: (swap(a, b), {die})', ''),
    ):
        subprocess.run([sys.executable, '-c', code.format(before, within), d])
        assert (d / 'a').exists() and len(os.listdir(tmp_path)) == 2
        recover(d)
        assert os.listdir(tmp_path) == ['m']
    assert (d / 'a').read_text() == 'new'
    with atomic(d, folder=True) as p:  # a living writer's folder stays
        recover(d)
        (p / 'a').write_text('newer')
    (tmp_path / '.m.abcd1234' / 'ready').mkdir(parents=True)  # killed while it moved file by file
    (tmp_path / '.m.abcd1234' / 'ready' / 'b').write_text('b')
    (tmp_path / '.m.settings').mkdir()  # only looks like ours
    (tmp_path / '.m.settings' / 'mine').write_text('mine')
    recover(d)
    assert sorted(os.listdir(d)) == ['a', 'b'] and sorted(os.listdir(tmp_path)) == ['.m.settings', 'm']


def test_a_folder_that_cannot_be_exchanged(tmp_path, monkeypatch):
    def fail(a, b):
        raise OSError(22, 'Invalid argument')

    d = tmp_path / 'm'
    monkeypatch.setattr('nlpdeep.core._swap', fail)
    for name in 'ab':
        with atomic(d, folder=True) as p:
            (p / name).write_text(name)
    assert os.listdir(d) == ['b'] and os.listdir(tmp_path) == ['m']


def test_hashes_that_are_stored_never_change(tmp_path):
    """One of each that lies in model folders, checkpoints, caches and records: as they came out before
    `file_hash` and `text_hash` made them all.
    """
    import hashlib

    from nlpdeep.causal_classifier import _probe
    from nlpdeep.classroom import _sources
    from nlpdeep.core import file_hash, text_hash
    from nlpdeep.corpora import split_parts
    from nlpdeep.model_folder import config_checksum
    from nlpdeep.numericalization import Vocab
    from nlpdeep.provenance import _hash, code_hash

    class Bytes:  # a tokenizer, as far as `_probe` asks
        bos_token_id = eos_token_id = None

        def get_vocab(self):
            return {}

        def __call__(self, text, **kw):
            return dict(input_ids=list(text.encode()))

    (tmp_path / 'b').mkdir()
    (tmp_path / 'a.txt').write_bytes(b'abc')
    (tmp_path / 'b' / 'c.txt').write_bytes('né'.encode())
    notebook = dict(cells=[dict(cell_type='code', source=['né = 1'])])
    found = dict(
        file=file_hash(tmp_path / 'a.txt'),
        folder=file_hash(str(tmp_path)),
        text=text_hash('né'),
        data=text_hash(['né', 1, None]),
        vocab=Vocab(['xxunk', 'xxpad', 'né']).hash,
        config=config_checksum(dict(b='né', a=[1], checksum='x')),
        code=code_hash('x = 1', 'y = 2'),
        pieces=_hash({('a.py', 'f'): 'x'}),
        notebook=_sources(json.dumps(notebook).encode()),
        tokens=_probe(Bytes()),
    )
    assert {k: v[:16] for k, v in found.items()} == dict(
        file=hashlib.sha256(b'abc').hexdigest()[:16],
        folder='c6f448889172c2db',
        text=hashlib.sha256(b'n\xc3\xa9').hexdigest()[:16],
        data=hashlib.sha256(b'["n\\u00e9", 1, null]').hexdigest()[:16],
        vocab='e04b5a8682ed2d6b',
        config='685caccbafd66108',
        code='a021d9578eed3d8d',
        pieces='f712a68fb998bb64',
        notebook='560ea59af9346c77',
        tokens='0acc648202a8f921',
    )
    assert {k: len(v) for k, v in found.items()} == {k: 16 if k in ('code', 'pieces') else 64 for k in found}
    shipped = _package() / 'pretrained' / 'en-forwards'  # a model folder that was saved long ago
    cfg = json.loads((shipped / 'config.json').read_text(encoding='utf-8'))
    assert config_checksum(cfg) == cfg['checksum']
    assert {f: file_hash(shipped / f) for f in cfg['sha256']} == cfg['sha256']
    dealt = split_parts('abcdefghij')
    assert ''.join(p[1] for p in dealt) == 'rrarrerrre'  # train, valid and test by their second letters
