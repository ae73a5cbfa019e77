"""How far each stage is from its roof, from the simple way and from the reference, side by side.

Records: nbs/results/gaps.json, one run per stage, in the words of `records.bench`; roofs are of the same
kind of work: bytes copied, matrix products, the forward pass alone.
"""

import functools

from nlpdeep.benchmarks import bench_classify, bench_gpt2, bench_text, bench_train
from nlpdeep.core import InputError
from nlpdeep.runs import Plan, run_script

STEPS = ['weight dropout', 'step small', 'step published']
STAGES = {
    'text': ['lm loader', 'classifier loader'],
    'train': STEPS,
    'gpt2': ['step'],
    'classify': ['classify', 'classify, get_preds'],
}

PLAN = Plan(
    makes='gaps',
    chapter='14c_benchmarks',
    minutes=12,
    precision='',
    data='what `nlpdeep bench` takes: snippets or IMDb, random batches',
    configs=[dict(bench=b, stage=s, rounds=5) for b, stages in STAGES.items() for s in stages],
    seeds=(0,),
)


@functools.cache
def rows(bench, rounds):
    made = {
        'text': bench_text,
        'train': functools.partial(bench_train, stages=STEPS),
        'gpt2': bench_gpt2,
        'classify': bench_classify,
    }[bench](rounds=rounds)
    return {o['stage']: o for o in made}


def run(seed, bench, stage, rounds):
    row = rows(bench, rounds)[stage]
    if not row['identical']:
        raise InputError(f'{stage}: the results differ: {row}')
    return {k: row[k] for k in ('ratio', 'low', 'high', 'to_simple', 'of_roof')}


if __name__ == '__main__':
    run_script(__file__)
