"""The text classifier as an estimator: the manners of scikit-learn, labels in their own type, probabilities
that say how often they are right, rows that cannot be judged, threads and forks, folders.
"""

import contextlib
import dataclasses
import io
import json
import pickle
import random
import warnings
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from fastai.basics import CrossEntropyLossFlat
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.linear_model import LogisticRegression

from forks import ask_a_fork, needs_fork
from nlpdeep.awd_lstm import language_model
from nlpdeep.causal_classifier import CausalClassifier, CausalClassifierConfig
from nlpdeep.causal_models import save_pretrained, train_tiny
from nlpdeep.core import InputError
from nlpdeep.language_model import ProgressLog, ULMFiTConfig
from nlpdeep.model_folder import config_checksum
from nlpdeep.pretraining import save_lm
from nlpdeep.processor import TextProcessor, tokenize
from nlpdeep.reader_features import (
    CAUSAL_TOKENS,
    CausalReader,
    LSTMReader,
    ReaderFeatures,
    open_reader,
    reader_kind,
)
from nlpdeep.text_classifier import TextClassifier, learned_before, temper
from nlpdeep.texts import check_labels, evaluate_classes, normalize_text
from nlpdeep.ulmfit import BestEpoch

TINY = ULMFiTConfig(
    max_vocab=400, min_freq=1, emb_sz=12, n_hid=16, lm_epochs=1, epochs=2, lm_bs=4, seq_len=12, bs=16,
    lr=3e-2, lr_all=3e-2,
)  # fmt: skip
TINY_CAUSAL = CausalClassifierConfig(lm_epochs=0, epochs=2, free=1, groups=1, bs=8, long='cut')


@pytest.fixture(scope='module')
def texts():
    rng = np.random.default_rng(0)
    extra = 'story actors music camera ending dialogue colours scenes'.split()
    films = ('a dull and endless film', 'a warm and funny film')
    x = [f'{films[k % 2]} with {rng.choice(extra)} and {rng.choice(extra)}' for k in range(80)]
    return x, [k % 2 for k in range(80)]


@pytest.fixture(scope='module')
def reader(tmp_path_factory, texts):
    "A folder with a tiny AWD-LSTM that knows the words of the texts."
    words = TextProcessor.build(tokenize(texts[0]), 400, 1)
    torch.manual_seed(0)
    sizes = ULMFiTConfig(emb_sz=12, n_hid=16, n_layers=2)
    where = tmp_path_factory.mktemp('reader')
    save_lm(where, language_model(sizes.encoder(len(words))), words)
    return str(where)


@pytest.fixture(scope='module')
def tiny_causal(texts):
    return train_tiny(texts[0], steps=20)


@pytest.fixture(scope='module')
def models(texts, reader, tiny_causal):
    "One fitted model of each kind."
    return dict(
        finetuned=TextClassifier(TINY).fit(*texts),
        asked=TextClassifier(base=reader).fit(*texts),
        causal=TextClassifier(base=tiny_causal, question=' it was').fit(*texts),
        causal_finetuned=TextClassifier(TINY_CAUSAL, base=tiny_causal).fit(*texts),
    )


KINDS = ('finetuned', 'asked', 'causal', 'causal_finetuned')


def test_parameters_are_only_kept():
    c = TextClassifier(base='en', how='ask', lr=0.1, random_state=3)
    assert vars(c).keys() == c.get_params().keys() and c.get_params()['lr'] == 0.1
    twin = clone(c).set_params(lr=0.2)
    assert twin.lr == 0.2 and twin.base == 'en' and c.lr == 0.1 and c.classes == []
    nonsense = TextClassifier(how='no such way', lr='x')  # refused by fit, not here
    assert clone(nonsense).how == 'no such way'
    assert ReaderFeatures(base=3).get_params()['base'] == 3


@pytest.mark.parametrize('kind', KINDS)
def test_labels_keep_their_type(models, texts, kind):
    c = models[kind]
    assert c.classes_.tolist() == [0, 1] and c.classes == [0, 1]
    said = c.predict(texts[0])
    assert said.dtype == np.array(texts[1]).dtype and accuracy_score(texts[1], said) == c.score(*texts)
    assert abs(c.predict_proba(texts[0]).sum(1) - 1).max() < 1e-5
    assert c.how_ == ('finetune' if 'finetuned' in kind else 'ask')


@pytest.mark.parametrize(
    'labels, classes',
    [
        (['b', 'a'] * 40, ['a', 'b']),
        ([10, 9] * 40, [9, 10]),
        ([True, False] * 40, [False, True]),
        (np.array([2, 1] * 40, dtype=np.int8), [1, 2]),
        (pd.Series([1.0, 0.0] * 39 + [np.nan, 0.0]), [0, 1]),
        (pd.Series(['x', 'y'] * 40, dtype='category'), ['x', 'y']),
    ],
)
def test_classes_are_sorted_in_their_own_type(texts, reader, labels, classes):
    c = TextClassifier(base=reader).fit(texts[0], labels)
    assert c.classes == classes and [type(o) for o in c.classes] == [type(o) for o in classes]


def test_scikit_learn_uses_it(texts, reader):
    c = TextClassifier(base=reader)
    assert cross_val_score(c, *texts, cv=3).min() > 0.9
    assert cross_val_score(c, np.array(texts[0]), texts[1], cv=2, scoring='f1').min() > 0.9
    search = GridSearchCV(c, dict(max_len=[1, 20]), cv=2).fit(*texts)
    assert search.best_params_ == dict(max_len=20) and search.score(*texts) > 0.9
    lower = FunctionTransformer(lambda x: [t.lower() for t in x])
    assert make_pipeline(lower, c).fit(*texts).predict(texts[0][:2]).tolist() == [0, 1]
    probe = make_pipeline(ReaderFeatures(base=reader), StandardScaler(), LogisticRegression())
    assert cross_val_score(probe, *texts, cv=2).min() > 0.9


@pytest.mark.parametrize('kind', ['finetuned', 'asked'])
def test_random_states(texts, reader, kind):
    def fit(seed):
        quick = dataclasses.replace(TINY, epochs=1, lm_epochs=0)
        c = TextClassifier(quick) if kind == 'finetuned' else TextClassifier(base=reader)
        return c.set_params(random_state=seed).fit(*texts).predict_proba(texts[0][:5])

    seen = set()
    for s in (1, 2):
        random.seed(s)
        np.random.seed(s)
        torch.manual_seed(s)
        fit(0)
        seen.add((random.random(), np.random.rand(), torch.rand(1).item()))
    assert len(seen) == 2
    assert np.array_equal(fit(0), fit(0)) and np.array_equal(
        fit(np.random.RandomState(5)), fit(np.random.RandomState(5))
    )
    if kind == 'finetuned':
        assert not np.array_equal(fit(0), fit(1))
    with pytest.raises(InputError, match='random_state'):
        fit('0')


