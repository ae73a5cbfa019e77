"""The command line: its help, the whole way on a small table, and a lot of bad input, each a clear message
and an exit code other than 0.
"""

import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
from typer.testing import CliRunner

from nlpdeep.benchmarks import bench_classify
from nlpdeep.cli import BENCHES, app, classify_table, find_bench
from nlpdeep.core import InputError
from nlpdeep.text_classifier import TextClassifier, learned_before
from nlpdeep.texts import own_texts

SMALL = ['--lm-epochs', '1', '--epochs', '1', '--max-vocab', '200', '--base', '']


def table(n=120, seed=0):
    "Rows of (text, label) that are easy to tell apart."
    rng = random.Random(seed)
    good, bad, rest = (
        'warm funny moving fine lovely'.split(),
        'dull loud poor flat awful'.split(),
        'film story cast script ending music'.split(),
    )
    rows = []
    for i in range(n):
        words = good if i % 3 else bad
        rows.append(
            (
                f'A {rng.choice(words)} {rng.choice(rest)}, and a {rng.choice(words)} {rng.choice(rest)} '
                f'number {i}.',
                'fresh' if i % 3 else 'rotten',
            )
        )
    more = [a + b + c for a in 'bdfgklm' for b in 'aei' for c in 'nrst']  # words that say nothing
    return [(' '.join([t] + rng.choices(more, k=4)), l) for t, l in rows]


def write_csv(path, rows, header=('text', 'label')):
    import csv

    with open(path, 'w', newline='', encoding='utf-8') as f:
        csv.writer(f).writerows([header, *rows])
    return path


def run(*args, code=0, **kw):
    "Run in this process; returns what was printed on both streams."
    r = CliRunner().invoke(app, [str(o) for o in args], **kw)
    out = r.stdout + r.stderr
    assert r.exit_code == code, (r.exit_code, out, r.exception)
    assert r.exception is None or isinstance(r.exception, SystemExit), r.exception
    return out


def refused(*args, says=(), **kw):
    "The command stops with 2 and one message that holds all of `says`."
    out = run(*args, code=2, **kw)
    line = [l for l in out.splitlines() if l.startswith('nlpdeep: ')]
    assert len(line) == 1 and 'Traceback' not in out, out
    for w in says:
        assert w in line[0], (w, line[0])
    return line[0]


@pytest.fixture(autouse=True)
def calm(monkeypatch, tmp_path):
    for k in ('NLPDEEP_SIZE', 'NLPDEEP_DEVICE'):
        monkeypatch.setenv(k, dict(NLPDEEP_SIZE='tiny', NLPDEEP_DEVICE='cpu')[k])
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    "One run on a small table: folder, output, figures."
    d = tmp_path_factory.mktemp('trained')
    os.environ.update(NLPDEEP_SIZE='tiny', NLPDEEP_DEVICE='cpu')
    csv = write_csv(d / 'own.csv', table())
    out = run(
        'ulmfit', '--data', csv, *SMALL, '--out', d / 'model', '--json', d / 'figures.json', '--seed', 3
    )
    return d, out, json.loads((d / 'figures.json').read_text())


# the whole way


def test_last_screen(trained):
    d, out, f = trained
    for w in (
        'perplexity',
        'before',
        'after',
        'validation',
        'test',
        'majority class',
        'TF-IDF',
        'minutes',
        'language model',
        'classifier',
        str(d / 'model'),
        'report.html',
    ):
        assert w in out
    assert len(re.findall(r'(?m)^  - .', out)) == 3  # three sentences
    assert 'xxunk' not in out and 'xxbos' not in out


def test_figures(trained):
    f = trained[2]
    for k in ('accuracy', 'majority', 'tfidf', 'valid_accuracy'):
        assert 0 <= f[k] <= 1
    assert f['perplexity_after'] < f['perplexity_before'] < 1.2 * f['words']
    assert {'words', 'language model', 'classifier', 'baselines'} <= set(f['seconds']) and all(
        v >= 0 for v in f['seconds'].values()
    )
    assert {'python', 'torch', 'fastai', 'nlpdeep'} <= set(f['versions']) and len(f['generated']) == 3
    assert sum(f['texts'].values()) == 120 and f['seed'] == 3


