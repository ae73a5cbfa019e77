"""Run notebooks as plain Python, cell by cell, those marked `#| cuda` too, where there is no Jupyter:

    python nbs/runs/gpu/cells.py 08_training 07c_encoder [--small]

What IPython would bring (`display`, lines that begin with % or !) is left out; pictures are drawn and not
shown. A cell that fails is reported with its traceback, and the next notebook follows. `--small`: the first
ten cells."""

import __future__

import argparse
import json
import os
import sys
import time
import traceback
import types
from pathlib import Path

import matplotlib.pyplot as plt

NBS = Path(__file__).resolve().parents[2]


def stand_in():
    "A module `IPython` with the few names that notebooks ask for."
    try:
        import IPython  # noqa: F401
    except ImportError:
        ip, shown = types.ModuleType('IPython'), types.ModuleType('IPython.display')
        shown.display = shown.Markdown = shown.HTML = shown.Image = lambda *a, **k: None
        shown.clear_output = lambda *a, **k: None
        ip.get_ipython, ip.display, ip.version_info = (lambda: None), shown, (9, 0)
        sys.modules.update({'IPython': ip, 'IPython.display': shown})


def indented(line):
    return line[: len(line) - len(line.lstrip())]


def plain(cell) -> str:
    "The cell's code, with magics replaced where they stand, so that a block keeps a statement."
    out = []
    for line in ''.join(cell['source']).splitlines():
        magic = line.strip() and line.lstrip()[0] in '%!'
        out.append(indented(line) + 'pass' if magic else line)
    return '\n'.join(out)


def run(stem: str, small: bool, go_on: bool = False) -> str:
    nb = json.loads((NBS / f'{stem}.ipynb').read_text(encoding='utf-8'))
    module = types.ModuleType('__main__')
    sys.modules['__main__'] = module
    names = module.__dict__
    names['display'] = lambda *a, **k: None
    begin = time.monotonic()
    done = flags = 0
    failed = []
    for k, cell in enumerate(nb['cells']):
        text = plain(cell) if cell['cell_type'] == 'code' else ''
        skip = '#| slow' in text or '#| eval: false' in text or '#| default_exp' in text
        if not text.strip() or skip or small and done >= 10:
            continue
        if '#| cuda' in text and small:
            continue
        try:
            if 'from __future__ import annotations' in text:  # holds for the cells that follow, as in Jupyter
                flags |= __future__.annotations.compiler_flag
            exec(compile(text, f'{stem}[{k}] {cell["id"]}', 'exec', flags, dont_inherit=True), names)
            done += 1
        except BaseException:
            traceback.print_exc()
            failed.append(f'{k} ({cell["id"]})')
            if not go_on:
                break
        finally:
            plt.close('all')
    if failed:
        return f'{done} cells ran; failed: {", ".join(failed)}'
    return f'{done} cells, {time.monotonic() - begin:.0f} s'


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('notebooks', nargs='+')
    a.add_argument('--small', action='store_true', help='the first ten cells')
    a.add_argument('--go-on', action='store_true', help='past a cell that fails')
    a = a.parse_args()
    stand_in()
    os.chdir(NBS)
    outcome = {}
    for stem in a.notebooks:
        print(f'===== {stem}', flush=True)
        outcome[stem] = run(stem, a.small, a.go_on)
    for stem, what in outcome.items():
        print(f'{stem}: {what}', flush=True)
    sys.exit(any('failed' in o for o in outcome.values()))
