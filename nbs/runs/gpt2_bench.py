"""Record `bench_gpt2`: our fine-tuning step beside the lessons' loop, generation with the cache beside
without.

python nbs/runs/gpt2_bench.py [ROUNDS=5]"""

import sys
import time

from nlpdeep.benchmarks import bench_gpt2
from nlpdeep.causal_training import matmul_precision
from nlpdeep.records import record, show_bench

rounds, t = int((sys.argv[1:] or [5])[0]), time.time()
rows = bench_gpt2(rounds)
for r in rows:
    r = dict(r)
    stage = r.pop('stage')
    record(
        'gpt2_bench',
        r,
        'random tokens, small GPT-2 (124M), batch 4 x 256; generate: 64 tokens after 64',
        seed=0,
        minutes=(time.time() - t) / 60 / len(rows),
        stage=stage,
        precision=matmul_precision(),
        rounds=rounds,
    )
print(show_bench(rows))
