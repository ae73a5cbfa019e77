"""A causal model as a classifier: equal to transformers' own, blind to padding and neighbours, frozen where
it should be, refusing what does not fit.
"""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import GPT2Config as HFConfig
from transformers import (
    GPT2ForSequenceClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from nlpdeep.causal_classifier import (
    CausalClassifier,
    CausalClassifierConfig,
    FrozenCache,
    LastToken,
    embed_ids,
    encode_texts,
    fit_causal_classifier,
    highlight_words,
    last_norm,
    last_real,
    layer_groups,
    layers_of,
    run_layers,
    unfreezing_schedule,
)
from nlpdeep.causal_models import from_hf, load_pretrained, train_tiny
from nlpdeep.core import InputError, set_seed
from nlpdeep.model_folder import config_checksum

quick = settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
TINY = CausalClassifierConfig(lm_epochs=0, epochs=10, lr=5e-3, lr_head=1e-2, groups=1, free=1, bs=8)


@pytest.fixture(scope='module')
def texts():
    extra = 'story actors music camera ending dialogue colours scenes'.split()
    t = [
        f'a {("warm and funny", "dull and endless")[k % 2]} film with {extra[k % 8]} and {extra[k * 3 % 7]}'
        for k in range(64)
    ]
    return t, [('fresh', 'rotten')[k % 2] for k in range(64)]


@pytest.fixture(scope='module')
def lm(texts):
    return train_tiny(texts[0], steps=40, vocab_sz=300, emb_sz=32, n_layers=2, n_heads=2, seq_len=32)


@pytest.fixture(scope='module')
def judge(lm, texts):
    return CausalClassifier(lm, TINY).fit(*texts)


PLAIN = GPT2LMHeadModel(
    HFConfig(vocab_size=90, n_positions=40, n_embd=24, n_layer=2, n_head=2, initializer_range=0.2)
).eval()


def gpt():
    return GPT2ForSequenceClassification(
        HFConfig(
            vocab_size=90,
            n_positions=40,
            n_embd=24,
            n_layer=3,
            n_head=3,
            num_labels=3,
            pad_token_id=89,
            initializer_range=0.2,
        )
    ).eval()


def llama():
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=90,
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=3,
            num_key_value_heads=1,
            num_labels=3,
            pad_token_id=89,
            bos_token_id=0,
            eos_token_id=1,
            initializer_range=0.2,
        )
    ).eval()


@pytest.mark.parametrize('make', [gpt, llama])
def test_equal_to_transformers(make):
    "Scores and the gradient of every weight, with texts of unequal length."
    set_seed(0)
    theirs = make()
    if make is gpt:
        lm = GPT2LMHeadModel(theirs.config).eval()
        lm.transformer.load_state_dict(theirs.transformer.state_dict())
        lm.tie_weights()
    else:
        lm = LlamaForCausalLM(theirs.config).eval()
        lm.model.load_state_dict(theirs.model.state_dict())
    ours = LastToken(lm, 3).eval()
    ours.score.load_state_dict(theirs.score.state_dict())
    x = torch.randint(2, 80, (3, 11))
    n = [11, 4, 8]
    x_ours = torch.stack([torch.where(torch.arange(11) < k, r, torch.tensor(ours.pad)) for r, k in zip(x, n)])
    x_theirs = torch.stack([torch.where(torch.arange(11) < k, r, torch.tensor(89)) for r, k in zip(x, n)])
    mask = (torch.arange(11) < torch.tensor(n)[:, None]).long()
    a, b = ours(x_ours), theirs(x_theirs, attention_mask=mask).logits
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    a.square().sum().backward()
    b.square().sum().backward()
    torch.testing.assert_close(ours.score.weight.grad, theirs.score.weight.grad, atol=1e-4, rtol=1e-4)

    def g(m, k):
        return sum(float(p.grad.square().sum()) for p in m.parameters() if p.grad is not None and p is not k)

    assert math.isclose(g(ours.lm, None), g(theirs, theirs.score.weight), rel_tol=1e-3)


