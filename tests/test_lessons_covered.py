"""Every question of the questionnaires at the end of fast.ai's two lessons on text (fastbook, chapters 10 and
12) is asked here too: the matter of each, in a few words of ours, and where the course has it.

A place is the stem of a chapter and words that its question begins with. A task to write or try something is
an exercise: a stem and the bold title that it begins with.
"""

import re

import notebooks as nbs
import pytest

# the lesson on text and ULMFiT: 22 questions, 2 for further research
TEXT = [
    ('what self-supervised means', '00_start', 'What is self-supervised learning?'),
    ('what a language model is', '00_start', 'What is a language model?'),
    ('why it is self-supervised', '00_start', 'Why is a language model self-supervised?'),
    ('what such models serve for', '00_start', 'What are self-supervised models usually used for?'),
    ('why a language model is fine-tuned', '09_ulmfit', 'Why fine-tune the language model'),
    ('the stages of a text classifier', '09_ulmfit', 'What are the three stages of ULMFiT?'),
    ('what reviews without labels are good for', '09_ulmfit', 'IMDb comes with 50,000 reviews'),
    (
        'the steps to data for a language model',
        '04_lm_dataloader',
        'What are the three steps to prepare data',
    ),
    ('tokenization and its purpose', '02_tokenization', 'What is tokenization, and why'),
    ('ways to tokenize', '02_tokenization', 'Name three approaches to tokenization.'),
    ('the mark for a beginning', '02_tokenization', 'What is xxbos'),
    ("four of fastai's rules", '02_tokenization', "List four of fastai's rules."),
    ('why repetitions become a count', '02_tokenization', 'Why is a repeated character replaced'),
    ('numericalization', '03_numericalization', 'What is numericalization?'),
    ('why a word becomes unknown', '03_numericalization', 'Why might a word be replaced'),
    ('second row, second batch', '04_lm_dataloader', 'With a batch size of 64, the first row'),
    ('padding, and where not', '04_lm_dataloader', 'Why do we need padding'),
    ('what is in an embedding, its shape', '03_numericalization', 'What does an embedding matrix'),
    ('perplexity', '09_ulmfit', 'What is perplexity'),
    ("the classifier's vocabulary", '09_ulmfit', "Why must the classifier's data use"),
    ('gradual unfreezing', '09_ulmfit', 'What is gradual unfreezing?'),
    ('why generation stays ahead', '13_machine_text', 'Why is text generation always likely'),
]
# the lesson that builds a language model from nothing: 39 questions, 4 for further research
MODELS = [
    ('a data set that takes hours', '05_rnn', 'Your data set takes hours'),
    ('why documents are joined', '05_rnn', 'Why are all texts joined'),
    ('what makes a plain network LMModel1', '05_rnn', 'What makes an ordinary network'),
    ('sharing a weight matrix', '05_rnn', 'What makes an ordinary network'),
    ('the third word from two', '05_rnn', '**1. Two words, no peeking.**'),
    ('a recurrent network', '05_rnn', 'What is a recurrent neural network'),
    ('hidden state', '05_rnn', 'What is the hidden state'),
    ('where LMModel1 has it', '05_rnn', 'What is the hidden state'),
    ('why in order', '05_rnn', 'Why must the text come in order?'),
    ('the unrolled picture', '05_rnn', 'What is a recurrent neural network, and what is its unrolled'),
    ('what a kept state costs, and the cure', '05_rnn', 'What goes wrong if the state is kept'),
    ('BPTT', '05_rnn', 'What is BPTT'),
    ('batches back to words', '05_rnn', '**2. Back to the text.**'),
    ('ModelResetter', '05_rnn', 'What does ModelResetter do'),
    ('one target in three words', '05_rnn', 'What is lost by predicting only after'),
    ('another loss for LMModel4', '05_rnn', 'What is lost by predicting only after'),
    ('why LMModel4 is unstable', '05_rnn', 'Why is the training of LMModel4 unstable?'),
    ('why stack what is deep already', '05_rnn', 'Draw an RNN of two layers'),
    ('a drawing of two layers', '05_rnn', 'Draw an RNN of two layers'),
    ('detaching less often', '05_rnn', 'Cutting the history less often'),
    ('large and small activations', '05_rnn', 'Why can a deep network have very large'),
    ('the most precise floats', '05_rnn', 'Which floats are the most precise?'),
    ('why vanished gradients stop training', '05_rnn', 'Why can a deep network have very large'),
    ('two states, and what for', '06_lstm', 'Why two states in an LSTM'),
    ('their names', '06_lstm', 'Why two states in an LSTM, what are they called'),
    ('tanh and sigmoid', '06_lstm', 'How are tanh and sigmoid related'),
    ('stacking or joining state and input', '06_lstm', 'What is torch.cat([h, x], dim=1) for'),
    ('chunk', '06_lstm', 'What does chunk do'),
    ('the fused cell is the same', '06_lstm', 'Why is the fused cell the same'),
    ('a higher rate for LMModel6', '06_lstm', 'Why can LMModel6 use a higher'),
    ('the ways AWD-LSTM is regularised', '07_awd_lstm', 'What are the regularization techniques'),
    ('dropout', '07_awd_lstm', 'What is dropout?'),
    ('why its rest is scaled, and when', '07_awd_lstm', 'Why do we scale with dropout?'),
    ('the line that returns early', '07_awd_lstm', 'What is the purpose of if not self.training'),
    ('trying bernoulli_', '07_awd_lstm', 'What do torch.empty(3).bernoulli_'),
    ('training and evaluation mode', '07_awd_lstm', 'How do you set a model to training mode'),
    ('AR, and weight decay', '07_awd_lstm', 'Write activation regularization as a formula'),
    ('TAR, and why not for pictures', '07_awd_lstm', 'Write temporal activation regularization'),
    ('weight tying', '07_awd_lstm', 'What is weight tying?'),
]
# tasks for research, exercises of the other lessons: a question, an exercise, or a section that does it
FURTHER = [
    (
        'language models and disinformation',
        '13_machine_text',
        '## Further reading, and two tasks for research',
    ),
    ('what to do where detection fails', '13_machine_text', '**6. Think.**'),
    ('why h may begin as 0', '05_rnn', 'What is the hidden state, and where is it in LMModel1? Why may h'),
    ('an LSTM from scratch', '06_lstm', '## The same, fused'),
    ("a GRU from scratch, and PyTorch's", '06_lstm', '## The GRU: two gates will do'),
    ("fastai's AWD-LSTM, line by line", '07_awd_lstm', '## The full model'),
    ('a classifier from a transformer', '12_gpt2_classifier', '### The exercise'),
    ('another model, tokenizer, prompt', '11_gpt2', '**6. Try another model, another tokenizer'),
]