def test_model_folder(trained):
    m = trained[0] / 'model'
    assert sorted(o.name for o in m.iterdir()) == [
        'config.json',
        'model.safetensors',
        'report.html',
        'tokenizer.json',
        'vocab.json',
    ]
    assert sorted(o.name for o in trained[0].iterdir()) == [
        'figures.json',
        'model',
        'own.csv',
    ]  # nothing temporary is left
    assert not any(b'\x80\x04' == (o.read_bytes()[:2]) for o in m.iterdir())  # no pickle


def test_report(trained):
    page = (trained[0] / 'model' / 'report.html').read_text(encoding='utf-8')

    class Tags(HTMLParser):
        void, stack, seen = {'meta', 'br'}, [], []

        def handle_starttag(self, t, attrs):
            self.seen.append((t, dict(attrs)))
            if t not in self.void:
                self.stack.append(t)

        def handle_startendtag(self, t, attrs):
            self.seen.append((t, dict(attrs)))

        def handle_endtag(self, t):
            assert self.stack.pop() == t

    p = Tags()
    p.feed(page)
    assert not p.stack
    assert not any(
        t in ('script', 'link', 'img', 'iframe') or 'src' in a for t, a in p.seen
    )  # nothing is fetched
    assert (
        'prefers-color-scheme: dark' in page
        and sum(t == 'svg' for t, _ in p.seen) == 2
        and 'class="cm"' in page
    )


def test_report_escapes(tmp_path):
    import numpy as np

    from nlpdeep.report import confident_mistakes, report

    f = dict(
        accuracy=0.5,
        majority=0.5,
        tfidf=None,
        valid_accuracy=0.5,
        valid_majority=0.5,
        valid_tfidf=0.5,
        perplexity_before=9.0,
        perplexity_after=3.0,
        perplexity_unigram=5.0,
        unknown_tokens=0.1,
        seconds={},
        versions={},
        generated=['<script>alert(1)</script>'],
    )
    wrong = confident_mistakes(
        ['<b>bold</b>', 'right'], ['<a>', 'b'], ['<a>', 'b'], np.array([[0.1, 0.9], [0.2, 0.8]])
    )
    assert len(wrong) == 1 and wrong[0]['said'] == 'b'
    page = report(
        dict(
            figures=f,
            data='<i>',
            classes=['<a>', 'b'],
            curves={'c': dict(train=[1.0, 0.5], valid=[(2, 0.6)])},
            n_judged=2,
            confusion=[[0, 1], [0, 1]],
            mistakes=wrong,
            command='x "<"',
            settings={},
            interval=(0.1, 0.9),
            summary='',
        )
    )
    assert (
        '<script>' not in page
        and '<b>bold' not in page
        and '<a>' not in page
        and '<i>' not in page.replace('<i style', '')
    )


def test_same_seed_same_model(trained, tmp_path):
    run(
        'ulmfit',
        '--data',
        trained[0] / 'own.csv',
        *SMALL,
        '--out',
        'model',
        '--json',
        'f.json',
        '--seed',
        3,
        '-q',
    )
    again = json.loads((tmp_path / 'f.json').read_text())
    for k in ('accuracy', 'perplexity_after', 'generated', 'valid_accuracy'):
        assert again[k] == trained[2][k]


def test_pretrain_then_ulmfit(trained, tmp_path):
    (tmp_path / 'heap').mkdir()
    for k, (t, _) in enumerate(table(60, 1)):
        (tmp_path / 'heap' / f'{k}.txt').write_text(f'{t} {t}')
    size = ['--emb-sz', 8, '--n-hid', 8, '--n-layers', 1, '--pieces', 80]
    out = run('pretrain', 'heap', '--out', 'lm', *size)
    assert (
        'perplexity' in out
        and '--base lm' in out
        and (tmp_path / 'lm' / 'forwards' / 'pieces.model').is_file()
    )
    out = run(
        'ulmfit',
        '--data',
        trained[0] / 'own.csv',
        '--base',
        'lm',
        '--lm-epochs',
        1,
        '--epochs',
        1,
        '--out',
        'm',
        '-q',
    )
    assert 'perplexity' in out and run('classify', '--model', 'm', 'a warm funny film').split()[0] in (
        'fresh',
        'rotten',
    )


