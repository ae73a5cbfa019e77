"""Every way a causal model is read here, on tiny random models of many families, against reading each
text alone:
side of the padding x attention x cache. transformers' own forward pass over one whole row is the judge."""

import functools

import pytest
import torch
import transformers

from nlpdeep.causal_classifier import (
    LastToken,
    causal_class_probs,
    embed_ids,
    last_norm,
    layers_of,
    run_layers,
)
from nlpdeep.causal_generation import generate_causal
from nlpdeep.causal_models import attention_maps, causal_logits, from_hf, new_cache, tiny_tokenizer
from nlpdeep.causal_training import HiddenLM, causal_perplexity
from nlpdeep.core import InputError
from nlpdeep.precision import LinearCrossEntropyLoss

V, WINDOW = 300, 6
BASE = dict(
    vocab_size=V,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=4,
    num_attention_heads=4,
    max_position_embeddings=64,
    bos_token_id=0,
    eos_token_id=0,
    pad_token_id=None,
)
KV = dict(num_key_value_heads=2)
FAMILIES = {
    'gpt2': ('GPT2Config', dict(vocab_size=V, n_embd=32, n_layer=4, n_head=4, n_positions=64)),
    'llama': ('LlamaConfig', KV),
    'qwen2': ('Qwen2Config', KV),
    'qwen2_window': (
        'Qwen2Config',
        dict(KV, use_sliding_window=True, sliding_window=WINDOW, max_window_layers=1),
    ),
    'mistral': ('MistralConfig', dict(KV, sliding_window=WINDOW)),
    'gemma': ('GemmaConfig', dict(KV, head_dim=8)),
    'gemma2': ('Gemma2Config', dict(KV, head_dim=8, sliding_window=WINDOW, final_logit_softcapping=3.0)),
    'gemma3': ('Gemma3TextConfig', dict(KV, head_dim=8, sliding_window=WINDOW)),
    'gpt_neox': ('GPTNeoXConfig', {}),
    'opt': ('OPTConfig', dict(ffn_dim=48, word_embed_proj_dim=16)),
    'granite': (
        'GraniteConfig',
        dict(KV, embedding_multiplier=3.0, logits_scaling=4.0, residual_multiplier=0.5),
    ),
}
# gpt2 has the old attention, mistral a window, gemma2 a window, a scale in front and a cap behind
CORE = {'gpt2', 'mistral', 'gemma2'}
MARKS = [o if o in CORE else pytest.param(o, marks=pytest.mark.slow) for o in FAMILIES]
families = pytest.mark.parametrize('family', MARKS)
attentions = pytest.mark.parametrize('attention', ['eager', 'sdpa'])


@functools.cache
def model(family, attention='sdpa'):
    cls, kw = FAMILIES[family]
    if family != 'gpt2':
        kw = BASE | kw
    torch.manual_seed(0)
    m = transformers.AutoModelForCausalLM.from_config(getattr(transformers, cls)(**kw)).eval()
    for p in m.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.3)
    if attention == 'sdpa' and not m._supports_sdpa:
        pytest.skip('this family has no sdpa attention')
    m.set_attn_implementation(attention)
    return m


@functools.cache
def tokenizer():
    return tiny_tokenizer(['a good warm film . a bad cold film . 0123456789' * 20], 290)


def rows(*lens):
    g = torch.Generator().manual_seed(1)
    return [torch.randint(1, V, (n,), generator=g) for n in lens]


def alone(m, ids):
    "Hidden states and logits of one row, by transformers."
    with torch.no_grad():
        h = m.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0]
        return h, m(input_ids=ids[None], use_cache=False).logits[0]


