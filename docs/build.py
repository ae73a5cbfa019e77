"""The site: the whole course as pages that need no network. One command makes it:

    python docs/build.py [OUT]      into build/site, or into OUT; open OUT/index.html

Chapters, workshops and solutions come from the notebooks with their saved outputs (nothing is run), the API
from the source with its comments, results from nbs/results, the rest from the repository's own files. Needs
`pip install "nlpdeep[docs]"`.

The builder is sphinx with myst-nb and furo. Its search reads an index from a script, so it works from a file;
pages are readable without JavaScript, follow the reader's light or dark setting, and ask no other host for
anything. mkdocs with material and mkdocs-jupyter loads scripts from unpkg and cdnjs, and material
reaches its end of life in 2027.
"""

import ast
import base64
import html
import json
import re
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'tests'))

import notebooks as nbs  # noqa: E402

TITLES = {
    'results': 'Results',
    'questions': 'Questions and answers',
    'glossary': 'Glossary',
    'model-card': 'The model that ships',
    'changelog': 'Changelog',
}
PAGE_OF = {'results': 'results', 'runs': 'results'}  # folders of the repository that are a page here


def repository() -> str:
    "The repository's address on the web, as a prefix of its files."
    cfg = nbs.settings()
    return f'{cfg["package"]["repository"]}/blob/{cfg["package"]["branch"]}'


def with_math(text: str) -> str:
    "Formulas as MathML, which a browser shows without any script; code is left alone."
    from latex2mathml.converter import convert

    def formula(m):
        tex, block = (m[2], True) if m[2] else (m[3], False)
        if not tex:
            return m[0]
        made = convert(tex, display='block' if block else 'inline')
        return f'<div class="formula">{made}</div>' if block else made

    code = r'```.*?```|`[^`\n]*`|<code>.*?</code>'
    return re.sub(rf'(?s)({code})|\$\$(.+?)\$\$|\$(?=\S)([^$\n]+?)(?<=\S)\$(?!\d)', formula, text)


def marked_up(text: str) -> str:
    "HTML of a folded answer or hint, in which markdown is not read: `*word*` and code in backticks as HTML."
    out = []
    for i, piece in enumerate(re.split(r'(?s)(<code>.*?</code>|<[^>]+>)', text)):
        if not i % 2:
            piece = re.sub(r'`([^`]+)`', r'<code>\1</code>', piece)
            piece = re.sub(r'(?<![\w*])\*([^*\s](?:[^*]*[^*\s])?)\*(?![\w*])', r'<em>\1</em>', piece)
        out.append(piece)
    return ''.join(out)


def site_links(text: str, here: str) -> str:
    "Links that lead out of the notebooks, to files that are pages here or stay in the repository."

    def link(m):
        label, target = m[1], m[2]
        path, _, anchor = target.partition('#')
        if re.match(r'[a-z]+:|#', target) or path.endswith('.ipynb'):
            return m[0]
        full = (ROOT / here / path).resolve()
        if full == ROOT / 'nlpdeep/pretrained/README.md':
            return f'[{label}]({"../" * len(Path(here).parts)}model-card.md)'
        if not full.exists():
            return m[0]
        return f'[{label}]({repository()}/{full.relative_to(ROOT).as_posix()})'

    return re.sub(r'(?<!!)\[([^\]]*)\]\(([^)\s]+)(?: "[^"]*")?\)', link, text)


def picture_width(output: dict) -> int:
    "How many pixels wide a saved picture is; 0 for any other output."
    png = ''.join(output.get('data', {}).get('image/png', ''))
    return int.from_bytes(base64.b64decode(png[:32])[16:20], 'big') if png else 0


def aligned(output: dict) -> bool:
    """Whether what a cell printed is a table made of spaces or boxes that fits a page of 98 characters: on a
    phone it must scroll, as wrapped lines would tear its columns apart.
    """
    text = ''.join(output.get('text', []))
    lines = text.splitlines()
    columns = [o for o in lines if re.search(r'\S {3,}\S|[│╭╰]', o)]
    return len(columns) > 1 and max(map(len, lines)) <= 98


