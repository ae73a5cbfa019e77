"""Who wrote this? Five ways to generate text, and five detectors, each tried on all of them (chapter 13).

    python nbs/runs/machine_text.py [--n 250]

Human texts are movie snippets, cut to 24 tokens. Every generated text begins with the first five tokens of a
snippet that is not used
otherwise. Generators: the language model that ships with nlpdeep, at three settings, and SmolLM2-135M at two.
Detectors: the mean
log-probability under either model, and a classifier of words trained on the texts of one generator. No text
with a word that the
shipped model does not know is used, so that the unknown word gives nobody away.
Records nbs/results/machine_text.json (scores) and machine_text_samples.json (some of the texts).
"""

import argparse
import time

import numpy as np
import torch

from nlpdeep.core import set_seed
from nlpdeep.doctor import guard_torchvision
from nlpdeep.records import record

guard_torchvision()
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from nlpdeep.causal_generation import generate_causal
from nlpdeep.causal_models import load_pretrained
from nlpdeep.corpora import movie_snippets, speeches
from nlpdeep.pretraining import pretrained

LENGTH, PROMPT = 24, 5
reader = pretrained('en')
model, words = reader.model(), reader.words
never = [i for i, w in enumerate(words.vocab) if w.startswith('xx') and w not in ('xxmaj', 'xxup')]


def windows(texts):
    "The first 24 tokens of each text, where it has so many and all are known: (n, 24)."
    ids = [torch.from_numpy(np.asarray(o, np.int64)) for o in words(texts)]
    good = [o[:LENGTH] for o in ids if len(o) >= LENGTH and (o[:LENGTH] != 0).all()]
    return torch.stack(good)


def as_text(ids):
    return words.text([words.vocab[i] for i in ids.tolist()])


@torch.no_grad()
def write(prompts, temperature=1.0, top_k=0):
    "Continue prompts (n, 5) to 24 tokens with the shipped model."
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
    return [' '.join(words.vocab[i] for i in o) for o in ids.tolist()]


def found(human, machine, threshold):
    return float((machine > threshold).mean())


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument('--n', type=int, default=250)
    n = p.parse_args().n
    torch.set_num_threads(1)
    set_seed(0)
    start = time.time()
    df = movie_snippets()
    human = windows(df[df.label.notna()].text)
    human = human[torch.randperm(len(human))]
    prompts, tests, trains = (
        human[: 2 * n, :PROMPT],
        human[2 * n : 2 * n + 400],
        human[2 * n + 400 : 2 * n + 1200],
    )
    settings = {
        'shipped model, temperature 0.6': dict(temperature=0.6),
        'shipped model, temperature 0.8, top 50': dict(temperature=0.8, top_k=50),
        'shipped model, temperature 1': dict(temperature=1.0),
    }
    texts = {k: write(prompts, **kw) for k, kw in settings.items()}
    print(f'{time.time() - start:.0f} s: the shipped model has written', flush=True)
    lm = load_pretrained('smollm2')
    lm.model.bfloat16()
    for k, kw in {
        'SmolLM2, temperature 0.8, top 50': dict(temperature=0.8, top_k=50),
        'SmolLM2, temperature 1': dict(temperature=1.0),
    }.items():
        texts[k] = smol_write(lm, prompts, seed=1, **kw)
        print(f'{time.time() - start:.0f} s: {k}, {len(texts[k])} texts', flush=True)
    test = {k: v[: len(v) // 2] for k, v in texts.items()}
    train = {k: v[len(v) // 2 :] for k, v in texts.items()}
    others = windows([s.split('\n\n')[len(s.split('\n\n')) // 2] for s in speeches().text])
    scorers = {
        'likelihood, shipped model': lstm_score,
        'likelihood, SmolLM2': lambda ids: smol_score(lm, ids),
    }
    for k, v in train.items():
        clf = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r'\S+', lowercase=False),
            LogisticRegression(C=10, class_weight='balanced', max_iter=1000),
        )
        clf.fit(plain(trains) + plain(v), [0] * len(trains) + [1] * len(v))
        scorers[f'words, trained on: {k}'] = lambda ids, clf=clf: clf.decision_function(plain(ids))
    for detector, score in scorers.items():
        h = score(tests)
        threshold = np.quantile(h, 0.99)
        for generator, ids in test.items():
            m = score(ids)
            auc = roc_auc_score([0] * len(h) + [1] * len(m), np.concatenate([h, m]))
            record(
                'machine_text',
                dict(auc=auc, found=found(h, m, threshold), texts=len(m), human=len(h)),
                data='movie snippets, 24 tokens',
                seed=0,
                minutes=(time.time() - start) / 60,
                detector=detector,
                generator=generator,
            )
            print(
                f'{detector:60} {generator:40} AUC {auc:.3f}, found {found(h, m, threshold):.3f}', flush=True
            )
        m = score(others)
        record(
            'machine_text',
            dict(found=found(h, m, threshold), texts=len(m), human=len(h)),
            data='presidential messages, 24 tokens',
            seed=0,
            minutes=(time.time() - start) / 60,
            detector=detector,
            generator='people: presidential messages',
        )
        print(f'{detector:60} presidential messages: {found(h, m, threshold):.3f} of {len(m)}', flush=True)
    test['people: movie snippets'] = tests
    test['people: presidential messages'] = others
    for generator, ids in test.items():
        record(
            'machine_text_samples',
            dict(texts=len(ids)),
            data='24 tokens, the first five from a movie snippet',
            seed=0,
            generator=generator,
            samples=[as_text(o) for o in ids[:6]],
        )
    print(f'{(time.time() - start) / 60:.1f} minutes')


if __name__ == '__main__':
    main()