def test_the_dial_is_not_read(texts, monkeypatch):
    def plan():
        return TextClassifier()._plan(10_000, False)[-1]

    before = plan()
    monkeypatch.setenv('NLPDEEP_SIZE', 'full')
    assert plan() == before


def test_auto_says_why(texts, reader):
    def plan(n, several=False, **kw):
        return TextClassifier(**kw)._plan(n, several)[2:4]

    assert plan(100)[0] == 'ask' and '100 labels' in plan(100)[1]
    assert plan(5000)[0] == 'finetune' and 'chapter 10' in plan(5000)[1]
    assert plan(100, epochs=2) == ('finetune', 'settings of fine-tuning were given')
    assert plan(100, base='')[0] == plan(100, lang='de')[0] == plan(100, cfg=TINY)[0] == 'finetune'
    assert plan(5000, base='smollm2')[0] == plan(5000, several=True)[0] == 'ask'
    said = []
    TextClassifier(base=reader, say=said.append).fit(*texts)
    assert 'asking' in said[0] and '80 labels' in said[0]
    for kw, words in (
        (dict(base='', how='ask'), 'needs a reader'),
        (dict(how='ask', lr=0.1), 'lr belong'),
        (dict(cfg='smollm2'), 'base='),
        (dict(cfg=TINY_CAUSAL), 'ULMFiTConfig'),
        (dict(cfg=TINY, base='smollm2'), 'CausalClassifierConfig'),
        (dict(base='smollm2', how='finetune', chunk=3), 'chunk'),
        (dict(base=7), 'base takes'),
    ):
        with pytest.raises(InputError, match=words):
            plan(100, **kw)


def test_the_table_behind_auto():
    "`ASK_UP_TO` is where chapter 10's records say that fine-tuning catches up."
    from nlpdeep.records import results
    from nlpdeep.text_classifier import ASK_UP_TO

    def mean(arm, labels):
        runs = [
            o
            for o in results('ulmfit_labels')
            if (o['config']['arm'], o['config']['labels']) == (arm, labels)
        ]
        return np.mean([o['metrics']['valid'] for o in runs])

    assert mean('asked', '500') > mean('pretrained', '500') + 0.02
    assert abs(mean('asked', str(ASK_UP_TO)) - mean('pretrained', str(ASK_UP_TO))) < 0.01
    assert mean('asked', 'all') < mean('pretrained', 'all') - 0.02


