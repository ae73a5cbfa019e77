"""What batch norm's running average is worth in stage three: over about the last ten batches, as PyTorch
keeps it, or over a sixteenth of a pass, where that is more (workshop 09e).

The reader, stage two and the settings are those of three_stages.py, with 500 labelled snippets, 2,000 and
all. Each classifier is trained once, since in training the average plays no part, and keeps both averages.
Record: nbs/results/batch_norm.json: `last_ten` and `a_sixteenth` are the shares of the labelled validation
snippets that are right with each, after the last epoch; `batches` is the number that the second one averages
over in the last pass. No test snippet is read.
"""

import copy
import dataclasses

import numpy as np
import torch
from fastai.basics import Callback
from three_stages import READING
from torch import nn
from ulmfit_labels import BASE, reader

from nlpdeep.core import set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ULMFiTConfig
from nlpdeep.runs import Plan, run_script
from nlpdeep.texts import as_frame, check_labels, subsample
from nlpdeep.ulmfit import Classifier, class_probs, fit_classifier

PLAN = Plan(
    makes='batch_norm',
    chapter='09e_classifier',
    minutes=22,
    data='movie snippets, split by film',
    configs=[dict(labels=labels) for labels in ('500', '2000', 'all')],
    seeds=range(1, 6),
)


class LastTen(Callback):
    "Beside each batch norm of a head, its twin with PyTorch's momentum, which meets the same batches."

    def __init__(self, head):
        self.norms = [m for m in head.modules() if isinstance(m, nn.BatchNorm1d)]
        self.twins = [copy.deepcopy(m) for m in self.norms]
        for norm, twin in zip(self.norms, self.twins):
            twin.momentum = 0.1
            norm.register_forward_pre_hook(lambda m, x, twin=twin: self.meet(m, twin, x[0]))

    @torch.no_grad()
    def meet(self, norm, twin, x):
        if norm.training:
            twin(x.float())

    def after_fit(self):
        self.window = self.learn.steady_batch_norm.window

    def swap(self):
        "Let the head use the twins' averages."
        for norm, twin in zip(self.norms, self.twins):
            norm.running_mean.copy_(twin.running_mean)
            norm.running_var.copy_(twin.running_var)


def run(seed, labels):
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
    ten = LastTen(critic.head)
    fit_classifier(critic, train, valid, cfg, cbs=[ten])

    def right():
        return float((class_probs(critic, valid[0]).argmax(1) == np.array(valid[1])).mean())

    found = dict(a_sixteenth=right(), batches=ten.window)
    ten.swap()
    return found | dict(last_ten=right())


if __name__ == '__main__':
    run_script(__file__)
