"""Train the seven models of chapters 05 to 07 (a GRU in LMModel6's place, and the full AWD-LSTM) on Human
Numbers, and the variants that tell why one beats another.

The recipes are the lessons': epochs, peak learning rate, batches of 64. Recurrent layers are ours (`RNN`,
`LSTM`, `GRU`), written in Python, unless a row says otherwise.
Records: nbs/results/human_numbers.json (config `model`: the row of the tables).
"""

import functools
from functools import partial

import torch
import torch.nn as nn

from nlpdeep.core import set_seed
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import number_data, sequence_dls, three_word_dls, train_numbers
from nlpdeep.rnn import LMModel1, LMModel2, LMModel3, LMModel4, LMModel5
from nlpdeep.runs import Plan, run_script

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
    """The full AWD-LSTM at LMModel7's sizes, as workshop 07c makes it: all five dropouts at half of fastai's
    defaults, an id of its own for padding.
    """
    from nlpdeep.awd_lstm import AWDLSTMConfig, language_model

    return language_model(AWDLSTMConfig(V + 1, emb_sz=H, n_hid=H, n_layers=2, pad_token=V), drop_mult=0.5)


def regularized():
    "The lessons' learner for LMModel7: AR alpha=2 and TAR beta=1, as fastai's TextLearner adds them."
    from fastai.text.learner import TextLearner

    return dict(learner=TextLearner, wd=0.1)


def deep(act, n):
    return partial(LMModel5, V, H, n, nonlinearity=act)


def gru():
    return model6(lstm('GRU'))


def lstm2():
    return model6(lstm('LSTM'))


# epochs and peak rate; `regularized` is added when a model is trained
FAST, THREE = dict(epochs=4, lr=1e-3), dict(epochs=10, lr=3e-3)
SLOW, HIGH = dict(epochs=15, lr=3e-3), dict(epochs=15, lr=1e-2)
# name: (model, loader, recipe); models are functions, so that nothing is built that is not run
MODELS = {
    # the lessons' seven
    'LMModel1': (partial(LMModel1, V, H), 'three words', FAST),
    'LMModel2': (partial(LMModel2, V, H), 'three words', FAST),
    'LMModel3': (partial(LMModel3, V, H), 'three words, in order', THREE),
    'LMModel4': (partial(LMModel4, V, H), 'every word', SLOW),
    'LMModel5': (partial(LMModel5, V, H), 'every word', SLOW),
    'LMModel6': (lstm2, 'every word', HIGH),
    'LMModel6 with GRU': (gru, 'every word', HIGH),
    'LMModel7': (model7, 'every word', HIGH),
    'AWDLSTM': (awd_lstm, 'every word', HIGH),
    # is it the state, and does order matter?
    'LMModel2, in order': (partial(LMModel2, V, H), 'three words, in order', FAST),
    'LMModel2, trained as LMModel3': (partial(LMModel2, V, H), 'three words, in order', THREE),
    'LMModel3, examples shuffled': (partial(LMModel3, V, H), 'three words, shuffled', THREE),
    # is it depth, or the activation? (two layers with tanh are LMModel5)
    'LMModel4 with tanh': (partial(TanhModel4, V, H), 'every word', SLOW),
    'RNN, ReLU, 1 layer': (deep('relu', 1), 'every word', SLOW),
    'RNN, ReLU, 2 layers': (deep('relu', 2), 'every word', SLOW),
    'RNN, ReLU, 4 layers': (deep('relu', 4), 'every word', SLOW),
    'RNN, tanh, 1 layer': (deep('tanh', 1), 'every word', SLOW),
    'RNN, tanh, 4 layers': (deep('tanh', 4), 'every word', SLOW),
    # which layer takes which learning rate?
    'LMModel5, rate 0.01': (partial(LMModel5, V, H), 'every word', HIGH),
    'RNN, ReLU, 2 layers, rate 0.01': (deep('relu', 2), 'every word', HIGH),
    'LMModel6, rate 0.003': (lstm2, 'every word', SLOW),
    'LMModel6 with GRU, rate 0.003': (gru, 'every word', SLOW),
    # what is in a gate?
    "LMModel6 with PyTorch's nn.LSTM": (lambda: model6(nn.LSTM), 'every word', HIGH),
    'LMModel6, 1 layer': (lambda: model6(lstm('LSTM'), 1), 'every word', HIGH),
    'LMModel6, forget gates start open': (lambda: open_forget(2.0), 'every word', HIGH),
    'LMModel6, input gate in place of the forget gate': (wrong_forget, 'every word', HIGH),
}

PLAN = Plan(
    makes='human_numbers',
    chapter='05_rnn',
    minutes=50,
    data='human_numbers, last fifth',
    configs=[dict(model=name, **how) for name, (_, _, how) in MODELS.items()],
    seeds=range(5),
)


@functools.cache
def loaders(name):
    ids = number_data(human_number_tokens()).ids
    if name == 'every word':
        return sequence_dls(ids)
    return three_word_dls(ids, chunks=name != 'three words')


def shuffled():
    "Made after the seed is set, which it draws its order from."
    from fastai.data.core import DataLoaders

    dls = loaders('three words, in order')
    return DataLoaders(dls.train.new(shuffle=True), dls.valid)


def run(seed, model, epochs, lr):
    make, name, _ = MODELS[model]
    dls = None if name.endswith('shuffled') else loaders(name)
    set_seed(seed)
    net, keep, how = make(), [], dict(epochs=epochs, lr=lr)
    if model in ('LMModel7', 'AWDLSTM'):
        how |= regularized()
    m = train_numbers(net, dls or shuffled(), keep=keep, **how)
    m['epoch_9'] = keep[min(9, len(keep) - 1)][2]
    m['parameters'] = sum(p.numel() for p in net.parameters())
    return m


if __name__ == '__main__':
    run_script(__file__)
