"""ULMFiT on IMDb at the size that fits two cores: the classifier over the shipped language models, which have
read all training and unlabelled reviews, in both directions, beside what only counts and what only asks.

The reader has seen the 75,000 reviews without a test review among them, so stage two is done and the
    classifier follows. Two thousand training reviews are kept for validation;
the test reviews at hand are scored once, at the end of each run. (The reader has seen those two thousand too,
without labels, as it has all training reviews.) Beside it, TF-IDF with logistic regression on the same
labels, and `linear_all`: logistic regression on the forward encoder's word vectors and states as they are,
averaged over the review
(`linear_all_both`: the mean of both directions). `asked`: the same in both directions, from the averages and
from the reader's *answers*: its last state when the review is followed by the beginning of a verdict, "it is"
and the like. `taught`: `asked` labels reviews that have no label, and from those
it is surest of it and TF-IDF learn anew, once; the mean of the two. `tfidf_taught`: the same with TF-IDF
alone, as teacher and pupil. `both` is the mean of `forwards` and `backwards`, whose probabilities are kept in
nlpdeep's cache. Records nbs/results/ulmfit_imdb.json.
"""

import functools

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nlpdeep.awd_lstm import language_model, load_weights
from nlpdeep.baselines import tfidf_baseline
from nlpdeep.core import home, set_seed
from nlpdeep.corpora import imdb
from nlpdeep.language_model import ProgressLog, ULMFiTConfig
from nlpdeep.precision import classifier_precision
from nlpdeep.pretraining import pretrained
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.ulmfit import Classifier, class_probs, fit_classifier

FEW = dict(
    epochs=4, min_texts=1000, lr=1e-2, lr_all=4e-3, lr_div=1.3, drop_mult=0.8, bs=32, chunk=72
)  # of five, on validation reviews at 100 labels
ALL = dict(epochs=1, lr=1e-2, lr_all=4e-3, lr_div=1.3, drop_mult=0.4, bs=32, chunk=72)  # not tuned
# tokens read of a review, from its end: the verdict mostly stands there
LONGEST = 400
# what the reader is asked: how a text might go on, or, backwards, what might stand before it, but for the
# word that tells. Of eight and seven that were written down before any was tried; on validation snippets
# these do as well as all
QUESTIONS = dict(
    forwards=('. it is', '. a', '. the movie was very', '. this film is'),
    backwards=('film .', 'movie .', ',', 'movie is'),
)
KEPT = home() / 'ulmfit_imdb'
BOTH = ('forwards', 'backwards')
opened = functools.lru_cache(4)(pretrained)  # each model is read once


def tokens_read(arm, name):
    "How many tokens the reader of an arm had read, as its records say; None: the arm has no reader."
    if arm.startswith('tfidf'):
        return None
    return opened(name, not arm.startswith(('forwards', 'both')) and arm != 'linear_all').card.get('tokens')


def parts(seed, labels):
    """Training (as many as asked), validation and test reviews, no text in two of them; and ten thousand of
    the other training reviews, without their labels.
    """
    df = imdb(download=False)
    test = df[df.part == 'test']
    train = (
        df[(df.part == 'train') & ~df.text.isin(set(test.text))]
        .drop_duplicates('text')
        .sample(frac=1, random_state=0)
    )
    valid, train = train[:2000], train[2000:]
    more = train[:0]
    if labels != 'all':
        per = int(labels) // 2
        drawn = train.groupby('label', group_keys=False)[train.columns.tolist()].apply(
            lambda d: d.sample(per, random_state=seed)
        )
        more, train = train.drop(drawn.index)[:10_000], drawn
    return dict(train=train, valid=valid, test=test), more.text


def last_words(ids, way, longest):
    "The last words of a text, wherever reading begins."
    return np.concatenate([ids[:1], ids[1 : longest + 1] if way == 'backwards' else ids[1:][-longest:]])


def read_words(way, ds, name, longest=LONGEST):
    "The pretrained model, and the last words of every text as ids."
    base = opened(name, way == 'backwards')
    return base, {p: [last_words(o, way, longest) for o in base.words(list(d.text))] for p, d in ds.items()}


