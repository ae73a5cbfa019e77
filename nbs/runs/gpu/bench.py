"""Ours beside fastai and transformers on a GPU, in turn, in one process. No text is cut into
words, so no spaCy is needed.

    python nbs/runs/gpu/bench.py [--small] [--rounds 5]

step ...            one training step of the AWD-LSTM: ours in bf16 beside fastai's stock learner (32 bits)
step ..., to_fp16   the same beside fastai's learner after `.to_fp16()`
gpt2 ...            one step of GPT-2, and writing, beside the lessons' loop over transformers' model
classify            2,000 texts of a review's length to probabilities, beside fastai's `get_preds`

A record for each row, and for the step's share of what the card's matrix products reach (`of_peak`)."""

import argparse
import time

import numpy as np
import torch
from fastai.basics import CrossEntropyLossFlat, DataLoaders, Learner
from fastai.callback.rnn import rnn_cbs
from fastai.text.all import (
    AWD_LSTM,
    SortedDL,
    awd_lstm_clas_config,
    awd_lstm_lm_config,
    get_text_classifier,
    language_model_learner,
    pad_input_chunk,
)

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model, load_weights
from nlpdeep.benchmarks import STEPS, _loud, _step_function, bench_gpt2
from nlpdeep.core import device, set_seed
from nlpdeep.gpt2 import GPT2Config
from nlpdeep.precision import LinearCrossEntropyLoss
from nlpdeep.records import bench, record
from nlpdeep.training import lm_learner
from nlpdeep.ulmfit import Classifier, class_probs

SMALL = {'step small': (20, 40, 500)}


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds(f, n=10):
    "Median time of one call."
    f()
    times = []
    for _ in range(n):
        synchronize()
        t = time.perf_counter()
        f()
        synchronize()
        times.append(time.perf_counter() - t)
    return float(np.median(times))


def peak(n):
    "Operations a second of one large matrix product in bf16."
    a, b = (torch.randn(n, n, device=device(), dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / seconds(lambda: a @ b)


def learners(emb_sz, n_hid, words, bs, seq_len, theirs_fp16):
    "Our step and fastai's, from the same weights, over the same three batches."
    g = torch.Generator().manual_seed(0)
    draw = [torch.randint(2, words, (2, bs, seq_len), generator=g).to(device()) for _ in range(3)]
    batches = [(o[0], o[1]) for o in draw]
    dls = DataLoaders(batches, batches, device=torch.device(device()))
    dls.vocab = list(range(words))
    set_seed(0)
    config = dict(awd_lstm_lm_config, emb_sz=emb_sz, n_hid=n_hid)
    theirs = language_model_learner(dls, AWD_LSTM, config=config, pretrained=False)
    if theirs_fp16:
        theirs.to_fp16()
    model = language_model(AWDLSTMConfig(words, emb_sz=emb_sz, n_hid=n_hid))
    load_weights(model, theirs.model.state_dict())
    ours = lm_learner(dls, model.to(device()), loss_func=LinearCrossEntropyLoss(chunk=5120))
    return _step_function(ours, batches), _step_function(theirs, batches)


def products(emb_sz, n_hid, words, tokens):
    "Operations of one training step's matrix products: forwards once, backwards twice."
    sizes = [(emb_sz, n_hid), (n_hid, n_hid), (n_hid, emb_sz)]
    weights = sum(4 * o * (i + o) for i, o in sizes) + emb_sz * words
    return 6 * weights * tokens


def steps(small, rounds):
    shapes = {'32 x 70': (32, 70)} if small else {'32 x 70': (32, 70), '128 x 80': (128, 80)}
    left_out = {('step small', '128 x 80'), ('step 60k words', '32 x 70')}
    top = peak(256 if small else 8192)
    for stage, size in (SMALL if small else STEPS).items():
        for shape, (bs, seq_len) in shapes.items():
            if (stage, shape) in left_out:
                continue
            for fp16 in (False, True) if torch.cuda.is_available() else (False,):
                ours, theirs = learners(*size, bs, seq_len, fp16)
                try:
                    row = bench(stage, ours, theirs, lambda a, b: abs(a - b) < 0.01 * b, rounds)
                except Exception as e:
                    print(f'{stage}, {shape}, to_fp16={fp16}: {type(e).__name__}: {e}')
                    continue
                took = seconds(ours)
                found = dict(
                    ms=1e3 * took,
                    tokens_per_second=bs * seq_len / took,
                    of_peak=products(*size, bs * seq_len) / took / top,
                )
                yield row | dict(stage=f'{stage}, {shape}' + ', to_fp16' * fp16), found
    yield None, dict(peak=top)


def classify(small, rounds):
    "Texts as ids, of the lengths of reviews, to probabilities."
    rng = np.random.default_rng(0)
    n, words = (40, 300) if small else (2000, 20_000)
    lens = np.minimum(np.exp(rng.normal(5.5, 0.7, n)).astype(int) + 5, 1400)
    ids = [rng.integers(9, words, k) for k in lens]
    sizes = dict(emb_sz=20, n_hid=24) if small else dict(emb_sz=400, n_hid=1152)
    set_seed(0)
    config = dict(awd_lstm_clas_config, **sizes)
    reference = get_text_classifier(AWD_LSTM, words, 2, seq_len=72, config=config, max_len=None)
    reference = reference.to(device())
    _loud(reference[0].module)
    model = Classifier(AWDLSTMConfig.classifier(words, **sizes), 2).to(device())
    load_weights(model.encoder, reference[0].module)
    heads = zip(model.head.state_dict(), reference[1].state_dict().values())
    model.head.load_state_dict(dict(heads))
    items = [(torch.as_tensor(o), 0) for o in ids]
    dl = SortedDL(items, bs=64, before_batch=pad_input_chunk, device=torch.device(device()))
    learn = Learner(DataLoaders(dl, dl), reference, loss_func=CrossEntropyLossFlat(), cbs=rnn_cbs())

    def theirs():
        with learn.no_bar():
            return learn.get_preds(dl=dl)[0].numpy()

    def same(a, b):
        near = np.abs(a - b).max(1) < 2e-3
        print(f'probabilities within .002: {near.mean():.1%} (fastai loses the ends of some padded texts)')
        return near.mean() > 0.75

    row = bench('classify', lambda: class_probs(model, ids), theirs, same, rounds)
    took = seconds(lambda: class_probs(model, ids), 3)
    return row, dict(texts_per_second=n / took)


def main(a):
    print(device(), torch.__version__, 'cuDNN', torch.backends.cudnn.version())
    small = GPT2Config(300, 32, 32, 2, 2)
    gpt2 = bench_gpt2(a.rounds, small, 2, 16, 4) if a.small else bench_gpt2(a.rounds, new=32)
    pairs = [*steps(a.small, a.rounds)]
    pairs += [(o | dict(stage='gpt2 ' + o['stage']), {}) for o in gpt2]
    pairs.append(classify(a.small, a.rounds))
    for row, found in pairs:
        metrics = {k: v for k, v in (row or {}).items() if k != 'stage'} | found
        stage = row['stage'] if row else 'a matrix product'
        print(f'{stage:40}', {k: round(float(v), 3) for k, v in metrics.items()})
        record('gpu_bench', metrics, data='random ids', stage=stage)


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--small', action='store_true')
    a.add_argument('--rounds', type=int, default=5)
    main(a.parse_args())
