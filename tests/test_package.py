"""What a stranger gets: the wheel, installed away from the checkout, imports and runs; importing it is quick
and pulls nothing heavy.
"""

import json
import os
import shutil
import site
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from importlib.metadata import version
from pathlib import Path

import notebooks
import pytest
from notebooks import ROOT
from test_cli import SMALL, table, write_csv


def sh(*cmd, code=0, **kw):
    "Run a command away from this checkout's environment; its standard output."
    env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'NLPDEEP_RESULTS')} | dict(
        NLPDEEP_SIZE='tiny', NLPDEEP_DEVICE='cpu', PYTHONNOUSERSITE='1'
    )
    r = subprocess.run([str(o) for o in cmd], capture_output=True, text=True, encoding='utf-8', env=env, **kw)
    assert r.returncode == code, r.stdout[-3000:] + r.stderr[-3000:]
    return r.stdout if code == 0 else r.stderr


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    "The wheel, built from a copy, so that the checkout stays as it is."
    d = tmp_path_factory.mktemp('wheel')
    shutil.copytree(
        ROOT,
        d / 'src',
        ignore=shutil.ignore_patterns('.*', '__pycache__', '*.egg-info', 'build', 'dist', 'runs'),
    )
    try:
        here = tuple(map(int, version('setuptools').split('.')[:1])) >= (77,)
    except Exception:
        here = False
    sh(
        sys.executable,
        '-m',
        'pip',
        'wheel',
        '-q',
        '--no-deps',
        *(['--no-build-isolation'] if here else []),
        '-w',
        d / 'out',
        d / 'src',
    )
    return next((d / 'out').glob('nlpdeep-*.whl'))


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
    """The interpreter of a fresh environment that holds the wheel, and sees this one's libraries but not the
    checkout.
    """
    d = tmp_path_factory.mktemp('fresh')
    venv.create(d / 'v', with_pip=False, symlinks=os.name != 'nt')
    exe = d / 'v' / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    lib = Path(sh(exe, '-c', 'import sysconfig; print(sysconfig.get_path("purelib"))').strip())
    # a path line in a .pth file is added as it is: the .pth files in there, and with them an editable
    # nlpdeep, are not looked at
    (lib / 'libraries.pth').write_text(
        '\n'.join(
            site.getsitepackages()
            + [p for p in sys.path if p.endswith('site-packages') and p not in site.getsitepackages()]
        )
        + '\n'
    )
    sh(
        sys.executable,
        '-m',
        'pip',
        '--python',
        exe,
        'install',
        '-q',
        '--no-deps',
        '--no-index',
        '--force-reinstall',
        wheel,
    )
    return exe


