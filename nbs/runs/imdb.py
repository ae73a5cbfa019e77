"""IMDb with few labels, by methods that need minutes on two cores: what counts words, the shipped language
model asked a question, SmolLM2 asked the same, and the shipped language model taught by SmolLM2.

Two thousand training reviews are kept for validation and choose the penalty of the regression; the test
reviews at hand are scored once for each draw of labels. A review that is longer than a reader's room is read
from its end. Features are kept in nlpdeep's cache, review by review, so that a run that was broken off goes
on.

`smollm2` reads the last 256 tokens of a review. `smollm2_whole` reads all of it, up to 1,024 tokens, line
breaks as such; it keeps only the states at the end of the question, at six layers. All this and one penalty
for every draw were chosen on validation reviews. Other questions beside this one did not help there, whether
their states stood side by side or their answers were averaged, nor did one number for how much the model
expects praise.

`smollm2_again`: the same, which then learns once more: from the labelled reviews and from its own answers to
those that the other draws have labelled, whose labels nobody looks at, where it is surest. With 500 labels
that is no better on validation reviews, so it is run with 100 only.

`classifier`: what a user gets who changes nothing, `TextClassifier(base='smollm2', how='ask')`, which asks a
general question, keeps more states, and chooses its penalty in folds of the labelled reviews.
`classifier_asked`: the same class with the question, layers and states of `smollm2_whole`.

`pupil`: SmolLM2, asked, has learned from the labelled reviews and labels MORE other training reviews, whose
own labels nobody looks at. Those it is surest of, two fifths of them on either side, and the labelled ones
teach the shipped reader, asked in both directions, and TF-IDF; the mean of the two answers alone, and no
transformer is needed any more. The share, and the mean rather than one of the two, were chosen on validation
reviews with the first seed and 100 labels.

    python nbs/runs/imdb.py --method smollm2_whole --reviews FOLDER

scores other reviews: files `pos/*.txt` and `neg/*.txt` in FOLDER, by the same method with every number of
labels and every seed of the plan, or those that `--labels` and `--draws` name. Nothing of them is learned
from, and nothing is recorded. `--method ulmfit` and `ulmfit_both` do that for what ulmfit_imdb.py records,
the trained classifier, forwards or in both directions, also with all labels."""

import argparse
import functools
import statistics
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from classifiers import OnDisk
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from ulmfit_imdb import judge as by_ulmfit
from ulmfit_imdb import by_asking, by_counting, parts

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.causal_training import matmul_precision
from nlpdeep.comparison import WAYS
from nlpdeep.reader_features import open_reader
from nlpdeep.runs import Plan, Row, planned, run_script
from nlpdeep.texts import calibration_error, normalize_text

AGAIN = 'smollm2_again'
METHODS = {
    'tfidf': None,
    'en': dict(base='en', max_len=400),
    'smollm2': dict(base='smollm2', max_len=256, question='\nOverall, this movie was'),
    'smollm2_whole': dict(
        base='smollm2',
        max_len=1024,
        question='\nOverall, this movie was',
        layers=(20, 22, 24, 26, 28, 30),
        states='question',
    ),
    AGAIN: None,
    'classifier': None,
    'classifier_asked': None,
    'pupil': None,
}
DEFAULT = WAYS['smollm2, ask']
TEACHER = 'smollm2'
WHOLE = 'smollm2_whole'
PENALTY = 1e-3  # for it, of three, with every draw and number of labels
ULMFIT = dict(ulmfit=('forwards',), ulmfit_both=('forwards', 'backwards'))
MORE = 10_000  # reviews without labels that a teacher reads
SURE = 0.4  # of them, on either side, that it teaches
CS = (1e-4, 1e-3, 1e-2, 1e-1)  # penalties of the regression
PLAN = Plan(
    makes='imdb',
    chapter='10_transfer',
    minutes=160,
    needs='IMDb in the folder of NLPDEEP_DATA, and SmolLM2',
    data='IMDb, test reviews at hand',
    configs=[dict(method=m, labels=n) for m in METHODS for n in (100, 500) if (m, n) != (AGAIN, 500)],
    seeds=(1, 2, 3, 4, 5),
    threads=1,
)


