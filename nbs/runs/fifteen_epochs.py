"""How far can 15 epochs of Human Numbers go, with no more parameters than LMModel7?

The recipes are compared on the end of the training part ("slice": the text after the 85th "six thousand", so
that one thousand is hardly known and the
next one never seen, as in the validation part); three seeds a row. About 25 settings were looked at there.
Three recipes are then trained on the whole training part and scored on
the validation part, five seeds each: they are chosen when the slice is done. Records: fifteen_epochs.json
(config `recipe`); fifteen_epochs_mistakes.json holds mistakes of the best recipe, seed 0.
"""

import functools
import math

import torch
import torch.nn.functional as F
from torch import nn

from nlpdeep.core import InputError, set_seed, write_json
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import WeightAverage, exchange_words, group_chunks, number_data, sequence_dls
from nlpdeep.records import results, results_dir
from nlpdeep.regularization import LMModel7, rnn_regularization
from nlpdeep.runs import Plan, run_script

EPOCHS, P, WD, ALPHA, BETA = 15, 0.4, 0.1, 2.0, 1.0
LESSONS = dict(rnn='LSTM', bs=64, lr=1e-2, roll=False, average=0.0, exchange=False, forget=0.0)
MODEL = [
    ("the lessons' recipe", {}),
    ('GRU for LSTM', dict(rnn='GRU')),
    ('+ batches of 16 at 5e-3', dict(bs=16, lr=5e-3)),
    ('+ the text starts elsewhere each epoch', dict(roll=True)),
    ('+ averaged weights', dict(average=0.99)),
]
DATA = [
    ('thousands exchanged', dict(exchange=True)),
    ('thousands exchanged, text starts elsewhere', dict(roll=True)),
    ('thousands exchanged, text starts elsewhere, state forgotten', dict(forget=0.05)),
]


ON_SLICE, ON_VALID = 'human_numbers, slice of the training part', 'human_numbers, last fifth'


def scored():
    """The recipes for the validation part: where it began, and the best of MODEL and of DATA on the slice;
    none before the slice is recorded.
    """
    acc = {}
    try:
        rows = results('fifteen_epochs')
    except InputError:
        return []
    for o in rows:
        if o['data'] == ON_SLICE:
            acc.setdefault(o['config']['recipe'], []).append(o['metrics']['accuracy'])
    if any(len(acc.get(name, [])) < 3 for name, _ in MODEL + DATA):
        return []

    def best(chain):
        return max((n for n, _ in chain), key=lambda n: sum(acc[n]) / len(acc[n]))

    return [MODEL[0][0], best(MODEL), best(DATA)]


def recipes():
    """name -> settings. Each of MODEL has what stands before it, each of DATA too; both begin with the
    lessons' recipe.
    """
    out = {}
    for chain in (MODEL, DATA):
        now = dict(LESSONS)
        for name, change in chain:
            now = {**now, **change}
            out[name] = now
    return out


def batches(ids, sl=16, bs=64):
    "All of `ids` as the lessons' validation loader would give them."
    seqs = group_chunks(
        [
            (torch.tensor(ids[i : i + sl]), torch.tensor(ids[i + 1 : i + sl + 1]))
            for i in range(0, len(ids) - sl - 1, sl)
        ],
        bs,
    )
    return [tuple(map(torch.stack, zip(*seqs[i : i + bs]))) for i in range(0, len(seqs), bs)]


def parts(d, sl=16):
    "The ids of the training part, its slice to choose on, and the lessons' validation loader."
    cut = int(len(range(0, len(d.ids) - sl - 1, sl)) * 0.8) * sl
    train, at = d.ids[:cut], d.vocab.index
    known = [i for i in range(cut - 1) if train[i] == at('six') and train[i + 1] == at('thousand')]
    return train, (train[: known[85]], batches(train[known[85] :])), sequence_dls(d.ids).valid


def one_cycle(q, hi, lo=1 / 25, end=1e-5, pct=0.25):
    "fastai's schedule: up from `hi*lo` to `hi`, down to `hi*end`, by cosines."

    def cos(a, b, q):
        return a + (b - a) * (1 - math.cos(math.pi * q)) / 2

    return cos(hi * lo, hi, q / pct) if q < pct else cos(hi, hi * end, (q - pct) / (1 - pct))


def keep(h, rows):
    return tuple(o * rows for o in h) if isinstance(h, tuple) else h * rows


