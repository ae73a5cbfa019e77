"""How much reading is enough: what each pass of pretraining is worth to a classifier, beside its perplexity.

The language models are those of `pretrain.py`, one after each pass. Beside them
stands an encoder of the same size and words with random weights. Nothing in an encoder is trained:
logistic regression gets its word vectors and states, averaged over the text, as in the arm `linear_all` of
`ulmfit_labels.py` and `ulmfit_imdb.py`, so that what changes is the reading and nothing else. Read forwards.
Records nbs/results/pretrain_worth.json: accuracy on the validation texts (no test text is touched) by tokens
read, data and number of labels.
"""

import functools

import numpy as np
from pretrain import place
from ulmfit_imdb import BOTH, by_linear, parts

from nlpdeep.awd_lstm import language_model
from nlpdeep.core import InputError, home, set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ULMFiTConfig
from nlpdeep.pretraining import pretrained, save_lm
from nlpdeep.runs import Plan, run_script
from nlpdeep.texts import as_frame, subsample


def untrained(folder, like, seed):
    "A language model of the size and the words of `like`, with random weights."
    base = pretrained(like)
    set_seed(seed)
    return save_lm(
        folder,
        language_model(ULMFiTConfig(**base.sizes).encoder(len(base.words))),
        base.words,
        dict(tokens=0),
    ).as_posix()


def texts(data, labels, seed):
    "Labelled texts and validation texts, with their labels."
    if data == 'IMDb':
        d = parts(seed, labels)[0]
        tr, va = d['train'], d['valid']
    else:
        d = as_frame(subsample(movie_snippets(), None, int(labels), seed), seed=seed)
        tr, va = d[d.part == 'train'], d[d.part == 'valid']
    return tr, va


# tokens read, and the model that read them: none, or that of a pass (the last one ships)
BASES = {0: 'random', 27_195_147: 1, 54_390_394: 2, 81_585_641: 'en'}

PLAN = Plan(
    makes='pretrain_worth',
    chapter='10_transfer',
    minutes=15,
    data=lambda config: config['on'],
    configs=[
        dict(on=data, arm='linear_all', labels=labels, tokens=tokens)
        for tokens in BASES
        for data in ('movie snippets, split by film', 'IMDb')
        for labels in ('100', '500')
    ],
    unwritten=('on',),
    seeds=range(1, 6),
    kept='the models of the first two passes are gone; `nlpdeep record pretrain` makes others',
)


@functools.cache
def base_of(tokens):
    "The folder of the model that has read so many tokens, or the name of the one that ships."
    what = BASES[tokens]
    if what == 'random':
        return untrained(home() / 'pretrain' / 'random', 'en', 42)
    name = what if what == 'en' else str(place(what))
    if what != 'en' and not place(what).is_dir():
        raise InputError(
            f'{place(what)} is not there: `nlpdeep record pretrain` makes the model of pass {what}'
        )
    if pretrained(name).card['tokens'] != tokens:
        raise InputError(
            f'the model {name} has read {pretrained(name).card["tokens"]:,} tokens, not {tokens:,}'
        )
    return name


def run(seed, on, arm, labels, tokens):
    tr, va = texts(on, labels, seed)
    probs = by_linear(tr.text, tr.label, dict(valid=va.text), BOTH[:1], base_of(tokens))['valid']
    return dict(valid=float(np.mean(probs.argmax(1) == (va.label == sorted(set(tr.label))[1]))))


if __name__ == '__main__':
    run_script(__file__)
