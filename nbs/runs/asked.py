"""A frozen SmolLM2 asked a question about the movie snippets: features once, then logistic regression, at
100, 500, 2,000 and all labels, over five draws.

Each snippet is read once, followed by QUESTION. What is kept of that one pass, for every layer in LAYERS: the
state of the last token of the question (arm `asked`) and the state of the last token of the snippet, which no
question can
have reached, since a causal model looks only back (arm `unasked`, the control). The scores of a few words
after the question give arm `zero_shot`, which sees no label at all: the class of whichever side the model
expects more.
Nothing in the model is trained. A draw takes the same labelled snippets as ulmfit_labels.py does with that
seed. For each number of labels one setting (which layer, which C) is chosen, by the mean accuracy on the
validation part over the
draws; then the test part is scored once for each draw. Minutes are of CPU time, on one thread.
Records nbs/results/asked.json, and asked_layers.json (the mean validation accuracy by layer, with the best
C). The features are kept in nlpdeep's cache, under a name that depends on the texts and the question.
"""

import functools
import time
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from nlpdeep.texts import subsample
from nlpdeep.core import home, precision, text_hash
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.corpora import movie_snippets
from nlpdeep.causal_models import load_pretrained, start_token

QUESTION = '\nOverall, this movie was'
LAYERS = (10, 15, 20, 25, 30)  # of 30; a state is what the layer hands on
CS = (1e-3, 1e-2, 1e-1)  # with each layer alone, the candidates
PRAISE = 'great good excellent amazing fantastic wonderful brilliant funny'.split()
BLAME = 'bad terrible awful horrible boring dull poor disappointing'.split()


@torch.inference_mode()
def read(lm, texts, question, bs=32):
    """For each text: states at the end of the question and at the end of the text, (texts, layers, emb) each,
    and the log-probability of praise less that of blame.
    """

    def tok(s):
        return lm.tokenizer(s, add_special_tokens=False)['input_ids']

    first, ask = [start_token(lm.tokenizer)], tok(question)

    def word(w):
        return tok(' ' + w)[0]

    sides = [torch.tensor([word(w) for w in ws]) for ws in (PRAISE, BLAME)]
    ids = [first + o + ask for o in tok(list(texts))]
    order, out, begin = (
        sorted(range(len(ids)), key=lambda k: len(ids[k])),
        [None] * len(ids),
        time.process_time(),
    )
    for j in range(0, len(order), bs):
        rows = order[j : j + bs]
        x = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids[k]) for k in rows], batch_first=True)
        n = torch.tensor([len(ids[k]) for k in rows])
        mask = (torch.arange(x.shape[1]) < n[:, None]).long()  # the padding stands behind, where nobody looks
        res = lm.model.model(input_ids=x, attention_mask=mask, output_hidden_states=True)
        at = torch.arange(len(rows))
        ends = [
            torch.stack([res.hidden_states[l][at, n - 1 - back] for l in LAYERS], 1).float().numpy()
            for back in (0, len(ask))
        ]
        logp = lm.model.lm_head(res.last_hidden_state[at, n - 1]).float().log_softmax(1)
        lean = (logp[:, sides[0]].logsumexp(1) - logp[:, sides[1]].logsumexp(1)).numpy()
        for i, k in enumerate(rows):
            out[k] = (ends[0][i], ends[1][i], lean[i])
        if j // bs % 20 == 0:
            print(f'{j:,} of {len(ids):,} snippets, {time.process_time() - begin:.0f} s', flush=True)
    return [np.stack(o) for o in zip(*out)] + [sum(map(len, ids)) / (time.process_time() - begin)]