def test_wheel_contents(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = set(z.namelist())
        meta = Parser().parsestr(z.read(next(n for n in names if n.endswith('dist-info/METADATA'))).decode())
        entry = z.read(next(n for n in names if n.endswith('entry_points.txt'))).decode()
        for f in (ROOT / 'nlpdeep').glob('*.py'):
            assert z.read(f'nlpdeep/{f.name}') == f.read_bytes()
        assert z.read('nlpdeep/settings.ini') == (ROOT / 'settings.ini').read_bytes()
        for f in (ROOT / 'nbs' / 'results').glob('*.json'):
            assert z.read(f'nlpdeep/results/{f.name}') == f.read_bytes()
        for f in notebooks.all_notebooks():
            assert z.read(f'nlpdeep/{f.relative_to(ROOT).as_posix()}') == f.read_bytes()
        shipped = [f for f in (ROOT / 'nlpdeep' / 'pretrained').rglob('*') if f.is_file()]
        for f in shipped:
            assert z.read(f'nlpdeep/{f.relative_to(ROOT / "nlpdeep").as_posix()}') == f.read_bytes()
    assert shipped and sum(f.stat().st_size for f in shipped) < 45e6
    assert not any(
        n.split('/')[0] in ('tests', 'nbs', 'build') or n.endswith(('.pkl', '.pth')) for n in names
    )
    assert any(n.endswith('LICENSE') for n in names) and 'nlpdeep = nlpdeep.cli:main' in entry
    assert (
        meta['Requires-Python']
        and any(o.startswith('torch') for o in meta.get_all('Requires-Dist'))
        and {'dev', 'gpt2', 'course', 'docs'} <= set(meta.get_all('Provides-Extra'))
    )
    assert (
        meta['Author'] and meta['License-Expression'] == 'Apache-2.0' and meta['Summary'] and meta['Keywords']
    )
    links = dict(o.split(', ') for o in meta.get_all('Project-URL'))
    assert {'Homepage', 'Repository', 'Issues', 'Changelog'} <= set(links)
    kinds = meta.get_all('Classifier')
    assert 'Typing :: Typed' in kinds and 'nlpdeep/py.typed' in names
    oldest = meta['Requires-Python'].removeprefix('>=')
    assert f'Programming Language :: Python :: {oldest}' in kinds


def test_imports_outside(python, tmp_path):
    code = (
        'import json, nlpdeep, nlpdeep.core as c, nlpdeep.records as r; '
        'print(json.dumps(dict(file=nlpdeep.__file__, '
        'version=nlpdeep.__version__, settings=c.version(), '
        'results=str(r.results_dir()), recorded=sorted(o.name for o in r.results_dir().glob("*.json")))))'
    )
    got = json.loads(sh(python, '-c', code, cwd=tmp_path))
    assert (
        str(ROOT) not in got['file']
        and str(python.parent.parent) in got['file']
        and str(python.parent.parent) in got['results']
    )
    assert got['version'] == got['settings'] and got['recorded'] == sorted(
        o.name for o in (ROOT / 'nbs' / 'results').glob('*.json')
    )


def test_command_outside(python, tmp_path):
    cli = python.with_name('nlpdeep.exe' if os.name == 'nt' else 'nlpdeep')
    assert sh(cli, '--version', cwd=tmp_path).startswith('nlpdeep ')
    write_csv(tmp_path / 'own.csv', table(), ('review', 'stars'))
    out = sh(
        cli,
        'ulmfit',
        '--data',
        'own.csv',
        '--text',
        'review',
        '--label',
        'stars',
        *SMALL,
        '--out',
        'model',
        '--json',
        'f.json',
        cwd=tmp_path,
    )
    assert 'perplexity' in out and 0 <= json.loads((tmp_path / 'f.json').read_text())['accuracy'] <= 1
    assert sh(cli, 'classify', '--model', 'model', 'a warm funny film', cwd=tmp_path).split()[0] in (
        'fresh',
        'rotten',
    )
    assert (
        sh(cli, 'generate', '--model', 'model', 'the film', '-n', '1', cwd=tmp_path)
        .lower()
        .startswith('the film')
    )
    assert (
        sh(
            python,
            '-c',
            "from nlpdeep import pretrained; print(len(pretrained('en').words))",
            cwd=tmp_path,
        ).strip()
        == '20000'
    )
    assert 'none.csv' in sh(cli, 'ulmfit', '--data', 'none.csv', cwd=tmp_path, code=2)


def test_course_outside(python, tmp_path):
    "The wheel brings the course along, and writes the learner's copy."
    cli = python.with_name('nlpdeep.exe' if os.name == 'nt' else 'nlpdeep')
    assert 'notebooks written' in sh(cli, 'course', cwd=tmp_path)
    for f in notebooks.all_notebooks():
        assert (tmp_path / 'nlpdeep-course' / f.relative_to(notebooks.NBS)).read_bytes() == f.read_bytes()
    assert 'as in this version' in sh(cli, 'course', cwd=tmp_path)


def test_import_is_quick(tmp_path):
    code = 'import time; t = time.perf_counter(); import nlpdeep; print(time.perf_counter() - t)'
    assert min(float(sh(sys.executable, '-c', code, cwd=ROOT)) for _ in range(7)) < 0.1


def test_import_is_light():
    code = (
        "import sys, nlpdeep; print(sorted({'torch', 'fastai', 'spacy', 'transformers', 'pandas', 'numpy', "
        "'sklearn', 'matplotlib', 'typer', 'rich'} & set(sys.modules)))"
    )
    assert sh(sys.executable, '-c', code, cwd=ROOT).strip() == '[]'
