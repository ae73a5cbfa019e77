"What every test shares."

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests import `notebooks` and each other's helpers by name
os.environ.setdefault('TOKENIZERS_PARALLELISM', 'false')
os.environ.setdefault('HF_HUB_OFFLINE', '1')  # a test never waits for a hub
# Tiny models are fastest on one thread, and on a busy machine two threads are many times slower.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import nlpdeep  # noqa: E402, F401  before transformers: it mends a torchvision that does not fit its torch


# What trains, starts other processes, or reads a whole corpus. `pytest -m "not slow"` leaves it out.
SLOW_FILES = {'test_package.py', 'test_cudasim.py', 'test_site.py'}
SLOW = set(
    """test_killed_and_resumed_gives_the_same_losses test_two_processes_give_the_losses_of_one
    test_clips_after_unscaling
    test_broken_off_and_resumed_is_undisturbed test_find_lr_changes_nothing test_all_precisions_agree
    test_precision_follows_the_machine_or_the_variable test_learner_equals_fastais test_wikitext test_imdb
    test_imdb_real
    test_imdb_where_neighbours_matter test_snippets test_languages test_a_million_characters
    test_memo_is_bounded
    test_memory_of_a_full_memo test_single_text_call test_data_frame test_folder test_two_processes
    test_nasty_text
    test_subwords_as_fastai test_gpt2 test_training_as_the_tokenizers_library test_facts_the_shortcuts_rest_on
    test_bench
    test_rules_of_ones_own test_token_array_vocab_sz test_new_keeps_vocab_sz test_sorted_is_fastais
    test_options_work
    test_pretrain_then_ulmfit test_pieces test_the_model_that_ships test_classifier_broken_off_and_resumed
    test_averages_and_answers_of_the_recorded_runs test_generate_equals_transformers test_same_seed_same_model
    test_bench_generate_finds_a_wrong_text test_bench_classify_counts_what_it_compares
    test_interrupted""".split()
)


def pytest_collection_modifyitems(items):
    for item in items:
        notebook = item.path.name == 'test_notebooks.py' and 'test_runs' in item.name
        if notebook or item.path.name in SLOW_FILES or item.originalname in SLOW:
            item.add_marker('slow')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Notebooks are dealt out to the workers one by one; the tests of any other file stay together, since
    they share what takes long to make. (Groups by mark do nothing with pytest 9.2 and pytest-xdist 3.8.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return nodeid if 'test_notebooks.py::test_runs' in nodeid else nodeid.split('::')[0]

    return ByFile(config, log) if config.getvalue('dist') == 'loadscope' else None
