"""IMDb with few labels, by methods that need minutes on two cores: what counts words, the shipped language
model asked a question, and SmolLM2 asked the same.

Two thousand training reviews are kept for validation and choose the penalty of the regression; the test
reviews at hand are scored once for each draw of labels. A review that is longer than a reader's room is read
from its end. Features are kept in nlpdeep's cache, review by review, so that a run that was broken off goes
on.

    python nbs/runs/imdb.py --method smollm2 --reviews FOLDER

scores other reviews: files `pos/*.txt` and `neg/*.txt` in FOLDER, by the same method with every number of
labels and every seed of the plan. Nothing of them is learned from, and nothing is recorded."""

import argparse
import statistics
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from ulmfit_imdb import parts

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.core import home, precision, text_hash
from nlpdeep.reader_features import ReaderFeatures
from nlpdeep.runs import Plan, planned, run_script

METHODS = {
    'tfidf': None,
    'en': dict(base='en', max_len=400),
    'smollm2': dict(base='smollm2', max_len=256, question='\nOverall, this movie was'),
}
CS = (1e-4, 1e-3, 1e-2, 1e-1)  # penalties of the regression
PLAN = Plan(
    makes='imdb',
    chapter='10_transfer',
    minutes=90,
    needs='IMDb in the folder of NLPDEEP_DATA, and SmolLM2',
    data='IMDb, test reviews at hand',
    configs=[dict(method=m, labels=n) for m in METHODS for n in (100, 500)],
    seeds=(1, 2, 3, 4, 5),
    threads=1,
)


def features(method, texts):
    "Features of the texts, (texts, size), in half precision on the disk, each read once in its life."
    settings = METHODS[method]
    name = text_hash(f'{settings} {precision()}')[:12]
    folder = home() / 'imdb_features' / f'{method}-{name}'
    folder.mkdir(parents=True, exist_ok=True)
    texts = list(texts)
    place = {t: folder / f'{text_hash(t)[:24]}.npy' for t in texts}
    new = [t for t in dict.fromkeys(texts) if not place[t].exists()]
    reader = ReaderFeatures(**settings).fit(new) if new else None
    new.sort(key=len)
    for k in range(0, len(new), 64):
        for t, o in zip(new[k : k + 64], reader.transform(new[k : k + 64])):
            np.save(place[t], o.astype(np.float16))
        if k % 640 == 0:
            print(f'{method}: {k:,} of {len(new):,} reviews read', flush=True)
    return np.stack([np.load(place[t]) for t in texts]).astype(np.float32)


def judge(method, train, valid, others):
    "Accuracy on the validation reviews, and the answers for each of `others` (lists of texts)."
    if METHODS[method] is None:
        texts = [*valid.text, *(t for o in others for t in o)]
        said = np.asarray(tfidf_baseline(train.text, train.label, texts))
        cuts = np.cumsum([len(valid), *map(len, others)])[:-1]
        on_valid, *answers = np.split(said, cuts)
        return float((on_valid == valid.label.to_numpy()).mean()), answers, None
    x, x_valid = features(method, train.text), features(method, valid.text)
    best = (-1.0, None, None)
    for C in CS:
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=2000)).fit(x, train.label)
        best = max(best, (fit.score(x_valid, valid.label), -C, fit), key=lambda o: o[:2])
    accuracy, C, fit = best
    return float(accuracy), [fit.predict(features(method, o)) for o in others], -C


def run(seed, method, labels):
    of, _ = parts(seed, labels)
    test = of['test']
    on_valid, (said,), C = judge(method, of['train'], of['valid'], [list(test.text)])
    found = dict(valid=on_valid, test=float((said == test.label.to_numpy()).mean()))
    return found if C is None else found | dict(C=C)


def score_others(method, folder):
    "Accuracy on other reviews, by number of labels."
    files = [(f, label) for label in ('pos', 'neg') for f in sorted((folder / label).glob('*.txt'))]
    if not files:
        sys.exit(f'{folder} has no pos/*.txt and neg/*.txt')
    texts = [f.read_text(encoding='utf-8') for f, _ in files]
    labels = np.array([label for _, label in files])
    found = {}
    for config, seed in planned(PLAN):
        if config['method'] == method:
            of, _ = parts(seed, config['labels'])
            _, (said,), _ = judge(method, of['train'], of['valid'], [texts])
            found.setdefault(config['labels'], []).append(float((said == labels).mean()))
    for n, right in found.items():
        spread = statistics.stdev(right)
        print(f'{method}, {n} labels: {statistics.fmean(right):.2%} ± {spread:.2%} of {len(texts):,} reviews')


if __name__ == '__main__':
    if '--reviews' in sys.argv:
        a = argparse.ArgumentParser()
        a.add_argument('--method', choices=METHODS, required=True)
        a.add_argument('--reviews', type=Path, required=True)
        a = a.parse_args()
        score_others(a.method, a.reviews)
    else:
        run_script(__file__)
