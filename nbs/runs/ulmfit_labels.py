"""What each stage of ULMFiT is worth, by the number of labels: movie snippets, split by film.

Records nbs/results/ulmfit_labels.json: accuracy on the validation and the test part.
Without labels a text is still read by the language model, which is therefore trained once for each seed and
direction and shared by all label counts and arms. Nothing is chosen here: settings were chosen on the
validation part before.

    tfidf       TF-IDF (one and two words) and logistic regression
    scratch     the classifier alone, from random weights
    ulmfit      language model from random weights, then classifier
    pretrained  all three stages, from the language model that ships
    backwards   the same read backwards
    both        the mean of the probabilities of the two (kept in a folder of the cache)
    no_reading  pretrained, without fine-tuning the language model
    at_once     pretrained, all layers free from the start
    one_rate    pretrained, one learning rate for all layers
    linear_all  nothing is trained but logistic regression on the pretrained encoder's word vectors and
                states, averaged over the text
    linear_all_both  the mean of its probabilities in the two directions
    blend       the mean of `both` and `asked`: the fine-tuned and the untouched reader
    asked       `linear_all_both` with the reader's answers beside the averages: its last state when the text
                is followed by the beginning of a verdict (`QUESTIONS` in ulmfit_imdb.py)
    unasked     the same, but the reader's last state as it is, without a question
"""

import dataclasses
import functools

import numpy as np
from ulmfit_imdb import BOTH, by_asking, by_linear, opened

from nlpdeep.awd_lstm import language_model
from nlpdeep.baselines import tfidf_baseline
from nlpdeep.core import home, set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ULMFiTConfig, finetune_lm
from nlpdeep.precision import lm_precision
from nlpdeep.pretraining import SampledSoftmaxLoss, load_matched, pretrained
from nlpdeep.processor import TextProcessor, tokenize
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.texts import as_frame, check_labels, subsample
from nlpdeep.ulmfit import Classifier, class_probs, fit_classifier, gradual_unfreezing

ARMS = (
    'tfidf scratch ulmfit pretrained backwards both no_reading at_once one_rate '
    'linear_all linear_all_both blend asked unasked'
).split()
FROZEN = ('linear_all', 'linear_all_both', 'asked', 'unasked')  # nothing but logistic regression is trained
BASE = 'en'
READS = dict(
    scratch=dict(base='', lm_epochs=0),
    ulmfit=dict(base=''),
    backwards=dict(backwards=True),
    no_reading=dict(lm_epochs=0),
)  # how an arm's language model differs
EPOCHS = 4  # with all layers free, where a reader is begun with; `nlpdeep ulmfit` takes one less since
KEPT = home() / 'ulmfit_labels'  # probabilities, for the mean of two directions


@functools.lru_cache(1)
def reader(seed, reads):
    """The settings, the words and the language model of one seed, fine-tuned on all training texts, labelled
    or not. `reads`: settings, as pairs.
    """
    df, cfg, base = as_frame(movie_snippets(), seed=seed), ULMFiTConfig.sized(seed=seed, **dict(reads)), None
    if cfg.base:
        base = pretrained(cfg.base, cfg.backwards)
        cfg = dataclasses.replace(cfg, **base.sizes, epochs=EPOCHS)
    toks = {p: tokenize(list(df.text[df.part == p])) for p in ('train', 'unsup', 'valid')}
    if base:
        words = base.words.plus(toks['train'] + toks['unsup'], cfg.max_vocab, cfg.min_freq)
    else:
        words = TextProcessor.build(
            toks['train'] + toks['unsup'], cfg.max_vocab, cfg.min_freq, backwards=cfg.backwards
        )
    ids = {p: words.ids(t) for p, t in toks.items()}
    set_seed(seed)
    lm = language_model(cfg.encoder(len(words)))
    if base:
        load_matched(lm, base.weights, words.vocab.match(base.words.vocab))
    read = ids['train'] + ids['unsup']
    h = finetune_lm(
        lm,
        read,
        ids['valid'],
        cfg,
        loss_func=SampledSoftmaxLoss(np.bincount(np.concatenate(read), minlength=len(words))),
    )
    print(dict(reads), seed, f'perplexity {h["before"]:.1f} -> {h["after"]:.1f}', flush=True)
    return cfg, words, lm