@pytest.mark.parametrize('kind', KINDS)
def test_saved_and_loaded(models, texts, kind, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    c = models[kind]
    c.save('~/model')
    twin = TextClassifier.load('~/model')
    assert (tmp_path / 'model' / 'config.json').is_file()
    assert np.allclose(twin.predict_proba(texts[0]), c.predict_proba(texts[0]), atol=1e-6)
    assert twin.predict(texts[0][:3]).tolist() == c.predict(texts[0][:3]).tolist()
    assert twin.temperature_ == c.temperature_ and twin.normalize and twin.how_ == c.how_
    twin.save(tmp_path / 'again')
    assert np.allclose(
        TextClassifier.load(tmp_path / 'again').predict_proba(texts[0][:3]),
        c.predict_proba(texts[0][:3]),
        atol=1e-6,
    )


@pytest.mark.parametrize('kind', ['lstm', 'causal'])
def test_an_open_reader_is_saved_as_it_asks(texts, reader, tiny_causal, kind, tmp_path):
    "Not as a reader of that name asks where nothing is said."
    if kind == 'lstm':
        base = LSTMReader.open(reader, question='. the story was', max_len=4)
    else:
        base = CausalReader.open(tiny_causal, ' it was', max_len=4, layers=(1,), states='question')
    c = TextClassifier(base=base).fit(*texts)
    c.save(tmp_path / 'c')
    again = TextClassifier.load(tmp_path / 'c')
    assert np.allclose(again.predict_proba(texts[0]), c.predict_proba(texts[0]), atol=1e-6)
    assert again._model.asked == c._model.asked


def test_where_the_states_stand(texts, tiny_causal, tmp_path):
    "Settings of a causal reader reach it, stand in the folder, and a folder without them is read as before."
    asked = dict(question=' it was', layers=(2, 1), states='question')
    c = TextClassifier(base=tiny_causal, **asked).fit(*texts)
    assert c._model.reader.layers == [1, 2] and c._model.coef.shape[0] == 2 * 64
    assert c._model.asked['max_len'] == CAUSAL_TOKENS
    c.save(tmp_path / 'c')
    on = TextClassifier(base=tmp_path / 'c', **asked).fit(*texts)  # the same settings, as JSON has them
    assert on._model.asked == c._model.asked
    TextClassifier(base=tiny_causal).fit(*texts).save(tmp_path / 'd')
    with pytest.raises(InputError, match='states'):
        TextClassifier(base=tmp_path / 'd', states='question').fit(*texts)
    for bad in (dict(states='question'), dict(layers=(1,))):
        with pytest.raises(InputError, match="how='ask'"):
            TextClassifier(base=tiny_causal, how='finetune', **bad).fit(*texts)
    config = json.loads((tmp_path / 'd' / 'config.json').read_text())
    config['asked'].pop('states')
    config['asked']['max_len'] = None
    config['checksum'] = config_checksum(config)
    (tmp_path / 'd' / 'config.json').write_text(json.dumps(config))
    old = TextClassifier.load(tmp_path / 'd')._model.asked
    assert old['states'] == 'both' and old['max_len'] == 256


def test_a_folder_of_before_is_read(models, texts, tmp_path):
    "Without temperature and Unicode's forms, as it was saved."
    d = models['finetuned'].save(tmp_path / 'm')
    cfg = json.loads((d / 'config.json').read_text())
    from safetensors.torch import save_file

    from nlpdeep.core import file_hash
    from nlpdeep.model_folder import load_folder

    for k in ('how', 'temperature', 'normalize', 'unknown', 'form', 'same'):
        del cfg[k]
    save_file({k: v.clone() for k, v in load_folder(d)[0].items()}, d / 'model.safetensors')
    cfg['sha256']['model.safetensors'] = file_hash(d / 'model.safetensors')
    cfg['format'] = 1
    (d / 'config.json').write_text(json.dumps(dict(cfg, checksum=config_checksum(cfg))))
    old = TextClassifier.load(d)
    assert not old.normalize and old.temperature_ == 1 and old.classes == [0, 1]
    new = models['finetuned']
    assert np.allclose(
        temper(old.predict_proba(texts[0]), new.temperature_), new.predict_proba(texts[0]), atol=1e-5
    )


@pytest.mark.parametrize('kind', KINDS)
def test_half_precision(models, texts, kind, tmp_path):
    c = models[kind]
    whole, half = c.save(tmp_path / 'whole'), c.save(tmp_path / 'half', half=True)
    a, b = (sum(f.stat().st_size for f in d.rglob('*.safetensors')) for d in (whole, half))
    twin = TextClassifier.load(half)
    p, q = c.predict_proba(texts[0]), twin.predict_proba(texts[0])
    if kind == 'asked':  # its reader came in 16 bits, and is kept in them anyway
        assert b == a and np.array_equal(p, q)
    else:
        assert b < 0.8 * a and 0 < np.abs(p - q).max() < 0.05 and (p.argmax(1) == q.argmax(1)).mean() > 0.9
    assert all(w.dtype == torch.float32 for w in (twin.model.parameters() if kind == 'finetuned' else []))


def test_a_tied_weight_is_stored_once(models, tmp_path):
    "An embedding has four names in the two networks, and they are two weights."
    from nlpdeep.model_folder import FORMAT, check_config, load_folder

    c = models['finetuned']
    d = c.save(tmp_path / 'm')
    weights, _, cfg = load_folder(d)
    once = sum({v.data_ptr(): v.numel() * 4 for v in weights.values()}.values())
    assert cfg['same'] and once <= (d / 'model.safetensors').stat().st_size < once + 8000
    assert set(weights) >= {f'lm.{k}' for k in c.lm.state_dict() if k != '1.decoder.weight'}
    with pytest.raises(InputError, match=f'newer nlpdeep.*up to format {FORMAT}: pip install'):
        check_config(d, dict(cfg, format=FORMAT + 1))


def test_weights_that_are_no_numbers_are_refused(texts, tmp_path):
    c = TextClassifier(TINY).fit(*texts)
    with torch.no_grad():
        c.model.head.layers[2].weight[0] = torch.nan
    with pytest.raises(InputError, match='not finite'):
        c.predict(['a film'])
    c.save(tmp_path / 'm')
    with pytest.raises(InputError, match='no finite numbers'):
        TextClassifier.load(tmp_path / 'm')


@pytest.mark.parametrize('kind', KINDS)
def test_pickles(models, texts, kind):
    c = models[kind]
    with io.BytesIO() as f:
        joblib.dump(c, f)
        f.seek(0)
        twin = joblib.load(f)
    assert np.allclose(twin.predict_proba(texts[0][:9]), c.predict_proba(texts[0][:9]), atol=1e-6)
    assert pickle.loads(pickle.dumps(TextClassifier(say=print))).say is print


@pytest.mark.parametrize('kind', KINDS)
def test_threads_say_the_same(models, texts, kind):
    c = models[kind]
    some = [texts[0][k : k + 5] for k in range(0, 40, 5)]
    alone = [c.predict_proba(o) for o in some]
    with ThreadPoolExecutor(8) as threads:
        assert all(np.array_equal(a, b) for a, b in zip(alone, threads.map(c.predict_proba, some)))


def test_threads_write_the_same(models):
    c = models['finetuned']
    prompts = ['a warm', 'a dull', 'film', 'with', 'and', 'endless', 'music', 'a']

    def write(p):
        return c.generate(p, n_words=8, temperature=0)

    alone = [write(p) for p in prompts]
    with ThreadPoolExecutor(8) as threads:
        assert alone == list(threads.map(write, prompts))


@needs_fork
@pytest.mark.parametrize('kind', ['finetuned', 'asked'])
def test_after_a_fork(models, texts, kind):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        c = models[kind]
        said = c.predict(texts[0]).tolist()
        assert ask_a_fork(lambda: c.predict(texts[0]).tolist()) == said
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize('kind', KINDS)
def test_rows_that_cannot_be_judged(models, kind):
    c, rows = models[kind], ['a warm film', '', None, 'a dull film']
    with pytest.raises(InputError, match='missing in row 2'):
        c.predict(rows)
    assert len(c.predict(rows, unknown='guess')) == 4
    assert [o is None for o in c.predict(rows, unknown='skip')] == [False, True, True, False]
    assert np.isnan(c.predict_proba(rows, unknown='skip')[1]).all()
    assert c.predict([]).tolist() == [] and c.predict_proba([]).shape == (0, 2)
    with pytest.raises(InputError, match="'skip'"):
        c.predict(rows, unknown='perhaps')
    with pytest.raises(InputError, match='put it into a list'):
        c.predict('a film')


def test_texts_come_in_many_forms(models, texts):
    c = models['asked']
    x = texts[0][:4]
    said = c.predict(x).tolist()
    df = pd.DataFrame(dict(text=x, year=range(4)))
    for form in (tuple(x), (o for o in x), np.array(x), np.array(x)[:, None], df.text, df, df[['text']]):
        assert c.predict(form).tolist() == said
    with pytest.raises(InputError, match="no column 'text'"):
        c.predict(df.rename(columns=dict(text='review')))


def test_fit_takes_valid_as_a_frame(texts, reader):
    x, y = texts
    df = pd.DataFrame(dict(text=x, label=y))
    a = TextClassifier(base=reader).fit(x[:60], y[:60], valid=df[60:])
    b = TextClassifier(base=reader).fit(x[:60], y[:60], valid=(x[60:], y[60:]))
    assert np.array_equal(a.predict_proba(x), b.predict_proba(x)) and a.info['texts']['valid'] == 20
    c = TextClassifier(base=reader).fit(
        df.assign(part=['train'] * 50 + ['test'] * 30, label=[*y[:50], *[None] * 30])
    )
    assert (
        c.info['texts']['train'] + c.info['texts']['valid'] == 50
    )  # a test part without labels, as contests have
    with pytest.raises(InputError, match='valid takes'):
        TextClassifier(base=reader).fit(x, y, valid=[1, 2, 3])


def test_an_interrupted_fit_changes_nothing(texts, reader):
    c = TextClassifier(TINY).fit(*texts)
    before = c.predict_proba(texts[0][:3])

    def stop(line):
        if line == 'classifier':
            raise KeyboardInterrupt

    c.say = stop
    with pytest.raises(KeyboardInterrupt):
        c.fit(texts[0], ['politics', 'sport'] * 40)
    assert c.classes == [0, 1] and np.array_equal(c.predict_proba(texts[0][:3]), before)


# -- several labels


def test_several_labels(texts, reader, tmp_path):
    x = texts[0]
    lists = [['warm'] * (k % 2) + ['music'] * ('music' in t) for k, t in enumerate(x)]
    c = TextClassifier(base=reader).fit(x, lists)
    assert (
        c.classes == ['music', 'warm']
        and np.mean([a == b for a, b in zip(c.predict(x), map(sorted, lists))]) > 0.9
    )
    table = np.array([[int('music' in o), int('warm' in o)] for o in lists])
    d = TextClassifier(base=reader).fit(x, table)
    assert d.classes == [0, 1] and (d.predict(x) == table).mean() > 0.9 and d.score(x, table) > 0.9
    assert np.allclose(c.predict_proba(x), d.predict_proba(x), atol=1e-5)
    e = c.evaluate(x, lists)
    assert e['confusion'] is None and set(e['per_class']) == {'music', 'warm'} and e['f1'] > 0.9
    assert c.predict_proba(x).sum(1).max() > 1.2  # not shares of one whole
    twin = TextClassifier.load(c.save(tmp_path / 'm'))
    assert twin.predict(x[:4]) == c.predict(x[:4])
    named = TextClassifier(base=reader).fit(x, pd.DataFrame(table, columns=['m', 'w']))
    assert named.classes == ['m', 'w'] and len(c.explain(x[0])) == len(x[0].split())
    with pytest.raises(InputError, match='lukewarm'):
        c.evaluate(x[:1], [['lukewarm']])
    with pytest.raises(InputError, match='0 and 1'):
        TextClassifier(base=reader).fit(x, table * 3)
    with pytest.raises(InputError, match='3 validation texts and 2 labels'):
        TextClassifier(base=reader).fit(x, lists, valid=(x[:3], lists[:2]))
    with pytest.raises(InputError, match='79 training texts'):
        TextClassifier(base=reader).fit(x[1:], lists)


@pytest.mark.parametrize('kind', ['finetuned', 'causal_finetuned'])
def test_several_labels_are_fine_tuned(texts, tiny_causal, kind, tmp_path):
    x = texts[0]
    lists = [['warm'] * (k % 2) + ['music'] * ('music' in t) for k, t in enumerate(x)]
    settings = dataclasses.replace(TINY, epochs=8) if kind == 'finetuned' else TINY_CAUSAL
    base = None if kind == 'finetuned' else tiny_causal
    c = TextClassifier(settings, base=base, class_weight='balanced').fit(x, lists)
    assert c.how_ == 'finetune' and c.classes == ['music', 'warm'] and c.info['texts']['valid'] > 1
    p = c.predict_proba(x)
    assert p.shape == (80, 2) and (0 < p).all() and (p < 1).all() and abs(p.sum(1) - 1).max() > 0.02
    assert c.predict(x) == [[o for o, q in zip(c.classes, r) if q >= 0.5] for r in p]
    e = c.evaluate(x, lists)
    if kind == 'finetuned':
        assert e['f1'] > 0.9 and e['f1_micro'] > 0.9 and e['accuracy'] > 0.8
    twin = TextClassifier.load(c.save(tmp_path / 'm'))
    assert np.allclose(twin.predict_proba(x), p, atol=1e-6) and twin.predict(x[:4]) == c.predict(x[:4])
    df = pd.DataFrame(dict(text=x, label=lists, part=['train'] * 60 + ['valid'] * 10 + ['test'] * 10))
    framed = TextClassifier(dataclasses.replace(settings, epochs=1), base=base).fit(df)
    assert framed.info['texts'] == dict(train=60, unsup=0, valid=10)


def test_weights_of_several_labels(texts):
    "A yes that counts five times as much is said more often, where the text cannot tell."
    x = texts[0]
    drawn = np.random.default_rng(1).permutation(np.arange(len(x)) % 5 == 0)  # in no relation to the text
    table = pd.DataFrame(dict(m=drawn.astype(int), w=texts[1]))

    def share(weight):
        settings = dataclasses.replace(TINY, epochs=4)  # one epoch of sixty texts is hardly a beginning
        c = TextClassifier(settings, class_weight=weight, calibrate=False).fit(x, table)
        return c.predict_proba(x).mean(0)

    # a fifth of the labels is a yes; five seeds at two precisions gave 2.5 to 6.2
    assert share(dict(m=5.0))[0] > 1.5 * share(None)[0]


def test_micro_and_macro_f1():
    y = np.array([[1, 0], [1, 1], [0, 0], [1, 0]])
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    e = evaluate_classes(y, p, ['a', 'b'])  # of a: 3 right, 1 wrong; of b: 1 missed
    assert e['f1_micro'] == pytest.approx(2 * 3 / (2 * 3 + 1 + 1)) and e['f1'] == pytest.approx(6 / 7 / 2)
    one = evaluate_classes(['a', 'b', 'a'], np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]), ['a', 'b'])
    assert one['f1_micro'] == pytest.approx(one['accuracy'])


