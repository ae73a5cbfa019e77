"""How far back does the gradient reach in a trained recurrent network, and does that decide how well it
counts? Tanh and ReLU, one, two and four layers.

The recipe is LMModel5's of `human_numbers`: 15 epochs of Human Numbers, peak rate 0.003, 64 units. PyTorch's
`nn.RNN` trains (it is the quicker one and starts from the same weights); its weights are then copied into
ours, whose states can be asked for gradients. Record: nbs/results/number_gradients.json (config `act` and
`layers`). `back_k` is the size of the gradient of the last output with respect to the state of layer k,
sixteen steps earlier, as a share of that with respect to the last state of the top layer; `fresh_k` the same
before training; `slope_k` the mean slope of the activation. All on stretches of 40 words of validation text.
"""

import torch
import torch.nn as nn

from nlpdeep.core import set_seed
from nlpdeep.corpora import human_number_tokens
from nlpdeep.course import gradient_over_time, number_data, sequence_dls, train_numbers
from nlpdeep.rnn import RNN, LMModel5, torch_name
from nlpdeep.runs import Plan, run_script

V, H, BACK = 30, 64, 16
PLAN = Plan(
    makes='number_gradients',
    chapter='05_rnn',
    minutes=4,
    data='human_numbers, last fifth',
    configs=[dict(act=act, layers=n, epochs=15, lr=3e-3) for act in ('relu', 'tanh') for n in (1, 2, 4)],
    seeds=range(5),
)


def stretches(ids):
    "Sixteen stretches of 40 words from the validation part, (16, 40)."
    return torch.stack([torch.tensor(ids[i : i + 40]) for i in range(51_000, 63_001, 800)])


def reach(model, x):
    "The gradient `BACK` steps before the last one, a number for each layer."
    return gradient_over_time(model.rnn, model.embed(x))[:, -1 - BACK].tolist()


@torch.no_grad()
def slopes(model, x, act):
    "The mean slope of the activation in each layer."
    h, out = model.embed(x), []
    for cell in model.rnn.cells:
        layer = RNN(H, H, batch_first=True)
        layer.cells[0] = cell
        h, _ = layer(h)
        out.append(((h > 0).float() if act == 'relu' else 1 - h**2).mean().item())
    return out


def run(seed, act, layers, epochs, lr):
    ids = number_data(human_number_tokens()).ids
    x, dls = stretches(ids), sequence_dls(ids)
    set_seed(seed)
    ours = LMModel5(V, H, layers, nonlinearity=act)
    theirs = LMModel5(V, H, layers, rnn=nn.RNN, nonlinearity=act)
    theirs.load_state_dict({torch_name(k): v for k, v in ours.state_dict().items()})
    fresh = reach(ours, x)
    metrics = train_numbers(theirs, dls, epochs=epochs, lr=lr)
    ours.load_state_dict({k: theirs.state_dict()[torch_name(k)] for k in ours.state_dict()})
    for name, values in dict(fresh=fresh, back=reach(ours, x), slope=slopes(ours, x, act)).items():
        metrics |= {f'{name}_{k}': v for k, v in enumerate(values, 1)}
    return metrics


if __name__ == '__main__':
    run_script(__file__)
