"""Who wrote this? Five ways to generate text, and seven detectors, each tried on all of them.

Human texts are movie snippets, cut to 24 tokens. Every generated text begins with the first five tokens of a
snippet that is not used otherwise. Generators: the language model that ships with nlpdeep, at three settings,
and SmolLM2-135M at two. Detectors: the mean log-probability of what follows the first five tokens, under
either model, and a classifier of words trained on the texts of one generator. No text with a word that the
shipped model does not know is used, so that the unknown word gives nobody away.
Other people, for comparison: presidential messages; and, where the folder of NLPDEEP_DATA has them, IMDb
reviews of the test part: the shipped model has learned from other reviews, so that these people write what it
was taught. With them the shipped model is compared once more (auc_imdb, found_imdb), and then its texts begin
like reviews, too: with the first five tokens of some that are not used otherwise.
Records nbs/results/machine_text.json (scores) and machine_text_samples.json (some of the texts).
"""

import contextlib
import functools
import os

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from nlpdeep.causal_generation import generate_causal
from nlpdeep.causal_models import load_pretrained
from nlpdeep.core import InputError
from nlpdeep.corpora import imdb, movie_snippets, speeches
from nlpdeep.fetch import find_local
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
REVIEWERS = 'people: IMDb reviews'


def imdb_here():
    "Is IMDb at hand? The column of its reviewers is left out where it is not."
    with contextlib.suppress(InputError):
        return find_local('imdb') is not None
    return False


PEOPLE = (STRANGERS, REVIEWERS) if imdb_here() else (STRANGERS,)

PLAN = Plan(
    makes='machine_text machine_text_samples',
    chapter='13_machine_text',
    minutes=25,
    precision='',
    data=lambda config: (
        {STRANGERS: 'presidential messages', REVIEWERS: 'IMDb reviews'}.get(
            config['generator'], 'movie snippets'
        )
        + ', 24 tokens'
    ),
    configs=[
        dict(detector=d, generator=g)
        for d in (*LIKELIHOOD, *(f'words, trained on: {g}' for g in (*SHIPPED, *SMOL)))
        for g in (*SHIPPED, *SMOL, *PEOPLE)
    ],
    seeds=(0,),
)


@functools.cache
def shipped():
    "The shipped model, its words, and the marks that it must not write."
    reader = pretrained('en')
    never = [i for i, w in enumerate(reader.words.vocab) if w.startswith('xx') and w not in ('xxmaj', 'xxup')]
    return reader.model(), reader.words, never


def cut(texts):
    "The first 24 tokens of each text; None where it has fewer, or one that the shipped model does not know."
    ids = [torch.from_numpy(np.asarray(o, np.int64))[:LENGTH] for o in shipped()[1](texts)]
    return [o if len(o) == LENGTH and (o != 0).all() else None for o in ids]


def windows(texts):
    "Those texts that can be used, as ids: (n, 24)."
    return torch.stack([o for o in cut(texts) if o is not None])


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
    return logp.gather(2, ids[:, 1:, None])[..., 0][:, PROMPT - 1 :].mean(1).numpy()


def smol_write(lm, prompts, seed, **kw):
    "The same with SmolLM2, as texts."
    texts = []
    for i in range(0, len(prompts), 64):
        some = [as_text(p) for p in prompts[i : i + 64]]
        texts += generate_causal(
            lm.model, lm.tokenizer, some, max_new=28, seed=seed + i, start=True, stop=False, **kw
        )
    return [' '.join(t.split()) for t in texts]


def beyond(lm, text, opening):
    "SmolLM2's ids of a text, and which of them reach beyond its opening."
    bos = lm.tokenizer.bos_token
    known = len(bos) + len(os.path.commonprefix([text, opening]))
    row = lm.tokenizer(bos + text, add_special_tokens=False, return_offsets_mapping=True)
    return torch.tensor(row['input_ids']), torch.tensor([end > known for _, end in row['offset_mapping']])