# -- going on from one's own


@pytest.mark.parametrize('kind', ['finetuned', 'causal_finetuned'])
def test_a_classifier_goes_on(models, texts, kind, tmp_path):
    "Without an epoch it is the old one; a new class leaves the odds between the old ones as they were."
    c, (x, y) = models[kind], texts
    d = c.save(tmp_path / 'm')
    still = dict(base=str(d), epochs=0, calibrate=False)
    if kind == 'causal_finetuned':
        still = dict(
            base=str(d), cfg=dataclasses.replace(TINY_CAUSAL, epochs=0, head_epochs=0, thaw_epochs=0)
        )
        still['calibrate'] = False
    raw = c._model.probs(x)
    same = TextClassifier(**still).fit(x, y)
    assert same.classes == [0, 1] and np.allclose(same.predict_proba(x), raw, atol=1e-5)
    said = []
    more = TextClassifier(**still, say=said.append).fit(
        [*x, *['a strange and foreign film'] * 9], [*y, *[2] * 9]
    )
    p = more.predict_proba(x)
    assert more.classes == [0, 1, 2] and more.how_ == 'finetune'
    assert np.allclose(p[:, 0] / p[:, 1], raw[:, 0] / raw[:, 1], rtol=1e-3)
    assert any('goes on' in o and '0, 1' in o for o in said) and any('begun fresh: 2' in o for o in said)