@functools.cache
def reader(method):
    "The frozen reader of a method; what it has made of a review is kept on the disk."
    if method == 'classifier':
        return OnDisk('smollm2-ask', DEFAULT.open)
    return OnDisk(f'imdb-{method}', lambda: open_reader(**METHODS[method]))


def features(method, texts):
    "Features of the texts, (texts, size)."
    return reader(method).features([normalize_text(t) for t in texts])


def asked(method, train, valid, others):
    "Accuracy on the validation reviews; probabilities for each of `others` (lists of texts); the penalty."
    x, x_valid = features(method, train.text), features(method, valid.text)
    best = (-1.0, None, None)
    for C in (PENALTY,) if method == WHOLE else CS:
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)).fit(x, train.label)
        best = max(best, (fit.score(x_valid, valid.label), -C, fit), key=lambda o: o[:2])
    accuracy, C, fit = best
    return float(accuracy), [fit.predict_proba(features(method, o)) for o in others], -C


def again(train, valid, others):
    "The same of SmolLM2 once more, from the labelled reviews and its own surest answers to unlabelled ones."
    drawn = pd.concat([parts(s, 500)[0]['train'].text for s in PLAN.seeds]).drop_duplicates()
    more = drawn[~drawn.isin(set(train.text))]
    of_teacher, (guesses,), _ = asked(WHOLE, train, valid, [list(more)])
    order, n = guesses[:, 1].argsort(kind='stable'), int(SURE * len(more))
    surest = pd.DataFrame(
        dict(
            text=pd.concat([more.iloc[order[:n]], more.iloc[order[-n:]]]),
            label=np.repeat(['neg', 'pos'], n),
        )
    )
    taught = pd.concat([train[['text', 'label']], surest], ignore_index=True)
    return *asked(WHOLE, taught, valid, others)[:2], {'teacher, valid': of_teacher, 'more': len(more)}


def by_class(method, seed, train, valid, others):
    "The same of the package's classifier."
    of = reader(WHOLE if method == 'classifier_asked' else method)
    model = DEFAULT.fit(of, list(train.text), list(train.label), seed)
    on_valid, *probs = [model.predict_proba(list(o)) for o in (valid.text, *others)]
    return right(on_valid, valid), probs


def counted(train, valid, others):
    "Accuracy on the validation reviews, and probabilities for each of `others`, of TF-IDF."
    texts = [*valid.text, *(t for o in others for t in o)]
    probs = np.asarray(tfidf_baseline(train.text, train.label, texts, probs=True))
    on_valid, *found = np.split(probs, np.cumsum([len(valid), *map(len, others)])[:-1])
    return right(on_valid, valid), found


def taught(guesses, train, more, valid, others):
    "The same of the shipped reader and TF-IDF, taught what a teacher is surest of, and `train`."
    order, n = guesses[:, 1].argsort(kind='stable'), int(SURE * len(more))
    texts = pd.concat([train.text, more.iloc[order[:n]], more.iloc[order[-n:]]])
    y = np.concatenate([(train.label == 'pos').astype(int), np.repeat([0, 1], n)])
    tests = dict(valid=valid.text) | {k: pd.Series(o) for k, o in enumerate(others)}
    read, count = by_asking(texts, y, tests, 'en'), by_counting(texts, y, tests)
    probs = {k: (read[k] + count[k]) / 2 for k in tests}
    return right(probs['valid'], valid), [probs[k] for k in range(len(others))]


