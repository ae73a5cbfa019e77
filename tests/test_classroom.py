"The course as a whole: its exercises and questions are counted, and `nlpdeep check` finds and judges them."

import json
import re

import notebooks as nbs
import pytest

from nlpdeep.classroom import _kernel_manager, check_chapter, course_notebooks, find_exercises

CHAPTERS = [p for p in nbs.all_notebooks() if nbs.kind(p) == 'chapter']


def test_all_notebooks_are_in_the_course():
    assert list(course_notebooks().values()) == nbs.all_notebooks()


@pytest.mark.parametrize('path', CHAPTERS, ids=[p.stem for p in CHAPTERS])
def test_exercises_and_questions(path):
    "Five exercises or more, numbered, each with a check, hints and a solution; ten questions or more."
    cells = nbs.read(path)['cells']
    found = find_exercises(cells)
    assert len(found) >= 5, f'{len(found)} exercises'
    numbers = [re.match(r'(\d+)\. ', o.title) for o in found]
    assert all(numbers) and [int(o[1]) for o in numbers] == list(range(1, len(found) + 1))
    for o in found:
        said = json.dumps(cells[o.cell]['outputs'])
        assert 'not yet' in said, f'exercise {o.title} should be saved unsolved'
        near = [''.join(c['source']) for c in cells[o.cell - 1 : o.cell + 2] if c['cell_type'] == 'markdown']
        assert 'Hint' in '\n'.join(near), f'exercise {o.title} has no hint'
    solution = nbs.read(nbs.NBS / 'solutions' / path.name)['cells']
    prose = '\n'.join(''.join(c['source']) for c in solution if c['cell_type'] == 'markdown')
    solved = [int(o) for o in re.findall(r'(?m)^(?:#+ |\*\*)(\d+)\. ', prose)]
    assert set(range(1, len(found) + 1)) <= set(solved), 'an exercise has no solution'
    assert len(nbs.questions(path)) >= 10, f'{len(nbs.questions(path))} questions'
    assert all(len(a.split()) >= 2 for _, a in nbs.questions(path))


def test_enough_to_do():
    "Over the course."
    assert sum(len(find_exercises(nbs.read(p)['cells'])) for p in CHAPTERS) >= 70
    assert sum(len(nbs.questions(p)) for p in CHAPTERS) >= 180


@pytest.mark.slow
def test_check_a_solved_chapter(tmp_path, monkeypatch):
    "Chapter 04 with the answers of its solutions: all done; without one of them: that one is named."
    nb = nbs.read(nbs.NBS / '04_lm_dataloader.ipynb')
    answers = {
        m: ''.join(c['source'])
        for c in nbs.read(nbs.NBS / 'solutions' / '04_lm_dataloader.ipynb')['cells']
        if c['cell_type'] == 'code'
        for m in re.findall(
            r"assert (check_\w+)\(.*\)(?: == |\.startswith\()'well done'", ''.join(c['source'])
        )
    }
    exercises = find_exercises(nb['cells'])
    for o in exercises[1:]:
        source = ''.join(nb['cells'][o.cell]['source'])
        check = re.findall(r'check_\w+', source)[-1]
        nb['cells'][o.cell]['source'] = f'{answers[check]}\n{source.splitlines()[-1]}'
    trains = [
        c
        for c in nb['cells']
        if c['cell_type'] == 'code' and re.search(r'\bways\b|\bcolumns\[', ''.join(c['source']))
    ]
    for c in trains:  # the six trainings and their pictures, which no exercise needs
        c['source'] = '#| slow\n' + ''.join(c['source'])
    mine = tmp_path / '04_lm_dataloader.ipynb'
    mine.write_text(json.dumps(nb))
    kernels = []

    def noted():
        kernels.append(_kernel_manager())
        return kernels[-1]

    monkeypatch.setattr('nlpdeep.classroom._kernel_manager', noted)
    verdicts = check_chapter(mine)
    assert len(kernels) == 1 and not kernels[0].has_kernel, 'the kernel is left behind'
    assert [v.done for v in verdicts] == [False] + [True] * 5, verdicts
    assert verdicts[0].says.startswith('not yet') and mine.read_text() == json.dumps(nb)
