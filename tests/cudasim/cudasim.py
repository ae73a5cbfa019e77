"""A pretended CUDA device on a CPU build of PyTorch: tensors say `cuda:0` (is_cuda, device, dispatch keys,
autocast, autograd), hold real CPU data inside,
and every operation that mixes devices as no GPU would allow raises DeviceMistake. A few lines of C++
(noop_guard.cpp, built on first use) let autograd accept the device."""

import contextlib
import ctypes
import importlib.util
import os
import subprocess
import sys
import tempfile
import traceback

assert 'torch' not in sys.modules, 'import cudasim before torch (and before nlpdeep)'


def _built():
    "noop_guard.so, compiled once (some seconds, g++; nothing but PyTorch's own headers)."
    here, lib = (
        os.path.dirname(os.path.abspath(__file__)),
        os.path.dirname(importlib.util.find_spec('torch').origin),
    )
    so = os.path.join(tempfile.gettempdir(), f'noop_guard-{os.getuid()}-{os.path.getmtime(lib):.0f}.so')
    if not os.path.exists(so):
        part = f'{so}.{os.getpid()}'  # several test processes may build it at once
        subprocess.run(
            [
                'g++',
                '-std=c++20',
                '-O0',
                '-shared',
                '-fPIC',
                f'-I{lib}/include',
                f'-I{lib}/include/torch/csrc/api/include',
                f'{here}/noop_guard.cpp',
                '-o',
                part,
                f'-L{lib}/lib',
                '-lc10',
                '-ltorch_cpu',
                f'-Wl,-rpath,{lib}/lib',
            ],
            check=True,
        )
        os.replace(part, so)
    return so


ctypes.CDLL(_built(), mode=ctypes.RTLD_GLOBAL)
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device('cuda:0')
A = torch.ops.aten


class DeviceMistake(RuntimeError):
    pass


_lib = torch.library.Library('aten', 'IMPL')


def _cell(ig, hg, cx, ib=None, hb=None):
    g = ig + hg + (0 if ib is None else ib + hb)
    i, f, c, o = g.chunk(4, 1)
    i, f, c, o = i.sigmoid(), f.sigmoid(), c.tanh(), o.sigmoid()
    cy = f * cx + i * c
    return o * cy.tanh(), cy, torch.cat([i, f, c, o], 1)


def _cell_back(gh, gc, cx, cy, ws, has_bias):
    i, f, c, o = ws.chunk(4, 1)
    t = cy.tanh()
    gh = torch.zeros_like(cy) if gh is None else gh
    gc = torch.zeros_like(cy) if gc is None else gc
    d = gh * o * (1 - t * t) + gc
    g = torch.cat([d * c * i * (1 - i), d * cx * f * (1 - f), d * i * (1 - c * c), gh * t * o * (1 - o)], 1)
    return g, d * f, g.sum(0) if has_bias else torch.zeros(0)


_lib.impl('_thnn_fused_lstm_cell', _cell, 'CPU')
_lib.impl('_thnn_fused_lstm_cell_backward_impl', _cell_back, 'CPU')


def _listed(i):
    return tuple(map(_listed, i)) if isinstance(i, tuple) else torch.tensor(i) if isinstance(i, list) else i


class Sim(torch.Tensor):
    @staticmethod
    def __new__(cls, inner):
        r = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=CUDA,
            requires_grad=False,
        )
        r.inner = inner
        return r

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def tolist(self):
        return self.inner.tolist()

    def data_ptr(self):
        return self.inner.data_ptr()

    def __getitem__(self, i):
        return super().__getitem__(_listed(i))

    def __setitem__(self, i, v):
        return super().__setitem__(_listed(i), v)

    def cpu(self, *a, **k):
        return self.inner.clone() if torch.is_inference_mode_enabled() else super().cpu(*a, **k)

    def as_subclass(self, cls):
        return self  # fastai's typed tensors: the type is lost here, the device is what counts

    def numpy(self, *a, **k):
        raise DeviceMistake(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host "
            'memory first.'
        )

    def __array__(self, *a, **k):
        return self.numpy()

    def __repr__(self):
        return f'Sim({self.inner!r})'

    def __tensor_flatten__(self):
        return ['inner'], None

    def __deepcopy__(self, memo):
        return Sim(self.inner.clone())