@quick
@given(st.lists(st.integers(1, 20), min_size=1, max_size=5), st.integers(0, 9))
def test_padding_and_neighbours_change_nothing(lens, extra):
    set_seed(0)
    m = LastToken(from_hf(copy.deepcopy(PLAIN)), 2, free=1, groups=1).eval()
    nn.init.normal_(m.score.weight)
    rows = [torch.randint(0, 90, (n,)) for n in lens]
    w = max(lens) + extra
    x = torch.stack([torch.cat([r, torch.full((w - len(r),), m.pad)]) for r in rows])
    alone = torch.cat([m(r[None]) for r in rows])
    torch.testing.assert_close(m(x), alone, atol=1e-4, rtol=1e-4)
    m.memo = FrozenCache()
    torch.testing.assert_close(m(x), alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(m(x), alone, atol=1e-4, rtol=1e-4)


def test_last_real():
    h = torch.arange(24.0).view(2, 4, 3)
    assert torch.equal(last_real(h, torch.tensor([4, 2])), torch.stack([h[0, 3], h[1, 1]]))


def test_slices_make_the_whole():
    x = torch.randint(0, 90, (2, 9))
    m = from_hf(copy.deepcopy(PLAIN)).eval()
    a = last_norm(m)(run_layers(m, run_layers(m, embed_ids(m, x), 0, 1), 1))
    torch.testing.assert_close(a, PLAIN.transformer(x).last_hidden_state, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match='not known here'):
        layers_of(type('Odd', (), dict(base_model=nn.Linear(1, 1)))())


# -- what learns


def test_frozen_layers_stay_and_rates_fall(lm, texts):
    cfg = CausalClassifierConfig(free=2, groups=2, epochs=1, lr=1e-2)
    m = LastToken(copy.deepcopy(lm.model), 2, 1, 1)
    before = {k: v.clone() for k, v in m.state_dict().items()}
    ids, y = encode_texts(lm, texts[0], TINY), [k % 2 for k in range(64)]
    out = fit_causal_classifier(m, (ids, y), None, TINY)
    changed = {k for k, v in m.state_dict().items() if not torch.equal(v, before[k])}
    assert (
        changed
        and all(k.startswith(('lm.h.1.', 'lm.ln_f', 'score')) for k in changed)
        and not any(k.startswith(('lm.h.0', 'lm.w')) for k in changed)
    )
    assert out['trainable'] == sorted(out['trainable']) and out['trainable'][0] == sum(
        p.numel() for p in layer_groups(m)[-1]
    )
    whole = LastToken(copy.deepcopy(lm.model), 2, 0, 2)
    groups, steps = layer_groups(whole), unfreezing_schedule(whole, dataclasses.replace(cfg, free=0))
    assert sum(p.numel() for g in groups for p in g) == sum(p.numel() for p in whole.parameters()) and [
        s['free'] for s in steps
    ] == [1, 2, 3, 4]
    assert np.allclose(np.array(steps[-1]['rates'][1:]) / np.array(steps[-1]['rates'][:-1]), cfg.lr_div)


def test_it_learns(judge, texts):
    assert np.mean([a == b for a, b in zip(judge.predict(texts[0]), texts[1])]) > 0.9
    e = judge.evaluate(*texts)
    assert e['confusion'].sum() == 64


def test_explain(judge):
    t = 'a dull and endless film'
    got = judge.explain(t, 'rotten')
    assert [w for w, _ in got] == t.split()
    p = judge.predict_proba([t, 'a and endless film'])[:, judge.classes.index('rotten')].astype(float)
    odds = np.log(p / (1 - p))
    assert math.isclose(got[1][1], odds[0] - odds[1], abs_tol=1e-3)
    with torch.no_grad():
        assert len(judge.explain(t, by='gradient')) == 5
    assert '&lt;b&gt;' in highlight_words([('<b>', 1.0)])
    for kw, match in (
        (dict(text='Dull.'), 'one word'),
        (dict(text=t, label='grim'), 'grim'),
        (dict(text=t, by='magic'), 'leave-out'),
    ):
        with pytest.raises(InputError, match=match):
            judge.explain(**kw)


# -- bad input


def test_texts_that_do_not_fit(lm, judge):
    long = 'a film ' * 500
    with pytest.raises(InputError, match='row 1 .* fit into'):
        encode_texts(lm, ['a film', long])
    assert len(encode_texts(lm, [long], CausalClassifierConfig(long='cut', max_len=20, ask=' so'))[0]) == 20
    with pytest.raises(InputError, match='no room'):
        encode_texts(lm, ['a'], CausalClassifierConfig(max_len=1))
    with pytest.raises(InputError, match='empty in row 0'):
        judge.predict([' '])
    with pytest.raises(InputError, match='list'):
        judge.predict('a film')
    assert judge.predict([]) == []


def test_no_padding_token_is_needed(lm):
    tok = copy.deepcopy(lm.tokenizer)
    tok.pad_token = None
    a, b = encode_texts(lm._replace(tokenizer=tok), ['a film', 'dull']), encode_texts(lm, ['a film', 'dull'])
    assert all(np.array_equal(x, y) for x, y in zip(a, b))


def test_labels_and_settings(lm, judge, texts):
    with pytest.raises(InputError, match='lukewarm'):
        judge.evaluate(['so so'], ['lukewarm'])
    with pytest.raises(InputError, match="'lukewarm' is only in the valid part"):
        CausalClassifier(lm, TINY).fit(*texts, valid=(['so so'], ['lukewarm']))
    with pytest.raises(InputError, match='learned nothing'):
        CausalClassifier(lm, TINY).predict(['a'])
    with pytest.raises(InputError, match='free is 7'):
        CausalClassifier(lm, free=7)
    for kw in (dict(bs=0), dict(epochs=-1), dict(long='shrink'), dict(drop_p=1.0)):
        with pytest.raises(InputError):
            CausalClassifierConfig(**kw)


def test_save_and_load(judge, texts, tmp_path):
    d = judge.save(tmp_path / 'm')
    again = CausalClassifier.load(d)
    assert (
        np.allclose(again.predict_proba(texts[0]), judge.predict_proba(texts[0]), atol=1e-5)
        and again.classes == judge.classes
    )
    assert load_pretrained(d / 'lm').model.config.model_type == 'gpt2'
    for name in ('.DS_Store', 'lm/.DS_Store', 'Thumbs.db', '._config.json'):  # a file manager was here
        (d / name).write_bytes(b'x')
    assert CausalClassifier.load(d).classes == judge.classes
    (d / 'README.md').write_text('x')  # the user's own: it stays, and disturbs nobody
    judge.save(d)
    assert (d / 'README.md').read_text() == 'x' and CausalClassifier.load(d).classes == judge.classes
    (d / 'lm' / 'mine.txt').write_text('x')  # but what transformers reads is what was saved
    with pytest.raises(InputError, match='mine.txt'):
        CausalClassifier.load(d)


def test_an_older_folder(judge, texts, tmp_path):
    "Once the head had a file of its own, and the kind another name."
    d = judge.save(tmp_path / 'm')
    (d / 'model.safetensors').rename(d / 'head.safetensors')
    cfg = json.loads((d / 'config.json').read_text(encoding='utf-8'))
    cfg = {k: v for k, v in cfg.items() if k not in ('words', 'checksum')}
    cfg['kind'] = 'causal language model with a head'
    cfg['sha256']['head.safetensors'] = cfg['sha256'].pop('model.safetensors')
    cfg['checksum'] = config_checksum(cfg)
    (d / 'config.json').write_text(json.dumps(cfg, ensure_ascii=False), encoding='utf-8')
    old = CausalClassifier.load(d)
    assert old.classes == judge.classes
    assert np.allclose(old.predict_proba(texts[0]), judge.predict_proba(texts[0]), atol=1e-5)
    old.save(d)  # in today's form, and nothing of the older one stays
    assert not (d / 'head.safetensors').exists() and CausalClassifier.load(d).classes == judge.classes
    (d / 'lm' / '.directory').write_text('x')
    assert CausalClassifier.load(d).cfg == judge.cfg


@pytest.mark.parametrize(
    'name, change, match',
    [
        ('model.safetensors', lambda b: b[:-8], 'cut short'),
        ('lm/model.safetensors', None, 'lacks'),
        ('config.json', lambda b: b[:-9], 'cut short'),
        ('config.json', lambda b: b.replace(b'"fresh"', b'"stale"'), 'edited'),
        ('config.json', lambda b: b.replace(b'"format": 2', b'"format": 7'), 'newer'),
        ('lm/tokenizer.json', lambda b: b + b' ', 'edited'),
    ],
)
def test_a_damaged_folder_is_refused(judge, tmp_path, name, change, match):
    f = judge.save(tmp_path / 'm') / name
    f.unlink() if change is None else f.write_bytes(change(f.read_bytes()))
    with pytest.raises(InputError, match=match):
        CausalClassifier.load(tmp_path / 'm')
