"""Stage two at its full size: the shipped reader reads all movie snippets without their labels, pass by pass,
and says after each how surprised it is by snippets about other films.

The vocabulary is that of chapter 09, the training that of `nlpdeep ulmfit`. Record:
nbs/results/stage_two.json. `pass_0` is the perplexity before, `pass_1` and on those after each pass;
`texts` and `tokens` say how much it reads in one.
"""

import dataclasses
import math

import numpy as np

from nlpdeep.awd_lstm import language_model
from nlpdeep.core import set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ProgressLog, ULMFiTConfig, finetune_lm
from nlpdeep.numericalization import Vocab
from nlpdeep.pretraining import SampledSoftmaxLoss, load_matched, pretrained
from nlpdeep.processor import TextProcessor
from nlpdeep.runs import Plan, run_script

PLAN = Plan(
    makes='stage_two',
    chapter='09_ulmfit',
    minutes=6,
    data='movie snippets, split by film',
    configs=[dict(epochs=5)],
    seeds=(1,),
)


def run(seed, epochs):
    reader, df = pretrained('en'), movie_snippets()
    tokens = {
        part: reader.words.tokenize(list(df.text[df.part.isin(parts)]))
        for part, parts in dict(train=('train', 'unsup'), valid=('valid', 'unsup-valid')).items()
    }
    words = TextProcessor(Vocab.build(tokens['train'], 3, 60_000))
    ids = {part: words.ids(o) for part, o in tokens.items()}
    cfg = dataclasses.replace(ULMFiTConfig.sized(seed=seed), lm_epochs=epochs, **reader.sizes)
    set_seed(seed)
    lm = language_model(cfg.encoder(len(words.vocab)))
    load_matched(lm, reader.weights, words.vocab.match(reader.words.vocab))
    counts = np.bincount(np.concatenate(ids['train']), minlength=len(words.vocab))
    found = finetune_lm(
        lm, ids['train'], ids['valid'], cfg, ProgressLog(), loss_func=SampledSoftmaxLoss(counts)
    )
    after = [math.exp(loss) for _, loss in found['valid'][:-1]] + [found['after']]
    passes = {f'pass_{k}': perplexity for k, perplexity in enumerate([found['before'], *after])}
    return passes | dict(texts=len(ids['train']), tokens=sum(map(len, ids['train'])))


if __name__ == '__main__':
    run_script(__file__)