def test_pretrain_refuses(tmp_path):
    (tmp_path / 'a.txt').write_text('short')
    (tmp_path / 'empty').mkdir()
    refused('pretrain', 'none', says=['none'])
    refused('pretrain', 'empty', says=['empty', '.txt'])
    refused('pretrain', 'a.txt', says=['10 is the least'])
    refused('pretrain', 'a.txt', '--pieces', -1, says=['--pieces'])
    refused('pretrain', 'a.txt', '--n-hid', 0, says=['n_hid'])
    refused('pretrain', 'a.txt', '--base', 'nowhere', says=['10 is the least'])
    assert not (tmp_path / 'runs').exists()


def test_classify(trained):
    m = trained[0] / 'model'
    out = run('classify', '--model', m, 'a warm funny film', 'a dull film')
    assert len(out.splitlines()) == 2 and re.match(r'(fresh|rotten) +\d+\.\d%  a warm funny film', out)
    rows = [
        json.loads(l)
        for l in run(
            'classify', '--model', m, '--json', input='a warm funny film\na dull film\n'
        ).splitlines()
    ]
    assert [o['label'] for o in rows] == [l.split()[0] for l in out.splitlines()]
    assert all(abs(sum(o['probabilities'].values()) - 1) < 1e-4 for o in rows)


def test_classify_what_a_terminal_would_obey(trained):
    "Controls are shown, a text is one line, a byte order mark is no part of it; other encodings are named."
    m = trained[0] / 'model'
    evil = 'a warm film\x1b]0;mine\x07\nrotten  99.9%  a \x9b2J\u202efilm'
    out = run('classify', '--model', m, evil)
    assert len(out.splitlines()) == 1 and r'\x1b]0;mine\x07\nrotten' in out and r'\x9b2J\u202efilm' in out
    out = run('classify', '--model', m, '--json', evil)
    assert json.loads(out)['text'] == evil and not re.search('[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]', out)
    plain, marked = (
        run('classify', '--model', m, '--json', input=head + 'good film\r\na dull film\n'.encode())
        for head in (b'', b'\xef\xbb\xbf')
    )
    assert plain == marked and len(plain.splitlines()) == 2
    refused('classify', '--model', m, input=b'good\ncaf\xe9\n', says=['standard input', 'line 2', 'iconv'])
    refused('classify', '--model', m, input='good film'.encode('utf-16'), says=['standard input', 'UTF-16'])
    assert '\x1b' not in refused('classify', '--model', 'no\x1b]0;where', 'a film', says=[r'no\x1b]0;where'])


def test_home_in_paths(trained, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path / 'me'))
    monkeypatch.setenv('USERPROFILE', str(tmp_path / 'me'))
    shutil.copytree(trained[0] / 'model', tmp_path / 'me' / 'model')
    assert run('classify', '-m', '~/model', 'a warm film') and run('generate', '-m', '~/model', '-n', 1)
    TextClassifier.load('~/model').save('~/other')
    args = ['--limit', 20, '--json', '~/f.json', '--out', '~/made it', '-q']
    out = run('ulmfit', '--data', write_csv(tmp_path / 'me' / 'a.csv', table()), *SMALL, *args)
    assert (
        left(tmp_path / 'me') == ['a.csv', 'f.json', 'made it', 'model', 'other']
        and not (tmp_path / '~').exists()
    )
    screen = [o for o in out.splitlines() if not o.startswith('warning')]
    assert str(tmp_path / 'me' / 'made it') in shlex.split(screen[-1])


@pytest.mark.parametrize(
    'command, says', [('ulmfit', 'no model was written'), ('pretrain', 'the same command goes on')]
)
def test_stopped_by_the_user(tmp_path, monkeypatch, command, says):
    def stop(*args, **kw):
        raise KeyboardInterrupt

    (tmp_path / 'a.txt').write_text('some text')
    write_csv(tmp_path / 'a.csv', table())
    monkeypatch.setattr('nlpdeep.cli.run_ulmfit', stop)
    monkeypatch.setattr('nlpdeep.pretraining.pretrain_texts', stop)
    out = run(*(['ulmfit', '--data', 'a.csv'] if command == 'ulmfit' else ['pretrain', 'a.txt']), code=130)
    assert out.startswith('nlpdeep: stopped; ' + says) and len(out.splitlines()) == 1


