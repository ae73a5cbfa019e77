"""Models, learners, generation and classifiers on a pretended GPU (tests/cudasim): is any tensor left on the
wrong device?
"""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    not shutil.which('g++') or os.name == 'nt', reason='the pretended GPU needs g++ to build its guard'
)
CASES = [
    'rnn_models',
    'awd_lstm',
    'state_follows_the_model',
    'gpt2',
    'learner_fp32',
    'learner_bf16',
    'learner_fp16',
    'checkpoint',
    'generation_lstm',
    'generation_gpt2',
    'classifier_ulmfit',
    'classifier_gpt2',
]
MISTAKES = ['mixed_devices', 'numpy_of_a_gpu_tensor', 'dropout_mask_on_the_cpu']


def run_checks(**more) -> dict:
    "The outcomes of cudasim_checks.py, run in a process of its own; `more`: for its environment."
    path = os.pathsep.join([str(HERE.parent), os.environ.get('PYTHONPATH', '')])
    r = subprocess.run(
        [sys.executable, str(HERE / 'cudasim_checks.py')],
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1', **more),
        timeout=900,
    )
    assert r.returncode == 0, r.stderr[-2000:]
    return json.loads(r.stdout.splitlines()[-1])


@functools.cache
def found() -> dict:
    "All outcomes, from one process: cudasim must be imported before torch."
    import torch

    if torch.version.cuda:
        pytest.skip('the pretended GPU needs a CPU build of PyTorch')
    return run_checks()


@pytest.mark.parametrize('name', CASES)
def test_runs_on_a_gpu(name):
    assert found()['cases'][name] == 'ok'


@pytest.mark.parametrize('name', MISTAKES)
def test_mistakes_are_caught(name):
    assert found()['mistakes'][name].startswith('DeviceMistake')


def test_every_check_is_listed():
    assert list(found()['cases']) == CASES and list(found()['mistakes']) == MISTAKES
