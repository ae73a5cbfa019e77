"""The published AWD-LSTM (400/1152, three layers) on IMDb within a given time: a language model from random
weights over the training and unlabelled reviews, then the classifier, forwards. For a GPU.

    python nbs/runs/gpu/imdb_awd.py --pack .gpu --work FOLDER --seconds 600 [--small] [--seed 1] [--backwards]

1 language model: 60,000 words, bs 128, seq_len 80, as many passes as fit into the time (measured first); two
  thousand training reviews are kept apart, and measure it;
2 classifier: bs 128, whole reviews up to 2,048 tokens; head, last layer, one more, all, at 2e-2, 1e-2, 5e-3,
  1e-3 in the top group and 2.6 times less for each group below (rates and order: fastai's book, chapter 10).
  Accuracy on the same two thousand reviews after each epoch;
3 the test reviews are scored once, at the end.

Unlike the lessons' model, this one has read no Wikipedia and no test review. (Table 4 of the ULMFiT paper has
5.63 % error on validation without Wikipedia, 5.00 with it.) Called again, it goes on where it stopped.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from fastai.basics import Callback, CancelFitException, DataLoaders, accuracy
from pack import unpack_reviews

from nlpdeep.awd_lstm import language_model
from nlpdeep.checkpoint import Checkpoint
from nlpdeep.core import device, precision, set_seed
from nlpdeep.language_model import ULMFiTConfig, lm_loaders, perplexity
from nlpdeep.precision import LinearCrossEntropyLoss
from nlpdeep.pretraining import lsuv_init
from nlpdeep.processor import TextProcessor
from nlpdeep.records import record
from nlpdeep.schedules import layer_rates
from nlpdeep.training import ProgressLines, classifier_learner, lm_learner
from nlpdeep.ulmfit import Classifier, class_loader, class_probs

BEGIN = time.monotonic()
FREE = [(1, 2e-2), (2, 1e-2)]  # groups free for one epoch, and the top rate; then three, then all (`--rates`)


def say(*what):
    print(f'{time.monotonic() - BEGIN:6.0f} s ', *what, flush=True)


class Stop(Callback):
    "Breaks the fit off after `n` steps, and notes the seconds of one (without the first ten)."

    order = 200

    def __init__(self, n):
        self.n, self.at = n, 0

    def after_batch(self):
        self.at += 1
        if self.at in (10, self.n):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if self.at == self.n:
                self.seconds = (time.perf_counter() - self.start) / (self.n - 10)
                raise CancelFitException()
            self.start = time.perf_counter()


def settings(a):
    sizes = dict(emb_sz=40, n_hid=64, n_layers=3) if a.small else dict(emb_sz=400, n_hid=1152, n_layers=3)
    drops = dict(lm_drop_mult=0.3, drop_mult=0.5)
    batches = dict(lm_bs=8, seq_len=16) if a.small else dict(lm_bs=128, seq_len=80)
    return ULMFiTConfig(seed=a.seed, backwards=a.backwards, lm_lr=4e-3, **sizes, **drops, **batches)


def lm_fit(a, cfg, words, train, valid, epochs, cbs, fit=True):
    "A language model from random weights, fitted for `epochs`."
    set_seed(cfg.seed)
    model = language_model(cfg.encoder(len(words))).to(device())
    loaders = lm_loaders(train, valid, cfg)
    lsuv_init(model, next(iter(loaders[0]))[0].to(device()))
    learn = lm_learner(
        DataLoaders(*loaders, device=torch.device(device())),
        model,
        [],
        loss_func=LinearCrossEntropyLoss(chunk=5120),
        clip=0.5,
        alpha=0,
        beta=0,
        moms=(0.8, 0.7, 0.8),
        wd=0.01,
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, cfg.lm_lr, cbs=cbs)
    return model, len(loaders[0]), learn


def language_stage(a, cfg, words, data, plan):
    "Stages one and two in one: the reviews themselves are all that it reads."
    train, valid = data['train'][0] + data['unsup'][0], data['valid'][0]
    if 'epochs' not in plan:
        stop = Stop(14 if a.small else 60)
        _, steps, _ = lm_fit(a, cfg, words, train, valid, 1, [stop])
        per_epoch = steps * stop.seconds * 1.03 + 3  # validation, checkpoints
        rows = cfg.lm_bs * cfg.seq_len
        say(f'{stop.seconds * 1e3:.1f} ms a step, {rows / stop.seconds:,.0f} tokens a second')
        left = a.seconds - (time.monotonic() - BEGIN) - a.classifier
        plan.update(epochs=max(1, int(left / per_epoch)), tokens_per_second=rows / stop.seconds)
        (a.work / 'plan.json').write_text(json.dumps(plan))
    say(f'language model: {plan["epochs"]} passes over {sum(map(len, train)):,} tokens')
    begin = time.monotonic()
    cbs = [ProgressLines(200, say), Checkpoint(a.work / 'lm.ckpt', 5000)]
    lm, _, learn = lm_fit(a, cfg, words, train, valid, plan['epochs'], cbs)
    plan.update(
        epochs_perplexity=[float(np.exp(o[1])) for o in learn.recorder.values],
        perplexity=perplexity(lm, valid),
        lm_minutes=(time.monotonic() - begin) / 60,
    )
    torch.save({k: v.cpu() for k, v in lm.state_dict().items()}, a.work / 'lm.pt')
    (a.work / 'plan.json').write_text(json.dumps(plan))
    say(
        'perplexity by epoch', *(f'{o:.1f}' for o in plan['epochs_perplexity']), f'| {plan["perplexity"]:.2f}'
    )
    return lm


def classifier_stage(a, cfg, words, data, lm, plan):
    "Stage three; the accuracy on the validation reviews after each epoch goes into `plan`."
    bs = 16 if a.small else 128
    model = Classifier(cfg.encoder(len(words), True), 2, cfg.n_lin).load_encoder(lm).to(device())
    loaders = class_loader(*data['train'], bs, True), class_loader(*data['valid'], bs)
    learn = classifier_learner(
        DataLoaders(*loaders, device=torch.device(device())),
        model,
        accuracy,
        splitter=Classifier.groups,
        moms=(0.8, 0.7, 0.8),
        wd=0.1,
        clip=0.25,
    )
    n, begin, plan['valid'] = cfg.n_layers + 2, time.monotonic(), []

    def one_pass(free, epochs, top):
        t = time.monotonic()
        learn.freeze_to(n - free)
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(epochs, layer_rates(top, n).tolist(), cbs=ProgressLines(100, say))
        plan['valid'] += [float(o[2]) for o in learn.recorder.values]
        say(f'{free} groups free: validation', *(f'{o:.4f}' for o in plan['valid'][-epochs:]))
        return (time.monotonic() - t) / epochs

    third, last = map(float, a.rates.split(','))
    for free, top in [*FREE, (3, third)]:
        took = one_pass(free, 1, top)
    left = a.seconds - (time.monotonic() - BEGIN) - 15
    plan['last_epochs'] = min(3, max(1, int(left / (1.4 * took))))
    one_pass(n, plan['last_epochs'], last)
    plan['clas_minutes'] = (time.monotonic() - begin) / 60
    return model


def main(a):
    a.work.mkdir(parents=True, exist_ok=True)
    file = a.work / 'plan.json'
    plan = json.loads(file.read_text()) if file.exists() else {}
    data = unpack_reviews(a.pack)
    words, cfg = TextProcessor(data.pop('vocab'), backwards=a.backwards), settings(a)
    if a.backwards:
        data = {p: ([np.concatenate([o[:1], o[:0:-1]]) for o in ids], y) for p, (ids, y) in data.items()}
    say(f'{device()}, {precision()}; ' + ', '.join(f'{p}: {len(o[0]):,}' for p, o in data.items()))
    if (a.work / 'lm.pt').exists():
        lm = language_model(cfg.encoder(len(words))).to(device())
        lm.load_state_dict(torch.load(a.work / 'lm.pt', map_location=device()))
    else:
        lm = language_stage(a, cfg, words, data, plan)
    model = classifier_stage(a, cfg, words, data, lm, plan)
    probs = {p: class_probs(model, data[p][0]) for p in ('valid', 'test')}
    right = {p: float((probs[p].argmax(1) == np.array(data[p][1])).mean()) for p in probs}
    for p in probs:
        np.save(a.work / f'{p}.npy', probs[p])
    say('accuracy', right)
    by_epoch = {f'perplexity_{k + 1}': o for k, o in enumerate(plan['epochs_perplexity'])}
    by_epoch |= {f'valid_{k + 1}': o for k, o in enumerate(plan['valid'])}
    record(
        'imdb_awd',
        dict(right, perplexity=plan['perplexity'], tokens_per_second=plan['tokens_per_second'], **by_epoch),
        data='IMDb, test reviews at hand' if not a.small else 'snippets, a rehearsal',
        seed=a.seed,
        minutes=plan['lm_minutes'] + plan['clas_minutes'],
        way='backwards' if a.backwards else 'forwards',
        epochs=plan['epochs'],
        last_epochs=plan['last_epochs'],
        precision=precision(),
        rates=a.rates,
        model=f'{cfg.emb_sz}/{cfg.n_hid}, three layers',
    )
    (a.work / 'plan.json').write_text(json.dumps(plan))
    say('done')


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--pack', type=Path, default=Path('.gpu'))
    a.add_argument('--work', type=Path, default=Path('runs/imdb_awd'))
    a.add_argument('--seconds', type=float, default=600, help='how long all of it may take')
    a.add_argument('--classifier', type=float, default=140, help='of these, for the classifier and the test')
    a.add_argument('--rates', default='5e-3,1e-3', help='the greatest once three groups are free, and all')
    a.add_argument('--seed', type=int, default=1)
    a.add_argument('--backwards', action='store_true')
    a.add_argument('--small', action='store_true')
    main(a.parse_args())
