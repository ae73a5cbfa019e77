"""ULMFiT's parts: words and weights that belong together, losses and pools against a reference, checkpoints
that cannot be mismatched, bad input.
"""

import dataclasses
import json
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fastai.basics import DataLoaders, Learner, MSELossFlat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nlpdeep.awd_lstm import AWDLSTMConfig, language_model
from nlpdeep.checkpoint import Checkpoint
from nlpdeep.core import InputError, device, set_seed, torch_threads
from nlpdeep.generation import generate
from nlpdeep.language_model import (
    ProgressLog,
    ThreadWatch,
    ULMFiTConfig,
    finetune_lm,
    perplexity,
    run_one_cycle,
)
from nlpdeep.losses import LazyLogits
from nlpdeep.precision import LinearCrossEntropyLoss
from nlpdeep.pretraining import (
    Pretrained,
    SampledSoftmaxLoss,
    load_lm,
    load_matched,
    lsuv_init,
    pretrain,
    pretrain_texts,
    pretrained,
    save_lm,
    wikitext103,
)
from nlpdeep.processor import PAD_ID, UNK_ID, TextProcessor, tokenize
from nlpdeep.sampling import filter_scores, penalize_repetition
from nlpdeep.text_classifier import Explanation, TextClassifier, ensemble, word_spans
from nlpdeep.training import Callback
from nlpdeep.ulmfit import (
    MAX_BATCH_TOKENS,
    Classifier,
    SteadyBatchNorm,
    class_loader,
    class_probs,
    fit_classifier,
)

quick = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
TINY = ULMFiTConfig(
    max_vocab=400, min_freq=1, emb_sz=12, n_hid=16, lm_epochs=1, epochs=1, lm_bs=4, seq_len=12, bs=16
)
GOOD, BAD = 'a warm and funny film', 'a dull and endless film'


@pytest.fixture(scope='module')
def texts():
    rng = np.random.default_rng(0)
    extra = 'story actors music camera ending dialogue colours scenes'.split()
    t = [f'{(GOOD, BAD)[k % 2]} with {rng.choice(extra)} and {rng.choice(extra)}' for k in range(80)]
    return t, [('fresh', 'rotten')[k % 2] for k in range(80)]


@pytest.fixture(scope='module')
def judge(texts):
    return TextClassifier(dataclasses.replace(TINY, lr=3e-2, lr_all=3e-2, epochs=4)).fit(*texts)


@pytest.fixture(scope='module')
def lm(texts):
    words = TextProcessor.build(tokenize(texts[0]), 400, 1)
    set_seed(0)
    return language_model(AWDLSTMConfig(len(words), emb_sz=12, n_hid=16, n_layers=2)).eval(), words


# -- words and weights


@quick
@given(st.lists(st.sampled_from('film story zebra ape whale newt music'.split()), max_size=8), st.booleans())
def test_plus_keeps_every_old_id(new, back):
    old = TextProcessor.build(tokenize([GOOD, BAD]), 400, 1, backwards=back)
    more = old.plus([new], 5, 1)
    for t in old.vocab:
        if t != 'xxfake':
            assert more.vocab.o2i[t] == old.vocab.o2i[t]
    assert set(new) <= set(more.vocab) or len(set(new) - set(old.vocab)) > 5
    assert more.backwards == back and len(set(more.vocab)) == len(more.vocab)


