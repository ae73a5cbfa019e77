"""The training run that closes chapter 08, over five seeds: an AWD-LSTM on the movie snippets beside the
n-grams that only count.

Data, model, rate and dropouts are those of the chapter at the tiny size; nothing is chosen here. Records
nbs/results/closing_lstm.json: the perplexity on the validation part after each epoch.
"""

import re

import torch
from fastai.basics import DataLoaders
from fastai.callback import schedule  # noqa: F401

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.corpora import movie_snippets
from nlpdeep.lm_dataloader import LMDataLoader
from nlpdeep.numericalization import Vocab
from nlpdeep.runs import Plan, run_script
from nlpdeep.training import lm_learner

EMB, EPOCHS, RATE = 128, 3, 2e-2
PLAN = Plan(
    makes='closing_lstm',
    chapter='08_training',
    minutes=4,
    data='movie_snippets, train and valid',
    configs=[dict(epochs=EPOCHS, rate=RATE)],
    seeds=range(1, 6),
)


def tokens_of(df, part):
    texts = df[(df.part == part) & (df.text != '')].text
    return [re.findall(r'\w+|[^\w\s]', text.lower()) for text in texts]


def run(seed, epochs, rate):
    df = movie_snippets()
    train, valid = (tokens_of(df, part) for part in ('train', 'valid'))
    words = Vocab.build(train, max_vocab=4000, min_freq=2)
    loaders = [
        LMDataLoader(
            [torch.tensor(words.encode(['xxbos', *t]).tolist()) for t in texts],
            bs=32,
            seq_len=35,
            shuffle=first,
        )
        for texts, first in ((train, True), (valid, False))
    ]
    dls = DataLoaders(*loaders, device=torch.device('cpu'))
    dls.vocab = words
    config = AWDLSTMConfig(
        len(words), emb_sz=EMB, n_hid=EMB, n_layers=1, output_p=0.4, input_p=0.4, embed_p=0.1, weight_p=0.5
    )
    learn = lm_learner(dls, language_model(config, drop_mult=0.4), clip=1.0, alpha=0, beta=0)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, rate, wd=0.1)
    after = {f'perplexity_{e}': float(row[3]) for e, row in enumerate(learn.recorder.values, 1)}
    return dict(perplexity=after[f'perplexity_{epochs}'], **after)


if __name__ == '__main__':
    run_script(__file__)
