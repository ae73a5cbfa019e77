"""Why does an LSTM with its usual start not learn to recall one word over twenty others, when a GRU does?

The task and the recipe are those of `copy_task`. While a network trains, we look at two things: how much of
the loss's gradient reaches the first word, as a share of what reaches the last (`reach_k` after k steps), and
how far its keeping gate is open, the mean over the other words and all units (`gate_k`; an LSTM's forget gate
f, a GRU's update gate z). `LSTM, i = 1 - f` is an LSTM that writes the share that it does not keep, as a GRU
does. With the labels 'at random' there is nothing to learn: what the gates do then is the work of noise
alone, and 200 steps show it. Record: nbs/results/recall_gates.json (config `model`, `labels` and `steps`).
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from copy_task import BS, HID, LAYERS, LR, WORDS, Recall, batch

from nlpdeep.core import set_seed
from nlpdeep.lstm import LSTM
from nlpdeep.rnn import cell_weights
from nlpdeep.runs import Plan, run_script

WAIT, LOOKS = 20, (0, 20, 40, 60, 80, 100, 150, 200, 600)
TIED = 'LSTM, i = 1 - f'
PLAN = Plan(
    makes='recall_gates',
    chapter='05a_numbers',
    minutes=6,
    data='first of four words, drawn at random',
    configs=[
        dict(model=name, labels=labels, steps=steps)
        for labels, steps in (('first word', 600), ('at random', 200))
        for name in (*LAYERS, TIED)
    ],
    seeds=range(5),
)


class TiedCell(nn.Module):
    "An LSTM cell whose input gate is 1 - f; weights stacked as f, g, o."

    def __init__(self, n_in, n_hid):
        super().__init__()
        cell_weights(self, n_in, n_hid, gates=3)

    def forward(self, x, state):
        h, c = state
        both = F.linear(x, self.weight_ih, self.bias_ih) + F.linear(h, self.weight_hh, self.bias_hh)
        f, g, o = both.chunk(3, dim=1)
        f = f.sigmoid()
        c = f * c + (1 - f) * g.tanh()
        return o.sigmoid() * c.tanh(), c


class TiedLSTM(LSTM):
    cell = TiedCell


def reach(net, x, y):
    "The gradient of the loss with respect to the first word, as a share of that with respect to the last."
    e = net.embed(x).detach().requires_grad_()
    loss = F.cross_entropy(net.score(net.rnn(e)[0][:, -1]), y)
    size = torch.autograd.grad(loss, e)[0].norm(dim=-1).mean(0)
    return (size[0] / size[-1]).item()


@torch.no_grad()
def open_gate(net, x):
    "The mean of the gate that keeps, over the words after the first and all units."
    e = net.embed(x)
    h = net.rnn(e)[0]
    before = torch.cat([torch.zeros_like(h[:, :1]), h[:, :-1]], dim=1)  # the state that the gate saw
    tied = isinstance(net.rnn, TiedLSTM)
    part = slice(0, HID) if tied else slice(HID, 2 * HID)  # f of (f, g, o), (i, f, g, o); z of (r, z, n)
    w_ih, w_hh, b_ih, b_hh = (p[part] for p in net.rnn.parameters())
    return (F.linear(e, w_ih, b_ih) + F.linear(before, w_hh, b_hh)).sigmoid()[:, 1:].mean().item()


def run(seed, model, labels, steps):
    set_seed(seed)
    net, g, metrics = Recall((LAYERS | {TIED: TiedLSTM})[model]), torch.Generator().manual_seed(seed), {}
    if 'open' in model:
        with torch.no_grad():
            net.rnn.bias_ih_l0[HID : 2 * HID] = 2.0
            net.rnn.bias_hh_l0[HID : 2 * HID] = 0.0
    opt = torch.optim.Adam(net.parameters(), LR)
    new_x, new_y = batch(1000, WAIT, torch.Generator().manual_seed(1_000_000))
    for step in range(steps + 1):
        if step in LOOKS:
            metrics[f'reach_{step}'] = reach(net, new_x, new_y)
            if model != 'RNN':
                metrics[f'gate_{step}'] = open_gate(net, new_x)
        x, y = batch(BS, WAIT, g)
        if labels == 'at random':
            y = torch.randint(WORDS, (BS,), generator=g)
        loss = F.cross_entropy(net(x), y)
        if step < steps:
            opt.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            opt.step()
    return metrics | dict(accuracy=(net(new_x).argmax(-1) == new_y).float().mean().item())


if __name__ == '__main__':
    run_script(__file__)
