"""What each stage of ULMFiT is worth, by the number of labels (chapter 09a): movie snippets, split by film.

    python nbs/runs/ulmfit_labels.py [--arms tfidf,scratch,ulmfit,...] [--labels 100,500,2000,all] [--seeds
        1,2,3,4,5] [--base en] [--again]

Records nbs/results/ulmfit_labels.json, a run at a time: accuracy on the validation and the test part. A run
that is recorded already, with this base, is left out, so the script can be stopped and called again
(`--again`: it is run and recorded anew).
Without labels a text is still read by the language model, which is therefore trained once for each seed and
direction and shared by all label counts and arms. Nothing is chosen here: settings were chosen on the
validation
part before. (Records named `one_pass` and `two_passes` are of the arm `pretrained`, with the models that
shipped before.)

    tfidf       TF-IDF (one and two words) and logistic regression      scratch     the classifier alone, from
    random weights
    ulmfit      language model from random weights, then classifier     pretrained  all three stages, from
    --base
    backwards   the same read backwards                                 both        the mean of the
    probabilities of the two (kept in a folder beside the cache until they are asked for)
    no_reading  pretrained, without fine-tuning the language model      at_once     pretrained, all layers
    free from the start
    one_rate    pretrained, one learning rate for all layers            linear_all  nothing is trained but
    logistic regression on the pretrained encoder's word vectors and states, averaged over the text
    linear_all_both  the mean of its probabilities in the two directions                blend       the mean
    of `both` and `asked`: the fine-tuned and the untouched reader
    asked       `linear_all_both` with the reader's answers beside the averages: its last state when the text
    is followed by the beginning of a verdict (`QUESTIONS` in ulmfit_imdb.py)
    unasked     the same, but the reader's last state as it is, without a question
"""

import argparse
import dataclasses
import functools
import time
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
from ulmfit_imdb import BOTH, by_asking, by_linear, opened

from nlpdeep import ulmfit as ulmfit_mod
from nlpdeep.awd_lstm import language_model
from nlpdeep.baselines import tfidf_baseline
from nlpdeep.core import home, set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ProgressLog, ULMFiTConfig, finetune_lm
from nlpdeep.precision import lm_precision
from nlpdeep.pretraining import SampledSoftmaxLoss, load_matched
from nlpdeep.records import record, results, results_dir
from nlpdeep.text_classifier import read_texts
from nlpdeep.texts import as_frame, check_labels, subsample
from nlpdeep.ulmfit import Classifier, class_probs, fit_classifier

ARMS = (
    'tfidf scratch ulmfit pretrained backwards both no_reading at_once one_rate '
    'linear_all linear_all_both blend asked unasked'
).split()
FROZEN = ('linear_all', 'linear_all_both', 'asked', 'unasked')  # nothing but logistic regression is trained
READS = dict(
    scratch=dict(base='', lm_epochs=0),
    ulmfit=dict(base=''),
    backwards=dict(backwards=True),
    no_reading=dict(lm_epochs=0),
)  # how an arm's language model differs
KEPT = home() / 'ulmfit_labels'  # probabilities, for the mean of two directions


@functools.lru_cache(1)
def reader(seed, reads):
    """The words and the language model of one seed, fine-tuned on all training texts, labelled or not.
    `reads`: settings, as pairs.
    """
    df = as_frame(movie_snippets(), seed=seed)
    cfg = ULMFiTConfig.sized(seed=seed, **dict(reads))
    cfg, base, words, ids, _ = read_texts(df, cfg, ProgressLog(None))
    set_seed(seed)
    lm = language_model(cfg.encoder(len(words)))
    if base:
        load_matched(lm, base.weights, words.vocab.match(base.words.vocab))
    read = [o for p in ('train', 'unsup') for o in ids[p]]
    h = finetune_lm(
        lm,
        read,
        ids['valid'],
        cfg,
        loss_func=SampledSoftmaxLoss(np.bincount(np.concatenate(read), minlength=len(words))),
    )
    print(dict(reads), seed, f'perplexity {h["before"]:.1f} -> {h["after"]:.1f}', flush=True)
    return SimpleNamespace(cfg=cfg, words=words, lm=lm, classes=check_labels(df))


