"""The most memory a process holds while it tokenizes 75,000 reviews, with fastai's tokenizer and with ours
(chapter 02).

    NLPDEEP_DATA=FOLDER python nbs/runs/tokenize_memory.py [TEXTS]     TEXTS: how many (default 75,000, IMDb's
        training part and unlabelled reviews)

Each runs in a process of its own, in that process alone. Records nbs/results/tokenize_memory.json.
"""

import json
import resource
import subprocess
import sys
import time

from nlpdeep.corpora import imdb
from nlpdeep.records import record


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


if __name__ == '__main__':
    if sys.argv[1:2] == ['--one']:
        one(sys.argv[2], int(sys.argv[3]))
    else:
        n = int(sys.argv[1]) if len(sys.argv) > 1 else 75_000
        for which in ('nlpdeep', 'fastai'):
            out = subprocess.run(
                [sys.executable, __file__, '--one', which, str(n)], capture_output=True, text=True, check=True
            ).stdout
            m = json.loads(out.splitlines()[-1])
            print(which, m, flush=True)
            record(
                'tokenize_memory',
                m,
                data=f'{n:,} IMDb reviews, train and unsup',
                minutes=m['seconds'] / 60,
                tokenizer=which,
            )
