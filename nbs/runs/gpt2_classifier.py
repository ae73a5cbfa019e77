"""SmolLM2 as a judge of movie snippets (split by film), from no training to the training of ten blocks, by
number of labels.

Five methods, on the same draws of labelled snippets (those that ulmfit_labels.py takes with that seed) and
with one question behind every text. `zero-shot` sees no label: does the model expect words of praise rather
than of blame, more than it does of half the drawn snippets? `head`: logistic regression on the last vectors,
nothing else learns; its penalty is chosen in folds of the labels. `lora`: in the upper ten blocks a way round
of rank 4 beside queries and values, and the head; its settings are those of chapter 12's page, untuned. `no
stage two`: all of the upper ten blocks, thawed gradually. `lm`: the same after the model has read the
training snippets once, without their labels (ULMFiT's stage two; kept in the cache). The settings of the last
two were chosen on the validation part: see SETTINGS. The test part is scored once per run.

What the frozen lower layers make of each text is computed once and shared: minutes of a run are those of its
own training. The answers on the test part are kept in nlpdeep's cache, for judge_pairs.py. Memory is the peak
of the process so far.
Records: gpt2_classifier.json, gpt2_classifier_lm.json (perplexity before and after stage two).
"""

import copy
import dataclasses
import functools
import json
import resource
import time

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from nlpdeep.causal_classifier import (
    CausalClassifierConfig,
    FrozenCache,
    LastToken,
    causal_class_probs,
    encode_texts,
    finetune_causal_lm,
    fit_causal_classifier,
    last_norm,
    layers_of,
    run_layers,
)
from nlpdeep.causal_models import CausalLM, lm_head, load_pretrained, save_pretrained
from nlpdeep.causal_training import matmul_precision
from nlpdeep.core import home, set_seed, text_hash
from nlpdeep.corpora import movie_snippets
from nlpdeep.language_model import ProgressLog
from nlpdeep.records import record
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.texts import subsample

CLASSES = ['fresh', 'rotten']
BASE = dict(ask=' All in all, the movie was', free=10, groups=2)
LM = dict(lm_epochs=1, lm_lr=1e-4, lm_bs=8, seq_len=128, seed=0)
SETTINGS = {
    '100': dict(head_epochs=8, thaw_epochs=2, epochs=6),
    '500': dict(head_epochs=3, thaw_epochs=1, epochs=4),
    '2000': dict(epochs=2),
    'all': dict(epochs=2),
}
PRAISE = [' great', ' good', ' excellent', ' wonderful', ' brilliant', ' funny']
BLAME = [' terrible', ' bad', ' awful', ' boring', ' dull', ' disappointing']
CS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
RANK, LORA_RATE, LORA_EPOCHS = 4, 1e-3, {'100': 6, '2000': 2}

ZERO, HEAD, LORA, PLAIN, STAGED = 'zero-shot', 'head', 'lora', 'no stage two', 'lm'
NUMBERS = ('100', '500', '2000', 'all')
DRAWS = {'100': 3, '500': 2, '2000': 2, 'all': 1}  # of methods that train blocks

PLAN = Plan(
    makes='gpt2_classifier gpt2_classifier_lm',
    chapter='12_gpt2_classifier',
    minutes=180,
    data='movie snippets, split by film, test',
    configs=[dict(method=m, labels=n) for m in (ZERO, HEAD, PLAIN) for n in NUMBERS]
    + [dict(method=LORA, labels=n) for n in LORA_EPOCHS]
    + [dict(method=STAGED, labels=n) for n in NUMBERS],
    seeds=lambda config: range(
        1,
        1
        + (5 if config['method'] in (ZERO, HEAD) and config['labels'] != 'all' else DRAWS[config['labels']]),
    ),
    threads=1,
)


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # GiB, the most so far


