"""Fine-tune a causal language model on WikiText-2 for one epoch, as the lessons do, and record perplexities
before and after.

    python nbs/runs/gpt2_finetune.py                                      SmolLM2 on a slice: minutes on a CPU
    python nbs/runs/gpt2_finetune.py --model gpt2 --train 0 --valid 0     GPT-2 on all of it: a GPU and the
        hub (published: 40.3 -> 17.2)

A seed that is recorded already is skipped (--again repeats it). A slice is the first articles of a part, up
to that many tokens."""

import argparse
import time

import numpy as np
from fastai.basics import TfmdLists
from fastai.text.data import LMDataLoader

from nlpdeep.causal_models import CausalLM, load_pretrained, save_pretrained, token_counts
from nlpdeep.causal_training import TransformersTokenizer, causal_learner, causal_perplexity, matmul_precision
from nlpdeep.core import InputError, device, set_seed
from nlpdeep.corpora import wikitext2
from nlpdeep.records import record, results

a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
a.add_argument('--model', default='smollm2')
a.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
a.add_argument('--train', type=int, default=50_000, help='tokens of the training part (0: all)')
a.add_argument('--valid', type=int, default=16_000, help='likewise')
a.add_argument('--bs', type=int, default=4)
a.add_argument('--seq', type=int, default=256)
a.add_argument('--lr', type=float, default=1e-4)
a.add_argument('--precision', choices=['fp32', 'bf16', 'fp16'], default=matmul_precision())
a.add_argument('--save', help='folder for the fine-tuned model of the last seed')
a.add_argument('--again', action='store_true')
a = a.parse_args()


def first(tok, texts, limit):
    "The first texts, up to `limit` tokens."
    return (
        list(texts)
        if not limit
        else list(texts)[: int(np.searchsorted(np.cumsum(token_counts(tok, texts)), limit)) + 1]
    )


df = wikitext2()
lm = load_pretrained(a.model)
part = {p: first(lm.tokenizer, df.text[df.part == p], n) for p, n in (('train', a.train), ('valid', a.valid))}
size = {p: sum(token_counts(lm.tokenizer, t)) for p, t in part.items()}
data = (
    f'wikitext2, first {len(part["train"])} articles of train, {len(part["valid"])} of valid'
    if a.train or a.valid
    else 'wikitext2, train and valid'
)
config = dict(model=lm.name, lr=a.lr, bs=a.bs, seq_len=a.seq, precision=a.precision, attention='sdpa')
print(f'{lm.name}, {size} tokens, {a.precision} on {device()}', flush=True)
try:
    done = (
        []
        if a.again
        else [o['seed'] for o in results('gpt2_finetune') if o['data'] == data and o['config'] == config]
    )
except InputError:
    done = []


def ppl(model, when):
    r = causal_perplexity(
        model.eval(), lm.tokenizer, part['valid'], precision='fp32' if a.precision == 'fp32' else 'bf16'
    )
    return {f'{k}_{when}': r[f'per_{k}'] for k in ('token', 'word', 'byte')}


for seed in (s for s in a.seeds if s not in done):
    t = time.time()
    set_seed(seed)
    model = load_pretrained(a.model).model.to(device())
    ids = TransformersTokenizer(lm.tokenizer)
    rows = [ids(o) for p in ('train', 'valid') for o in part[p]]
    n = len(part['train'])
    dls = TfmdLists(
        rows, [], splits=[list(range(n)), list(range(n, len(rows)))], dl_type=LMDataLoader
    ).dataloaders(bs=a.bs, seq_len=a.seq, device=device())
    learn = causal_learner(dls, model, a.precision)
    with learn.no_bar(), learn.no_logging():
        m = ppl(model, 'before') | dict(
            tokens=size['train'], valid_tokens=size['valid'], loader_before=learn.validate()[1]
        )
        print(m, flush=True)
        fit = time.time()
        learn.fit_one_cycle(1, a.lr)
        fit = time.time() - fit
        m |= dict(
            loader_after=learn.validate()[1], fit_minutes=fit / 60, tokens_per_second=size['train'] / fit
        ) | ppl(model, 'after')
    record('gpt2_finetune', m, data, seed=seed, minutes=(time.time() - t) / 60, **config)
    print(seed, {k: round(v, 3) for k, v in m.items()}, flush=True)
    if a.save:
        save_pretrained(CausalLM(model, lm.tokenizer, lm.name), a.save)
