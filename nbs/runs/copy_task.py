"""Remember one word: which recurrent layer can still say the first word of a sequence after reading `wait`
other words?

The first word is one of four; then come `wait` words drawn from four others; after the last one the model
must name the first. Every batch is drawn anew, so there is nothing to overfit.
One layer of 32 units, PyTorch's own; 600 batches of 32, Adam at 0.01, gradients clipped to length 1. Chance
is 0.25. Record: nbs/results/copy_task.json (config `model` and `wait`).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F

from nlpdeep.core import set_seed
from nlpdeep.runs import Plan, run_script

WORDS, HID, STEPS, BS, LR = 4, 32, 600, 32, 1e-2
WAITS = (5, 20)
LAYERS = {'RNN': nn.RNN, 'LSTM': nn.LSTM, 'LSTM, forget gates start open': nn.LSTM, 'GRU': nn.GRU}
PLAN = Plan(
    makes='copy_task',
    chapter='06_lstm',
    minutes=1,
    data='first of four words, drawn at random',
    configs=[dict(model=name, wait=wait, steps=STEPS) for wait in WAITS for name in LAYERS],
    seeds=range(3),
)


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


def run(seed, model, wait, steps):
    "Accuracy on 1,000 new sequences."
    set_seed(seed)
    name, model, g = model, Recall(LAYERS[model]), torch.Generator().manual_seed(seed)
    if 'open' in name:
        with torch.no_grad():
            model.rnn.bias_ih_l0[HID : 2 * HID] = 2.0
            model.rnn.bias_hh_l0[HID : 2 * HID] = 0.0
    opt = torch.optim.Adam(model.parameters(), LR)
    for _ in range(steps):
        x, y = batch(BS, wait, g)
        loss = F.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
    x, y = batch(1000, wait, torch.Generator().manual_seed(1_000_000))
    return dict(accuracy=(model(x).argmax(-1) == y).float().mean().item())


if __name__ == '__main__':
    run_script(__file__)
