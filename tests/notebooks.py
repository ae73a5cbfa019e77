"""The notebooks as files: run, tidy, save, export, link. The tests use it; so does whoever edits a notebook:

    python tests/notebooks.py save 02 03a    run these notebooks (all, if none is named), save them with their
        outputs, export
    python tests/notebooks.py check 02       run them in a fresh kernel and report; nothing is written
    python tests/notebooks.py look           the notebooks from outside: cells, exports, words per line of
        code, width
    python tests/notebooks.py count          exercises, questions and hours of every chapter
    python tests/notebooks.py links          make badges, install lines, the README's tables and CITATION.cff
        from settings.ini, the notebooks' first cells and the records, and the table in nbs/runs/README.md
    python tests/notebooks.py install        write the install lines of this version into all notebooks, or
        into those of a kind: chapter, workshop, solution
    python tests/notebooks.py tables         run the cells again whose saved tables differ from the records

Notebooks run on one thread, which is fastest for tiny models; OMP_NUM_THREADS=2 in the environment changes
that.
"""

import ast
import configparser
import copy
import functools
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


def kernel_env() -> dict:
    "The environment of a notebook's kernel."
    env = {k: v for k, v in os.environ.items() if k != 'MPLBACKEND'}
    env.setdefault('OMP_NUM_THREADS', '1')
    env.update(
        PYTHONPATH=os.pathsep.join([str(ROOT), env.get('PYTHONPATH', '')]).rstrip(os.pathsep),
        PYTHONHASHSEED='0',
        TOKENIZERS_PARALLELISM='false',
        JUPYTER_PLATFORM_DIRS='1',
        PYTHONWARNINGS='ignore::DeprecationWarning',
    )
    return env


def execute(path, timeout=600, **how) -> dict:
    """Run a notebook top to bottom in a fresh kernel, without the cells marked slow or cuda; returns it with
    outputs, or raises. `how`: more for nbclient, such as a `kernel_manager_class`.
    """
    import nbformat
    from nbclient import NotebookClient

    nb = nbformat.read(path, as_version=4)
    skip = set(FLAGS) - set(os.environ.get('NLPDEEP_FLAGS', '').split())
    for c in nb.cells:
        if c.cell_type == 'code' and (skip & directives(c) or '#| eval: false' in c.source):
            c.cell_type, c.metadata['skipped'] = 'raw', {k: c.pop(k) for k in ('outputs', 'execution_count')}
    NotebookClient(
        nb,
        timeout=timeout,
        kernel_name='python3',
        coalesce_streams=True,
        resources={'metadata': {'path': str(Path(path).parent)}},
        **how,
    ).execute(env=kernel_env())
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
    for name in ('__init__.py', '__main__.py'):  # written by hand
        shutil.copy(ROOT / 'nlpdeep' / name, root / 'nlpdeep')
    r = subprocess.run(
        [sys.executable, '-c', 'from nbdev.doclinks import nbdev_export; nbdev_export()'],
        cwd=root,
        capture_output=True,
        text=True,
    )
    if r.returncode:
        raise RuntimeError(r.stderr)
    return {f.name: f.read_text(encoding='utf-8') for f in (root / 'nlpdeep').glob('*.py')}


@functools.cache
def definitions(chapter: str) -> dict[str, str]:
    "The source of every top-level function and class of a chapter, by name (the last of a name)."
    (path,) = NBS.glob(f'{chapter}_*.ipynb')
    found = {}
    for cell in read(path)['cells']:
        source = ''.join(cell['source'])
        if cell['cell_type'] == 'code' and '%pip' not in source:
            for node in ast.parse(source).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    found[node.name] = ast.get_source_segment(source, node)
                    for line in reversed(node.decorator_list):
                        found[node.name] = f'@{ast.unparse(line)}\n{found[node.name]}'
    return found


def save(path) -> float:
    "Export, run, tidy, save with outputs. Returns seconds."
    t = time.time()
    export()
    Path(path).write_text(dumps(tidy(execute(path))), encoding='utf-8')
    return time.time() - t


def settings() -> configparser.ConfigParser:
    "What settings.ini says."
    cfg = configparser.ConfigParser(interpolation=None)
    cfg.read(ROOT / 'settings.ini', encoding='utf-8')
    return cfg


def colab(name: str) -> str:
    "Where the notebook `name` (its path under nbs/) opens in Colab."
    pkg = settings()['package']
    slug = pkg['repository'].split('github.com/')[-1]
    return f'https://colab.research.google.com/github/{slug}/blob/{pkg["branch"]}/nbs/{name}'


