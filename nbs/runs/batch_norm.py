"""What batch norm's running average is worth in stage three: over about the last ten batches, as PyTorch
keeps it, or over about the last fifty (workshop 09e).

The reader, stage two and the settings are those of three_stages.py, with 500 labelled snippets, 2,000 and
all. Two runs of a pair take the same steps to the same weights, since in training the average plays no part.
Record: nbs/results/batch_norm.json, with the share of the labelled validation snippets that is right after
the last epoch, and their loss. No test snippet is read.
"""

import dataclasses

from three_stages import READING
from ulmfit_labels import BASE, reader

from nlpdeep.core import set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ULMFiTConfig
from nlpdeep.runs import Plan, run_script
from nlpdeep.texts import as_frame, check_labels, subsample
from nlpdeep.ulmfit import Classifier, SteadyBatchNorm, fit_classifier

PLAN = Plan(
    makes='batch_norm',
    chapter='09e_classifier',
    minutes=35,
    data='movie snippets, split by film',
    configs=[dict(labels=labels, window=window) for labels in ('500', '2000', 'all') for window in (10, 50)],
    seeds=range(1, 6),
)


def run(seed, labels, window):
    cfg, words, lm = reader(seed, tuple(READING[True].items()))
    cfg = dataclasses.replace(cfg, epochs=ULMFiTConfig.sized(base=BASE).epochs)
    df = movie_snippets() if labels == 'all' else subsample(movie_snippets(), None, int(labels), seed)
    df = as_frame(df, seed=seed)
    classes = check_labels(df)
    train, valid = (
        (words(list(part.text)), [classes.index(label) for label in part.label])
        for part in (df[df.part == 'train'], df[df.part == 'valid'])
    )
    set_seed(seed)
    critic = Classifier(cfg.encoder(len(words), True), len(classes), cfg.n_lin, cfg.chunk).load_encoder(lm)
    found = fit_classifier(critic, train, valid, cfg, cbs=[SteadyBatchNorm(window)])
    return dict(right=found['accuracy'][-1], loss=found['valid'][-1][1])


if __name__ == '__main__':
    run_script(__file__)