@quick
@given(st.permutations(range(9, 17)), st.integers(0, 4))
def test_take_over_scores_old_words_as_before(order, n_new):
    set_seed(1)
    old = TextProcessor(
        ['xxunk', 'xxpad', 'xxbos', 'xxeos', 'xxfld', 'xxrep', 'xxwrep', 'xxup', 'xxmaj']
        + [f'w{k}' for k in range(9, 17)]
    )
    new = TextProcessor(old.vocab[:9] + [f'w{k}' for k in order] + [f'n{k}' for k in range(n_new)])

    def cfg(n):
        return AWDLSTMConfig(n, emb_sz=6, n_hid=8, n_layers=2)

    a, b = language_model(cfg(len(old))).eval(), language_model(cfg(len(new))).eval()
    torch.nn.init.normal_(a[1].decoder.bias)
    load_matched(b, a, new.vocab.match(old.vocab))
    x = torch.tensor([[2, 9, 12, 16, 10]])
    y = torch.from_numpy(new.vocab.encode(old.vocab.decode(x[0].tolist())))[None]
    a.reset()
    b.reset()
    scores = dict(zip(new.vocab, b(y)[0].permute(2, 0, 1)))
    for t, s in zip(old.vocab, a(x)[0].permute(2, 0, 1)):
        assert torch.allclose(scores[t], s, atol=1e-5)
    for k in range(n_new):
        assert torch.allclose(b[0].encoder.weight[len(old) + k], a[0].encoder.weight.mean(0), atol=1e-6)


def test_backwards_is_the_mirror(lm):
    model, words = lm
    back = TextProcessor(words.vocab, backwards=True)
    for a, b in zip(words([GOOD, BAD]), back([GOOD, BAD])):
        assert a[0] == b[0] == 2 and a[1:].tolist() == b[1:].tolist()[::-1]  # xxbos begins either
    out = generate(model, back, 'endless film', n=3, n_words=6, seed=2)
    assert all(o.endswith('endless film') for o in out) and out == generate(
        model, back, 'endless film', n=3, n_words=6, seed=2
    )


# -- pretraining


def test_scale_init_sets_every_layer(lm):
    model, words = lm
    m = language_model(AWDLSTMConfig(len(words), emb_sz=12, n_hid=32, n_layers=3))
    x = torch.randint(9, len(words), (8, 20))
    lsuv_init(m, x)
    h = m[0].encoder(x).detach()
    for r in m.eval()[0].rnns:
        w = dict(zip(r._names, r.weights()))
        assert abs(F.linear(h, w['weight_ih_l0']).std().item() - 1) < 1e-3
        n = r.module.hidden_size
        q = w['weight_hh_l0'][:n]
        assert (
            torch.allclose(q @ q.t(), torch.eye(n), atol=1e-4)
            and (w['bias_ih_l0'][n : 2 * n] == 1).all()
            and not w['bias_hh_l0'].any()
        )
        h = r(h)[0].detach()


def test_sampled_loss_is_the_full_one_when_all_words_are_candidates():
    torch.manual_seed(0)
    h, w, b, y = (
        torch.randn(40, 8, requires_grad=True),
        torch.randn(60, 8, requires_grad=True),
        torch.randn(60),
        torch.randint(0, 60, (40,)),
    )
    counts = np.arange(60, 0, -1)
    full = LinearCrossEntropyLoss()(LazyLogits(h, w, b), y)
    assert torch.allclose(SampledSoftmaxLoss(counts, n=60, top=10)(LazyLogits(h, w, b), y), full)
    assert torch.allclose(SampledSoftmaxLoss(counts, n=5, top=60)(LazyLogits(h, w, b), y), full)
    some = SampledSoftmaxLoss(counts, n=10, top=10)
    losses = torch.stack([some(LazyLogits(h, w, b), y).detach() for _ in range(300)])
    assert losses.std() > 0 and abs(float(losses.mean() / full) - 1) < 0.1
    some(LazyLogits(h, w, b), y).backward()
    assert h.grad.abs().sum() > 0 and w.grad.abs().sum() > 0


