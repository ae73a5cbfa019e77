"""The most memory a process holds while it tokenizes 75,000 reviews, with fastai's tokenizer and with ours.

Each runs in a process of its own, in that process alone. Records nbs/results/tokenize_memory.json.
"""

import json
import resource
import subprocess
import sys
import time

from nlpdeep.core import InputError
from nlpdeep.corpora import imdb
from nlpdeep.runs import Plan, Row, run_script

TEXTS = 75_000


def one(which, n):
    "Tokenize in this process and print what it took."
    from fastai.text import core as fc  # loaded for both, so that both carry it

    from nlpdeep.tokenization import tokenize_texts

    df = imdb(download=False)
    texts = list(df[df.part.isin(['train', 'unsup'])].text)[:n]
    del df
    t = time.time()
    tokens = (fc.tokenize_texts if which == 'fastai' else tokenize_texts)(texts, n_workers=0)
    seconds = time.time() - t
    print(
        json.dumps(
            dict(
                peak_gb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
                tokens_millions=sum(map(len, tokens)) / 1e6,
                seconds=seconds,
            )
        )
    )


PLAN = Plan(
    makes='tokenize_memory',
    chapter='02c_tokenizer',
    minutes=9,
    data=f'{TEXTS:,} IMDb reviews, train and unsup',
    configs=[dict(tokenizer=which) for which in ('nlpdeep', 'fastai')],
)


def run(seed, tokenizer):
    imdb(download=False)  # noted as data of this run; the other process reads it again
    out = subprocess.run(
        [sys.executable, __file__, '--one', tokenizer, str(TEXTS)], capture_output=True, text=True
    )
    if out.returncode:
        raise InputError(out.stderr)
    m = json.loads(out.stdout.splitlines()[-1])
    return [Row(m, minutes=m['seconds'] / 60)]


if __name__ == '__main__':
    if sys.argv[1:2] == ['--one']:
        one(sys.argv[2], int(sys.argv[3]))
    else:
        run_script(__file__)
