"""A causal language model as a classifier of movie snippets (split by film), beside TF-IDF on the same
samples, over label counts and seeds (chapter 11).

    python nbs/runs/gpt2_classifier.py                  every run that is not recorded yet: 100, 500, 2,000
        labels over three seeds, all labels over two
    python nbs/runs/gpt2_classifier.py --minutes 30     stop before a run once 30 minutes have passed; call
        again to go on
    python nbs/runs/gpt2_classifier.py --only lm        fine-tune the language model and stop

The language model is fine-tuned once, on the texts of the training part without their labels; all runs start
from it (kept in the cache). What its lower layers make of each text is
computed once, too, and shared: minutes of a run are those of its own training. The settings were chosen on
the validation part: see SETTINGS. The test part is scored once per run.
Records: gpt2_classifier.json (config `method`: tfidf, lm), gpt2_classifier_lm.json (perplexity before and
after). Memory is the peak of the process so far.
"""

import argparse
import copy
import dataclasses
import hashlib
import json
import random
import resource
import time
from functools import partial

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
from nlpdeep.core import InputError, home, set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ProgressLog
from nlpdeep.records import record, results

CLASSES = ['fresh', 'rotten']
BASE = dict(ask=' All in all, the movie was', free=10, groups=2)
LM = dict(lm_epochs=1, lm_lr=1e-4, lm_bs=8, seq_len=128, seed=0)
SETTINGS = {
    100: dict(head_epochs=8, thaw_epochs=2, epochs=6),
    500: dict(head_epochs=3, thaw_epochs=1, epochs=4),
    2000: dict(epochs=2),
    0: dict(epochs=2),
}


def done(name, seed, **config):
    try:
        return any(
            o['seed'] == seed and all(o['config'].get(k) == v for k, v in config.items())
            for o in results(name)
        )
    except InputError:
        return False


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, the most so far


def tuned(name, texts, valid, again=False) -> CausalLM:
    "The language model after it has read `texts`; from the cache, if it did so before."
    cfg = CausalClassifierConfig(**(BASE | LM))
    lm = load_pretrained(name)
    key = json.dumps(
        [lm.name, dataclasses.asdict(cfg), len(texts), hashlib.sha256('\n'.join(texts).encode()).hexdigest()],
        sort_keys=True,
    )
    place = home() / 'models' / f'movie-snippets-{hashlib.sha256(key.encode()).hexdigest()[:12]}'
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


print_log = ProgressLog(partial(print, flush=True), bars=False)

if __name__ == '__main__':
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--model', default='smollm2')
    a.add_argument('--sizes', type=int, nargs='+', default=[100, 500, 2000, 0], help='0: all labels')
    a.add_argument('--seeds', type=int, default=3)
    a.add_argument('--minutes', type=float, default=1e9)
    a.add_argument('--only', choices=['lm', 'tfidf'])
    a.add_argument('--probe', help='more settings as JSON: score the validation part only, record nothing')
    a = a.parse_args()
    start = time.time()
    df = movie_snippets()
    part = {p: df[df.part == p] for p in ('train', 'valid', 'test')}
    y = {p: np.array([CLASSES.index(o) for o in d.label]) for p, d in part.items()}
    cells = [(n, s) for n in a.sizes for s in range(a.seeds if n else min(a.seeds, 2))]

    def sample(n, s):
        return random.Random(s).sample(range(len(y['train'])), n) if n else list(range(len(y['train'])))

    def label(n):
        return f'{n or len(y["train"]):,}'

    if not a.probe:
        for n, s in cells:
            if done('gpt2_classifier', s, method='tfidf', labels=label(n)) or (n == 0 and s):
                continue
            rows, t = sample(n, s), time.time()
            pred = tfidf_baseline(
                part['train'].text.iloc[rows],
                y['train'][rows],
                list(part['valid'].text) + list(part['test'].text),
            )
            v = len(y['valid'])
            record(
                'gpt2_classifier',
                dict(accuracy=np.mean(pred[v:] == y['test']), valid=np.mean(pred[:v] == y['valid'])),
                data='movie_snippets, test part',
                seed=s,
                minutes=(time.time() - t) / 60,
                method='tfidf',
                labels=label(n),
            )
    if a.only == 'tfidf':
        raise SystemExit
    lm = tuned(a.model, list(part['train'].text), list(part['valid'].text))
    if a.only == 'lm':
        raise SystemExit
    memo, ids = FrozenCache(), {}
    for n, s in cells:
        if not a.probe and done('gpt2_classifier', s, method='lm', labels=label(n), model=lm.name):
            continue
        if time.time() - start > 60 * a.minutes:
            print('more to do')
            break
        cfg = CausalClassifierConfig(seed=s, **(BASE | SETTINGS[n] | json.loads(a.probe or '{}')))
        ids = ids or {
            p: encode_texts(lm, list(d.text), cfg) for p, d in part.items() if not (a.probe and p == 'test')
        }
        rows = sample(n, s)
        set_seed(s)
        model = LastToken(copy.deepcopy(lm.model), 2, cfg.free, cfg.groups, cfg.drop_p, memo)
        t = time.time()
        out = fit_causal_classifier(model, ([ids['train'][k] for k in rows], y['train'][rows]), None, cfg)
        minutes = (time.time() - t) / 60
        acc = {
            p: float(np.mean(causal_class_probs(model, ids[p], remember=True).argmax(1) == y[p]))
            for p in ids
            if p != 'train'
        }
        print(
            label(n),
            s,
            {k: round(v, 4) for k, v in acc.items()},
            f'{minutes:.1f} minutes, {memory():.1f} GiB',
            'training loss',
            [round(float(np.mean(c)), 3) for c in np.array_split(out['train'], 5)],
            flush=True,
        )
        if a.probe:
            continue
        record(
            'gpt2_classifier',
            dict(
                accuracy=acc['test'],
                valid=acc['valid'],
                memory=memory(),
                steps=len(out['train']),
                trainable=max(out['trainable']),
            ),
            data='movie_snippets, test part',
            seed=s,
            minutes=minutes,
            method='lm',
            labels=label(n),
            model=lm.name,
            precision=matmul_precision(),
            threads=torch.get_num_threads(),
            **(BASE | SETTINGS[n]),
            lr_head=cfg.lr_head,
            lr=cfg.lr,
            lr_div=cfg.lr_div,
            bs=cfg.bs,
        )