def test_generate(trained):
    m = trained[0] / 'model'
    out = run('generate', '--model', m, 'this film', '-n', 2, '--words', 6, '--seed', 1)
    assert (
        len(out.splitlines()) == 2
        and all(l.lower().startswith('this film') for l in out.splitlines())
        and 'xx' not in out
    )
    assert (
        out
        == run('generate', '--model', m, 'this film', '-n', 2, '--words', 6, '--seed', 1)
        != run('generate', '--model', m, 'this film', '-n', 2, '--words', 6, '--seed', 2)
    )
    assert run('generate', '--model', m, '-n', 1, '--temperature', 0, '--seed', 1) == run(
        'generate', '--model', m, '-n', 1, '--temperature', 0, '--seed', 2
    )


def test_options_work(trained, tmp_path):
    "Each option changes what it says it changes."
    base = ['ulmfit', '--data', trained[0] / 'own.csv', '--json', 'f.json', '-q']

    def figures(*more):
        return (run(*base, *SMALL, '--out', 'm', *more), json.loads((tmp_path / 'f.json').read_text()))[1]

    assert figures('--limit', 30)['texts'] == dict(train=30, valid=12, test=24, unsup=0)
    few = figures('--labels', 20)
    assert few['texts']['train'] in (20, 21) and few['texts']['unsup'] == 84 - few['texts']['train']
    assert (
        figures('--max-vocab', 100)['words'] <= trained[2]['words']
        and json.loads((tmp_path / 'm' / 'config.json').read_text())['settings']['max_vocab'] == 100
    )
    f = figures('--lm-epochs', 0, '--epochs', 0)
    assert f['perplexity_after'] == f['perplexity_before']
    cfg = json.loads((tmp_path / 'm' / 'config.json').read_text())
    assert cfg['settings']['epochs'] == 0 and cfg['settings']['seed'] == 42
    run(*base[:3], '--out', 'm2', '--limit', 30, '--size', 'small', '--epochs', 0, '--lm-epochs', 0, '-q')
    assert (
        json.loads((tmp_path / 'm2' / 'config.json').read_text())['settings']['max_vocab'] == 20_000
    )  # the dial's


def test_folder_and_parts(tmp_path):
    rows = table(60)
    for i, (t, l) in enumerate(rows):
        p = tmp_path / 'own' / ('train' if i < 40 else 'valid' if i < 50 else 'test') / l / f'{i}.txt'
        p.parent.mkdir(parents=True, exist_ok=True)
        p.write_text(t)
    run('ulmfit', '--data', 'own', *SMALL, '--out', 'm', '--json', 'f.json', '-q')
    assert json.loads((tmp_path / 'f.json').read_text())['texts'] == dict(
        train=40, valid=10, test=10, unsup=0
    )


def test_no_test_part(tmp_path):
    write_csv(
        tmp_path / 'a.csv',
        [(t, l, 'train' if i < 45 else 'valid') for i, (t, l) in enumerate(table(60))],
        ('text', 'label', 'part'),
    )
    out = run('ulmfit', '--data', 'a.csv', *SMALL, '--out', 'm', '--json', 'f.json', '-q')
    f = json.loads((tmp_path / 'f.json').read_text())
    assert (
        f['accuracy'] is None
        and 0 <= f['valid_accuracy'] <= 1
        and '–' in out
        and 'validation' in (tmp_path / 'm' / 'report.html').read_text()
    )


# help and version


def test_help_of_each_command():
    top = run('--help')
    for c in ('ulmfit', 'pretrain', 'classify', 'generate', 'bench', 'doctor', 'course', 'check'):
        assert c in top
        out = run(c, '--help')
        assert 'Examples' in out or c == 'doctor'
        for o in (
            (
                '--out',
                '--json',
                '--seed',
                '--data',
                '--text',
                '--label',
                '--epochs',
                '--size',
                '--limit',
                '--device',
                '--max-vocab',
            )
            if c == 'ulmfit'
            else ()
        ):
            assert o in out
        assert c != 'ulmfit' or 'report.html' in out and 'safetensors' in out
    assert re.fullmatch(r'nlpdeep \d+\.\d+\S*\n', run('--version'))


def test_help_is_light():
    code = (
        "import sys; from nlpdeep.cli import app\ntry: app(['ulmfit', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'torch', 'fastai', 'spacy', 'pandas', 'numpy', 'sklearn', 'matplotlib'} & "
        "set(sys.modules), 'heavy'"
    )
    r = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr


