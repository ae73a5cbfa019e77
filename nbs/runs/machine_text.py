"""Who wrote this? Five ways to generate text, and seven detectors, each tried on all of them.

Human texts are movie snippets, cut to 24 tokens. Every generated text begins with the first five tokens of a
snippet that is not used
otherwise. Generators: the language model that ships with nlpdeep, at three settings, and SmolLM2-135M at two.
Detectors: the mean
log-probability under either model, and a classifier of words trained on the texts of one generator. No text
with a word that the
shipped model does not know is used, so that the unknown word gives nobody away.
Records nbs/results/machine_text.json (scores) and machine_text_samples.json (some of the texts).
"""

import functools

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from nlpdeep.causal_generation import generate_causal
from nlpdeep.causal_models import load_pretrained
from nlpdeep.corpora import movie_snippets, speeches
from nlpdeep.pretraining import pretrained
from nlpdeep.runs import Plan, Row, run_script

LENGTH, PROMPT = 24, 5
N = 250  # texts of each generator that are told apart; as many train the detectors of words
SHIPPED = {
    'shipped model, temperature 0.6': dict(temperature=0.6),
    'shipped model, temperature 0.8, top 50': dict(temperature=0.8, top_k=50),
    'shipped model, temperature 1': dict(temperature=1.0),
}
SMOL = {
    'SmolLM2, temperature 0.8, top 50': dict(temperature=0.8, top_k=50),
    'SmolLM2, temperature 1': dict(temperature=1.0),
}
LIKELIHOOD = ('likelihood, shipped model', 'likelihood, SmolLM2')
STRANGERS = 'people: presidential messages'

PLAN = Plan(
    makes='machine_text machine_text_samples',
    chapter='13_machine_text',
    minutes=25,
    precision='',
    data=lambda config: (
        ('presidential messages' if config['generator'] == STRANGERS else 'movie snippets') + ', 24 tokens'
    ),
    configs=[
        dict(detector=d, generator=g)
        for d in (*LIKELIHOOD, *(f'words, trained on: {g}' for g in (*SHIPPED, *SMOL)))
        for g in (*SHIPPED, *SMOL, STRANGERS)
    ],
    seeds=(0,),
)


@functools.cache
def shipped():
    "The shipped model, its words, and the marks that it must not write."
    reader = pretrained('en')
    never = [i for i, w in enumerate(reader.words.vocab) if w.startswith('xx') and w not in ('xxmaj', 'xxup')]
    return reader.model(), reader.words, never


def windows(texts):
    "The first 24 tokens of each text, where it has so many and all are known: (n, 24)."
    ids = [torch.from_numpy(np.asarray(o, np.int64)) for o in shipped()[1](texts)]
    good = [o[:LENGTH] for o in ids if len(o) >= LENGTH and (o[:LENGTH] != 0).all()]
    return torch.stack(good)


def as_text(ids):
    words = shipped()[1]
    return words.text([words.vocab[i] for i in ids.tolist()])


@torch.no_grad()
def write(prompts, temperature=1.0, top_k=0):
    "Continue prompts (n, 5) to 24 tokens with the shipped model."
    model, _, never = shipped()
    model.reset()
    x, out = prompts, [prompts]
    for _ in range(LENGTH - PROMPT):
        scores = model(x)[0][:, -1].float() / temperature
        scores[:, never] = -torch.inf
        if top_k:
            least = scores.topk(top_k)[0][:, -1:]
            scores[scores < least] = -torch.inf
        x = torch.multinomial(scores.softmax(-1), 1)
        out.append(x)
    return torch.cat(out, 1)


@torch.no_grad()
def lstm_score(ids):
    "Mean log-probability of what follows the prompt, under the shipped model."
    model = shipped()[0]
    model.reset()
    logp = model(ids[:, :-1])[0].float().log_softmax(-1)
    return logp.gather(2, ids[:, 1:, None])[..., 0][:, PROMPT:].mean(1).numpy()


