"""Everything that only a GPU can show, on a machine that has one and no network: most valuable first, each
step in a process of its own, with a log of each.

    python nbs/runs/gpu/pack.py                                     here, once: makes .gpu
    python nbs/runs/gpu/go.py --out FOLDER [--steps tests,cells,bench,imdb+,wait] [--seconds 560]     there
    python nbs/runs/gpu/go.py --rehearse --pack .gpu-small          here: the same at tiny sizes
    python nbs/runs/gpu/go.py --take FOLDER                         here: adds its records to nbs/results

tests   tests/test_gpu.py
cells   the notebooks whose cells ask for a GPU, top to bottom, as plain Python
bench   a training step of the AWD-LSTM and of GPT-2, writing, and classifying, beside fastai and transformers
imdb+   nbs/runs/gpu/imdb_awd.py begins in the background, and outlives this process
wait    until it is done

Wheels of the pack are installed into a folder of their own. What a step prints is in FOLDER/STEP.log;
records are in FOLDER/results."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
NOTEBOOKS = ('07c_encoder', '08a_precision', '08_training', '05_rnn', '11_gpt2')
BEGIN = time.monotonic()


def say(*what):
    print(f'{time.monotonic() - BEGIN:5.0f} s ', *what, flush=True)


def environment(a) -> dict:
    "Where the steps find wheels, this checkout and the place for records."
    site = a.site
    if not a.rehearse and not site.exists():
        pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-index', '--no-deps', '--no-compile']
        subprocess.run(
            [*pip, '--target', str(site), *map(str, (a.pack / 'wheels').glob('*.whl'))], check=True
        )
        say('wheels installed')
    path = [str(site), str(ROOT), os.environ.get('PYTHONPATH', '')]
    return dict(
        os.environ,
        PYTHONPATH=os.pathsep.join(filter(None, path)),
        NLPDEEP_RESULTS=str(a.out / 'results'),
        NLPDEEP_SIZE='tiny',
        MPLBACKEND='agg',
        HF_HUB_OFFLINE='1',
        TOKENIZERS_PARALLELISM='false',
        PYTHONUNBUFFERED='1',
        OMP_NUM_THREADS=os.environ.get('OMP_NUM_THREADS', '4'),
    )


def command(step, a) -> list[str]:
    python = sys.executable
    if step == 'tests':
        options = ['-n', '0', '-q', '-p', 'no:cacheprovider', '--tb=short', '--durations=5']
        return [python, '-m', 'pytest', *options, 'tests/test_gpu.py']
    if step == 'imdb':
        small = ['--small', '--classifier', '5'] if a.rehearse else []
        folders = ['--pack', str(a.pack), '--work', str(a.work)]
        return [python, str(HERE / 'imdb_awd.py'), *folders, '--seconds', str(a.imdb_seconds), *small]
    small = ['--small'] if a.rehearse else []
    return [python, str(HERE / f'{step}.py'), *small, *(NOTEBOOKS if step == 'cells' else ())]


def run(step, a, env) -> str:
    "One step; its outcome in a word."
    left = a.seconds - (time.monotonic() - BEGIN)
    if step == 'cells':  # they read this checkout's records
        env = {k: v for k, v in env.items() if k != 'NLPDEEP_RESULTS'}
    if left < 15:
        return 'no time left'
    with open(a.out / f'{step}.log', 'w') as log:
        try:
            r = subprocess.run(
                command(step, a), cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, timeout=left
            )
        except subprocess.TimeoutExpired:
            return 'stopped: no time left'
    return 'ok' if r.returncode == 0 else f'failed ({r.returncode})'


def begin_imdb(a, env):
    "In the background, in a session of its own: it outlives this process."
    a.work.mkdir(parents=True, exist_ok=True)
    with open(a.work / 'imdb.log', 'a') as log:
        subprocess.Popen(
            command('imdb', a),
            cwd=ROOT,
            env=env | dict(NLPDEEP_SIZE='full'),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_for_imdb(a):
    "Until it is done, or the time is up; what it wrote is copied."
    log = a.work / 'imdb.log'
    while time.monotonic() - BEGIN < a.seconds:
        text = log.read_text() if log.exists() else ''
        if text.rstrip().endswith('done') or 'Traceback' in text:
            break
        time.sleep(1)
    for f in (log, a.work / 'plan.json', a.work / 'valid.npy', a.work / 'test.npy'):
        if f.exists():
            (a.out / f.name).write_bytes(f.read_bytes())
    return 'ok' if log.exists() and log.read_text().rstrip().endswith('done') else 'not done'


def take(folder: Path):
    "Add the records that another machine made to those of this checkout."
    from nlpdeep.core import write_json

    commit = (folder / 'results' / 'commit.txt').read_text().strip()
    for f in sorted((folder / 'results').glob('*.json')):
        mine = ROOT / 'nbs' / 'results' / f.name
        old = json.loads(mine.read_text()) if mine.exists() else []
        new = json.loads(f.read_text())
        for o in new:  # the other machine's git, if it has one, knows nothing of what was sent
            o['commit'] = commit

        def key(o):
            return [o.get(k) for k in ('data', 'seed', 'size', 'config', 'device')]

        kept = [o for o in old if key(o) not in [key(n) for n in new]]
        write_json(mine, kept + new)
        print(f.name, len(new), 'records taken')


def main(a):
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / 'results').mkdir(exist_ok=True)
    (a.out / 'results' / 'commit.txt').write_text((a.pack / 'commit.txt').read_text())
    env, outcome = environment(a), {}
    for step in a.steps.split(','):
        if step == 'imdb+':
            begin_imdb(a, env)
            continue
        outcome[step] = wait_for_imdb(a) if step == 'wait' else run(step, a, env)
        say(step, outcome[step])
        log = a.out / ('imdb.log' if step == 'wait' else f'{step}.log')
        if log.exists():
            print('\n'.join(log.read_text().splitlines()[-a.lines :]), flush=True)
    say(outcome)


if __name__ == '__main__':
    a = argparse.ArgumentParser()
    a.add_argument('--pack', type=Path, default=Path('.gpu'))
    a.add_argument('--out', type=Path, default=Path('runs/gpu'))
    a.add_argument('--work', type=Path, default=Path('/tmp/imdb_awd'))
    a.add_argument('--site', type=Path, default=Path('/tmp/site'))
    a.add_argument('--steps', default='tests,cells,bench,imdb+,wait')
    a.add_argument('--seconds', type=float, default=560, help='how long all of it may take')
    a.add_argument('--imdb-seconds', type=float, default=540)
    a.add_argument('--lines', type=int, default=25, help='of each log, shown at the end')
    a.add_argument('--rehearse', action='store_true')
    a.add_argument('--take', type=Path)
    a = a.parse_args()
    if a.take:
        take(a.take)
    else:
        a.pack, a.out, a.work, a.site = (o.resolve() for o in (a.pack, a.out, a.work, a.site))
        main(a)
