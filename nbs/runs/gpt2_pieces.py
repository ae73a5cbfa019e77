"""Store how GPT-2's published tokenizer cuts a few telling texts, and every number up to 9,999, so that
chapter 02 can show it anywhere; and the same texts under SmolLM2's, a later one of the same size (2024).

$NLPDEEP_GPT2 is a folder with GPT-2's vocab.json and merges.txt.

The pieces come from transformers' `GPT2Tokenizer`, and from SmolLM2's own tokenizer. Writes
nbs/results/gpt2_pieces.json: `pieces` (text -> tokens, bytes shown as GPT-2 shows them), `later` (the same
with SmolLM2), `sizes` (entries of the two lists),
`cuts` (for 0, 1, ... 9,999 the lengths of the pieces, written one after the other: 22 means two pieces of two
    digits) and
`cuts_after_space` (the same for ' 0', ' 1', ... ' 9999'; the space is not counted).
"""

from gpt2_sample import published_files
from transformers import GPT2Tokenizer

from nlpdeep.causal_models import load_pretrained
from nlpdeep.core import write_json
from nlpdeep.records import results_dir
from nlpdeep.runs import Plan, run_script

TEXTS = [
    'strawberry',
    ' strawberry',
    'lower',
    ' lower',
    'Lower',
    'LOWER',
    'hello world',
    'hello world ',
    '    return x',
    '127 + 677 = 804',
    '1275 + 6773 = 8048',
    'the sum 127 + 677 = 804',
    'the sum 1275 + 6773 = 8048',
    ' SolidGoldMagikarp',
    ' unfilmable',
    '3.11 > 3.9',
]
LANGUAGES = {
    'English': 'The director of this film loves unhappy endings.',
    'Spanish': 'Al director de esta película le encantan los finales tristes.',
    'German': 'Der Regisseur dieses Films liebt traurige Enden.',
    'Polish': 'Reżyser tego filmu uwielbia smutne zakończenia.',
    'Greek': 'Ο σκηνοθέτης αυτής της ταινίας λατρεύει τα λυπηρά τέλη.',
    'Hindi': 'इस फ़िल्म के निर्देशक को दुखद अंत पसंद हैं।',
    'Chinese': '這部電影的導演喜歡悲傷的結局。',
    'Japanese': 'この映画の監督は悲しい結末が好きです。',
}

PLAN = Plan(
    makes='gpt2_pieces',
    chapter='02_tokenization',
    minutes=0,
    needs="GPT-2's vocab.json and merges.txt, and SmolLM2",
)


def run(seed):
    tok = GPT2Tokenizer(*map(str, published_files()))
    newer = load_pretrained('smollm2').tokenizer
    texts = [*TEXTS, *LANGUAGES.values()]
    pieces, later = ({t: o.tokenize(t) for t in texts} for o in (tok, newer))

    def cuts(before):
        pieces = (tok.tokenize(before + str(n)) for n in range(10_000))
        return ' '.join(''.join(str(len(p.lstrip('Ġ'))) for p in cut) for cut in pieces)

    write_json(
        results_dir() / 'gpt2_pieces.json',
        dict(
            source='transformers GPT2Tokenizer with the published vocab.json and merges.txt',
            languages=LANGUAGES,
            pieces=pieces,
            later=later,
            sizes={'GPT-2': len(tok), 'SmolLM2': len(newer)},
            cuts=cuts(''),
            cuts_after_space=cuts(' '),
        ),
    )
    for t, p in pieces.items():
        print(f'{t!r:60} {len(p):3} {len(later[t]):3}  {" ".join(p)}  |  {" ".join(later[t])}')


if __name__ == '__main__':
    run_script(__file__)