def test_real_process(trained):
    "From outside: messages on the error stream, nothing else there, the exit code handed on."
    cmd = [sys.executable, '-c', 'from nlpdeep.cli import main; main()']
    r = subprocess.run([*cmd, 'ulmfit', '--data', 'none.csv'], capture_output=True, text=True)
    assert (
        r.returncode == 2
        and r.stdout == ''
        and r.stderr.startswith('nlpdeep: there is no file')
        and 'Traceback' not in r.stderr
    )
    r = subprocess.run([*cmd, 'ulmfit', '--no-such-option'], capture_output=True, text=True)
    assert r.returncode == 2 and 'Traceback' not in r.stderr


# bad input: nothing is written


def left(path):
    return sorted(o.name for o in path.iterdir())


def test_missing_file(tmp_path):
    refused('ulmfit', '--data', 'none.csv', says=['none.csv'])
    assert left(tmp_path) == []


def test_wrong_column(tmp_path):
    write_csv(tmp_path / 'a.csv', table(), ('review', 'stars'))
    refused('ulmfit', '--data', 'a.csv', says=["'text'", 'review', 'stars'])
    refused('ulmfit', '--data', 'a.csv', '--text', 'review', says=["'label'", 'review', 'stars'])
    refused(
        'ulmfit',
        '--data',
        'a.csv',
        '--text',
        'review',
        '--label',
        'stars',
        '--group',
        'film',
        says=["'film'"],
    )
    assert left(tmp_path) == ['a.csv']


def test_empty_texts(tmp_path):
    rows = table()
    rows[2] = ('', 'fresh')
    rows[7] = ('  ', 'rotten')
    write_csv(tmp_path / 'a.csv', rows)
    refused('ulmfit', '--data', 'a.csv', says=['3', '8'])
    assert left(tmp_path) == ['a.csv']


@pytest.mark.parametrize(
    'content, says', [('', []), ('text,label\n', ['no rows']), ('text,label\n"an open quote,fresh\n', [])]
)
def test_no_table(tmp_path, content, says):
    (tmp_path / 'a.csv').write_text(content)
    refused('ulmfit', '--data', 'a.csv', says=['a.csv', *says])


def test_one_class(tmp_path):
    write_csv(tmp_path / 'a.csv', [(t, 'fresh') for t, _ in table()])
    refused('ulmfit', '--data', 'a.csv', says=["'fresh'", 'two'])
    assert left(tmp_path) == ['a.csv']


def test_not_utf8(tmp_path):
    rows = table()
    rows[3] = ('Un café très chaud', 'fresh')
    write_csv(tmp_path / 'a.csv', rows)
    (tmp_path / 'a.csv').write_bytes((tmp_path / 'a.csv').read_text(encoding='utf-8').encode('cp1252'))
    refused('ulmfit', '--data', 'a.csv', says=['line 5', '0xe9', 'UTF-8', 'iconv'])
    assert left(tmp_path) == ['a.csv']


def test_label_only_in_test(tmp_path):
    rows = [
        (t, 'lukewarm' if i == 70 else l, 'test' if i >= 60 else 'valid' if i >= 50 else 'train')
        for i, (t, l) in enumerate(table(80))
    ]
    write_csv(tmp_path / 'a.csv', rows, ('text', 'label', 'part'))
    refused('ulmfit', '--data', 'a.csv', says=["'lukewarm'", 'test', '71'])
    assert left(tmp_path) == ['a.csv']


def test_empty_folder(tmp_path):
    (tmp_path / 'own').mkdir()
    refused('ulmfit', '--data', 'own', says=['own'])


def test_unwritable_out(tmp_path):
    write_csv(tmp_path / 'a.csv', table())
    (tmp_path / 'file').write_text('mine')
    refused('ulmfit', '--data', 'a.csv', '--out', 'file/model', says=['file'])
    refused('ulmfit', '--data', 'a.csv', '--out', 'file', says=['file'])
    refused('ulmfit', '--data', 'a.csv', '--json', 'file/f.json', says=['file'])
    refused('ulmfit', '--data', 'a.csv', '--json', '.', says=['folder'])
    assert (tmp_path / 'file').read_text() == 'mine' and left(tmp_path) == ['a.csv', 'file']


