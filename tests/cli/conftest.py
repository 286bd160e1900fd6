import json

import pytest

from plausible.evaluate import CohortEvaluation
from plausible.runs import cohort
from tests.cli.program import run
from tests.runs.conftest import few_draws, quick_pages
from tests.runs.studies import OnDisk, write_study
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY_OPTIONS, write_dataset

__all__ = ["few_draws", "quick_pages"]

NOTHING = CohortEvaluation(summary=(), reliability=(), risk_coverage=())


@pytest.fixture
def study(geometry, classes, tmp_path) -> OnDisk:
    """A study without results."""
    return write_study(tmp_path / "study", geometry, classes)


@pytest.fixture
def no_cohort_numbers(monkeypatch) -> None:
    """A cohort without means and intervals, for tests that are about something else."""
    monkeypatch.setattr(cohort, "evaluate_cohort", lambda *_, **__: NOTHING)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    """A tiny nnU-Net raw dataset, and a split of it beside it."""
    folder = write_dataset(tmp_path_factory.mktemp("data") / "Dataset001_balls")
    split = {"train": SPLIT.train, "validation": SPLIT.validation}
    (folder.parent / "split.json").write_text(json.dumps(split))
    return folder


@pytest.fixture(scope="session")
def model(dataset, tmp_path_factory):
    """A tiny deep ensemble of two, trained by the program."""
    folder = tmp_path_factory.mktemp("trained") / "model"
    run("train", dataset, "-o", folder, "--split", dataset.parent / "split.json", *TINY_OPTIONS)
    return folder