def judge(arm, labels, seed, ds, y, name):
    "Probabilities of all parts but the training one, and what to note."
    base, ids = read_words(arm, ds, name)
    cfg = ULMFiTConfig(seed=seed, **(FEW if labels != 'all' else ALL), **base.sizes)
    lm = language_model(cfg.encoder(len(base.words)))
    load_weights(lm, base.weights)
    set_seed(seed)
    m = Classifier(cfg.encoder(len(base.words), True), 2, cfg.n_lin, cfg.chunk).load_encoder(lm)
    fit_classifier(
        m,
        (ids['train'], y['train']),
        (ids['valid'][:300], y['valid'][:300]),
        cfg,
        ProgressLog(lambda s: print(s, flush=True), bars=False),
    )
    return {p: class_probs(m, ids[p]) for p in ids if p != 'train'}, dict(
        longest=LONGEST, base_tokens=base.card.get('tokens'), precision=classifier_precision(m)
    )


@torch.inference_mode()
def read_states(model, ids, ask=(), bs=64):
    """Word vectors and the states of every layer, each averaged over the text: (texts, emb + hidden sizes);
    with `ask` (questions as ids) behind them the last layer's state at the end of the text, (texts, emb), and
    the *answer*: its state at the end of text and question, averaged over the questions, (texts, emb).
    Only texts of one length are read together, so that every row ends where its text ends."""
    enc, by_len, out = model.encoder, {}, [None] * len(ids)
    model.eval()
    for k, o in enumerate(ids):
        by_len.setdefault(len(o), []).append(k)

    def read(x):
        all_ = [h := enc.encoder(x)]
        for l, rnn in enumerate(enc.rnns):
            h, enc.hidden[l] = rnn(h, enc.hidden[l])
            all_.append(h)
        return all_

    for part in (ks[j : j + bs] for ks in by_len.values() for j in range(0, len(ks), bs)):
        x = torch.from_numpy(np.stack([ids[k] for k in part]))
        enc.bs = len(part)
        enc.reset()
        total = 0
        for piece in x.split(model.chunk, 1):
            h = torch.cat(all_ := read(piece), 2)
            total = total + h.sum(1)
        found, end, answers = [total / x.shape[1]], list(enc.hidden), []
        last = all_[-1][:, -1]
        for q in ask:
            enc.hidden = list(end)
            answers.append(read(torch.from_numpy(q).expand(len(part), -1))[-1][:, -1])
        if ask:
            found += [last, torch.stack(answers).mean(0)]
        for k, o in zip(part, torch.cat(found, 1).numpy()):
            out[k] = o
    return np.stack(out)


@functools.lru_cache(2)
def frozen(way, name):
    """A pretrained encoder as it is, and a function from texts (a Series) to their averaged states, with
    `more` also its last state ('end') or its answers ('answer'); what was read is kept.
    """
    base = opened(name, way == 'backwards')
    m, kept = (
        Classifier(ULMFiTConfig(**base.sizes).encoder(len(base.words), True), 2).load_encoder(base.model()),
        {},
    )
    order = slice(None, None, -1 if way == 'backwards' else 1)
    questions = tuple(base.words.vocab.encode(q.split())[order].copy() for q in QUESTIONS[way])

    def states(texts, more=''):
        new = [t for t in dict.fromkeys(texts) if t not in kept]
        if new:
            kept.update(
                zip(new, read_states(m, [last_words(o, way, LONGEST) for o in base.words(new)], questions))
            )
        averages, end, answer = np.split(
            np.stack([kept[t] for t in texts]), [-2 * base.sizes['emb_sz'], -base.sizes['emb_sz']], 1
        )
        return np.concatenate([averages, *dict(end=[end], answer=[answer]).get(more, [])], 1)

    return base, states


def by_linear(train, y, tests, ways, name, C=0.01, more=''):
    """Probabilities for each of `tests` (texts by name) of logistic regression on the averaged states (and
    `more`: see `frozen`), the mean over `ways` of reading; nothing in the encoder is trained. C: of three,
    on validation texts.
    """
    probs = {p: 0 for p in tests}
    for way in ways:
        states = frozen(way, name)[1]
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000)).fit(
            states(train, more), y
        )
        for p in tests:
            probs[p] = probs[p] + fit.predict_proba(states(tests[p], more)) / len(ways)
    return probs


