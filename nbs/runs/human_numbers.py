"""Train the seven models of chapters 05 to 07 (a GRU in LMModel6's place, and the full AWD-LSTM) on Human
Numbers, and the variants that tell why one beats another.

    python nbs/runs/human_numbers.py                     every run that is not recorded yet, five seeds each
    python nbs/runs/human_numbers.py --seeds 1 --only LMModel4     some of them
    python nbs/runs/human_numbers.py --again             also those that are recorded
    python nbs/runs/human_numbers.py --speed             time the readable cell, the fused one and PyTorch's
        kernel

The recipes are the lessons': epochs, peak learning rate, batches of 64. Recurrent layers are ours (`RNN`,
`LSTM`, `GRU`), written in Python, unless a row says otherwise.
Records: nbs/results/human_numbers.json (config `model`: the row of the tables) and lstm_speed.json (config
`compared`).
"""

import argparse
import time
from functools import partial

import torch
import torch.nn as nn

from nlpdeep.core import InputError, set_seed, size
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls, three_word_dls, train_numbers
from nlpdeep.records import record, results
from nlpdeep.rnn import RNN, LMModel1, LMModel2, LMModel3, LMModel4, LMModel5

DATA = 'human_numbers, last fifth'
V, H = 30, 64


class TanhModel4(LMModel4):
    "LMModel4 with tanh for ReLU."

    def forward(self, x):
        h, scores = self.h, []
        for word in x.unbind(dim=1):
            h = torch.tanh(self.hidden(self.embed(word) + h))
            scores.append(self.score(h))
        self.h = h.detach()
        return torch.stack(scores, dim=1)


def model6(rnn, n_layers=2, **kwargs):
    from nlpdeep.lstm import LMModel6

    return LMModel6(V, H, n_layers, rnn=rnn, **kwargs)


def lstm(name):
    import nlpdeep.lstm

    return getattr(nlpdeep.lstm, name)


def wrong_forget():
    "LMModel6 with the well-known slip: the input gate's layer stands where the forget gate's belongs."
    from nlpdeep.lstm import LSTM, LSTMCell

    class Cell(LSTMCell):
        def gates(self, x, h):
            i, f, g, o = super().gates(x, h)
            return i, i, g, o

    class Layer(LSTM):
        cell = Cell

    return model6(Layer)


def open_forget(bias):
    "LMModel6 whose forget gates start at sigmoid(bias)."
    model = model6(lstm('LSTM'))
    for c in model.rnn.cells:
        with torch.no_grad():
            c.bias_ih[H : 2 * H] = bias
            c.bias_hh[H : 2 * H] = 0
    return model


def model7():
    from nlpdeep.regularization import LMModel7

    return LMModel7(V, H, 2, 0.4)


def awd_lstm():
    """The full AWD-LSTM at LMModel7's sizes, as chapter 07 makes it: all five dropouts at half of fastai's
    defaults, an id of its own for padding.
    """
    from nlpdeep.awd_lstm import AWDLSTMConfig, language_model

    return language_model(AWDLSTMConfig(V + 1, emb_sz=H, n_hid=H, n_layers=2, pad_token=V), drop_mult=0.5)


def regularized():
    "The lessons' learner for LMModel7: AR alpha=2 and TAR beta=1, as fastai's TextLearner adds them."
    from fastai.text.learner import TextLearner

    return dict(learner=TextLearner, wd=0.1)


