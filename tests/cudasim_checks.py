"""What the package does on a pretended GPU: run by test_cudasim.py in a process of its own, as cudasim must
be imported before torch. Prints one JSON line. With NLPDEEP_REAL_GPU=1 the same on a real one (test_gpu.py).

cudasim shows tensors left on the wrong device. It cannot show kernels, precision, memory, streams or more
than one GPU."""

import contextlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / 'cudasim'))
os.environ.update(TRANSFORMERS_VERBOSITY='error', NLPDEEP_DEVICE='')
REAL = os.environ.get('NLPDEEP_REAL_GPU') == '1'
# isort: off  (cudasim comes before torch)
if not REAL:
    from cudasim import CUDA, DeviceMistake, pretend
import torch

if not REAL:  # a pretended GPU draws from the CPU's generator
    torch.cuda.get_rng_state = lambda device='cuda': torch.get_rng_state()
    torch.cuda.set_rng_state = lambda state, device='cuda': None
if REAL:  # what PyTorch itself says of two devices is a RuntimeError or a TypeError
    CUDA, DeviceMistake, pretend = torch.device('cuda', 0), (RuntimeError, TypeError), contextlib.nullcontext

# isort: on
import nlpdeep.checkpoint
import nlpdeep.training

warnings.filterwarnings('ignore')
torch.set_num_threads(1)
CASES, MISTAKES = {}, {}


def case(f):
    CASES[f.__name__] = f
    return f


def mistake(f):
    MISTAKES[f.__name__] = f
    return f


def ids(rows=2, steps=6, words=30):
    return torch.randint(2, words, (rows, steps), device='cuda')


def on_gpu(*tensors):
    assert all(t.device == CUDA for t in tensors), [t.device for t in tensors]


# models


def step(model, words=30):
    "One training step on the pretended GPU; scores and all gradients are there."
    model = model.cuda()
    out = model(ids(words=words))
    scores = out[0] if isinstance(out, tuple) else out
    scores.float().pow(2).mean().backward()
    on_gpu(scores, *(p.grad for p in model.parameters() if p.grad is not None))
    model(ids(words=words))  # again, with the state that was kept


@case
def rnn_models():
    from nlpdeep.lstm import GRU, LMModel6
    from nlpdeep.rnn import LMModel4, LMModel5

    for model in (LMModel4(30, 8), LMModel5(30, 8), LMModel6(30, 8, 2), LMModel6(30, 8, 2, rnn=GRU)):
        step(model)


@case
def awd_lstm():
    from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
    from nlpdeep.regularization import LMModel7

    step(LMModel7(30, 8, 2, 0.3))
    step(language_model(AWDLSTMConfig(30, 8, 12, 2)))


@case
def state_follows_the_model():
    from nlpdeep.awd_lstm import AWDLSTMConfig, language_model

    model = language_model(AWDLSTMConfig(30, 8, 12, 2))
    model(torch.randint(2, 30, (2, 6)))  # reads on the CPU, then moves without a reset
    on_gpu(model.cuda()(ids())[0])


@case
def gpt2():
    from nlpdeep.gpt2 import GPT2, GPT2Config

    step(GPT2(GPT2Config(30, 16, 16, 2, 2)))


# learners


def loaders():
    from fastai.data.core import DataLoaders

    from nlpdeep.lm_dataloader import LMDataLoader

    g = torch.Generator().manual_seed(0)
    docs = [torch.randint(2, 30, (25,), generator=g) for _ in range(20)]
    dls = DataLoaders(
        LMDataLoader(docs, bs=4, seq_len=8, shuffle=True),
        LMDataLoader(docs[:6], bs=4, seq_len=8),
        device=torch.device('cuda'),
    )
    dls.vocab = [f'w{k}' for k in range(30)]
    return dls


def trained(prec, **kwargs):
    from nlpdeep.awd_lstm import AWDLSTMConfig, language_model

    learn = nlpdeep.training.lm_learner(
        loaders(), language_model(AWDLSTMConfig(30, 8, 12, 2)).cuda(), prec=prec, clip=1.0, **kwargs
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-2)
    on_gpu(*learn.model.parameters())
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())


@case
def learner_fp32():
    trained('fp32')


@case
def learner_bf16():
    trained('bf16')


