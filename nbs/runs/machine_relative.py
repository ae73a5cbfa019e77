"""Is it machines that detector 2 of chapter 13 finds, or is it the genre? The control of `machine_text`.

Detectors 1 (the mean log-probability of what follows the opening) and 2 (the sum of the log-probabilities,
less the expected ones, in standard deviations), both with the shipped model as the reader, judge what that
model wrote: after openings of movie snippets, against critics, and after openings of IMDb reviews, against
reviewers whose texts it has never seen. Then they judge those reviewers with the threshold that accuses one
critic in a hundred. Texts, openings and generators are those of `machine_text`. Records
nbs/results/machine_relative.json.
"""

import numpy as np
import torch
from machine_text import (
    PROMPT,
    REVIEWERS,
    SHIPPED,
    N,
    compared,
    found,
    lstm_score,
    openings,
    reviews,
    shipped,
    snippets,
    write,
)

from nlpdeep.runs import Plan, run_script

PLAN = Plan(
    makes='machine_relative',
    chapter='13_machine_text',
    minutes=4,
    needs='IMDb in the folder of NLPDEEP_DATA',
    precision='',
    data='movie snippets and IMDb reviews, 24 tokens',
    configs=[
        dict(detector=d, generator=g) for d in ('detector 1', 'detector 2') for g in (*SHIPPED, REVIEWERS)
    ],
    seeds=(0,),
)


@torch.no_grad()
def relative(ids):
    "How much likelier are the words after the prompt than the model expects, in standard deviations?"
    z, model = [], shipped()[0]
    for some in ids.split(50):
        model.reset()
        scores = model(some[:, :-1])[0][:, PROMPT - 1 :].float()
        logp = scores.log_softmax(-1)  # (50, 19, vocabulary)
        p = logp.exp()
        mean = (p * logp).sum(-1)
        variance = (p * logp**2).sum(-1) - mean**2
        came = logp.gather(2, some[:, PROMPT:, None])[..., 0]
        z.append((came - mean).sum(1) / variance.sum(1).sqrt())
    return torch.cat(z).numpy()


DETECTORS = {'detector 1': lstm_score, 'detector 2': relative}


def run(seed, detector, generator):
    judge = DETECTORS[detector]
    critics = judge(snippets()[2 * N :][:400])
    if generator == REVIEWERS:
        strangers = judge(reviews()[REVIEWERS])
        return dict(found=found(critics, strangers, np.quantile(critics, 0.99)), texts=len(strangers))
    torch.manual_seed(seed)
    wrote = write(openings()[:N], **SHIPPED[generator])
    beside_critics = compared(critics, judge(wrote))
    return beside_critics | compared(judge(reviews()[REVIEWERS]), judge(reviews()[generator]), '_imdb')


if __name__ == '__main__':
    run_script(__file__)
