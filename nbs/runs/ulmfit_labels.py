"""What each stage of ULMFiT is worth, by the number of labels (chapter 09a): movie snippets, split by film.

    python nbs/runs/ulmfit_labels.py [--arms tfidf,scratch,ulmfit,...] [--labels 100,500,2000,all] [--seeds 1,2,3,4,5] [--base FOLDER]

Records nbs/results/ulmfit_labels.json, a run at a time: accuracy on the validation and the test part. A run that is recorded already is left out, so the script can be stopped and called again.
Without labels a text is still read by the language model, which is therefore trained once for each seed and shared by all label counts. Nothing is chosen here: settings were chosen on the validation part before.

    tfidf       TF-IDF (one and two words) and logistic regression      scratch     the classifier alone, from random weights
    ulmfit      language model from random weights, then classifier     pretrained  all three stages, from --base
    backwards   the same read backwards (--base has `backwards`)        both        the mean of the probabilities of the two
    no_reading  pretrained, without fine-tuning the language model      at_once     pretrained, all layers free from the start
    one_rate    pretrained, one learning rate for all layers
"""
import argparse, dataclasses, time
import numpy as np
from nlpdeep.cli import thin
from nlpdeep.core import record, results, results_dir, set_seed
from nlpdeep.corpora import movie_snippets, tfidf_baseline
from nlpdeep.ulmfit import Classifier, SampledLoss, TextClassifier, ULMFiTConfig, as_frame, check_labels, class_probs, fit_classifier, finetune_lm, language_model, take_over

ARMS = 'tfidf scratch ulmfit pretrained no_reading at_once one_rate backwards both'.split()
PLAIN = ULMFiTConfig()                                                   # chosen on the validation part, from random weights
TUNED = dict(max_vocab=4000, lm_epochs=2, lm_lr=4e-3, lm_drop_mult=.3, epochs=4, lr=1e-2, lr_all=8e-3, lr_div=1.6, drop_mult=.4)   # of three, on the validation part at 2,000 labels

def config(arm, seed, base):
    if arm in ('scratch', 'ulmfit'): return dataclasses.replace(PLAIN, seed=seed, lm_epochs=0 if arm == 'scratch' else PLAIN.lm_epochs)
    cfg = dataclasses.replace(PLAIN, seed=seed, base=base, backwards=arm == 'backwards', **TUNED)
    return dataclasses.replace(cfg, **dict(no_reading=dict(lm_epochs=0), one_rate=dict(lr_div=1.)).get(arm, {}))

def reader(arm, seed, base):
    "The words and the language model of one seed, fine-tuned on all training texts, labelled or not."
    df = as_frame(movie_snippets(), seed=seed)
    c = TextClassifier(config(arm, seed, base))
    c.classes = check_labels(df)
    ids = c._read(df)
    set_seed(seed); c.lm = language_model(c.cfg.encoder(len(c.words)))
    if c.base: take_over(c.lm, c.base.weights, c.words.vocab.match(c.base.words.vocab))
    read = [o for p in ('train', 'unsup') for o in ids[p]]
    h = finetune_lm(c.lm, read, ids['valid'], c.cfg, loss_func=SampledLoss(np.bincount(np.concatenate(read), minlength=len(c.words))))
    c.info['perplexity'] = h['after']
    return c

def judge(c, arm, df, seed):
    "Probabilities of the validation and the test part."
    ids = {p: c.words(list(df.text[df.part == p])) for p in ('train', 'valid', 'test')}
    y = {p: [c.classes.index(o) for o in df.label[df.part == p]] for p in ids}
    set_seed(seed)
    m = Classifier(c.cfg.encoder(len(c.words), True), len(c.classes), c.cfg.n_lin, c.cfg.chunk)
    if arm != 'scratch': m.load_encoder(c.lm)
    if arm == 'at_once':
        import nlpdeep.ulmfit as u
        whole, u.unfreezing = u.unfreezing, lambda cfg: [dict(o, epochs=cfg.epochs + cfg.n_layers + 1) for o in whole(cfg)[-1:]]
    try: fit_classifier(m, (ids['train'], y['train']), (ids['valid'], y['valid']), c.cfg)
    finally:
        if arm == 'at_once': u.unfreezing = whole
    return {p: class_probs(m, ids[p]) for p in ('valid', 'test')}, y

if __name__ == '__main__':
    a = argparse.ArgumentParser()
    for k, v in dict(arms='tfidf,scratch,ulmfit', labels='100,500,2000,all', seeds='1,2,3,4,5', base='en').items(): a.add_argument(f'--{k}', default=v)
    a = a.parse_args()
    done = {(o['config']['arm'], o['config']['labels'], o['seed']) for o in (results('ulmfit_labels') if (results_dir()/'ulmfit_labels.json').exists() else [])}
    for seed in map(int, a.seeds.split(',')):
        kept = {}
        for arm in a.arms.split(','):
            c = None
            for labels in a.labels.split(','):
                if (arm, labels, seed) in done: continue
                t = time.time()
                df = as_frame(movie_snippets() if labels == 'all' else thin(movie_snippets(), None, int(labels), seed), seed=seed)
                if arm == 'tfidf':
                    tr, acc = df[df.part == 'train'], {}
                    for p in ('valid', 'test'): d = df[df.part == p]; acc[p] = float(np.mean(np.array(tfidf_baseline(tr.text, tr.label, d.text)) == d.label.values))
                elif arm == 'both':
                    if any((o, labels) not in kept for o in ('pretrained', 'backwards')): continue
                    acc = {p: float(((kept['pretrained', labels][p] + kept['backwards', labels][p]).argmax(1) == np.array(y[p])).mean()) for p in ('valid', 'test')}
                else:
                    c = c or reader(arm, seed, a.base)
                    probs, y = judge(c, arm, df, seed)
                    kept[arm, labels] = probs
                    acc = {p: float((probs[p].argmax(1) == np.array(y[p])).mean()) for p in probs}
                record('ulmfit_labels', dict(valid=acc['valid'], test=acc['test']), data='movie snippets, split by film', seed=seed, minutes=(time.time() - t) / 60, arm=arm, labels=labels)
                print(arm, labels, seed, acc, f'{time.time() - t:.0f} s', flush=True)
