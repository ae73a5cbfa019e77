"""Record `nlpdeep bench text`: each stage from text to batches beside fastai's, and the loaders beside plain
Python lists.

python nbs/runs/bench_text.py [--rounds N] [--loaders]     (--loaders: without the two stages of tokenization)
"""

import argparse
import random
import time

import torch

from nlpdeep.benchmarks import _bench_loaders, _bench_texts, bench_text
from nlpdeep.core import set_seed
from nlpdeep.lm_dataloader import Layout, LMDataLoader
from nlpdeep.numericalization import Numericalize
from nlpdeep.records import bench, record, show_bench
from nlpdeep.tokenization import tokenize_texts


def naive_batches(docs, bs, seq_len):
    "Mini-batches of a list of lists of ids, in Python lists (as in chapter 04)."
    docs = list(docs)
    random.shuffle(docs)
    stream = [t for d in docs for t in d]
    lay = Layout(len(stream), bs, seq_len)

    def rows(b, shift):
        first, stop = lay.columns(b)
        return [stream[r * lay.row + first + shift : r * lay.row + stop + shift] for r in range(bs)]

    for b in range(lay.n_batches):
        yield torch.tensor(rows(b, 0)), torch.tensor(rows(b, 1))


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--rounds', type=int, default=7)
    p.add_argument('--loaders', action='store_true')
    args = p.parse_args()
    rounds = args.rounds
    set_seed()
    start = time.time()
    rows = (_bench_loaders if args.loaders else bench_text)(rounds)
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

    rows.append(
        bench(
            'lm loader beside plain lists',
            ours,
            naive,
            lambda a, b: [o[0].shape for o in a] == [o[0].shape for o in b],
            rounds,
        )
    )
    print(show_bench(rows))
    for o in rows:
        record(
            'bench_text',
            {k: o[k] for k in ('ratio', 'low', 'high', 'identical')},
            data=f'{len(texts):,} ' + ('IMDb reviews' if len(texts) == 4000 else 'snippets and speeches'),
            minutes=(time.time() - start) / 60,
            stage=o['stage'],
            rounds=rounds,
        )


if __name__ == '__main__':
    main()
