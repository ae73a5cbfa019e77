"Every notebook runs in a fresh kernel, is saved clean and with outputs, and its module is what it exports."
import re
import nbformat
import pytest
import notebooks as nbs

ALL = nbs.all_notebooks()
ids = [p.relative_to(nbs.NBS).as_posix() for p in ALL]
each = pytest.mark.parametrize('path', ALL, ids=ids)

@each
def test_runs(path): nbs.execute(path)

@each
def test_clean(path):
    text = path.read_text(encoding='utf-8')
    assert text == nbs.dumps(nbs.cleaned(nbs.read(path))), f'run: python tests/notebooks.py save {path.stem}'
    nbformat.validate(nbs.read(path))
    for c in nbs.read(path)['cells']:
        for o in c.get('outputs', []): assert o['output_type'] != 'error' and o.get('name') != 'stderr', ''.join(c['source'])
    assert not re.search(r'/(?:root|home|tmp|work|Users)/[\w.]', text), 'a path of some machine'

@each
def test_saved_with_outputs(path):
    code = [c for c in nbs.read(path)['cells'] if c['cell_type'] == 'code']
    assert any(c['outputs'] for c in code)

def test_modules_match(tmp_path):
    "Each module is what its notebook exports, and there is no module without a notebook."
    fresh = nbs.export_all(tmp_path)
    ours = {f.name: f.read_text(encoding='utf-8') for f in (nbs.ROOT/'nlpdeep').glob('*.py')}
    assert set(ours) == set(fresh)
    for name in fresh: assert ours[name] == fresh[name], f'nlpdeep/{name} is not what its notebook exports: run nbdev-export'

def test_links():
    "The repository's address stands once, in settings.ini; badges, links and install lines follow it."
    for p in ALL: s = p.read_text(encoding='utf-8'); assert nbs.linked(s, p.relative_to(nbs.NBS).as_posix()) == s, 'run: python tests/notebooks.py links'
    s = (nbs.ROOT/'README.md').read_text(encoding='utf-8')
    assert nbs.linked_readme(s) == s, 'run: python tests/notebooks.py links'

def test_rules_of_the_house():
    "A lower number never imports a higher one; no star imports."
    order = {}
    for p in ALL:
        m = re.search(r'#\| default_exp (\w+)', p.read_text(encoding='utf-8'))
        if m: order[m[1]] = int(p.name[:2])
    for mod, n in order.items():
        src = (nbs.ROOT/'nlpdeep'/f'{mod}.py').read_text(encoding='utf-8')
        for other in re.findall(r'(?m)^\s*from nlpdeep\.(\w+) import', src): assert order[other] < n, f'{mod} imports {other}'
        assert not re.search(r'(?m)^\s*from nlpdeep\S* import \*', src), f'{mod} holds a star import'
