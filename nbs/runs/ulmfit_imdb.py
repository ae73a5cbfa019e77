"""ULMFiT on IMDb at the size that fits two cores (chapter 09a): a language model over all training and unlabelled reviews, then the classifier.

    NLPDEEP_DATA=FOLDER python nbs/runs/ulmfit_imdb.py --base FOLDER [--labels 100,500,all] [--seeds 1]

`--base` is a language model of `nbs/runs/pretrain.py`: it has read the 75,000 reviews without a test review among them, so stage two is done and the classifier follows. Two thousand training reviews are kept for validation;
the test reviews at hand are scored once, at the end of each run. Beside it, TF-IDF with logistic regression on the same labels. Records nbs/results/ulmfit_imdb.json.
"""
import argparse, dataclasses, time
import numpy as np
from nlpdeep.core import record, set_seed
from nlpdeep.corpora import imdb, tfidf_baseline
from nlpdeep.ulmfit import Classifier, Log, ULMFiTConfig, class_probs, fit_classifier, language_model, load_weights, pretrained

SETTINGS = dict(epochs=1, lr=1e-2, lr_all=4e-3, lr_div=1.3, drop_mult=.4, bs=32, chunk=72)
LONGEST = 400    # tokens read of a review, from its end: the verdict mostly stands there

def parts(seed, labels):
    "Training (as many as asked), validation and test reviews, no text in two of them."
    df = imdb(download=False)
    test = df[df.part == 'test']
    train = df[(df.part == 'train') & ~df.text.isin(set(test.text))].drop_duplicates('text').sample(frac=1, random_state=0)
    valid, train = train[:2000], train[2000:]
    if labels != 'all':
        per = int(labels) // 2
        train = train.groupby('label', group_keys=False)[train.columns.tolist()].apply(lambda d: d.sample(per, random_state=seed))
    return dict(train=train, valid=valid, test=test)

if __name__ == '__main__':
    a = argparse.ArgumentParser()
    for k, v in dict(base='en', labels='100,500,all', seeds='1').items(): a.add_argument(f'--{k}', default=v)
    a = a.parse_args()
    base = pretrained(a.base)
    cut = lambda ids: [np.concatenate([o[:1], o[1:][-LONGEST:]]) for o in ids]
    for seed in map(int, a.seeds.split(',')):
        for labels in a.labels.split(','):
            t, ds = time.time(), parts(seed, labels)
            y = {p: (d.label == 'pos').astype(int).tolist() for p, d in ds.items()}
            tfidf = {p: float(np.mean(np.array(tfidf_baseline(ds['train'].text, ds['train'].label, ds[p].text)) == ds[p].label.values)) for p in ('valid', 'test')}
            record('ulmfit_imdb', tfidf, data='IMDb', seed=seed, minutes=(time.time() - t) / 60, arm='tfidf', labels=labels)
            print(labels, seed, 'tfidf', tfidf, flush=True)
            t, ids = time.time(), {p: cut(base.words(list(d.text))) for p, d in ds.items()}
            cfg = ULMFiTConfig(seed=seed, **SETTINGS, **base.sizes)
            if labels != 'all': cfg = dataclasses.replace(cfg, epochs=4)
            lm = language_model(cfg.encoder(len(base.words))); load_weights(lm, base.weights)
            set_seed(seed)
            m = Classifier(cfg.encoder(len(base.words), True), 2, cfg.n_lin, cfg.chunk).load_encoder(lm)
            fit_classifier(m, (ids['train'], y['train']), (ids['valid'][:300], y['valid'][:300]), cfg, Log(lambda s: print(s, flush=True), bars=False))
            acc = {p: float((class_probs(m, ids[p]).argmax(1) == np.array(y[p])).mean()) for p in ('valid', 'test')}
            record('ulmfit_imdb', acc, data='IMDb', seed=seed, minutes=(time.time() - t) / 60, arm='ulmfit', labels=labels, longest=LONGEST, base_tokens=base.card.get('tokens'))
            print(labels, seed, 'ulmfit', acc, f'{(time.time() - t) / 60:.1f} min', flush=True)