def by_asking(train, y, tests, name):
    "`by_linear` with answers, in both directions. C: of four, on validation texts."
    return by_linear(train, y, tests, BOTH, name, 0.003, 'answer')


def by_counting(train, y, tests):
    "Probabilities for each of `tests` of TF-IDF with logistic regression."
    probs = tfidf_baseline(train, y, pd.concat(list(tests.values())), probs=True)
    return dict(zip(tests, np.split(probs, np.cumsum([len(o) for o in tests.values()])[:-1])))


def with_guesses(teacher, train, y, more):
    """The labelled texts, and of the texts `more`, which have no labels, the quarter that the probabilities
    of `teacher` are surest of on either side: texts and labels. (It takes the two classes to be about as
    frequent.)
    """
    sure, n = teacher[:, 1].argsort(kind='stable'), len(more) // 4
    return pd.concat([train, more.iloc[sure[:n]], more.iloc[sure[-n:]]]), np.concatenate(
        [np.asarray(y), np.repeat(sorted(set(y)), n)]
    )


def by_teaching(train, y, more, tests, name):
    """One round of self-training. The classifier of `by_asking` judges the texts `more`; from the labelled
    texts and those it is surest of learn anew: itself, and TF-IDF with logistic regression, which knows
    nothing of reading. Probabilities: the mean of the two.
    """
    text, y = with_guesses(by_asking(train, y, dict(more=more), name)['more'], train, y, more)
    read, count = by_asking(text, y, tests, name), by_counting(text, y, tests)
    return {p: (read[p] + count[p]) / 2 for p in tests}


COUNTING = ('tfidf', 'tfidf_taught')
TRAINED = (*BOTH, 'both')

PLAN = Plan(
    makes='ulmfit_imdb',
    chapter='10_transfer',
    minutes=115,
    data='IMDb',
    configs=[
        dict(arm=arm, labels=labels)
        for labels in ('100', '500')
        for arm in (*COUNTING, 'linear_all', 'linear_all_both', 'asked', 'taught', *TRAINED)
    ]
    + [dict(arm=arm, labels='all') for arm in ('tfidf', *TRAINED)],
    seeds=lambda config: (1,) if config['labels'] == 'all' else range(1, 6),
)


def run(seed, arm, labels):
    base = 'en'
    ds, more = parts(seed, labels)
    y = {p: (d.label == 'pos').astype(int).tolist() for p, d in ds.items()}

    def right(probs):
        return {p: float((o.argmax(1) == np.array(y[p])).mean()) for p, o in probs.items()}

    train, tests = (ds['train'].text, y['train']), {p: ds[p].text for p in ('valid', 'test')}
    if arm == 'tfidf':
        return right(by_counting(*train, tests))
    if arm == 'tfidf_taught':
        guessed = with_guesses(by_counting(*train, dict(more=more))['more'], *train, more)
        return right(by_counting(*guessed, tests))
    read = tokens_read(arm, base)
    frozen_arms = dict(
        linear_all=lambda: by_linear(*train, tests, BOTH[:1], base),
        linear_all_both=lambda: by_linear(*train, tests, BOTH, base),
        asked=lambda: by_asking(*train, tests, base),
        taught=lambda: by_teaching(*train, more, tests, base),
    )
    if arm in frozen_arms:
        return [Row(right(frozen_arms[arm]()), dict(longest=LONGEST, base_tokens=read))]

    def file(way, p):
        return KEPT / f'{way}-{labels}-{seed}-{tokens_read(way, base)}-{p}.npy'

    if arm == 'both':
        for way in BOTH:
            if not all(file(way, p).exists() for p in ('valid', 'test')):
                run(seed, way, labels)
        probs = {p: sum(np.load(file(w, p)) for w in BOTH) / 2 for p in ('valid', 'test')}
        m = Classifier(ULMFiTConfig(**opened(base).sizes).encoder(len(opened(base).words), True), 2)
        return [Row(right(probs), dict(base_tokens=read, precision=classifier_precision(m)))]
    probs, note = judge(arm, labels, seed, ds, y, base)
    KEPT.mkdir(parents=True, exist_ok=True)
    for p in probs:
        np.save(file(arm, p), probs[p])
    return [Row(right(probs), note)]


if __name__ == '__main__':
    run_script(__file__)
