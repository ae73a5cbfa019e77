"""The loaders: fastai's batches tensor for tensor, from memory or from a file, in processes, in its data
block and its Learner; bad input is named.
"""

import functools
import multiprocessing
import os
import pickle
import random
import traceback

import numpy as np
import pytest
import torch
from fastai.callback.rnn import ModelResetter
from fastai.data.all import (
    Categorize,
    CategoryBlock,
    ColReader,
    DataBlock,
    DataLoaders,
    IndexSplitter,
    TfmdLists,
    Transform,
)
from fastai.distributed import DistributedDL
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.text import data as fastai_data
from fastai.text.data import LMTensorText, TensorText
from fastcore.foundation import L
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpdeep.benchmarks import bench_text
from nlpdeep.core import InputError, set_seed
from nlpdeep.lm_dataloader import (
    Documents,
    Layout,
    LMDataLoader,
    Padding,
    SortedDataLoader,
    TextBlock,
    TokenArray,
    padding_share,
    show_layout,
    sorted_with_shuffle,
)
from nlpdeep.numericalization import Numericalize


def some_docs(n=120, longest=60, seed=0, least=0):
    rng = np.random.default_rng(seed)
    return [
        TensorText(torch.from_numpy(rng.integers(2, 500, rng.integers(least, longest)))) for _ in range(n)
    ]


DOCS = some_docs()
ITEMS = [(d, i % 3) for i, d in enumerate(DOCS)]


def same(ours, theirs):
    if len(ours) != len(theirs):
        return False
    return all(
        len(a) == len(b)
        and all(
            type(x) is type(y) and x.dtype == y.dtype and x.stride() == y.stride() and torch.equal(x, y)
            for x, y in zip(a, b)
        )
        for a, b in zip(ours, theirs)
    )


def epochs(make, n=3, seed=0):
    set_seed(seed)
    dl = make()
    return [b for _ in range(n) for b in dl]


def both(ours, theirs, dataset, n=3, theirs_kw=None, **kw):
    a, b = (
        epochs(lambda: ours(dataset, **kw), n),
        epochs(lambda: theirs(dataset, **{**kw, **(theirs_kw or {})}), n),
    )
    assert same(a, b)
    return a


# the layout


@given(st.integers(0, 400), st.integers(1, 40), st.integers(1, 50))
def test_layout(n, bs, sl):
    lay = Layout(n, bs, sl)
    seen = [
        lay.place(b, r) + c
        for r in range(bs)
        for b in range(lay.n_batches)
        for c in range(lay.columns(b)[1] - lay.columns(b)[0])
    ]
    assert seen == list(range(lay.row * bs)) and lay.row * bs < max(n, 1) and n - 1 - lay.row * bs < bs


@pytest.mark.parametrize('bad', [0, -1, 2.5, None, '8', float('nan')])
@pytest.mark.parametrize('name', ['bs', 'seq_len'])
def test_layout_bad(name, bad):
    with pytest.raises(InputError, match=name):
        Layout(**(dict(n_tokens=9, bs=2, seq_len=2) | {name: bad}))


def test_show_layout():
    import matplotlib

    matplotlib.use('Agg')
    toks = [f't{i}' for i in range(91)]

    def words(ax):
        return [o.get_text() for o in ax.texts if o.get_text().startswith('t')]

    ax = show_layout(toks, 6, 5)
    assert sorted(words(ax)) == sorted(toks[:90]) and sum('mini-batch' in o.get_text() for o in ax.texts) == 3
    assert sorted(words(show_layout(toks, 6, 5, targets=True))) == sorted(toks[1:])
    at = {o.get_text(): o.get_position() for o in ax.texts}
    for b in range(3):
        for r in range(6):
            assert at[toks[Layout(91, 6, 5).place(b, r)]] == (5 * b + 0.5, r + 0.5)
    with pytest.raises(InputError, match='too few'):
        show_layout(['a'], 6, 5)
    matplotlib.pyplot.close('all')


# the language model's loader


@pytest.mark.parametrize('bs,sl', [(1, 1), (1, 7), (2, 5), (6, 5), (7, 31), (64, 72), (16, 1000), (119, 3)])
@pytest.mark.parametrize('shuffle', [True, False])
def test_lm_is_fastais(bs, sl, shuffle):
    assert both(
        LMDataLoader,
        fastai_data.LMDataLoader,
        DOCS if bs * sl > 9 else DOCS[:20],
        bs=bs,
        seq_len=sl,
        shuffle=shuffle,
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=25),
    st.integers(1, 9),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_lm_any_lengths(lens, bs, sl, shuffle, seed):
    if sum(lens) <= bs:
        return
    at = np.cumsum([0] + lens)
    docs = [TensorText(torch.arange(a, b)) for a, b in zip(at, at[1:])]
    a, b = (
        epochs(lambda: cls(docs, bs=bs, seq_len=sl, shuffle=shuffle), 2, seed)
        for cls in (LMDataLoader, fastai_data.LMDataLoader)
    )
    assert same(a, b)


@pytest.mark.parametrize(
    'docs',
    [
        [d.numpy() for d in some_docs(40, least=1)],
        [torch.Tensor(d).long() for d in some_docs(40, least=1)],
        [(d, 1) for d in DOCS],
        L(DOCS),
    ],
    ids=['arrays', 'tensors', 'tuples', 'L'],
)
def test_lm_containers(docs):
    both(LMDataLoader, fastai_data.LMDataLoader, docs, bs=5, seq_len=9, shuffle=True)


def test_lm_narrow_types():
    "Ids of any width come out as int64."
    want = epochs(lambda: LMDataLoader(DOCS, bs=5, seq_len=9, shuffle=True))
    for dt in (np.int16, np.int32, np.uint16, np.uint64):
        got = epochs(
            lambda: LMDataLoader([d.numpy().astype(dt) for d in DOCS], bs=5, seq_len=9, shuffle=True)
        )
        assert all(
            torch.equal(a, b) and a.dtype == torch.int64 for p, q in zip(got, want) for a, b in zip(p, q)
        )
    assert same(epochs(lambda: LMDataLoader([d.tolist() for d in DOCS], bs=5, seq_len=9, shuffle=True)), want)


