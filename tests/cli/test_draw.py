"""`plausible draw`: from soft maps to masks that assess reads, in the line the verb suggests."""

import json
import shlex

import numpy as np
import pytest

from tests.cli.program import contents, run, told
from tests.io.folders import label_study
from tests.runs.studies import small_grid

pytestmark = pytest.mark.usefixtures("quick_pages", "no_cohort_numbers")


def test_the_line_that_draw_suggests_works(study, tmp_path):
    store = tmp_path / "draws"
    said = run(
        "draw", "-i", study.members, "-o", store, "--samples", 3, "--correlation-mm", 4, "-q"
    ).stdout.splitlines()
    assert said == [
        "3 draws of a Gaussian-field copula, correlation length 4 mm: 9 masks drawn, 0 kept from before, "
        "0 cases failed",
        f"next: plausible assess -i {store} -o OUT --images IMAGES",
    ]
    line = said[1].removeprefix("next: plausible ").replace("OUT", str(tmp_path / "out"))
    run(*shlex.split(line.replace("IMAGES", str(study.images))), "-q")
    report = json.loads((tmp_path / "out" / "case_b" / "case.json").read_text("utf-8"))
    assert report["ensemble"] == "3 draws of a Gaussian-field copula, correlation length 4 mm"
    assert [one["draw"] for one in report["members"]] == [0, 1, 2]


def test_the_folder_of_one_tool_is_enough(study, tmp_path):
    """nnU-Net's own output: one folder with CASE.npz, no members beside it."""
    done = told("draw", "-i", study.members / "fold_0", "-o", tmp_path / "draws", "--samples", 2, "-q")
    assert (done["written"], done["kept"], done["failures"]) == (6, 0, [])
    again = told("draw", "-i", study.members / "fold_0", "-o", tmp_path / "draws", "--samples", 2, "-q")
    assert (again["written"], again["kept"]) == (0, 6)


def test_a_dry_run_writes_nothing(study, tmp_path):
    line = ("draw", "-i", study.members, "-o", tmp_path / "draws", "--dry-run")
    assert told(*line)["cases"] == ["case_a", "case_b", "case_c"]
    assert "3 cases; would write 10 draws" in run(*line).stdout
    assert not (tmp_path / "draws").exists()


def test_parts_are_parts_of_the_cases(study, tmp_path):
    line = ("draw", "-i", study.members, "-o", tmp_path / "d", "--samples", 1, "--num-parts", 2, "--part-id", 1, "-q")
    assert told(*line)["written"] == 1
    assert set(contents(tmp_path / "d")) == {"members.json", "draw_0/case_b.zarr.zip"}


def test_label_maps_end_with_one_clear_error(geometry, classes, tmp_path):
    grid = small_grid(geometry)
    label_study(tmp_path / "labels", {"case_a": [np.zeros(grid.shape, int)]}, grid, classes)
    line = ("draw", "-i", tmp_path / "labels", "-o", tmp_path / "draws", "-q")
    assert [one["code"] for one in told(*line, code=4)["failures"]] == ["E315"]
    assert "plausible assess" in run(*line, code=4).stderr


@pytest.mark.parametrize("wrong", [("--correlation-mm", -1), ("--coherence", 0), ("--fields", "none")])
def test_wrong_settings_are_usage_errors(wrong, study, tmp_path):
    run("draw", "-i", study.members, "-o", tmp_path / "draws", *wrong, code=2)
