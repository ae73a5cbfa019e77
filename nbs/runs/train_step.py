"""Time training steps of fastai's stock learner and ours in turn (chapter 08): python nbs/runs/train_step.py
[--rounds N] [--stages NAME ...]

Records: nbs/results/train_step.json, one run per stage and precision.
"""

import argparse
import time

from nlpdeep.benchmarks import STEPS, bench_train
from nlpdeep.precision import lm_precision
from nlpdeep.records import record

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument('--rounds', type=int, default=5)
args.add_argument('--stages', nargs='*', default=[])
a = args.parse_args()
for stage in a.stages or [*STEPS, *(f'{s} fp32' for s in list(STEPS)[:2])]:
    start = time.time()
    for row in bench_train(a.rounds, [stage]):
        assert row['identical'], row
        record(
            'train_step',
            dict(times_faster=row['ratio'], low=row['low'], high=row['high']),
            data='random words, 32 x 70 a batch',
            seed=0,
            minutes=(time.time() - start) / 60,
            stage=stage.removesuffix(' fp32'),
            precision='fp32' if stage.endswith(' fp32') else lm_precision(STEPS[stage][2]),
            rounds=a.rounds,
        )
        print(row, flush=True)
