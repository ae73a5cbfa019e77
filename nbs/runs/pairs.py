"""Which differences of chapter 10's main table are more than luck? Pairs of its lines on the same test
snippets, by a bootstrap over films and draws.

Each line is fitted again with the settings that its own record holds, on the same draws, and must come out as
recorded; what is new is that its answers are kept, text by text. One line is not in the table: SmolLM2 with
layer and C chosen by cross-validation among the labels of the draw, as somebody must who has no others.
The lines that are fine-tuned are not here: their answers were not kept, and making them again takes hours.
Records nbs/results/pairs.json: mean accuracies, their difference, and the 95 % interval of that, in points.
"""

import functools

import asked
import counts
import numpy as np
import ulmfit_imdb
import ulmfit_labels
from sklearn.model_selection import cross_val_score

from nlpdeep.core import InputError
from nlpdeep.records import results
from nlpdeep.runs import Plan, run_script
from nlpdeep.texts import as_frame, subsample

TIMES = 5000  # bootstrap samples
COUNTING, SMALL = 'counting', 'small reader, asked'
ASKED, UNASKED = 'SmolLM2, frozen', 'SmolLM2, frozen, no question'
INSIDE = 'SmolLM2, frozen, layer from its own labels'
FROM = {
    COUNTING: ('counts', None),
    SMALL: ('ulmfit_labels', 'asked'),
    ASKED: ('asked', 'asked'),
    UNASKED: ('asked', 'unasked'),
}  # the record of each line, and its arm there


def claim(line, labels, than, than_labels):
    return dict(line=line, labels=labels, than=than, than_labels=than_labels)


PLAN = Plan(
    makes='pairs',
    chapter='10_transfer',
    minutes=9,
    data='movie snippets, split by film, test',
    configs=[
        claim(SMALL, '100', COUNTING, '100'),
        claim(SMALL, 'all', COUNTING, 'all'),
        claim(ASKED, '100', SMALL, '100'),
        claim(ASKED, '100', COUNTING, 'all'),
        claim(ASKED, 'all', COUNTING, 'all'),
        claim(ASKED, '100', UNASKED, '100'),
        claim(ASKED, '2000', ASKED, '500'),
        claim(INSIDE, '100', ASKED, '100'),
    ],
)


def films():
    df = counts.parts()[1]['test']
    return list(df.groupby('film').indices.values())


def by_counting(run, seed, labels):
    how, d, test = run['config'], counts.draw(labels, seed), counts.parts()[1]['test']
    weight = None if how['class_weight'] == 'none' else how['class_weight']
    said = counts.fit((how['counts'], weight, how['C']), d.text, d.label).predict(test.text)
    return said == test.label.values


def by_small_reader(run, seed, labels):
    df, test = ulmfit_labels.movie_snippets(), counts.parts()[1]['test']
    df = as_frame(df if labels == 'all' else subsample(df, None, int(labels), seed), seed=seed)
    train = df[df.part == 'train']
    probs = ulmfit_imdb.by_asking(train.text, train.label, dict(test=test.text), ulmfit_labels.BASE)['test']
    return np.array(sorted(set(train.label)))[probs.argmax(1)] == test.label.values


def by_smollm2(run, seed, labels):
    how, (_, _, y, rows) = run['config'], asked.snippets()
    x, d = asked.states(how['arm'], how['layer']), asked.draw(labels, seed)
    return asked.fit(x[d], y[d], how['C']).predict(x[rows['test']]) == y[rows['test']]


def inside(seed, labels):
    "Layer and C are those with the best accuracy in five folds of the labels themselves."
    _, _, y, rows = asked.snippets()
    d, score = asked.draw(labels, seed), {}
    for layer in asked.LAYERS:
        x = asked.states('asked', layer)[d]
        for C in asked.CS:
            model = asked.make_pipeline(asked.StandardScaler(), asked.LogisticRegression(C=C, max_iter=2000))
            score[layer, C] = cross_val_score(model, x, y[d], cv=5).mean()
    layer, C = max(score, key=score.get)
    x = asked.states('asked', layer)
    print(f'draw {seed}: layer {layer}, C {C}', flush=True)
    return asked.fit(x[d], y[d], C).predict(x[rows['test']]) == y[rows['test']]


@functools.cache
def answers(line, labels):
    "Which test snippets a line gets right, (draws, snippets); they must be those of its record."
    if line == INSIDE:
        return np.array([inside(seed, labels) for seed in asked.DRAWS])
    name, arm = FROM[line]
    runs = [o for o in results(name) if o['config'].get('arm') == arm and o['config']['labels'] == labels]
    by = {COUNTING: by_counting, SMALL: by_small_reader}.get(line, by_smollm2)
    runs = sorted(runs, key=lambda o: o['seed'])[: 1 if labels == 'all' else None]  # all: nothing is drawn
    out = []
    for run in runs:
        out.append(by(run, run['seed'], labels))
        got, want = out[-1].mean(), run['metrics']['test']
        print(f'{line}, {labels} labels, draw {run["seed"]}: {got:.4f}, recorded {want:.4f}', flush=True)
        if abs(got - want) > 0.001:
            raise InputError(f'{line}: {got:.4f}, but its record says {want:.4f}: record {name} again')
    return np.array(out)


def compared(first, second, size=5):
    """Two lines' right answers, (draws, snippets) each -> their accuracies, their difference, and the 95 %
    interval of that, in points, by drawing films anew and `size` draws of labels.
    """
    rng, rows, out = np.random.default_rng(0), films(), []
    for _ in range(TIMES):
        i = np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))])
        draws = rng.integers(max(len(first), len(second)), size=size)  # the same of both lines
        # a line that has all labels has one draw
        a, b = (o[draws % len(o)][:, i].mean() for o in (first, second))
        out.append(100 * (b - a))
    low, high = np.quantile(out, [0.025, 0.975])
    means = dict(accuracy=100 * second.mean(), than_accuracy=100 * first.mean())
    return means | dict(
        difference=means['accuracy'] - means['than_accuracy'], low=low, high=high, films=len(rows)
    )


def run(seed, line, labels, than, than_labels):
    return compared(answers(than, than_labels), answers(line, labels))


if __name__ == '__main__':
    run_script(__file__)
