"""Stage one: the language model that everything else begins with (chapter 09). An hour on two cores, minutes
on a GPU; it can be stopped at any time, and called again it goes on.

    NLPDEEP_DATA=FOLDER python nbs/runs/pretrain.py --out FOLDER [--backwards] [--begin MODEL] [--tokens 27e6]
        [--epochs 1] [--emb_sz 256 --n_hid 512 --n_layers 2]

Reads IMDb's training and unlabelled reviews, none that equals a test review, the training part of WikiText-2
and the presidential messages. Words: the 20,000 most frequent. Writes FOLDER/forwards (or FOLDER/backwards),
ready for `base=FOLDER`, and records nbs/results/pretrain.json: perplexity by domain on texts that were kept
apart, and nbs/results/pretrain_curve.json: that of some reviews on the way.
`--begin`: a model this script made (or `en`), to read everything once more from there, into another FOLDER.
    With `--measure` it reads nothing more: the model of `--begin` is measured,
    nbs/results/pretrain_perplexity.json gets a record, and FOLDER
the model with these figures on its card.
"""

import argparse
import random
import time
from collections import Counter
from pathlib import Path

import numpy as np

from nlpdeep.corpora import imdb, speeches, wikitext2
from nlpdeep.language_model import ProgressLog, ULMFiTConfig, perplexity
from nlpdeep.numericalization import Vocab
from nlpdeep.precision import lm_precision
from nlpdeep.pretraining import pretrain, pretrained, save_lm
from nlpdeep.processor import TextProcessor, tokenize
from nlpdeep.records import record


def corpus(seed=0):
    "Tokens by domain: (training, validation)."

    def plain(s):
        return ' '.join(s.split()).lower()

    df = imdb(download=False)
    test = {plain(o) for o in df.text[df.part == 'test']}
    reviews = [o for o in df.text[df.part.isin(['train', 'unsup'])] if plain(o) not in test]
    np.random.default_rng(seed).shuffle(reviews)
    wt, talk = wikitext2(download=False), list(speeches().text)
    parts = dict(
        reviews=(reviews[:-400], reviews[-400:]),
        articles=(list(wt.text[wt.part == 'train']), list(wt.text[wt.part == 'valid'])),
        speeches=(talk[:-6], talk[-6:]),
    )
    return {k: (tokenize(a), tokenize(b)) for k, (a, b) in parts.items()}


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--out', type=Path, required=True)
    a.add_argument('--backwards', action='store_true')
    a.add_argument('--tokens', type=float, default=1e12)
    for k, v in dict(epochs=1, emb_sz=256, n_hid=512, n_layers=2, bs=64, max_vocab=20_000, seed=42).items():
        a.add_argument(f'--{k}', type=int, default=v)
    a.add_argument('--lr', type=float, default=4e-3)
    a.add_argument('--prec', default=None)
    a.add_argument('--begin', default='')
    a.add_argument('--measure', action='store_true')
    a = a.parse_args()
    t, toks = time.time(), corpus()
    count = Counter(t for tr, _ in toks.values() for d in tr for t in d)
    base = pretrained(a.begin, a.backwards) if a.begin else None
    words = (
        base.words
        if base
        else TextProcessor(
            Vocab.build(count, min_freq=5, max_vocab=a.max_vocab, multiple=0), backwards=a.backwards
        )
    )
    read = base.card['tokens'] if base else 0
    if base:
        vars(a).update(base.sizes)
    docs, valid = (
        [o for tr, _ in toks.values() for o in words.ids(tr)],
        {k: words.ids(v) for k, (_, v) in toks.items()},
    )
    random.Random(0).shuffle(docs)
    docs = docs[: int(np.searchsorted(np.cumsum(list(map(len, docs))), a.tokens)) + 1]
    way, n = 'backwards' if a.backwards else 'forwards', sum(map(len, docs))
    print(f'{n:,} tokens, {len(words):,} words, {way}', flush=True)
    cfg = ULMFiTConfig(
        seed=a.seed,
        emb_sz=a.emb_sz,
        n_hid=a.n_hid,
        n_layers=a.n_layers,
        lm_epochs=a.epochs,
        lm_lr=a.lr,
        lm_bs=a.bs,
        seq_len=64,
        lm_drop_mult=0.1,
        backwards=a.backwards,
    )
    a.out.mkdir(parents=True, exist_ok=True)
    texts = dict(
        texts='IMDb reviews (train and unsup, none of the test part), WikiText-2 (training part), '
        'presidential messages',
        not_shown='any test review; any movie snippet',
    )
    if a.measure:
        model = base.model()
        ppl = {k: perplexity(model, v) for k, v in valid.items()}
        save_lm(a.out / way, model, words, dict(tokens=read, perplexity=ppl) | texts)
        record(
            'pretrain_perplexity',
            ppl,
            data='texts kept apart: IMDb reviews, WikiText-2 (validation part), presidential messages',
            seed=a.seed,
            minutes=(time.time() - t) / 60,
            way=way,
            tokens=read,
        )
        raise SystemExit(print(ppl))
    model, h = pretrain(
        docs,
        valid['reviews'][:60],
        len(words),
        cfg,
        a.out / f'{way}.ckpt',
        every=500,
        log=ProgressLog(lambda s: print(s, flush=True), bars=False),
        prec=a.prec,
        begin=base.weights if base else None,
    )
    ppl = {k: perplexity(model, v) for k, v in valid.items()}
    save_lm(a.out / way, model, words, dict(tokens=read + n * a.epochs, perplexity=ppl) | texts)
    record(
        'pretrain',
        ppl,
        data='IMDb, WikiText-2, presidential messages',
        seed=a.seed,
        minutes=(time.time() - t) / 60,
        way=way,
        tokens=read + n * a.epochs,
        epochs=a.epochs,
        emb_sz=a.emb_sz,
        n_hid=a.n_hid,
        n_layers=a.n_layers,
        lr=a.lr,
        bs=a.bs,
        seq_len=64,
        precision=a.prec or lm_precision(len(words)),
        begin=a.begin,
        order='documents shuffled with seed 0, then anew each epoch with the seed of the run',
    )
    for o in h['curve']:
        record(
            'pretrain_curve',
            dict(perplexity=o['perplexity']),
            data='IMDb reviews kept apart',
            seed=a.seed,
            minutes=o['minutes'],
            way=way,
            tokens=read + o['tokens'],
        )
    print(ppl)
