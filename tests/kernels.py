"""Kernels for the tests of the notebooks, forked from a process that has imported what most of them need:
importing takes longer than many a notebook does. Nothing of nlpdeep is imported there, nor fastai and
fastcore, which look for a notebook when they are imported and print otherwise outside of one; a kernel's
variables are its own. `tests/notebooks.py save` and `check` start kernels in the plain way, which sees a
missing import.

`Zygote(env)` is that process; `zygote.manager()` a class of kernel managers for nbclient. For each kernel
Jupyter starts a small process (`python kernels.py ask SOCKET FILE`), which asks the zygote for a fork, hands
interrupts on to it, and ends with it; where the small process is killed, the kernel goes too.
"""

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

IMPORTED = (
    'numpy matplotlib.pyplot scipy.stats sklearn.linear_model sklearn.feature_extraction.text torch spacy '
    'ipykernel.kernelapp ipykernel.ipkernel'
).split()


def serve(place):
    "Import, then fork a keeper for each kernel that is asked for, until the parent is gone."
    import importlib

    for name in IMPORTED:
        try:
            importlib.import_module(name)
        except Exception:  # a notebook that needs it will say so
            pass
    parent = os.getppid()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place)
        server.listen()
        server.settimeout(1)
        while os.getppid() == parent:
            try:
                asked, _ = server.accept()
            except TimeoutError:
                _reap()
                continue
            if os.fork() == 0:
                server.close()
                keep(asked)  # does not come back, but for the kernel itself
                return
            asked.close()
            _reap()


def _reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def keep(asked):
    "Fork the kernel; hand interrupts on; say how it ended; end it when whoever asked is gone."
    asked.settimeout(None)
    with asked.makefile('r') as f:
        told = json.loads(f.readline())
    pid = os.fork()
    if pid == 0:
        asked.close()
        become_kernel(**told)
        return
    asked.settimeout(0.05)
    while True:
        try:
            word = asked.recv(1)
        except TimeoutError:
            word = None
        if word == b'':
            os.killpg(pid, signal.SIGKILL)
        elif word is not None:
            os.kill(pid, signal.SIGINT)
        done, status = os.waitpid(pid, 0 if word == b'' else os.WNOHANG)
        if done:
            break
    if word != b'':
        asked.sendall(bytes([abs(os.waitstatus_to_exitcode(status)) % 256]))
    os._exit(0)


def become_kernel(file, more, cwd, env):
    os.setsid()
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [*filter(None, env.get('PYTHONPATH', '').split(os.pathsep)), *sys.path[1:]]
    sys.argv = ['ipykernel_launcher', '-f', file, f'--IPKernelApp.parent_handle={os.getppid()}', *more]
    if 'pandas' in sys.modules:  # it took the zygote for a terminal, where all columns have to fit
        sys.modules['pandas'].set_option('display.max_columns', 20)
    from ipykernel import kernelapp

    status = 0
    try:
        kernelapp.launch_new_instance()
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else int(e.code is not None)
    # What Python does at its end, and no more: the libraries' own exits wait for threads that a fork has not,
    # until the kernel is killed three seconds later
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(status)


def ask(place, file, *more):
    "The process that Jupyter starts: a kernel of the zygote's, as if it were this one."
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(place)
        signal.signal(signal.SIGINT, lambda *_: s.sendall(b'i'))
        told = dict(file=file, more=more, cwd=os.getcwd(), env=dict(os.environ))
        s.sendall((json.dumps(told) + '\n').encode())
        sys.exit(s.recv(1)[0])


class Zygote:
    "A process that has imported IMPORTED, for kernels with the environment `env`."

    def __init__(self, env):
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.place = os.path.join(self.folder.name, 'socket')
        self.process = subprocess.Popen(
            [sys.executable, __file__, 'serve', self.place],
            env=env | dict(MPLBACKEND='module://matplotlib_inline.backend_inline'),  # as a kernel sets it
            stdin=subprocess.DEVNULL,
        )

    def ready(self):
        "Does it listen by now, or will it?"
        import time

        while self.process.poll() is None and not os.path.exists(self.place):
            time.sleep(0.05)
        return self.process.poll() is None

    def manager(self):
        from jupyter_client.kernelspec import KernelSpec
        from jupyter_client.manager import AsyncKernelManager

        argv = [sys.executable, '-S', '-E', __file__, 'ask', self.place, '{connection_file}']

        class Forked(AsyncKernelManager):
            @property
            def kernel_spec(self):
                return KernelSpec(argv=argv, language='python', display_name='forked')

        return Forked

    def close(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


if __name__ == '__main__':
    what, *rest = sys.argv[1:]
    dict(serve=serve, ask=ask)[what](*rest)
