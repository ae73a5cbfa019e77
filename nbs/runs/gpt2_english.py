"""From counting to English: chapter 11's GPT-2, somewhat larger, learns from the messages of the presidents
on the State of the Union, 1.5 million words; beside it an LSTM of about as many parameters, and n-grams that
only count.

All read the same pieces of words: a byte-level BPE of 1,000 tokens, learned from the training part. The
networks take 3,000 steps of 16 windows of 128 tokens each, drawn at random (not the same ones: the two models
draw their first weights before them); the rate is the best of RATES after 300 steps on seed 100, by the
validation part, which is not recorded. The n-grams are interpolated Kneser-Ney models; each order is
recorded. The parts are split by president, so that the validation part is by people of whom the training part
has nothing.

Record: nbs/results/gpt2_english.json: after each of SHOWN steps the loss in nats per token on the validation
part (every fourth window of it, each read from its own beginning) and `bits`, the same in bits per byte. What
the first seed writes then is in gpt2_english_samples.json.
"""

import functools
import math

import torch
import torch.nn.functional as F
from ablation_movies import KneserNey
from gpt2_parts import ROWS, LSTM, train

from nlpdeep.causal_models import tiny_tokenizer
from nlpdeep.core import set_seed
from nlpdeep.corpora import speeches
from nlpdeep.gpt2 import GPT2, GPT2Config
from nlpdeep.runs import Plan, Row, run_script

EMB, LAYERS, HEADS, HIDDEN, TOKENS, WINDOW = 128, 3, 4, 196, 1000, 128
STEPS, SHOWN = 3000, (0, 30, 100, 300, 1000, 3000)
RATES = dict(gpt2=(2e-3, 4e-3, 8e-3), lstm=(8e-3, 1.6e-2, 3.2e-2, 6.4e-2))
PROMPT = 'The people of the United States'
PLAN = Plan(
    makes='gpt2_english gpt2_english_samples',
    chapter='11_gpt2',
    minutes=40,
    data='speeches, train and valid',
    configs=[dict(kind='gpt2', rate=4e-3), dict(kind='lstm', rate=3.2e-2)]
    + [dict(kind='n-gram', n=n) for n in (2, 3, 4, 5)],
    seeds=lambda config: (None,) if config['kind'] == 'n-gram' else (0, 1),
)


@functools.cache
def corpus():
    "The tokenizer, the ids of both parts, and how many bytes a validation token stands for."
    df = speeches()
    texts = {part: list(df.text[df.part == part]) for part in ('train', 'valid')}
    tok = tiny_tokenizer(texts['train'], TOKENS)
    ids = {k: torch.tensor(tok(tok.eos_token.join(t), verbose=False)['input_ids']) for k, t in texts.items()}
    return tok, ids, len('\n'.join(texts['valid']).encode()) / len(ids['valid'])


def model(kind):
    if kind == 'lstm':
        return LSTM(TOKENS, EMB, HIDDEN, 2)
    return GPT2(GPT2Config(TOKENS, WINDOW, EMB, LAYERS, HEADS, 0.0, 0.0, 0.0, init_sd=0.06))


def windows(ids):
    "Every fourth window of a text."
    return ids[: len(ids) // (WINDOW + 1) * (WINDOW + 1)].view(-1, WINDOW + 1)[::4]


@torch.no_grad()
def loss_on(m, rows):
    losses = [
        F.cross_entropy(m(r[:, :-1]).flatten(0, 1), r[:, 1:].flatten(), reduction='sum')
        for r in rows.split(64)
    ]
    return sum(o.item() for o in losses) / (len(rows) * WINDOW)


@torch.no_grad()
def write(m, tok, n=40, temperature=0.8, seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = tok(PROMPT)['input_ids']
    for _ in range(n):
        scores = m(torch.tensor([ids]))[0, -1] / temperature
        ids.append(torch.multinomial(scores.softmax(-1), 1, generator=g).item())
    return tok.decode(ids)


def learn(seed, kind, rate, steps=STEPS, shown=SHOWN):
    "A model, trained; at the steps of `shown` (step, validation loss, what it writes)."
    tok, ids, _ = corpus()
    set_seed(seed)
    m, found = model(kind), []

    def look(step):
        if step in shown:
            found.append((step, loss_on(m, windows(ids['valid'])), write(m, tok)))
            print(kind, *found[-1], flush=True)

    train(m, ids['train'], steps, rate, WINDOW, look)
    return m, found


def choose():
    "The validation loss after 300 steps with each rate: how the rates of the plan were chosen."
    for kind, rates in RATES.items():
        for rate in rates:
            print(kind, rate, learn(100, kind, rate, 300, (300,))[1][0][1])


def run(seed, kind, rate=None, n=None):
    _, ids, size = corpus()
    if kind == 'n-gram':
        counted, rows = KneserNey(ids['train'].tolist(), n, TOKENS), windows(ids['valid']).tolist()
        loss = sum(counted.loss(row) for row in rows) / len(rows)
        return dict(loss=loss, bits=loss / math.log(2) / size)
    m, found = learn(seed, kind, rate)
    metrics = {f'loss_{step}': loss for step, loss, _ in found}
    metrics |= {f'bits_{step}': loss / math.log(2) / size for step, loss, _ in found}
    metrics |= dict(loss=found[-1][1], bits=found[-1][1] / math.log(2) / size)
    metrics |= dict(parameters=sum(p.numel() for p in m.parameters()), tokens=STEPS * ROWS * WINDOW)
    rows = [Row(metrics)]
    if seed == 0:
        rows += [
            Row(dict(loss=loss), dict(step=step, wrote=wrote), makes='gpt2_english_samples', minutes=0)
            for step, loss, wrote in found
        ]
    return rows


if __name__ == '__main__':
    run_script(__file__)
