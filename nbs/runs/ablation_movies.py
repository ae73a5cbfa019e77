"""What are AWD-LSTM's dropouts worth on real text? Words of the movie snippets, one thing changed at a time.

A small AWD-LSTM (word vectors of 96, one layer of 96: a deeper stack needs a longer training) reads critics'
verdicts on films as one long text; verdicts on other films validate. An interpolated
Kneser-Ney trigram, which only counts, is the baseline. Records: nbs/results/ablation_movies.json (config
`row`).
"""

import functools
import math
import re
from collections import Counter, defaultdict

import torch
from fastai.basics import CrossEntropyLossFlat, DataLoaders, accuracy
from fastai.callback import schedule  # noqa: F401
from fastai.text.learner import TextLearner

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.corpora import movie_snippets
from nlpdeep.course import group_chunks
from nlpdeep.runs import Plan, run_script

TEXTS, VALID, BS, SL, EPOCHS, LR = 3_000, 800, 32, 32, 24, 1e-2
EMB = 96
PENALTIES = dict(alpha=2.0, beta=1.0)  # AR and TAR
ALONE = ('embed_p', 'input_p', 'weight_p', 'output_p')  # one layer has no hidden dropout between layers
ROWS = {  # all dropouts times drop_mult; the penalties stay
    'no dropout': PENALTIES | dict(drop_mult=0.0),
    "fastai's dropouts": PENALTIES | dict(drop_mult=1.0),
    "twice fastai's dropouts": PENALTIES | dict(drop_mult=2.0),
    **{f'only {name}': PENALTIES | dict(drop_mult=1.0, only=name) for name in ALONE},
    **{f'all but {name}': PENALTIES | dict(drop_mult=1.0, without=name) for name in ALONE},
    "fastai's dropouts, no AR, no TAR": dict(drop_mult=1.0, alpha=0.0, beta=0.0),
}
COUNTS = {'counts of single words': 1, 'Kneser-Ney, pairs of words': 2, 'Kneser-Ney, three words': 3}

PLAN = Plan(
    makes='ablation_movies',
    chapter='07_awd_lstm',
    minutes=190,
    data=f'movie_snippets, {TEXTS} verdicts of train, {VALID} of valid',
    configs=[dict(row=row) for row in (*COUNTS, *ROWS)],
    seeds=lambda config: (None,) if config['row'] in COUNTS else range(3),
)


def words(texts):
    return [w for t in texts for w in ['xxbos'] + re.findall(r"[\w']+|[^\w\s]", t.lower())]


@functools.cache
def corpus():
    """ids of the training and validation text, and the vocabulary: padding, unknown, and each word seen three
    times or more.
    """
    df = movie_snippets()
    train, valid = (words(df.text[df.part == p][:n]) for p, n in (('train', TEXTS), ('valid', VALID)))
    vocab = ['xxpad', 'xxunk'] + [w for w, n in Counter(train).most_common() if n >= 3]
    at = {w: i for i, w in enumerate(vocab)}
    return *([at.get(w, 1) for w in t] for t in (train, valid)), vocab


def loaders(train, valid):
    def seqs(ids):
        return [
            (torch.tensor(ids[i : i + SL]), torch.tensor(ids[i + 1 : i + SL + 1]))
            for i in range(0, len(ids) - SL - 1, SL)
        ]

    return DataLoaders.from_dsets(
        *(group_chunks(seqs(o), BS) for o in (train, valid)),
        bs=BS,
        shuffle=False,
        drop_last=True,
        num_workers=0,
        device='cpu',
    )


class KneserNey:
    """An interpolated Kneser-Ney model of `n` words: a long context's counts, less a discount, fall back on
    how many contexts a word has followed.
    """

    def __init__(self, ids, n, vocab_sz, discount=0.75):
        self.n, self.V, self.d, self.next = n, vocab_sz, discount, []
        grams = Counter(tuple(ids[i : i + n]) for i in range(len(ids) - n + 1))
        for k in range(n, 0, -1):  # the longest first; below, each distinct context counts once
            after = defaultdict(Counter)
            for g, c in grams.items():
                after[g[:-1]][g[-1]] = c
            self.next.insert(0, {c: (f, sum(f.values())) for c, f in after.items()})
            grams = Counter(g[1:] for g in grams)

    def __call__(self, context, word):
        p = 1 / self.V
        for k in range(self.n):
            got = self.next[k].get(tuple(context[len(context) - k :]))
            if got is None:
                break
            f, total = got
            p = max(f[word] - self.d, 0) / total + self.d * len(f) / total * p
        return p

    def loss(self, ids):
        return -sum(math.log(self(ids[max(0, i - self.n + 1) : i], ids[i])) for i in range(1, len(ids))) / (
            len(ids) - 1
        )


def train(dls, vocab_sz, drop_mult, alpha, beta, only='', without=''):
    """Losses of every epoch, measured in evaluation mode on the validation text and, at the end, on the
    training text. `only` and `without` name a dropout to be kept or left out alone.
    """
    off = {p: 0.0 for p in ALONE if p == without or (only and p != only)}
    cfg = AWDLSTMConfig(vocab_sz, emb_sz=EMB, n_hid=EMB, n_layers=1, pad_token=0, **off)
    model = language_model(cfg, drop_mult)
    learn = TextLearner(
        dls, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy, alpha=alpha, beta=beta
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(EPOCHS, LR, wd=0.1)
        rows = [tuple(map(float, o)) for o in learn.recorder.values]
        known = learn.validate(dl=dls.train)[0]
    curve = {
        f'{k}_{e}': row[i]
        for e, row in enumerate(rows, 1)
        for i, k in enumerate(('train_loss', 'valid_loss'))
    }
    return (
        dict(
            valid_loss=rows[-1][1],
            perplexity=math.exp(rows[-1][1]),
            lowest_perplexity=math.exp(min(o[1] for o in rows)),
            train_perplexity=math.exp(known),
            accuracy=rows[-1][2],
            parameters=sum(p.numel() for p in model.parameters()),
        )
        | curve
    )


def run(seed, row):
    train_ids, valid_ids, vocab = corpus()
    if row in ROWS:
        return train(loaders(train_ids, valid_ids), len(vocab), **ROWS[row])
    loss = KneserNey(train_ids, COUNTS[row], len(vocab)).loss(valid_ids)
    return dict(
        valid_loss=loss,
        perplexity=math.exp(loss),
        words=len(train_ids),
        valid_words=len(valid_ids),
        vocab=len(vocab),
        unknown=valid_ids.count(1) / len(valid_ids),
    )


if __name__ == '__main__':
    run_script(__file__)