def tuned(name, texts, valid, again=False) -> CausalLM:
    "The language model after it has read `texts`; from the cache, if it did so before."
    cfg = CausalClassifierConfig(**(BASE | LM))
    lm = load_pretrained(name)
    key = json.dumps(
        [lm.name, dataclasses.asdict(cfg), len(texts), text_hash('\n'.join(texts))],
        sort_keys=True,
    )
    place = home() / 'models' / f'movie-snippets-{text_hash(key)[:12]}'
    if place.is_dir() and not again:
        return load_pretrained(place)._replace(name=lm.name)
    plain = dataclasses.replace(cfg, ask='', long='cut')
    a, b = encode_texts(lm, texts, plain), encode_texts(lm, valid, plain)
    t = time.time()
    out = finetune_causal_lm(lm, a, b, cfg, print_log)
    record(
        'gpt2_classifier_lm',
        dict(
            before=out['before'], after=out['after'], texts=len(a), tokens=sum(map(len, a)), memory=memory()
        ),
        data='movie_snippets, training part without labels; measured on the validation part',
        seed=LM['seed'],
        minutes=(time.time() - t) / 60,
        model=lm.name,
        precision=matmul_precision(),
        threads=torch.get_num_threads(),
        **{k: v for k, v in (BASE | LM).items() if k not in ('ask', 'seed')},
    )
    save_pretrained(lm, place)
    return lm


print_log = ProgressLog(functools.partial(print, flush=True), bars=False)


@functools.cache
def snippets():
    "Labelled texts and numbered labels, by part."
    df = movie_snippets()
    df = df[df.label.notna()]
    part = {p: df[df.part == p] for p in ('train', 'valid', 'test')}
    return part, {p: np.array([CLASSES.index(o) for o in d.label]) for p, d in part.items()}


@functools.cache
def draw(labels, seed):
    "The rows of one draw of labelled training snippets."
    train = snippets()[0]['train']
    place = {t: i for i, t in enumerate(train.text)}
    d = movie_snippets() if labels == 'all' else subsample(movie_snippets(), None, int(labels), seed)
    return np.array([place[t] for t in d.text[(d.part == 'train') & d.label.notna()]])


@functools.cache
def reader(method):
    "The language model, fine-tuned or as it comes; the ids of all parts; what frozen layers made of them."
    part, _ = snippets()
    if method == STAGED:
        lm = tuned('smollm2', list(part['train'].text), list(part['valid'].text))
    else:
        lm = load_pretrained('smollm2')
    cfg = CausalClassifierConfig(**BASE)
    return lm, {p: encode_texts(lm, list(d.text), cfg) for p, d in part.items()}, FrozenCache()


@functools.cache
@torch.no_grad()
def last_vectors(bs=64):
    """What a head would read, by part: the last vector of each text, (texts, emb); and how much rather than
    blame the model expects praise there, in log-odds.
    """
    lm, ids, memo = reader(PLAIN)
    model = LastToken(lm.model, 2, BASE['free'], BASE['groups'], memo=memo).eval()
    sides = [torch.tensor([lm.tokenizer(w)['input_ids'][0] for w in ws]) for ws in (PRAISE, BLAME)]
    vectors, lean = {}, {}
    for p, rows in ids.items():
        order, found = sorted(range(len(rows)), key=lambda k: len(rows[k])), [None] * len(rows)
        for part in (order[j : j + bs] for j in range(0, len(rows), bs)):
            n = torch.tensor([len(rows[k]) for k in part])
            x = nn.utils.rnn.pad_sequence([torch.from_numpy(rows[k]) for k in part], batch_first=True)
            with torch.autocast('cpu', torch.bfloat16, enabled=matmul_precision() == 'bf16'):
                h = run_layers(lm.model, memo(x, n, model.lower), model.cut)
                h = last_norm(lm.model)(h[torch.arange(len(part)), n - 1])
            for k, o in zip(part, h.float()):
                found[k] = o
        vectors[p] = torch.stack(found)
        logp = [lm_head(lm.model)(o).float().log_softmax(-1) for o in vectors[p].split(256)]
        good, bad = (torch.cat([o[:, ids].logsumexp(-1) for o in logp]) for ids in sides)
        vectors[p], lean[p] = vectors[p].numpy(), (good - bad).numpy()
        print(f'{p}: {len(rows):,} texts read', flush=True)
    return vectors, lean


def by_zero_shot(seed, rows):
    lean = last_vectors()[1]
    middle = np.median(lean['train'][rows])  # needs no label, only that about half of them are praise
    return {p: (lean[p] <= middle).astype(int) for p in ('valid', 'test')}, {}


def by_head(seed, rows):
    x, y = last_vectors()[0], snippets()[1]
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    tried = {'logisticregression__C': CS}
    model = GridSearchCV(model, tried, cv=folds, scoring='neg_log_loss').fit(
        x['train'][rows], y['train'][rows]
    )
    said = {p: model.predict(x[p]) for p in ('valid', 'test')}
    return said, dict(C=model.best_params_['logisticregression__C'])


