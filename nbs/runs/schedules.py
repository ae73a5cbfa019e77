"""What a schedule is worth (chapter 08): LMModel7 on Human Numbers, three peak rates, five
seeds, and constant, slanted or one-cycle rates; the last with its own momentum and with that of the others:
python nbs/runs/schedules.py [--seeds N]

Records: nbs/results/schedules.json. What is recorded already is not run again.
"""

import argparse
import time

import torch
from fastai.basics import CrossEntropyLossFlat, accuracy
from fastai.callback.schedule import ParamScheduler
from fastai.text.learner import TextLearner

from nlpdeep.core import InputError, set_seed
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls
from nlpdeep.records import record, results
from nlpdeep.regularization import LMModel7

DATA, EPOCHS = 'human_numbers, last fifth', 6
SCHEDULES = ('constant', 'one cycle', 'one cycle, momentum 0.9', 'slanted triangle')
args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
args.add_argument('--seeds', type=int, default=5)
a = args.parse_args()
torch.set_num_threads(1)
ids = number_data(human_number_tokens()).ids


def slanted(lr, cut=0.1, ratio=32):
    "ULMFiT's slanted triangle."
    return lambda done: lr * (1 + min(done / cut, (1 - done) / (1 - cut)) * (ratio - 1)) / ratio


def fit(learn, schedule, lr):
    if schedule == 'constant':
        learn.fit(EPOCHS, lr, wd=0.1)
    elif schedule == 'one cycle':
        learn.fit_one_cycle(EPOCHS, lr, wd=0.1)
    elif schedule == 'one cycle, momentum 0.9':  # as the other two
        learn.fit_one_cycle(EPOCHS, lr, wd=0.1, moms=(0.9, 0.9, 0.9))
    elif schedule == 'slanted triangle':
        learn.fit(EPOCHS, lr, wd=0.1, cbs=ParamScheduler({'lr': slanted(lr)}))


try:
    done = {(o['config']['schedule'], o['config']['rate'], o['seed']) for o in results('schedules')}
except InputError:
    done = set()
for seed in range(a.seeds):
    for rate in (0.003, 0.01, 0.03):
        for schedule in SCHEDULES:
            if (schedule, rate, seed) in done:
                continue
            start = time.time()
            set_seed(seed)
            learn = TextLearner(
                sequence_dls(ids),
                LMModel7(30, 64, 2, 0.4),
                loss_func=CrossEntropyLossFlat(),
                metrics=accuracy,
            )
            with learn.no_bar(), learn.no_logging():
                fit(learn, schedule, rate)
            _, loss, acc = learn.recorder.values[-1]
            record(
                'schedules',
                dict(accuracy=acc, valid_loss=loss),
                data=DATA,
                seed=seed,
                minutes=(time.time() - start) / 60,
                schedule=schedule,
                rate=rate,
                epochs=EPOCHS,
            )
            print(seed, rate, schedule, round(acc, 3), flush=True)
