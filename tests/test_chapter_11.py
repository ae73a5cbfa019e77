"What chapter 11 exports: the model with a cache, a mask and both at once."

import notebooks as nbs
import pytest
import torch
from torch import nn
from transformers import GPT2Config as HFConfig
from transformers import GPT2LMHeadModel

from nlpdeep.causal_models import CausalLM, load_pretrained, save_pretrained, tiny_tokenizer
from nlpdeep.core import InputError
from nlpdeep.gpt2 import GPT2, GPT2Config, KVCache, causal_mask, position_ids


@pytest.fixture
def model():
    torch.manual_seed(0)
    return GPT2(GPT2Config(50, 32, 16, 2, 4, init_sd=0.3)).eval()


def test_pieces_of_any_size_equal_the_whole(model):
    ids = torch.randint(50, (2, 20))
    with torch.no_grad():
        whole, cache = model(ids), KVCache()
        pieces = [model(ids[:, a:b], cache=cache) for a, b in ((0, 1), (1, 8), (8, 9), (9, 20))]
    torch.testing.assert_close(torch.cat(pieces, 1), whole, atol=1e-5, rtol=1e-5)


def test_padding_in_front_with_a_cache(model):
    ids = torch.randint(50, (1, 9))
    padded, mask = torch.cat([torch.zeros(1, 4, dtype=torch.long), ids], 1), torch.tensor([[0] * 4 + [1] * 9])
    with torch.no_grad():
        cache = KVCache()
        model(padded[:, :8], mask[:, :8], cache)
        last = model(padded[:, 8:], mask, cache)
        torch.testing.assert_close(last, model(ids)[:, 4:], atol=1e-5, rtol=1e-5)


def test_a_mask_of_the_new_columns_alone_is_refused(model):
    with torch.no_grad():
        cache = KVCache()
        model(torch.zeros(2, 5, dtype=torch.long), torch.ones(2, 5), cache)
        with pytest.raises(InputError, match='mask'):
            model(torch.zeros(2, 1, dtype=torch.long), torch.ones(2, 1), cache)


def test_what_it_cannot_do_is_refused(model):
    with pytest.raises(InputError, match='32'):
        model(torch.zeros(1, 33, dtype=torch.long))
    with pytest.raises(InputError, match='no_grad'):
        model(torch.zeros(1, 3, dtype=torch.long), cache=KVCache())
    for bad in (dict(emb_sz=100, n_heads=3), dict(n_layers=0), dict(attn_p=1.0)):
        with pytest.raises(InputError):
            GPT2Config(**bad)


def test_positions_and_mask():
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    assert position_ids(mask, 4).tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert causal_mask(mask, 2, 4)[0, 0].tolist() == [[False, False, True, False], [False, False, True, True]]
    assert torch.equal(causal_mask(None, 4, 4)[0, 0], torch.ones(4, 4).tril().bool())


def test_the_published_weights_would_speak(tmp_path):
    "`let_it_speak` of the chapter's page, on a small GPT-2 of random numbers in a folder."
    cells = nbs.read(nbs.NBS / '11_gpt2.ipynb')['cells']
    sources = [''.join(c['source']) for c in cells if c['cell_type'] == 'code']
    (speak,) = [s for s in sources if 'def let_it_speak' in s]
    (parity,) = [s for s in sources if 'def linearized' in s]
    page = {
        'torch': torch,
        'nn': nn,
        'GPT2': GPT2,
        'InputError': InputError,
        'load_pretrained': load_pretrained,
    }
    exec(parity[: parity.index('class LogitsOnly')], page)
    exec(speak[: speak.index('small = ')], page)

    tok = tiny_tokenizer(['with great power comes great responsibility'])
    sizes = dict(vocab_size=len(tok), n_positions=64, n_embd=24, n_layer=2, n_head=4)
    hf = GPT2LMHeadModel(HFConfig(**sizes, bos_token_id=0, eos_token_id=0)).eval()
    with torch.no_grad():
        for p in hf.parameters():
            p.normal_(std=0.3)  # biases and norms, too: at the initialization both classes have the same
    save_pretrained(CausalLM(hf, tok, 'random'), tmp_path / 'gpt2')
    text = 'with great power'
    said = page['let_it_speak'](str(tmp_path / 'gpt2'), text)
    ids = torch.tensor([tok(text)['input_ids']])
    kept = dict(max_new_tokens=20, min_new_tokens=20, do_sample=False, pad_token_id=0, eos_token_id=None)
    theirs = hf.generate(ids, attention_mask=torch.ones_like(ids), **kept)
    assert said == tok.decode(theirs[0])
    with pytest.raises(InputError, match='no folder'):
        page['let_it_speak'](str(tmp_path / 'nowhere'))