def test_lm_small_window(monkeypatch):
    monkeypatch.setattr(LMDataLoader, 'window', 1)
    both(LMDataLoader, fastai_data.LMDataLoader, DOCS, bs=5, seq_len=9, shuffle=True)


def test_lm_random_state():
    "A run that goes on after an epoch draws the same numbers as with fastai's loader."
    draws = []
    for cls in (LMDataLoader, fastai_data.LMDataLoader):
        epochs(lambda: cls(DOCS, bs=8, shuffle=True), 2)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_lm_backwards():
    a = epochs(lambda: LMDataLoader(DOCS, bs=6, seq_len=11, shuffle=True, backwards=True))
    assert same(
        a, epochs(lambda: fastai_data.LMDataLoader([d.flip(0) for d in DOCS], bs=6, seq_len=11, shuffle=True))
    )
    dl = LMDataLoader(DOCS, bs=6, backwards=True)
    assert dl.new().backwards and torch.equal(dl.new().one_batch()[0], dl.one_batch()[0])


def test_lm_rows_go_on():
    batches = list(LMDataLoader(DOCS, bs=6, seq_len=11))
    for (x, y), (x2, _) in zip(batches, batches[1:]):
        assert torch.equal(y[:, -1], x2[:, 0])
    assert all(torch.equal(x[:, 1:], y[:, :-1]) for x, y in batches)


def test_lm_batches_are_their_own():
    dl = LMDataLoader(DOCS, bs=1, seq_len=7)
    want = [x.clone() for x, _ in dl]
    for (x, y), w in zip(dl, want):
        assert torch.equal(x, w)
        x.fill_(-1)
        assert (y >= 0).all()
        y.fill_(-1)
    assert torch.equal(next(iter(dl))[0], want[0]) and (DOCS[0] >= 0).all()


def test_lm_items_and_new():
    ours, theirs = LMDataLoader(DOCS, bs=8, seq_len=10), fastai_data.LMDataLoader(DOCS, bs=8, seq_len=10)
    assert (
        len(ours) == len(theirs)
        and ours.n == theirs.n
        and (ours.bl, ours.n_batches, ours.last_len) == (theirs.bl, theirs.n_batches, theirs.last_len)
    )
    for i in (0, 5, 8, ours.n - 1):
        for a, b in zip(ours.create_item(i), theirs.create_item(i)):
            assert torch.equal(a, b) and type(a) is type(b)
    with pytest.raises(IndexError):
        ours.create_item(ours.n)
    for kw in (
        dict(seq_len=4),
        dict(bs=3),
        dict(dataset=DOCS[:50]),
        dict(dataset=DOCS[:50], bs=2, seq_len=3, shuffle=True),
    ):
        set_seed(0)
        a = list(ours.new(**kw))
        set_seed(0)
        assert same(a, list(theirs.new(**kw)))
    assert torch.equal(ours.items[3], DOCS[3]) and list(ours.lens) == [len(d) for d in DOCS]


def test_lm_odd_orders():
    "Items in an order of the user's own go fastai's way."
    for idxs in ([5, 3, 1, 0], list(range(8, 24)), list(range(3, 11))):
        a, b = (
            list(cls(DOCS, bs=8, seq_len=10, get_idxs=lambda: idxs))
            for cls in (LMDataLoader, fastai_data.LMDataLoader)
        )
        assert same(a, b)


def test_lm_replaced_steps():
    class Up(Transform):
        def encodes(self, x: TensorText):
            return x + 1

    class Sub(LMDataLoader):
        def create_item(self, i):
            x, y = super().create_item(i)
            return x * 0, y

    for kw in (dict(after_item=Up()), dict(after_batch=Up()), dict(before_batch=lambda b: b[::-1])):
        both(LMDataLoader, fastai_data.LMDataLoader, DOCS, bs=8, seq_len=10, **kw)
    assert all((x == 0).all() for x, _ in Sub(DOCS, bs=8, seq_len=10))


# a corpus in a file


def test_token_array(tmp_path):
    ta = TokenArray.write(tmp_path / 'c', iter(DOCS), labels=[i % 3 for i in range(len(DOCS))], vocab_sz=500)
    assert isinstance(ta.ids.base, np.memmap) and len(ta) == len(DOCS) and ta.ids.dtype == np.int32
    for (x, y), d, i in zip((ta[i] for i in range(len(ta))), DOCS, range(len(DOCS))):
        assert torch.equal(x, d) and y == i % 3 and type(x) is TensorText
    assert torch.equal(ta[-1][0], DOCS[-1])
    for cls, kw in ((LMDataLoader, dict(bs=8, seq_len=9)), (SortedDataLoader, dict(bs=8, num_workers=0))):
        for back in (False, True):
            want = epochs(lambda: cls(ITEMS, shuffle=True, backwards=back, **kw))
            assert same(epochs(lambda: cls(ta, shuffle=True, backwards=back, **kw)), want)
            assert same(
                epochs(
                    lambda: cls(
                        TokenArray(np.array(ta.ids), ta.offsets, ta.labels),
                        shuffle=True,
                        backwards=back,
                        **kw,
                    )
                ),
                want,
            )
    for i in (len(DOCS), -len(DOCS) - 1):
        with pytest.raises(IndexError):
            ta[i]
    twin = pickle.loads(pickle.dumps(ta))
    assert (
        isinstance(twin.ids.base, np.memmap)
        and len(pickle.dumps(ta)) < 1000
        and torch.equal(twin[7][0], DOCS[7])
    )
    assert sorted(o.name for o in tmp_path.iterdir()) == ['c']