def judge(arm, df, seed, base):
    "Probabilities of the validation and the test part."
    c = reader(seed, tuple((dict(base=base) | READS.get(arm, {})).items()))
    ids = {p: c.words(list(df.text[df.part == p])) for p in ('train', 'valid', 'test')}
    y = {p: [c.classes.index(o) for o in df.label[df.part == p]] for p in ids}
    cfg = dataclasses.replace(c.cfg, lr_div=1.0) if arm == 'one_rate' else c.cfg
    set_seed(seed)
    m = Classifier(cfg.encoder(len(c.words), True), len(c.classes), cfg.n_lin, cfg.chunk)
    if arm != 'scratch':
        m.load_encoder(c.lm)
    stages = ulmfit_mod.gradual_unfreezing

    def at_once(*a):
        return [
            dict(o, epochs=o['epochs'] + cfg.n_layers + 1) for o in stages(*a)[-1:]
        ]  # as many epochs, all of them with all layers

    with patch('nlpdeep.ulmfit.gradual_unfreezing', at_once if arm == 'at_once' else stages):
        fit_classifier(m, (ids['train'], y['train']), (ids['valid'], y['valid']), cfg)
    return {p: class_probs(m, ids[p]) for p in ('valid', 'test')}


def by_tfidf(df):
    tr, right = (
        df[df.part == 'train'],
        lambda d: float(np.mean(np.array(tfidf_baseline(tr.text, tr.label, d.text)) == d.label.values)),
    )
    return {p: right(df[df.part == p]) for p in ('valid', 'test')}


def run(arm, labels, seed, base):
    "Accuracies of one run; None: what it needs is not there."
    df = as_frame(
        movie_snippets() if labels == 'all' else subsample(movie_snippets(), None, int(labels), seed),
        seed=seed,
    )
    if arm == 'tfidf':
        return by_tfidf(df)
    y = {p: df.label[df.part == p].values for p in ('valid', 'test')}

    def right(probs):
        return {p: float((np.array(check_labels(df))[probs[p].argmax(1)] == y[p]).mean()) for p in y}

    labelled = df[df.part == 'train']
    train, tests = (labelled.text, labelled.label), {p: df.text[df.part == p] for p in y}
    if arm == 'asked':
        return right(by_asking(*train, tests, base))
    if arm == 'unasked':
        return right(by_linear(*train, tests, BOTH, base, C=0.003, more='end'))
    if arm in FROZEN:
        return right(by_linear(*train, tests, BOTH if arm == 'linear_all_both' else BOTH[:1], base))
    read = opened(base).card.get('tokens')

    def file(arm, p):
        return KEPT / f'{arm}-{labels}-{seed}-{read}-{p}.npy'

    if arm in ('both', 'blend'):
        if not all(file(a, p).exists() for a in ('pretrained', 'backwards') for p in y):
            return None
        probs = {p: (np.load(file('pretrained', p)) + np.load(file('backwards', p))) / 2 for p in y}
        if arm == 'blend':
            probs = {p: probs[p] + o for p, o in by_asking(*train, tests, base).items()}
    else:
        probs = judge(arm, df, seed, base)
        KEPT.mkdir(parents=True, exist_ok=True)
        for p in probs:
            np.save(file(arm, p), probs[p])
    return right(probs)


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    for k, v in dict(
        arms='tfidf,scratch,ulmfit', labels='100,500,2000,all', seeds='1,2,3,4,5', base='en'
    ).items():
        a.add_argument(f'--{k}', default=v)
    a.add_argument('--again', action='store_true')
    a = a.parse_args()
    done = {
        (o['config']['arm'], o['config']['labels'], o['seed'], o['config'].get('base_tokens'))
        for o in (
            results('ulmfit_labels')
            if (results_dir() / 'ulmfit_labels.json').exists() and not a.again
            else []
        )
    }
    for seed in map(int, a.seeds.split(',')):
        for arm in a.arms.split(','):
            begins = opened(a.base) if arm != 'tfidf' and READS.get(arm, {}).get('base') != '' else None
            note = dict(base_tokens=begins.card.get('tokens')) if begins else {}
            if begins and arm not in FROZEN:
                note['precision'] = lm_precision(len(begins.words))
            for labels in a.labels.split(','):
                t = time.time()
                if (arm, labels, seed, note.get('base_tokens')) in done or (
                    acc := run(arm, labels, seed, a.base)
                ) is None:
                    continue
                record(
                    'ulmfit_labels',
                    acc,
                    data='movie snippets, split by film',
                    seed=seed,
                    minutes=(time.time() - t) / 60,
                    arm=arm,
                    labels=labels,
                    **note,
                )
                print(arm, labels, seed, acc, f'{time.time() - t:.0f} s', flush=True)