def test_an_asked_classifier_goes_on(models, texts, tmp_path):
    x, y = texts
    d = models['asked'].save(tmp_path / 'm')
    rng = np.random.default_rng(1)
    few = rng.permutation(len(x))[:10]
    noise = [y[k] if k % 5 else 1 - y[k] for k in few]  # few texts, some of them wrong
    on = TextClassifier(base=str(d)).fit([x[k] for k in few], noise)
    fresh = TextClassifier(base=models['asked'].base).fit([x[k] for k in few], noise)
    assert on.score(x, y) > fresh.score(x, y)
    more = TextClassifier(base=str(d)).fit(
        [*x[:20], *['a strange and foreign film'] * 9], [*y[:20], *[2] * 9]
    )
    assert more.classes == [0, 1, 2] and more.score(x, y) > 0.9
    assert more.predict(['a strange and foreign film']).tolist() == [2]
    again = TextClassifier.load(more.save(tmp_path / 'm'))  # in the place of the old one
    assert np.allclose(again.predict_proba(x), more.predict_proba(x), atol=1e-6)


def test_what_cannot_go_on_says_why(models, texts, tmp_path):
    x, y = texts
    d = str(models['asked'].save(tmp_path / 'm'))
    assert reader_kind(d) == 'classifier'
    for make, words in (
        (lambda: TextClassifier(base=d, how='finetune').fit(x, y), "how='ask'"),
        (lambda: TextClassifier(base=d, lr=0.1).fit(x, y), 'lr belong'),
        (lambda: TextClassifier(base=d, question='so?').fit(x, y), 'question=None'),
        (lambda: TextClassifier(base=d).fit(x, [[o] for o in y]), 'several labels'),
        (lambda: TextClassifier(base=d).fit(x, ['a', 'b'] * 40), 'the same form'),
        (lambda: ReaderFeatures(base=d).fit(x), 'holds a classifier'),
    ):
        with pytest.raises(InputError, match=words):
            make()
    with pytest.warns(UserWarning, match='no text here has the label 0'):
        TextClassifier(base=d).fit(x, [o + 1 for o in y])


def test_it_knows_the_texts_it_has_learned(models, texts, reader, tmp_path):
    """Whatever the seed, and whoever drew the parts: a text that was learned from is no text to judge by."""
    x, y = texts
    frame = pd.DataFrame(dict(text=x, label=y, part=['train'] * 60 + ['valid'] * 20))
    first = TextClassifier(base=reader).fit(frame)
    d = str(first.save(tmp_path / 'm'))
    assert learned_before(d, [*x, 'never seen']).tolist() == [t in set(x[:60]) for t in [*x, 'never seen']]
    assert not learned_before(reader, x).any() and not learned_before('en', x).any()
    turned = frame.assign(part=['valid'] * 20 + ['train'] * 60)
    with pytest.warns(UserWarning, match=r'has learned from \d+ of the 20 validation texts before'):
        more = TextClassifier(base=d).fit(turned)
    assert learned_before(more.save(tmp_path / 'both'), x).all()  # it knows those of the first fit, too
    config = json.loads((tmp_path / 'm' / 'config.json').read_text())
    for odd in ('not of base 64!', 3):
        config['learned'] = odd
        config['checksum'] = config_checksum(config)
        (tmp_path / 'm' / 'config.json').write_text(json.dumps(config))
        with pytest.raises(InputError, match='learned'):
            TextClassifier.load(d)
    del config['learned']  # as folders were before
    config['checksum'] = config_checksum(config)
    (tmp_path / 'm' / 'config.json').write_text(json.dumps(config))
    assert not learned_before(d, x).any() and len(TextClassifier.load(d).learned_) == 0


def test_what_was_learned_before_is_not_drawn_to_validate_on(models, texts, tmp_path):
    x, y = texts
    d = str(models['finetuned'].save(tmp_path / 'm'))
    known = learned_before(d, x)
    assert 0 < known.sum() < len(x)  # some were held out
    again = TextClassifier(base=d, epochs=0, random_state=5)  # another seed draws others
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*validation texts')
        again.fit(x, y)
    assert {*again.learned_} >= {*models['finetuned'].learned_}


@pytest.mark.parametrize('several', [False, True])
def test_equal_texts_in_two_parts_are_said(texts, reader, several):
    x, y = texts
    df = pd.DataFrame(dict(text=x, label=[[o] for o in y] if several else y, part='train'))
    for part, name in (('valid', 'validation'), ('test', 'test')):
        twice = pd.concat([df, df[:10].assign(part=part)], ignore_index=True)
        with pytest.warns(UserWarning, match=f'10 of the 10 {name} texts stand in the training part'):
            TextClassifier(base=reader).fit(twice)


def test_a_label_it_has_not_learned_is_a_mistake(models, texts, reader):
    "In a fold of few texts a rare class may be missing: the score is lower, and there is one."
    x, y = texts
    c = models['asked']
    assert c.score(x, y) > 0.9 and c.score(x, [*y[:40], *[7] * 40]) == c.score(x[:40], y[:40]) / 2
    weights = [1.0] * 40 + [0.0] * 40
    assert c.score(x, [*y[:40], *[7] * 40], sample_weight=weights) == c.score(x[:40], y[:40])
    with pytest.raises(InputError, match='0, 1; none of these labels'):
        c.score(x, [str(o) for o in y])
    with pytest.raises(InputError, match='no labelled text'):
        c.score([], [])
    search = GridSearchCV(TextClassifier(base=reader), dict(calibrate=[True, False]), cv=3)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # scikit-learn says that a class has one text only
        search.fit(x, [9, *y[1:]])
    assert np.isfinite(search.cv_results_['mean_test_score']).all()
    lists = TextClassifier(base=reader).fit(x, [['a', 'ab'[o]] for o in y])
    assert lists.score(x[:4], [['a', 'new']] * 4) == 0 and lists.score(x, [['a', 'ab'[o]] for o in y]) > 0.9
    table = TextClassifier(base=reader).fit(x, np.eye(2, dtype=int)[y])
    assert table.score(x, np.eye(2, dtype=int)[y]) > 0.9
    assert table.score(x, np.eye(2, dtype=int)[y]) == table.evaluate(x, np.eye(2, dtype=int)[y])['accuracy']