def is_sim(o):
    return isinstance(o, Sim)


MIX = {A.copy_.default, A._to_copy.default, A.set_.source_Tensor}
INDEX = {
    A.index.Tensor,
    A._unsafe_index.Tensor,
    A.index_put_.default,
    A.index_put.default,
    A._index_put_impl_.default,
    A._unsafe_index_put.default,
}


def check(func, args, kwargs):
    ts = [o for o in tree_flatten((args, kwargs))[0] if isinstance(o, torch.Tensor)]
    if func in MIX or not any(map(is_sim, ts)):
        return
    if func in INDEX:
        if not is_sim(args[0]):
            raise DeviceMistake(
                f'{func}: indices should be either on cpu or on the same device as the indexed tensor (cpu)'
            )
        ts = [args[0]] + ([args[2]] if len(args) > 2 else [])
    strict = 'fused' in str(func) or '_amp_' in str(func)
    bad = [o for o in ts if not is_sim(o) and (o.dim() or strict)]
    if bad:
        raise DeviceMistake(
            f'{func}: expected all tensors to be on the same device, but found cuda:0 and cpu '
            f'{[tuple(o.shape) for o in bad]}'
        )


def run(func, args, kwargs):
    check(func, args, kwargs)
    ts = [o for o in tree_flatten((args, kwargs))[0] if isinstance(o, torch.Tensor)]
    dev = kwargs.get('device')
    if dev is None:
        dev = next((o for o in args if isinstance(o, torch.device)), None)
    sim = any(map(is_sim, ts)) if dev is None else torch.device(dev).type == 'cuda'
    if func is A.copy_.default:
        sim = is_sim(args[0])

    def un(o):
        return (
            o.inner
            if is_sim(o)
            else torch.device('cpu')
            if isinstance(o, torch.device) and o.type == 'cuda'
            else o
        )

    a, k = tree_map(un, args), tree_map(un, kwargs)
    if k.get('pin_memory'):
        k['pin_memory'] = False
    out = func(*a, **k)
    if func is A._local_scalar_dense.default or func is A.is_same_size.default:
        return out
    known = {id(o.inner): o for o in ts if is_sim(o)}
    out = tree_map(
        lambda o: (
            known.get(id(o))
            if id(o) in known
            else Sim(o)
            if isinstance(o, torch.Tensor) and sim and not is_sim(o)
            else o
        ),
        out,
    )
    if func in (A._to_copy.default,):
        return out
    for o in ts:  # in-place operations that changed a shape (out=, resize_)
        pass
    return return_and_correct_aliasing(func, args, kwargs, out)


class Mode(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})


def to_cuda(m, memo=None):
    "A module's parameters and buffers on the pretended device, ties kept."
    memo = {} if memo is None else memo
    for s in m.modules():
        for n, p in list(s._parameters.items()):
            if p is None or is_sim(p):
                continue
            if id(p) not in memo:
                q = nn.Parameter(Sim(p.detach().clone()), requires_grad=p.requires_grad)
                memo[id(p)] = (p, q)
            s._parameters[n] = memo[id(p)][1]
        for n, b in list(s._buffers.items()):
            if b is not None and not is_sim(b):
                s._buffers[n] = Sim(b.detach().clone())
    for s in m.modules():
        if isinstance(s, nn.RNNBase):
            s._flat_weights = [getattr(s, w) if hasattr(s, w) else None for w in s._flat_weights_names]
        if hasattr(s, '_flatten'):
            s._flatten()
    return m


