"Records that prove themselves: what they depend on, whether they are missing or stale, and what they show."

import itertools
import json
import re
from types import SimpleNamespace

import notebooks as nbs
import numpy as np
import pandas as pd
import pytest

from nlpdeep import provenance as prov
from nlpdeep import runs as R
from nlpdeep.core import InputError, write_json
from nlpdeep.records import Roof, bench, record, results, results_dir

SCRIPT = '''"""Toy."""
from nlpdeep.runs import Plan, run_script
from nlpdeep.corpora import human_numbers
from nlpdeep import core as ground
PLAN = Plan(makes='toy', chapter='00', minutes=1, data='d', configs=[dict(k=(1, 2)), dict(k=3)],
            seeds=lambda c: (0,) if c['k'] == 3 else (0, 1))
def run(seed, k):
    ground.pick
    return dict(n=len(human_numbers('valid')), seed=seed)
if __name__ == '__main__':
    run_script(__file__)
'''


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv('NLPDEEP_RUNS', str(tmp_path / 'runs'))
    monkeypatch.setenv('NLPDEEP_RESULTS', str(tmp_path / 'results'))
    (tmp_path / 'runs').mkdir()
    file = tmp_path / 'runs' / 'toy.py'
    file.write_text(SCRIPT)
    return file


@pytest.mark.parametrize(
    'a, b, equal',
    [
        ('x = 1', 'x = 1  # one', True),
        ('def f():\n    "Doc."', 'def f():\n    pass', True),
        ('def f(x): return x', 'def f(x: int) -> int:\n    return (\n        x\n    )', True),
        ('class A:\n    "Doc."\n    x = 1', 'class A:\n    x = 1', True),
        ("x = ' '", "x = ''", False),
        ('x = 1', 'x = 1.0', False),
        ('x = None', 'x = 0', False),
        ('def f(x=1): return x', 'def f(x=2): return x', False),
        ('f(a, b)', 'f(b, a)', False),
        ('x = a.b', 'x = a.c', False),
        ('x = not a', 'x = -a', False),
        ("x = f'{a:.1f}'", "x = f'{a:.2f}'", False),
    ],
)
def test_what_counts_as_a_change(a, b, equal):
    assert (prov.code_hash(a) == prov.code_hash(b)) == equal


def test_what_a_script_reaches(toy):
    used = prov.code_used(toy)
    assert {('corpora.py', 'human_numbers'), ('corpora.py', 'number_words'), ('corpora.py', '_TENS')} <= set(
        used
    )
    assert ('core.py', 'pick') in used, 'a name of an imported module'
    assert not {('corpora.py', 'imdb'), ('runs.py', 'make'), ('records.py', 'record')} & set(used)
    schedules = prov.code_used(nbs.NBS / 'runs' / 'schedules.py')
    assert {('regularization.py', 'LMModel7'), ('course.py', 'sequence_dls'), ('schedules.py', 'run')} <= set(
        schedules
    )
    assert 'cli.py' not in {f for f, _ in schedules}


def test_only_what_a_run_depends_on_makes_it_stale(toy):
    say = [].append
    assert R.make(toy, say=say) == 0 and len(results('toy')) == 3
    before = (results_dir() / 'toy.json').read_text()

    def look():
        (row,) = R.look()
        return row['planned'], row['missing'], row['stale'], row['why']

    assert look() == (3, 0, 0, '')
    toy.write_text(SCRIPT.replace('minutes=1', 'minutes=2') + '\n# a comment\n')
    assert look() == (3, 0, 0, '')
    toy.write_text(SCRIPT.replace("'valid'", "'train'"))
    assert look() == (3, 0, 3, 'script')
    R.make(toy, say=say)
    assert (results_dir() / 'toy.json').read_text() == before, 'what is recorded was run again unasked'
    R.make(toy, stale=True, say=say)
    assert look() == (3, 0, 0, '') and len(results('toy')) == 3
    toy.write_text(SCRIPT.replace('dict(k=3)', 'dict(k=3), dict(k=4)').replace("'valid'", "'train'"))
    assert look() == (5, 2, 0, '')
    R.make(toy, only='4', seeds=[7], say=say)
    assert [o['seed'] for o in results('toy') if o['config'] == dict(k=4)] == [7]


def test_a_run_made_again_takes_the_place_of_what_it_made_before(toy):
    R.make(toy, say=[].append)
    rows = results('toy')
    write_json(
        results_dir() / 'toy.json',
        [
            dict(rows[0], precision='bf16'),
            dict(rows[1], archived='gone'),
            *rows[1:],
            dict(rows[2], device='T4'),
        ],
    )
    R.make(toy, again=True, say=[].append)
    assert [o['precision'] for o in results('toy')] == ['fp32'] * 3
    assert len(results('toy', 'all', archived=True)) == 5, 'an archived record or one of a GPU is gone'