def page_of_notebook(path: Path) -> dict:
    "A notebook as the site shows it: no badge, no directives, links and formulas that work here."
    nb, cells = nbs.read(path), []
    name = path.relative_to(nbs.NBS).as_posix()
    up = '../' * len(Path(name).parts)
    for c in nb['cells']:
        source = ''.join(c['source'])
        meta = {}
        if c['cell_type'] == 'markdown':
            source = re.sub(r'(?m)^\[!\[[^\]]*\]\([^)]*\)\]\([^)]*\)\n?', '', source)
            source = re.sub(r'(?s)<details>.*?</details>', lambda m: marked_up(m[0]), source)
            source = with_math(site_links(source, f'nbs/{name}'.rpartition('/')[0]))
        else:
            marks = nbs.directives(c)
            source = re.sub(r'(?m)^#\|.*\n?', '', source)
            if 'default_exp' in marks or not source.strip():
                continue
            if marks & {'hide', 'echo'}:  # drawing code: folded, its picture is shown
                meta = dict(tags=['hide-input'])
            if any(picture_width(o) > 640 for o in c['outputs']):
                meta['mystnb'] = dict(image=dict(classes='natural'))
            if any(map(aligned, c['outputs'])):
                meta['tags'] = [*meta.get('tags', []), 'aligned']
        cells.append(c | dict(source=source, metadata=meta))
    bar = (
        f'<p class="notebook-links"><a href="{nbs.colab(name)}">Open in Colab</a> · '
        f'<a href="{up}notebooks/{name}" download>Download this notebook</a></p>'
    )
    first = cells[0]['source']
    cells[0] = cells[0] | dict(
        source=re.sub(r'(?m)^(# .+\n)', lambda m: f'{m[1]}\n{bar}\n', first + '\n', count=1)
    )
    return nb | dict(cells=cells)


def without_body(node, lines: list[str]) -> str:
    "The head of a function or class as it is written, with the comments that say shapes and units."
    begin = min([node.lineno, *[d.lineno for d in node.decorator_list]]) - 1
    head = lines[begin : max(node.body[0].lineno - 1, node.lineno)]
    if node.body[0].lineno == node.lineno:
        head = [lines[begin].split(':  #')[0]]
    text = '\n'.join(head).rstrip()
    if text.endswith('"""') or '"""' in text:
        text = text.split('"""')[0].rstrip()
    pad = min((len(o) - len(o.lstrip()) for o in text.splitlines() if o.strip()), default=0)
    return '\n'.join(o[pad:] for o in text.splitlines())


def doc_text(node) -> str:
    "A docstring as markdown."
    text = ast.get_docstring(node) or ''
    return re.sub(r'(?m)^ +', '', text)


def api_page(module: Path) -> str:
    "The page of a module: every exported name with its head, comments and all, and its docstring."
    source = module.read_text(encoding='utf-8')
    tree, lines = ast.parse(source), source.splitlines()
    exported = next(
        (
            [o.value for o in n.value.elts]
            for n in tree.body
            if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '') == '__all__'
        ),
        [],
    )
    made_in = re.search(r'File to edit: \.\./(nbs/\w+\.ipynb)', source)
    out = [f'# nlpdeep.{module.stem}', doc_text(tree)]
    if made_in:
        out.append(f'Built and checked in [{made_in[1].split("/")[-1]}](../{made_in[1]}).')
    for n in tree.body:
        if not isinstance(n, (ast.FunctionDef, ast.ClassDef)) or n.name not in exported:
            continue
        out += [f'## {n.name}', f'```python\n{without_body(n, lines)}\n```', doc_text(n)]
        if not isinstance(n, ast.ClassDef):
            continue
        fields = [o for o in n.body if isinstance(o, ast.AnnAssign)]
        if fields:
            text = '\n'.join(o[4:] for f in fields for o in lines[f.lineno - 1 : f.end_lineno])
            out.append(f'```python\n{text}\n```')
        for m in n.body:
            if isinstance(m, ast.FunctionDef) and (m.name == '__init__' or not m.name.startswith('_')):
                if m.name != '__init__':
                    out.append(f'### {n.name}.{m.name}')
                out += [f'```python\n{without_body(m, lines)}\n```', doc_text(m)]
    return '\n\n'.join(o for o in out if o) + '\n'


def figure(v) -> str:
    return f'{v:,.4g}' if isinstance(v, float) else str(v)


