"""The published recipe as it stands: ULMFiT on IMDb from a model that has read WikiText-103, both directions.

1 language model: words of the corpus, at most 60,000, rows matched; first the embedding alone is free for one
epoch (2e-2), then all for ten (2e-3), bs 128, seq_len 80
2 classifier: bs 128; head, last layer, one more, all, at 2e-2, 1e-2, 5e-3, 1e-3 in the top group and 2.6
times less for each group below; 1, 1, 1 and 2 epochs
  (epochs and rates of both stages: fastai's book, chapter 10)
3 test reviews scored once, each direction and the mean of both. Published: 94.3 to 94.6 forwards, 95.1 to
95.4 both.

For a GPU: hours, not minutes. $NLPDEEP_WT103 is a folder with fastai's archive unpacked (else it is fetched
from fastai's server). A checkpoint is kept for each stage in runs/ulmfit_full: called again, the script goes
on. `python nbs/runs/ulmfit_full.py --small` walks the same way with random weights, few texts and a small
model, and records nothing: minutes on a CPU, to see that it runs. Records nbs/results/ulmfit_full.json.
"""

import functools
import os
import sys
from pathlib import Path

import numpy as np
import torch
from fastai.basics import DataLoaders, accuracy

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.checkpoint import Checkpoint
from nlpdeep.core import device, set_seed
from nlpdeep.corpora import imdb, movie_snippets
from nlpdeep.language_model import ULMFiTConfig, lm_loaders, perplexity
from nlpdeep.pretraining import Pretrained, load_matched, wikitext103
from nlpdeep.processor import TextProcessor, tokenize
from nlpdeep.runs import Plan, run_script
from nlpdeep.schedules import layer_rates
from nlpdeep.training import classifier_learner, lm_learner
from nlpdeep.ulmfit import Classifier, class_loader, class_probs


@functools.cache
def texts(small):
    "Labelled training texts, texts that are only read, test texts; labels as 0 and 1."
    df = movie_snippets() if small else imdb(download=False)
    train, test, more = (df[df.part == p] for p in ('train', 'test', 'unsup'))
    train = train[~train.text.isin(set(test.text)) & train.label.notna()]
    if small:
        train, test, more = train[:600], test[:200], more[:100]

    def y(d):
        return d.label.isin(['pos', 'fresh']).astype(int).tolist()

    return tokenize(list(train.text)), y(train), tokenize(list(more.text)), tokenize(list(test.text)), y(test)


def base(small, folder, back):
    if not small:
        return wikitext103(folder, back)
    words = TextProcessor.build(tokenize(list(movie_snippets().text[:500])), 1000, 2, backwards=back)
    return Pretrained(
        words,
        language_model(AWDLSTMConfig(len(words), emb_sz=20, n_hid=24, n_layers=3)).state_dict(),
        dict(emb_sz=20, n_hid=24, n_layers=3),
        {},
    )


@functools.cache
def one_way(back, seed, small=False):
    "Probabilities of the test texts, and the language model's perplexity on texts kept apart."
    train, y, more, test, _ = texts(small)
    b, work, dev = (
        base(small, os.environ.get('NLPDEEP_WT103'), back),
        WORK / ('backwards' if back else 'forwards'),
        torch.device(device()),
    )
    words = TextProcessor.build(train + more, 60_000, 3, backwards=back)
    cfg = ULMFiTConfig(seed=seed, lm_bs=128, seq_len=80, lm_drop_mult=1.0, drop_mult=0.5, **b.sizes)
    ids, held = words.ids(train + more), max(len(train) // 50, 20)
    set_seed(seed)
    lm = language_model(cfg.encoder(len(words))).to(dev)
    load_matched(lm, b.weights, words.vocab.match(b.words.vocab))
    learn = lm_learner(
        DataLoaders(*lm_loaders(ids[held:], ids[:held], cfg), device=dev),
        lm,
        [],
        clip=0.1,
        moms=(0.8, 0.7, 0.8),
        wd=0.1,
    )
    learn.freeze_to(-1)  # the group of the words, which the decoder shares
    learn.fit_one_cycle(1, 2e-2, cbs=Checkpoint(work / 'lm1.ckpt', 1000))
    learn.unfreeze()
    learn.fit_one_cycle(1 if small else 10, 2e-3, cbs=Checkpoint(work / 'lm2.ckpt', 1000))
    ppl = perplexity(lm, ids[:held])
    clas = Classifier(cfg.encoder(len(words), True), 2).load_encoder(lm).to(dev)
    tr, bs = words.ids(train), 32 if small else 128
    dls = DataLoaders(
        class_loader(tr[held:], y[held:], bs, True), class_loader(tr[:held], y[:held], bs), device=dev
    )
    learn = classifier_learner(
        dls, clas, accuracy, splitter=Classifier.groups, moms=(0.8, 0.7, 0.8), wd=0.1, clip=0.25
    )
    n = cfg.n_layers + 2
    for k, (free, epochs, top) in enumerate(((1, 1, 2e-2), (2, 1, 1e-2), (3, 1, 5e-3), (n, 2, 1e-3))):
        learn.freeze_to(n - free)
        learn.fit_one_cycle(epochs, layer_rates(top, n).tolist(), cbs=Checkpoint(work / f'clas{k}.ckpt', 500))
    return class_probs(clas, words.ids(test)), ppl


WORK = Path('runs/ulmfit_full')

PLAN = Plan(
    makes='ulmfit_full',
    chapter='10_transfer',
    minutes=3000,
    precision='',
    needs="a GPU and fastai's WikiText-103 weights",
    data='IMDb, test reviews at hand',
    configs=[dict(way=way) for way in ('forwards', 'backwards', 'both')],
    seeds=(42,),
)


def run(seed, way, small=False):
    ways = ('forwards', 'backwards') if way == 'both' else (way,)
    found = [one_way(w == 'backwards', seed, small) for w in ways]
    y = np.array(texts(small)[-1])
    m = dict(test=float((np.mean([p for p, _ in found], 0).argmax(1) == y).mean()))
    return m if way == 'both' else m | dict(perplexity=found[0][1])


if __name__ == '__main__':
    if '--small' in sys.argv:
        print({way: run(42, way, small=True) for way in ('forwards', 'backwards', 'both')})
    else:
        run_script(__file__)
