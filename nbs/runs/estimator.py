"""`TextClassifier` as it comes, with `how='auto'`, on the movie snippets (workshop 10a), beside TF-IDF and
the majority class, over five draws.

    python nbs/runs/estimator.py [--base en] [--labels 100,500,2000] [--seeds 1,2,3,4,5] [--again]

A draw takes the same labelled snippets as ulmfit_labels.py does with that seed; the classifier sees the
labelled texts alone, and chooses everything in folds of them. Validation and test part are scored once for
each draw, and nothing is chosen by them. A text that several draws need is read once and its features are
kept while the script runs. Minutes are of CPU time for the fit alone, on texts that had been read already
where another draw had them. Records nbs/results/estimator.json: accuracy, F1, AUC, log loss and calibration
error.
"""

import argparse
import time

import numpy as np

from nlpdeep import reader_features
from nlpdeep.baselines import majority_baseline, tfidf_baseline
from nlpdeep.corpora import movie_snippets
from nlpdeep.records import record, results, results_dir
from nlpdeep.text_classifier import TextClassifier
from nlpdeep.texts import evaluate_classes, subsample


def reads_once(reader):
    "`reader` (a class of `reader_features`), but no text is read twice."
    read, kept = reader.features, {}

    def features(self, texts):
        new = [t for t in dict.fromkeys(texts) if t not in kept]
        for j in range(0, len(new), 512):
            kept.update(zip(new[j : j + 512], read(self, new[j : j + 512])))
            if len(new) > 512:
                print(f'  {j:,} of {len(new):,} texts, {time.process_time():.0f} s', flush=True)
        return np.stack([kept[t] for t in texts])

    reader.features = features


def judged(probs, df, classes):
    "The figures of validation and test part."
    out = {}
    for part in ('valid', 'test'):
        rows = (df.part == part).values
        e = evaluate_classes(df.label[rows], probs[rows], classes)
        out |= {part: e['accuracy']} | {f'{part} {k}': e[k] for k in ('f1', 'auc', 'log_loss', 'ece')}
    return out


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    for k, v in dict(base='en', labels='100,500,2000', seeds='1,2,3,4,5').items():
        a.add_argument(f'--{k}', default=v)
    a.add_argument('--again', action='store_true')
    a = a.parse_args()
    for reader in (reader_features.LSTMReader, reader_features.CausalReader):
        reads_once(reader)
    done = {
        (o['config']['arm'], o['config']['labels'], o['seed'])
        for o in (results('estimator') if (results_dir() / 'estimator.json').exists() and not a.again else [])
    }
    for labels in a.labels.split(','):
        for seed in map(int, a.seeds.split(',')):
            df = subsample(movie_snippets(), None, int(labels), seed)
            df = df[df.label.notna()].reset_index(drop=True)
            train, held = df[df.part == 'train'], df[df.part.isin(['valid', 'test'])]
            arms = {f'auto, {a.base}': None, 'tfidf': tfidf_baseline, 'majority': majority_baseline}
            for arm, baseline in arms.items():
                if (arm, labels, seed) in done:
                    continue
                begin, note = time.process_time(), {}
                if arm == 'majority':
                    said = np.array(baseline(train.text, train.label, held.text))
                    classes = sorted(set(train.label))
                    probs = np.stack([said == c for c in classes], 1).astype(float)
                elif baseline:
                    probs, classes = (
                        baseline(train.text, train.label, held.text, True),
                        sorted(set(train.label)),
                    )
                else:
                    c = TextClassifier(base=a.base, random_state=seed).fit(train.text, train.label)
                    minutes = (time.process_time() - begin) / 60
                    probs, classes = c.predict_proba(held.text, 'guess'), c.classes
                    note = dict(C=c.history['classifier']['C'], temperature=c.temperature_)
                if baseline:
                    minutes = (time.process_time() - begin) / 60
                figures = judged(probs, held, classes) | note
                record(
                    'estimator',
                    figures,
                    data='movie snippets, split by film',
                    seed=seed,
                    minutes=minutes,
                    arm=arm,
                    labels=labels,
                )
                print(arm, labels, seed, {k: round(v, 3) for k, v in figures.items()}, flush=True)