def features(df):
    """What `read` makes of every labelled snippet, from the cache if it was read before: asked, end, lean;
    and the minutes that took.
    """
    key = text_hash('\n'.join([QUESTION, precision(), *df.text]))[:12]
    file = home() / 'asked' / f'{key}.npz'
    if not file.exists():
        begin, lm = time.process_time(), load_pretrained('smollm2')
        if precision() == 'bf16':
            lm.model.bfloat16()
        asked, end, lean, speed = read(lm, list(df.text), QUESTION)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(
            file,
            asked=asked.astype(np.float16),
            end=end.astype(np.float16),
            lean=lean,
            minutes=(time.process_time() - begin) / 60,
            speed=speed,
        )
    with np.load(file) as f:
        return {k: f[k] for k in f}


def fit(x, y, C):
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)).fit(x, y)


DRAWS = range(1, 6)

PLAN = Plan(
    makes='asked asked_layers',
    chapter='10_transfer',
    minutes=40,
    data='movie snippets, split by film',
    configs=[dict(arm='zero_shot', labels='0')]
    + [dict(arm=a, labels=n) for n in ('100', '500', '2000', 'all') for a in ('asked', 'unasked')],
    seeds=lambda config: {'0': (0,), 'all': (1,)}.get(config['labels'], DRAWS),
)


def note():
    return dict(
        model='SmolLM2-135M', question=QUESTION, precision=precision(), threads=torch.get_num_threads()
    )


@functools.cache
def snippets():
    "Labelled snippets, what the model made of them, which are fresh, and the rows of each part."
    df = movie_snippets()
    df = df[df.label.notna()].reset_index(drop=True)
    rows = {p: np.flatnonzero(df.part == p) for p in ('train', 'valid', 'test')}
    return df, features(df), (df.label == 'fresh').values, rows


def right(p, said):
    _, _, y, rows = snippets()
    return float((said == y[rows[p]]).mean())


@functools.cache
def draw(labels, seed):
    "The rows of one draw of labelled snippets."
    place = {t: i for i, t in enumerate(snippets()[0].text)}
    d = movie_snippets() if labels == 'all' else subsample(movie_snippets(), None, int(labels), seed)
    return np.array([place[t] for t in d.text[(d.part == 'train') & d.label.notna()]])


def states(arm, layer):
    f = snippets()[1]
    return f['asked' if arm == 'asked' else 'end'][:, LAYERS.index(layer)].astype(np.float32)


@functools.cache
def scores(arm, labels):
    "The mean accuracy on the validation part over the draws, for each layer and each C."
    _, _, y, rows = snippets()
    draws = [draw(labels, s) for s in (DRAWS if labels != 'all' else (1,))]
    x = {layer: states(arm, layer) for layer in LAYERS}
    return {
        (layer, C): np.mean(
            [right('valid', fit(x[layer][d], y[d], C).predict(x[layer][rows['valid']])) for d in draws]
        )
        for layer in LAYERS
        for C in CS
    }


def zero_shot():
    _, f, _, rows = snippets()
    lean = f['lean']
    middle = np.median(lean[rows['train']])  # the threshold comes from unlabelled snippets: their median
    m = {p: right(p, lean[rows[p]] > middle) for p in ('valid', 'test')}
    m |= {'valid, threshold 0': right('valid', lean[rows['valid']] > 0)}
    return [Row(m | dict(reading=f['minutes'], speed=f['speed']), note(), minutes=float(f['minutes']))]


def run(seed, arm, labels):
    if arm == 'zero_shot':
        return zero_shot()
    _, _, y, rows = snippets()
    score = scores(arm, labels)
    layer, C = max(score, key=score.get)
    x, d, t = states(arm, layer), draw(labels, seed), time.process_time()
    m = fit(x[d], y[d], C)
    acc = {p: right(p, m.predict(x[rows[p]])) for p in ('valid', 'test')}
    out = [Row(acc, note() | dict(layer=layer, C=C), minutes=(time.process_time() - t) / 60)]
    n = 1 if labels == 'all' else len(DRAWS)
    return out + [
        Row(
            dict(valid=max(v for (k, _), v in score.items() if k == l)),
            note() | dict(layer=l, draws=n),
            makes='asked_layers',
            minutes=0,
            seed=None,
        )
        for l in LAYERS
    ]


if __name__ == '__main__':
    run_script(__file__)
