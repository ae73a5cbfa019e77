"""The main job as a newcomer runs it, `nlpdeep ulmfit` without options, over a few seeds.

Records nbs/results/ulmfit_default.json, a run at a time: accuracy on the validation and the test part beside
both baselines, perplexity before and after stage two; `minutes` is the whole command, from the start of
Python to the
saved model. The settings are those of the command; nothing is chosen here.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nlpdeep.cli import ulmfit
from nlpdeep.core import InputError
from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, Row, run_script

PLAN = Plan(
    makes='ulmfit_default',
    chapter='14a_commands',
    minutes=28,
    precision='',
    data='movie snippets, split by film',
    configs=[dict(run='nlpdeep ulmfit')],
    seeds=range(1, 6),
)
IN_CHILD = ulmfit  # what the other process runs: a change in it is a change of this run
METRICS = (
    'accuracy tfidf majority valid_accuracy valid_tfidf valid_majority perplexity_before perplexity_after'
).split()


def in_another_process(*options):
    "`nlpdeep ulmfit` with these options, as a newcomer starts it."
    command = ['-c', 'from nlpdeep.cli import main; main()', 'ulmfit', '-q']
    done = subprocess.run([sys.executable, *command, *map(str, options)])
    if done.returncode:
        raise InputError(f'nlpdeep ulmfit ended with code {done.returncode}')


def run(seed, run):
    movie_snippets()  # noted as data of this run; the other process reads it again
    with tempfile.TemporaryDirectory() as d:
        t = time.time()
        in_another_process('--seed', seed, '--out', f'{d}/m', '--json', f'{d}/f.json')
        minutes, got = (time.time() - t) / 60, json.loads(Path(f'{d}/f.json').read_text())
    return [Row({k: got[k] for k in METRICS}, minutes=minutes)]


if __name__ == '__main__':
    run_script(__file__)
