"""Random input for everything that reads: texts, tables, archives, GGUF files, weights, folders, checkpoints.

    python tests/fuzz.py --seconds 120           all kinds, as long each
    python tests/fuzz.py --only gguf --seed 7    one kind; the same seed gives the same input

What is read must come back as it was written, or be refused in words. So there are four outcomes. Answered.
Refused: an InputError, or a ValueError that says something. A fault: another exception, or the process died.
Lost: it answered, and something was missing or other than what was written. Where a format keeps no checksum
of its contents (GGUF, single weight files), a changed number is an answer, a missing one is lost. Not a part
of the test suite.
"""

import argparse
import collections
import hashlib
import io
import json
import logging
import multiprocessing
import os
import random
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
import zipfile
from pathlib import Path

os.environ.setdefault('HF_HUB_OFFLINE', '1')
sys.path.insert(0, str(Path(__file__).parent.parent))

ALPHABETS = [
    'abcdefghij ABC  .,!?\'"()-:;/\\<>@#$%&*_+=|~`0123456789\n\t',
    ''.join(map(chr, range(0x80, 0x250))) + ' ',
    ''.join(map(chr, range(0x2000, 0x2070))) + 'ab ',
    'مرحبا بالعالم 你好世界 こんにちは привет мир नमस्ते \u0301\u0308\u200d\ufe0f',
    ''.join(map(chr, range(0x1F600, 0x1F650))) + ':)(:-/\'",',
    'xxbos xxmaj xxup xxrep xxwrep xxunk xxpad xxeos xxfld 2 3 ² ① ٣ ',
]


def random_text(r, longest=200):
    "A string of one alphabet, or of any characters at all, some of them no characters; some with long runs."
    n = int(longest ** r.random())
    if r.random() < 0.2:
        s = ''.join(chr(r.randrange(0x110000)) for _ in range(n))
    else:
        s = ''.join(r.choices(r.choice(ALPHABETS), k=n))
    return s + r.choice(s) * r.randrange(100) if s and r.random() < 0.2 else s


def damaged(r, b):
    "`b` cut off, with bits flipped, a piece taken out, doubled, or overwritten."
    b, k = bytearray(b), r.randrange(len(b))
    near = r.randrange(min(len(b), 600)) if r.random() < 0.5 else k  # heads are where it hurts
    kind = r.choice(['cut', 'flip', 'flip', 'flips', 'out', 'twice', 'noise', 'number'])
    if kind == 'cut':
        del b[k:]
    if kind in ('flip', 'flips'):
        for _ in range(1 if kind == 'flip' else r.randrange(2, 9)):
            b[near] ^= 1 << r.randrange(8)
            near = r.randrange(len(b))
    if kind == 'out':
        del b[near : near + r.randrange(1, 65)]
    if kind == 'twice':
        b[near:near] = b[near : near + r.randrange(1, 65)]
    if kind == 'noise':
        b[near : near + 16] = r.randbytes(16)
    if kind == 'number':
        b[near : near + 8] = r.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1]).to_bytes(
            8, 'little'
        )
    return bytes(b)


# Each kind prepares in a folder `d`, and gives a function of a random generator that tries once: it returns
# True where what came back is what was written, False where it is not.


def strings(d):
    from nlpdeep.bpe import BPETokenizer
    from nlpdeep.fast_words import WordTokenizer
    from nlpdeep.subwords import CharTokenizer, SubwordTokenizer
    from nlpdeep.texts import normalize_text
    from nlpdeep.transform import RulesTokenizer

    words, rules, chars = WordTokenizer(), RulesTokenizer(WordTokenizer()), CharTokenizer()
    bpe = BPETokenizer.train(['a good warm film', 'the story of it'] * 5, 300)
    pieces = SubwordTokenizer(vocab_sz=60)
    pieces.setup(['the quick brown fox jumps over the lazy dog 0123456789'] * 30)

    def attempt(r):
        s = random_text(r, 2000)
        ok = ''.join(''.join(next(iter(words([s])))).split()) == ''.join(s.split())  # nothing but spaces goes
        ok &= bpe.decode(bpe.encode(s)) == s
        ok &= ''.join(next(iter(chars([s])))) == s
        next(iter(rules([s]))), next(iter(pieces([s])))
        return ok & (normalize_text(normalize_text(s)) == normalize_text(s))

    return attempt


