"""Measure the memory of one training step (chapter 08), each in a process of its own: python
nbs/runs/train_memory.py

On a CPU: the process's greatest resident memory during two steps, and what it held just before them. On CUDA:
the allocator's own count.
Records: nbs/results/train_memory.json (`step_mib`: greatest less before; `peak_mib`: greatest), per
vocabulary and learner.
"""

import argparse
import json
import subprocess
import sys
import time

from nlpdeep.precision import lm_precision
from nlpdeep.records import record

CHILD = """
import json, sys, threading, time
import torch
from nlpdeep.core import cuda
from nlpdeep.benchmarks import step_pair
words, name, prec = int(sys.argv[1]), sys.argv[2], sys.argv[3]
step = step_pair(400, 1152, words, prec, which=(name,))[name]
step()                                        # optimizer state and libraries come into being here
mib = lambda: int(open('/proc/self/statm').read().split()[1]) * 4 / 1024
if cuda(): torch.cuda.synchronize(); torch.cuda.reset_peak_memory_stats(); before =
torch.cuda.memory_allocated() / 2**20
else:
    before, peak, on = mib(), [0.], [True]
    def watch():
        while on: peak[0] = max(peak[0], mib()); time.sleep(.002)
    t = threading.Thread(target=watch); t.start()
step(); step()
if cuda(): torch.cuda.synchronize(); top = torch.cuda.max_memory_allocated() / 2**20
else: on.clear(); t.join(); top = peak[0]
print(json.dumps(dict(step_mib=top - before, peak_mib=top)))
"""

args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument('--words', type=int, nargs='*', default=[10_000, 60_000])
args.add_argument('--prec', default=None, help='precision of ours (default: `lm_precision`)')
a = args.parse_args()
for words in a.words:
    for name, label in (('theirs', 'fastai'), ('ours', 'ours')):
        prec, start = a.prec or lm_precision(words), time.time()
        r = subprocess.run(
            [sys.executable, '-c', CHILD, str(words), name, prec], capture_output=True, text=True
        )
        if r.returncode:
            sys.exit(r.stderr)
        got = json.loads(r.stdout.strip().splitlines()[-1])
        record(
            'train_memory',
            got,
            data='random words, 32 x 70 a batch, 400/1152 x 3',
            seed=0,
            minutes=(time.time() - start) / 60,
            words=words,
            learner=f'{label}, {prec if name == "ours" else "fp32"}',
        )
        print(words, name, got, flush=True)
