"""Store a sample of texts with GPT-2's ids, and the merges and vocabulary entries that these texts need, so
that chapter 02's check runs anywhere.

$NLPDEEP_GPT2 is a folder with GPT-2's vocab.json and merges.txt.

The ids come from the published tokenizer (transformers' `GPT2Tokenizer`), not from ours. Writes
nbs/results/gpt2_ids.json.
"""

import os
from itertools import pairwise
from pathlib import Path

from transformers import GPT2Tokenizer

from nlpdeep.bpe import END_OF_TEXT, BPETokenizer, byte_chars, gpt2_pattern
from nlpdeep.core import InputError, write_json
from nlpdeep.records import results_dir
from nlpdeep.runs import Plan, run_script

TEXTS = [
    'Welcome to the 13th session on Practical Machine Learning',
    'Hello, world!',
    'The U.S. dollar $1 is $1.00.',
    "I don't know; they'll see, we've been, it's I'm you're he'd",
    "DON'T SHOUT",
    '  two spaces in front',
    'trailing space ',
    'tabs\tand\nlines\n\n\nand   spaces',
    '\r\n',
    ' ',
    '',
    'a',
    'supercalifragilisticexpialidocious',
    'antidisestablishmentarianism',
    '1 12 123 1234 12345 123456789',
    '3.14159 1,000,000 50% €5 £3 $7',
    'http://example.org/a_b-c?d=e&f=g#h',
    'me@example.org',
    'x = [i**2 for i in range(10)]  # squares',
    '"Quotes" \'single\' “curly” ‘curly’ — dash – dash - hyphen …',
    'état naïve façade Übermaß straße',
    'Donaudampfschifffahrtskapitän',
    'Zażółć gęślą jaźń',
    'Съешь ещё этих мягких булок',
    'Ξεσκεπάζω την ψυχοφθόρα',
    '這部電影的導演喜歡悲傷的結局。',
    'この映画の監督は悲しい結末が好きです。',
    '나는 이 영화를 좋아한다',
    'أحب هذا الفيلم',
    'אני אוהב את הסרט',
    'मुझे यह फ़िल्म पसंद है',
    'ภาพยนตร์เรื่องนี้ดี',
    '😀 👍🏽 👨‍👩‍👧 🇩🇪 🏴󠁧󠁢󠁳󠁣󠁴󠁿',
    'e\u0301 combining, \u200bzero width, \ufeffmark',
    'non\xa0breaking\u2003em\u3000wide',
    '\x00\x01\x1f\x7f control \x85',
    'Ⅷ ½ ² ٣ ፩ numbers',
    'ΑΣ İ ß Ǆ',
    '!!!!!!!!!!!!',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    'abababababababab',
    '-----====----',
    '((((()))))',
    "'s 't 're 've 'm 'll 'd 'S 'T ''s",
    '_under_score_ __init__',
    'camelCase PascalCase snake_case',
    'A' + 'b' * 150,
    f'one{END_OF_TEXT}two',
    f'{END_OF_TEXT}',
    'In a shocking finding, scientist discovered a herd of unicorns living in a remote valley.',
    "xxbos xxmaj the movie was n't good .",
    ' @-@ <unk> = = Heading = =',
    "Movie, movie. MOVIE! (movie) movie's movies",
    '\n\nParagraphs\n\n',
    'the the the',
    'ﬁ ligature ㎏ ﷺ',
    '��',
    '\U0010ffff\ue000',
]


def used_merges(tok, text):
    "The pairs that are merged in `text`."
    out = set()
    for w in gpt2_pattern().findall(text.replace(END_OF_TEXT, ' ')) + [
        w for part in text.split(END_OF_TEXT) for w in gpt2_pattern().findall(part)
    ]:
        word = [byte_chars()[b] for b in w.encode()]
        while (
            len(word) > 1 and (best := min(pairwise(word), key=lambda p: tok.ranks.get(p, 1e9))) in tok.ranks
        ):
            out.add(best)
            new = []
            for s in word:
                if new and (new[-1], s) == best:
                    new[-1] += s
                else:
                    new.append(s)
            word = new
    return out


PLAN = Plan(
    makes='gpt2_ids',
    chapter='02e_bpe',
    minutes=0,
    needs="GPT-2's vocab.json and merges.txt",
)


def published_files() -> tuple[Path, Path]:
    "The vocabulary and the merges of GPT-2 in the folder of NLPDEEP_GPT2."
    folder = os.environ.get('NLPDEEP_GPT2')
    if not folder:
        raise InputError("set NLPDEEP_GPT2 to a folder with GPT-2's vocab.json and merges.txt")
    return Path(folder) / 'vocab.json', Path(folder) / 'merges.txt'


def run(seed):
    files = published_files()
    published, full = GPT2Tokenizer(*map(str, files)), BPETokenizer.from_files(*files)
    ids = [published.encode(t) for t in TEXTS]
    need = set().union(*(used_merges(full, t) for t in TEXTS))
    merges = [p for p in full.merges if p in need]
    vocab = {
        full.ids[i]: i
        for i in sorted(
            set(sum(ids, []))
            | {full.vocab[c] for c in [*byte_chars().values(), *map(''.join, merges)]}
            | {full.vocab[END_OF_TEXT]}
        )
    }
    write_json(
        results_dir() / 'gpt2_ids.json',
        dict(
            source='transformers GPT2Tokenizer with the published vocab.json and merges.txt',
            texts=TEXTS,
            ids=ids,
            merges=merges,
            vocab=vocab,
        ),
    )
    small = BPETokenizer(merges, vocab)
    assert [small.encode(t) for t in TEXTS] == ids == [full.encode(t) for t in TEXTS]
    print(f'{len(TEXTS)} texts, {sum(map(len, ids))} tokens, {len(merges)} merges, {len(vocab)} entries')


if __name__ == '__main__':
    run_script(__file__)
