"""Remember one word (chapter 06): which recurrent layer can still say the first word of a sequence after
reading `wait` other words?

    python nbs/runs/copy_task.py                every run that is not recorded yet, three seeds each
    python nbs/runs/copy_task.py --again        also those that are recorded
    python nbs/runs/copy_task.py --seeds 1 --only GRU     some of them

The first word is one of four; then come `wait` words drawn from four others; after the last one the model
must name the first. Every batch is drawn anew, so there is nothing to overfit.
One layer of 32 units, PyTorch's own; 600 batches of 32, Adam at 0.01, gradients clipped to length 1. Chance
is 0.25. Record: nbs/results/copy_task.json (config `model` and `wait`).
"""

import argparse
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from nlpdeep.core import InputError, set_seed, size
from nlpdeep.records import record, results

WORDS, HID, STEPS, BS, LR = 4, 32, 600, 32, 1e-2
WAITS = (5, 20)
LAYERS = {'RNN': nn.RNN, 'LSTM': nn.LSTM, 'LSTM, forget gates start open': nn.LSTM, 'GRU': nn.GRU}
DATA = 'first of four words, drawn at random'


class Recall(nn.Module):
    "Embedding, one recurrent layer, scores for the first word after the last step."

    def __init__(self, layer):
        super().__init__()
        self.embed, self.rnn, self.score = (
            nn.Embedding(2 * WORDS, HID),
            layer(HID, HID, batch_first=True),
            nn.Linear(HID, WORDS),
        )

    def forward(self, x):
        return self.score(self.rnn(self.embed(x))[0][:, -1])


def batch(bs, wait, generator):
    "A first word and `wait` others, (bs, 1 + wait); and the first word, (bs,)."
    first = torch.randint(WORDS, (bs, 1), generator=generator)
    others = torch.randint(WORDS, (bs, wait), generator=generator) + WORDS
    return torch.cat([first, others], dim=1), first[:, 0]


def run(name, wait, seed):
    "Accuracy on 1,000 new sequences."
    set_seed(seed)
    model, g = Recall(LAYERS[name]), torch.Generator().manual_seed(seed)
    if 'open' in name:
        with torch.no_grad():
            model.rnn.bias_ih_l0[HID : 2 * HID] = 2.0
            model.rnn.bias_hh_l0[HID : 2 * HID] = 0.0
    opt = torch.optim.Adam(model.parameters(), LR)
    for _ in range(STEPS):
        x, y = batch(BS, wait, g)
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
    x, y = batch(1000, wait, torch.Generator().manual_seed(1_000_000))
    return (model(x).argmax(-1) == y).float().mean().item()


def recorded(name, wait, seed):
    try:
        return any(
            (o['config']['model'], o['config']['wait'], o['seed'], o['size']) == (name, wait, seed, size())
            for o in results('copy_task')
        )
    except InputError:
        return False


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', type=int, default=3)
    p.add_argument('--only', default='', help='part of a name')
    p.add_argument('--again', action='store_true')
    a = p.parse_args()
    for seed in range(a.seeds):
        for wait in WAITS:
            for name in LAYERS:
                if a.only not in name or not a.again and recorded(name, wait, seed):
                    continue
                t = time.time()
                acc = run(name, wait, seed)
                record(
                    'copy_task',
                    dict(accuracy=acc),
                    data=DATA,
                    seed=seed,
                    minutes=(time.time() - t) / 60,
                    model=name,
                    wait=wait,
                    steps=STEPS,
                )
                print(name, wait, seed, f'{acc:.3f}', flush=True)
