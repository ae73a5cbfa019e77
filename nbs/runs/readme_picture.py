"""Draws the README's picture, nbs/images/way.svg: the way of a text through the course.

python nbs/runs/readme_picture.py
"""

import io
import re
from pathlib import Path

import matplotlib

matplotlib.use('svg')
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from nlpdeep.corpora import movie_snippets, speeches
from nlpdeep.numericalization import Vocab
from nlpdeep.tokenization import tokenize_texts

ROOT = Path(__file__).resolve().parents[2]
TEXT = "The U.S. dollar doesn't sleep."
TOKENS = list(tokenize_texts([TEXT], n_workers=0)[0])
VOCAB = Vocab.build(tokenize_texts([*movie_snippets().text, *speeches().text[-30:]], n_workers=0))
IDS = [str(i) for i in VOCAB.encode(TOKENS)]


def lines(words, *ends):
    "The words in lines that end before these positions."
    return '\n'.join(' '.join(words[a:b]) for a, b in zip((0, *ends), (*ends, len(words))))


STEPS = [
    ('text', TEXT.replace('dollar ', 'dollar\n')),
    ('tokens', lines(TOKENS, 3, 6, 9)),
    ('ids', lines(IDS, 3, 6, 9)),
    ('batches', '■■■■■ ■■■■■\n■■■■■ ■■■■■\n■■■■■ ■■■■■'),
    ('RNN · LSTM\nAWD-LSTM', 'h ← f(h, x)'),
    ('ULMFiT', 'pretrain\nfine-tune\nclassify'),
    ('GPT-2', 'softmax(QKᵀ)V'),
]
CHAPTERS = ['01', '02', '03', '04', '05 06 07', '09 10', '11 12']


def draw():
    plt.rcParams.update({'svg.hashsalt': 'nlpdeep', 'svg.fonttype': 'path', 'font.family': 'DejaVu Sans'})
    fig, ax = plt.subplots(figsize=(12, 2.3))
    ax.set(xlim=(0, 7), ylim=(0, 1))
    ax.axis('off')
    for i, ((name, inside), ch) in enumerate(zip(STEPS, CHAPTERS)):
        color = plt.cm.viridis(0.15 + 0.1 * i)
        ax.add_patch(
            FancyBboxPatch(
                (i + 0.06, 0.22),
                0.8,
                0.5,
                boxstyle='round,pad=0,rounding_size=.05',
                fc='white',
                ec=color,
                lw=2,
            )
        )
        ax.text(
            i + 0.46,
            0.47,
            inside,
            ha='center',
            va='center',
            fontsize=7,
            family='DejaVu Sans Mono',
            color='#333',
        )
        ax.text(i + 0.46, 0.86, name, ha='center', va='center', fontsize=11, weight='bold', color=color)
        ax.text(
            i + 0.46,
            0.1,
            f'chapter{"s" if " " in ch else ""} {ch}',
            ha='center',
            va='center',
            fontsize=8,
            color='#666',
        )
        if i:
            ax.annotate(
                '', (i + 0.05, 0.47), (i - 0.13, 0.47), arrowprops=dict(arrowstyle='->', color='#666', lw=1.5)
            )
    out = io.StringIO()
    fig.savefig(out, format='svg', metadata={'Date': None}, facecolor='white', bbox_inches='tight')
    return re.sub(r' +$', '', out.getvalue(), flags=re.M)


if __name__ == '__main__':
    f = ROOT / 'nbs' / 'images' / 'way.svg'
    f.write_text(draw(), encoding='utf-8')
    print(f.relative_to(ROOT))