def results_page() -> str:
    "Every recorded run: what made it, when, on what, and the means of its figures."
    out = [
        f'# {TITLES["results"]}',
        'Every number of the course comes from a recorded run. These are all the records: a table for each, '
        'one line for each configuration, with the mean over its seeds. The command repeats the run.',
    ]
    for f in sorted((nbs.NBS / 'results').glob('*.json')):
        runs = json.loads(f.read_text(encoding='utf-8'))
        runs = (
            [r for r in runs if isinstance(r, dict) and isinstance(r.get('metrics'), dict)]
            if isinstance(runs, list)
            else []
        )
        out.append(f'## {f.stem}')
        if not runs:
            out.append(f'No table of figures: [the record]({repository()}/nbs/results/{f.name}).')
            continue
        groups = {}
        for r in runs:
            config = ', '.join(
                f'{k} {figure(v)}' for k, v in r.get('config', {}).items() if not isinstance(v, (dict, list))
            )
            groups.setdefault(config, []).append(r)
        keys = [
            k
            for k in dict.fromkeys(k for r in runs for k in r['metrics'])
            if any(isinstance(r['metrics'].get(k), (int, float)) for r in runs)
        ]
        facts = {
            what: ', '.join(sorted({str(r[k]) for r in runs if r.get(k)}))
            for what, k in (('data', 'data'), ('device', 'device'))
        }
        commands = sorted({r['command'] for r in runs if r.get('command')})
        dates = sorted(r['date'][:10] for r in runs if r.get('date'))
        about = [
            f'{len(runs)} runs' if len(runs) > 1 else '1 run',
            *[f'{k}: {v}' for k, v in facts.items() if v],
        ]
        if dates:
            about.append(dates[-1] if dates[0] == dates[-1] else f'{dates[0]} to {dates[-1]}')
        out.append(html.escape(' · '.join(about), quote=False))
        if commands and commands != ['notebook']:
            out.append('```sh\n' + '\n'.join(o for o in commands if o != 'notebook') + '\n```')
        rows = []
        for config, some in list(groups.items())[:60]:
            line = [html.escape(config) or '–', str(len(some))]
            for k in keys[:9]:
                values = [r['metrics'][k] for r in some if isinstance(r['metrics'].get(k), (int, float))]
                line.append(figure(float(statistics.mean(values))) if values else '–')
            rows.append('<tr>' + ''.join(f'<td>{o}</td>' for o in line) + '</tr>')
        head = ''.join(f'<th>{html.escape(o)}</th>' for o in ['configuration', 'runs', *keys[:9]])
        out.append(
            f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
            f'<tbody>{"".join(rows)}</tbody></table></div>'
        )
    return '\n\n'.join(out) + '\n'


def questions_page(chapters) -> str:
    "All questions of all chapters, each with its answer folded."
    out = [
        f'# {TITLES["questions"]}',
        f'{sum(len(nbs.questions(p)) for p in chapters)} questions, by chapter. Answer first, then look.',
    ]
    for p in chapters:
        out.append(f'## {p.name[:2]} [{nbs.headline(p)[0]}](nbs/{p.name})')
        out += [
            with_math(site_links(marked_up(f'<details><summary>{q}</summary>{a}</details>'), 'nbs'))
            for q, a in nbs.questions(p)
        ]
    return '\n\n'.join(out) + '\n'


def glossary_page() -> str:
    "The glossary of CONTRIBUTING.md."
    text = (ROOT / 'CONTRIBUTING.md').read_text(encoding='utf-8')
    return f'# {TITLES["glossary"]}\n' + text.split('\n## Glossary\n')[1].split('\n## ')[0]