def asked(path):
    """What a chapter asks: its questions without mark-up and numbers; with them the bold titles of its
    exercises and its headings, marks included.
    """
    prose = '\n'.join(''.join(c['source']) for c in nbs.read(path)['cells'] if c['cell_type'] == 'markdown')
    _, _, own = prose.partition('## Check yourself')
    folded = re.findall(r'<summary>(?!Hint)(.+?)</summary>', own)
    above = re.findall(r'(?m)^\*\*\d+\.\*\* (.+)$', own)  # chapter 07 folds the answer alone
    questions = [re.sub(r'^\d+\. |<[^>]+>|`', '', q) for q in folded + above]
    return questions + re.findall(r'(?m)^(?:\*\*\d+\. .+|##+ .+)$', prose)


CHAPTERS = {p.stem: p for p in nbs.all_notebooks() if nbs.kind(p) == 'chapter'}
ALL = TEXT + MODELS + FURTHER


def test_the_lists_are_whole():
    "As many lines as the lessons' lists have, each about something else."
    assert (len(TEXT), len(MODELS)) == (22, 39)
    assert len({matter for matter, _, _ in ALL}) == len(ALL)


@pytest.mark.parametrize('matter, chapter, words', ALL, ids=[matter for matter, _, _ in ALL])
def test_it_is_asked(matter, chapter, words):
    "The chapter has a question, an exercise or a section that begins with these words."
    assert any(o.startswith(words) for o in asked(CHAPTERS[chapter])), f'{chapter} does not ask: {matter}'