def test_token_array_empty(tmp_path):
    ta = TokenArray.write(tmp_path / 'c', [])
    assert len(ta) == 0 and len(list(LMDataLoader(ta))) == 0
    ta = TokenArray.write(tmp_path / 'c', [[], [1, 2], []])
    assert [len(o) for o in ta] == [0, 2, 0] and len(TokenArray.open(tmp_path / 'c')) == 3


def test_larger_than_memory(tmp_path):
    """A file far larger than this machine's memory, full of holes: a few batches of it touch a few pages of
    it.
    """
    n = 2**34  # 64 GiB
    f = tmp_path / 'ids.bin'
    try:
        with open(f, 'wb') as h:
            h.truncate(4 * n)
        ids = np.memmap(f, '<i4', 'r', shape=(n,))
    except (OSError, ValueError) as e:
        pytest.skip(f'no such file here: {e}')
    if f.stat().st_blocks * 512 > 2**30:
        pytest.skip('this disk stores holes')
    import resource

    ta = TokenArray(ids, np.arange(0, n + 1, 2**22))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    dl = LMDataLoader(ta, bs=16, seq_len=70, shuffle=True)
    for i, (x, y) in enumerate(dl):
        assert x.shape == (16, 70) and (x == 0).all()
        if i == 20:
            break
    assert dl.layout.n_tokens == n and dl.begins[-1] == n
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


@pytest.mark.parametrize(
    'ids,offsets',
    [
        ([1.0, 2.0], [0, 2]),
        ([[1, 2]], [0, 1]),
        ([1, 2], [0, 1]),
        ([1, 2], [1, 2]),
        ([1, 2, 3], [0, 2, 1, 3]),
        ([1, 2], []),
        ([1, 2], [0.0, 2.0]),
        ([1, 2], None),
    ],
)
def test_token_array_bad(ids, offsets):
    with pytest.raises(InputError):
        TokenArray(np.array(ids), offsets)


def test_token_array_bad_files(tmp_path):
    with pytest.raises(InputError, match='document 1'):
        TokenArray.write(tmp_path / 'c', [[1], None])
    with pytest.raises(InputError, match='document 1 holds the id 9'):
        TokenArray.write(tmp_path / 'c', [[1], [9]], vocab_sz=9)
    assert not (tmp_path / 'c').exists()
    for bad in (tmp_path, tmp_path / 'none'):
        with pytest.raises(InputError, match='whole corpus'):
            TokenArray.open(bad)
    TokenArray.write(tmp_path / 'c', DOCS)
    b = (tmp_path / 'c' / 'ids.bin').read_bytes()
    (tmp_path / 'c' / 'ids.bin').write_bytes(b[:-4])
    with pytest.raises(InputError, match='whole corpus'):
        TokenArray.open(tmp_path / 'c')
    with pytest.raises(InputError, match='labels'):
        TokenArray([1, 2], [0, 1, 2], labels=[0])
    dl = LMDataLoader(TokenArray(np.array([1, 2, 700, 3]), [0, 4], vocab_sz=500), bs=1, seq_len=2)
    with pytest.raises(InputError, match='700'):
        list(dl)
    dl = SortedDataLoader(TokenArray(np.array([1, -2, 7]), [0, 3]), num_workers=0)
    with pytest.raises(InputError, match='-2'):
        list(dl)


def refusal(dl):
    """What the InputError of a loader says. Its processes are ended here: the traceback keeps them, and when
    it goes, PyTorch waits five seconds for each.
    """
    try:
        list(dl)
    except InputError as e:
        for frame, _ in traceback.walk_tb(e.__traceback__):
            getattr(frame.f_locals.get('self'), '_shutdown_workers', lambda: None)()
        return str(e)
    pytest.fail('the loader went through')


@pytest.mark.parametrize('own,asked', [(None, 500), (500, None), (500, 900), (900, 500)])
def test_token_array_vocab_sz(own, asked, tmp_path):
    """Of the corpus's size and the loader's the smaller counts, in batches, item by item, and in a loader
    made from it.
    """
    docs = [[3, 4, 5], [6, 700, 8], [9, 10, 11]]
    ids, at = np.array(docs).ravel(), [0, 3, 6, 9]

    class Same(Transform):
        def encodes(self, x: TensorText):
            return x

    mapped = TokenArray.write(tmp_path / 'c', docs, vocab_sz=900)
    for ta in (
        (TokenArray(ids, at, vocab_sz=own), mapped) if asked == 500 else (TokenArray(ids, at, vocab_sz=own),)
    ):
        for cls, kw in ((LMDataLoader, dict(bs=1, seq_len=2)), (SortedDataLoader, dict(bs=2))):
            with pytest.raises(InputError, match='the id 700; ids run from 0 to 499'):
                list(cls(ta, vocab_sz=asked, after_item=Same(), num_workers=0, **kw))
            for more in ({}, dict(num_workers=1)):
                dl = cls(ta, vocab_sz=asked, **({'num_workers': 0} | kw | more))
                assert dl.vocab_sz == 500
                assert 'the id 700; ids run from 0 to 499' in refusal(dl)
                for twin in (dl.new(), dl.new(ta), dl.new(shuffle=True)):
                    assert twin.vocab_sz == 500 and '700' in refusal(twin)
            dl = cls(ta, vocab_sz=asked, **kw)
            with pytest.raises(InputError, match='700'):
                [dl.create_item(i) for i in range(3)]
    if own == 500:
        assert TokenArray(ids, at, vocab_sz=own)[0].tolist() == [3, 4, 5]
        with pytest.raises(InputError, match='700'):
            TokenArray(ids, at, vocab_sz=own)[1]


def test_new_keeps_vocab_sz():
    "What was asked for is kept, the vocabulary of one dataset is not put upon another."
    for cls, data in ((LMDataLoader, DOCS), (SortedDataLoader, ITEMS)):
        dl = cls(data[:50], bs=2, vocab_sz=600, num_workers=0)
        assert dl.new().vocab_sz == dl.new(data).vocab_sz == 600 and dl.new().docs is dl.docs
        with pytest.raises(InputError, match='document 0 holds the id 700'):
            dl.new([[700]] if cls is LMDataLoader else [([700], 0)])
        with pytest.raises(InputError, match='ids run from 0 to 9'):
            dl.new(vocab_sz=10)
        a, b = (
            TfmdLists([L(w) * 9] * 9, Numericalize(w)) for w in (['xxunk', 'a'], ['xxunk', 'a', 'b', 'c'])
        )
        assert cls(a, bs=2, num_workers=0).new(b).vocab_sz == 4


