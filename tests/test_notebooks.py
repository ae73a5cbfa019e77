"Every notebook runs in a fresh kernel, is saved clean and with outputs, and its module is what it exports."

import ast
import re
import subprocess
import sys
import tempfile

import nbformat
import notebooks as nbs
import pytest
import record_cells
from kernels import Zygote
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ALL = nbs.all_notebooks()
ids = [p.relative_to(nbs.NBS).as_posix() for p in ALL]
each = pytest.mark.parametrize('path', ALL, ids=ids)


@pytest.fixture(scope='session')
def quick():
    "What `execute` takes to start a kernel quickly, where the system forks without fear: on Linux."
    if not sys.platform.startswith('linux'):
        yield {}
        return
    zygote = Zygote(nbs.kernel_env())
    yield dict(kernel_manager_class=zygote.manager()) if zygote.ready() else {}
    zygote.close()


@each
def test_runs(path, quick):
    "It runs, and what its cells show of records is what is saved."
    fresh = nbs.tidy(nbs.execute(path, **quick))
    for old, new in zip(nbs.read(path)['cells'], fresh['cells'], strict=True):
        if record_cells.reads_records(old):
            assert record_cells.compared(new) == record_cells.compared(old), (
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


def test_install_lines():
    """A notebook that begins with today's form of the install lines has them of today's version; every
    solution does.
    """
    for p in ALL:
        code = [''.join(c['source']) for c in nbs.read(p)['cells'] if c['cell_type'] == 'code']
        (first,) = [s for s in code if '%pip install -q "nlpdeep' in s]
        if nbs.kind(p) == 'solution' or 'releases/download' in first:
            assert nbs.with_install(first) == first, 'run: python tests/notebooks.py install ' + nbs.kind(p)
            assert nbs.install_lines('[gpt2]' if '[gpt2]' in first else '') in first


def test_install_lines_are_renewed():
    "Both forms become today's, once, with the same extra; other cells stay."
    pip = '%pip install -q "nlpdeep[gpt2] @ git+https://x/y"'
    now = nbs.with_install(f'try:\n    import nlpdeep\nexcept ImportError:\n    {pip}\nx = 1\n')
    assert now == nbs.install_lines('[gpt2]') + 'x = 1\n' == nbs.with_install(now.replace('v0.', 'v9.'))
    assert nbs.with_install('import nlpdeep\n') == 'import nlpdeep\n'


@pytest.mark.slow
@pytest.mark.parametrize('works', [True, False])
def test_install_lines_run(tmp_path, works):
    """Next to a folder called nlpdeep, where the package is missing: it is asked for, and then found behind
    the folder; where pip cannot get it, two lines say what to do.
    """
    (tmp_path / 'here' / 'nlpdeep').mkdir(parents=True)
    (tmp_path / 'site').mkdir()
    code = f"""
import pathlib, site, sys
sys.path[:] = ['', *[o for o in sys.path if 'site-packages' not in o and o != {str(nbs.ROOT)!r}]]
sys.path += [{str(tmp_path / 'site')!r}, *{[o for o in sys.path if 'site-packages' in o]!r}]
from IPython.core.interactiveshell import InteractiveShell
asked = []
def pip(line):
    asked.append(line)
    if {works}:
        new = pathlib.Path({str(tmp_path / 'site')!r}) / 'nlpdeep'
        new.mkdir()
        (new / '__init__.py').touch()
        (new / 'notebook.py').write_text('new = True')
shell = InteractiveShell.instance()
shell.register_magic_function(pip, 'line', 'pip')
done = shell.run_cell({nbs.install_lines('[gpt2]')!r} + 'from nlpdeep.notebook import new')
print(asked, done.success, done.error_in_exec)
"""
    r = subprocess.run(
        [sys.executable, '-S', '-E', '-c', code], cwd=tmp_path / 'here', capture_output=True, text=True
    )
    version = nbs.settings()['package']['version']
    assert 'nlpdeep[gpt2] @ https' in r.stdout and f'v{version}/nlpdeep-{version}-py3' in r.stdout, r.stderr
    if works:
        assert 'True None' in r.stdout, r.stdout
    else:
        assert 'False nlpdeep could not be installed' in r.stdout and '%pip install "./nlpdeep-' in r.stdout


def test_links_to_others_stay():
    text = 'https://github.com/fastai/fastai/blob/main/a.py https://github.com/old/nlpdeep/issues'
    repo = nbs.settings()['package']['repository']
    assert nbs.linked(text, '') == f'https://github.com/fastai/fastai/blob/main/a.py {repo}/issues'


def test_links():
    "The repository's address stands once, in settings.ini; badges, links and install lines follow it."
    for p in ALL:
        s = p.read_text(encoding='utf-8')
        assert nbs.linked(s, p.relative_to(nbs.NBS).as_posix()) == s, 'run: python tests/notebooks.py links'
    s = (nbs.ROOT / 'README.md').read_text(encoding='utf-8')
    assert nbs.linked_readme(s) == s, 'run: python tests/notebooks.py links'
    s = (nbs.ROOT / 'CITATION.cff').read_text(encoding='utf-8')
    assert nbs.cited(s) == s, 'run: python tests/notebooks.py links'
    version = nbs.settings()['package']['version']
    assert f'\n## {version}' in (nbs.ROOT / 'CHANGELOG.md').read_text(encoding='utf-8')


CHAPTERS = [p for p in ALL if nbs.kind(p) == 'chapter']
WORKSHOPS = [p for p in ALL if nbs.kind(p) == 'workshop']
# Chapters that export: what is both final and simple.
EXPORTS = {'05_rnn': 12, '06_lstm': 7, '07_awd_lstm': 6, '11_gpt2': 9}


@pytest.mark.parametrize('path', CHAPTERS, ids=[p.stem for p in CHAPTERS])
def test_chapters_teach(path):
    """A chapter stays a lesson: few cells, more prose than code, lines that fit the page, nothing of the
    library.
    """
    f = nbs.figures(path)
    assert 25 <= f['cells'] <= 70, f'{f["cells"]} cells'
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


def names_and_uses(path) -> tuple[list, set]:
    "Exported names of a notebook with the number of their cell, and all names that its other cells use."
    defined, used = [], set()
    for i, c in enumerate(nbs.read(path)['cells']):
        if c['cell_type'] != 'code':
            continue
        source = ''.join('\n' if o.lstrip()[:1] in ('%', '!') else o for o in c['source'])
        tree = ast.parse(source)
        if re.search(r'(?m)^#\|\s*export\b', source):
            for node in tree.body:
                names = [o.id for o in getattr(node, 'targets', []) if isinstance(o, ast.Name)]
                for d in getattr(node, 'decorator_list', []):  # a command is used by the name it has there
                    if isinstance(d, ast.Call) and ast.unparse(d.func) == 'app.command':
                        used_as = [o.value for o in d.args] or [node.name]
                        names.append(f'command {used_as[0]}')
                if not any(o.startswith('command') for o in names) and hasattr(node, 'name'):
                    names.append(node.name)
                defined += [(o, i) for o in names if o[0] != '_']
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = node.value.split()
                used |= {f'command {o}' for o in words[: 1 + (words[:1] == ['nlpdeep'])]}
    return defined, used


@pytest.mark.parametrize('path', WORKSHOPS, ids=[p.stem for p in WORKSHOPS])
def test_every_exported_name_is_checked(path):
    "A workshop uses each name that it exports in a cell that it does not export."
    defined, used = names_and_uses(path)
    idle = [f'{name} (cell {i})' for name, i in defined if name not in used]
    assert not idle, f'exported and never checked: {", ".join(idle)}'


@pytest.mark.parametrize('path', WORKSHOPS, ids=[p.stem for p in WORKSHOPS])
def test_export_cells_do_one_thing(path):
    """An exported cell of more than 60 lines is one function or class, with small helpers at most: finished
    classes stay whole, everything else has a sentence in front of it.
    """
    for i, c in enumerate(nbs.read(path)['cells']):
        source = ''.join(c['source'])
        lines = [o for o in source.splitlines() if o.strip()]
        if c['cell_type'] != 'code' or len(lines) <= 60 or not re.search(r'(?m)^#\|\s*export\b', source):
            continue
        sizes = [len(ast.unparse(o).splitlines()) for o in ast.parse(source).body if hasattr(o, 'name')]
        rest = sum(sizes) - max(sizes)
        assert rest <= 25, f'cell {i} has {len(lines)} lines and {rest} beside its largest piece: split it'


def cell_by_cell(*sources, **how):
    "What each cell of a notebook of these prints; and its outputs."
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(o) for o in sources])
    nb.metadata['kernelspec'] = dict(name='python3', display_name='python3', language='python')
    with tempfile.NamedTemporaryFile('w', suffix='.ipynb') as f:
        nbformat.write(nb, f.name)
        outputs = [c['outputs'] for c in nbs.execute(f.name, **how)['cells']]
    return [''.join(''.join(o.get('text', '')) for o in out) for out in outputs], outputs


