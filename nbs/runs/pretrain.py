"""Stage one: the language models that everything else begins with, in both directions. The order of the
passes is here: three of them, each from the model of the pass before, with a rate and a seed of its own.

Reads IMDb's training and unlabelled reviews, none that equals a test review, the training part of WikiText-2
and the presidential messages. Words: the 20,000 most frequent. A pass takes an hour on one core, minutes on a
GPU; it can be stopped at any time, and called again it goes on. The models are kept in nlpdeep's cache, in
pretrain/pass-1, pass-2, pass-3 (`base=FOLDER` begins with one); the third pair is what ships in
nlpdeep/pretrained. Records nbs/results/pretrain.json: perplexity by domain on texts that were kept apart;
pretrain_curve.json: that of some reviews on the way; pretrain_perplexity.json: that of the stored model, in
16 bits. A pass that is not there yet is made first.
"""

import functools
import random
from collections import Counter

import numpy as np

from nlpdeep.core import home
from nlpdeep.corpora import imdb, speeches, wikitext2
from nlpdeep.language_model import ProgressLog, ULMFiTConfig, perplexity
from nlpdeep.numericalization import Vocab
from nlpdeep.precision import lm_precision
from nlpdeep.pretraining import pretrain, pretrained, save_lm
from nlpdeep.processor import TextProcessor, tokenize
from nlpdeep.runs import Plan, Row, run_script


@functools.cache
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


PASSES = {1: dict(seed=42, lr=4e-3), 2: dict(seed=43, lr=2.5e-3), 3: dict(seed=44, lr=2e-3)}
SIZES = dict(emb_sz=256, n_hid=512, n_layers=2)
MAX_VOCAB, BS, SEQ_LEN = 20_000, 64, 64
CARD = dict(
    texts='IMDb reviews (train and unsup, none of the test part), WikiText-2 (training part), '
    'presidential messages',
    not_shown='any test review; any movie snippet',
)

PLAN = Plan(
    makes='pretrain pretrain_curve pretrain_perplexity',
    chapter='09g_pretraining',
    minutes=400,
    kept='it describes the weights that ship',
    data='IMDb, WikiText-2, presidential messages',
    configs=[dict(way=way, number=n) for n in PASSES for way in ('forwards', 'backwards')],
    unwritten=('number',),
    seeds=lambda config: (PASSES[config['number']]['seed'],),
)


def place(number):
    "The folder of the models of one pass."
    return home() / 'pretrain' / f'pass-{number}'


def run(seed, way, number):
    back, base = way == 'backwards', None
    if number > 1:
        if not (place(number - 1) / way).is_dir():
            run(PASSES[number - 1]['seed'], way, number - 1)
        base = pretrained(str(place(number - 1)), back)
    toks = corpus()
    count = Counter(t for tr, _ in toks.values() for d in tr for t in d)
    words = (
        base.words
        if base
        else TextProcessor(Vocab.build(count, min_freq=5, max_vocab=MAX_VOCAB, multiple=0), backwards=back)
    )
    docs = [o for tr, _ in toks.values() for o in words.ids(tr)]
    valid = {k: words.ids(v) for k, (_, v) in toks.items()}
    random.Random(0).shuffle(docs)
    before, n, lr = base.card['tokens'] if base else 0, sum(map(len, docs)), PASSES[number]['lr']
    print(f'{n:,} tokens, {len(words):,} words, {way}', flush=True)
    cfg = ULMFiTConfig(
        seed=seed, lm_epochs=1, lm_lr=lr, lm_bs=BS, seq_len=SEQ_LEN, lm_drop_mult=0.1, backwards=back, **SIZES
    )
    out = place(number)
    out.mkdir(parents=True, exist_ok=True)
    model, h = pretrain(
        docs,
        valid['reviews'][:60],
        len(words),
        cfg,
        out / f'{way}.ckpt',
        every=500,
        log=ProgressLog(lambda s: print(s, flush=True), bars=False),
        begin=base.weights if base else None,
    )
    ppl = {k: perplexity(model, v) for k, v in valid.items()}
    save_lm(out / way, model, words, dict(tokens=before + n, perplexity=ppl) | CARD)
    stored = pretrained(str(out), back).model()
    how = dict(tokens=before + n, epochs=1, **SIZES, lr=lr, bs=BS, seq_len=SEQ_LEN)
    how |= dict(precision=lm_precision(len(words)), begin=f'pass {number - 1}' if base else '')
    how['order'] = 'documents shuffled with seed 0, then anew each epoch with the seed of the run'
    kept = 'texts kept apart: IMDb reviews, WikiText-2 (validation part), presidential messages'
    return [
        Row(ppl, how),
        Row(
            {k: perplexity(stored, v) for k, v in valid.items()},
            dict(tokens=before + n),
            data=kept,
            makes='pretrain_perplexity',
            minutes=0,
        ),
        *(
            Row(
                dict(perplexity=o['perplexity']),
                dict(tokens=before + o['tokens']),
                data='IMDb reviews kept apart',
                minutes=o['minutes'],
                makes='pretrain_curve',
            )
            for o in h['curve']
        ),
    ]


if __name__ == '__main__':
    run_script(__file__)