def test_pretrain_resumes_and_saves(texts, tmp_path):
    words = TextProcessor.build(tokenize(texts[0]), 400, 1)
    ids = words(texts[0])
    m, h = pretrain(ids[10:], ids[:10], len(words), TINY, tmp_path / 'run.safetensors', every=5)
    again, _ = pretrain(ids[10:], ids[:10], len(words), TINY, tmp_path / 'run.safetensors', every=5)
    assert h['after'] < h['before'] and torch.equal(m[0].encoder.weight, again[0].encoder.weight)
    with pytest.raises(InputError, match='another run'):
        pretrain(
            ids[10:],
            ids[:10],
            len(words),
            dataclasses.replace(TINY, lm_lr=1e-3),
            tmp_path / 'run.safetensors',
        )
    with pytest.raises(InputError, match='first weights'):
        pretrain(
            ids[10:], ids[:10], len(words), TINY, tmp_path / 'run.safetensors', begin=m.state_dict()
        )  # a second pass is another run
    with pytest.raises(InputError, match='training data'):
        pretrain(ids[20:], ids[:10], len(words), TINY, tmp_path / 'run.safetensors')
    assert [o['step'] for o in h['curve']] == list(range(5, len(h['train']) + 1, 5)) and h['curve'][-1][
        'perplexity'
    ] < h['before']
    with pytest.raises(InputError, match='this vocabulary'):
        save_lm(tmp_path / 'lm' / 'forwards', m, TextProcessor(list(words.vocab)[:-1]))
    save_lm(tmp_path / 'lm' / 'forwards', m, words, dict(read='toys'))
    p = pretrained(tmp_path / 'lm')
    assert (
        isinstance(p, Pretrained)
        and abs(perplexity(p.model(), ids[:10]) / h['after'] - 1) < 1e-2
        and p.card == dict(read='toys')
    )
    begun = TextClassifier(TINY, base=str(tmp_path / 'lm')).fit(*texts)
    assert begun.history['language model']['before'] < 0.9 * len(begun.words)
    with pytest.raises(InputError, match='reads backwards; with nlpdeep come'):
        pretrained('xx', backwards=True)
    with pytest.raises(InputError, match='reads forwards'):
        pretrained(tmp_path / 'lm' / 'forwards', backwards=True)
    with pytest.raises(InputError, match='language'):
        TextClassifier(TINY, base=str(tmp_path / 'lm'), lang='de').fit(*texts)


def test_pretraining_again_reads_again(tmp_path, texts):
    mini = dict(emb_sz=12, n_hid=16, n_layers=1, lm_bs=4, seq_len=12, lm_epochs=1, max_vocab=400, min_freq=1)
    path, h = pretrain_texts(
        texts[0] + [f'{t} again' for t in texts[0]],
        tmp_path / 'lm',
        ULMFiTConfig.for_pretraining(**mini),
        every=5,
    )
    card = load_lm(path).card
    assert (
        card['made']['settings']['emb_sz'] == 12
        and len(card['made']['curve']) > 1
        and card['made']['minutes'] > 0
    )
    for k in (2, 3):  # in the same folder, from what lies there: each pass reads
        path, h = pretrain_texts(
            texts[0] + [f'{t} again' for t in texts[0]],
            tmp_path / 'lm',
            ULMFiTConfig.for_pretraining(**mini, base=str(tmp_path / 'lm')),
            every=5,
        )
        assert h['train'] and load_lm(path).card['tokens'] == k * card['tokens']


def test_classifier_broken_off_and_resumed(texts, tmp_path):
    """Stage three with a checkpoint for each pass: broken off in the second pass and called again, it ends
    where a run without a break does.
    """
    words = TextProcessor.build(tokenize(texts[0]), 400, 1)
    ids = words(texts[0])
    y = [int(l == 'fresh') for l in texts[1]]
    cfg = dataclasses.replace(TINY, epochs=2, n_layers=2)

    class Stop(Callback):
        order, run_valid = 120, False

        def after_batch(self):
            if self.train_iter == 3:
                raise KeyboardInterrupt

    def run(where, stop=None, seed=0):
        set_seed(seed)
        m = Classifier(cfg.encoder(len(words), True), 2)
        fit_classifier(
            m,
            (ids[20:], y[20:]),
            (ids[:20], y[:20]),
            cfg,
            cbs=lambda k: [Checkpoint(tmp_path / f'{where}{k}', 2)] + [Stop()] * (k == stop),
        )
        return m.state_dict()

    whole = run('a')
    with pytest.raises(KeyboardInterrupt):
        run('b', stop=1)
    again = run('b', seed=9)
    assert all(torch.equal(whole[k], again[k]) for k in whole)