def train(d, ids, rnn, bs, lr, roll, average, exchange, forget, sl=16):
    """A trained model. The text is read as `bs` long rows, `sl` words at a time, with the state kept, as in
    the lessons.
    """
    model = LMModel7(len(d.vocab), 64, 2, P, rnn=getattr(nn, rnn))
    bias = [model.score.bias]
    rest = [p for p in model.parameters() if p is not bias[0]]
    opt = torch.optim.AdamW(
        [dict(params=rest), dict(params=bias, weight_decay=0.0)], betas=(0.8, 0.99), eps=1e-5, weight_decay=WD
    )
    mean = WeightAverage(model, average) if average else None
    ids = torch.tensor(ids)
    steps = (len(ids) - 1) // (bs * sl)
    k, total = 0, EPOCHS * steps
    digits = {
        d.ids[i] for i in range(len(ids) - 1) if d.vocab[d.ids[i + 1]] == 'hundred'
    }  # the words that stand before "hundred" in the training text
    for epoch in range(EPOCHS):
        text = exchange_words(ids, sorted(digits), d.vocab.index('thousand')) if exchange else ids
        if roll:
            text = text.roll(-int(torch.randint(len(text), ())))
        x, y = (text.roll(-o)[: bs * steps * sl].view(bs, -1) for o in (0, 1))
        model.reset()
        for i in range(0, steps * sl, sl):
            for g in opt.param_groups:
                g['lr'], g['betas'] = (
                    one_cycle(k / total, lr),
                    (one_cycle(k / total, 0.7, 0.8 / 0.7, 0.8 / 0.7), 0.99),
                )
            if forget and i:
                model.h = keep(model.h, torch.rand(1, bs, 1) >= forget)
            scores, raw, out = model(x[:, i : i + sl])
            loss = F.cross_entropy(scores.flatten(0, 1), y[:, i : i + sl].flatten()) + rnn_regularization(
                raw, out, ALPHA, BETA
            )
            loss.backward()
            opt.step()
            opt.zero_grad()
            k += 1
            if mean:
                mean.update()
    if mean:
        mean.copy_to(model)
    return model


@torch.no_grad()
def answers(model, dl):
    """What the model says and what is right, as the lessons validate: batches of 64 x 16, the state kept from
    the first batch on. Both (64, words).
    """
    model.eval()
    model.reset()
    both = [(model(x)[0].argmax(-1), y) for x, y in dl]
    return tuple(torch.cat(o, 1) for o in zip(*both))


def kinds(d, said, right):
    """Accuracy, and the share of all words that are wrong: in the first 16 of a row; later, by what the right
    word is.
    """
    wrong, first = said != right, torch.arange(right.shape[1]) < 16

    def word(*ws):
        return torch.isin(right, torch.tensor([d.vocab.index(w) for w in ws]))

    after = torch.cat([torch.full_like(right[:, :1], -1), right[:, :-1]], 1) == d.vocab.index(
        '.'
    )  # the word after a stop: the thousands

    def share(m):
        return (wrong & m).float().mean().item()

    return dict(
        accuracy=1 - share(torch.ones_like(wrong)),
        wrong_first16=share(first.expand_as(wrong)),
        wrong_thousands=share(~first & after),
        wrong_hundreds=share(
            ~first
            & ~after
            & torch.cat([right[:, 1:] == d.vocab.index('hundred'), torch.zeros_like(wrong[:, :1])], 1)
        ),
        wrong_stop=share(~first & word('.')),
        first16=1 - share(first.expand_as(wrong)) * right.shape[1] / 16,
    )


def mistakes(d, said, right, n=12):
    "Up to `n` mistakes beyond the first 16 words of a row: the words before, the right one, the said one."

    def text(t):
        return ' '.join(d.vocab[i] for i in t)

    out = []
    for r in range(len(right)):
        wrong = [t for t in range(16, right.shape[1]) if said[r, t] != right[r, t]]
        if wrong:
            out.append(
                dict(
                    before=text(right[r, max(0, wrong[0] - 12) : wrong[0]]),
                    right=d.vocab[right[r, wrong[0]]],
                    said=d.vocab[said[r, wrong[0]]],
                    more=len(wrong) - 1,
                )
            )
    return out[:n]


PLAN = Plan(
    makes='fifteen_epochs fifteen_epochs_mistakes',
    chapter='07c_encoder',
    minutes=20,
    data=lambda config: config['on'],
    unwritten=('on',),
    configs=[dict(on=ON_SLICE, recipe=name) for name in recipes()]
    + [dict(on=ON_VALID, recipe=name) for name in scored()],
    seeds=lambda config: range(3 if config['on'] == ON_SLICE else 5),
)


@functools.cache
def numbers():
    d = number_data(human_number_tokens())
    return d, *parts(d)


def run(seed, on, recipe):
    d, full, (short, dev), valid = numbers()
    ids, dl = (short, dev) if on == ON_SLICE else (full, valid)
    set_seed(seed)
    model = train(d, ids, **recipes()[recipe])
    said, right = answers(model, dl)
    if on == ON_VALID and seed == 0 and recipe == scored()[-1]:
        write_json(results_dir() / 'fifteen_epochs_mistakes.json', mistakes(d, said, right))
    return kinds(d, said, right) | dict(parameters=sum(p.numel() for p in model.parameters()))


if __name__ == '__main__':
    run_script(__file__)