def at_once(cfg):
    "As many epochs as gradual unfreezing takes, all of them with all layers."
    return [dict(o, epochs=o['epochs'] + cfg.n_layers + 1) for o in gradual_unfreezing(cfg)[-1:]]


def judge(arm, df, seed):
    "Probabilities of the validation and the test part."
    cfg, words, lm = reader(seed, tuple((dict(base=BASE) | READS.get(arm, {})).items()))
    ids = {p: words(list(df.text[df.part == p])) for p in ('train', 'valid', 'test')}
    classes = check_labels(df)
    y = {p: [classes.index(o) for o in df.label[df.part == p]] for p in ids}
    if arm == 'one_rate':
        cfg = dataclasses.replace(cfg, lr_div=1.0)
    set_seed(seed)
    m = Classifier(cfg.encoder(len(words), True), len(classes), cfg.n_lin, cfg.chunk)
    if arm != 'scratch':
        m.load_encoder(lm)
    passes = at_once if arm == 'at_once' else gradual_unfreezing
    fit_classifier(m, (ids['train'], y['train']), (ids['valid'], y['valid']), cfg, passes=passes)
    return {p: class_probs(m, ids[p]) for p in ('valid', 'test')}


def by_tfidf(df):
    tr, right = (
        df[df.part == 'train'],
        lambda d: float(np.mean(np.array(tfidf_baseline(tr.text, tr.label, d.text)) == d.label.values)),
    )
    return {p: right(df[df.part == p]) for p in ('valid', 'test')}


PLAN = Plan(
    makes='ulmfit_labels',
    chapter='10_transfer',
    minutes=110,
    data='movie snippets, split by film',
    configs=[
        dict(arm=arm, labels=labels)
        for arm in ARMS  # all label counts of an arm after each other: they share the reader
        for labels in ('100', '500', '2000', 'all')
        if labels != 'all' or arm not in ('no_reading', 'at_once', 'one_rate')
    ],
    seeds=range(1, 6),
)


def accuracies(seed, arm, labels):
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
        return right(by_asking(*train, tests, BASE))
    if arm == 'unasked':
        return right(by_linear(*train, tests, BOTH, BASE, C=0.003, more='end'))
    if arm in FROZEN:
        return right(by_linear(*train, tests, BOTH if arm == 'linear_all_both' else BOTH[:1], BASE))
    read = opened(BASE).card.get('tokens')

    def file(arm, p):
        return KEPT / f'{arm}-{labels}-{seed}-{read}-{p}.npy'

    if arm in ('both', 'blend'):
        for one in ('pretrained', 'backwards'):
            if not all(file(one, p).exists() for p in y):
                accuracies(seed, one, labels)
        probs = {p: (np.load(file('pretrained', p)) + np.load(file('backwards', p))) / 2 for p in y}
        if arm == 'blend':
            probs = {p: probs[p] + o for p, o in by_asking(*train, tests, BASE).items()}
    else:
        probs = judge(arm, df, seed)
        KEPT.mkdir(parents=True, exist_ok=True)
        for p in probs:
            np.save(file(arm, p), probs[p])
    return right(probs)


def run(seed, arm, labels):
    acc = accuracies(seed, arm, labels)
    if arm == 'tfidf' or READS.get(arm, {}).get('base') == '':
        return acc
    begins = opened(BASE)
    note = dict(base_tokens=begins.card.get('tokens'))
    if arm not in FROZEN:
        note['precision'] = lm_precision(len(begins.words))
    return [Row(acc, note)]


if __name__ == '__main__':
    run_script(__file__)
