"""How far can 15 epochs of Human Numbers go, with no more parameters than LMModel7? (chapter 07)

    python nbs/runs/fifteen_epochs.py                 every run that is not recorded yet: the ablation, then
        the validation part
    python nbs/runs/fifteen_epochs.py --minutes 5     stop before a run once 5 minutes have passed; call again
        to go on
    python nbs/runs/fifteen_epochs.py --again         also those that are recorded

The recipes are compared on the end of the training part ("slice": the text after the 85th "six thousand", so
that one thousand is hardly known and the
next one never seen, as in the validation part); three seeds a row. About 25 settings were looked at there.
Three recipes are then trained on the whole training part and scored on
the validation part, five seeds each. Records: fifteen_epochs.json (config `recipe`);
fifteen_epochs_mistakes.json holds mistakes of the best recipe, seed 0.
"""

import argparse
import math
import time

import torch
import torch.nn.functional as F
from torch import nn

from nlpdeep.core import InputError, set_seed, size, write_json
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import WeightAverage, exchange_words, group_chunks, number_data, sequence_dls
from nlpdeep.records import record, results, results_dir
from nlpdeep.regularization import LMModel7, rnn_regularization

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


def scored():
    "The recipes for the validation part: where it began, and the best of MODEL and of DATA on the slice."
    acc = {}
    for o in results('fifteen_epochs'):
        if 'slice' in o['data']:
            acc.setdefault(o['config']['recipe'], []).append(o['metrics']['accuracy'])

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


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--minutes', type=float, default=1e9)
    a.add_argument('--again', action='store_true')
    a.add_argument('--seeds', type=int, default=5)
    a = a.parse_args()
    torch.set_num_threads(1)  # the matrices are small: a second thread only waits
    d = number_data(human_number_tokens())
    full, (short, dev), valid = parts(d)
    SLICE, VALID = 'human_numbers, slice of the training part', 'human_numbers, last fifth'

    def todo():
        yield from ((SLICE, name, s, short, dev) for name in recipes() for s in range(min(3, a.seeds)))
        yield from (
            (VALID, name, s, full, valid) for name in scored() for s in range(a.seeds)
        )  # asked for when the slice is done

    try:
        done = {(o['data'], o['config']['recipe'], o['seed'], o['size']) for o in results('fifteen_epochs')}
    except InputError:
        done = set()
    start = time.time()
    for data, name, seed, ids, dl in todo():
        if (data, name, seed, size()) in done and not a.again:
            continue
        if time.time() - start > 60 * a.minutes:
            print('more to do')
            break
        set_seed(seed)
        t = time.time()
        model = train(d, ids, **recipes()[name])
        said, right = answers(model, dl)
        m = kinds(d, said, right) | dict(parameters=sum(p.numel() for p in model.parameters()))
        record('fifteen_epochs', m, data=data, seed=seed, minutes=(time.time() - t) / 60, recipe=name)
        print(
            f'{data.split(", ")[1]:30} {name:42} seed {seed}  {m["accuracy"]:.4f}  first 16: '
            f'{m["first16"]:.3f}',
            flush=True,
        )
        if dl is valid and name == scored()[-1] and seed == 0:
            write_json(results_dir() / 'fifteen_epochs_mistakes.json', mistakes(d, said, right))
