"""Cells that show recorded runs, run again by themselves: does a notebook still show what the records say?

A cell that reads records needs little: imports, functions, constants, and earlier cells that read records.
`check(path)` takes just these, in order, and none of the training around them, so it takes seconds. A cell
that also needs something trained is left to `tests/test_notebooks.py`, which runs whole notebooks.
"""

import ast
import contextlib
import io
import os
import re
from html import unescape

import notebooks as nbs

READS = re.compile(r'\b(?:results|summary|show_results|published|show_numbers)\(')

CHEAP = (
    'movie_snippets',
    'dict',
    'list',
    'sorted',
    'len',
    'range',
    'set',
    'zip',
    'pd.DataFrame',
    'pd.Series',
)


def source(cell) -> str:
    return ''.join(cell['source'])


def reads_records(cell) -> bool:
    "Is this a cell of a lesson that shows records (and not the code that makes them)?"
    s = source(cell)
    return cell['cell_type'] == 'code' and bool(READS.search(s)) and not re.search(r'#\| (?:export|eval)', s)


def _defines(node) -> set:
    "The names that a top-level statement binds."
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(o.asname or o.name).split('.')[0] for o in node.names}
    return {o.id for o in ast.walk(node) if isinstance(o, ast.Name) and isinstance(o.ctx, ast.Store)}


def _uses(node) -> set:
    return {o.id for o in ast.walk(node) if isinstance(o, ast.Name) and isinstance(o.ctx, ast.Load)}


def _cheap(node, in_record_cell) -> bool:
    "May a statement before the cell be run? Definitions, constants, and what reads records."
    if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.Assign):
        calls = [o.func for o in ast.walk(node.value) if isinstance(o, ast.Call)]
        return in_record_cell or all(ast.unparse(f) in CHEAP for f in calls)
    return in_record_cell and isinstance(node, (ast.For, ast.AugAssign))


def _before(cells, stop, target) -> list:
    """The statements before cell `stop` that `target` needs, in order. One that is not cheap is left out, and
    so are older ones that bind the same names: if they are needed, a `NameError` will say so.
    """
    have = []
    for cell in cells[:stop]:
        if cell['cell_type'] != 'code' or re.search(r'(?m)^\s*[%!]', source(cell)):
            continue
        with contextlib.suppress(SyntaxError):
            have += [(node, reads_records(cell)) for node in ast.parse(source(cell)).body]
    wanted, gone, taken = set().union(*map(_uses, target)), set(), []
    for node, in_record_cell in reversed(have):
        binds = _defines(node) & wanted - gone
        if binds and _cheap(node, in_record_cell):
            taken.insert(0, node)
            wanted |= _uses(node)
        elif binds:
            gone |= binds
    return taken


def _html(o) -> str:
    "What a notebook shows of an object."
    for name in ('_repr_html_', '_repr_markdown_'):
        if f := getattr(o, name, None):
            return f() or ''
    return repr(o)


def _plain(html) -> str:
    html = re.sub(r'(?s)<style.*?</style>', '', html)
    # pandas 2 writes a no-break space as it is, pandas 3 as an entity
    text = re.sub(r'\s+', ' ', unescape(re.sub(r'<[^>]+>', ' ', html))).strip()
    # a record that the notebook makes itself is of this machine and this day
    return re.sub(r'(recorded in toy\.json) .*?(?= · mean|$)', r'\1', text)


def saved(cell) -> str:
    "The text of the saved outputs of a cell; pictures do not count."
    out = []
    for o in cell['outputs']:
        data = o.get('data', {})
        if 'text' in o:
            out.append(''.join(o['text']))
        elif 'image/png' not in data and 'image/svg+xml' not in data:
            kind = next((k for k in ('text/html', 'text/markdown', 'text/plain') if k in data), None)
            out.append(''.join(data[kind]) if kind else '')
    return _plain('\n'.join(out))


def compared(cell) -> str:
    """What of the saved text another run has to show again: all of it. A cell that also shows what the page
    has trained begins its lines from records with 'recorded,': then it is these, for what is trained depends
    on the precision and the processor.
    """
    lines = [o for out in cell['outputs'] for o in ''.join(out.get('text', '')).splitlines()]
    return '\n'.join(o for o in lines if o.startswith('recorded,')) or saved(cell)


def now(cells, at) -> str | None:
    "What cell `at` shows today; None: it cannot be run by itself."
    import IPython.display as ipd
    import matplotlib
    import pandas as pd

    matplotlib.use('Agg')
    # as in a notebook, where fastai sets it; and what a cell sets itself does not reach the next notebook
    width = pd.option_context('display.max_colwidth', 600)
    body = ast.parse(source(cells[at])).body
    first = _before(cells, at, body)
    out = []

    class Stream(io.StringIO):
        def write(self, text):
            out.append(text)
            return len(text)

    def display(*things):
        out.extend('\n' + _html(o) + '\n' for o in things)

    ns = {'__name__': '__main__', 'display': display, 'get_ipython': lambda: None}
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    silent, said = source(cells[at]).rstrip().endswith(';'), ipd.display
    ipd.display = display
    try:
        with width, contextlib.redirect_stdout(Stream()):
            for node in first:
                with contextlib.suppress(NameError):
                    exec(compile(ast.Module([node], []), '<before>', 'exec'), ns)
            out.clear()
            ns['display'] = display
            exec(compile(ast.Module(body, []), '<cell>', 'exec'), ns)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), '<cell>', 'eval'), ns)
                if value is not None and not silent:
                    display(value)
    except NameError:
        return None
    finally:
        ipd.display = said
        if 'matplotlib.pyplot' in __import__('sys').modules:
            matplotlib.pyplot.close('all')
    return _plain(''.join(out))


def check(path) -> list[tuple[str, str, str | None]]:
    "(cell id, saved text, today's text or None) for each cell of a notebook that shows records."
    cells, here = nbs.read(path)['cells'], os.getcwd()
    os.chdir(path.parent)
    try:
        return [(c['id'], saved(c), now(cells, k)) for k, c in enumerate(cells) if reads_records(c)]
    finally:
        os.chdir(here)


def _tried(node) -> str:
    "A statement as code that passes over names that are not there, as `now` does."
    body = ast.unparse(node).replace('\n', '\n    ')
    return f'try:\n    {body}\nexcept NameError:\n    pass'


def refresh(path) -> int:
    """Run the cells whose saved tables differ from the records in a fresh kernel, with what they need and
    nothing else, and save their outputs. Returns how many.
    """
    import tempfile

    nb, old = nbs.read(path), {i for i, a, b in check(path) if b is not None and a != b}
    for k, cell in enumerate(nb['cells']):
        if cell['id'] not in old:
            continue
        first = _before(nb['cells'], k, ast.parse(source(cell)).body)
        setup = next(c for c in nb['cells'] if 'setup_notebook(' in source(c))
        before = dict(setup, id='before', source='\n\n'.join(map(_tried, first)), outputs=[])
        with tempfile.NamedTemporaryFile('w', suffix='.ipynb', dir=path.parent, encoding='utf-8') as f:
            f.write(nbs.dumps(nb | dict(cells=[setup, before, cell])))
            f.flush()
            cell['outputs'] = nbs.tidy(nbs.execute(f.name))['cells'][2]['outputs']
    if old:
        path.write_text(nbs.dumps(nb), encoding='utf-8')
    return len(old)
