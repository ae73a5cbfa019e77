"""What ruins a pretrained encoder when it is thawed: a head that has not been trained, or a high rate? All
four pairs, and the graded rates of ULMFiT, over three draws.

The recipe is that of chapter 09: the shipped reader, its rows carried over to the words of the snippets; two
epochs as a language model on 500 of them, with fastai's learner (once for each seed); then 500 labelled
snippets, and one pass over these with every layer free. The seed draws the snippets, the head and the order.
`factor`: how many times slower each layer is than the one above it. `rate` 0: nothing is thawed. Record:
nbs/results/thaw_square.json. `accuracy` is that of the classifier, `probe` that of a new linear model on the
vectors that its encoder makes now, `common` the share of the more frequent class: all on the 1,352 labelled
validation snippets, none of whose films is in training.
"""

import copy
import functools
import tempfile

import numpy as np
import torch
from fastai.text.all import (
    AWD_LSTM,
    ColReader,
    DataBlock,
    RandomSplitter,
    TextBlock,
    awd_lstm_lm_config,
    language_model_learner,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from nlpdeep.awd_lstm import AWDLSTMConfig, load_weights
from nlpdeep.core import set_seed
from nlpdeep.corpora import movie_snippets
from nlpdeep.numericalization import Vocab, remap_rows
from nlpdeep.pretraining import pretrained
from nlpdeep.processor import TextProcessor
from nlpdeep.runs import Plan, run_script
from nlpdeep.ulmfit import Classifier, concat_pool

HIGH, LOW = 1e-2, 3e-4
SQUARE = [dict(head=head, rate=rate, factor=1) for head in ('new', 'trained') for rate in (HIGH, LOW)]
PLAN = Plan(
    makes='thaw_square',
    chapter='09_ulmfit',
    minutes=4,
    data='movie snippets, split by film',
    configs=[dict(head='trained', rate=0, factor=1), *SQUARE, dict(head='trained', rate=LOW, factor=2.6)],
    seeds=range(1, 4),
)


@functools.cache
def texts():
    "The reader, the words of the task, the snippets to read, and the labelled ones of both parts."
    reader, df = pretrained('en'), movie_snippets()
    reading = df[df.part.isin(['train', 'unsup'])]
    vocab = Vocab.build(reader.words.tokenize(list(reading.text)), 3, 60_000)
    labelled = df[df.label.notna()]
    return reader, TextProcessor(vocab), reading, *(labelled[labelled.part == p] for p in ('train', 'valid'))


def numbers(words, part):
    "Ids and labels of labelled snippets."
    ids = [torch.as_tensor(np.asarray(o)) for o in words(list(part.text))]
    return ids, torch.tensor((part.label == 'rotten').values.astype(int))


@functools.cache
def stage_two(seed):
    "The encoder of a language model that has read 500 snippets."
    reader, words, reading, *_ = texts()
    set_seed(seed)
    block = TextBlock.from_df('text', is_lm=True, vocab=list(words.vocab), n_workers=0)
    blocks = DataBlock(blocks=block, get_x=ColReader('text'), splitter=RandomSplitter(0.1, seed=seed))
    drawn, folder = reading.sample(500, random_state=seed), tempfile.mkdtemp()
    dls = blocks.dataloaders(drawn, path=folder, bs=16, seq_len=40, num_workers=0)
    config = awd_lstm_lm_config | reader.sizes
    lm = language_model_learner(dls, AWD_LSTM, pretrained=False, drop_mult=0.3, config=config)
    weights, match = dict(reader.weights), words.vocab.match(reader.words.vocab)
    for name in ('encoder.weight', 'decoder.bias'):
        weights[name] = remap_rows(weights[name], match)
    load_weights(lm.model, weights)
    with lm.no_bar(), lm.no_logging():
        lm.freeze()
        lm.fit_one_cycle(1, 1e-2)
        lm.unfreeze()
        lm.fit_one_cycle(1, 2e-3)
    return lm.model[0]


def new_critic(seed):
    reader, words, *_ = texts()
    pad = list(words.vocab).index('xxpad')
    cfg = AWDLSTMConfig.classifier(len(words.vocab), pad_token=pad, **reader.sizes)
    encoder = stage_two(seed)
    set_seed(seed)
    critic = Classifier(cfg.scaled(0.4), n_classes=2)
    load_weights(critic.encoder, encoder)
    return critic


def batch(critic, ids, rows):
    return nn.utils.rnn.pad_sequence([ids[k] for k in rows], batch_first=True, padding_value=critic.pad)


@torch.no_grad()
def read_once(critic, ids, bs=50):
    "The pooled vector of every text."
    critic.eval()
    order = sorted(range(len(ids)), key=lambda k: len(ids[k]))
    vectors = torch.empty(len(ids), critic.head.layers[0].num_features)
    for start in range(0, len(ids), bs):
        rows = order[start : start + bs]
        lens = torch.tensor([len(ids[k]) for k in rows])
        vectors[rows] = concat_pool(critic.read(batch(critic, ids, rows)), lens)
    return vectors


def step(optimizer, scores, y):
    optimizer.zero_grad()
    nn.functional.cross_entropy(scores, y).backward()
    optimizer.step()


@functools.cache
def prepared(seed):
    "The labelled snippets of a seed, and the classifier whose head alone was trained."
    _, words, _, train, valid = texts()
    parts = numbers(words, train.sample(500, random_state=seed)), numbers(words, valid)
    critic = new_critic(seed)
    (ids, y), _ = parts
    x = read_once(critic, ids)
    optimizer = torch.optim.AdamW(critic.head.parameters(), lr=3e-3, weight_decay=0.1)
    for _ in range(25):
        critic.head.train()
        for rows in torch.randperm(len(x)).split(50):
            step(optimizer, critic.head(x[rows]), y[rows])
    return *parts, critic.eval()


def thaw(critic, ids, y, rate, factor, seed):
    "One pass over the labelled texts with every layer free, a rate for each."
    layers = critic.groups()
    rates = [rate / factor ** (len(layers) - 1 - depth) for depth in range(len(layers))]
    groups = [dict(params=params, lr=lr) for params, lr in zip(layers, rates)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.1)
    set_seed(seed)
    critic.train()
    for rows in torch.randperm(len(ids)).split(25):
        step(optimizer, critic(batch(critic, ids, rows)), y[rows])


def run(seed, head, rate, factor):
    (ids, y), (valid_ids, valid_y), trained = prepared(seed)
    critic = copy.deepcopy(trained) if head == 'trained' else new_critic(seed)
    if rate:
        thaw(critic, ids, y, rate, factor, seed)
    x, valid_x = read_once(critic, ids), read_once(critic, valid_ids)
    probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.003, max_iter=500))
    probe.fit(x.numpy(), y.numpy())
    with torch.no_grad():
        right = (critic.head(valid_x).argmax(1) == valid_y).float().mean()
    common = max((valid_y == k).float().mean() for k in (0, 1))
    return dict(accuracy=right, probe=probe.score(valid_x.numpy(), valid_y.numpy()), common=common)


if __name__ == '__main__':
    run_script(__file__)
