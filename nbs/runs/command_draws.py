"""Is the lead of chapter 14's command over TF-IDF the method or the draw? The same table and the same test
films, five times: other labelled reviews, another seed of the training.

Records nbs/results/command_draws.json: both accuracies on the test films, and the paired difference with its
95 % interval when whole films are drawn; for each film, how many reviews more ULMFiT had right (`net FILM`).
The settings are those of the chapter; nothing is chosen here.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.cli import ulmfit
from nlpdeep.core import InputError
from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, run_script
from nlpdeep.text_classifier import TextClassifier
from nlpdeep.texts import own_texts, subsample

LABELS, TIMES = 1000, 2000  # labelled reviews; bootstrap samples
OPTIONS = f'--text review --label verdict --labels {LABELS} --lm-epochs 0 --epochs 1 -q'.split()
PLAN = Plan(
    makes='command_draws',
    chapter='14_cli',
    minutes=6,
    precision='',
    data='movie snippets, 180 training films, split by film',
    configs=[dict(labels=LABELS)],
    seeds=range(1, 6),
)
IN_CHILD = ulmfit  # what the other process runs: a change in it is a change of this run


def reviews():
    "The table of chapter 14: 180 training films in random order, with a column for the film."
    df = movie_snippets().query('part == "train"')
    films = pd.Series(sorted(df.film.unique())).sample(180, random_state=1)
    table = df[df.film.isin(films)].sample(frac=1, random_state=1)
    table = table.rename(columns={'text': 'review', 'label': 'verdict'})
    return table[['film', 'review', 'verdict']].reset_index(drop=True)


def over_films(values, films):
    "The 95 % interval of a mean when whole films are drawn with replacement."
    sums = pd.Series(values.astype(float)).groupby(np.asarray(films)).agg(['sum', 'count'])
    drawn = np.random.default_rng(0).integers(len(sums), size=(TIMES, len(sums)))
    means = sums['sum'].values[drawn].sum(1) / sums['count'].values[drawn].sum(1)
    return np.quantile(means, [0.025, 0.975])


def run(seed, labels):
    table = reviews()
    with tempfile.TemporaryDirectory() as d:
        file, folder = Path(d) / 'reviews.csv', Path(d) / 'model'
        table.to_csv(file, index=False)
        split = own_texts(file, 'review', 'verdict', group='film')  # the chapter's parts, whatever the seed
        table.assign(part=split.part).to_csv(file, index=False)
        command = [sys.executable, '-c', 'from nlpdeep.cli import main; main()', 'ulmfit']
        options = ['--data', str(file), '--seed', str(seed), '--out', str(folder), *OPTIONS]
        done = subprocess.run([*command, *options])
        if done.returncode:
            raise InputError(f'nlpdeep ulmfit ended with code {done.returncode}')
        split['film'] = table.film
        few = subsample(split, labels=labels, seed=seed)
        train, test = few[few.part == 'train'], few[few.part == 'test']
        right = TextClassifier.load(folder).predict(test.text) == test.label.values
    counted = tfidf_baseline(train.text, train.label, test.text) == test.label.values
    won = right.astype(int) - counted
    low, high = over_films(won, test.film)
    by_film = pd.Series(won).groupby(test.film.values).sum()
    return dict(
        accuracy=right.mean(), tfidf=counted.mean(), gap=won.mean(), low=low, high=high, texts=len(test)
    ) | {f'net {film}': net for film, net in by_film.items()}


if __name__ == '__main__':
    run_script(__file__)