def test_token_array_labels(tmp_path):
    "A label that is missing or no number is named by its document, and nothing is left behind."
    at = [0, 1, 2, 3]
    for bad, says in (
        ([0, None, 1], 'document 1 is None'),
        ([0.0, float('nan'), 1.0], 'document 1 is nan'),
        (['a', 'b', 'c'], "document 0 is 'a'"),
        (np.array(['a', 'b', 'c']), 'document 0'),
        ([0, 1, 'x'], "document 2 is 'x'"),
        (np.array([0, None, 1], object), 'document 1'),
        (torch.tensor([0.0, 1, float('nan')]), 'document 2'),
        ([[1, 2], [3], [4, 5]], 'one shape'),
        ([0, 1], '2 labels for 3 documents'),
        ([0] * 4, '4 labels for 3 documents'),
    ):
        with pytest.raises(InputError, match=says):
            TokenArray(np.arange(3), at, labels=bad)
        with pytest.raises(InputError, match=says):
            TokenArray.write(tmp_path / 'c', ([i] for i in range(3)), labels=bad)
        assert not list(tmp_path.iterdir())
    for good in (
        [0, 1, 2],
        [0.5, 1.0, 2.0],
        [True, False, True],
        np.array([0, 1, 2], np.int32),
        torch.tensor([[0, 1]] * 3),
        np.array([0.25, 0.5, 0.75]),
    ):
        a, b = (
            TokenArray(np.arange(3), at, labels=good).labels,
            TokenArray.write(tmp_path / 'c', [[0], [1], [2]], labels=good).labels,
        )
        assert torch.equal(a, b) and a.dtype == b.dtype == torch.as_tensor(good).dtype


# bad input

BAD_DOCS = dict(
    none=[None],
    nan=[float('nan')],
    number=[3],
    text=['text'],
    bytes=[b'ids'],
    floats=[[1.0]],
    float_tensor=[torch.rand(3)],
    float_array=[np.ones(3)],
    words=[['a']],
    none_inside=[[1, None]],
    nan_inside=[[1, float('nan')]],
    matrix=[torch.ones(2, 2).long()],
    bools=[np.ones(3, bool)],
    ragged=[[[1], [2, 3]]],
    negative=[[3, -1]],
    huge=[[2**31]],
    huger=[torch.tensor([2**40])],
)


@pytest.mark.parametrize('bad', BAD_DOCS.values(), ids=BAD_DOCS)
def test_bad_documents(bad):
    docs = DOCS[:3] + bad
    for make in (
        lambda: Documents(docs),
        lambda: LMDataLoader(docs, bs=2),
        lambda: SortedDataLoader([(d, 0) for d in docs]),
        lambda: SortedDataLoader(docs),
    ):
        with pytest.raises(InputError, match='document 3'):
            make()


@pytest.mark.parametrize('bad', ['text', b'b', None, 3, iter([]), {1}])
def test_no_collection(bad):
    for cls in (LMDataLoader, SortedDataLoader):
        with pytest.raises(InputError, match='collection'):
            cls(bad)


def test_a_flat_array_of_ids(tmp_path):
    "Refused at once, not id by id."
    flat = np.arange(10**7)
    flat.astype('<i4').tofile(tmp_path / 'ids.bin')
    for bad in (
        flat,
        np.memmap(tmp_path / 'ids.bin', '<i4', 'r'),
        torch.from_numpy(flat),
        TensorText(torch.arange(9)),
        np.ones(9),
    ):
        for cls in (LMDataLoader, SortedDataLoader, Documents):
            with pytest.raises(InputError, match='TokenArray'):
                cls(bad)
    assert len(Documents(np.ones((3, 4), int))) == 3 and len(Documents(np.array([]))) == 0


def test_a_flat_list_of_ids():
    with pytest.raises(InputError, match='a corpus is a list of documents'):
        LMDataLoader([1, 2, 3])


@pytest.mark.parametrize('name', ['bs', 'seq_len', 'batch_size'])
@pytest.mark.parametrize('bad', [0, -1, 1.5, '8'])
def test_bad_sizes(name, bad):
    for cls in (LMDataLoader, SortedDataLoader):
        with pytest.raises(InputError):
            cls(ITEMS, **{name: bad})


def test_out_of_vocabulary():
    with pytest.raises(InputError, match='ids run from 0 to 9'):
        LMDataLoader(DOCS, vocab_sz=10)
    with pytest.raises(InputError, match='ids run from 0 to 9'):
        SortedDataLoader(ITEMS, vocab_sz=10)
    tls = TfmdLists([L('a', 'b', 'a')] * 9, Numericalize(['xxunk', 'a', 'b']))
    assert LMDataLoader(tls, bs=2).vocab_sz == 3
    with pytest.raises(InputError):
        LMDataLoader(TfmdLists([L('a', 'b')] * 9, [Numericalize(['xxunk', 'a', 'b']), lambda o: o + 9]), bs=2)


def test_short_corpus():
    short = DOCS[1][:5]
    assert len(short) == 5
    with pytest.raises(InputError, match='at least 9'):
        LMDataLoader([short], bs=8, shuffle=True)
    dl = LMDataLoader([short], bs=8)
    assert len(dl) == 0 and torch.equal(dl.items[0], short)
    with pytest.raises(InputError, match='too few'):
        list(dl)
    assert len(list(LMDataLoader([short], bs=4))) == 1  # one column
    assert list(LMDataLoader([], shuffle=True)) == []
    with pytest.raises(InputError, match='0 tokens'):
        LMDataLoader([[], []], shuffle=True)


