"""What a training step of AWDLSTM costs beside fastai's AWD_LSTM.

Record: nbs/results/lstm_step.json (config `stage`).
"""

import functools

from nlpdeep.benchmarks import bench_lstm
from nlpdeep.records import bench_metrics
from nlpdeep.runs import Plan, run_script

PLAN = Plan(
    makes='lstm_step',
    chapter='07b_losses',
    minutes=1,
    data='random words, 32 x 70, vocabulary 10,000, 200/400 x 3',
    configs=[dict(stage=stage) for stage in ('step', 'step, one loss', 'evaluation', 'one word at a time')],
)


@functools.cache
def rows():
    return {o['stage']: o for o in bench_lstm(5)}


def run(seed, stage):
    return bench_metrics(rows()[stage])


if __name__ == '__main__':
    run_script(__file__)