def test_log_probabilities(models, texts):
    c = models['asked']
    assert np.allclose(np.exp(c.predict_log_proba(texts[0])), c.predict_proba(texts[0]))


def test_features_have_names(texts, reader):
    f = ReaderFeatures(base=reader)
    for ask in (lambda: f.transform(texts[0]), f.get_feature_names_out):
        with pytest.raises(NotFittedError):
            ask()
    pipe = make_pipeline(f, StandardScaler()).fit(texts[0])
    names = pipe.get_feature_names_out()
    assert len(names) == pipe.transform(texts[0][:2]).shape[1] and names[1] == 'state 1'
    assert clone(f).set_output(transform='pandas').fit_transform(texts[0][:3]).columns[1] == 'state 1'


def test_texts_without_a_label_are_said(texts, reader):
    said = []
    labels = [None if k < 3 else o for k, o in enumerate(texts[1])]
    TextClassifier(base=reader, say=said.append).fit(texts[0], labels, unsup=['one more film'] * 4)
    assert sum('3 texts have no label' in o for o in said) == 1


def test_uneven_classes_are_said(texts, reader):
    x, y = texts
    rare = [k for k in range(len(x)) if y[k] or k < 14]
    args, said = ([x[k] for k in rare], [y[k] for k in rare]), []
    c = TextClassifier(base=reader, say=said.append).fit(*args)
    assert 'only 7 of 47 texts are 0' in c.why_ and any('only 7 of 47' in o for o in said)
    for plain in (
        TextClassifier(base=reader, class_weight=None).fit(*args),
        TextClassifier(base=reader).fit(x, y),
    ):
        assert 'only' not in plain.why_


# -- probabilities


def test_a_rare_class_is_found(reader):
    rng = np.random.default_rng(1)
    extra = 'story actors music camera ending dialogue colours scenes'.split()

    def draw(n, kind):
        some = [[rng.choice(extra) for _ in range(4)] for _ in range(n)]
        word = dict(rare='warm', common='dull')[kind]
        return [' '.join(o + [word] if rng.random() < 0.6 else o) for o in some]

    x, y = draw(200, 'common') + draw(12, 'rare'), ['common'] * 200 + ['rare'] * 12
    test = draw(100, 'common') + draw(100, 'rare')
    truth = ['common'] * 100 + ['rare'] * 100

    def recall(weight):
        c = TextClassifier(base=reader, class_weight=weight).fit(x, y)
        return c.evaluate(test, truth)['per_class']['rare']['recall']

    assert recall('auto') == recall('balanced') > recall(None) + 0.1
    with pytest.raises(InputError, match='class_weight'):
        recall('heavy')
    with pytest.raises(InputError, match='class_weight'):
        recall(dict(other=2.0))


@pytest.mark.parametrize('weight', [None, [1.0, 19.0]])
def test_the_best_epoch_counts_classes_as_training_does(weight):
    "An epoch that never says the rare class has the lower plain loss."
    rare = torch.arange(200) % 20 == 0
    blind = torch.tensor([3.0, 0.0]).expand(200, 2)
    sees = torch.where(
        (torch.arange(200) % 4 == 0)[:, None], torch.tensor([0.0, 2.0]), torch.tensor([2.0, 0.0])
    )
    best = BestEpoch(torch.nn.Linear(1, 1))
    best.learn = SimpleNamespace(loss_func=CrossEntropyLossFlat(weight=weight and torch.tensor(weight)))
    for scores in (blind, sees):
        best.seen = [(scores[:100], rare[:100].long()), (scores[100:], rare[100:].long())]
        best.after_validate()
    assert best.restore() == (1 if weight else 0)


def test_class_weights_reach_fine_tuning(texts):
    def share(weight):
        c = TextClassifier(TINY, class_weight=weight, calibrate=False).fit(*texts)
        return c.predict_proba(texts[0])[:, 1].mean()

    # a model this small has drawn most of its weights; five seeds at two precisions are 0.4 apart or more
    assert share({0: 0.001, 1: 1.0}) > share({0: 1.0, 1: 0.001}) + 0.1


def test_class_weights_reach_a_transformer(texts, tiny_causal):
    def share(weight):
        c = TextClassifier(TINY_CAUSAL, base=tiny_causal, class_weight=weight, calibrate=False).fit(*texts)
        return c.predict_proba(texts[0])[:, 1].mean()

    assert share({0: 1.0, 1: 20.0}) > share(None) > share({0: 20.0, 1: 1.0})


def test_the_best_epoch_of_a_transformer_is_kept(texts, tiny_causal):
    x = texts[0]
    noise = np.random.default_rng(0).integers(0, 2, 80).tolist()
    held = (x[:60], noise[20:80])
    long = dataclasses.replace(TINY_CAUSAL, epochs=4, lr=0.03)
    h = TextClassifier(long, base=tiny_causal).fit(x, noise, valid=held).history['classifier']
    assert len(h['losses']) == 5 and h['losses'][h['kept']] == min(h['losses'])
    said = []
    short = dataclasses.replace(TINY_CAUSAL, groups=2, free=2, epochs=1, lr=0.03, lr_head=0.1)
    c = TextClassifier(short, base=tiny_causal, patience=1, say=said.append).fit(x, noise, valid=held)
    assert any('was the best and is kept' in o or 'training ends here' in o for o in said)
    assert len(c.history['classifier']['losses']) <= 4


def test_the_best_epoch_is_kept(texts):
    x, y = texts
    noise = (
        np.random.default_rng(0).integers(0, 2, 80).tolist()
    )  # nothing to learn: every epoch makes it worse
    held = (x[:60], noise[20:80])
    c = TextClassifier(dataclasses.replace(TINY, epochs=6)).fit(x, noise, valid=held)
    h = c.history['classifier']
    every = [v for _, v in h['valid'] + h['later']['valid']]
    assert h['valid'][-1][1] == min(every) and len(every) == len(h['accuracy'] + h['later']['accuracy'])
    said = []
    stopped = TextClassifier(dataclasses.replace(TINY, epochs=1, n_layers=3), patience=1, say=said.append)
    stopped.fit(x, noise, valid=held)
    assert len(stopped.history['classifier']['later']['valid']) >= 1


