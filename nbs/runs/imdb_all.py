"""IMDb with all labels, by a frozen reader: SmolLM2 reads whole reviews, is asked a question, and a logistic
regression learns from its states, as `smollm2_whole` of imdb.py does with few labels.

Two thousand training reviews are kept for validation and choose the penalty; the test reviews at hand are
scored once. There is nothing to draw, so it is one run. What SmolLM2 has made of a review is kept in
nlpdeep's cache, 512 reviews at a time, so that a run that was broken off goes on.
"""

import numpy as np
from imdb import WHOLE, features, right
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from ulmfit_imdb import parts

from nlpdeep.causal_training import matmul_precision
from nlpdeep.runs import Plan, Row, run_script
from nlpdeep.texts import calibration_error

CS = (1e-4, 3e-4, 1e-3, 3e-3)  # penalties of the regression
PLAN = Plan(
    makes='imdb_all',
    chapter='10_transfer',
    minutes=110,
    needs='IMDb in the folder of NLPDEEP_DATA, and SmolLM2',
    data='IMDb, test reviews at hand',
    configs=[dict(method=WHOLE, labels='all')],
    seeds=(1,),
    threads=1,
)


def run(seed, method, labels):
    of = parts(seed, labels)[0]
    x = {part: features(method, list(reviews.text)) for part, reviews in of.items()}
    fits = {
        C: make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=500)).fit(
            x['train'], of['train'].label
        )
        for C in CS
    }
    scores = {C: fit.score(x['valid'], of['valid'].label) for C, fit in fits.items()}
    C = max(CS, key=lambda C: (scores[C], -C))
    probs = fits[C].predict_proba(x['test'])
    y = np.asarray(of['test'].label == 'pos').astype(int)
    found = {
        'valid': scores[C],
        'test': right(probs, of['test']),
        'test ece': calibration_error(probs, y),
        'C': C,
        'reviews': len(of['train']),
    }
    return [Row(found, dict(precision=matmul_precision()))]


if __name__ == '__main__':
    run_script(__file__)
