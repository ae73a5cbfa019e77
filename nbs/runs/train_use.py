"""Time what a user waits for beside fastai's stock learners, same weights: texts written and texts judged
(chapter 12).

    python nbs/runs/train_use.py [--rounds N] [--stages generate classify]
Records: nbs/results/train_use.json, one run per stage; `compared`: how many of the texts `judged` by both
fastai reads whole.
"""

import argparse
import time

from nlpdeep.benchmarks import bench_classify, bench_generate
from nlpdeep.records import record

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument('--rounds', type=int, default=5)
args.add_argument('--stages', nargs='*', default=['generate', 'classify'])
a = args.parse_args()
for name in a.stages:
    start = time.time()
    rows = dict(generate=bench_generate, classify=bench_classify)[name](rounds=a.rounds)
    data = dict(
        generate='a prompt of three made-up words, 40 words more, 400/1152 x 3, 17,000 words',
        classify='1,000 texts as long as reviews, 200/200 x 1, 6,000 words',
    )[name]
    for row in rows:
        assert row['identical'], row
        more = {k: row[k] for k in ('compared', 'judged') if k in row}
        record(
            'train_use',
            dict(times_faster=row['ratio'], low=row['low'], high=row['high'], **more),
            data=data,
            seed=0,
            minutes=(time.time() - start) / 60 / len(rows),
            stage=row['stage'],
            rounds=a.rounds,
        )
        print(row, flush=True)
