"""What is each part of a small GPT-2 worth? The counting model of chapter 11, grown part by part from a table
of tokens to two blocks, and with one thing taken away; beside three rules that need no network.

The recipe is chapter 11's: 300 steps on the numbers up to 8,000 in words, 16 windows of 64 tokens each, 64
numbers wide. Scored on windows of the numbers above 8,000. Record: nbs/results/gpt2_parts.json. `loss` in
nats per token; `accuracy` of the next token; `second_half` the same in the second half of the window, where
the model has seen a few numbers; `train_loss` the mean over the last 20 steps. `blocks`, `heads`, `mlp` say
what is there, `without` what was taken from it.

There is also an LSTM to compare with: PyTorch's, one layer between the same tied tables of 64 numbers, wide
enough to have about as many parameters as the two blocks. Like them it begins each window knowing nothing. It
has the same windows and seeds, and the same 300 steps; a second time it has 1,500. Its `rate` is the best of
RATES after 300 steps on seed 100, which is not recorded.
"""

import math
from collections import Counter, defaultdict

import torch
import torch.nn.functional as F
from torch import nn

from nlpdeep.causal_models import tiny_tokenizer
from nlpdeep.core import set_seed
from nlpdeep.corpora import human_numbers
from nlpdeep.gpt2 import GPT2, GPT2Config
from nlpdeep.runs import Plan, run_script

RULES = ('most frequent', 'last two, counted', 'copy')
RATES = (3e-3, 1e-2, 3e-2)
ROWS = 16  # windows in a batch


def grown(blocks, heads=4, mlp=True, without=''):
    return dict(kind='model', blocks=blocks, heads=heads, mlp=mlp, without=without)


PLAN = Plan(
    makes='gpt2_parts',
    chapter='11_gpt2',
    minutes=12,
    data='human_numbers, valid',
    configs=[dict(kind=rule) for rule in RULES]
    + [grown(0), grown(1, 1, False), grown(1, 4, False), grown(1), grown(2)]
    + [grown(2, without=part) for part in ('residuals', 'norms', 'positions')]
    + [dict(kind='lstm', rate=1e-2, steps=steps) for steps in (300, 1500)],
    seeds=lambda config: range(3) if config['kind'] in ('model', 'lstm') else (None,),
)


class Nothing(nn.Module):
    "Adds nothing to the stream."

    def forward(self, x):
        return 0 * x


class Plain(nn.Module):
    "A block that replaces the vector where the real one adds to it."

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x, *where):
        x = self.block.attn(self.block.ln_1(x), *where)
        return self.block.mlp(self.block.ln_2(x))


class LSTM(nn.Module):
    "An LSTM between a token table and the same table read the other way."

    def __init__(self, vocab_sz, emb_sz=64, hidden=134, layers=1):
        super().__init__()
        self.wte = nn.Embedding(vocab_sz, emb_sz)
        self.lstm = nn.LSTM(emb_sz, hidden, layers, batch_first=True)
        self.out = nn.Linear(hidden, emb_sz)
        nn.init.normal_(self.wte.weight, std=0.1)

    def forward(self, ids):
        return self.out(self.lstm(self.wte(ids))[0]) @ self.wte.weight.T


def model(vocab_sz, blocks, heads, mlp, without):
    cfg = GPT2Config(vocab_sz, 256, 64, max(1, blocks), heads, 0.0, 0.0, 0.0, init_sd=0.1)
    m = GPT2(cfg)
    if not blocks:
        m.h = nn.ModuleList()
    for block in m.h:
        if not mlp:
            block.mlp = Nothing()
        if without == 'norms':
            block.ln_1, block.ln_2 = nn.Identity(), nn.Identity()
    if without == 'residuals':
        m.h = nn.ModuleList(Plain(block) for block in m.h)
    if without == 'positions':
        nn.init.zeros_(m.wpe.weight).requires_grad_(False)
    return m


def train(m, data, steps=300, lr=1e-2, window=64, look=lambda step: None, draws=None):
    """Chapter 11's loop; returns the loss of every step. `look` is called before each step, with the steps
    taken so far, and at the end. The windows come from the generator `draws`, or torch's own.
    """
    opt = torch.optim.AdamW(m.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=0.01)

    def schedule(i):
        return min((i + 1) / (0.1 * steps), 0.5 + 0.5 * math.cos(math.pi * i / steps))

    sched, losses = torch.optim.lr_scheduler.LambdaLR(opt, schedule), []
    for step in range(steps):
        look(step)
        rows = data[torch.randint(len(data) - window, (ROWS, 1), generator=draws) + torch.arange(window + 1)]
        loss = F.cross_entropy(m(rows[:, :-1]).flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()
        opt.zero_grad()
        sched.step()
        losses.append(loss.item())
    look(steps)
    return losses


def by_rule(kind, data, x):
    "What a rule that needs no network says after every token of `x`."
    seen = data.tolist()
    usual = Counter(seen).most_common(1)[0][0]
    said, followers = torch.full_like(x, usual), defaultdict(Counter)
    for a, b, c in zip(seen, seen[1:], seen[2:]):
        followers[a, b][c] += 1
    for row, ids in enumerate(x.tolist()):
        after = {}  # token -> what came after it the last time
        for i, token in enumerate(ids):
            if kind == 'copy':
                said[row, i] = after.get(token, usual)
                if i + 1 < len(ids):
                    after[token] = ids[i + 1]
            elif kind == 'last two, counted' and i and (ids[i - 1], token) in followers:
                said[row, i] = followers[ids[i - 1], token].most_common(1)[0][0]
    return said


def run(seed, kind, rate=1e-2, steps=300, **parts):
    texts = {part: ' . '.join(human_numbers(part)) for part in ('train', 'valid')}
    tokenizer = tiny_tokenizer([texts['train']], 320)
    ids = {k: torch.tensor(tokenizer(t, verbose=False)['input_ids']) for k, t in texts.items()}
    rows = ids['valid'][: len(ids['valid']) // 64 * 64].view(-1, 64)
    x, y, metrics = rows[:, :-1], rows[:, 1:], {}
    if kind in ('model', 'lstm'):
        set_seed(seed)
        m = LSTM(len(tokenizer)) if kind == 'lstm' else model(len(tokenizer), **parts)
        losses = train(m, ids['train'], steps, rate)
        with torch.no_grad():
            scores = m.eval()(x)
        loss = F.cross_entropy(scores.flatten(0, 1), y.flatten())
        metrics = dict(loss=loss, train_loss=sum(losses[-20:]) / 20)
        said = scores.argmax(-1)
    else:
        said = by_rule(kind, ids['train'], x)
    right = (said == y).float()
    return dict(second_half=right[:, 32:].mean(), accuracy=right.mean(), **metrics)


if __name__ == '__main__':
    run_script(__file__)
