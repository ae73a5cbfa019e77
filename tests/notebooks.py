"""The notebooks as files: run, tidy, save, export, link. The tests use it; so does whoever edits a notebook:

    python tests/notebooks.py save 02 03a    run these notebooks (all, if none is named), save them with their
        outputs, export
    python tests/notebooks.py check 02       run them in a fresh kernel and report; nothing is written
    python tests/notebooks.py look           the notebooks from outside: cells, exports, words per line of
        code, width
    python tests/notebooks.py tables         run the cells again whose saved tables differ from the records
    python tests/notebooks.py links          make badges and install lines from the repository address in
        settings.ini, and the table in nbs/runs/README.md from the scripts

Notebooks run on one thread, which is fastest for tiny models; OMP_NUM_THREADS=2 in the environment changes
that.
"""

import configparser
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT / 'nbs'
# cells with these marks are left out unless asked for with NLPDEEP_FLAGS="slow cuda"
FLAGS = ('slow', 'cuda')


def all_notebooks() -> list[Path]:
    "Every notebook of the course, chapters and solutions, in reading order."
    return sorted(p for p in NBS.rglob('*.ipynb') if not any(o[0] in '._' for o in p.relative_to(NBS).parts))


def read(path) -> dict:
    return json.loads(Path(path).read_text(encoding='utf-8'))


def dumps(nb) -> str:
    return json.dumps(nb, indent=1, ensure_ascii=False, sort_keys=True) + '\n'


def cleaned(nb) -> dict:
    "A copy of `nb` as nbdev's cleaner would leave it."
    from fastcore.nbio import dict2nb
    from nbdev.clean import clean_nb

    nb = dict2nb(copy.deepcopy(nb))
    clean_nb(nb, allowed_metadata_keys=['language_info'])
    nb = json.loads(json.dumps(nb, default=dict))
    for c in nb['cells']:
        for k in [k for k in c if k.endswith('_')]:
            del c[k]  # what fastcore notes in memory: no part of the format
        if isinstance(c['source'], str):
            c['source'] = c['source'].splitlines(True)
    return nb


def directives(cell) -> set:
    "The names of a cell's `#|` directives."
    return {m.split()[0].rstrip(':') for m in re.findall(r'(?m)^#\|\s*(.+)$', ''.join(cell['source']))}


def execute(path, timeout=600) -> dict:
    """Run a notebook top to bottom in a fresh kernel, without the cells marked slow or cuda; returns it with
    outputs, or raises.
    """
    import nbformat
    from nbclient import NotebookClient

    nb = nbformat.read(path, as_version=4)
    skip = set(FLAGS) - set(os.environ.get('NLPDEEP_FLAGS', '').split())
    for c in nb.cells:
        if c.cell_type == 'code' and (skip & directives(c) or '#| eval: false' in c.source):
            c.cell_type, c.metadata['skipped'] = 'raw', {k: c.pop(k) for k in ('outputs', 'execution_count')}
    env = {k: v for k, v in os.environ.items() if k != 'MPLBACKEND'}
    env.setdefault('OMP_NUM_THREADS', '1')
    env.update(
        PYTHONPATH=os.pathsep.join([str(ROOT), env.get('PYTHONPATH', '')]).rstrip(os.pathsep),
        PYTHONHASHSEED='0',
        TOKENIZERS_PARALLELISM='false',
        JUPYTER_PLATFORM_DIRS='1',
        PYTHONWARNINGS='ignore::DeprecationWarning',
    )
    NotebookClient(
        nb,
        timeout=timeout,
        kernel_name='python3',
        coalesce_streams=True,
        resources={'metadata': {'path': str(Path(path).parent)}},
    ).execute(env=env)
    for c in nb.cells:
        if 'skipped' in c.metadata:
            c.cell_type, kept = 'code', c.metadata.pop('skipped')
            c.update(kept)
    return json.loads(nbformat.writes(nb))


