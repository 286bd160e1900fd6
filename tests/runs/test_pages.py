"""Pages drawn again from what lies on disk, and what they say when a file is gone."""

import getpass
import json
import os
import platform
import re
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.io import read_failures, read_rows
from plausible.report import case_from_json
from plausible.runs.cohort import write_cohort
from plausible.runs.pages import draw_case
from plausible.runs.report import draw_pages
from tests.cli.program import contents, run, told
from tests.runs.studies import LIMIT, SHAPE, SUBJECTS

ABSOLUTE = re.compile(r"(?<![\w./:$}<-])/(?:work|tmp|home|root|Users|mnt|opt|var|private)/[\w.]")


def test_report_draws_the_same_pages(own_scored):
    before = contents(own_scored.out)
    for path in own_scored.out.rglob("*.html"):
        path.unlink()
    done = told("report", "-i", own_scored.out)
    assert (done["cases"], done["failed"], done["failures"], done["problems"]) == (3, 0, [], [])
    assert contents(own_scored.out) == before


def test_a_smaller_budget_gives_a_smaller_page(own_scored):
    before = (own_scored.out / "case_b" / "case.html").stat().st_size
    draw_pages(own_scored.out, subjects=["case_b"], max_mb=0.1, overwrite=True)
    assert (own_scored.out / "case_b" / "case.html").stat().st_size < min(before, 100_000)


@pytest.mark.usefixtures("quick_pages")
def test_only_pages_that_are_older_than_their_numbers_are_drawn(own):
    seen = []
    (own.out / "case_b" / "case.html").unlink()
    os.utime(own.out / "case_c" / "case.html", (0, 0))
    assert draw_pages(own.out, on_case=lambda *told: seen.append(told)) == ()
    assert seen == [("case_b", 1, 2, "ok"), ("case_c", 2, 2, "ok")]


@pytest.mark.usefixtures("quick_pages")
def test_an_image_that_moved_away_is_told_and_the_page_drawn_without_it(own_scored):
    shutil.rmtree(own_scored.images)
    (own_scored.references / "case_a.nii.gz").unlink()
    done = told("report", "-i", own_scored.out)
    assert {(one["subject"], one["code"], one["file"]) for one in done["problems"]} == {
        *((subject, "E109", f"{subject}_0000.nii.gz") for subject in SUBJECTS),
        ("case_a", "E106", "case_a.nii.gz"),
    }
    page = (own_scored.out / "case_b" / "case.html").read_text("utf-8")
    assert "Not shown: case_b_0000.nii.gz: it is no longer where it was." in page
    assert "no longer where it was" in run("report", "-i", own_scored.out, "-q").stderr


@pytest.mark.usefixtures("quick_pages")
def test_an_image_that_is_damaged_is_told_by_its_own_error(own):
    path = own.images / "case_b_0000.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    (problem,) = draw_case(own.out / "case_b")
    assert (problem.code, problem.severity, problem.subject) == ("E305", "warning", "case_b")
    page = (own.out / "case_b" / "case.html").read_text("utf-8")
    assert f"Not shown: case_b_0000.nii.gz: {problem.found}." in page
    assert str(own.root) not in page


@pytest.mark.parametrize("lost", ["probability.nii.gz", "probability.json", "segmentation.json"])
def test_a_result_that_is_damaged_is_an_error_that_names_it(lost, own):
    path = own.out / "case_b" / lost
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InvalidInput) as error:
        draw_case(own.out / "case_b")
    assert (error.value.problem.code, error.value.problem.file) == ("E305", lost)
    done = told("report", "-i", own.out, code=3)
    assert [one["file"] for one in done["failures"]] == [lost]


def test_a_damaged_case_is_a_failure_of_the_report_and_the_others_are_shown(own):
    (own.out / "case_b" / "case.json").write_text('{"schema_version": "1.0"}')
    report = write_cohort(own.out)
    assert [(one.subject, one.stage, one.code) for one in report.failures] == [("case_b", "report", "E305")]
    assert {line.subject for line in report.lines} == {"case_a", "case_c"}


def test_a_folder_without_results_says_what_makes_them(tmp_path):
    assert "plausible assess" in run("report", "-i", tmp_path, code=2).stderr
    assert "plausible assess" in run("report", "-i", tmp_path / "nowhere", code=2).stderr
    assert "plausible assess" in run("report", code=2).stderr


def test_a_reference_that_went_bad_takes_its_scores_away_and_nothing_else(own_scored):
    maps = contents(own_scored.out, ".nii.gz", "case.json")
    assert "NSD" in (own_scored.out / "case_b" / "case.html").read_text("utf-8")
    path = own_scored.references / "case_b.nii.gz"
    nib.Nifti1Image(np.full(SHAPE, 9, np.uint8), nib.load(path).affine).to_filename(str(path))
    done = told("assess", *own_scored.scored_line, *LIMIT, code=3)
    assert [(one["subject"], one["code"]) for one in done["failures"]] == [("case_b", "E303")]
    assert [stage for stage, _ in read_failures(own_scored.out / "failures.csv")] == ["evaluate"]
    after = contents(own_scored.out, ".nii.gz", "case.json")
    assert {name for name in maps if after[name] != maps[name]} <= {"case_b/case.json"}  # its inputs' hashes
    assert "NSD" not in (own_scored.out / "case_b" / "case.html").read_text("utf-8")
    rows = read_rows(own_scored.out / "scores.csv")
    assert {row.subject for row in rows if row.against} == {"case_a", "case_c"}
    assert {row.subject for row in rows} == set(SUBJECTS)


def test_nothing_of_the_machine_is_in_the_results(scored):
    ours = {str(Path.home()), str(scored.root), getpass.getuser() + "@"}
    texts = {name: data.decode("utf-8") for name, data in contents(scored.out, ".json", ".html", ".csv").items()}
    assert len(texts) > 20
    for name, text in texts.items():
        assert not ABSOLUTE.search(text), name
        assert not [one for one in ours if one in text], name
        assert not re.search(rf"\b{re.escape(platform.node())}\b", text), name


def test_inputs_are_named_as_seen_from_the_results(scored):
    report = case_from_json((scored.out / "case_a" / "case.json").read_text("utf-8"))
    assert report.image == ("../images/case_a_0000.nii.gz",)
    evaluated = json.loads((scored.out / "case_a" / "evaluation.json").read_text("utf-8"))
    assert evaluated["references"] == ["../labels/case_a.nii.gz"]
    assert "image/case_a_0000.nii.gz" in report.provenance["inputs"]
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in report.provenance["inputs"].values())
