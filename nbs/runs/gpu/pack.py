"""One folder with what a bare GPU machine without a network needs besides this checkout: wheels, and IMDb as
ids.

    NLPDEEP_DATA=FOLDER python nbs/runs/gpu/pack.py [--to .gpu] [--small]

The folder holds
- `wheels/`: fastai and what it needs that an image with PyTorch, transformers and pandas lacks. No spaCy: the
  texts are cut into words here, and travel as ids;
- `imdb.npz` and `imdb.ids.xz`: the reviews as ids of 60,000 words (met three times or more in the training
  and unlabelled reviews; no test review is counted), with part and label of each;
- `commit.txt`: the commit that travels.

`--small`: few reviews and few words, for a rehearsal. `go.py` runs on the other machine.
"""

import argparse
import json
import lzma
import subprocess
import sys
from pathlib import Path

import numpy as np

from nlpdeep.corpora import imdb, movie_snippets
from nlpdeep.processor import TextProcessor, tokenize

WHEELS = (
    'fastai',
    'fastcore',
    'fasttransform',
    'plum-dispatch',
    'fastprogress<1.1',
    'fastdownload',
    'beartype',
)
XZ = [dict(id=lzma.FILTER_LZMA2, preset=6, lc=3, lp=1, pb=1, dict_size=64 << 20)]
PARTS = ('train', 'valid', 'unsup', 'test')
N_VALID = 2000  # training reviews kept apart: the same as in nbs/runs/ulmfit_imdb.py


def wheels(to: Path, python: str):
    "Download the wheels for Linux on x86-64."
    platforms = [f'--platform=manylinux{o}_x86_64' for o in ('2014', '_2_17', '_2_28')]
    options = ['--no-deps', '--only-binary=:all:', f'--python-version={python}', '--implementation=cp']
    pip = [sys.executable, '-m', 'pip', 'download', '--quiet', '--dest', str(to)]
    subprocess.run([*pip, *options, *platforms, '--platform=any', *WHEELS], check=True)


def reviews(small: bool):
    "A DataFrame with text, label (1, 0, or -1 for none) and part; no training review is a test review too."
    df = movie_snippets()[:1500] if small else imdb(download=False)
    df = df.assign(label=df.label.map(dict(pos=1, neg=0, fresh=1, rotten=0)).fillna(-1).astype(int))
    if small:
        rng = np.random.default_rng(0)
        df = df[df.label >= 0].assign(part=lambda d: rng.choice(['train', 'unsup', 'test'], len(d)))
    test = set(df.text[df.part == 'test'])
    train = df[(df.part == 'train') & ~df.text.isin(test)].drop_duplicates('text')
    train = train.sample(frac=1, random_state=0)
    n = 60 if small else N_VALID
    parts = {
        'valid': train[:n],
        'train': train[n:],
        'unsup': df[(df.part == 'unsup') & ~df.text.isin(test)],
        'test': df[df.part == 'test'],
    }
    return {p: parts[p] for p in PARTS}


def pack_reviews(to: Path, small: bool):
    "Cut the reviews into words, and write them as ids."
    parts = reviews(small)
    tokens = {p: tokenize(list(d.text)) for p, d in parts.items()}
    read = tokens['train'] + tokens['valid'] + tokens['unsup']
    words = TextProcessor.build(read, max_vocab=2000 if small else 60_000, min_freq=3)
    ids = [o for p in PARTS for o in words.ids(tokens[p])]
    np.savez_compressed(
        to / 'imdb.npz',
        lens=np.array([len(o) for o in ids], np.int32),
        part=np.concatenate([np.full(len(parts[p]), k, np.int8) for k, p in enumerate(PARTS)]),
        label=np.concatenate([parts[p].label.to_numpy(np.int8) for p in PARTS]),
        vocab=np.frombuffer(json.dumps(words.vocab.tokens).encode(), np.uint8),
    )
    flat = np.concatenate(ids)
    if flat.max() >= 2**16:
        raise ValueError('more words than fit into 16 bits')
    (to / 'imdb.ids.xz').write_bytes(lzma.compress(flat.astype('<u2').tobytes(), lzma.FORMAT_XZ, filters=XZ))
    print(f'{len(ids):,} reviews, {len(flat):,} tokens, {len(words):,} words')


def unpack_reviews(folder: Path) -> dict:
    "What `pack_reviews` wrote: per part the ids (a list of arrays) and labels, and the vocabulary."
    z = np.load(folder / 'imdb.npz')
    flat = np.frombuffer(lzma.decompress((folder / 'imdb.ids.xz').read_bytes()), '<u2').astype(np.int64)
    ids = np.split(flat, np.cumsum(z['lens'])[:-1])
    out = dict(vocab=json.loads(z['vocab'].tobytes()))
    for k, p in enumerate(PARTS):
        at = np.flatnonzero(z['part'] == k)
        out[p] = [ids[i] for i in at], z['label'][at].tolist()
    return out


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--to', type=Path, default=Path('.gpu'))
    a.add_argument('--python', default='3.12', help='the other machine’s Python')
    a.add_argument('--small', action='store_true')
    a = a.parse_args()
    a.to.mkdir(parents=True, exist_ok=True)
    if not a.small and not (a.to / 'wheels').exists():
        wheels(a.to / 'wheels', a.python)
    if not (a.to / 'imdb.npz').exists():
        pack_reviews(a.to, a.small)
    head = subprocess.run(['git', 'rev-parse', '--short=12', 'HEAD'], capture_output=True, text=True)
    (a.to / 'commit.txt').write_text(head.stdout.strip() or 'unknown')
    total = sum(f.stat().st_size for f in a.to.rglob('*') if f.is_file())
    print(f'{a.to}: {total / 2**20:.1f} MiB')