def test_what_stands_in_another_file_is_made_anew_with_it(toy):
    "A row of another precision, whose key is not quite the same, is no second run beside the new one."
    text = (
        toy.read_text()
        .replace('import run_script', 'import Row, run_script')
        .replace('Plan, ', 'Plan, Row, ')
    )
    beside = (
        "[Row(dict(n=1)), *(Row(dict(m=j), dict(j=j, said=k), makes='beside', seed=None) for j in (1, 2))]"
    )
    toy.write_text(re.sub(r'    return dict\(n=.*', f'    return {beside}', text))
    R.make(toy, say=[].append)
    rows = results('beside')
    assert len(rows) == 4
    other = [dict(o, precision='bf16', config=o['config'] | dict(said='otherwise')) for o in rows]
    gpu = dict(rows[0], device='T4')
    write_json(results_dir() / 'beside.json', [*other, *rows, gpu])
    R.make(toy, again=True, say=[].append)
    assert [o['precision'] for o in results('beside')] == ['fp32'] * 4
    assert len(results('beside', 'all')) == 5, 'that of a GPU is gone'


def test_a_run_is_not_charged_with_what_its_process_read_before(toy):
    prov.note_data('movie_snippets', ['another content than the data set has'])
    R.make(toy, say=[].append)
    assert all('movie_snippets' not in o['provenance']['data'] for o in results('toy'))
    assert R.look()[0]['stale'] == 0
    assert 'movie_snippets' in prov.used_data(), 'what was noted before is forgotten'


def test_other_data_makes_a_run_stale(toy, monkeypatch):
    R.make(toy, say=[].append)
    rows = results('toy')
    for o in rows:
        o['provenance']['data'] = {'movie_snippets': 'another'}
    write_json(results_dir() / 'toy.json', rows)
    monkeypatch.setattr(R, 'present_data', lambda names: dict.fromkeys(names, 'this'))
    assert R.look()[0]['why'] == 'data'
    monkeypatch.setattr(R, 'present_data', lambda names: {})  # not at hand: nothing can be said
    assert R.look()[0]['stale'] == 0


def test_a_record_names_what_made_it(toy):
    R.make(toy, say=[].append)
    prov.note_data('toy data', ['a'])
    row = record('toy', dict(n=1), data='d', script=toy)
    assert row['provenance'] == prov.made_from(toy) | dict(data=prov.used_data())
    assert row['provenance']['data']['toy data'] == prov.data_hash(['a'])
    assert row['commit'].endswith('+') or row['commit'] == 'unknown', (
        'a script in no commit counts as changed'
    )


def test_archived_records_are_kept_and_not_shown(toy):
    R.make(toy, say=[].append)
    rows = results('toy')
    write_json(results_dir() / 'toy.json', [dict(rows[0], archived='its model is gone'), *rows[1:]])
    assert len(results('toy')) == 2 and len(results('toy', archived=True)) == 3
    assert R.look()[0]['missing'] == 1
    R.make(toy, say=[].append)  # made anew beside the archived one, which stays
    assert len(results('toy')) == 3 and len(results('toy', archived=True)) == 4


def test_readme_lists_every_script():
    readme = (nbs.NBS / 'runs' / 'README.md').read_text(encoding='utf-8')
    assert nbs.linked_runs(readme) == readme, 'run: python tests/notebooks.py links'
    for name, file in R.scripts().items():
        assert name in readme and R.glance(file)['about'], name


def test_bad_input_of_runs(toy, monkeypatch):
    for text in ('', 'a', '3-1', '1,,2', '-1'):
        with pytest.raises(InputError, match='write 1-5'):
            R.seed_range(text)
    with pytest.raises(InputError, match='there are: toy'):
        R.find_script('tay')
    toy.write_text('x = 1')
    with pytest.raises(InputError, match='no PLAN'):
        R.load_script(toy)
    monkeypatch.setenv('NLPDEEP_RUNS', str(toy))
    with pytest.raises(InputError, match='clone the repository'):
        R.runs_dir()


def test_published_figures_say_where_they_stand():
    "Each has a file, a unit, an epoch and a source; a range is that of its figures."
    for name, entries in json.loads((nbs.NBS / 'results' / 'published.json').read_text('utf-8')).items():
        for row, o in entries.items():
            assert all(o.get(k) for k in ('value', 'file', 'unit', 'epoch', 'source')), f'{name}: {row}'
            if 'figures' in o:
                shown = [float(n) for n in re.findall(r'\d+(?:\.\d+)?', o['value'].replace(',', ''))]
                assert shown == sorted({min(o['figures'].values()), max(o['figures'].values())}), row
                assert sorted(o['figures']) == sorted(o['file'].split(', ')), row


