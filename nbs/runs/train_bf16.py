"""Our training step of a language model in bf16 beside the same in 32 bits, in turn.

Records: nbs/results/train_bf16.json, one run per model.
"""

import torch
from fastai.basics import DataLoaders

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.benchmarks import _step_function
from nlpdeep.core import InputError, device, set_seed
from nlpdeep.records import bench
from nlpdeep.runs import Plan, run_script
from nlpdeep.training import lm_learner

MODELS = {
    '200/200 x 1, 6,000 words': (200, 200, 1, 6000, 32, 40),
    '200/400 x 3, 10,000 words': (200, 400, 3, 10_000, 32, 70),
    '400/1152 x 3, 17,000 words': (400, 1152, 3, 17_000, 32, 70),
}  # word vector, hidden, layers, words, rows and columns of a batch

PLAN = Plan(
    makes='train_bf16',
    chapter='08a_precision',
    minutes=2,
    precision='',
    data='random words',
    configs=[dict(model=name, rounds=3) for name in MODELS],
    seeds=(0,),
)


def step(emb_sz, n_hid, n_layers, words, bs, seq_len, prec):
    "A function that does five training steps and returns the last loss."
    g = torch.Generator().manual_seed(0)
    batches = [
        tuple(torch.randint(2, words, (bs, seq_len), generator=g).to(device()) for _ in range(2))
        for _ in range(3)
    ]
    dls = DataLoaders(batches, batches, device=torch.device(device()))
    dls.vocab = list(range(words))
    set_seed(0)
    model = language_model(AWDLSTMConfig(words, emb_sz, n_hid, n_layers))
    one = _step_function(lm_learner(dls, model, prec=prec, clip=0.5), batches)
    return lambda: [one() for _ in range(5)][-1]


def run(seed, model, rounds):
    size = MODELS[model]
    row = bench(model, step(*size, 'bf16'), step(*size, 'fp32'), lambda a, b: abs(a - b) < 5e-3 * b, rounds)
    if not row['identical']:
        raise InputError(f'{model}: the losses in bf16 and in fp32 differ')
    return dict(times_faster=row['ratio'], low=row['low'], high=row['high'])


if __name__ == '__main__':
    run_script(__file__)