def tidy(nb) -> dict:
    "Outputs without what changes from run to run: progress bars, process numbers, empty output."
    for c in nb['cells']:
        c.get('metadata', {}).pop('execution', None)
        if c['cell_type'] != 'code':
            continue
        outs = []
        for o in c['outputs']:
            if o.get('name') == 'stderr':
                continue
            data = o.get('data', {})
            if (
                set(data) <= {'text/html', 'text/plain'}
                and data
                and not ''.join(data.get('text/html', ['x'])).strip()
            ):
                continue
            text = re.sub(r'ipykernel_\d+/\d+\.py', 'ipykernel/cell.py', json.dumps(o))
            o = json.loads(text)
            if 'text' in o:
                t = re.sub(r'[^\n]*\r', '', ''.join(o['text']))
                if not t.strip():
                    continue
                o['text'] = t.splitlines(True)
            outs.append(o)
        c['outputs'] = outs
    return cleaned(nb)


def export():
    "Write the modules of all notebooks into the package, and the index of their names."
    from nbdev.doclinks import nbdev_export

    here = os.getcwd()
    os.chdir(ROOT)
    try:
        nbdev_export()
    finally:
        os.chdir(here)


def export_all(root) -> dict[str, str]:
    """Copy the notebooks under `root` and export them there with nbdev; returns the text of every module, by
    file name.
    """
    root = Path(root)
    shutil.copytree(NBS, root / 'nbs', ignore=shutil.ignore_patterns('.*', 'results'))
    (root / 'nlpdeep').mkdir()
    shutil.copy(ROOT / 'pyproject.toml', root)
    shutil.copy(ROOT / 'nlpdeep' / '__init__.py', root / 'nlpdeep')
    r = subprocess.run(
        [sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if r.returncode:
        raise RuntimeError(r.stderr)
    return {f.name: f.read_text(encoding='utf-8') for f in (root / 'nlpdeep').glob('*.py')}


def save(path) -> float:
    "Export, run, tidy, save with outputs. Returns seconds."
    t = time.time()
    export()
    Path(path).write_text(dumps(tidy(execute(path))), encoding='utf-8')
    return time.time() - t


def linked(text: str, name: str) -> str:
    """`text` with its badge and install lines made from the repository's address; `name` is the notebook's
    path under nbs/.
    """
    cfg = configparser.ConfigParser(interpolation=None)
    cfg.read(ROOT / 'settings.ini', encoding='utf-8')
    repo, branch = cfg['package']['repository'], cfg['package']['branch']
    slug = repo.split('github.com/')[-1]
    text = re.sub(
        r'https://colab\.research\.google\.com/github/[^)\s"]*?/blob/[^)\s"]*?/nbs/([\w./-]+\.ipynb)',
        lambda m: f'https://colab.research.google.com/github/{slug}/blob/{branch}/nbs/{name or m[1]}',
        text,
    )
    text = re.sub(r'git\+https://github\.com/[\w.-]+/[\w.-]+', f'git+{repo}', text)
    return re.sub(r'https://github\.com/[\w.-]+/[\w.-]+?(?=/(?:actions|issues|blob|tree)\b)', repo, text)


def kind(path) -> str:
    "`chapter` (NN_name), `workshop` (NNa_name) or `solution`."
    path = Path(path)
    if path.parent.name == 'solutions':
        return 'solution'
    return 'workshop' if re.match(r'\d+[a-z]_', path.name) else 'chapter'


def headline(path) -> tuple[str, str]:
    "Title and promise of a notebook, from its first cell."
    first = ''.join(read(path)['cells'][0]['source'])
    title, promise = re.search(r'(?m)^# (.+)$', first)[1], re.search(r'(?m)^> (.+(?:\n> .+)*)$', first)
    return title.removeprefix('Workshop: '), re.sub(r'\n> ', ' ', promise[1]) if promise else ''


def chapters() -> str:
    """The README's table, made from the notebooks' first cells: each chapter, its promise, its workshops, its
    Colab link.
    """
    rows = ['| | chapter | what it promises | workshops | |', '|---|---|---|---|---|']
    ours = [p for p in all_notebooks() if p.parent == NBS]
    for p in ours:
        if kind(p) != 'chapter':
            continue
        title, promise = headline(p)
        shops = [o for o in ours if kind(o) == 'workshop' and o.name[:2] == p.name[:2]]
        links = ' · '.join(f'[{o.name.split("_")[0]}](nbs/{o.name} "{headline(o)[0]}")' for o in shops)
        rows.append(
            f'| {p.name[:2]} | [{title}](nbs/{p.name}) | {promise} | {links} | '
            f'[![Colab](https://colab.research.google.com/assets/colab-badge.svg)]'
            f'(https://colab.research.google.com/github/o/r/blob/b/nbs/{p.name}) |'
        )
    return '\n'.join(rows)


def figures(path) -> dict:
    """A notebook from outside: `cells`, `code_lines`, `words`, `density` (words a line of code), `exports`,
    `widest`, `walls`, `refused`.
    """
    cells = read(path)['cells']
    code = [''.join(c['source']) for c in cells if c['cell_type'] == 'code']
    prose = [''.join(c['source']) for c in cells if c['cell_type'] == 'markdown']
    lines = [o for s in code for o in s.splitlines() if o.strip()]
    exported = [s for s in code if re.search(r'(?m)^#\|\s*export', s)]
    names = [n for s in exported for n in re.findall(r'(?m)^(?:class|def) ([A-Za-z]\w*)', s)]
    paragraphs = [
        o for s in prose for o in s.split('\n\n') if not o.lstrip().startswith(('|', '#', '>', '[', '-', '<'))
    ]
    words = sum(len(s.split()) for s in prose)
    return dict(
        cells=len(cells),
        code_lines=len(lines),
        words=words,
        density=words / max(1, len(lines)),
        exports=len(names),
        widest=max(map(len, lines), default=0),
        walls=sum(len(o.split()) > 90 for o in paragraphs),
        refused=sum(bool(re.search(r'\brefuses?\(|\braised\(|except InputError', s)) for s in code),
    )


def look() -> str:
    "The figures of every notebook as a table."
    rows = [
        f'{"notebook":32} '
        f'{"kind":9}{"cells":>6}{"lines":>6}{"words":>6}{"w/line":>7}{"exports":>8}{"widest":>7}{"walls":>6}{"refused":>8}'
    ]
    for p in all_notebooks():
        f = figures(p)
        rows.append(
            f'{p.relative_to(NBS).as_posix():32} '
            f'{kind(p):9}{f["cells"]:6}{f["code_lines"]:6}{f["words"]:6}{f["density"]:7.1f}'
            f'{f["exports"]:8}{f["widest"]:7}{f["walls"]:6}{f["refused"]:8}'
        )
    return '\n'.join(rows)


def linked_readme(text: str) -> str:
    "The README with its table of chapters and its links renewed."
    text = re.sub(
        r'(?s)(<!-- chapters[^\n]*-->\n).*?(<!-- end -->)', lambda m: m[1] + chapters() + '\n' + m[2], text
    )
    return linked(text, '')


def linked_runs(text: str) -> str:
    "The README of nbs/runs with its table renewed: a line for each script, from the scripts."
    from nlpdeep.runs import runs_table

    return re.sub(
        r'(?s)(<!-- runs[^\n]*-->\n).*?(<!-- end -->)', lambda m: m[1] + runs_table() + '\n' + m[2], text
    )


def links():
    for p in all_notebooks():
        s = p.read_text(encoding='utf-8')
        p.write_text(linked(s, p.relative_to(NBS).as_posix()), encoding='utf-8')
    p = ROOT / 'README.md'
    p.write_text(linked_readme(p.read_text(encoding='utf-8')), encoding='utf-8')
    p = NBS / 'runs' / 'README.md'
    p.write_text(linked_runs(p.read_text(encoding='utf-8')), encoding='utf-8')


if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in ('save', 'check', 'links', 'look', 'tables'):
        sys.exit(__doc__)
    if sys.argv[1] == 'links':
        sys.exit(links())
    if sys.argv[1] == 'look':
        sys.exit(print(look()))
    for p in all_notebooks():
        if sys.argv[2:] and not any(p.name.startswith(o) or p.stem == o for o in sys.argv[2:]):
            continue
        if sys.argv[1] == 'tables':
            import record_cells

            if n := record_cells.refresh(p):
                print(f'{p.relative_to(ROOT)}  {n} cells', flush=True)
        elif sys.argv[1] == 'save':
            print(f'{p.relative_to(ROOT)}  {save(p):.1f} s', flush=True)
        else:
            t = time.time()
            execute(p)
            print(f'{p.relative_to(ROOT)}  {time.time() - t:.1f} s', flush=True)
