"""Time training steps of fastai's stock learner and ours, in turn and in one process.

Records: nbs/results/train_step.json, one run per stage and precision.
"""

from nlpdeep.benchmarks import STEPS, bench_train
from nlpdeep.core import InputError
from nlpdeep.precision import lm_precision
from nlpdeep.records import bench_metrics
from nlpdeep.runs import Plan, run_script

PLAN = Plan(
    makes='train_step',
    chapter='08e_learners',
    minutes=3,
    data='random words, 32 x 70 a batch',
    configs=[dict(stage=s, precision=lm_precision(STEPS[s][2]), rounds=5) for s in STEPS]
    + [
        dict(stage=s, precision='fp32', rounds=5)
        for s in list(STEPS)[:2]
        if lm_precision(STEPS[s][2]) != 'fp32'
    ],
    seeds=(0,),
)


def run(seed, stage, precision, rounds):
    rows = bench_train(rounds, [stage if precision == lm_precision(STEPS[stage][2]) else f'{stage} fp32'])
    if not rows or not rows[0]['identical']:
        raise InputError(f'{stage}: the losses of the two learners differ: {rows}')
    return {
        ('times_faster' if k == 'ratio' else k): v
        for k, v in bench_metrics(rows[0]).items()
        if k != 'identical'
    }


if __name__ == '__main__':
    run_script(__file__)