@case
def learner_fp16():
    trained('fp16')


@case
def checkpoint():
    with tempfile.TemporaryDirectory() as d:
        for _ in range(2):
            trained('fp32', cbs=nlpdeep.checkpoint.Checkpoint(f'{d}/c', every=2))


# generation and classifiers


def words():
    from nlpdeep.processor import TextProcessor

    return TextProcessor(
        'xxunk xxpad xxbos xxeos xxfld xxrep xxwrep xxup xxmaj'.split() + [f'w{k}' for k in range(21)]
    )


@case
def generation_lstm():
    from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
    from nlpdeep.generation import generate

    generate(
        language_model(AWDLSTMConfig(30, 8, 12, 2)).cuda(),
        words(),
        'w1 w2',
        n_words=4,
        n=2,
        repetition=1.2,
        top_p=0.9,
    )


@case
def generation_gpt2():
    from nlpdeep.causal_generation import generate_causal
    from nlpdeep.causal_models import tiny_tokenizer
    from nlpdeep.gpt2 import GPT2, GPT2Config

    tok = tiny_tokenizer(['a good warm film . a bad cold film . ' * 20], 290)

    def new():
        torch.manual_seed(0)
        return GPT2(GPT2Config(len(tok), 32, 16, 2, 2, init_sd=0.3)).eval()

    for how in (dict(), dict(beams=2), dict(repetition=1.3)):
        generate_causal(new().cuda(), tok, ['a good', 'a bad cold film'], max_new=3, **how)


@case
def classifier_ulmfit():
    from nlpdeep.language_model import ULMFiTConfig
    from nlpdeep.ulmfit import Classifier, class_probs, fit_classifier

    cfg = ULMFiTConfig(emb_sz=8, n_hid=12, n_layers=2, epochs=1, n_lin=6)
    texts, labels = [list(range(2, 6 + k % 9)) for k in range(16)], [k % 2 for k in range(16)]
    import numpy as np

    texts = [np.array(t) for t in texts]
    model = Classifier(cfg.encoder(30, True), 2, 6, 4)
    fit_classifier(model, (texts, labels), (texts[:6], labels[:6]), cfg)
    assert class_probs(model, texts[:3]).shape == (3, 2)


@case
def classifier_gpt2():
    from nlpdeep.causal_classifier import CausalClassifier, CausalClassifierConfig
    from nlpdeep.causal_models import CausalLM, tiny_tokenizer
    from nlpdeep.gpt2 import GPT2, GPT2Config

    tok = tiny_tokenizer(['a good warm film . a bad cold film . ' * 20], 290)
    cfg = CausalClassifierConfig(free=1, groups=1, lm_epochs=1, lm_bs=2, seq_len=8, bs=4, epochs=1)
    judge = CausalClassifier(CausalLM(GPT2(GPT2Config(len(tok), 32, 16, 2, 2)).eval(), tok, 'x'), cfg)
    judge.fit(
        [f'a good warm film {k}' for k in range(6)] + [f'a bad cold film {k}' for k in range(6)],
        ['p'] * 6 + ['n'] * 6,
    )
    assert len(judge.predict(['a good film', 'a bad film'])) == 2


# a check that cannot fail proves nothing: each of these must be caught


@mistake
def mixed_devices():
    torch.randn(2, 3, device='cuda') + torch.randn(2, 3)


@mistake
def numpy_of_a_gpu_tensor():
    torch.randn(3, device='cuda').numpy()


@mistake
def dropout_mask_on_the_cpu():
    from nlpdeep import regularization as regularization_mod

    real, regularization_mod.dropout_mask = regularization_mod.dropout_mask, lambda x, sz, p: torch.ones(*sz)
    try:
        awd_lstm()
    finally:
        regularization_mod.dropout_mask = real


def outcome(f) -> str:
    try:
        with pretend():
            f()
        return 'ok'
    except DeviceMistake as e:
        return f'DeviceMistake: {str(e)[:200]}'
    except Exception as e:
        return f'{type(e).__name__}: {str(e)[:200]}'


if __name__ == '__main__':
    found = {
        kind: {name: outcome(f) for name, f in fs.items()}
        for kind, fs in (('cases', CASES), ('mistakes', MISTAKES))
    }
    print(json.dumps(found))