def test_calibration_changes_no_verdict(texts, reader):
    raw = TextClassifier(base=reader, calibrate=False).fit(*texts)
    warm = TextClassifier(base=reader).fit(*texts)
    assert raw.temperature_ == 1 != warm.temperature_
    assert (raw.predict(texts[0]) == warm.predict(texts[0])).all()


def test_evaluate_is_one_function(models, texts, tiny_causal):
    e = models['asked'].evaluate(*texts)
    assert e['accuracy'] == models['asked'].score(*texts) and set(e['per_class']) == {0, 1}
    c = CausalClassifier(tiny_causal, TINY_CAUSAL).fit(*texts)
    p = c.predict_proba(texts[0])
    ours, again = c.evaluate(*texts), evaluate_classes(texts[1], p, [0, 1])
    assert (ours['confusion'] == again['confusion']).all() and ours['f1'] == again['f1']


# -- text as users type it


@pytest.mark.parametrize('kind', KINDS)
def test_unicode_forms_change_nothing(models, kind):
    plain = 'a warm and funny film with music'
    odd = '\ufeff' + plain.replace(' ', '\u00a0').replace('film', 'fi\u200blm')
    c = models[kind]
    assert np.array_equal(c.predict_proba([plain]), c.predict_proba([odd]))
    assert normalize_text('e\u0301') == 'é' and normalize_text('İ') == 'İ'
    assert normalize_text('good.<br /><br/>bad') == 'good.\n\nbad' and normalize_text('<b\u200br>') == '\n'


def test_unknown_words_warn(texts, reader):
    chinese = [
        '这部电影非常好看我很喜欢' + str(k) if k % 2 else '太糟糕了浪费时间' + str(k) for k in range(40)
    ]
    for c in (TextClassifier(dataclasses.replace(TINY, min_freq=2)), TextClassifier(base=reader)):
        with pytest.warns(UserWarning, match='unknown to the model'):
            c.fit(chinese, [0, 1] * 20)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        TextClassifier(base=reader).fit(*texts)


# -- readers


def test_reader_kinds(reader, tiny_causal, tmp_path):
    assert (
        reader_kind(reader) == 'lstm' and reader_kind(tiny_causal) == 'causal' and reader_kind('') == 'none'
    )
    folder = save_pretrained(tiny_causal, tmp_path / 'gpt')
    assert reader_kind(str(folder)) == 'causal'
    a = open_reader(str(folder)).features(['one two'])
    assert np.allclose(a, open_reader(tiny_causal).features(['one two']), atol=1e-5)


def test_reading_alone_or_together(reader, tiny_causal, texts):
    for base in (reader, tiny_causal):
        for long in ('end', 'pieces'):
            r = open_reader(base, max_len=6, long=long)
            x = [*texts[0][:5], 'film ' * 40, 'x']
            together = r.features(x)
            assert all(np.allclose(together[k], r.features([t])[0], atol=1e-4) for k, t in enumerate(x))


def test_explain_names_the_word(models):
    for kind in ('finetuned', 'asked', 'causal'):
        e = models[kind].explain('a warm and funny film with music', label=1)
        assert len(e) == 7 and e.label == '1'
    asked = dict(models['asked'].explain('a warm and funny film with music', label=1))
    assert max(asked, key=asked.get) in ('warm', 'funny')
    assert len(models['asked'].explain('warm film ' * 500)) <= 40


@pytest.mark.parametrize('kind', KINDS)
def test_explain_shows_how_far_it_is(models, kind, monkeypatch):
    "And says the same as in one go."
    seen = []

    @contextlib.contextmanager
    def bar(self, total, name):
        seen.append(total)
        yield SimpleNamespace(update=seen.append)

    monkeypatch.setattr(ProgressLog, 'bar', bar)
    text = 'a warm and funny film with music ' * 9
    got = models[kind].explain(text, label=1)
    assert seen[0] == sum(seen[1:]) == len(got) + 1 == 64 and len(seen) == 3
    monkeypatch.setattr('nlpdeep.text_classifier._AT_ONCE', 1000)
    assert np.allclose([e for _, e in got], [e for _, e in models[kind].explain(text, label=1)], atol=1e-3)


def test_a_folder_of_a_causal_classifier(texts, tiny_causal, tmp_path):
    "It answers as the class that saved it, and is gone on with."
    c = CausalClassifier(tiny_causal, TINY_CAUSAL).fit(*texts)
    c.save(tmp_path / 'c')
    loaded = TextClassifier.load(tmp_path / 'c')
    assert np.allclose(loaded.predict_proba(texts[0]), c.predict_proba(texts[0]), atol=1e-5)
    assert loaded.how_ == 'finetune' and loaded.classes == c.classes
    on = TextClassifier(base=tmp_path / 'c').fit(*texts)
    assert on.how_ == 'finetune' and '2 classes' in on.why_
    on.save(tmp_path / 'on')
    assert np.allclose(
        TextClassifier.load(tmp_path / 'on').predict_proba(texts[0]), on.predict_proba(texts[0]), atol=1e-5
    )


def test_a_reader_of_ones_own_kind(texts, tiny_causal):
    "What reads, and cannot say how it was asked, is asked all the same."
    inner = CausalReader.open(tiny_causal)
    own = SimpleNamespace(kind='causal', **{k: getattr(inner, k) for k in ('features', 'ids', 'unknown')})
    c = TextClassifier(base=own).fit(*texts)
    assert np.allclose(
        c.predict_proba(texts[0]), TextClassifier(base=inner).fit(*texts).predict_proba(texts[0]), atol=1e-5
    )


def test_rows_of_a_table_are_no_sets_of_labels(texts, reader):
    x, table = texts[0][:60], np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1]] * 20)
    c = TextClassifier(base=reader, random_state=0)
    with pytest.raises(InputError, match=r'np\.array\(labels\)'):
        c.fit(x, table.tolist())
    c.fit(x, table)
    assert c.score(x, table.tolist()) == c.score(x, table) and c.classes == [0, 1, 2]
    sets = TextClassifier(base=reader, random_state=0).fit(x, [[0, 1], [0], [1]] * 20)  # no number twice
    assert sets.several_ == 'lists'


def test_a_part_that_is_not_used_is_said(texts, reader):
    df = pd.DataFrame(dict(text=texts[0], label=texts[1], part=['train'] * 40 + ['test'] * 40))
    c = TextClassifier(base=reader, random_state=0)
    with pytest.warns(UserWarning, match='`part` is not used'):
        c.fit(df, df.label)
    assert sum(c.info['texts'].values()) == 80
    with warnings.catch_warnings():
        warnings.filterwarnings('error', message='.*`part`')
        c.fit(df)
    assert sum(c.info['texts'].values()) == 40