@families
@attentions
def test_blocks_one_by_one(family, attention):
    m, (ids,) = model(family, attention), rows(20)
    n = len(layers_of(m))
    with torch.no_grad():
        x = embed_ids(m, ids[None])
        whole = last_norm(m)(run_layers(m, x))[0]
        halves = last_norm(m)(run_layers(m, run_layers(m, x, 0, n - 1), n - 1))[0]
    want = alone(m, ids)[0]
    torch.testing.assert_close(whole, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(halves, want, atol=1e-5, rtol=1e-5)
    assert run_layers(m, x, n, n) is x


@families
@attentions
@pytest.mark.parametrize('side', ['behind', 'front'])
def test_classifier_reads_the_last_token(family, attention, side):
    m, texts = model(family, attention), rows(3, 9, 14)
    top = LastToken(m, 2, free=2).eval()
    torch.nn.init.normal_(top.score.weight)
    filled = [torch.full((14 - len(r),), top.pad) for r in texts]
    batch = torch.stack([torch.cat([r, f] if side == 'behind' else [f, r]) for r, f in zip(texts, filled)])
    with torch.no_grad():
        got = top(batch)
        want = torch.stack([top.score(alone(m, r)[0][-1]) for r in texts])
    torch.testing.assert_close(got, want, atol=1e-4, rtol=1e-4)
    probs = torch.from_numpy(causal_class_probs(top, [r.numpy() for r in texts], bs=2, precision='fp32'))
    torch.testing.assert_close(probs, want.softmax(1), atol=1e-4, rtol=1e-4)


@families
@attentions
@pytest.mark.parametrize('cache', [True, False])
def test_batch_padded_in_front_writes_what_each_writes_alone(family, attention, cache):
    m = model(family, attention)
    m = from_hf(m) if family == 'gpt2' and attention == 'sdpa' else m
    texts = [[5, 9], [7, 3, 8, 2, 11, 4, 6, 13, 12], [30, 31, 32]]
    kw = dict(max_new=8, stop=False, cache=cache)
    got = generate_causal(m, tokenizer(), texts, **kw)
    assert got == [generate_causal(m, tokenizer(), [t], **(kw | dict(cache=False)))[0] for t in texts]


@families
@attentions
def test_cache_and_mask_give_the_logits_of_each_alone(family, attention):
    m, texts = model(family, attention), rows(4, 9)
    ids = torch.stack([torch.cat([torch.zeros(9 - len(r), dtype=torch.long), r]) for r in texts])
    mask = torch.tensor([[0] * (9 - len(r)) + [1] * len(r) for r in texts])
    more = torch.tensor([[5], [6]])
    with torch.no_grad():
        kept = new_cache(m)
        first = causal_logits(m, ids, mask, kept, last=True)[:, 0]
        mask = torch.cat([mask, torch.ones(2, 1, dtype=torch.long)], 1)
        second = causal_logits(m, more, mask, kept, last=True)[:, 0]
    for k, r in enumerate(texts):
        torch.testing.assert_close(first[k], alone(m, r)[1][-1], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(second[k], alone(m, torch.cat([r, more[k]]))[1][-1], atol=1e-4, rtol=1e-4)


@families
@attentions
def test_perplexity_and_training_loss_are_transformers(family, attention):
    m, tok = model(family, attention), tokenizer()
    texts = ['a good warm film .', 'a bad cold film . 0123456789 a bad cold film', 'bad']
    nats = n = 0
    for t in texts:
        ids = torch.tensor([0] + tok(t, add_special_tokens=False)['input_ids'])
        nats += torch.nn.functional.cross_entropy(alone(m, ids)[1][:-1], ids[1:], reduction='sum').item()
        n += len(ids) - 1
    got = causal_perplexity(m, tok, texts, bs=2)
    assert got['tokens'] == n
    assert got['per_token'] == pytest.approx(torch.tensor(nats / n).exp().item(), rel=1e-4)
    x = torch.stack(rows(12, 12))
    with torch.no_grad():
        pred = HiddenLM(m).eval()(x[:, :-1])
        loss = LinearCrossEntropyLoss()(pred, x[:, 1:])
        want = m(input_ids=x[:, :-1], use_cache=False).logits
    wanted = torch.nn.functional.cross_entropy(want.flatten(0, 1), x[:, 1:].flatten())
    torch.testing.assert_close(loss, wanted, atol=1e-4, rtol=1e-4)
    assert torch.equal(pred.argmax(-1), want.argmax(-1))  # what a metric sees


@families
def test_attention_maps_look_back_only(family):
    m, (ids,) = model(family), rows(10)
    was = m.config._attn_implementation
    maps = attention_maps(m, ids[None])
    assert m.config._attn_implementation == was
    assert maps.triu(1).abs().max() == 0
    torch.testing.assert_close(maps.sum(-1), torch.ones(maps.shape[:-1]))


def test_gradients_reach_every_block_that_learns():
    m = model('mistral')
    top = LastToken(m, 2, free=2).train()
    torch.nn.init.normal_(top.score.weight)
    top(torch.stack(rows(9, 9))).sum().backward()
    assert all(p.grad is not None for b in layers_of(m)[2:] for p in b.parameters())
    m.zero_grad()


def test_rows_filled_up_with_the_tokenizers_padding_are_refused():
    top = LastToken(model('llama'), 2, own_pad=0).eval()
    with pytest.raises(InputError, match='row 1 .*padding'):
        top(torch.tensor([[5, 6, 7], [5, 6, 0]]))
    with pytest.raises(InputError, match='nothing but padding'):
        top(torch.full((1, 3), top.pad))


def test_unknown_architectures_are_refused():
    cfg = transformers.BertConfig(num_hidden_layers=1, hidden_size=8, num_attention_heads=1, is_decoder=True)
    with pytest.raises(InputError, match='not known here'):
        layers_of(transformers.BertLMHeadModel(cfg))
