"""Fine-tune a causal language model on WikiText-2 for one epoch, as the lessons do: perplexities before and
after.

SmolLM2 on a slice (the first articles of each part, up to so many tokens): minutes on a CPU. `FULL` is the
lessons' own run, GPT-2 on all of it (published: 40.3 -> 17.2), for a GPU and the hub; NLPDEEP_GPT2_FULL=1
adds it.
Records nbs/results/gpt2_finetune.json.
"""

import os
import time

import numpy as np
from fastai.basics import TfmdLists
from fastai.text.data import LMDataLoader

from nlpdeep.causal_models import load_pretrained, token_counts
from nlpdeep.causal_training import TransformersTokenizer, causal_learner, causal_perplexity, matmul_precision
from nlpdeep.core import device, set_seed
from nlpdeep.corpora import wikitext2
from nlpdeep.runs import Plan, Row, run_script

HUB = {'SmolLM2-135M': 'smollm2', 'gpt2': 'gpt2'}
SLICE = dict(model='SmolLM2-135M', train=50_000, valid=16_000)
FULL = dict(model='gpt2', train=0, valid=0)  # 0: all of it

PLAN = Plan(
    makes='gpt2_finetune',
    chapter='11d_finetuning',
    minutes=11,
    configs=[
        dict(o, lr=1e-4, bs=4, seq_len=256)
        for o in ([SLICE, FULL] if os.environ.get('NLPDEEP_GPT2_FULL') else [SLICE])
    ],
    unwritten=('train', 'valid'),
    seeds=(0, 1),
)


def first(tok, texts, limit):
    "The first texts, up to `limit` tokens."
    return (
        list(texts)
        if not limit
        else list(texts)[: int(np.searchsorted(np.cumsum(token_counts(tok, texts)), limit)) + 1]
    )


def run(seed, model, train, valid, lr, bs, seq_len):
    df, lm, prec = wikitext2(), load_pretrained(HUB[model]), matmul_precision()
    part = {
        p: first(lm.tokenizer, df.text[df.part == p], n) for p, n in dict(train=train, valid=valid).items()
    }
    size = {p: sum(token_counts(lm.tokenizer, t)) for p, t in part.items()}
    data = 'wikitext2, train and valid'
    if train or valid:
        data = f'wikitext2, first {len(part["train"])} articles of train, {len(part["valid"])} of valid'

    def ppl(net, when):
        r = causal_perplexity(
            net.eval(), lm.tokenizer, part['valid'], precision='fp32' if prec == 'fp32' else 'bf16'
        )
        return {f'{k}_{when}': r[f'per_{k}'] for k in ('token', 'word', 'byte')}

    set_seed(seed)
    net = load_pretrained(HUB[model]).model.to(device())
    ids = TransformersTokenizer(lm.tokenizer)
    rows = [ids(o) for p in ('train', 'valid') for o in part[p]]
    n = len(part['train'])
    dls = TfmdLists(
        rows, [], splits=[list(range(n)), list(range(n, len(rows)))], dl_type=LMDataLoader
    ).dataloaders(bs=bs, seq_len=seq_len, device=device())
    learn = causal_learner(dls, net, prec)
    with learn.no_bar(), learn.no_logging():
        m = ppl(net, 'before') | dict(tokens=size['train'], valid_tokens=size['valid'])
        m['loader_before'] = learn.validate()[1]
        fit = time.time()
        learn.fit_one_cycle(1, lr)
        fit = time.time() - fit
        m |= dict(
            loader_after=learn.validate()[1], fit_minutes=fit / 60, tokens_per_second=size['train'] / fit
        )
        m |= ppl(net, 'after')
    return [Row(m, dict(precision=prec, attention='sdpa'), data=data)]


if __name__ == '__main__':
    run_script(__file__)