@torch.no_grad()
def text_score(lm, texts, openings):
    "Mean log-probability per token of what follows the opening, under SmolLM2."
    out = []
    for i in range(0, len(texts), 64):
        both = [beyond(lm, *o) for o in zip(texts[i : i + 64], openings[i : i + 64])]
        x, counts = (torch.nn.utils.rnn.pad_sequence(o, batch_first=True) for o in zip(*both))
        logp = lm.model(x[:, :-1]).logits.float().log_softmax(-1)
        picked = logp.gather(2, x[:, 1:, None])[..., 0] * counts[:, 1:]
        out.append(picked.sum(1) / counts[:, 1:].sum(1))
    return torch.cat(out).numpy()


def smol_score(lm, ids):
    "The same of ids of the shipped model: what follows the first five of them."
    return text_score(lm, [as_text(o) for o in ids], [as_text(o[:PROMPT]) for o in ids])


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
def snippets():
    "All usable movie snippets, shuffled."
    torch.manual_seed(0)
    df = movie_snippets()
    human = windows(df[df.label.notna()].text)
    return human[torch.randperm(len(human))]


def openings():
    return snippets()[: 2 * N, :PROMPT]


@functools.cache
def smol_wrote(generator):
    "What SmolLM2 made of all openings, usable or not."
    return smol_write(smol(), openings(), seed=1, **SMOL[generator])


@functools.cache
def texts():
    """Ids of human texts to tell apart, of others to train on, and of what each generator wrote: half of it
    to tell apart, half to train on. All of it is drawn with seed 0.
    """
    human, prompts = snippets()[2 * N :], openings()
    tests, trains = human[:400], human[400:1200]
    wrote = {k: write(prompts, **kw) for k, kw in SHIPPED.items()}
    wrote |= {k: windows(smol_wrote(k)) for k in SMOL}
    test = {k: v[: len(v) // 2] for k, v in wrote.items()}
    train = {k: v[len(v) // 2 :] for k, v in wrote.items()}
    test[STRANGERS] = windows([s.split('\n\n')[len(s.split('\n\n')) // 2] for s in speeches().text])
    if REVIEWERS in PEOPLE:
        test[REVIEWERS] = reviews()[REVIEWERS]
    return tests, trains, test, train


@functools.cache
def reviews():
    "IMDb reviews by people, and what the shipped model makes of the openings of others. Drawn with seed 1."
    torch.manual_seed(1)
    df = imdb(download=False)
    human = windows(df.text[df.part == 'test'].head(1500).str[:400])  # a beginning is enough for 24 tokens
    prompts = human[400 : 400 + N, :PROMPT]
    return {REVIEWERS: human[:400]} | {k: write(prompts, **kw) for k, kw in SHIPPED.items()}


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
def scores(detector, who=None):
    "Of the texts of one generator, or of the snippets by people."
    tests, _, test, _ = texts()
    return detector_of(detector)(test[who] if who else tests)


def compared(people, machine, name=''):
    "AUC, and the share found when one in a hundred of these people is accused."
    auc = roc_auc_score([0] * len(people) + [1] * len(machine), np.concatenate([people, machine]))
    return {f'auc{name}': auc, f'found{name}': found(people, machine, np.quantile(people, 0.99))}


def dropped(generator, n=N):
    """How many of SmolLM2's texts could be used, and how likely it finds what it wrote in those and in the
    others: of each, the first n.
    """
    wrote, prompts = smol_wrote(generator), [as_text(o) for o in openings()]
    usable = np.array([o is not None for o in cut(wrote)])
    out = dict(usable=usable.mean())
    for name, which in (('score_used', usable), ('score_dropped', ~usable)):
        rows = np.flatnonzero(which)[:n]
        out[name] = text_score(smol(), [wrote[i] for i in rows], [prompts[i] for i in rows]).mean()
    return out


def run(seed, detector, generator):
    tests, _, test, _ = texts()
    h, m = scores(detector), scores(detector, generator)
    metrics = compared(h, m) | dict(texts=len(m), human=len(h), score=m.mean(), score_human=h.mean())
    if REVIEWERS in PEOPLE and generator in SHIPPED:
        like_reviews = detector_of(detector)(reviews()[generator])
        metrics |= compared(scores(detector, REVIEWERS), like_reviews, '_imdb')
    if detector == LIKELIHOOD[1] and generator in SMOL:
        metrics |= dropped(generator)
    rows = [Row({k: float(v) for k, v in metrics.items()})]
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
