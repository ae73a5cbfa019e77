"""From counting to English: chapter 11's GPT-2, somewhat larger, learns from the messages of the presidents
on the State of the Union, 1.5 million words; beside it an LSTM of about as many parameters, and n-grams that
only count.

All read the same pieces of words: a byte-level BPE of 1,000 tokens, learned from the training part. The
networks take 12,000 steps of 16 windows of 128 tokens each, drawn at random; both see the same windows. The
rate is the best of RATES after 300 steps on seed 100, by the validation part, which is not recorded. The
n-grams are interpolated Kneser-Ney models; each order is recorded. The parts are split by president, so that
the validation part is by people of whom the training part has nothing.

Record: nbs/results/gpt2_english.json: `bits` per byte on the validation part (every fourth window of it, each
read from its own beginning), at the end and, for the networks, after each of SHOWN steps (`bits_N`). At the
end also over the FIRST tokens of the windows alone (`bits_first`) and over their second half (`bits_late`);
and for the networks on as many windows of the training part (`bits_train`). What the first seed writes after
SHOWN steps is in gpt2_english_samples.json.
"""

import functools
import math

import torch
import torch.nn.functional as F
from ablation_movies import KneserNey
from gpt2_parts import LSTM, train

from nlpdeep.causal_models import tiny_tokenizer
from nlpdeep.core import set_seed
from nlpdeep.corpora import speeches
from nlpdeep.gpt2 import GPT2, GPT2Config
from nlpdeep.runs import Plan, Row, run_script

EMB, LAYERS, HEADS, HIDDEN, TOKENS, WINDOW = 128, 3, 4, 196, 1000, 128
SHOWN = (0, 30, 100, 300, 1000, 3000, 6000, 12000)
FIRST = 8
RATES = dict(gpt2=(2e-3, 4e-3, 8e-3), lstm=(8e-3, 1.6e-2, 3.2e-2, 6.4e-2))
CHOSEN = dict(gpt2=4e-3, lstm=3.2e-2)
PROMPT = 'The people of the United States'
PLAN = Plan(
    makes='gpt2_english gpt2_english_samples',
    chapter='11_gpt2',
    minutes=80,
    data='speeches, train and valid',
    configs=[dict(kind='n-gram', n=n) for n in (2, 3, 4, 5)]
    + [dict(kind=kind, rate=rate, steps=12_000) for kind, rate in CHOSEN.items()],
    seeds=lambda config: (0,) if 'steps' in config else (None,),
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
def losses_on(m, rows):
    "The loss in nats at every place of the windows, the mean over them: (WINDOW,)."
    losses = [F.cross_entropy(m(r[:, :-1]).mT, r[:, 1:], reduction='none') for r in rows.split(64)]
    return torch.cat(losses).double().mean(0)


def counted_losses(counted, rows):
    "The same of an n-gram model."
    rows = rows.tolist()
    losses = [
        sum(-math.log(counted(row[max(0, i - counted.n + 1) : i], row[i])) for row in rows) / len(rows)
        for i in range(1, WINDOW + 1)
    ]
    return torch.tensor(losses, dtype=torch.float64)


@torch.no_grad()
def write(m, tok, n=40, temperature=0.8, seed=0):
    g = torch.Generator().manual_seed(seed)
    ids = tok(PROMPT)['input_ids']
    for _ in range(n):
        scores = m(torch.tensor([ids]))[0, -1] / temperature
        ids.append(torch.multinomial(scores.softmax(-1), 1, generator=g).item())
    return tok.decode(ids)


def learn(seed, kind, rate, steps, shown=SHOWN):
    "A model, trained; at the steps of `shown` (step, losses on the validation part, what it writes)."
    tok, ids, size = corpus()
    set_seed(seed)
    m, found = model(kind), []

    def look(step):
        if step in shown:
            found.append((step, losses_on(m, windows(ids['valid'])), write(m, tok)))
            print(kind, step, bits(found[-1][1], size), found[-1][2], flush=True)

    draws = torch.Generator().manual_seed(seed)
    train(m, ids['train'], steps, rate, WINDOW, look, draws)
    return m, found


def choose():
    "Bits per byte after 300 steps with each rate: how the rates of the plan were chosen."
    for kind, rates in RATES.items():
        for rate in rates:
            learn(100, kind, rate, 300, (300,))


def bits(losses, size):
    "Bits per byte, where a token stands for `size` bytes."
    return losses.mean().item() / math.log(2) / size


def scores(losses, size):
    return dict(
        bits=bits(losses, size),
        bits_first=bits(losses[:FIRST], size),
        bits_late=bits(losses[WINDOW // 2 :], size),
    )


def run(seed, kind, rate=None, steps=0, n=None):
    _, ids, size = corpus()
    valid = windows(ids['valid'])
    if kind == 'n-gram':
        return scores(counted_losses(KneserNey(ids['train'].tolist(), n, TOKENS), valid), size)
    m, found = learn(seed, kind, rate, steps)
    metrics = {f'bits_{step}': bits(losses, size) for step, losses, _ in found}
    metrics |= scores(found[-1][1], size)
    known = windows(ids['train'])
    known = known[:: len(known) // len(valid)][: len(valid)]
    metrics['bits_train'] = bits(losses_on(m, known), size)
    metrics['parameters'] = sum(p.numel() for p in m.parameters())
    rows = [Row(metrics)]
    if seed == 0:
        rows += [
            Row(
                dict(bits=bits(losses, size)),
                dict(step=step, wrote=wrote),
                makes='gpt2_english_samples',
                minutes=0,
            )
            for step, losses, wrote in found
        ]
    return rows


if __name__ == '__main__':
    run_script(__file__)
