"""Our fine-tuning step of GPT-2 beside the lessons' loop, generation with the cache beside without.

Record: nbs/results/gpt2_bench.json (config `stage`).
"""

import functools

from nlpdeep.benchmarks import bench_gpt2
from nlpdeep.causal_training import matmul_precision
from nlpdeep.records import bench_metrics
from nlpdeep.runs import Plan, Row, run_script

PLAN = Plan(
    makes='gpt2_bench',
    chapter='11_gpt2',
    minutes=3,
    data='random tokens, small GPT-2 (124M), batch 4 x 256; generate: 64 tokens after 64',
    configs=[dict(stage=stage, rounds=3) for stage in ('step', 'generate')],
    seeds=(0,),
)


@functools.cache
def rows(rounds):
    return {o['stage']: o for o in bench_gpt2(rounds)}


def run(seed, stage, rounds):
    return [Row(bench_metrics(rows(rounds)[stage]), dict(precision=matmul_precision()))]


if __name__ == '__main__':
    run_script(__file__)