class WayRound(nn.Module):
    "A frozen linear layer, and beside it a small way round through RANK numbers: LoRA."

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.down = nn.Linear(linear.in_features, RANK, bias=False)
        self.up = nn.Linear(RANK, linear.out_features, bias=False)
        nn.init.zeros_(self.up.weight)  # at first it adds nothing

    def forward(self, x):
        return self.linear(x) + self.up(self.down(x))


def train_lora(model, ids, y, epochs, bs=16):
    "Only the ways round and the head learn, at one rate."
    model.requires_grad_(False)
    learn = [model.score.weight]
    for block in layers_of(model.lm)[model.cut :]:
        for name in ('q_proj', 'v_proj'):
            way = WayRound(getattr(block.self_attn, name))
            setattr(block.self_attn, name, way)
            learn += [way.down.weight, way.up.weight]
    for p in learn:
        p.requires_grad_()
    opt, y = torch.optim.AdamW(learn, lr=LORA_RATE, weight_decay=0.01), torch.from_numpy(y)
    model.train()
    for epoch in range(epochs):
        for rows in torch.randperm(len(ids)).split(bs):
            x = nn.utils.rnn.pad_sequence(
                [torch.from_numpy(ids[k]) for k in rows], batch_first=True, padding_value=model.pad
            )
            with torch.autocast('cpu', torch.bfloat16, enabled=matmul_precision() == 'bf16'):
                scores = model(x)
            nn.functional.cross_entropy(scores.float(), y[rows]).backward()
            opt.step()
            opt.zero_grad()
    return sum(p.numel() for p in learn)


def by_training(seed, rows, method, labels):
    "Answers of a trained judge, what it was made with, and the minutes of its training."
    y = snippets()[1]['train'][rows]
    lm, ids, memo = reader(STAGED if method == STAGED else PLAIN)
    cfg = CausalClassifierConfig(seed=seed, **(BASE | SETTINGS[labels]))
    set_seed(seed)
    model = LastToken(copy.deepcopy(lm.model), 2, cfg.free, cfg.groups, cfg.drop_p, memo)
    chosen = [ids['train'][k] for k in rows]
    causal_class_probs(model, chosen, remember=True)  # what lies below is read before the clock runs
    t = time.time()
    if method == LORA:
        trainable = train_lora(model, chosen, y, LORA_EPOCHS[labels])
        how = dict(rank=RANK, lr=LORA_RATE, epochs=LORA_EPOCHS[labels]) | BASE
    else:
        trainable = max(fit_causal_classifier(model, (chosen, y), None, cfg)['trainable'])
        how = BASE | SETTINGS[labels] | dict(lr_head=cfg.lr_head, lr=cfg.lr, lr_div=cfg.lr_div, bs=cfg.bs)
    minutes = (time.time() - t) / 60
    model.eval()
    said = {p: causal_class_probs(model, ids[p], remember=True).argmax(1) for p in ('valid', 'test')}
    return said, how, minutes, trainable


def kept(method, labels, seed):
    "The file with a run's answers on the test part: which of them are right."
    return home() / 'judges' / f'{method}-{labels}-{seed}-{matmul_precision()}.npy'


def run(seed, method, labels):
    rows, y, t = draw(labels, seed), snippets()[1], time.time()
    minutes, trainable = None, 0
    if method == ZERO:
        said, how = by_zero_shot(seed, rows)
    elif method == HEAD:
        last_vectors()
        t = time.time()
        said, how = by_head(seed, rows)
        minutes, trainable = (time.time() - t) / 60, 2 * last_vectors()[0]['train'].shape[1]
    else:
        said, how, minutes, trainable = by_training(seed, rows, method, labels)
    right = {p: said[p] == y[p] for p in ('valid', 'test')}
    file = kept(method, labels, seed)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, right['test'])
    m = dict(accuracy=right['test'].mean(), valid=right['valid'].mean(), memory=memory())
    m |= dict(trainable=trainable)
    how |= dict(model='SmolLM2-135M-Instruct', precision=matmul_precision(), ask=BASE['ask'])
    return [Row(m, how, minutes=0.0 if minutes is None else minutes)]


if __name__ == '__main__':
    run_script(__file__)