def test_batch_norm_of_more_than_the_last_batches(texts):
    """The running statistics are averages over a share of each pass, no fewer than ten batches; the weights
    do not depend on it, and PyTorch's momentum comes back.
    """
    toks = tokenize(texts[0])
    words = TextProcessor.build(toks, 400, 1)
    ids, y = words.ids(toks), [int(o == 'rotten') for o in texts[1]]
    cfg = dataclasses.replace(TINY, epochs=2)

    class Watch(Callback):
        order = 90

        def before_fit(self):
            momenta.append([])

        def after_batch(self):
            if self.training:
                momenta[-1].append(self.model.head.layers[0].momentum)

    def run(*cbs):
        set_seed(0)
        m = Classifier(cfg.encoder(len(words), True), 2)
        fit_classifier(m, (ids[20:], y[20:]), (ids[:20], y[:20]), cfg, cbs=[*cbs, Watch()])
        return m

    momenta, models = [], []
    for cbs, window in (
        ([], lambda steps: 10),
        ([SteadyBatchNorm(1 / 4, 2)], lambda steps: max(2, round(steps / 4))),
    ):
        momenta.clear()
        models.append(run(*cbs))
        for steps in momenta:
            assert steps == [1 / min(k, window(len(steps))) for k in range(1, len(steps) + 1)]
        assert max(map(len, momenta)) > 10
    assert all(map(torch.equal, *(m.parameters() for m in models)))
    norms = [m.head.layers[0] for m in models]
    assert not torch.equal(*(norm.running_mean for norm in norms)) and norms[0].momentum == 0.1


@pytest.mark.parametrize('length', [150_000])
def test_a_very_long_text_takes_no_room_from_its_neighbours(length, monkeypatch):
    """A text of hundreds of thousands of tokens is judged alone, cut for training, and changes nothing for
    the others.
    """
    set_seed(0)
    m = Classifier(TINY.encoder(40, True), 2)
    rng = np.random.default_rng(0)
    ids = [rng.integers(9, 40, n) for n in (length, 30, 12, 40, 7)]
    seen, pad = [], torch.nn.utils.rnn.pad_sequence
    monkeypatch.setattr(
        torch.nn.utils.rnn,
        'pad_sequence',
        lambda ts, **kw: (seen.append(sorted(map(len, ts))), pad(ts, **kw))[1],
    )
    p = class_probs(m, ids, bs=4)
    assert sorted(seen) == [[7, 12, 30, 40], [length]] and np.allclose(
        p[1:], class_probs(m, ids[1:]), atol=1e-6
    )
    for x, _ in class_loader(ids, [0, 1, 0, 1, 0], 4, train=True):
        assert x.numel() <= MAX_BATCH_TOKENS


def test_lm_folder_is_no_classifier(judge, lm, tmp_path):
    save_lm(tmp_path / 'lm', *lm)
    judge.save(tmp_path / 'judge')
    with pytest.raises(InputError, match='a classifier, not a language model'):
        load_lm(tmp_path / 'judge')
    with pytest.raises(InputError, match='a language model, not a classifier'):
        TextClassifier.load(tmp_path / 'lm')
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'a.txt').write_text('x')
    with pytest.raises(InputError, match='no model'):
        save_lm(tmp_path / 'mine', *lm)


def test_wikitext103_reads_no_code(tmp_path, lm):
    from fastai.text.all import AWD_LSTM, awd_lstm_lm_config, get_language_model

    theirs = get_language_model(
        AWD_LSTM, 30, config=dict(awd_lstm_lm_config, emb_sz=6, n_hid=8, n_layers=2)
    ).eval()
    torch.save(dict(model=theirs.state_dict(), opt=None), tmp_path / 'w.pth')
    (tmp_path / 'i.pkl').write_bytes(pickle.dumps([f'w{k}' for k in range(30)]))
    p = wikitext103(tmp_path)
    x = torch.randint(0, 30, (2, 7))
    ours = p.model()
    ours.reset()
    theirs.reset()
    assert p.sizes == dict(emb_sz=6, n_hid=8, n_layers=2) and torch.allclose(
        ours(x)[0], theirs(x)[0], atol=1e-5
    )

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / 'gone'), 'w'))

    (tmp_path / 'i.pkl').write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match='open'):
        wikitext103(tmp_path)
    assert not (tmp_path / 'gone').exists()
    (tmp_path / 'w.pth').unlink()
    with pytest.raises(InputError, match='.pth'):
        wikitext103(tmp_path)


