"""`nlpdeep bench text`: each stage from text to batches beside fastai's, and the loaders beside plain Python
lists.

Record: nbs/results/bench_text.json (config `stage`).
"""

import functools
import random

import torch

from nlpdeep.benchmarks import _bench_texts, bench_text
from nlpdeep.core import set_seed
from nlpdeep.lm_dataloader import Layout, LMDataLoader
from nlpdeep.numericalization import Numericalize
from nlpdeep.records import bench, bench_metrics
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.tokenization import tokenize_texts


def naive_batches(docs, bs, seq_len):
    "Mini-batches of a list of lists of ids, in Python lists (as in workshop 04a)."
    docs = list(docs)
    random.shuffle(docs)
    stream = [t for d in docs for t in d]
    lay = Layout(len(stream), bs, seq_len)

    def rows(b, shift):
        first, stop = lay.columns(b)
        return [stream[r * lay.row + first + shift : r * lay.row + stop + shift] for r in range(bs)]

    for b in range(lay.n_batches):
        yield torch.tensor(rows(b, 0)), torch.tensor(rows(b, 1))


def corpus():
    "What the benchmark reads: reviews where they are at hand."
    n = len(_bench_texts()[0])
    return f'{n:,} ' + ('IMDb reviews' if n == 4000 else 'snippets and speeches')


LISTS = 'lm loader beside plain lists'
STAGES = ('tokenize cold', 'tokenize warm', 'numericalize', 'lm loader', 'classifier loader', LISTS)

PLAN = Plan(
    makes='bench_text',
    chapter='04a_loaders',
    minutes=16,
    configs=[dict(stage=stage, rounds=7) for stage in STAGES],
)


def beside_lists(rounds):
    "Our loader beside `naive_batches`."
    texts, _ = _bench_texts()
    num, tokens = Numericalize(), tokenize_texts(texts, n_workers=0)
    num.setup(tokens)
    docs = [num(o) for o in tokens]
    lists = [d.tolist() for d in docs]
    dl = LMDataLoader(docs, bs=128, seq_len=80, shuffle=True)

    def ours():
        random.seed(0)
        return list(dl)

    def naive():
        random.seed(0)
        return list(naive_batches(lists, 128, 80))

    def alike(a, b):
        return [o[0].shape for o in a] == [o[0].shape for o in b]

    return bench(LISTS, ours, naive, alike, rounds)


@functools.cache
def rows(rounds):
    set_seed()
    return {o['stage']: o for o in bench_text(rounds)}


def run(seed, stage, rounds):
    row = beside_lists(rounds) if stage == LISTS else rows(rounds)[stage]
    return [Row(bench_metrics(row), data=corpus())]


if __name__ == '__main__':
    run_script(__file__)
