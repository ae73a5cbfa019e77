"A classifier behind HTTP, and as programs of torch.export."

import asyncio
import threading
import time

import numpy as np
import pytest
import torch

from nlpdeep.core import InputError
from nlpdeep.language_model import ULMFiTConfig
from nlpdeep.serving import ExportedClassifier, classifier_app, export_classifier, serve
from nlpdeep.text_classifier import TextClassifier

TINY = ULMFiTConfig(
    max_vocab=100, min_freq=1, emb_sz=8, n_hid=12, n_layers=2, lm_epochs=1, epochs=1, lm_bs=4, seq_len=8, bs=8
)
TEXTS = ['a dull and endless film', 'a warm and funny film'] * 20
LABELS = [0, 1] * 20


@pytest.fixture(scope='module')
def tuned():
    return TextClassifier(TINY, base='', how='finetune').fit(TEXTS, LABELS)


class Stub:
    "Says how long a text is, slowly, and notes how many threads are in it at once."

    classes_ = np.array([3, 5])

    def __init__(self):
        self.inside = self.most = 0
        self.lock = threading.Lock()

    def predict_proba(self, texts):
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.005)
        with self.lock:
            self.inside -= 1
        if 'refuse' in texts:
            raise InputError('there is nothing to judge by')
        p = np.array([len(t) / 1000 for t in texts])
        return np.stack([p, 1 - p], 1)


def asked(app, *requests):
    "Answers to (path, keywords) at the same time; without keywords a GET."
    httpx = pytest.importorskip('httpx')

    async def go():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url='http://test') as client:
            calls = [client.post(path, **kw) if kw else client.get(path) for path, kw in requests]
            return await asyncio.gather(*calls)

    return asyncio.run(go())


@pytest.fixture
def stub():
    pytest.importorskip('fastapi')
    return Stub()


def test_requests_at_once_get_their_own_answers(stub):
    app = classifier_app(stub)
    texts = ['x' * n for n in range(1, 31)]
    answers = asked(app, ('/health', {}), *(('/classify', dict(json=dict(texts=[t]))) for t in texts))
    assert answers[0].json()['classes'] == [3, 5]
    for t, o in zip(texts, answers[1:]):
        assert o.status_code == 200 and o.json()['labels'] == [5]
        assert o.json()['probabilities'] == [{'3': len(t) / 1000, '5': 1 - len(t) / 1000}]
    assert stub.most == 1  # one computes at a time


@pytest.mark.parametrize(
    'request_, status, words',
    [
        (dict(content=b'{"texts": [', headers={'Content-Type': 'application/json'}), 422, 'JSON'),
        (dict(json=dict(text='a')), 422, 'required'),
        (dict(json=['a']), 422, 'dictionary'),
        (dict(json=dict(texts='a')), 422, 'list'),
        (dict(json=dict(texts=[])), 422, 'at least 1'),
        (dict(json=dict(texts=['a', None])), 422, 'string'),
        (dict(json=dict(texts=['a'] * 6)), 413, 'at most 5'),
        (dict(json=dict(texts=['a', 'x' * 51])), 413, 'text 1'),
        (dict(json=dict(texts=['refuse'])), 422, 'nothing to judge'),
    ],
)
def test_bad_input_gets_a_clear_4xx(stub, request_, status, words):
    app = classifier_app(stub, most_texts=5, most_chars=50)
    answer, after = asked(app, ('/classify', request_), ('/classify', dict(json=dict(texts=['a']))))
    assert answer.status_code == status and words in answer.text
    assert after.status_code == 200


def test_a_real_classifier_answers_as_it_does_alone(tuned):
    pytest.importorskip('fastapi')
    (answer,) = asked(classifier_app(tuned), ('/classify', dict(json=dict(texts=TEXTS[:3]))))
    assert answer.json()['labels'] == tuned.predict(TEXTS[:3]).tolist()


def test_words_when_something_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__('sys').modules, 'fastapi', None)
    with pytest.raises(InputError, match=r'nlpdeep\[serve\]'):
        classifier_app(Stub())
    monkeypatch.setitem(__import__('sys').modules, 'uvicorn', None)
    with pytest.raises(InputError, match=r'nlpdeep\[serve\]'):
        serve(tmp_path)


@pytest.mark.slow
def test_exported_programs_say_what_the_classifier_says(tuned):
    programs = export_classifier(tuned, words=4)
    twin = ExportedClassifier(programs, tuned)
    texts = ['film', *TEXTS[:2], 'a warm film ' * 9]  # shorter and longer than a step, together and alone
    want = tuned.predict_proba(texts)
    assert np.allclose(twin.predict_proba(texts), want, atol=5e-3)
    assert np.allclose(twin.predict_proba(texts[3:]), want[3:], atol=5e-3)
    assert np.allclose(twin.predict_proba(texts[:1]), want[:1], atol=5e-3)
    assert np.abs(want[0] - want[3]).max() > 0 and set(programs) == {'read 0', 'verdict'}
    assert isinstance(programs['verdict'], torch.export.ExportedProgram)


def test_what_cannot_be_exported_is_refused():
    with pytest.raises(InputError, match='AWD-LSTM'):
        export_classifier(type('Other', (), dict(_model=None))())


def test_several_labels_and_skipped_texts_are_served_as_predict_says():
    pytest.importorskip('fastapi')
    sets = [['slow', 'long'], ['fun']] * 20
    model = TextClassifier(TINY, base='', how='finetune', unknown='skip').fit(TEXTS, sets)
    texts = [*TEXTS[:2], 'zzz qqq']
    body = dict(texts=texts)
    asks = [
        ('/classify', dict(json=body | o))
        for o in ({}, {'unknown': 'guess'}, {'unknown': 'refuse'}, {'more': 1})
    ]
    skipped, guessed, refused, odd = asked(classifier_app(model), *asks)
    assert skipped.json()['labels'] == model.predict(texts) and skipped.json()['labels'][2] is None
    assert skipped.json()['probabilities'][2] is None
    assert guessed.json()['labels'] == model.predict(texts, 'guess')
    assert (refused.status_code, odd.status_code) == (422, 422)