@pytest.mark.parametrize('back', (False, True))
def test_the_model_that_ships(back):
    en = pretrained('en', backwards=back)
    assert (
        en.sizes['n_layers'] == 2
        and en.words.backwards == back
        and en.card['tokens'] > 1e7
        and sum(v.numel() for v in en.weights.values()) < 12e6
    )
    ids = en.words(
        [
            'This is one of the best films I have ever seen, and the acting is great.',
            'I did not like this movie at all: the story is boring and the end makes no sense.',
        ]
    )
    assert perplexity(en.model(), ids, bs=1) < 80 and (np.concatenate(ids) == 0).sum() == 0
    text = generate(en.model(), en.words, 'This film is', seed=1)[0]
    assert text.endswith('This film is') if back else text.startswith('This film is')
    long = np.concatenate(ids * 40)  # rows of it begin in mid-text: the state must not get stuck there
    assert perplexity(en.model(), [long], bs=16) < 80


@pytest.mark.parametrize('back', (False, True))
def test_averages_and_answers_of_the_recorded_runs(monkeypatch, back):
    """`read_states` (nbs/runs/ulmfit_imdb.py) in batches, in pieces, from a state kept = each text and
    question read alone and whole.
    """
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / 'nbs' / 'runs'))
    from ulmfit_imdb import QUESTIONS, last_words, read_states

    en = pretrained('en', backwards=back)
    m = (
        Classifier(ULMFiTConfig(**en.sizes).encoder(len(en.words), True), 2, chunk=5)
        .load_encoder(en.model())
        .eval()
    )
    ids = en.words(
        ['One film.', 'This one is long, dull and loud, and it has no end at all.', 'It is good.', 'He left.']
    )
    ask = [
        en.words.vocab.encode(q.split())[:: -1 if back else 1].copy()
        for q in QUESTIONS['backwards' if back else 'forwards']
    ]
    assert len(ids[0]) == len(ids[3]) < len(ids[2]) and all((q != 0).all() for q in ask)

    def alone(x):
        m.encoder.bs = 1
        m.encoder.reset()
        h = [m.encoder.encoder(torch.from_numpy(x)[None])]
        for l, rnn in enumerate(m.encoder.rnns):
            o, m.encoder.hidden[l] = rnn(h[-1], m.encoder.hidden[l])
            h.append(o)
        return [o[0] for o in h]

    with torch.inference_mode():
        got = read_states(m, ids, ask)
        for x, o in zip(ids, got):
            want = torch.cat(
                [h.mean(0) for h in alone(x)]
                + [
                    alone(x)[-1][-1],
                    torch.stack([alone(np.concatenate([x, q]))[-1][-1] for q in ask]).mean(0),
                ]
            )
            assert np.allclose(o, want.numpy(), atol=1e-5)
    assert np.allclose(read_states(m, ids, bs=1), got[:, : -2 * en.sizes['emb_sz']], atol=1e-5)
    x = np.arange(9)
    assert last_words(x, 'forwards', 3).tolist() == [0, 6, 7, 8] and last_words(
        x, 'backwards', 3
    ).tolist() == [0, 1, 2, 3]


def test_the_default_begins_with_it(monkeypatch):
    def settings(**kw):
        return TextClassifier(**kw)._plan(5000, False)[-1]

    assert settings() == ULMFiTConfig.sized('tiny') == settings(backwards=False)
    assert settings().base == settings(backwards=True).base == 'en'
    assert settings(lang='de').base == settings(base='').base == ''
    monkeypatch.setenv('NLPDEEP_SIZE', 'full')
    assert settings() == ULMFiTConfig.sized('tiny') != ULMFiTConfig.sized()