def trained(seed, labels, of, others, ways):
    "The same of ULMFiT's third stage, the mean over `ways` of reading."
    ds = {p: of[p] for p in ('train', 'valid')} | {
        k: pd.DataFrame(dict(text=o)) for k, o in enumerate(others)
    }
    y = {p: [int(o == 'pos') for o in of[p].label] for p in ('train', 'valid')}
    found = [by_ulmfit(way, str(labels), seed, ds, y, 'en')[0] for way in ways]
    probs = {k: np.mean([o[k] for o in found], axis=0) for k in found[0]}
    return right(probs['valid'], of['valid']), [probs[k] for k in range(len(others))]


def right(probs, reviews):
    "Accuracy of probabilities (reviews, [neg, pos])."
    return float(((probs[:, 1] > 0.5) == (reviews.label.to_numpy() == 'pos')).mean())


def judge(method, seed, labels, others):
    "Accuracy on the validation reviews; probabilities for each of `others` (lists of texts); what to note."
    of, more = parts(seed, labels)
    train, valid = of['train'], of['valid']
    if method == 'tfidf':
        return *counted(train, valid, others), {}
    if method in ULMFIT:
        return *trained(seed, labels, of, others, ULMFIT[method]), {}
    if method == AGAIN:
        return again(train, valid, others)
    if method in ('classifier', 'classifier_asked'):
        return *by_class(method, seed, train, valid, others), {}
    if method == 'pupil':
        more = more[:MORE]
        of_teacher, (guesses,), C = asked(TEACHER, train, valid, [list(more)])
        return *taught(guesses, train, more, valid, others), {'teacher, valid': of_teacher, 'C': C}
    on_valid, probs, C = asked(method, train, valid, others)
    return on_valid, probs, dict(C=C)


def run(seed, method, labels):
    test = parts(seed, labels)[0]['test']
    on_valid, (probs,), note = judge(method, seed, labels, [list(test.text)])
    ece = calibration_error(probs, (test.label == 'pos').to_numpy().astype(int))
    found = {'valid': on_valid, 'test': right(probs, test), 'test ece': ece} | note
    return found if method in ('tfidf', 'en') else [Row(found, dict(precision=matmul_precision()))]


def score_others(method, folder, only=None, draws=None):
    "Accuracy on other reviews, by number of labels: every number or one, every draw or the first few."
    files = [(f, label) for label in ('pos', 'neg') for f in sorted((folder / label).glob('*.txt'))]
    if not files:
        sys.exit(f'{folder} has no pos/*.txt and neg/*.txt')
    texts = [f.read_text(encoding='utf-8') for f, _ in files]
    reviews = pd.DataFrame(dict(label=[label for _, label in files]))
    found = {}
    runs = [(c['labels'], seed) for c, seed in planned(PLAN) if c['method'] == method]
    if method in ULMFIT:
        runs = [(n, seed) for n in (100, 500) for seed in PLAN.seeds] + [('all', 1)]
    runs = [(n, seed) for n, seed in runs if only in (None, str(n)) and seed <= (draws or seed)]
    if not runs:
        sys.exit(f'{method} has no run with {only} labels')
    for labels, seed in runs:
        _, (probs,), _ = judge(method, seed, labels, [texts])
        found.setdefault(labels, []).append(right(probs, reviews))
    for n, scores in found.items():
        spread = statistics.stdev(scores) if len(scores) > 1 else 0
        print(
            f'{method}, {n} labels: {statistics.fmean(scores):.2%} ± {spread:.2%} of {len(texts):,} reviews'
        )


if __name__ == '__main__':
    if '--reviews' in sys.argv:
        a = argparse.ArgumentParser()
        a.add_argument('--method', choices=[*METHODS, *ULMFIT], required=True)
        a.add_argument('--reviews', type=Path, required=True)
        a.add_argument('--labels', choices=['100', '500', 'all'], help='only with so many labels')
        a.add_argument('--draws', type=int, help='only the first so many draws of labels')
        a = a.parse_args()
        score_others(a.method, a.reviews, a.labels, a.draws)
    else:
        run_script(__file__)
