"Every notebook runs in a fresh kernel, is saved clean and with outputs, and its module is what it exports."

import re
import subprocess
import sys

import nbformat
import notebooks as nbs
import pytest
import record_cells

ALL = nbs.all_notebooks()
ids = [p.relative_to(nbs.NBS).as_posix() for p in ALL]
each = pytest.mark.parametrize('path', ALL, ids=ids)


@each
def test_runs(path):
    "It runs, and the cells that show records show what is saved."
    fresh = nbs.tidy(nbs.execute(path))
    for old, new in zip(nbs.read(path)['cells'], fresh['cells'], strict=True):
        if record_cells.reads_records(old):
            assert record_cells.saved(new) == record_cells.saved(old), (
                f'run: tests/notebooks.py save {path.stem}'
            )


@each
def test_tables_are_todays(path):
    """What a saved table shows is what the records say now (the cells that need nothing trained; `test_runs`
    has the others).
    """
    for cell, saved, today in record_cells.check(path):
        assert today in (None, saved), f'{cell}: run: python tests/notebooks.py tables {path.stem}'


@each
def test_clean(path):
    text = path.read_text(encoding='utf-8')
    assert text == nbs.dumps(nbs.cleaned(nbs.read(path))), f'run: python tests/notebooks.py save {path.stem}'
    nbformat.validate(nbs.read(path))
    for c in nbs.read(path)['cells']:
        for o in c.get('outputs', []):
            assert o['output_type'] != 'error' and o.get('name') != 'stderr', ''.join(c['source'])
    assert not re.search(r'/(?:root|home|tmp|work|Users)/[\w.]', text), 'a path of some machine'


@each
def test_saved_with_outputs(path):
    code = [c for c in nbs.read(path)['cells'] if c['cell_type'] == 'code']
    assert any(c['outputs'] for c in code)


def test_modules_match(tmp_path):
    "Each module is what its notebook exports, and there is no module without a notebook."
    fresh = nbs.export_all(tmp_path)
    ours = {f.name: f.read_text(encoding='utf-8') for f in (nbs.ROOT / 'nlpdeep').glob('*.py')}
    assert set(ours) == set(fresh)
    for name in fresh:
        assert ours[name] == fresh[name], f'nlpdeep/{name} is not what its notebook exports: run nbdev-export'


def test_links():
    "The repository's address stands once, in settings.ini; badges, links and install lines follow it."
    for p in ALL:
        s = p.read_text(encoding='utf-8')
        assert nbs.linked(s, p.relative_to(nbs.NBS).as_posix()) == s, 'run: python tests/notebooks.py links'
    s = (nbs.ROOT / 'README.md').read_text(encoding='utf-8')
    assert nbs.linked_readme(s) == s, 'run: python tests/notebooks.py links'


CHAPTERS = [p for p in ALL if nbs.kind(p) == 'chapter']
WORKSHOPS = [p for p in ALL if nbs.kind(p) == 'workshop']
# Chapters that export: what is both final and simple.
EXPORTS = {'05_rnn': 12, '06_lstm': 7, '07_awd_lstm': 6, '11_gpt2': 9}
CELLS = {'11_gpt2': 90}  # its nine exported pieces are cells of their own, between the lesson's


@pytest.mark.parametrize('path', CHAPTERS, ids=[p.stem for p in CHAPTERS])
def test_chapters_teach(path):
    """A chapter stays a lesson: few cells, more prose than code, lines that fit the page, nothing of the
    library.
    """
    f = nbs.figures(path)
    assert 25 <= f['cells'] <= CELLS.get(path.stem, 80), f'{f["cells"]} cells'
    assert f['density'] >= 4, f'{f["density"]:.1f} words of prose for a line of code; 4 is the least'
    assert f['widest'] <= 96, f'a line of {f["widest"]} characters; 96 fit the page'
    assert f['walls'] == 0, f'{f["walls"]} paragraphs of more than 90 words'
    assert f['refused'] <= 3, f'{f["refused"]} cells of refused input: those belong into tests'
    assert f['exports'] <= EXPORTS.get(path.stem, 0), (
        f'{f["exports"]} exported names: production code belongs into a workshop'
    )


@pytest.mark.parametrize('path', WORKSHOPS, ids=[p.stem for p in WORKSHOPS])
def test_workshops_build(path):
    "A workshop exports one module, and its lines fit the page."
    text = path.read_text(encoding='utf-8')
    f = nbs.figures(path)
    assert f['widest'] <= 110, f'a line of {f["widest"]} characters; 110 fit the page'
    assert len(re.findall(r'#\| default_exp', text)) == (path.stem != '11b_old_gpt2_code')


def test_lint():
    "ruff, by ruff.toml: no unused or undefined names, one statement a line, workshops and tests formatted."
    ruff = [sys.executable, '-m', 'ruff']
    r = subprocess.run(
        [*ruff, 'check', '-q', '--output-format', 'concise', '.'],
        cwd=nbs.ROOT,
        capture_output=True,
        text=True,
    )
    assert not r.returncode, r.stdout
    files = [*map(str, WORKSHOPS), 'tests', 'nbs/runs']
    r = subprocess.run(
        [*ruff, 'format', '-q', '--check', *files], cwd=nbs.ROOT, capture_output=True, text=True
    )
    assert not r.returncode, 'run: ruff format ' + ' '.join(r.stdout.split())