@pytest.mark.slow
def test_a_forked_kernel_is_a_kernel(quick):
    """Its variables, its folder and its environment are its own, nothing of nlpdeep or fastai is there
    beforehand, a picture and a wide table are shown, other processes start, and an error comes back as one.
    """
    if not quick:
        pytest.skip('kernels are forked on Linux only')
    first = """
import os, sys
print([m for m in sys.modules if m.split('.')[0] in ('nlpdeep', 'fastai', 'fastcore')])
print('torch' in sys.modules, 'left' in globals())
left, os.environ['LEFT'] = 1, '1'
sys.modules['left_over'] = sys
"""
    picture = 'import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show()'
    others = """
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
import nlpdeep, torch, math
print([list(ProcessPoolExecutor(2, get_context(o)).map(math.sqrt, [4, 9])) for o in ('fork', 'spawn')])
print(torch.ones(300, 300).mm(torch.ones(300, 300)).mean().item())
"""
    table = "import pandas; print(pandas.get_option('display.max_columns'))"
    again = "import os, sys; print('left' in globals(), 'LEFT' in os.environ, 'left_over' in sys.modules)"
    text, outputs = cell_by_cell(first, picture, others, table, **quick)
    assert text[0] == '[]\nTrue False\n'
    assert any('image/png' in o.get('data', {}) for o in outputs[1])
    assert text[2] == '[[2.0, 3.0], [2.0, 3.0]]\n300.0\n'
    assert text[3] == cell_by_cell(table)[0][0]
    assert cell_by_cell(again, **quick)[0] == ['False False False\n']
    with pytest.raises(CellExecutionError, match='ZeroDivisionError'):
        cell_by_cell('1 / 0', **quick)


@pytest.mark.slow
def test_a_forked_kernel_that_dies_or_hangs_is_noticed(quick):
    if not quick:
        pytest.skip('kernels are forked on Linux only')
    with pytest.raises(DeadKernelError):
        cell_by_cell('import os; os._exit(3)', **quick)
    with pytest.raises(CellTimeoutError):
        cell_by_cell('print(__import__("os").getpid(), flush=True)\nwhile True: pass', timeout=3, **quick)
    assert cell_by_cell('print(1)', **quick)[0] == ['1\n']
