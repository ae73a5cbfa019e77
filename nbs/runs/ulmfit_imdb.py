"""ULMFiT on IMDb at the size that fits two cores (chapter 09a): a language model over all training and unlabelled reviews, then the classifier, in both directions.

    NLPDEEP_DATA=FOLDER python nbs/runs/ulmfit_imdb.py [--arms tfidf,linear_all,linear_all_both,forwards,backwards,both] [--labels 100,500,all] [--seeds 1] [--base en] [--prec bf16]

`--base` is a language model of `nbs/runs/pretrain.py`: it has read the 75,000 reviews without a test review among them, so stage two is done and the classifier follows. Two thousand training reviews are kept for validation;
the test reviews at hand are scored once, at the end of each run. `forwards_long`, `backwards_long`, `both_long`: twice as much of every review, three passes with all layers free. Beside it, TF-IDF with logistic regression on the same labels, and `linear_all`: logistic regression on the forward encoder's word vectors and states as they are, averaged over the review
(`linear_all_both`: the mean of both directions). Records nbs/results/ulmfit_imdb.json, a run at a time; what is recorded is left out.
"""
import argparse, functools, os, time
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

def last_words(ids, way, longest):
    "The last words of a text, wherever reading begins."
    return np.concatenate([ids[:1], ids[1:longest+1] if way == 'backwards' else ids[1:][-longest:]])

def read_words(way, ds, name, longest=LONGEST):
    "The pretrained model, and the last words of every text as ids."
    base = pretrained(name, backwards=way == 'backwards')
    return base, {p: [last_words(o, way, longest) for o in base.words(list(d.text))] for p, d in ds.items()}

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
    "Word vectors and the states of every layer, each averaged over the text: (texts, emb + hidden sizes)."
    order, out, enc = sorted(range(len(ids)), key=lambda k: len(ids[k])), [None] * len(ids), model.encoder
    model.eval()
    for j in range(0, len(order), bs):
        part, total = order[j:j+bs], 0
        x = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(ids[k]) for k in part], batch_first=True, padding_value=PAD)
        enc.bs = len(part); enc.reset()
        for piece in x.split(model.chunk, 1):
            h = enc.encoder(piece); all_ = [h]
            for l, rnn in enumerate(enc.rnns): h, enc.hidden[l] = rnn(h, enc.hidden[l]); all_.append(h)
            total = total + (torch.cat(all_, 2) * (piece != PAD)[..., None]).sum(1)
        for k, o in zip(part, (total / (x != PAD).sum(1, keepdim=True)).numpy()): out[k] = o
    return np.stack(out)

@functools.lru_cache(2)
def frozen(way, name):
    "A pretrained encoder as it is, and a function from texts (a Series) to their averaged states; what was read is kept."
    base = pretrained(name, backwards=way == 'backwards')
    m, kept = Classifier(ULMFiTConfig(**base.sizes).encoder(len(base.words), True), 2).load_encoder(base.model()), {}
    def states(texts):
        new = [t for t in dict.fromkeys(texts) if t not in kept]
        if new: kept.update(zip(new, mean_states(m, [last_words(o, way, LONGEST) for o in base.words(new)])))
        return np.stack([kept[t] for t in texts])
    return base, states

def by_linear(train, y, tests, ways, name, C=.01):
    "Probabilities for each of `tests` (texts by name) of logistic regression on the averaged states, the mean over `ways` of reading; nothing in the encoder is trained. C: of three, on validation texts."
    probs = {p: 0 for p in tests}
    for way in ways:
        states = frozen(way, name)[1]
        fit = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000)).fit(states(train), y)
        for p in tests: probs[p] = probs[p] + fit.predict_proba(states(tests[p]))
    return probs

def run(arm, labels, seed, base):
    "Accuracies and what else to note; None: what it needs is not there."
    ds = parts(seed, labels)
    y = {p: (d.label == 'pos').astype(int).tolist() for p, d in ds.items()}
    if arm == 'tfidf': return {p: float(np.mean(np.array(tfidf_baseline(ds['train'].text, ds['train'].label, ds[p].text)) == ds[p].label.values)) for p in ('valid', 'test')}, {}
    if arm.startswith('linear'):
        ways = ('forwards', 'backwards') if arm == 'linear_all_both' else ('forwards',)
        probs = by_linear(ds['train'].text, y['train'], {p: ds[p].text for p in ('valid', 'test')}, ways, base)
        return {p: float((o.argmax(1) == np.array(y[p])).mean()) for p, o in probs.items()}, dict(longest=LONGEST, base_tokens=frozen(ways[-1], base)[0].card.get('tokens'))
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
    for k, v in dict(arms='tfidf,linear_all,linear_all_both,forwards,backwards,both', labels='100,500,all', seeds='1', base='en', prec='').items(): a.add_argument(f'--{k}', default=v)
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
