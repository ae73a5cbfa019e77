"""What a training step of AWDLSTM costs beside fastai's AWD_LSTM (chapter 07).

    python nbs/runs/lstm_step.py [ROUNDS]        five rounds by default; OMP_NUM_THREADS=1 gives steadier
        ratios on a shared machine
Record: nbs/results/lstm_step.json (config `stage`).
"""

import sys
import time

from nlpdeep.benchmarks import bench_lstm
from nlpdeep.records import record, show_bench

rounds, start = int(sys.argv[1]) if len(sys.argv) > 1 else 5, time.time()
rows = bench_lstm(rounds)
minutes = (time.time() - start) / 60
for o in rows:
    record(
        'lstm_step',
        {k: o[k] for k in ('ratio', 'low', 'high', 'identical')},
        data='random words, 32 x 70, vocabulary 10,000, 200/400 x 3',
        minutes=minutes / len(rows),
        stage=o['stage'],
    )
print(show_bench(rows))
