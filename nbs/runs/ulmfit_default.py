"""The main job as a newcomer runs it, `nlpdeep ulmfit` without options, over a few seeds (chapter 12): python
nbs/runs/ulmfit_default.py [--seeds 1,2,3]

Records nbs/results/ulmfit_default.json, a run at a time: accuracy on the validation and the test part beside
both baselines, perplexity before and after stage two; `minutes` is the whole command, from the start of
Python to the
saved model. What is recorded is left out. The settings are those of the command; nothing is chosen here.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nlpdeep.records import record, results, results_dir

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument('--seeds', default='1,2,3')
done = {
    o['seed'] for o in (results('ulmfit_default') if (results_dir() / 'ulmfit_default.json').exists() else [])
}
for seed in sorted(set(map(int, a.parse_args().seeds.split(','))) - done):
    with tempfile.TemporaryDirectory() as d:
        t = time.time()
        subprocess.run(
            [
                sys.executable,
                '-c',
                'from nlpdeep.cli import main; main()',
                'ulmfit',
                '--seed',
                str(seed),
                '--out',
                f'{d}/m',
                '--json',
                f'{d}/f.json',
                '-q',
            ],
            check=True,
        )
        minutes, got = (time.time() - t) / 60, json.loads(Path(f'{d}/f.json').read_text())
    row = {
        k: got[k]
        for k in (
            'accuracy',
            'tfidf',
            'majority',
            'valid_accuracy',
            'valid_tfidf',
            'valid_majority',
            'perplexity_before',
            'perplexity_after',
        )
    }
    record(
        'ulmfit_default',
        row,
        data='movie snippets, split by film',
        seed=seed,
        minutes=minutes,
        run='nlpdeep ulmfit',
    )
    print(seed, row, f'{minutes:.1f} min', flush=True)
