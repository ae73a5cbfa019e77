"""Which classifier? TF-IDF, a sentence encoder, transformers' own pipeline and `TextClassifier` on the movie
snippets, by number of labels, over five draws: accuracy, calibration error, seconds to train (workshop 14e).

A draw takes the same labelled snippets as ulmfit_labels.py does with that seed. Each way sees the labelled
texts alone and chooses its regularization in folds of them; validation and test part are scored once for each
draw, and nothing is chosen by the test part. What a frozen reader makes of a text is kept in nlpdeep's cache,
with the CPU seconds that it took, so `seconds` are those of the fit and of reading its texts. The runs
`speed` measure texts a second (medians of rounds in turn) and megabytes, with 100 labels, and tokens a second
of a frozen reader beside transformers' forward pass.
"""

import functools
import time

import numpy as np

from nlpdeep.causal_training import matmul_precision
from nlpdeep.comparison import WAYS, Remembered, bench_reader, fit_way, reading_anew, texts_a_second
from nlpdeep.core import home, text_hash
from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.texts import subsample

DRAWS = (1, 2, 3, 4, 5)
# transformers, which read in whatever suits matrix products
OF_PRODUCTS = ('sentence encoder', 'pipeline', 'smollm2, ask')
PLAN = Plan(
    makes='classifiers',
    chapter='14e_comparison',
    minutes=75,
    needs='the packages of nlpdeep[bench]',
    data='movie snippets, split by film',
    configs=[dict(way=w, labels=n) for w in WAYS for n in ('100', '500', '2000', 'all')]
    + [dict(measure='speed')],
    seeds=lambda config: (1,) if config.get('labels', 'all') == 'all' else DRAWS,
    precision='',
    threads=1,
)


class OnDisk(Remembered):
    "What a frozen reader has made of a text is kept in nlpdeep's cache, 512 texts in a file."

    def __init__(self, name, open_it):
        super().__init__(open_it(), time.process_time)
        # another way to read, another folder
        mark = text_hash(f'{name} {matmul_precision()} {self.asked}')[:12]
        self.folder = home() / 'classifier_features' / f'{name}-{mark}'
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hashed = {}
        for f in sorted(self.folder.glob('*.npz')):
            with np.load(f) as part:
                x = part['x'].astype(np.float32)
                self.hashed.update(zip(part['key'].tolist(), zip(x, part['seconds'].tolist())))

    def features(self, texts):
        if self.anew:
            return self.reader.features(texts)
        for t in texts:
            key = text_hash(t)[:24]
            if t not in self.kept and key in self.hashed:
                self.kept[t], self.seconds[t] = self.hashed[key]
        new = [t for t in dict.fromkeys(texts) if t not in self.kept]
        for k in range(0, len(new), 512):
            part = new[k : k + 512]
            x = super().features(part).astype(np.float16)
            self.kept.update(zip(part, x.astype(np.float32)))  # as they will be read from the disk
            keys = [text_hash(t)[:24] for t in part]
            name = text_hash(' '.join(keys))[:24]
            np.savez(self.folder / f'{name}.npz', key=keys, x=x, seconds=[self.seconds[t] for t in part])
            print(f'  {k:,} of {len(new):,} texts read', flush=True)
        return np.stack([self.kept[t] for t in texts])


@functools.cache
def reader(way):
    return OnDisk(way.replace(', ', '-').replace(' ', '-'), WAYS[way].open) if WAYS[way].open else None


@functools.cache
def parts():
    df = movie_snippets()
    df = df[df.label.notna()]
    return {p: df[df.part == p] for p in ('valid', 'test')}


def draw(labels, seed):
    d = movie_snippets() if labels == 'all' else subsample(movie_snippets(), None, int(labels), seed)
    return d[(d.part == 'train') & d.label.notna()]


def run(seed, way=None, labels=None, measure=None):
    if measure == 'speed':
        return speed(seed)
    found = fit_way(WAYS[way], reader(way), draw(labels, seed), parts(), seed, time.process_time)[1]
    return [Row(found, dict(precision=matmul_precision()))] if way in OF_PRODUCTS else found


def speed(seed):
    train, models, rows = draw('100', seed), {}, []
    for name, way in WAYS.items():
        models[name] = way.fit(reader(name), list(train.text), list(train.label), seed)
    texts = list(parts()['test'].text.sample(200, random_state=0))
    with reading_anew(map(reader, WAYS)):
        seconds = texts_a_second(models, texts, 3, time.process_time)
    for name, way in WAYS.items():
        model, source = models[name], reader(name)
        disk = way.disk(model, source.reader if source else None) if way.disk else size_of(model)
        rows.append(Row(dict(texts_a_second=seconds[name], megabytes=disk / 1e6), dict(way=name)))
    (row,) = bench_reader(5)
    numbers = {k: v for k, v in row.items() if k not in ('stage', 'identical')}
    return [*rows, Row(numbers, dict(way='reading', identical=row['identical']))]


def size_of(model):
    import pickle

    return len(pickle.dumps(model))


if __name__ == '__main__':
    run_script(__file__)
