"""Measure the memory of one training step, each in a process of its own.

On a CPU: the process's greatest resident memory during two steps, and what it held just before them. On CUDA:
the allocator's own count.
Records: nbs/results/train_memory.json (`step_mib`: greatest less before; `peak_mib`: greatest), per
vocabulary and learner.
"""

import json
import subprocess
import sys

from nlpdeep.benchmarks import step_pair
from nlpdeep.core import InputError
from nlpdeep.precision import lm_precision
from nlpdeep.runs import Plan, run_script

CHILD = """
import json, sys, threading, time
import torch
from nlpdeep.core import cuda
from nlpdeep.benchmarks import step_pair
words, name, prec = int(sys.argv[1]), sys.argv[2], sys.argv[3]
step = step_pair(400, 1152, words, prec, which=(name,))[name]
step()                                        # optimizer state and libraries come into being here
mib = lambda: int(open('/proc/self/statm').read().split()[1]) * 4 / 1024
if cuda():
    torch.cuda.synchronize(); torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() / 2**20
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

PLAN = Plan(
    makes='train_memory',
    chapter='08e_learners',
    minutes=1,
    precision='',
    data='random words, 32 x 70 a batch, 400/1152 x 3',
    configs=[
        dict(words=words, learner=learner)
        for words in (10_000, 60_000)
        for learner in ('fastai, fp32', 'ours, fp32', f'ours, {lm_precision(words)}')
    ],
    seeds=(0,),
)
IN_CHILD = step_pair  # what the other process runs: a change in it is a change of this script


def run(seed, words, learner):
    name, prec = learner.split(', ')
    which = 'theirs' if name == 'fastai' else 'ours'
    r = subprocess.run([sys.executable, '-c', CHILD, str(words), which, prec], capture_output=True, text=True)
    if r.returncode:
        raise InputError(r.stderr)
    return json.loads(r.stdout.strip().splitlines()[-1])


if __name__ == '__main__':
    run_script(__file__)