@pytest.mark.slow
def test_empty_documents():
    docs = [TensorText(torch.tensor(o, dtype=torch.long)) for o in ([], [2, 3], [], [], [4, 5, 6], [])]
    assert torch.cat([x for x, _ in LMDataLoader(docs, bs=1, seq_len=2)], 1).tolist() == [[2, 3, 4, 5]]
    both(LMDataLoader, fastai_data.LMDataLoader, docs, bs=1, seq_len=2, shuffle=True)
    (x,) = next(iter(SortedDataLoader(docs, bs=6, num_workers=0)))
    assert x.shape == (6, 3) and (x[1:].sum() == 5 + 1 + 4 * 3)
    assert next(iter(SortedDataLoader([[], []], bs=2, num_workers=0)))[0].shape == (2, 0)


def test_ranks_bad():
    for kw in (dict(rank=1), dict(rank=-1, world_size=2), dict(world_size=0), dict(rank=2, world_size=2)):
        with pytest.raises(InputError):
            LMDataLoader(DOCS, **kw)


# the classifier's loader

PADS = [
    None,
    fastai_data.pad_input,
    fastai_data.pad_input_chunk,
    fastai_data.Pad_Chunk(seq_len=8),
    fastai_data.Pad_Chunk(seq_len=8, pad_first=False),
    functools.partial(fastai_data.pad_input_chunk, seq_len=5, pad_idx=3),
    functools.partial(fastai_data.pad_input, pad_first=True),
    functools.partial(fastai_data.pad_input, backwards=True),
    functools.partial(fastai_data.pad_input, backwards=True, pad_first=True, pad_idx=0),
]


@pytest.mark.parametrize('f', PADS, ids=lambda f: getattr(f, '__name__', str(f))[:40])
@pytest.mark.parametrize('shuffle', [True, False])
def test_sorted_is_fastais(f, shuffle):
    kw = dict(bs=16, shuffle=shuffle, num_workers=0) | (dict(before_batch=f) if f else {})
    both(
        SortedDataLoader,
        fastai_data.SortedDL,
        ITEMS,
        theirs_kw=None if f else dict(before_batch=fastai_data.Pad_Chunk()),
        **kw,
    )
    assert isinstance(SortedDataLoader(ITEMS, **kw).before_batch.fs[0], Padding)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.integers(1, 20),
    st.integers(0, 10**6),
)
def test_sorted_any_lengths(lens, bs, shuffle, drop, sl, seed):
    items = [(TensorText(torch.arange(n) + 2), float(i)) for i, n in enumerate(lens)]
    kw = dict(
        bs=bs, shuffle=shuffle, drop_last=drop, num_workers=0, before_batch=fastai_data.Pad_Chunk(seq_len=sl)
    )
    if shuffle and drop and len(lens) < bs:
        return
    assert same(
        *(epochs(lambda: cls(items, **kw), 2, seed) for cls in (SortedDataLoader, fastai_data.SortedDL))
    )


def test_sorted_many_chunks():
    "More than fifty batches, so that there are several pieces to sort."
    docs = some_docs(700, 9, least=1)
    both(
        SortedDataLoader,
        fastai_data.SortedDL,
        [(d, 0) for d in docs],
        bs=3,
        shuffle=True,
        num_workers=0,
        before_batch=fastai_data.Pad_Chunk(),
    )


def labels_of(kind):
    cat = Categorize()
    cat.setup(['a', 'b'])
    return {
        'category': [cat('ab'[i % 2]) for i in range(120)],
        'float': [i / 7 for i in range(120)],
        'tensor': [torch.tensor(i) for i in range(120)],
        'vector': [torch.arange(3.0) + i for i in range(120)],
        'numpy': [np.float32(i) for i in range(120)],
        'array': [np.arange(2) + i for i in range(120)],
        'bool': [i % 2 == 0 for i in range(120)],
    }[kind]


@pytest.mark.parametrize('kind', ['category', 'float', 'tensor', 'vector', 'numpy', 'array', 'bool'])
def test_sorted_labels(kind):
    both(
        SortedDataLoader,
        fastai_data.SortedDL,
        list(zip(DOCS, labels_of(kind))),
        bs=16,
        shuffle=True,
        num_workers=0,
        before_batch=fastai_data.Pad_Chunk(),
    )


def test_sorted_other_shapes():
    kw = dict(bs=16, shuffle=True, num_workers=0, before_batch=fastai_data.Pad_Chunk())
    both(SortedDataLoader, fastai_data.SortedDL, [(d,) for d in DOCS], **kw)
    both(SortedDataLoader, fastai_data.SortedDL, [(d, 1, torch.tensor(i)) for i, d in enumerate(DOCS)], **kw)
    both(
        SortedDataLoader, fastai_data.SortedDL, [(d, DOCS[-i - 1], i) for i, d in enumerate(DOCS)], **kw
    )  # two texts: fastai's way
    bare = epochs(lambda: SortedDataLoader(DOCS, **kw))
    assert same(bare, epochs(lambda: SortedDataLoader([(d,) for d in DOCS], **kw)))
    with_words = list(
        SortedDataLoader([(d, 'word') for d in DOCS], bs=16, num_workers=0)
    )  # labels that no tensor holds
    assert with_words[0][1] == ['word'] * 16 or with_words[0][1] == ('word',) * 16


def test_sorted_sort_func():
    def f(x):
        return -len(x[0])

    kw = dict(bs=16, num_workers=0, before_batch=fastai_data.Pad_Chunk())
    for shuffle in (True, False):
        both(SortedDataLoader, fastai_data.SortedDL, ITEMS, sort_func=f, shuffle=shuffle, **kw)
    res = list(range(120))
    both(SortedDataLoader, fastai_data.SortedDL, ITEMS, res=res, shuffle=True, **kw)
    assert SortedDataLoader(ITEMS, sort_func=f, **kw).new(ITEMS[:9]).sort_func is f


