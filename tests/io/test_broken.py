"""Each broken study is told by its code, and stops no more than it must: the whole study, one case, or nothing."""

import warnings
from pathlib import Path

import pytest

from plausible.core import PROBLEMS, Case, InvalidInput, Problem, Study
from plausible.core.problems import ProblemWarning
from plausible.io import problems_of, read_study
from tests.io.broken import BROKEN, SUBJECTS, BrokenStudy, sound, sound_labels, sound_store


def walked(case: Case) -> tuple[list[Problem], list[Problem]]:
    """What stops the members or the raters of a case, and what they warn of."""
    stopping, warned = [], []
    for load in (case.members, case.raters):
        try:
            members = load()
            for _ in members or ():
                pass
            warned += problems_of(members.sources) if members else []
        except InvalidInput as error:
            stopping.append(error.problem)
    return stopping, warned


def opened(broken: BrokenStudy) -> Study | Problem:
    try:
        return read_study(broken.members, images=broken.images, references=broken.references)
    except InvalidInput as error:
        return error.problem


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ProblemWarning)
        yield


@pytest.mark.parametrize("make", [sound, sound_labels, sound_store])
def test_a_sound_study_has_no_problem(tmp_path: Path, make) -> None:
    members, images, references = make(tmp_path)
    study = read_study(members, images=images, references=references)
    assert study.problems == ()
    assert [walked(case) for case in study] == [([], [])] * 3
    assert all(case.image() is not None for case in study)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_and_stops_no_more_than_it_must(tmp_path: Path, name: str) -> None:
    broken = BROKEN[name](tmp_path)
    study = opened(broken)
    if isinstance(study, Problem):
        assert (study.code, broken.stops) == (broken.code, "study")
        assert study.fix
        return
    stopped = {case.subject: walked(case)[0] for case in study}
    if broken.stops == "study":
        assert all([p.code for p in problems] == [broken.code] for problems in stopped.values())
        return
    told = {case.subject: {problem.code for problem in stopped[case.subject]} for case in study}
    expected = {broken.code} if broken.stops == "case" else set()
    assert told.pop(broken.bad_subject or "", set()) == expected
    assert set(told) == set(SUBJECTS) - {broken.bad_subject}
    assert not any(told.values())


def test_every_problem_of_a_study_s_input_has_a_broken_study() -> None:
    shown = {BROKEN[name].__name__ for name in BROKEN}
    assert len(shown) == len(BROKEN)
    of_input = {code for code in PROBLEMS if code < "E314"} - {"E206"}  # which only a model's spacing tells
    source = Path(__file__).with_name("broken.py").read_text()
    assert {code for code in of_input if f'"{code}"' not in source} == set()