def smol_write(lm, prompts, seed, **kw):
    "The same with SmolLM2; a text that is too short or has an unknown word is left out."
    texts = []
    for i in range(0, len(prompts), 64):
        some = [as_text(p) for p in prompts[i : i + 64]]
        texts += generate_causal(
            lm.model, lm.tokenizer, some, max_new=28, seed=seed + i, start=True, stop=False, **kw
        )
    return windows([' '.join(t.split()) for t in texts])


@torch.no_grad()
def smol_score(lm, ids):
    "Mean log-probability per token under SmolLM2, of the whole text."
    out = []
    for i in range(0, len(ids), 64):
        texts = [lm.tokenizer.bos_token + as_text(o) for o in ids[i : i + 64]]
        rows = [torch.tensor(lm.tokenizer(t, add_special_tokens=False)['input_ids']) for t in texts]
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=0)
        y = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)[:, 1:]
        logp = lm.model(x[:, :-1]).logits.float().log_softmax(-1)
        picked = logp.gather(2, y.clamp(0)[..., None])[..., 0] * (y >= 0)
        out.append(picked.sum(1) / (y >= 0).sum(1))
    return torch.cat(out).numpy()


def plain(ids):
    words = shipped()[1]
    return [' '.join(words.vocab[i] for i in o) for o in ids.tolist()]


def found(human, machine, threshold):
    return float((machine > threshold).mean())


@functools.cache
def smol():
    lm = load_pretrained('smollm2')
    lm.model.bfloat16()
    return lm


@functools.cache
def texts():
    """Ids of human texts to tell apart, of others to train on, and of what each generator wrote: half of it
    to tell apart, half to train on. All of it is drawn with seed 0.
    """
    torch.manual_seed(0)
    df = movie_snippets()
    human = windows(df[df.label.notna()].text)
    human = human[torch.randperm(len(human))]
    prompts, tests, trains = (
        human[: 2 * N, :PROMPT],
        human[2 * N : 2 * N + 400],
        human[2 * N + 400 : 2 * N + 1200],
    )
    wrote = {k: write(prompts, **kw) for k, kw in SHIPPED.items()}
    wrote |= {k: smol_write(smol(), prompts, seed=1, **kw) for k, kw in SMOL.items()}
    test = {k: v[: len(v) // 2] for k, v in wrote.items()}
    train = {k: v[len(v) // 2 :] for k, v in wrote.items()}
    test[STRANGERS] = windows([s.split('\n\n')[len(s.split('\n\n')) // 2] for s in speeches().text])
    return tests, trains, test, train


@functools.cache
def detector_of(name):
    "A function from ids to scores: higher is more like a machine."
    if name in LIKELIHOOD:
        return lstm_score if 'shipped' in name else lambda ids: smol_score(smol(), ids)
    _, trains, _, train = texts()
    machine = train[name.removeprefix('words, trained on: ')]
    clf = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r'\S+', lowercase=False),
        LogisticRegression(C=10, class_weight='balanced', max_iter=1000),
    )
    clf.fit(plain(trains) + plain(machine), [0] * len(trains) + [1] * len(machine))
    return lambda ids: clf.decision_function(plain(ids))


@functools.cache
def human_scores(detector):
    return detector_of(detector)(texts()[0])


def run(seed, detector, generator):
    tests, _, test, _ = texts()
    h, m = human_scores(detector), detector_of(detector)(test[generator])
    metrics = dict(found=found(h, m, np.quantile(h, 0.99)), texts=len(m), human=len(h))
    if generator != STRANGERS:
        metrics['auc'] = roc_auc_score([0] * len(h) + [1] * len(m), np.concatenate([h, m]))
    rows = [Row(metrics)]
    if detector == LIKELIHOOD[0]:  # once
        shown = {generator: test[generator]} | (
            {} if generator != STRANGERS else {'people: movie snippets': tests}
        )
        rows += [
            Row(
                dict(texts=len(ids)),
                dict(generator=name, samples=[as_text(o) for o in ids[:6]]),
                data='24 tokens, the first five from a movie snippet',
                makes='machine_text_samples',
                minutes=0,
            )
            for name, ids in shown.items()
        ]
    return rows


if __name__ == '__main__':
    run_script(__file__)
