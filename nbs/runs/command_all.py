"""Chapter 14's command with *all* the training labels, on next week's films: does it pay to publish then?

The table is that of the chapter, and so are its parts, the two epochs and the bar of 90 %; only the option
`--labels 1000` is gone. `next week` are the reviews of the films that stayed out of sight. TF-IDF gets the
same labels, and a temperature from the same validation reviews. Records nbs/results/command_all.json: share
right, share published, share wrong of those, cost per review (a person's look 1, a published mistake 10) of
both; what ULMFiT has more of, in a hundred reviews, with the 95 % interval when whole films are drawn.
Nothing is chosen here.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from command_draws import reviews
from ulmfit_default import in_another_process

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.cli import ulmfit
from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, run_script
from nlpdeep.text_classifier import TextClassifier
from nlpdeep.texts import own_texts
from nlpdeep.ulmfit import fit_temperature

BAR, MISTAKE = 0.9, 10
OPTIONS = '--text review --label verdict --lm-epochs 0 --epochs 2'.split()
PLAN = Plan(
    makes='command_all',
    chapter='14_cli',
    minutes=8,
    precision='',
    data='movie snippets, 180 training films; next week: the other training films',
    configs=[dict(labels='all')],
    seeds=range(1, 4),
)
IN_CHILD = ulmfit  # what the other process runs: a change in it is a change of this run


def drawing_films(films, values, times=2000):
    "The 95 % interval of a mean when whole films are drawn with replacement."
    by_film = pd.Series(values).groupby(films).agg(['sum', 'count'])
    drawn = np.random.default_rng(0).integers(len(by_film), size=(times, len(by_film)))
    sums, counts = (by_film[column].values[drawn].sum(1) for column in ('sum', 'count'))
    return np.quantile(sums / counts, [0.025, 0.975])


def bill(p, right):
    "What each review costs, and which are published."
    published = p.max(1) >= BAR
    return np.where(published, MISTAKE * ~right, 1), published


def run(seed, labels):
    table = reviews()
    with tempfile.TemporaryDirectory() as d:
        file, folder = Path(d) / 'reviews.csv', Path(d) / 'model'
        table.to_csv(file, index=False)
        split = own_texts(file, 'review', 'verdict', group='film')  # the chapter's parts, whatever the seed
        table.assign(part=split.part).to_csv(file, index=False)
        in_another_process('--data', file, '--seed', seed, '--out', folder, *OPTIONS)
        clf = TextClassifier.load(folder)
    train, valid = (split[split.part == part] for part in ('train', 'valid'))
    week = movie_snippets().query('part == "train"')
    week = week[~week.film.isin(table.film)]
    y_valid, y = (np.array([clf.classes.index(o) for o in part.label]) for part in (valid, week))
    both = [*valid.text, *week.text]
    counted = np.log(tfidf_baseline(train.text, train.label, both, probs=True))
    warmth = fit_temperature(counted[: len(valid)], y_valid)
    counted = np.exp(counted[len(valid) :] / warmth)
    probs = {'ulmfit': clf.predict_proba(week.text), 'tfidf': counted / counted.sum(1, keepdims=True)}

    found, kept = dict(texts=len(week), labels=len(train)), {}
    for name, p in probs.items():
        right = p.argmax(1) == y
        paid, published = bill(p, right)
        kept[name] = dict(right=right.astype(float), cost=paid)
        found |= {
            f'{name} right': right.mean(),
            f'{name} published': published.mean(),
            f'{name} wrong': 1 - right[published].mean(),
            f'{name} cost': paid.mean(),
        }
    for what in ('right', 'cost'):
        more = 100 * (kept['ulmfit'][what] - kept['tfidf'][what])
        low, high = drawing_films(week.film.values, more)
        found |= {f'{what} more': more.mean(), f'{what} low': low, f'{what} high': high}
    return found


if __name__ == '__main__':
    run_script(__file__)