@pytest.mark.parametrize('as_label', [int, str])
def test_settings_of_the_fit_come_back_from_a_folder(texts, reader, tmp_path, as_label):
    x, y = texts[0], list(map(as_label, texts[1]))
    weights = dict(zip(sorted(set(y)), (1.0, 9.0)))
    c = TextClassifier(base=reader, class_weight=weights, calibrate=False, random_state=0).fit(x, y)
    c.save(tmp_path / 'm')
    back = TextClassifier.load(tmp_path / 'm')
    assert back.class_weight == weights and back.calibrate is False
    again = clone(back).set_params(base=reader, random_state=0).fit(x, y)
    assert np.allclose(again.predict_proba(x), c.predict_proba(x), atol=1e-5)


@pytest.mark.parametrize('text', ['', '  ', None])
def test_nothing_to_explain(models, text):
    with pytest.raises(InputError, match='nothing to explain'):
        models['asked'].explain(text, unknown='guess')


def test_labels_that_cannot_be_meant(texts):
    "Measurements, labels that differ in spaces, and a sparse matrix are refused by name."
    x, y = texts[0], texts[1]
    for labels, says in (
        (np.linspace(0, 0.99, len(x)), 'measurements'),
        ([f'{l}{" " * (k % 3 == 0)}' for k, l in enumerate(y)], 'differ in spaces'),
        (csr_matrix(np.eye(2, dtype=int)[y]), 'toarray'),
    ):
        with pytest.raises(InputError, match=says):
            TextClassifier(base='').fit(x, labels)
    with pytest.raises(InputError, match='layers takes a list'):
        ReaderFeatures('smollm2', layers=5).fit(x)


def test_half_stars_are_classes():
    "A few labels with a fraction are classes, as half a star is."
    df = pd.DataFrame(dict(text='a', label=[0.5, 1.0, 1.5, 2.0] * 3, part='train', row=range(12)))
    assert check_labels(df) == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize('asked_for', ['', 'fp32'])
def test_a_causal_reader_reads_in_what_suits_products(tiny_causal, monkeypatch, asked_for):
    "On a CPU that multiplies bf16 in its vector units, too, unless another precision is asked for."
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, '_is_amx_tile_supported', lambda: False, raising=False)
    monkeypatch.setenv('NLPDEEP_DEVICE', 'cpu')
    monkeypatch.setenv('NLPDEEP_PRECISION', asked_for)
    net = CausalReader.open(tiny_causal).net
    assert next(net.parameters()).dtype == (torch.float32 if asked_for else torch.bfloat16)


def test_a_column_that_is_there_twice_is_refused(texts, reader):
    df = pd.DataFrame(dict(text=texts[0], label=texts[1]))
    c = TextClassifier(base=reader).fit(df)
    with pytest.raises(InputError, match="more than one column 'text'"):
        c.predict(pd.concat([df, df.text], axis=1))  # it judged the names of the columns
    with pytest.raises(InputError, match="more than one column 'label'"):
        TextClassifier(base=reader).fit(pd.concat([df, df.label], axis=1))


def test_a_missing_label_is_no_mistake(texts, reader):
    c = TextClassifier(base=reader).fit(*texts)
    for gone in (None, float('nan'), pd.NA):
        with pytest.raises(InputError, match='no label in row 0'):
            c.score(texts[0], [gone, *texts[1][1:]])


@pytest.mark.parametrize('name', ['calibrate', 'normalize'])
def test_a_switch_takes_true_or_false(texts, reader, name):
    with pytest.raises(InputError, match=f"{name} is True or False, not 'no'"):
        TextClassifier(base=reader, **{name: 'no'}).fit(*texts)


def test_a_table_of_labels_by_name(texts, reader):
    "A DataFrame of 0 and 1 is scored by the names of its columns, not by their order."
    table = pd.DataFrame(dict(dull=[int(k % 2 == 0) for k in range(80)], warm=[k % 2 for k in range(80)]))
    c = TextClassifier(base=reader, random_state=0).fit(texts[0], table)
    assert (
        c.score(texts[0], table)
        == c.score(texts[0], table[['warm', 'dull']])
        == c.score(texts[0], table.values)
    )
    assert (
        c.evaluate(texts[0], table[['warm', 'dull']])['accuracy'] == c.evaluate(texts[0], table)['accuracy']
    )
    scores = cross_val_score(TextClassifier(base=reader), texts[0], table, cv=2, error_score='raise')
    assert scores.shape == (2,)
    with pytest.raises(InputError, match='the model knows the classes'):
        c.score(texts[0], table.rename(columns=dict(warm='cold')))


def test_lists_of_labels_may_come_as_arrays(texts, reader):
    "As pandas reads them from a Parquet file."
    sets = [['dull', 'long'] if k % 2 == 0 else ['warm'] for k in range(80)]
    c = TextClassifier(base=reader, random_state=0).fit(texts[0], sets)
    for arrays in ([np.array(o, dtype=object) for o in sets], [np.array(o[:1], dtype=object) for o in sets]):
        again = TextClassifier(base=reader, random_state=0).fit(texts[0], arrays)
        assert again.several_ == 'lists' and set(again.classes) <= {*c.classes}
        assert again.score(texts[0], arrays) > 0.5


def test_two_tables(texts, reader):
    df = pd.DataFrame(dict(text=texts[0], label=texts[1]))
    c = TextClassifier(base=reader, random_state=0).fit(df[:60], valid=df[60:])
    assert c.info['texts'] == dict(train=60, unsup=0, valid=20)
    with pytest.raises(InputError, match='the validation table needs the columns'):
        TextClassifier(base=reader).fit(df[:60], valid=df[['text']])
    with pytest.raises(InputError, match='leave valid out'):
        TextClassifier(base=reader).fit(df[:60].assign(part='train'), valid=df[60:])


def test_long_texts_are_counted_in_the_log(texts, reader):
    lines = []
    TextClassifier(base=reader, max_len=5, say=lines.append).fit(*texts)
    assert any('100% of the texts are longer than 5 tokens' in o for o in lines)
    lines.clear()
    TextClassifier(base=reader, long='pieces', say=lines.append).fit(*texts)
    assert not any('longer' in o for o in lines)