def test_out_keeps_what_is_not_ours(tmp_path):
    write_csv(tmp_path / 'a.csv', table())
    (tmp_path / 'letters').mkdir()
    (tmp_path / 'letters' / 'dear.txt').write_text('dear')
    refused('ulmfit', '--data', 'a.csv', '--out', 'letters', says=['letters'])
    (tmp_path / 'letters' / 'config.json').write_text('{"model_type": "bert"}')  # somebody else's model
    refused('ulmfit', '--data', 'a.csv', '--out', 'letters', says=['letters'])
    assert (tmp_path / 'letters' / 'dear.txt').read_text() == 'dear'


@pytest.mark.parametrize(
    'args, says',
    [
        (['--limit', 0], 'limit'),
        (['--labels', 0], 'labels'),
        (['--epochs', -1], 'epochs'),
        (['--max-vocab', 5], 'max_vocab'),
        (['--size', 'huge'], 'huge'),
        (['--device', 'tpu'], 'tpu'),
        (['--limit', 3], 'training'),
    ],
)
def test_bad_settings(tmp_path, args, says):
    write_csv(tmp_path / 'a.csv', table())
    refused('ulmfit', '--data', 'a.csv', *args, says=[says])
    assert left(tmp_path) == ['a.csv']


def test_failing_run_leaves_the_old_model(trained, tmp_path, monkeypatch):
    "When the run dies while saving, the model of before stands and nothing else is left."
    from nlpdeep import core as core_mod
    from nlpdeep import text_classifier as text_classifier_mod

    shutil.copytree(trained[0] / 'model', tmp_path / 'm')
    before = {o.name: o.read_bytes() for o in (tmp_path / 'm').iterdir()}

    def full(*a, **k):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('safetensors.torch.save_file', full)
    with pytest.raises(InputError, match='disk is full'):
        TextClassifier.load(trained[0] / 'model').save(tmp_path / 'm')
    assert {o.name: o.read_bytes() for o in (tmp_path / 'm').iterdir()} == before and left(tmp_path) == ['m']


def test_lines_that_cannot_be_judged(trained):
    "One of them costs the others nothing, where that was asked for."
    m, lines = trained[0] / 'model', 'a fine film\n\nqwzxv bnmpq\na dull story\n'
    refused('classify', '--model', m, input=lines, says=['empty', '2'])
    r = CliRunner().invoke(app, ['classify', '--model', str(m), '--on-bad', 'skip'], input=lines)
    assert r.exit_code == 0 and len(r.stdout.splitlines()) == 2, r.output
    assert 'fine film' in r.stdout and 'dull story' in r.stdout and 'skipped text 2, 3 (' in r.stderr
    assert len(run('classify', '--model', m, '--on-bad', 'guess', input=lines).splitlines()) == 4
    refused('classify', '--model', m, '--on-bad', 'drop', 'a fine film', says=['--on-bad'])


def test_device_is_looked_at_first(tmp_path):
    "And not after the texts were read."
    for command in ('ulmfit', 'train'):
        refused(command, '--data', 'nowhere.csv', '--device', 'tpu', says=['--device', 'tpu'])


def test_a_warning_is_one_line(tmp_path):
    rows = table(60)
    both = [(*o, 'train') for o in rows] + [(*o, 'test') for o in rows[:20]]
    csv = write_csv(tmp_path / 'both.csv', both, ('text', 'label', 'part'))
    out = run('train', '--data', csv, '--out', 'm')
    line = [o for o in out.splitlines() if 'stand in the training part' in o]
    assert len(line) == 1 and line[0].startswith('warning: 20 of the 20 test texts'), out
    assert 'UserWarning' not in out and '.py' not in out


def test_going_on_with_another_seed_tests_on_no_learned_text(tmp_path):
    csv = write_csv(tmp_path / 'a.csv', table(120))
    run('train', '--data', csv, '--out', 'm', '--seed', 1)
    learned = learned_before('m', [t for t, _ in table(120)])
    out = run('train', '--data', csv, '--base', 'm', '--out', 'n', '--seed', 2, '--json', 'f.json')
    assert re.search(r'left out: \d+ texts to judge by, because m has learned', out), out
    figures = json.loads((tmp_path / 'f.json').read_text())
    judged = sum(o['texts'] for p in ('valid', 'test') for o in figures[p]['per_class'].values())
    assert 0 < judged <= (~learned).sum()
    known = [o for o, l in zip(table(120), learned) if l]
    write_csv(tmp_path / 'b.csv', known)
    refused(
        'train', '--data', 'b.csv', '--base', 'm', '--out', 'o', says=['has learned from all', 'new to it']
    )


