"""Time one LSTM layer: the readable cell, the fused one and PyTorch's kernel.

Forward and backward over one batch, 64 units, 64 rows of 16 words, in turn and in one process.
Record: nbs/results/lstm_speed.json (config `compared`).
"""

import torch
import torch.nn as nn

from nlpdeep.lstm import LSTM, ReadableLSTMCell
from nlpdeep.records import bench
from nlpdeep.runs import Plan, run_script

H = 64
PAIRS = {
    'fused against readable cell': ('fused', 'readable'),
    "PyTorch's nn.LSTM against our fused layer": ('torch', 'fused'),
}

PLAN = Plan(
    makes='lstm_speed',
    chapter='06_lstm',
    minutes=0,
    data='random batch, 64 × 16 × 64',
    configs=[dict(compared=name) for name in PAIRS],
)


class Readable(LSTM):
    cell = ReadableLSTMCell


LAYERS = dict(readable=Readable, fused=LSTM, torch=nn.LSTM)


def run(seed, compared):
    torch.manual_seed(0)
    x = torch.randn(64, 16, H)

    def ten_steps(layer):
        def step():
            layer.zero_grad()
            layer(x)[0].sum().backward()
            return True

        return lambda: [step() for _ in range(10)]

    a, b = (ten_steps(LAYERS[k](H, H, 1, batch_first=True)) for k in PAIRS[compared])
    row = bench(compared, a, b, rounds=15)
    return {k: row[k] for k in ('ratio', 'low', 'high')}


if __name__ == '__main__':
    run_script(__file__)