def test_sorted_random_state():
    draws = []
    for cls in (SortedDataLoader, fastai_data.SortedDL):
        epochs(lambda: cls(ITEMS, bs=8, shuffle=True, num_workers=0, before_batch=fastai_data.Pad_Chunk()), 2)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]


def test_sorted_backwards():
    kw = dict(bs=16, shuffle=True, num_workers=0, before_batch=fastai_data.Pad_Chunk(seq_len=8))
    a = epochs(lambda: SortedDataLoader(ITEMS, backwards=True, **kw))
    assert same(a, epochs(lambda: fastai_data.SortedDL([(d.flip(0), y) for d, y in ITEMS], **kw)))
    dl = SortedDataLoader(ITEMS, backwards=True, bs=4, num_workers=0)
    assert torch.equal(dl.create_item(3)[0], DOCS[3].flip(0)) and same(
        [dl.new().one_batch()], [dl.one_batch()]
    )


def test_sorted_bad():
    for bad, said in (
        ((DOCS[0], None), 'label of document 1'),
        ((DOCS[0], float('nan')), 'label of document 1'),
    ):
        with pytest.raises(InputError, match=said):
            SortedDataLoader([(DOCS[1], 1.0), bad])
    with pytest.raises(InputError, match='res'):
        SortedDataLoader(ITEMS, res=[1, 2])
    for kw in (dict(mode='left'), dict(pad_idx=-1), dict(pad_idx=None), dict(seq_len=0)):
        with pytest.raises(InputError):
            Padding(**kw)


def test_sorted_short_corpus():
    """Fewer documents than a batch, and the last batch dropped: in training an error, else no batch, as in
    fastai.
    """
    kw = dict(bs=64, num_workers=0)
    for make in (
        lambda: SortedDataLoader(ITEMS[:20], shuffle=True, drop_last=True, **kw),
        lambda: SortedDataLoader(ITEMS, **kw).new(ITEMS[:20], shuffle=True, drop_last=True),
        lambda: DataLoaders.from_dsets(ITEMS[:20], ITEMS[:20], dl_type=SortedDataLoader, **kw),
        lambda: dls_of(TextBlock, False, frame(8)),
    ):
        with pytest.raises(InputError, match='documents are fewer than bs=.*lower bs'):
            make()
    assert (
        len(list(SortedDataLoader(ITEMS[:20], shuffle=True, **kw))) == 1
        and len(list(SortedDataLoader(ITEMS[:64], shuffle=True, drop_last=True, **kw))) == 1
    )
    assert (
        list(SortedDataLoader(ITEMS[:20], drop_last=True, **kw))
        == list(SortedDataLoader([], shuffle=True, drop_last=True, **kw))
        == []
    )


def test_padding_decodes():
    p = Padding(seq_len=4)
    b = p([(TensorText(torch.tensor([5, 6, 7])), 'x'), (TensorText(torch.arange(2, 12)), 'y')])
    assert b[0][0].tolist() == [1, 1, 1, 1, 5, 6, 7, 1, 1, 1] and type(b[0][0]) is TensorText
    assert p.decode(b[0])[0].tolist() == [5, 6, 7] and 'Padding' in repr(p)


def test_padding_share():
    lens = [5, 1, 3, 3]
    assert (
        padding_share(lens, [0, 1, 2, 3], 2) == pytest.approx(4 / 16)
        and padding_share(lens, [0, 2, 3, 1], 2) == pytest.approx(4 / 16)
        and padding_share(lens, range(4), 1) == 0
    )
    x = [b[0] for b in SortedDataLoader(ITEMS, bs=16, num_workers=0)]
    share = sum((o == 1).sum().item() for o in x) / sum(o.numel() for o in x)
    n = np.array([len(d) for d in DOCS])
    assert padding_share(n, np.argsort(-n, kind='stable'), 16) == pytest.approx(share)


def test_order_is_fastais():
    n = np.array([len(d) for d in DOCS])
    for bs in (1, 2, 7, 60, 200):
        dl = fastai_data.SortedDL(ITEMS, bs=bs, num_workers=0)
        np.random.seed(3)
        a = sorted_with_shuffle(n, bs)
        np.random.seed(3)
        assert a == list(dl.shuffle_fn(None))


# in fastai


def frame(n=60):
    import pandas as pd

    rng = np.random.default_rng(0)
    return pd.DataFrame(
        dict(
            text=[
                ' '.join(
                    rng.choice(['The', 'film', 'is', 'GOOD', 'bad', '.', 'not', 'very'], rng.integers(3, 40))
                )
                for _ in range(n)
            ],
            label=['pos' if i % 2 else 'neg' for i in range(n)],
        )
    )


def dls_of(block, is_lm, df, **kw):
    blocks = [block.from_df('text', is_lm=is_lm, seq_len=10, **kw)] + ([] if is_lm else [CategoryBlock])
    set_seed(1)
    return DataBlock(
        blocks,
        get_x=ColReader('text'),
        **({} if is_lm else dict(get_y=ColReader('label'))),
        splitter=IndexSplitter(list(range(0, len(df), 4))),
    ).dataloaders(df, bs=8, num_workers=0)


@pytest.mark.parametrize('is_lm', [True, False])
@pytest.mark.parametrize('backwards', [True, False])
def test_text_block_is_fastais(is_lm, backwards, capsys):
    df = frame()
    ours, theirs = (dls_of(b, is_lm, df, backwards=backwards) for b in (TextBlock, fastai_data.TextBlock))
    assert (
        ours.vocab == theirs.vocab
        if is_lm
        else (ours.vocab[0] == theirs.vocab[0] and ours.vocab[1] == theirs.vocab[1])
    )
    for i in (0, 1):
        set_seed(2)
        a = list(ours[i]) + list(ours[i])
        set_seed(2)
        assert same(a, list(theirs[i]) + list(theirs[i]))
    assert ours.train.n_inp == theirs.train.n_inp and type(ours.train) is (
        LMDataLoader if is_lm else SortedDataLoader
    )
    outs = []
    for d in (ours, theirs):
        set_seed(3)
        d.show_batch(max_n=2)
        outs.append(capsys.readouterr().out)
        set_seed(3)
        outs[-1] += str(d.train.decode_batch(d.one_batch()))
    assert outs[0] == outs[1] and len(outs[0]) > 50


