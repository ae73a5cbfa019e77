"""nlpdeep: deep learning for natural language processing, a course you can install.

The names below are loaded when they are first used, so `import nlpdeep` takes no time. Everything else is in the
modules, one idea each: `nlpdeep.tokenization`, `nlpdeep.training`, `nlpdeep.ulmfit`, ...
"""

from nlpdeep.doctor import watch_torchvision

watch_torchvision()
del watch_torchvision

_HOME = dict(
    TextClassifier='text_classifier',
    CausalClassifier='causal_classifier',
    Tokenizer='transform',
    WordTokenizer='fast_words',
    SubwordTokenizer='subwords',
    BPETokenizer='bpe',
    TextProcessor='processor',
    Vocab='numericalization',
    LMDataLoader='lm_dataloader',
    SortedDataLoader='lm_dataloader',
    AWDLSTM='awd_lstm',
    GPT2='gpt2',
    lm_learner='training',
    classifier_learner='training',
    pretrained='pretraining',
    load_pretrained='causal_models',
    InputError='core',
)
__all__ = list(_HOME)


def __getattr__(name):
    if name == '__version__':
        from nlpdeep.core import version

        return version()
    if name not in _HOME:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib import import_module

    value = getattr(import_module(f'{__name__}.{_HOME[name]}'), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *_HOME, '__version__'])
