"""The walls of the package: which module may import which, what a public name means, what does not belong
into shipped code.
"""

import ast
import re
from collections import defaultdict

import pytest
from notebooks import ROOT

# Each module and what it may import of ours. Models know no training and no data, training knows no model.
EDGES = {
    'core': '',
    'provenance': 'core',
    'records': 'core provenance',
    'runs': 'core provenance records corpora',
    'doctor': 'core',
    'notebook': 'core doctor',
    # text
    'fetch': 'core',
    'corpora': 'core fetch provenance',
    'texts': 'core fetch corpora',
    'baselines': 'core',
    'rules': 'core',
    'fast_words': 'core rules',
    'tokenization': 'core rules fast_words',
    'transform': 'core rules fast_words tokenization',
    'bpe': 'core rules fast_words tokenization records',
    'subwords': 'core rules fast_words bpe',
    'numericalization': 'core rules',
    'lm_dataloader': 'core numericalization tokenization transform',
    'processor': 'core rules fast_words tokenization subwords numericalization',
    # models
    'rnn': 'core',
    'lstm': 'core rnn',
    'kernels': 'core',
    'losses': 'core kernels',
    'regularization': 'core',
    'awd_lstm': 'core kernels losses regularization',
    'gpt2': 'core',
    # training
    'precision': 'core kernels losses',
    'checkpoint': 'core',
    'distributed': 'core checkpoint',
    'schedules': 'core checkpoint',
    'training': 'core regularization precision checkpoint distributed schedules losses',
    # what joins them
    'sampling': 'core',
    'language_model': 'core processor lm_dataloader losses awd_lstm training',
    'generation': 'core rules numericalization processor sampling',
    'ulmfit': 'core processor lm_dataloader awd_lstm training language_model',
    'model_folder': 'core numericalization processor',
    'pretraining': 'core provenance texts '
    'fast_words tokenization subwords processor numericalization lm_dataloader '
    'losses awd_lstm '
    'precision checkpoint training language_model model_folder',
    'reader_features': 'core texts rules processor awd_lstm language_model pretraining causal_models '
    'causal_training causal_classifier',
    'text_classifier': 'core corpora texts rules numericalization processor awd_lstm training '
    'language_model generation ulmfit model_folder pretraining reader_features causal_models '
    'causal_classifier',
    'causal_models': 'core fetch corpora gpt2',
    'causal_generation': 'core sampling causal_models gpt2',
    'causal_training': 'core losses gpt2 precision training causal_models',
    'causal_classifier': 'core texts lm_dataloader gpt2 schedules training language_model model_folder '
    'causal_models '
    'causal_training ulmfit',
    'comparison': 'core records texts fetch corpora reader_features text_classifier causal_models '
    'causal_training causal_classifier',
    'serving': 'core texts reader_features text_classifier',
    'report': 'core',
    'classroom': 'core',
    'cli': 'core records runs doctor corpora texts baselines language_model model_folder pretraining '
    'text_classifier report '
    'benchmarks comparison serving classroom',
}
EVERYTHING = {
    'course',
    'benchmarks',
}  # may import all; nobody imports `course`, and only `cli` imports `benchmarks`


def modules() -> dict:
    "Name of each module of the package and its syntax tree."
    files = [f for f in sorted((ROOT / 'nlpdeep').glob('*.py')) if not f.stem.startswith('_')]
    return {f.stem: ast.parse(f.read_text(encoding='utf-8')) for f in files}


def imports(tree) -> set:
    "Modules of ours that a module imports: relative or absolute, at the top or inside a function."
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ''
            if node.level == 1 and module:
                found.add(module.split('.')[0])
            elif node.level == 1 or module == 'nlpdeep':
                found |= {a.name for a in node.names}
            elif module.startswith('nlpdeep.'):
                found.add(module.split('.')[1])
        elif isinstance(node, ast.Import):
            found |= {a.name.split('.')[1] for a in node.names if a.name.startswith('nlpdeep.')}
    return found


@pytest.mark.parametrize(
    'code, sees',
    [
        ('from .cli import app', {'cli'}),
        ('from nlpdeep.cli import *', {'cli'}),
        ('def f():\n    from nlpdeep import cli', {'cli'}),
        ('from . import cli as c', {'cli'}),
        ('import nlpdeep.cli as c', {'cli'}),
        ('import torch.cli', set()),
    ],
)
def test_the_test_sees(code, sees):
    assert imports(ast.parse(code)) == sees