def test_pieces(tmp_path):
    rng = random.Random(0)
    texts = [
        ' '.join(rng.choices('это очень хороший фильм и скучный сюжет'.split(), k=30)) for _ in range(60)
    ]
    cfg = ULMFiTConfig.for_pretraining(emb_sz=8, n_hid=8, n_layers=1, lm_bs=4, seq_len=10, lang='ru')
    path, h = pretrain_texts(texts, tmp_path, cfg, pieces=60, card=dict(source='made up'))
    p = load_lm(path)
    assert (
        p.words.pieces
        and p.card['source'] == 'made up'
        and h['after'] < h['before']
        and p.words.text(p.words.tokenize([texts[0]])[0]) == texts[0]
    )
    again, h2 = pretrain_texts(texts, tmp_path, cfg, pieces=60)
    assert h2['after'] == h['after']
    other, h3 = pretrain_texts(texts[:50], tmp_path, cfg, pieces=60)  # other texts: not the old checkpoint
    assert h3['after'] != h['after']
    c = TextClassifier(TINY, base=str(tmp_path)).fit(texts, ['a', 'b'] * 30)
    assert c.words.pieces == load_lm(tmp_path / 'forwards').words.pieces and c.cfg_.lang == 'ru'
    back = TextClassifier.load(c.save(tmp_path / 'c'))
    assert np.array_equal(back.predict_proba(texts[:5]), c.predict_proba(texts[:5])) and back.generate(
        'это', seed=1
    ) == c.generate('это', seed=1)
    (tmp_path / 'c' / 'pieces.model').write_bytes(b'edited')
    with pytest.raises(InputError, match='pieces.model'):
        TextClassifier.load(tmp_path / 'c')


def test_pretrain_texts_refuses(tmp_path):
    with pytest.raises(InputError, match='10 is the least'):
        pretrain_texts(['a b'] * 40, tmp_path)
    with pytest.raises(InputError, match='too few'):
        pretrain_texts([f'a {k}' for k in range(20)], tmp_path)
    with pytest.raises(InputError, match='row 1'):
        pretrain_texts(['a', None], tmp_path)
    (tmp_path / 'f').write_text('mine')
    with pytest.raises(InputError, match='cannot write|is a file'):
        pretrain_texts([f'a {k}' * 99 for k in range(20)], tmp_path / 'f')
    assert not (tmp_path / 'forwards').exists() and (tmp_path / 'f').read_text() == 'mine'


# -- writing


@quick
@given(
    st.lists(st.floats(-4, 4), min_size=3, max_size=12),
    st.floats(0.05, 1),
    st.integers(0, 12),
    st.floats(0.2, 3),
)
def test_filter_scores_keeps_the_likeliest(scores, top_p, top_k, temperature):
    s = torch.tensor([scores])
    p = filter_scores(s, temperature, top_k, top_p).softmax(-1)
    assert abs(float(p.sum()) - 1) < 1e-4 and (p[0][s[0] >= s.max() - 1e-6] > 0).any()
    kept = p[0] > 0
    assert (
        float(s[0][kept].min()) >= float(s[0][~kept].max() if (~kept).any() else -9) - 1e-6
    )  # nothing likelier was dropped
    if not top_k and top_p < 1:
        q = (s / temperature).softmax(-1)[0][kept].sort(descending=True).values
        assert q[:-1].sum() < top_p + 1e-5  # and no more than needed was kept


def test_generate_refuses_and_repeats(lm):
    model, words = lm
    assert generate(model, words, n_words=0, n=2) == ['', '']
    for kw, match in (
        (dict(n=0), 'at least 1'),
        (dict(temperature=-1), 'temperature'),
        (dict(top_k=-1), 'top_k'),
        (dict(top_p=0), 'top_p'),
        (dict(repetition=0), 'repetition'),
    ):
        with pytest.raises(InputError, match=match):
            generate(model, words, **kw)
    assert penalize_repetition(torch.tensor([[1.0, -1.0]]), torch.tensor([[True, True]]), 4.0).tolist() == [
        [0.25, -4.0]
    ]


# -- reading and judging