def runs(d):
    """(name, model, dls, recipe) of every run; models and recipes are functions, so that nothing is built
    that is not run.
    """
    dls3, dls3c, dls = three_word_dls(d.ids), three_word_dls(d.ids, chunks=True), sequence_dls(d.ids)
    from fastai.data.core import DataLoaders

    def shuffled():
        return DataLoaders(
            dls3c.train.new(shuffle=True), dls3c.valid
        )  # made after the seed is set, which it draws its order from

    fast, three = dict(epochs=4, lr=1e-3), dict(epochs=10, lr=3e-3)
    slow, high, deep = (
        dict(epochs=15, lr=3e-3),
        dict(epochs=15, lr=1e-2),
        lambda act, n: partial(LMModel5, V, H, n, nonlinearity=act),
    )
    gru, lstm2 = lambda: model6(lstm('GRU')), lambda: model6(lstm('LSTM'))
    # the lessons' seven
    yield 'LMModel1', partial(LMModel1, V, H), dls3, lambda: fast
    yield 'LMModel2', partial(LMModel2, V, H), dls3, lambda: fast
    yield 'LMModel3', partial(LMModel3, V, H), dls3c, lambda: three
    yield 'LMModel4', partial(LMModel4, V, H), dls, lambda: slow
    yield 'LMModel5', partial(LMModel5, V, H), dls, lambda: slow
    yield 'LMModel6', lstm2, dls, lambda: high
    yield 'LMModel6 with GRU', gru, dls, lambda: high
    yield 'LMModel7', model7, dls, lambda: high | regularized()
    yield 'AWDLSTM', awd_lstm, dls, lambda: high | regularized()
    # is it the state, and does order matter?
    yield 'LMModel2, in order', partial(LMModel2, V, H), dls3c, lambda: fast
    yield 'LMModel2, trained as LMModel3', partial(LMModel2, V, H), dls3c, lambda: three
    yield 'LMModel3, examples shuffled', partial(LMModel3, V, H), shuffled, lambda: three
    # is it depth, or the activation?
    yield 'LMModel4 with tanh', partial(TanhModel4, V, H), dls, lambda: slow
    for act, name in (('relu', 'ReLU'), ('tanh', 'tanh')):
        for n in (1, 2, 4):
            if (n, act) != (2, 'tanh'):
                yield (
                    f'RNN, {name}, {n} layer{"s" if n > 1 else ""}',
                    deep(act, n),
                    dls,
                    lambda: slow,
                )  # the one left out is LMModel5
    # which layer takes which learning rate?
    yield 'LMModel5, rate 0.01', partial(LMModel5, V, H), dls, lambda: high
    yield 'RNN, ReLU, 2 layers, rate 0.01', deep('relu', 2), dls, lambda: high
    yield 'LMModel6, rate 0.003', lstm2, dls, lambda: slow
    yield 'LMModel6 with GRU, rate 0.003', gru, dls, lambda: slow
    # what is in a gate?
    yield "LMModel6 with PyTorch's nn.LSTM", lambda: model6(nn.LSTM), dls, lambda: high
    yield 'LMModel6, 1 layer', lambda: model6(lstm('LSTM'), 1), dls, lambda: high
    yield 'LMModel6, forget gates start open', lambda: open_forget(2.0), dls, lambda: high
    yield 'LMModel6, input gate in place of the forget gate', wrong_forget, dls, lambda: high


def speed(rounds=15):
    "Forward and backward over one batch: one LSTM layer of 64 units, 64 rows of 16 words."
    from nlpdeep.lstm import LSTM, ReadableLSTMCell
    from nlpdeep.records import bench

    class Readable(LSTM):
        cell = ReadableLSTMCell

    set_seed(0)
    x = torch.randn(64, 16, H)

    def step(layer):
        def f():
            layer.zero_grad()
            layer(x)[0].sum().backward()
            return True

        return lambda: [f() for _ in range(10)]

    layers = {
        k: step(c(H, H, 1, batch_first=True))
        for k, c in dict(readable=Readable, fused=LSTM, torch=nn.LSTM).items()
    }
    for name, a, b in (
        ('fused against readable cell', 'fused', 'readable'),
        ("PyTorch's nn.LSTM against our fused layer", 'torch', 'fused'),
    ):
        row = bench(name, layers[a], layers[b], rounds=rounds)
        record(
            'lstm_speed',
            {k: row[k] for k in ('ratio', 'low', 'high')},
            data='random batch, 64 × 16 × 64',
            compared=name,
        )
        print(row)


def recorded(name, seed):
    try:
        return any(
            (o['config']['model'], o['seed'], o['data'], o['size']) == (name, seed, DATA, size())
            for o in results('human_numbers')
        )
    except InputError:
        return False


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--seeds', type=int, default=5)
    p.add_argument('--only', default='', help='part of a name')
    p.add_argument('--again', action='store_true')
    p.add_argument(
        '--minutes',
        type=float,
        default=1e9,
        help='stop after so many minutes of CPU time; the next call goes on',
    )
    p.add_argument('--speed', action='store_true')
    a = p.parse_args()
    if a.speed:
        speed()
        raise SystemExit
    for name, make, dls, recipe in runs(number_data(human_number_tokens())):
        for seed in range(a.seeds):
            if a.only not in name or not a.again and recorded(name, seed):
                continue
            if time.process_time() > 60 * a.minutes:
                raise SystemExit(f'{a.minutes} minutes are over')
            set_seed(seed)
            keep, t = [], time.time()
            try:
                model, how = make(), recipe()
            except (ImportError, AttributeError) as e:
                print(f'{name}: not there yet ({e})', flush=True)
                break
            m = train_numbers(model, dls() if callable(dls) else dls, keep=keep, **how)
            m['epoch_9'] = keep[min(9, len(keep) - 1)][2]
            m['parameters'] = sum(p.numel() for p in model.parameters())
            record(
                'human_numbers',
                m,
                data=DATA,
                seed=seed,
                minutes=(time.time() - t) / 60,
                model=name,
                epochs=how['epochs'],
                lr=how['lr'],
            )
            print(name, seed, f'{m["accuracy"]:.4f}', flush=True)
