"""Which rungs of chapter 12's ladder are more than luck? Pairs of SmolLM2's judges on the same test snippets,
by the bootstrap over films and draws of pairs.py.

It reads the answers that gpt2_classifier.py keeps in nlpdeep's cache: run that first, with `--again` where
its records are there and the answers are not. Each file of answers must be right as often as the record says.
Records nbs/results/judge_pairs.json: mean accuracies, their difference, and the 95 % interval of that, in
points.
"""

import functools

import gpt2_classifier
import numpy as np
from pairs import compared

from nlpdeep.core import InputError
from nlpdeep.records import results
from nlpdeep.runs import Plan, run_script

ZERO, HEAD, LORA, BLOCKS = (getattr(gpt2_classifier, o) for o in ('ZERO', 'HEAD', 'LORA', 'PLAIN'))


def claim(method, labels, than):
    return dict(method=method, labels=labels, than=than)


PLAN = Plan(
    makes='judge_pairs',
    chapter='12_gpt2_classifier',
    minutes=1,
    data='movie snippets, split by film, test',
    configs=[claim(HEAD, n, ZERO) for n in gpt2_classifier.NUMBERS]
    + [claim(BLOCKS, n, ZERO) for n in gpt2_classifier.NUMBERS]
    + [claim(BLOCKS, n, HEAD) for n in gpt2_classifier.NUMBERS]
    + [claim(LORA, n, than) for n in gpt2_classifier.LORA_EPOCHS for than in (HEAD, BLOCKS)],
    seeds=(0,),
)


@functools.cache
def answers(method, labels):
    "{draw: which test snippets a judge gets right}; they must be those of its records."
    runs = [
        o
        for o in results('gpt2_classifier')
        if o['config'].get('method') == method and o['config']['labels'] == labels
    ]
    out = {}
    for run in runs:
        file = gpt2_classifier.kept(method, labels, run['seed'])
        if not file.exists():
            raise InputError(
                f'{method}, {labels} labels: no answers kept; nlpdeep record gpt2_classifier --again'
            )
        right, want = np.load(file), run['metrics']['accuracy']
        if abs(right.mean() - want) > 1e-6:
            raise InputError(f'{method}, {labels} labels: {right.mean():.4f} kept, {want:.4f} recorded')
        out[run['seed']] = right
    return out


def run(seed, method, labels, than):
    first, second = answers(than, labels), answers(method, labels)
    both = sorted(set(first) & set(second))  # the same draws of both
    if not both:
        raise InputError(f'{method} and {than} have no draw in common with {labels} labels')
    a, b = (np.array([o[s] for s in both]) for o in (first, second))
    return compared(a, b, len(both)) | dict(draws=len(both))


if __name__ == '__main__':
    run_script(__file__)
