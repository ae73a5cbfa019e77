"""A causal language model as a classifier of movie snippets (split by film), beside TF-IDF on the same
samples, over label counts and seeds.

The language model is fine-tuned once, on the texts of the training part without their labels; all runs start
from it (kept in the cache), but for those of the method `no stage two`, which start from the model as it
comes. What its lower layers make of each text is computed once, too, and shared: minutes of a run are those
of its own training. The settings were chosen on the validation part: see SETTINGS. The test part is scored
once per run.
Records: gpt2_classifier.json (config `method`: tfidf, lm, no stage two), gpt2_classifier_lm.json (perplexity
before and after). Memory is the peak of the process so far.
"""

import copy
import dataclasses
import functools
import json
import random
import resource
import time

import numpy as np
import torch

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.causal_classifier import (
    CausalClassifierConfig,
    FrozenCache,
    LastToken,
    causal_class_probs,
    encode_texts,
    finetune_causal_lm,
    fit_causal_classifier,
)
from nlpdeep.causal_models import CausalLM, load_pretrained, save_pretrained
from nlpdeep.causal_training import matmul_precision
from nlpdeep.core import home, set_seed, text_hash
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ProgressLog
from nlpdeep.records import record
from nlpdeep.runs import Plan, Row, run_script

CLASSES = ['fresh', 'rotten']
BASE = dict(ask=' All in all, the movie was', free=10, groups=2)
LM = dict(lm_epochs=1, lm_lr=1e-4, lm_bs=8, seq_len=128, seed=0)
SETTINGS = {
    100: dict(head_epochs=8, thaw_epochs=2, epochs=6),
    500: dict(head_epochs=3, thaw_epochs=1, epochs=4),
    2000: dict(epochs=2),
    0: dict(epochs=2),
}


PLAIN = 'no stage two'
ALL = '8,835'  # labelled snippets of the training films

PLAN = Plan(
    makes='gpt2_classifier gpt2_classifier_lm',
    chapter='12_gpt2_classifier',
    minutes=90,
    data='movie_snippets, test part',
    configs=[dict(method=m, labels=n) for m in ('tfidf', 'lm', PLAIN) for n in ('100', '500', '2,000', ALL)],
    seeds=lambda config: range(
        {'tfidf': 1, 'lm': 2, PLAIN: 1}[config['method']] if config['labels'] == ALL else 3
    ),
)


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, the most so far


def tuned(name, texts, valid, again=False) -> CausalLM:
    "The language model after it has read `texts`; from the cache, if it did so before."
    cfg = CausalClassifierConfig(**(BASE | LM))
    lm = load_pretrained(name)
    key = json.dumps(
        [lm.name, dataclasses.asdict(cfg), len(texts), text_hash('\n'.join(texts))],
        sort_keys=True,
    )
    place = home() / 'models' / f'movie-snippets-{text_hash(key)[:12]}'
    if place.is_dir() and not again:
        return load_pretrained(place)._replace(name=lm.name)
    plain = dataclasses.replace(cfg, ask='', long='cut')
    a, b = encode_texts(lm, texts, plain), encode_texts(lm, valid, plain)
    t = time.time()
    out = finetune_causal_lm(lm, a, b, cfg, print_log)
    record(
        'gpt2_classifier_lm',
        dict(
            before=out['before'], after=out['after'], texts=len(a), tokens=sum(map(len, a)), memory=memory()
        ),
        data='movie_snippets, training part without labels; measured on the validation part',
        seed=LM['seed'],
        minutes=(time.time() - t) / 60,
        model=lm.name,
        precision=matmul_precision(),
        threads=torch.get_num_threads(),
        **{k: v for k, v in (BASE | LM).items() if k not in ('ask', 'seed')},
    )
    save_pretrained(lm, place)
    return lm


print_log = ProgressLog(functools.partial(print, flush=True), bars=False)


@functools.cache
def snippets():
    "Texts and numbered labels, by part."
    df = movie_snippets()
    part = {p: df[df.part == p] for p in ('train', 'valid', 'test')}
    return part, {p: np.array([CLASSES.index(o) for o in d.label]) for p, d in part.items()}


@functools.cache
def reader(method):
    "The language model, fine-tuned or as it comes; the ids of all parts; what frozen layers made of them."
    part, _ = snippets()
    if method == PLAIN:
        lm = load_pretrained('smollm2')
    else:
        lm = tuned('smollm2', list(part['train'].text), list(part['valid'].text))
    cfg = CausalClassifierConfig(**BASE)
    return lm, {p: encode_texts(lm, list(d.text), cfg) for p, d in part.items()}, FrozenCache()


def run(seed, method, labels):
    part, y = snippets()
    n = 0 if labels == ALL else int(labels.replace(',', ''))
    rows = random.Random(seed).sample(range(len(y['train'])), n) if n else list(range(len(y['train'])))
    if method == 'tfidf':
        pred = tfidf_baseline(
            part['train'].text.iloc[rows],
            y['train'][rows],
            list(part['valid'].text) + list(part['test'].text),
        )
        v = len(y['valid'])
        return dict(accuracy=np.mean(pred[v:] == y['test']), valid=np.mean(pred[:v] == y['valid']))
    lm, ids, memo = reader(method)
    cfg = CausalClassifierConfig(seed=seed, **(BASE | SETTINGS[n]))
    set_seed(seed)
    model = LastToken(copy.deepcopy(lm.model), 2, cfg.free, cfg.groups, cfg.drop_p, memo)
    t = time.time()
    out = fit_causal_classifier(model, ([ids['train'][k] for k in rows], y['train'][rows]), None, cfg)
    minutes = (time.time() - t) / 60
    acc = {
        p: float(np.mean(causal_class_probs(model, ids[p], remember=True).argmax(1) == y[p]))
        for p in ('valid', 'test')
    }
    m = dict(accuracy=acc['test'], valid=acc['valid'], memory=memory())
    m |= dict(steps=len(out['train']), trainable=max(out['trainable']))
    how = dict(model=lm.name, precision=matmul_precision(), threads=torch.get_num_threads())
    how |= BASE | SETTINGS[n] | dict(lr_head=cfg.lr_head, lr=cfg.lr, lr_div=cfg.lr_div, bs=cfg.bs)
    return [Row(m, how, minutes=minutes)]


if __name__ == '__main__':
    run_script(__file__)
