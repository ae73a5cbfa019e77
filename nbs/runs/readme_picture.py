"""Draws the README's picture, nbs/images/way.svg: what a text meets on its way through the course. Every
token, number and bar is computed by the package or read from a record.

python nbs/runs/readme_picture.py
"""

import io
import os
import re
import statistics
from pathlib import Path

os.environ['NLPDEEP_DEVICE'] = 'cpu'

import matplotlib

matplotlib.use('svg')
import matplotlib.pyplot as plt
import torch

from nlpdeep.pretraining import pretrained
from nlpdeep.records import results

ROOT = Path(__file__).resolve().parents[2]
TEXT = "A WONDERFUL film: it doesn't drag."
PROMPT = 'this film is one of the'
BLUE, GREEN, GREY = '#2b6cb0', '#2f855a', '#8a8a8a'
# name in the picture: record, which of its runs, metric
CURVES = {
    'a pretrained GPT': ('gpt2_classifier', dict(method='lm'), 'accuracy', GREEN),
    'ULMFiT': ('ulmfit_labels', dict(arm='pretrained'), 'test', BLUE),
    'TF-IDF': ('ulmfit_labels', dict(arm='tfidf'), 'test', GREY),
}


def tokens_and_ids(words) -> list[tuple[str, int]]:
    "`TEXT` as the shipped model reads it."
    tokens = words.tokenize([TEXT])[0]
    return list(zip(tokens, map(int, words.ids([tokens])[0])))


@torch.no_grad()
def next_words(lm, n: int = 7) -> list[tuple[str, float]]:
    "The `n` likeliest words after `PROMPT`, and how likely the shipped model holds them."
    model = lm.model()
    model.reset()
    out = model(torch.tensor([lm.words([PROMPT])[0].tolist()]))
    scores = (out[0] if isinstance(out, tuple) else out)[0, -1].float()
    best = scores.softmax(-1).topk(n)
    return [(lm.words.vocab[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist())]


def curve(record: str, wanted: dict, metric: str) -> dict[int, float]:
    "Mean recorded test accuracy by the number of labels."
    everything = 8835  # labelled snippets of the training part
    by_labels = {}
    for run in results(record):
        config = run['config']
        if all(config.get(k) == v for k, v in wanted.items()):
            labels = str(config['labels']).replace(',', '')
            by_labels.setdefault(everything if labels == 'all' else int(labels), []).append(
                run['metrics'][metric]
            )
    return {n: statistics.mean(v) for n, v in sorted(by_labels.items())}


def draw_tokens(ax, pairs):
    "The text, and below it a box for each token with its id."
    ax.axis('off')
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.text(0, 0.9, f'“{TEXT}”', fontsize=11, style='italic', va='center')
    x, y = 0.0, 0.68
    for token, i in pairs:
        width = 0.03 + 0.0235 * max(len(token), len(str(i)))
        if x + width > 1:
            x, y = 0.0, y - 0.32
        box = dict(
            boxstyle='round,pad=0.25', fc='#edf2f7' if token.startswith('xx') else '#e6f4ea', ec='none'
        )
        mono = dict(family='DejaVu Sans Mono', ha='center', va='center')
        ax.text(x + width / 2, y, token, fontsize=9, color='#222', bbox=box, **mono)
        ax.text(x + width / 2, y - 0.13, str(i), fontsize=8, color='#666', **mono)
        x += width + 0.02


def draw_words(ax, words):
    names, probs = zip(*words[::-1])
    ax.barh(names, probs, color=BLUE, height=0.7)
    ax.set_xlabel('probability')
    ax.set_title(f'“{PROMPT} …”', fontsize=10, style='italic', loc='left')


def draw_curves(ax):
    for name, (record, wanted, metric, color) in CURVES.items():
        got = curve(record, wanted, metric)
        ax.plot(list(got), [100 * v for v in got.values()], 'o-', color=color, ms=4)
        last = max(got)
        ax.text(last * 1.15, 100 * got[last], name, color=color, fontsize=9, va='center')
    ax.set(xscale='log', xlabel='labels to learn from', ylabel='accuracy on unseen films, %')
    ax.set_xticks([100, 500, 2000, 8835], ['100', '500', '2,000', '8,835'])
    ax.minorticks_off()


def draw() -> str:
    "The picture as SVG."
    lm = pretrained('en')
    plt.rcParams.update(
        {
            'svg.hashsalt': 'nlpdeep',
            'svg.fonttype': 'path',
            'font.family': 'DejaVu Sans',
            'font.size': 9,
            'axes.spines.top': False,
            'axes.spines.right': False,
        }
    )
    fig, axes = plt.subplots(
        1, 3, figsize=(13, 3.2), gridspec_kw=dict(width_ratios=[1.15, 0.8, 1], wspace=0.3)
    )
    draw_tokens(axes[0], tokens_and_ids(lm.words))
    draw_words(axes[1], next_words(lm))
    draw_curves(axes[2])
    heads = ('Text becomes tokens and numbers', 'A model learns to predict', 'and then to judge, measured')
    for ax, head, chapters in zip(
        axes, heads, ('chapters 01 to 04', 'chapters 05 to 08', 'chapters 09 to 14')
    ):
        box = ax.get_position()
        fig.text(box.x0, 1.06, head, fontsize=12, weight='bold', color='#222')
        fig.text(box.x0, 1.0, chapters, fontsize=9, color='#666')
    out = io.StringIO()
    fig.savefig(
        out, format='svg', metadata={'Date': None}, facecolor='white', bbox_inches='tight', pad_inches=0.15
    )
    return re.sub(r' +$', '', out.getvalue(), flags=re.M)


if __name__ == '__main__':
    f = ROOT / 'nbs' / 'images' / 'way.svg'
    f.write_text(draw(), encoding='utf-8')
    print(f.relative_to(ROOT))