@contextlib.contextmanager
def pretend():
    import torch.cuda.amp.common as common

    import nlpdeep.core as core

    saved = []

    def patch(o, n, v):
        saved.append((o, n, getattr(o, n), n in vars(o)))
        setattr(o, n, v)

    _to = nn.Module.to

    def to(self, *a, **k):
        d = a[0] if a else k.get('device')
        if isinstance(d, torch.Tensor):
            d = d.device
        if isinstance(d, (str, torch.device, int)) and not isinstance(d, bool):
            if torch.device(d).type == 'cuda':
                return to_cuda(self)
            if any(map(is_sim, self.parameters())):
                raise NotImplementedError('back to cpu')
        return _to(self, *a, **k)

    patch(nn.Module, 'to', to)
    patch(nn.Module, 'cuda', lambda self, *a: to_cuda(self))
    patch(common, 'amp_definitely_not_available', lambda: False)

    patch(torch.cuda, 'is_available', lambda: True)
    patch(torch.cuda, '_lazy_init', lambda: None)
    patch(torch.cuda, 'is_bf16_supported', lambda *a, **k: True)
    patch(torch.cuda, 'get_device_capability', lambda *a: (9, 0))
    patch(torch.cuda, 'current_device', lambda: 0)
    patch(torch.cuda, 'device_count', lambda: 1)
    patch(torch.cuda, 'synchronize', lambda *a: None)
    patch(torch.cuda, 'get_rng_state_all', lambda: [torch.get_rng_state()])
    patch(torch.cuda, 'set_rng_state_all', lambda s: None)
    patch(torch.cuda, 'empty_cache', lambda: None)
    patch(torch.cuda, 'manual_seed_all', lambda s: None) if hasattr(torch.cuda, 'manual_seed_all') else None

    class Gen:  # a generator of the CPU in the place of the GPU's
        def __new__(cls, device='cpu'):
            return _Gen('cpu')

    _Gen = torch.Generator
    patch(torch, 'Generator', Gen)
    _tensor, _as = torch.tensor, torch.as_tensor

    def on(d):
        return d is not None and torch.device(d).type == 'cuda'

    def tensor(data, *, dtype=None, device=None, requires_grad=False, **k):
        r = _tensor(data, dtype=dtype) if not is_sim(data) else data.detach().clone()
        r = Sim(r) if on(device) and not is_sim(r) else r
        return r.requires_grad_() if requires_grad else r

    def as_tensor(data, dtype=None, device=None):
        r = data if isinstance(data, torch.Tensor) else _as(data, dtype=dtype)
        if dtype is not None and r.dtype != dtype:
            r = r.to(dtype)
        return r.to(device) if device is not None else r

    import safetensors.torch as st
    from torch.utils._python_dispatch import _disable_current_modes

    import nlpdeep.checkpoint as tr

    def outside(f):  # safetensors builds tensors in ways that modes do not see
        def g(*a, **k):
            with _disable_current_modes():
                return f(*a, **k)

        return g

    patch(tr, 'load_state', outside(tr.load_state))
    patch(st, 'load_file', outside(st.load_file))
    patch(torch, 'tensor', tensor)
    patch(torch, 'as_tensor', as_tensor)
    patch(core, 'cuda', lambda: True)
    try:
        with Mode():
            yield
    finally:
        for o, n, v, own in reversed(saved):
            setattr(o, n, v)


def t(name, f):
    try:
        with pretend():
            r = f()
        print(f'[{name}] ok', r, flush=True)
    except BaseException as e:
        tb = [x for x in traceback.extract_tb(e.__traceback__) if 'nlpdeep/nlpdeep' in x.filename]
        print(
            f'[{name}] {type(e).__name__}: {str(e)[:260]!r} at',
            [(x.filename.split('/')[-1], x.lineno, x.line[:80]) for x in tb[-2:]],
            flush=True,
        )
        if os.environ.get('TB'):
            traceback.print_exc()