def test_test_dl_and_export(tmp_path):
    df = frame()
    ours, theirs = (dls_of(b, False, df) for b in (TextBlock, fastai_data.TextBlock))
    texts = ['the film is good', 'bad', 'not very good . very bad film']
    assert same(list(ours.test_dl(texts)), list(theirs.test_dl(texts)))
    assert same(list(ours.test_dl(df[:5], with_labels=True)), list(theirs.test_dl(df[:5], with_labels=True)))
    assert len(ours.new_empty().train) == 0
    lm = dls_of(TextBlock, True, df)
    assert torch.equal(
        lm.test_dl(['the film']).items[0],
        dls_of(fastai_data.TextBlock, True, df).test_dl(['the film']).items[0],
    )
    assert len(lm.new_empty().train) == 0


class Tiny(torch.nn.Module):
    def __init__(self, n, out=None):
        super().__init__()
        self.emb, self.rnn, self.out, self.lm, self.h = (
            torch.nn.Embedding(n, 8),
            torch.nn.GRU(8, 8, batch_first=True),
            torch.nn.Linear(8, out or n),
            out is None,
            None,
        )

    def reset(self):
        self.h = None

    def forward(self, x):
        o, h = self.rnn(self.emb(x), self.h if self.lm else None)
        self.h = h.detach()
        return self.out(o if self.lm else o[:, -1])


@pytest.mark.parametrize('is_lm', [True, False])
def test_in_a_learner(is_lm):
    "Training with either loader gives the same losses, and predictions in the dataset's order."
    losses, preds = [], []
    for block in (TextBlock, fastai_data.TextBlock):
        dls = dls_of(block, is_lm, frame())
        set_seed(5)
        n = len(dls.vocab if is_lm else dls.vocab[0])
        learn = Learner(
            dls,
            Tiny(n, None if is_lm else 2),
            loss_func=CrossEntropyLossFlat(),
            cbs=[ModelResetter],
            metrics=accuracy,
        )
        with learn.no_bar(), learn.no_logging():
            learn.fit(2, 1e-2)
        losses.append(
            [float(o) for o in learn.recorder.losses] + [float(o) for v in learn.recorder.values for o in v]
        )
        with learn.no_bar():
            preds.append((learn.validate()[0],) + (() if is_lm else tuple(learn.get_preds(ds_idx=1))))
    assert losses[0] == losses[1] and losses[0][-3] < losses[0][0]
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in zip(*preds))


def test_data_loaders():
    dls = DataLoaders(
        LMDataLoader(DOCS, bs=8, shuffle=True), LMDataLoader(DOCS[:50], bs=8), device=torch.device('cpu')
    )
    x, y = dls.one_batch()
    assert (
        type(x) is LMTensorText
        and type(y) is TensorText
        and x.device.type == 'cpu'
        and dls.train.n_inp == 1
        and dls.to('cpu') is dls
    )
    x, y = DataLoaders.from_dsets(
        ITEMS,
        ITEMS[:40],
        bs=8,
        dl_type=SortedDataLoader,
        num_workers=0,
        before_batch=fastai_data.pad_input_chunk,
    ).one_batch()
    assert type(x) is TensorText and x.shape[0] == 8
    tls = TfmdLists(
        [L(f'w{i % 7}' for i in range(j % 30 + 1)) for j in range(100)],
        Numericalize(min_freq=1),
        splits=[range(80), range(80, 100)],
        dl_type=LMDataLoader,
    )
    theirs = TfmdLists(
        [L(f'w{i % 7}' for i in range(j % 30 + 1)) for j in range(100)],
        fastai_data.Numericalize(min_freq=1),
        splits=[range(80), range(80, 100)],
        dl_type=fastai_data.LMDataLoader,
    )
    for k in (0, 1):
        assert same(
            epochs(lambda: tls.dataloaders(bs=4, seq_len=6)[k], 2),
            epochs(lambda: theirs.dataloaders(bs=4, seq_len=6)[k], 2),
        )


@pytest.mark.parametrize('workers', [1, 2])
def test_workers(workers, tmp_path):
    ta = TokenArray.write(tmp_path / 'c', DOCS)
    for data in (DOCS, ta):
        assert same(
            *(
                epochs(lambda: LMDataLoader(data, bs=8, seq_len=10, shuffle=True, num_workers=n), 2)
                for n in (0, workers)
            )
        )
    assert same(
        *(epochs(lambda: SortedDataLoader(ITEMS, bs=8, shuffle=True, num_workers=n), 2) for n in (0, workers))
    )


def test_pinned():
    "Pinned memory is asked of torch, which ignores it without an accelerator."
    for cls, data in ((LMDataLoader, DOCS), (SortedDataLoader, ITEMS)):
        a, b = (
            epochs(lambda: cls(data, bs=8, shuffle=True, num_workers=0, pin_memory=p), 1)
            for p in (torch.cuda.is_available(), False)
        )
        assert same(a, b)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no GPU')
def test_device():
    for cls, data in ((LMDataLoader, DOCS), (SortedDataLoader, ITEMS)):
        a, b = (
            epochs(
                lambda: cls(data, bs=8, shuffle=True, num_workers=0, device=d, pin_memory=d is not None), 1
            )
            for d in (torch.device('cuda'), None)
        )
        assert all(
            x.is_cuda and type(x) is type(y) and torch.equal(x.cpu(), y)
            for p, q in zip(a, b)
            for x, y in zip(p, q)
        )


# several processes