def front_page(chapters, workshops) -> str:
    "The first page: what it is, the picture, and the chapters."
    out = [
        '# nlpdeep',
        '**Deep learning for natural language processing: a course you can install.**',
        'Numbered notebooks take you from raw text to a fine-tuned transformer. Chapters teach, workshops '
        'build the package, and every number comes from a recorded run. These pages are the notebooks with '
        'their outputs; they need no network.',
        '![What the course builds](nbs/images/way.svg)',
        '## Chapters',
        '\n'.join(
            f'- **{p.name[:2]} [{title}](nbs/{p.name})** · {nbs.hours(p)} hours. {promise}'
            for p, (title, promise) in ((p, nbs.headline(p)) for p in chapters)
        ),
        'Begin with [chapter 00](nbs/00_start.ipynb). Where nlpdeep is installed, `nlpdeep course` copies '
        'all notebooks into a folder of yours, and `nlpdeep check 00` says how far your exercises are.',
    ]

    def tree(caption, names):
        return '```{toctree}\n:hidden:\n:caption: ' + caption + '\n\n' + '\n'.join(names) + '\n```'

    def named(p):
        short = p.name.split('_')[0]
        return f'{short} {nbs.headline(p)[0]} <nbs/{p.relative_to(nbs.NBS).with_suffix("").as_posix()}>'

    solutions = [p for p in nbs.all_notebooks() if nbs.kind(p) == 'solution']
    out += [
        tree('Chapters', map(named, chapters)),
        tree('Reference', [*TITLES, 'api/index']),
        tree('Workshops', map(named, workshops)),
        tree('Solutions', [f'Solutions {p.name[:2]} <nbs/solutions/{p.stem}>' for p in solutions]),
    ]
    return '\n\n'.join(out) + '\n'


def write_sources(src: Path):
    "Everything that sphinx reads."
    ours = nbs.all_notebooks()
    chapters = [p for p in ours if nbs.kind(p) == 'chapter']
    workshops = [p for p in ours if nbs.kind(p) == 'workshop']
    for p in ours:
        to = src / p.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(json.dumps(page_of_notebook(p)), encoding='utf-8')
    (src / 'nbs/images').mkdir()
    for f in (nbs.NBS / 'images').glob('*.svg'):
        shutil.copy(f, src / 'nbs/images')
    modules = [f for f in sorted((ROOT / 'nlpdeep').glob('*.py')) if not f.stem.startswith('_')]
    (src / 'api').mkdir()
    for f in modules:
        (src / 'api' / f'{f.stem}.md').write_text(api_page(f), encoding='utf-8')
    intro = (
        'One module for each idea, its functions as they are written: with the comments on shapes and units.'
    )
    (src / 'api/index.md').write_text(
        f'# API\n\n{intro}\n\n```{{toctree}}\n:maxdepth: 1\n\n'
        + '\n'.join(f.stem for f in modules)
        + '\n```\n',
        encoding='utf-8',
    )
    pages = {
        'index': front_page(chapters, workshops),
        'results': results_page(),
        'questions': questions_page(chapters),
        'glossary': glossary_page(),
        'model-card': site_links(
            (ROOT / 'nlpdeep/pretrained/README.md').read_text(encoding='utf-8'), 'nlpdeep/pretrained'
        ),
        'changelog': site_links((ROOT / 'CHANGELOG.md').read_text(encoding='utf-8'), '.'),
    }
    for name, text in pages.items():
        (src / f'{name}.md').write_text(text, encoding='utf-8')


def build(out) -> Path:
    "Make the site in the folder `out`, which is replaced; returns its first page."
    try:
        import furo  # noqa: F401
        import latex2mathml  # noqa: F401
        import myst_nb  # noqa: F401
        from sphinx.cmd.build import main
    except ImportError as e:
        sys.exit(
            f'the site needs {e.name}: pip install "nlpdeep[docs]", in a checkout pip install -e ".[docs]"'
        )
    out = Path(out).resolve()
    if out.exists() and any(out.iterdir()) and not (out / 'searchindex.js').is_file():
        sys.exit(f'{out} holds something that is no site: give another folder')
    with tempfile.TemporaryDirectory() as d:
        src = Path(d) / 'src'
        src.mkdir()
        shutil.copytree(
            ROOT / 'docs', src, dirs_exist_ok=True, ignore=shutil.ignore_patterns('build.py', '__pycache__')
        )
        write_sources(src)
        if main(['-q', '-b', 'html', '-d', f'{d}/doctrees', str(src), f'{d}/out']):
            sys.exit('sphinx could not build the site: see above')
        for p in nbs.all_notebooks():
            to = Path(d) / 'out/notebooks' / p.relative_to(nbs.NBS)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(p, to)
        shutil.rmtree(out, ignore_errors=True)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(Path(d) / 'out', out)
    return out / 'index.html'


if __name__ == '__main__':
    print(build(sys.argv[1] if sys.argv[1:] else ROOT / 'build' / 'site'))
