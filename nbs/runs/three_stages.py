"""All three stages of ULMFiT at their real size, watched pass by pass: the shipped reader, with and without
stage two, and then the classifier, with all labelled snippets and with five hundred.

Stage two and the vocabulary are those of ulmfit_labels.py, the settings those of `nlpdeep ulmfit`. Record:
nbs/results/three_stages.json. `right_1` and on: the share of the labelled validation snippets, none of whose
films is in training, that is right after each pass; `free_1` and on: how many groups of layers learn in it,
from the head down. `counted`: the same share by TF-IDF and logistic regression with the same labels.
"""

import dataclasses

import numpy as np
from ulmfit_labels import BASE, reader

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.core import set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ULMFiTConfig
from nlpdeep.runs import Plan, run_script
from nlpdeep.texts import as_frame, check_labels, subsample
from nlpdeep.ulmfit import Classifier, fit_classifier, gradual_unfreezing

READING = {True: dict(base=BASE), False: dict(base=BASE, lm_epochs=0)}
PLAN = Plan(
    makes='three_stages',
    chapter='09_ulmfit',
    minutes=25,
    data='movie snippets, split by film',
    configs=[dict(stage_two=two, labels=labels) for two in READING for labels in ('500', 'all')],
    seeds=range(1, 4),
)


def run(seed, stage_two, labels):
    cfg, words, lm = reader(seed, tuple(READING[stage_two].items()))
    cfg = dataclasses.replace(cfg, epochs=ULMFiTConfig.sized(base=BASE).epochs)
    df = movie_snippets() if labels == 'all' else subsample(movie_snippets(), None, int(labels), seed)
    df = as_frame(df, seed=seed)
    parts, classes = {p: df[df.part == p] for p in ('train', 'valid')}, check_labels(df)
    ids = {p: words(list(o.text)) for p, o in parts.items()}
    y = {p: [classes.index(label) for label in o.label] for p, o in parts.items()}
    set_seed(seed)
    critic = Classifier(cfg.encoder(len(words), True), len(classes), cfg.n_lin, cfg.chunk).load_encoder(lm)
    free = []

    def watched(settings):
        steps = gradual_unfreezing(settings)
        free.extend(step['free'] for step in steps for _ in range(step['epochs']))
        return steps

    found = fit_classifier(
        critic, (ids['train'], y['train']), (ids['valid'], y['valid']), cfg, passes=watched
    )
    train, valid = parts['train'], parts['valid']
    counted = np.array(tfidf_baseline(train.text, train.label, valid.text))
    passes = {f'right_{k}': float(o) for k, o in enumerate(found['accuracy'], 1)}
    return (
        passes
        | {f'free_{k}': n for k, n in enumerate(free, 1)}
        | dict(counted=float((counted == valid.label.values).mean()))
    )


if __name__ == '__main__':
    run_script(__file__)