def tables(d):
    import csv

    from nlpdeep.texts import own_texts

    def attempt(r):
        rows = [(random_text(r), r.choice('yn')) for _ in range(30)]
        with open(d / 't.csv', 'w', newline='', encoding='utf-8', errors='surrogatepass') as f:
            csv.writer(f).writerows([('text', 'label'), *rows])
        whole = (d / 't.csv').read_bytes()
        if r.random() < 0.5:
            (d / 't.csv').write_bytes(damaged(r, whole))
            return len(own_texts(d / 't.csv')) > 0  # a .csv has no checksum
        got = own_texts(d / 't.csv')
        return [t.replace('\r\n', '\n') for t in got.text] == [t.replace('\r\n', '\n') for t, _ in rows]

    return attempt


def archives(d):
    from nlpdeep.fetch import members

    r = random.Random(0)
    files = {
        f'part{k}/a{k}.txt': r.randbytes(r.randrange(900)) + b'words ' * r.randrange(200) for k in range(6)
    }
    made = []
    for mode in ('w:gz', 'w:bz2', 'w:xz'):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as t:
            for name, b in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(b)
                t.addfile(info, io.BytesIO(b))
        made.append(out.getvalue())
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, 'w', how) as z:
            for name, b in files.items():
                z.writestr(name, b)
        made.append(out.getvalue())

    def attempt(r):
        (d / 'a').write_bytes(damaged(r, r.choice(made)))
        return dict(members(d / 'a', limit=2**24)) == files

    return attempt