def linked(text: str, name: str) -> str:
    """`text` with its badge and install lines made from the repository's address; `name` is the notebook's
    path under nbs/.
    """
    repo = settings()['package']['repository']
    text = re.sub(
        r'https://colab\.research\.google\.com/github/[^)\s"]*?/blob/[^)\s"]*?/nbs/([\w./-]+\.ipynb)',
        lambda m: colab(name or m[1]),
        text,
    )
    text = re.sub(r'git\+https://github\.com/[\w.-]+/[\w-]+', f'git+{repo}', text)
    own = re.escape(repo.rpartition('/')[2])  # links to other people's repositories stay as they are
    return re.sub(
        rf'https://github\.com/[\w.-]+/{own}(?=/(?:actions|issues|blob|tree|releases)\b)', repo, text
    )


def install_lines(extra: str = '') -> str:
    """How a notebook begins where nlpdeep may be missing: the release of this version is installed next to
    what is there, and what to do where that fails is said in two lines. `extra`: `[gpt2]` or nothing.
    """
    pkg = settings()['package']
    return f"""try:
    import nlpdeep.notebook
except ImportError:  # not installed, or a folder of that name is in the way
    wheel = 'nlpdeep-{pkg['version']}-py3-none-any.whl'
    release = '{pkg['repository']}/releases/download/v{pkg['version']}'
    %pip install -q "nlpdeep{extra} @ {{release}}/{{wheel}}"
    import sys

    sys.modules.pop('nlpdeep', None)
    try:
        import nlpdeep.notebook
    except ImportError:
        raise SystemExit(
            f'nlpdeep could not be installed. Download {{release}}/{{wheel}},\\n'
            f'upload it next to this notebook, and run: %pip install "./{{wheel}}{extra}"'
        )
"""


def with_install(source: str) -> str:
    "The source of a cell with its install lines, of whatever version, renewed."
    pip = r'    %pip install -q "nlpdeep(\[\w+\])? @ .*\n'
    begin, end = r'try:\n    import nlpdeep', r'(?:.*\n)*?        \)\n'
    for pattern in (rf'{begin}\nexcept ImportError:\n{pip}', rf'{begin}\.notebook\n(?:.*\n)*?{pip}{end}'):
        source = re.sub(pattern, lambda m: install_lines(m[1] or ''), source, count=1)
    return source


def renew_install(paths):
    "Write today's install lines into these notebooks."
    for p in paths:
        nb = read(p)
        for c in nb['cells']:
            if c['cell_type'] == 'code':
                c['source'] = with_install(''.join(c['source'])).splitlines(True)
        p.write_text(dumps(nb), encoding='utf-8')


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


def hours(path) -> str:
    "How many hours of study a chapter takes, from its first cell: `2 to 3`; a dash where it does not say."
    rows = re.findall(r'(?m)^\|[* ]*(?:Time|Hours)[^|]*\|(.*)\|$', ''.join(read(path)['cells'][0]['source']))
    found = re.search(r'\w+(?: to (?!study)\w+)?', rows[0]) if rows else None
    number = dict(one='1', two='2', three='3', four='4', five='5', six='6')
    return re.sub(r'[a-z]+', lambda m: number.get(m[0], m[0]), found[0]) if found else '–'


def chapters() -> str:
    """The README's table, made from the notebooks' first cells: each chapter, its hours, its promise, its
    workshops, its Colab link.
    """
    rows = ['| | chapter | hours | what it promises | workshops | |', '|---|---|---|---|---|---|']
    ours = [p for p in all_notebooks() if p.parent == NBS]
    for p in ours:
        if kind(p) != 'chapter':
            continue
        title, promise = headline(p)
        shops = [o for o in ours if kind(o) == 'workshop' and o.name[:2] == p.name[:2]]
        links = ' · '.join(f'[{o.name.split("_")[0]}](nbs/{o.name} "{headline(o)[0]}")' for o in shops)
        rows.append(
            f'| {p.name[:2]} | [{title}](nbs/{p.name}) | {hours(p)} | {promise} | {links} | '
            f'[Colab]({colab(p.name)}) |'
        )
    return '\n'.join(rows)