@pytest.mark.parametrize('world', [2, 3])
def test_ranks_share_the_rows(world):
    one = epochs(lambda: LMDataLoader(DOCS, bs=4 * world, seq_len=9, shuffle=True), 2)
    parts = [
        epochs(lambda: LMDataLoader(DOCS, bs=4, seq_len=9, shuffle=True, rank=r, world_size=world), 2)
        for r in range(world)
    ]
    assert same([tuple(torch.cat(o) for o in zip(*p)) for p in zip(*parts)], one)
    dl = LMDataLoader(DOCS, bs=4, rank=1, world_size=world)
    assert (dl.new().rank, dl.new().world_size) == (1, world)


@pytest.mark.parametrize(
    'cls,theirs,data',
    [(LMDataLoader, fastai_data.LMDataLoader, DOCS), (SortedDataLoader, fastai_data.SortedDL, ITEMS)],
)
def test_distributed_dl(cls, theirs, data, monkeypatch):
    "Behind fastai's DistributedDL each process gets what it gets with fastai's loader."
    monkeypatch.setattr(DistributedDL, '_broadcast', lambda self, t, rank: t)
    kw = dict(bs=4, num_workers=0) | (
        dict(seq_len=9) if cls is LMDataLoader else dict(before_batch=fastai_data.Pad_Chunk())
    )
    docs = (
        data if cls is SortedDataLoader else [torch.arange(4 * 9 * 6 + 1).as_subclass(TensorText)]
    )  # six whole mini-batches
    for r in (0, 1):
        assert same(list(DistributedDL(cls(docs, **kw), r, 2)), list(DistributedDL(theirs(docs, **kw), r, 2)))


def _share(rank, port, q):
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE='2')
    torch.distributed.init_process_group('gloo', rank=rank, world_size=2)
    random.seed(100 + rank)  # different seeds: rank 0's order must win
    dl = LMDataLoader(DOCS, bs=3, seq_len=9, shuffle=True, rank=rank, world_size=2)
    q.put((rank, [x.tolist() for _ in range(2) for x, _ in dl]))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def test_ranks_follow_the_first():
    if not torch.distributed.is_available():
        pytest.skip('no torch.distributed')
    import socket

    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    ctx = multiprocessing.get_context('fork')
    q = ctx.Queue()
    ps = [ctx.Process(target=_share, args=(r, port, q)) for r in (0, 1)]
    for p in ps:
        p.start()
    got = dict(q.get(timeout=300) for _ in ps)
    for p in ps:
        p.join(300)
    random.seed(100)
    dl = LMDataLoader(DOCS, bs=6, seq_len=9, shuffle=True)
    want = [x.tolist() for _ in range(2) for x, _ in dl]
    assert [a + b for a, b in zip(got[0], got[1])] == want


# the benchmark


def test_bench(monkeypatch):
    from nlpdeep import benchmarks as benchmarks_mod

    def row(s):
        return dict(stage=s, ratio=1.0, low=1.0, high=1.0, identical=True)

    monkeypatch.setattr(
        benchmarks_mod, 'bench_tokenize', lambda rounds=5: [row('tokenize cold'), row('tokenize warm')]
    )
    monkeypatch.setattr(
        benchmarks_mod, '_bench_texts', lambda: (list(frame(3000).text), [i % 2 for i in range(3000)])
    )
    rows = bench_text(1)
    assert [o['stage'] for o in rows] == [
        'tokenize cold',
        'tokenize warm',
        'numericalize',
        'lm loader',
        'classifier loader',
    ]
    assert all(o['identical'] for o in rows) and all('to_simple' in o for o in rows[2:])
    assert rows[3]['ratio'] > 4 and rows[4]['ratio'] > 4  # far below what a quiet machine shows


@pytest.mark.parametrize('backwards', (False, True))
@pytest.mark.parametrize('world_size', (1, 3))
@pytest.mark.parametrize('seq_len', (4, 7, 50))
def test_an_epoch_joined_at_once_is_the_epoch_read_in_blocks(monkeypatch, backwards, world_size, seq_len):
    rng = np.random.default_rng(seq_len)
    docs = [torch.from_numpy(rng.integers(2, 99, rng.integers(1, 40))) for _ in range(60)]
    for rank in range(world_size):
        kw = dict(bs=3, seq_len=seq_len, shuffle=True, backwards=backwards, rank=rank, world_size=world_size)
        epochs = []
        for at_once, window in ((2**24, 2**15), (2**24, 64), (0, 2**15)):
            monkeypatch.setattr(LMDataLoader, 'at_once', at_once)
            monkeypatch.setattr(LMDataLoader, 'block', window)
            dl = LMDataLoader(docs, **kw)
            random.seed(1)
            epochs.append(list(dl) + list(dl))
        for a, b, c in zip(*epochs, strict=True):
            for x, y, z in zip(a, b, c):
                assert torch.equal(x, z) and torch.equal(y, z) and type(x) is type(y) is type(z)
                assert x.is_contiguous() and y.is_contiguous()
        x, y = epochs[0][0]
        before = y.clone()
        x.zero_()  # a batch is its own memory
        assert torch.equal(y, before)


@pytest.mark.parametrize('longest', (20, 900))  # many short documents are looked up, long ones copied
def test_documents_in_one_array(monkeypatch, longest):
    rng = np.random.default_rng(longest)
    docs = [torch.from_numpy(rng.integers(2, 99, n)) for n in (0, *rng.integers(longest // 2, longest, 20))]
    order = rng.permutation(len(docs))
    want = np.concatenate([docs[i] for i in order])
    kept, apart = Documents(docs), Documents(docs)
    monkeypatch.setattr(apart, 'at_once', 0, raising=False)  # too large a corpus: nothing is copied for it
    for d in (kept, apart, Documents([])):
        some = order if len(d) else order[:0]
        a = d.joined(some)
        assert a.dtype == np.int32 and np.array_equal(a, want if len(d) else [])
    assert kept.flat is not None and apart.flat is None
    assert all(np.array_equal(a, docs[i]) for d in (kept, apart) for i, a in zip(order, d.arrays(order)))
    sent = pickle.loads(pickle.dumps(kept))  # to another process the ids go once
    assert sent.flat is None and np.array_equal(sent.joined(order), want)