def test_texts_to_classify(trained):
    m = trained[0] / 'model'
    refused('classify', '--model', m, '', says=['empty', '1'])
    refused('classify', '--model', m, 'a fine film', '   ', says=['empty', '2'])
    refused('classify', '--model', m, 'qwzxv bnmpq', says=['knows no word'])
    refused('classify', '--model', m, 'x' * 1_000_001, says=['1,000,000'])
    refused('classify', '--model', m, input='\n', says=['empty'])
    refused('classify', '--model', m, input='', says=['no text'])


@pytest.mark.parametrize(
    'args, says',
    [
        (['--temperature', -1], 'temperature'),
        (['-n', 0], 'n must'),
        (['--top-k', -1], 'top_k'),
        (['--words', -1], 'n_words'),
    ],
)
def test_bad_generate(trained, args, says):
    refused('generate', '--model', trained[0] / 'model', 'a film', *args, says=[says])


def edit(f, change):
    f.write_bytes(change(f.read_bytes()))


@pytest.mark.parametrize(
    'name, change, says',
    [
        ('model.safetensors', lambda b: b[: len(b) // 2], ['model.safetensors', 'cut']),
        ('model.safetensors', lambda b: b[:-4] + b'\0\0\0\1', ['model.safetensors', 'edited']),
        ('vocab.json', lambda b: b.replace(b'"film"', b'"movie"'), ['vocab.json']),
        ('tokenizer.json', lambda b: b.replace(b'words', b'chars'), ['tokenizer.json']),
        ('config.json', lambda b: b[: len(b) // 2], ['config.json', 'cut']),
        ('config.json', lambda b: b.replace(b'"rotten"', b'"bad"'), ['config.json', 'edited']),
        ('config.json', lambda b: b.replace(b'"format": 2', b'"format": 99'), ['newer', '99', 'pip install']),
        ('config.json', lambda b: b'{"model_type": "bert"}', ['not from nlpdeep']),
        ('config.json', lambda b: b'[]', ['not from nlpdeep']),
    ],
)
def test_damaged_model(trained, tmp_path, name, change, says):
    shutil.copytree(trained[0] / 'model', tmp_path / 'm')
    edit(tmp_path / 'm' / name, change)
    for cmd in (['classify', '--model', 'm', 'a fine film'], ['generate', '--model', 'm', 'a fine film']):
        refused(*cmd, says=says)


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors', 'vocab.json', 'tokenizer.json'])
def test_incomplete_model(trained, tmp_path, name):
    shutil.copytree(trained[0] / 'model', tmp_path / 'm')
    (tmp_path / 'm' / name).unlink()
    refused('classify', '--model', 'm', 'a fine film', says=[name])


def test_no_model(tmp_path):
    refused('classify', '--model', 'nowhere', 'a film', says=['nowhere', 'nlpdeep ulmfit'])
    refused('generate', '--model', 'nowhere', 'a film', says=['nowhere'])


def test_other_tokenizer(trained, monkeypatch):
    "A model whose words were cut in another way is refused."
    from nlpdeep import processor as processor_mod

    real = processor_mod.tokenize
    monkeypatch.setattr(
        processor_mod,
        'tokenize',
        lambda texts, lang='en', pieces=None: [t + ['more'] for t in real(texts, lang, pieces)],
    )
    refused('classify', '--model', trained[0] / 'model', 'a fine film', says=['another way'])


# bench and doctor


def test_bench_unknown():
    refused('bench', 'everything', says=["'everything'", *BENCHES])


def test_bench(monkeypatch, tmp_path):
    import nlpdeep
    from nlpdeep import benchmarks as benchmarks_mod

    rows = [dict(stage='one', ratio=2.0, low=1.5, high=3.0, identical=True)]
    monkeypatch.setattr(
        benchmarks_mod, 'bench_fake', lambda rounds: [dict(o, rounds=rounds) for o in rows], raising=False
    )
    monkeypatch.setitem(BENCHES, 'fake', ['bench_fake'])
    assert '2.00×' in run('bench', 'fake', '--rounds', 2, '--json', 'rows.json')
    assert json.loads((tmp_path / 'rows.json').read_text()) == [dict(rows[0], rounds=2)]
    refused('bench', 'fake', '--rounds', 0, says=['rounds'])
    monkeypatch.delattr(nlpdeep, 'benchmarks')  # what it needs is not installed
    monkeypatch.setitem(sys.modules, 'nlpdeep.benchmarks', None)
    refused('bench', 'fake', says=['benchmarks', 'doctor'])


def test_every_bench_is_there():
    for what in BENCHES:
        assert all(callable(o) for o in find_bench(what))


def test_bench_of_several_functions(monkeypatch):
    from nlpdeep import benchmarks as benchmarks_mod

    def row(name):
        return lambda rounds: [dict(stage=name, ratio=2.0, low=1.5, high=3.0, identical=True)]

    monkeypatch.setattr(benchmarks_mod, 'a', row('first'), raising=False)
    monkeypatch.setattr(benchmarks_mod, 'b', row('second'), raising=False)
    monkeypatch.setitem(BENCHES, 'fake', ['a', 'b'])
    out = run('bench', 'fake')
    assert re.findall('(?m)^(first|second) ', out) == ['first', 'second']


def test_bench_generate_finds_a_wrong_text(monkeypatch):
    from nlpdeep import generation as generation_mod
    from nlpdeep.benchmarks import bench_generate

    small, real = dict(rounds=1, emb_sz=8, n_hid=12, words=60, n_words=8, n=3), generation_mod.generate
    assert all(o['identical'] for o in bench_generate(**small))
    monkeypatch.setattr(generation_mod, 'generate', lambda *a, **k: [t + ' x' for t in real(*a, **k)])
    assert not any(o['identical'] for o in bench_generate(**small))


def test_bench_classify_counts_what_it_compares(monkeypatch):
    from nlpdeep import benchmarks as benchmarks_mod

    monkeypatch.setattr(benchmarks_mod, '_reviews', lambda n: [t for t, _ in table(n)])
    rows = bench_classify(rounds=1, emb_sz=8, n_hid=12, words=300, n=12, alone=4)
    assert (
        [o['stage'] for o in rows] == ['classify', 'classify, get_preds']
        and all(o['identical'] for o in rows)
        and [o['judged'] for o in rows] == [4, 12]
    )
    assert all(0 < o['compared'] <= o['judged'] for o in rows)


def test_doctor(monkeypatch):
    from nlpdeep import doctor as doctor_mod

    monkeypatch.setattr(
        doctor_mod, 'doctor', lambda network: [(True, 'torch 2'), (True, f'network {network}')]
    )
    assert 'ok  torch 2' in run('doctor') and 'network False' in run('doctor', '--no-network')
    monkeypatch.setattr(doctor_mod, 'doctor', lambda network: [(False, 'spacy is missing')])
    assert '!!  spacy is missing' in run('doctor', code=1)


def test_train_with_nothing_to_judge_by(tmp_path, monkeypatch):
    "A column `part` of training rows only, a seed below 0, and a table over itself: refused before any work."
    monkeypatch.chdir(tmp_path)
    texts = [f'a {"good" if k % 2 else "bad"} film, number {k}' for k in range(40)]
    df = pd.DataFrame(dict(text=texts, label=['good' if k % 2 else 'bad' for k in range(40)], part='train'))
    df.to_csv('t.csv', index=False)
    done = CliRunner().invoke(app, ['train', '--data', 't.csv', '--out', 'm'])
    assert 'no valid and no test row' in done.stderr and not (tmp_path / 'm').exists()
    done = CliRunner().invoke(
        app, ['train', '--data', 't.csv', '--limit', '20', '--seed', '-1', '--out', 'm']
    )
    assert 'seed of a draw' in done.stderr and not (tmp_path / 'm').exists()
    with pytest.raises(InputError, match='overwritten by its own verdicts'):
        classify_table(None, 't.csv', 't.csv')
    df.drop(columns='part').to_csv('s.csv', index=False, sep=';')
    with pytest.raises(InputError, match='separated by semicolons'):
        own_texts('s.csv')