@quick
@given(
    st.lists(st.integers(1, 25), min_size=1, max_size=6),
    st.integers(1, 9),
    st.sampled_from(['front', 'behind', 'chunks']),
    st.integers(0, 5),
)
def test_padding_and_neighbours_change_nothing(lens, chunk, how, extra):
    set_seed(0)
    clf = Classifier(AWDLSTMConfig.classifier(40, emb_sz=6, n_hid=8, n_layers=2), 3, chunk=chunk).eval()
    ts, w = [torch.randint(9, 40, (n,)) for n in lens], max(lens) + extra

    def before(n):
        return dict(front=w - n, behind=0, chunks=(w - n) // chunk * chunk)[how]

    x = torch.stack([F.pad(t, (before(len(t)), w - len(t) - before(len(t))), value=PAD_ID) for t in ts])
    assert torch.allclose(clf(x), torch.cat([clf(t[None]) for t in ts]), atol=1e-5)


def test_explain(judge, texts):
    e = judge.explain('a warm and funny film', label='fresh')
    assert (
        isinstance(e, Explanation)
        and [t for t, _ in e] == 'A warm and funny film'.split()
        or [t for t, _ in e] == 'a warm and funny film'.split()
    )
    other = judge.explain('a warm and funny film', label='rotten')
    assert np.allclose([w for _, w in e], [-w for _, w in other], atol=1e-3)
    assert (
        len(judge.explain('warm film ' * 300, pieces=40)) <= 40
        and judge.explain('film').label in judge.classes
    )
    with pytest.raises(InputError, match='lukewarm'):
        judge.explain('film', label='lukewarm')
    with pytest.raises(InputError, match='empty'):
        judge.explain(' ')
    toks = tokenize(['GOOD!!!! So so so so good A film'])[0]
    assert [o for a, b in word_spans(toks) for o in toks[a:b]] == toks[1:]


def test_ensemble(judge, texts):
    p = judge.predict_proba(texts[0][:5])
    assert np.allclose(ensemble([judge, judge], texts[0][:5]), p)
    with pytest.raises(InputError, match='at least one'):
        ensemble([], ['x'])
    with pytest.raises(InputError, match='other classes'):
        ensemble([judge, TextClassifier(TINY)], ['x'])


# -- checkpoints and bad input


@pytest.mark.parametrize(
    'name, change, match',
    [
        ('model.safetensors', lambda b: b[: len(b) // 2], 'cut short or was edited'),
        ('model.safetensors', lambda b: b[:-1] + bytes([b[-1] ^ 1]), 'cut short or was edited'),
        ('vocab.json', lambda b: b.replace(b'"film"', b'"files"'), 'cut short or was edited'),
        ('tokenizer.json', lambda b: b + b' ', 'cut short or was edited'),
        ('config.json', lambda b: b[:-30], 'cut short'),
        ('config.json', lambda b: b.replace(b'"format": 2', b'"format": 9'), 'newer nlpdeep'),
        ('config.json', lambda b: b.replace(b'fresh', b'stale'), 'edited'),
    ],
)
def test_a_damaged_checkpoint_is_refused(judge, tmp_path, name, change, match):
    f = judge.save(tmp_path / 'm') / name
    f.write_bytes(change(f.read_bytes()))
    with pytest.raises(InputError, match=match):
        TextClassifier.load(tmp_path / 'm')


def test_weights_of_another_vocabulary_are_refused(judge, tmp_path):
    "Files of two models that are whole, but do not belong together."
    from nlpdeep.core import file_hash
    from nlpdeep.model_folder import config_checksum

    d = judge.save(tmp_path / 'm')
    v = json.loads((d / 'vocab.json').read_text())
    from nlpdeep.numericalization import Vocab

    Vocab(v['tokens'] + ['another']).save(d / 'vocab.json')
    cfg = json.loads((d / 'config.json').read_text())
    cfg['sha256']['vocab.json'] = file_hash(d / 'vocab.json')
    (d / 'config.json').write_text(json.dumps(dict(cfg, checksum=config_checksum(cfg))))
    with pytest.raises(InputError, match='do not fit'):
        TextClassifier.load(d)


def test_nothing_is_overwritten_until_the_new_is_whole(judge, tmp_path, monkeypatch):
    from nlpdeep import model_folder as model_folder_mod

    d = judge.save(tmp_path / 'm')
    before = {f.name: f.read_bytes() for f in d.iterdir()}
    monkeypatch.setattr(
        model_folder_mod, 'write_json', lambda *a: (_ for _ in ()).throw(OSError('no room left'))
    )
    with pytest.raises(OSError):
        judge.save(d)
    assert {f.name: f.read_bytes() for f in d.iterdir()} == before and [
        o.name for o in tmp_path.iterdir()
    ] == ['m']


@pytest.mark.parametrize(
    'texts, labels, match',
    [
        ([' '] * 20, ['a', 'b'] * 10, 'empty in row'),
        (['x' * 1_000_001] + ['good'] * 19, ['a', 'b'] * 10, 'characters in row'),
        (['good'] * 20, ['a'] * 20, 'two classes'),
        ([None] + ['good'] * 19, ['a', 'b'] * 10, 'missing in row'),
        (['good'] * 20, ['a'] * 3, '20 training texts and 3 labels'),
    ],
)
def test_bad_texts(texts, labels, match):
    with pytest.raises(InputError, match=match):
        TextClassifier(TINY).fit(texts, labels)


def test_labels_unseen_in_training(judge, texts):
    with pytest.raises(InputError, match="'lukewarm' is only in the valid part"):
        TextClassifier(TINY).fit(*texts, valid=(['so so'], ['lukewarm']))
    with pytest.raises(InputError, match='lukewarm'):
        judge.evaluate(['so so'], ['lukewarm'])


def test_a_rate_that_diverges(texts):
    with pytest.raises(InputError, match='Turn the learning rate down'):
        words = TextProcessor.build(tokenize(texts[0]), 400, 1)
        ids = words(texts[0])
        finetune_lm(
            language_model(TINY.encoder(len(words))),
            ids * 10,
            ids[:8],
            dataclasses.replace(TINY, lm_lr=1e4, clip=1e9),
        )


def test_it_learns(judge, texts):
    assert np.mean([a == b for a, b in zip(judge.predict(texts[0]), texts[1])]) > 0.9


def test_pieces_of_long_paragraphs():
    "sentencepiece leaves lines above 4,192 bytes out; a paragraph is a line, and may be longer."
    from nlpdeep.pretraining import _words_for

    rng = random.Random(0)
    words = ['vorgarten', 'zimmermann', 'lichtung', 'quelle', 'jagdhund']
    long = [' '.join(rng.choices(words, k=900)) for _ in range(4)]
    short = [f'the plot is dull and the end is warm {k}' for k in range(40)]
    cfg = ULMFiTConfig.for_pretraining(lang='de')
    made, _ = _words_for(long + short, cfg, 80)
    assert not any((o == UNK_ID).any() for o in made(words))


def test_one_thread_while_the_machine_is_busy(monkeypatch):
    for name in ('OMP_NUM_THREADS', 'NLPDEEP_THREADS'):  # whoever sets these wants so many, come what may
        monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
        monkeypatch.setenv(name, '2')
        assert not ThreadWatch().on
        monkeypatch.delenv(name)
    assert ThreadWatch().on == (device() == 'cpu')
    seen = []

    class Threads(Callback):
        def before_batch(self):
            seen.append(torch.get_num_threads())
            if len(seen) == 3:
                speed[2] = 0.01

    speed = {1: 0.02, 2: 0.04}
    watch = ThreadWatch(on=True, every=0, seconds=lambda n, most=0: speed[n])
    batches = [(torch.ones(4, 3), torch.ones(4, 1))] * 5
    learn = Learner(DataLoaders(batches, batches[:1]), torch.nn.Linear(3, 1), loss_func=MSELossFlat())
    with torch_threads(2):
        with watch:
            run_one_cycle(learn, 1, 0.1, [], 'x', ProgressLog(None), print, [Threads()], watch)
        assert torch.get_num_threads() == 2
    assert seen == [1, 1, 1, 2, 2, 2]
