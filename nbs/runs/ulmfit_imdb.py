"""ULMFiT on IMDb at the size that fits two cores (chapter 09a): a language model over all training and unlabelled reviews, then the classifier, in both directions.

    NLPDEEP_DATA=FOLDER python nbs/runs/ulmfit_imdb.py [--arms tfidf,linear,linear_both,forwards,backwards,both] [--labels 100,500,all] [--seeds 1] [--base en] [--prec bf16]

`--base` is a language model of `nbs/runs/pretrain.py`: it has read the 75,000 reviews without a test review among them, so stage two is done and the classifier follows. Two thousand training reviews are kept for validation;
the test reviews at hand are scored once, at the end of each run. `forwards_long`, `backwards_long`, `both_long`: twice as much of every review, three passes with all layers free. Beside it, TF-IDF with logistic regression on the same labels, and `linear`: logistic regression on the forward encoder's states as they are, averaged over the review
(`linear_both`: the mean of both directions). Records nbs/results/ulmfit_imdb.json, a run at a time; what is recorded is left out.
"""
import argparse, os, time
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from nlpdeep.core import home, record, results, results_dir, set_seed
from nlpdeep.corpora import imdb, tfidf_baseline
from nlpdeep.ulmfit import PAD, Classifier, Log, ULMFiTConfig, class_probs, fit_classifier, language_model, load_weights, pretrained

FEW = dict(epochs=4, min_texts=1000, lr=1e-2, lr_all=4e-3, lr_div=1.3, drop_mult=.8, bs=32, chunk=72)   # of five, on validation reviews at 100 labels
ALL = dict(epochs=1, lr=1e-2, lr_all=4e-3, lr_div=1.3, drop_mult=.4, bs=32, chunk=72)                   # not tuned
LONG = dict(ALL, epochs=3, drop_mult=.5)                                                                # not tuned either
LONGEST = 400    # tokens read of a review, from its end: the verdict mostly stands there (twice as many in the `_long` arms)
KEPT = home()/'ulmfit_imdb'

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

def read_words(way, ds, name, longest=LONGEST):
    "The pretrained model, and the last words of every text as ids."
    base = pretrained(name, backwards=way == 'backwards')
    last = lambda o: np.concatenate([o[:1], o[1:longest+1] if way == 'backwards' else o[1:][-longest:]])
    return base, {p: list(map(last, base.words(list(d.text)))) for p, d in ds.items()}

def judge(arm, labels, seed, ds, y, name):
    "Probabilities of validation and test reviews, and what to note."
    way, _, long = arm.partition('_'); longest = 2 * LONGEST if long else LONGEST
    base, ids = read_words(way, ds, name, longest)
    cfg = ULMFiTConfig(seed=seed, **(FEW if labels != 'all' else LONG if long else ALL), **base.sizes)
    lm = language_model(cfg.encoder(len(base.words))); load_weights(lm, base.weights)
    set_seed(seed)
    m = Classifier(cfg.encoder(len(base.words), True), 2, cfg.n_lin, cfg.chunk).load_encoder(lm)
    fit_classifier(m, (ids['train'], y['train']), (ids['valid'][:300], y['valid'][:300]), cfg, Log(lambda s: print(s, flush=True), bars=False))
    return {p: class_probs(m, ids[p]) for p in ('valid', 'test')}, dict(longest=longest, base_tokens=base.card.get('tokens'))

@torch.inference_mode()
def mean_states(model, ids, bs=16):
    "The encoder's output, averaged over each text: (texts, emb)."
    order, out = sorted(range(len(ids)), key=lambda k: len(ids[k])), [None] * len(ids)
    model.eval()
    for j in range(0, len(order), bs):
        part = order[j:j+bs]
        x = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(ids[k]) for k in part], batch_first=True, padding_value=PAD)
        real = (x != PAD)[..., None]
        for k, o in zip(part, ((model.read(x) * real).sum(1) / real.sum(1)).numpy()): out[k] = o
    return np.stack(out)

def by_linear(ds, y, ways, name):
    "Accuracies of a linear classifier on the encoder's averaged states, the mean over `ways` of reading; nothing in the encoder is trained."
    probs = {p: 0 for p in ('valid', 'test')}
    for way in ways:
        base, ids = read_words(way, ds, name)
        cfg = ULMFiTConfig(**base.sizes)
        lm = language_model(cfg.encoder(len(base.words))); load_weights(lm, base.weights)
        m = Classifier(cfg.encoder(len(base.words), True), 2).load_encoder(lm)
        x = {p: mean_states(m, ids[p]) for p in ids}
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=.01, max_iter=1000)).fit(x['train'], y['train'])   # C: of three, on validation reviews
        for p in probs: probs[p] = probs[p] + fit.predict_proba(x[p])
    return {p: float((probs[p].argmax(1) == np.array(y[p])).mean()) for p in probs}, dict(longest=LONGEST, base_tokens=base.card.get('tokens'))

def run(arm, labels, seed, base):
    "Accuracies and what else to note; None: what it needs is not there."
    ds = parts(seed, labels)
    y = {p: (d.label == 'pos').astype(int).tolist() for p, d in ds.items()}
    if arm == 'tfidf': return {p: float(np.mean(np.array(tfidf_baseline(ds['train'].text, ds['train'].label, ds[p].text)) == ds[p].label.values)) for p in ('valid', 'test')}, {}
    if arm.startswith('linear'): return by_linear(ds, y, ('forwards', 'backwards') if arm == 'linear_both' else ('forwards',), base)
    file = lambda way, p: KEPT/f'{way}-{labels}-{seed}-{p}.npy'
    if arm.startswith('both'):
        ways = [arm.replace('both', w) for w in ('forwards', 'backwards')]
        if not all(file(w, p).exists() for w in ways for p in ('valid', 'test')): return None
        probs, note = {p: sum(np.load(file(w, p)) for w in ways) / 2 for p in ('valid', 'test')}, {}
    else:
        probs, note = judge(arm, labels, seed, ds, y, base)
        KEPT.mkdir(parents=True, exist_ok=True)
        for p in probs: np.save(file(arm, p), probs[p])
    return {p: float((probs[p].argmax(1) == np.array(y[p])).mean()) for p in probs}, note

if __name__ == '__main__':
    a = argparse.ArgumentParser()
    for k, v in dict(arms='tfidf,linear,linear_both,forwards,backwards,both', labels='100,500,all', seeds='1', base='en', prec='').items(): a.add_argument(f'--{k}', default=v)
    a = a.parse_args()
    if a.prec: os.environ['NLPDEEP_PRECISION'] = a.prec
    done = {(o['config']['arm'], o['config']['labels'], o['seed']) for o in (results('ulmfit_imdb') if (results_dir()/'ulmfit_imdb.json').exists() else [])}
    for seed in map(int, a.seeds.split(',')):
        for labels in a.labels.split(','):
            for arm in a.arms.split(','):
                t = time.time()
                if (arm, labels, seed) in done or (out := run(arm, labels, seed, a.base)) is None: continue
                record('ulmfit_imdb', out[0], data='IMDb', seed=seed, minutes=(time.time() - t) / 60, arm=arm, labels=labels, **out[1])
                print(arm, labels, seed, out, f'{(time.time() - t) / 60:.1f} min', flush=True)
