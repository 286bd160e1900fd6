import shutil
from collections.abc import Iterator
from functools import partial

import pytest

from plausible.evaluate import evaluate_cohort
from plausible.report import CaseReport
from plausible.runs import cohort, pages
from tests.cli.program import run
from tests.runs.studies import LIMIT, OnDisk, small_grid, write_study


@pytest.fixture(scope="session", autouse=True)
def few_draws() -> Iterator[None]:
    """Intervals from 20 draws instead of 10 000: with shapes checked at each draw they would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cohort, "evaluate_cohort", partial(evaluate_cohort, n_resamples=20))
        yield


def quick_page(report: CaseReport, **_: object) -> str:
    """A page of its warnings only."""
    return " ".join(("<!doctype html>", *report.warnings))


@pytest.fixture
def quick_pages(monkeypatch) -> None:
    """Case pages that say their warnings only, for tests that are about something else."""
    monkeypatch.setattr(pages, "case_page", quick_page)


@pytest.fixture(scope="session")
def grid(geometry):
    return small_grid(geometry)


@pytest.fixture(scope="session")
def assessed(geometry, classes, few_draws, tmp_path_factory) -> OnDisk:
    """A study assessed once, with quick pages; for reading only."""
    study = write_study(tmp_path_factory.mktemp("assessed"), geometry, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "case_page", quick_page)
        run("assess", *study.line, *LIMIT)
    return study


@pytest.fixture(scope="session")
def scored(assessed, tmp_path_factory) -> OnDisk:
    """The same with scores and whole pages; for reading only."""
    study = OnDisk(tmp_path_factory.mktemp("scored") / "study")
    shutil.copytree(assessed.root, study.root)
    run("assess", *study.scored_line, *LIMIT)
    return study


@pytest.fixture
def own(assessed, tmp_path) -> OnDisk:
    """A copy of the assessed study, with its results, to do as one likes with."""
    shutil.copytree(assessed.root, tmp_path / "own")
    return OnDisk(tmp_path / "own")


@pytest.fixture
def own_scored(scored, tmp_path) -> OnDisk:
    """A copy of the scored study, with its results, to do as one likes with."""
    shutil.copytree(scored.root, tmp_path / "own")
    return OnDisk(tmp_path / "own")


@pytest.fixture
def fresh(own) -> OnDisk:
    """A copy of the study without results."""
    shutil.rmtree(own.out)
    return own