def tiny_gguf(path, seed=0):
    "A language model of the Llama kind with random weights, one layer, 260 tokens."
    import gguf
    import numpy as np

    from nlpdeep.bpe import byte_chars

    r, e, v = np.random.default_rng(seed), 32, 260
    w = gguf.GGUFWriter(path, 'llama')
    for name, n in dict(
        context_length=64, embedding_length=e, block_count=1, feed_forward_length=64, head_count=4,
        head_count_kv=4, vocab_size=v, rope_dimension_count=8, bos_token_id=256, eos_token_id=256,
    ).items():  # fmt: skip
        getattr(w, f'add_{name}')(n)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model('gpt2')
    w.add_tokenizer_pre('default')
    w.add_token_list([*sorted(byte_chars().values()), '<|endoftext|>', 'he', 'll', 'x'])
    w.add_token_types([1] * v)
    w.add_token_merges(['h e', 'l l'])

    def t(*s):
        return (r.standard_normal(s) * 0.1).astype(np.float32)

    w.add_tensor('token_embd.weight', t(v, e))
    w.add_tensor('output_norm.weight', np.ones(e, np.float32))
    w.add_tensor('output.weight', t(v, e))
    for n, s in dict(
        attn_q=(e, e), attn_k=(e, e), attn_v=(e, e), attn_output=(e, e), ffn_gate=(64, e), ffn_up=(64, e),
        ffn_down=(e, 64),
    ).items():  # fmt: skip
        w.add_tensor(f'blk.0.{n}.weight', t(*s))
    for n in ('attn_norm', 'ffn_norm'):
        w.add_tensor(f'blk.0.{n}.weight', np.ones(e, np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return path


def gguf(d):
    from nlpdeep.causal_models import load_pretrained

    os.environ['NLPDEEP_HOME'] = str(d / 'home')
    whole = Path(tiny_gguf(d / 'whole.gguf')).read_bytes()

    def seen(lm):
        shapes = {n: tuple(w.shape) for n, w in lm.model.state_dict().items()}
        return shapes, len(lm.tokenizer), len(lm.tokenizer.get_vocab())

    right = seen(load_pretrained(d / 'whole.gguf'))

    def attempt(r):
        (d / 'a.gguf').write_bytes(damaged(r, whole))
        return seen(load_pretrained(d / 'a.gguf')) == right

    return attempt


def weights(d):
    import torch
    from safetensors.torch import save

    from nlpdeep.model_folder import read_weights

    w = {'a.weight': torch.randn(8, 5), 'b': torch.randn(7).half(), 'c': torch.zeros(0, 3)}
    whole = save(w)

    def attempt(r):
        (d / 'w').write_bytes(damaged(r, whole))
        return sum(o.numel() for o in read_weights(d / 'w').values()) == sum(o.numel() for o in w.values())

    return attempt


def folders(d):
    import torch

    from nlpdeep.model_folder import config_checksum, load_folder, save_folder
    from nlpdeep.processor import TextProcessor

    words = TextProcessor.build([['xxbos', 'a', 'warm', 'film', 'é', '"']], max_vocab=100, min_freq=1)
    w = dict(weight=torch.randn(9, 4))
    m = save_folder(d / 'm', w, words, dict(kind='toy', sizes={}, card={}))
    whole = {o.name: o.read_bytes() for o in m.iterdir()}

    def attempt(r):
        for name, b in whole.items():
            (m / name).write_bytes(b)
        name = r.choice(sorted(whole))
        b = damaged(r, whole[name])
        (m / name).write_bytes(b)
        if r.random() < 0.5:  # somebody who signs what he has changed
            try:
                cfg = json.loads((m / 'config.json').read_text())
                cfg['sha256'] = {k: hashlib.sha256((m / k).read_bytes()).hexdigest() for k in cfg['sha256']}
                (m / 'config.json').write_text(json.dumps(cfg | dict(checksum=config_checksum(cfg))))
            except (ValueError, AttributeError, KeyError, TypeError, OSError):
                pass
            load_folder(m)
            return True  # what he signed is what he wrote
        weights, words_, cfg = load_folder(m)
        return (
            torch.equal(weights['weight'], w['weight'])
            and words_.vocab == words.vocab
            and cfg['kind'] == 'toy'
        )

    return attempt


def checkpoints(d):
    import torch

    from nlpdeep.checkpoint import load_state, save_state

    state = dict(
        model=dict(a=torch.randn(5, 3)), n=3, text='é', random=(1, [2, 3], None), nest=[dict(b=True)]
    )
    whole = save_state(d / 'c', state).read_bytes()

    def attempt(r):
        (d / 'c').write_bytes(damaged(r, whole))
        got = load_state(d / 'c')
        same = torch.equal(got.pop('model')['a'], state['model']['a'])
        return same and got == {k: v for k, v in state.items() if k != 'model'}

    return attempt


def vocabularies(d):
    from nlpdeep.bpe import BPETokenizer
    from nlpdeep.numericalization import Vocab
    from nlpdeep.subwords import SubwordTokenizer

    Vocab(['xxunk', 'xxpad', 'a', 'b', 'é']).save(d / 'v.json')
    BPETokenizer.train(['a good warm film'] * 5, 270, special=('<sep>',)).save(d / 'bpe')
    pieces = SubwordTokenizer(vocab_sz=60)
    pieces.setup(['the quick brown fox jumps over the lazy dog 0123456789'] * 30)
    (d / 'p.model').write_bytes(pieces.model)
    files = [d / 'v.json', d / 'p.model', *sorted((d / 'bpe').iterdir())]
    whole = [f.read_bytes() for f in files]

    def attempt(r):
        for f, b in zip(files, whole):
            f.write_bytes(b)
        k = r.randrange(len(files))
        files[k].write_bytes(damaged(r, whole[k]))
        if k == 0:
            got = Vocab.load(files[0])
            return len(set(got)) == len(got)
        if k == 1:
            next(iter(SubwordTokenizer(sp_model=files[1])(['the lazy dog'])))
            return True
        bpe = BPETokenizer.from_files(d / 'bpe' / 'vocab.json', d / 'bpe' / 'merges.txt')
        return bpe.decode(bpe.encode('a good film, é')) == 'a good film, é'

    return attempt


KINDS = dict(
    strings=strings,
    tables=tables,
    archives=archives,
    vocabularies=vocabularies,
    weights=weights,
    folders=folders,
    checkpoints=checkpoints,
    gguf=gguf,
)


def tell(kind, seed, what):
    print(f'{kind} {seed}: {what}', flush=True)


def outcome(attempt, seed, kind):
    "What one attempt came to; faults and losses are shown."
    try:
        if attempt(random.Random(seed)):
            return 'answered'
        tell(kind, seed, 'lost')
        return 'lost'
    except Exception as e:
        from nlpdeep.core import InputError

        if (isinstance(e, InputError) or type(e) is ValueError) and len(str(e).split()) > 3:
            return 'refused'
        place = next(
            (o for o in reversed(traceback.extract_tb(e.__traceback__)) if 'nlpdeep' in o.filename), None
        )
        where = f'{Path(place.filename).name}:{place.lineno}' if place else '?'
        tell(kind, seed, f'{type(e).__name__} in {where}: {str(e)[:150]}')
        return 'fault'


def work(kind, seconds, seed, pipe):
    "Try for so many seconds; every seed is named before it is tried, so that a death has a name."
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as d:
        attempt = KINDS[kind](Path(d))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pipe.send((seed, None))
            pipe.send((seed, outcome(attempt, seed, kind)))
            seed += 1
    pipe.send(None)


def fuzz(kind, seconds, seed):
    "Outcomes of one kind, counted; a process that dies is a fault, and the next one goes on."
    count, end, last = collections.Counter(), time.monotonic() + seconds, seed - 1
    while True:
        here, there = multiprocessing.get_context('fork').Pipe()
        p = multiprocessing.get_context('fork').Process(
            target=work, args=(kind, max(end - time.monotonic(), 0), last + 1, there)
        )
        p.start()
        there.close()
        try:
            while (got := here.recv()) is not None:
                last, what = got
                count[what] += what is not None
            p.join()
            break
        except EOFError:
            p.join()
            count['fault'] += 1
            tell(kind, last, f'the process died ({p.exitcode})')
            if time.monotonic() > end:
                break
            end += 5  # for the start of the next one
    del count[None]
    return count


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--seconds', type=float, default=120, help='for all kinds together')
    p.add_argument('--seed', type=int, default=0)
    p.add_argument('--only', default=','.join(KINDS), help='kinds, with commas')
    p.add_argument('--one', type=int, help='only this seed, of the kinds of --only')
    a = p.parse_args()
    kinds, sums = a.only.split(','), {}
    import nlpdeep.causal_models
    import nlpdeep.checkpoint
    import nlpdeep.model_folder  # noqa: F401  (once: the children are forked)

    if a.one is not None:
        for k in kinds:
            with tempfile.TemporaryDirectory() as d:
                print(KINDS[k](Path(d))(random.Random(a.one)))
        return
    for k in kinds:
        sums[k] = fuzz(k, a.seconds / len(kinds), a.seed)
    print(f'{"":14}{"answered":>10}{"refused":>10}{"faults":>10}{"lost":>10}')
    for k, c in sums.items():
        print(f'{k:14}' + ''.join(f'{c[o]:10,}' for o in ('answered', 'refused', 'fault', 'lost')))
    sys.exit(any(c['fault'] or c['lost'] for c in sums.values()))


if __name__ == '__main__':
    main()
