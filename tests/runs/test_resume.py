"""What is done is kept, what differs is done again, and what cannot be done stops nobody."""

import json
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from plausible.io import read_failures, read_rows
from tests.cli.program import contents, records, run, told
from tests.runs.studies import LIMIT, SUBJECTS, OnDisk

pytestmark = pytest.mark.usefixtures("quick_pages")


def again(study: OnDisk, *options: object, code: int = 0) -> dict:
    return told("assess", *study.line, *LIMIT, *options, code=code)


def scored_again(study: OnDisk, *options: object, code: int = 0) -> dict:
    return told("assess", *study.scored_line, *LIMIT, *options, code=code)


def change(path: Path) -> None:
    """Give one voxel of a file another value."""
    image = nib.load(path)
    values = np.asarray(image.dataobj).copy()
    values[0, 0, 0] = 0 if values[0, 0, 0] else 1
    nib.Nifti1Image(values, image.affine).to_filename(str(path))


def spoil(path: Path) -> bytes:
    """Cut a file in half; return what it was."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return data


def test_a_second_run_keeps_everything_and_changes_no_byte(own_scored):
    before = contents(own_scored.out)
    done = scored_again(own_scored)
    assert (done["new"], done["kept"]) == ([], list(SUBJECTS))
    assert contents(own_scored.out) == before


def test_kept_cases_are_called_so(own):
    done = run("assess", *(option for option in own.line if option != "-q"), *LIMIT)
    assert "case_b assess 2/3" in done.stderr
    assert done.stderr.count(" kept") == len(SUBJECTS)
    assert "0 cases done, 3 kept from before, 0 failed" in done.stdout


def test_results_that_moved_with_their_inputs_are_kept(own, tmp_path):
    shutil.move(own.root, tmp_path / "elsewhere")
    assert again(OnDisk(tmp_path / "elsewhere"))["kept"] == list(SUBJECTS)


def test_other_settings_do_every_case_again(own):
    done = again(own, "--boundary-mm", 3)
    assert done["new"] == list(SUBJECTS)
    assert json.loads((own.out / "run.json").read_text("utf-8"))["settings"]["boundary_mm"] == 3


def test_another_scoring_scores_again_and_leaves_the_maps(own_scored):
    before = contents(own_scored.out, ".nii.gz", "case.json")
    assert scored_again(own_scored, "--tolerance-mm", 3)["new"] == []
    assert contents(own_scored.out, ".nii.gz", "case.json") == before
    rows = read_rows(own_scored.out / "scores.csv")
    assert {row.region for row in rows if row.measure == "normalized_surface_dice"} == {"tolerance_3_mm"}


@pytest.mark.parametrize("changed", ["image", "member"])
def test_another_input_does_exactly_this_case_again(changed, own):
    before = records(own.out)
    if changed == "image":
        change(own.images / "case_b_0000.nii.gz")
    else:
        for ending in (".npz", ".nii.gz"):
            shutil.copy(own.members / "fold_1" / f"case_a{ending}", own.members / "fold_1" / f"case_b{ending}")
    assert again(own)["new"] == ["case_b"]
    after = records(own.out)
    assert after["case_b/case.json"] != before["case_b/case.json"]
    assert all(after[name] == before[name] for name in after if name.startswith(("case_a", "case_c")))


def test_another_reference_scores_exactly_this_case_again(own_scored):
    before = records(own_scored.out)
    change(own_scored.references / "case_b.nii.gz")
    scored_again(own_scored)
    after = records(own_scored.out)
    changed = {name for name in after if name.endswith("evaluation.json") and after[name] != before[name]}
    assert changed == {"case_b/evaluation.json"}


@pytest.mark.parametrize("lost", ["mutual_information.nii.gz", "probability.json", "segmentation.nii.gz", "case.json"])
def test_a_file_that_is_gone_is_made_again_as_it_was(lost, own):
    maps, before = contents(own.out, ".nii.gz"), records(own.out)
    (own.out / "case_b" / lost).unlink()
    assert again(own)["new"] == ["case_b"]
    assert contents(own.out, ".nii.gz") == maps
    after = records(own.out)
    assert {name for name in after if after[name] != before[name]} == {"run.json", "cohort.json"}
    after["cohort.json"]["provenance"] = before["cohort.json"]["provenance"]
    assert after["cohort.json"] == before["cohort.json"]


def test_a_damaged_record_is_made_again(own_scored):
    whole = records(own_scored.out)
    spoil(own_scored.out / "case_a" / "case.json")
    spoil(own_scored.out / "case_b" / "evaluation.json")
    assert scored_again(own_scored)["new"] == ["case_a"]
    after = records(own_scored.out)
    assert all(after[name] == whole[name] for name in whole if name.startswith("case_"))


def test_a_missing_page_is_drawn_again(own):
    before = (own.out / "case_b" / "case.html").read_bytes()
    (own.out / "case_b" / "case.html").unlink()
    assert again(own)["new"] == []
    assert (own.out / "case_b" / "case.html").read_bytes() == before


def test_overwrite_makes_all_anew(own):
    before = contents(own.out, ".nii.gz")
    assert again(own, "--overwrite")["new"] == list(SUBJECTS)
    assert contents(own.out, ".nii.gz") == before


def test_what_a_killed_run_left_half_written_is_cleared_away(own):
    half = own.out / "case_b" / ".tmp-other_machine-1-probability.nii.gz"
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    (own.out / "case_b" / "case.json").unlink()
    again(own)
    assert not half.exists()


def test_a_case_that_went_bad_is_listed_the_others_stay_and_mending_it_clears_it(own):
    before, bad = contents(own.out), own.members / "fold_1" / "case_b.npz"
    good = spoil(bad)
    done = again(own, code=3)
    assert [(one["subject"], one["member"], one["code"]) for one in done["failures"]] == [("case_b", "fold_1", "E305")]
    ((stage, problem),) = read_failures(own.out / "failures.csv")
    assert (stage, problem.subject, problem.code) == ("assess", "case_b", "E305")
    after = contents(own.out)
    assert all(after[name] == before[name] for name in before if name.startswith(("case_a", "case_c")))
    assert not {name for name in after if name.startswith("case_b/case.")}
    page = (own.out / "cohort.html").read_text("utf-8")
    assert "1 of 3 cases could not be done" in page
    assert problem.fix in page
    assert {row.subject for row in read_rows(own.out / "scores.csv")} == {"case_a", "case_c"}

    bad.write_bytes(good)
    assert again(own)["new"] == ["case_b"]
    assert read_failures(own.out / "failures.csv") == []
    assert "could not be done" not in (own.out / "cohort.html").read_text("utf-8")
    assert contents(own.out, ".nii.gz") == {name: data for name, data in before.items() if name.endswith(".nii.gz")}
    assert not list(own.out.rglob("failure.json"))


def test_an_input_that_cannot_be_opened_is_a_bad_case(own):
    (own.images / "case_b_0000.nii.gz").unlink()
    (own.images / "case_b_0000.nii.gz").symlink_to("nowhere.nii.gz")
    done = again(own, code=3)
    assert [(one["subject"], one["code"]) for one in done["failures"]] == [("case_b", "E305")]
    assert str(own.root) not in json.dumps(done["failures"])


def test_cases_of_earlier_runs_are_shown_and_told(own):
    for path in own.members.glob("*/case_c.*"):
        path.unlink()
    assert again(own)["from_before"] == ["case_c"]
    assert "from earlier runs into this folder: case_c" in run("assess", *own.line, *LIMIT).stdout
