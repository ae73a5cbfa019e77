"""Is the lead of chapter 14's command over TF-IDF the method or the draw? The same table and the same test
films, five times: other labelled reviews, another seed of the training.

Records nbs/results/command_draws.json: both accuracies on the test films, their difference, and for each film
how many reviews more ULMFiT had right (`net FILM`). The settings are those of the chapter; nothing is chosen
here.
"""

import tempfile
from pathlib import Path

import pandas as pd
from ulmfit_default import in_another_process

from nlpdeep.baselines import tfidf_baseline
from nlpdeep.cli import ulmfit
from nlpdeep.corpora import movie_snippets
from nlpdeep.runs import Plan, run_script
from nlpdeep.text_classifier import TextClassifier
from nlpdeep.texts import own_texts, subsample

LABELS = 1000
OPTIONS = f'--text review --label verdict --labels {LABELS} --lm-epochs 0 --epochs 2'.split()
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


def run(seed, labels):
    table = reviews()
    with tempfile.TemporaryDirectory() as d:
        file, folder = Path(d) / 'reviews.csv', Path(d) / 'model'
        table.to_csv(file, index=False)
        split = own_texts(file, 'review', 'verdict', group='film')  # the chapter's parts, whatever the seed
        table.assign(part=split.part).to_csv(file, index=False)
        in_another_process('--data', file, '--seed', seed, '--out', folder, *OPTIONS)
        split['film'] = table.film
        few = subsample(split, labels=labels, seed=seed)
        train, test = few[few.part == 'train'], few[few.part == 'test']
        right = TextClassifier.load(folder).predict(test.text) == test.label.values
    counted = tfidf_baseline(train.text, train.label, test.text) == test.label.values
    won = right.astype(int) - counted
    by_film = pd.Series(won).groupby(test.film.values).sum()
    both = dict(accuracy=right.mean(), tfidf=counted.mean(), gap=won.mean(), texts=len(test))
    return both | {f'net {film}': net for film, net in by_film.items()}


if __name__ == '__main__':
    run_script(__file__)
