"""Time what a user waits for beside fastai's stock learners, same weights: texts written and texts judged.

Records: nbs/results/train_use.json, one run per stage; `compared`: how many of the texts `judged` by both
fastai reads whole.
"""

import functools

from nlpdeep.benchmarks import bench_classify, bench_generate
from nlpdeep.core import InputError
from nlpdeep.records import bench_metrics
from nlpdeep.runs import Plan, run_script

DATA = dict(
    generate='a prompt of three made-up words, 40 words more, 400/1152 x 3, 17,000 words',
    classify='1,000 texts as long as reviews, 200/200 x 1, 6,000 words',
)

PLAN = Plan(
    makes='train_use',
    chapter='14_cli',
    minutes=3,
    precision='',
    data=lambda config: DATA[config['stage'].split()[0].strip(',')],
    configs=[
        dict(stage=s, rounds=5) for s in ('generate one', 'generate many', 'classify', 'classify, get_preds')
    ],
    seeds=(0,),
)


@functools.cache
def rows(what, rounds):
    bench = dict(generate=bench_generate, classify=bench_classify)[what]
    return {o['stage']: o for o in bench(rounds=rounds)}


def run(seed, stage, rounds):
    row = rows(stage.split()[0].strip(','), rounds)[stage]
    if not row['identical']:
        raise InputError(f'{stage}: the results of the two differ: {row}')
    return {
        ('times_faster' if k == 'ratio' else k): v for k, v in bench_metrics(row).items() if k != 'identical'
    }


if __name__ == '__main__':
    run_script(__file__)
