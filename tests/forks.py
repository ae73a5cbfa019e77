"""Forked processes for the tests.

A fork copies every lock as it stands at that moment, and only the thread that forks. A thread that still
holds a lock is gone in the child, and the child waits for it for ever. Python's `join` comes a little too
early to rule that out: the thread has done its work, but on its way out libraries still put its memory back
(MKL does so under a lock that every matrix product takes). On a busy machine it caught one fork in 200. So
`ask_a_fork` waits until the threads of a test have left the system, too (where /proc says so).
"""

import multiprocessing
import time
from pathlib import Path

import pytest

CAN_FORK = 'fork' in multiprocessing.get_all_start_methods()
needs_fork = pytest.mark.skipif(not CAN_FORK, reason='no fork on this system')
_TASKS = Path('/proc/self/task')


def _tasks():
    return {o.name for o in _TASKS.iterdir()} if _TASKS.exists() else set()


def _settled(quiet: float = 1):
    "Wait until no thread has come or gone for `quiet` seconds: the package reads in threads of its own, too."
    tasks, since = _tasks(), time.monotonic()
    while time.monotonic() - since < quiet:
        time.sleep(0.01)
        if (now := _tasks()) != tasks:
            tasks, since = now, time.monotonic()


def _answer(pipe, ask, args):
    pipe.send(ask(*args))


def ask_a_fork(ask, *args, seconds: float = 300):
    "What `ask(*args)` gives in a forked process. A fork that waits for a lost lock would never answer."
    _settled()
    mine, its = multiprocessing.Pipe()
    child = multiprocessing.get_context('fork').Process(target=_answer, args=(its, ask, args), daemon=True)
    child.start()
    try:
        assert mine.poll(seconds), f'the forked process gave no answer in {seconds} seconds'
        return mine.recv()
    finally:
        child.kill()
        child.join()