def test_figures_of_the_lessons_in_prose_are_published():
    "A sentence that quotes a result of the lessons quotes one that published.json has."
    published = json.loads((nbs.NBS / 'results' / 'published.json').read_text('utf-8'))
    known = {
        float(n)
        for entries in published.values()
        for o in entries.values()
        for n in re.findall(
            r'\d+(?:\.\d+)?', f'{o["value"]} {list(o.get("figures", {}).values())}'.replace(',', '')
        )
    }
    for path in nbs.all_notebooks():
        for cell in nbs.read(path)['cells']:
            for sentence in re.split(r'(?<=[.!?])\s+|\n', ''.join(cell['source'])):
                if cell['cell_type'] != 'markdown' or not re.search(
                    r'\b(the|those) lessons\b|fastbook', sentence
                ):
                    continue
                for above, n in re.findall(r'(above |over )?(\d+(?:\.\d+)?) ?%|perplexity of \d+', sentence):
                    ok = any(k > float(n) for k in known) if above else not n or float(n) in known
                    assert ok, f'{path.name}: {sentence}'


def test_rows_with_minutes_of_their_own_take_none_from_the_others(toy, monkeypatch):
    "What a run took is shared out among the rows that do not say it themselves."
    toy.write_text(
        SCRIPT.replace('import Plan, ', 'import Plan, Row, ').replace(
            "return dict(n=len(human_numbers('valid')), seed=seed)",
            'return [Row(dict(n=1), dict(row=i), minutes=m) for i, m in enumerate((None, None, 0, 4))]',
        )
    )
    ticks = itertools.count(0, 600)  # ten minutes between two looks at the clock
    monkeypatch.setattr(R, 'time', SimpleNamespace(time=lambda: next(ticks)))
    R.make(toy, only='3', say=lambda line: None)
    assert sorted(o['minutes'] for o in results('toy')) == [0, 3, 3, 4]


@pytest.mark.parametrize('name', ['bench_text', 'gaps', 'gpt2_bench', 'lstm_step', 'train_step', 'train_use'])
def test_a_bench_is_recorded_as_numbers(name, tmp_path, monkeypatch):
    "The words in a row of `bench`, its unit and its roof, are no metrics: no run fails at them."
    script = R.load_script(R.find_script(name))
    row = bench(
        '', lambda: 1, lambda: 1, rounds=1, simple=lambda: 1, roof=Roof(lambda: 1, 1, 'naps', 'a short sleep')
    )
    stages = [config['stage'] for config, _ in R.planned(script.PLAN)]
    for made in [o for o in vars(script) if o.startswith('bench_') and o != 'bench_metrics']:
        monkeypatch.setattr(script, made, lambda *a, **kw: [dict(row, stage=s) for s in stages])
    if name == 'bench_text':
        monkeypatch.setattr(script, 'beside_lists', lambda rounds: row)
        monkeypatch.setattr(script, 'corpus', lambda: 'texts')
    monkeypatch.setenv('NLPDEEP_RESULTS', str(tmp_path))
    for config, seed in R.planned(script.PLAN):
        made = script.run(seed, **config)
        for metrics in [o.metrics for o in made] if isinstance(made, list) else [made]:
            assert record(name, metrics, 'texts')['metrics']


def test_readers_remember_after_their_speed_was_measured(monkeypatch):
    "Runs that follow the speeds in the same process would else read every text again."
    script = R.load_script(R.find_script('classifiers'))
    source = script.Remembered(SimpleNamespace(features=lambda texts: np.ones((len(texts), 1))))
    way = SimpleNamespace(fit=lambda *a: 'a model', disk=None)
    texts = pd.DataFrame(dict(text=[f'text {k}' for k in range(200)], label='fresh'))

    def measured(models, *a):
        assert source.anew
        return dict.fromkeys(models, 1.0)

    monkeypatch.setattr(script, 'WAYS', {'one': way})
    monkeypatch.setattr(script, 'reader', lambda name: source)
    monkeypatch.setattr(script, 'draw', lambda labels, seed: texts)
    monkeypatch.setattr(script, 'parts', lambda: dict(test=texts))
    monkeypatch.setattr(script, 'texts_a_second', measured)
    monkeypatch.setattr(script, 'bench_reader', lambda rounds: [dict(ratio=1.0, identical=True)])
    assert len(script.speed(1)) == 2 and not source.anew


def test_text_as_a_metric_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv('NLPDEEP_RESULTS', str(tmp_path))
    with pytest.raises(InputError, match='these are text: unit'):
        record('toy', dict(rate=1.0, unit='naps'), 'texts')


def test_a_script_called_as_a_module_is_is_told_from_it(tmp_path):
    "`nbs/runs/schedules.py` and `nlpdeep/schedules.py`: a new chapter in the plan made its records stale."
    hashes = []
    for chapter, value in (('08_training', 1), ('08d_schedules', 1), ('08d_schedules', 2)):
        script = tmp_path / 'schedules.py'
        script.write_text(
            'from nlpdeep.schedules import layer_rates\nfrom nlpdeep.runs import Plan\n'
            f"PLAN = Plan(makes='x', chapter={chapter!r}, minutes=1)\n"
            f'def layer_groups(k):\n    return layer_rates(1e-2, {value})\n'
        )
        hashes.append(prov.made_from(script))
    assert hashes[0] == hashes[1] != hashes[2]
    assert ('nlpdeep/schedules.py', 'layer_rates') in prov.code_used(script)
    assert hashes[1]['package_hash'] == hashes[2]['package_hash']