def measured() -> str:
    "The README's four lines of measurements, made from the recorded runs."
    from statistics import mean

    def runs(record, **wanted):
        found = [
            o
            for o in json.loads((NBS / 'results' / f'{record}.json').read_text(encoding='utf-8'))
            if all(o['config'].get(k) == v for k, v in wanted.items())
        ]
        if not found:
            raise ValueError(f'no run of {record} has {wanted}: mend `measured` in tests/notebooks.py')
        return found

    def percent(found, metric):
        return f'{mean(o["metrics"][metric] for o in found):.1%}'.replace('%', ' %')

    default = runs('ulmfit_default')
    asked, counted = (runs('imdb', method=m, labels=100) for m in ('smollm2_whole', 'tfidf'))
    imdb, words = (runs('ulmfit_imdb', arm=arm, labels='all') for arm in ('both', 'tfidf'))
    reads = runs('imdb_all', method='smollm2_whole')
    (cold,) = runs('bench_text', stage='tokenize cold')
    speed, low, high = (cold['metrics'][k] for k in ('ratio', 'low', 'high'))
    published = json.loads((NBS / 'results' / 'published.json').read_text(encoding='utf-8'))
    lessons = published['ulmfit_full']['classifier, both directions']['value']
    times = {1: 'one run', 2: 'two runs', 3: 'three runs', 5: 'five runs'}

    def n(found):
        return times.get(len(found), f'{len(found)} runs')

    return '\n'.join(
        [
            f'- **`nlpdeep ulmfit`, as it is:** {percent(default, "accuracy")} right about sentences on '
            f'films that are new to it; TF-IDF with logistic regression {percent(default, "tfidf")} '
            f'({n(default)}, {mean(o["minutes"] for o in default):.0f} minutes each on two cores).',
            f'- **IMDb, a hundred labels:** {percent(asked, "test")} of the test reviews with a small '
            f'pretrained transformer that only reads (nothing in it is trained), on two cores; TF-IDF '
            f'{percent(counted, "test")} ({n(asked)}).',
            f'- **IMDb, all labels:** {percent(imdb, "test")} with both directions of the model that ships, '
            f'{percent(reads, "test")} with the transformer that only reads; TF-IDF {percent(words, "test")} '
            f'({n(imdb)} each). The lessons reach {lessons} with a larger model.',
            f'- **Tokenizing {cold["data"]}:** {speed:.1f} times as fast as fastai, with the same tokens '
            f'({low:.1f} to {high:.1f} over {cold["config"]["rounds"]} rounds, caches cold).',
        ]
    )


def questions(path) -> list[tuple[str, str]]:
    "The questions of a chapter with their answers, as HTML; hints of exercises are none."
    prose = '\n\n'.join(''.join(c['source']) for c in read(path)['cells'] if c['cell_type'] == 'markdown')
    _, _, own = prose.partition('## Check yourself')
    found = re.findall(r'(?s)<details><summary>(.*?)</summary>(.*?)</details>', own.split('\n## ')[0])
    return [(q.strip(), a.strip()) for q, a in found]


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


def count() -> str:
    "Exercises, questions and hours of every chapter as a table, with the sums."
    from nlpdeep.classroom import find_exercises

    rows, sums = [f'{"chapter":24}{"exercises":>10}{"questions":>10}  hours'], [0, 0]
    for p in all_notebooks():
        if kind(p) == 'chapter':
            n = [len(find_exercises(read(p)['cells'])), len(questions(p))]
            sums = [a + b for a, b in zip(sums, n)]
            rows.append(f'{p.stem:24}{n[0]:10}{n[1]:10}  {hours(p)}')
    return '\n'.join([*rows, f'{"together":24}{sums[0]:10}{sums[1]:10}'])


def linked_readme(text: str) -> str:
    "The README with its table of chapters, its measurements and its links renewed."
    for name, made in (('chapters', chapters()), ('measured', measured())):
        text = re.sub(
            rf'(?s)(<!-- {name}[^\n]*-->\n).*?(<!-- end -->)', lambda m: f'{m[1]}{made}\n{m[2]}', text
        )
    return linked(text, '')


def cited(text: str) -> str:
    "CITATION.cff with the version and the repository of settings.ini."
    pkg = settings()['package']
    text = re.sub(r'(?m)^version: .*$', f'version: {pkg["version"]}', text)
    return re.sub(r'(?m)^repository-code: .*$', f'repository-code: {pkg["repository"]}', text)


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
    made = {ROOT / 'README.md': linked_readme, ROOT / 'CITATION.cff': cited}
    made[NBS / 'runs' / 'README.md'] = linked_runs
    for p, renewed in made.items():
        p.write_text(renewed(p.read_text(encoding='utf-8')), encoding='utf-8')


if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in (
        'save',
        'check',
        'links',
        'look',
        'install',
        'count',
        'tables',
    ):
        sys.exit(__doc__)
    if sys.argv[1] == 'links':
        sys.exit(links())
    if sys.argv[1] == 'install':
        kinds = sys.argv[2:] or ('chapter', 'workshop', 'solution')
        sys.exit(renew_install(p for p in all_notebooks() if kind(p) in kinds))
    if sys.argv[1] == 'count':
        sys.exit(print(count()))
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
