"""Killed at any moment and run again, assess ends with the results of a run that nobody disturbed."""

import os
import platform
import shutil
from pathlib import Path

import pytest

from plausible.runs import pages
from tests.cli.program import contents, records, run, run_until_killed, told
from tests.runs.conftest import quick_page
from tests.runs.studies import LIMIT, OnDisk, write_study

NOBODY = 999_999_999
"""No process has this number."""


pytestmark = pytest.mark.usefixtures("quick_pages")


class Killed(BaseException):
    """Stands for SIGKILL inside this process: nothing of ours catches it."""


@pytest.fixture(scope="module")
def whole(geometry, classes, few_draws, tmp_path_factory) -> OnDisk:
    """A study assessed and scored without a disturbance."""
    study = write_study(tmp_path_factory.mktemp("whole"), geometry, classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "case_page", quick_page)
        run("assess", *study.scored_line, *LIMIT)
    return study


@pytest.fixture
def again(whole, tmp_path) -> OnDisk:
    """The same study without results."""
    shutil.copytree(whole.root, tmp_path / "again", ignore=shutil.ignore_patterns("out"))
    return OnDisk(tmp_path / "again")


def results(study: OnDisk) -> dict:
    """Every file but pages as it is, JSON without times and without how many cases were there already."""
    found = records(study.out)
    for name in ("run.json", "cohort.json"):
        made = found[name].get("provenance", found[name])
        made["extra"].pop("cases")
    return {**contents(study.out, ".nii.gz", ".csv"), **found}


def kill_at(patch: pytest.MonkeyPatch, at: int) -> list[str]:
    """Stop the program when its N-th file would take its place, and leave the file behind cut in half."""
    replace, seen = os.replace, list[str]()

    def dying(source, target) -> None:
        seen.append(Path(target).name)
        if len(seen) == at:
            left = Path(target).with_name(f".tmp-{platform.node()}-{NOBODY}-{seen[-1]}")
            left.write_bytes(Path(source).read_bytes()[: Path(source).stat().st_size // 2])
            raise Killed
        replace(source, target)

    patch.setattr(os, "replace", dying)
    return seen


def test_killed_with_sigkill_and_rerun(whole, again):
    run_until_killed("assess", *again.scored_line, *LIMIT, at=17)
    assert [path.parent.name for path in again.out.glob("*/case.json")] == ["case_a"]
    (half,) = again.out.rglob(".tmp-*")
    assert half.parent.name == "case_b"
    done = told("assess", *again.scored_line, *LIMIT)
    assert (done["kept"], done["new"]) == (["case_a"], ["case_b", "case_c"])
    assert results(again) == results(whole)
    assert not list(again.out.rglob(".tmp-*"))


@pytest.mark.parametrize(
    ("at", "name"),
    [
        (3, "probability.nii.gz"),
        (35, "evaluation.json"),
        (44, "cohort.html"),
    ],
)
def test_stopped_at_any_file_and_rerun(at, name, whole, again, monkeypatch):
    with monkeypatch.context() as patch:
        seen = kill_at(patch, at)
        with pytest.raises(Killed):
            run("assess", *again.scored_line, *LIMIT)
        assert seen[-1] == name
    run("assess", *again.scored_line, *LIMIT)
    assert results(again) == results(whole)
