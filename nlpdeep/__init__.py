"nlpdeep: deep learning for natural language processing, a course you can install."
from nlpdeep.core import watch_torchvision

watch_torchvision()
del watch_torchvision

def __getattr__(name):
    if name != '__version__': raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from importlib.metadata import version
    return version('nlpdeep')