def test_edges():
    trees = modules()
    assert set(trees) == set(EDGES) | EVERYTHING, 'a module is missing from the table, or gone'
    for name, tree in trees.items():
        if name in EVERYTHING:
            continue
        more = imports(tree) - set(EDGES[name].split()) - {'__version__'}
        assert not more, f'{name} imports {", ".join(sorted(more))}, which the table of edges does not allow'


def test_edges_have_no_circle():
    order, left = [], {k: set(v.split()) for k, v in EDGES.items()}
    left['benchmarks'] = set(EDGES) - {'cli'}
    while left:
        free = [k for k, v in left.items() if v <= set(order)]
        assert free, f'these import each other in a circle: {", ".join(left)}'
        order += free
        for k in free:
            del left[k]


def test_a_public_name_means_one_thing():
    "`__all__` of all modules: no name twice, and none that hides a module of ours."
    homes = defaultdict(list)
    for name, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__':
                for o in node.value.elts:
                    homes[o.value].append(name)
    twice = {k: v for k, v in homes.items() if len(v) > 1}
    assert not twice, twice


def unhinted(node) -> list[str]:
    "What of a function lacks a hint: parameters by name, `result`."
    a = node.args
    every = a.posonlyargs + a.args + a.kwonlyargs + [o for o in (a.vararg, a.kwarg) if o]
    return [o.arg for o in every if o.annotation is None] + ['result'] * (node.returns is None)


@pytest.mark.parametrize(
    'code, lacks',
    [
        ('def f(a: int, *, b: str = "") -> None: ...', []),
        ('def f(a, b: int, *args, c=1, **kw) -> None: ...', ['a', 'c', 'args', 'kw']),
        ('def f(): ...', ['result']),
    ],
)
def test_the_test_sees_missing_hints(code, lacks):
    assert unhinted(ast.parse(code).body[0]) == lacks


def test_public_functions_have_hints():
    """Functions in `__all__` have hints on all parameters and on the result; on the command line, whose
    functions typer reads by their hints, the others too.
    """
    checked, lacking = 0, {}
    for name, tree in modules().items():
        public = {
            o.value
            for node in tree.body
            if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', '') == '__all__'
            for o in node.value.elts
        }
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and (node.name in public or name == 'cli'):
                checked += 1
                if lacks := unhinted(node):
                    lacking[f'{name}.{node.name}'] = lacks
    assert checked > 100
    assert not lacking, lacking


def test_shipped_code_is_plain():
    "No star imports, no mocks, no patched methods, no classes made by `type(...)`."
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                assert node.names[0].name != '*', f'{name}: a star import'
                assert 'unittest' not in (node.module or ''), f'{name}: a mock'
            if isinstance(node, ast.FunctionDef):
                decorators = [ast.unparse(d) for d in node.decorator_list]
                assert not any(re.match(r'patch\b', d) for d in decorators), (
                    f'{name}.{node.name}: a patched method'
                )
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'type':
                assert len(node.args) == 1, f'{name}: a class made by type(...)'


def test_top_level():
    """The names that `nlpdeep` offers are there, are those of their modules, and load nothing before they are
    used.
    """
    import nlpdeep

    assert 12 <= len(nlpdeep.__all__) <= 18
    for name in nlpdeep.__all__:
        value = getattr(nlpdeep, name)
        assert value.__module__.startswith('nlpdeep.') and value.__name__ == name
        assert name in dir(nlpdeep)
    with pytest.raises(AttributeError, match='no attribute'):
        nlpdeep.NoSuchName


def test_imports_are_declared():
    "Every distribution that the package imports at run time is in settings.ini."
    import configparser
    import sys

    cfg = configparser.ConfigParser(interpolation=None)
    cfg.read(ROOT / 'settings.ini', encoding='utf-8')
    declared = ' '.join(cfg['requirements'].values())
    declared = {re.split(r'[<>=\[]', o)[0].replace('-', '_') for o in declared.split() if o[0].isalpha()}
    name_of = {'sklearn': 'scikit_learn', 'IPython': 'ipython'}
    top = set()
    for tree in modules().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                top |= {a.name.split('.')[0] for a in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                top.add(node.module.split('.')[0])
    foreign = {name_of.get(o, o) for o in top - set(sys.stdlib_module_names) - {'nlpdeep', 'torchvision'}}
    assert foreign <= declared, f'not declared in settings.ini: {", ".join(sorted(foreign - declared))}'
