"What every test shares."

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import `notebooks` and each other's helpers by name
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
os.environ.setdefault('HF_HUB_OFFLINE', '1')  # a test never waits for a hub
# Tiny models are fastest on one thread, and on a busy machine two threads are many times slower.
os.environ.setdefault('OMP_NUM_THREADS', '1')


def pytest_collection_modifyitems(items):
    "Notebooks are dealt out to the workers one by one; the tests of any other file stay together."
    for item in items:
        if item.path.name == 'test_notebooks.py':
            if 'test_runs' in item.name:
                item.add_marker('slow')
                continue
        item.add_marker(pytest.mark.xdist_group(item.path.name))
