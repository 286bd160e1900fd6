"""Scores against references: alone, after an assessment, and against several raters."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from plausible.core import Geometry
from plausible.evaluate import BOX_MARGIN_MM, N_BINS, evaluate_case, evaluate_cohort
from plausible.io import read_rows, read_study
from plausible.report import case_from_json, cohort_from_json
from plausible.runs.cohort import SUMMARY_MEASURES
from plausible.runs.pages import read_case, read_evaluation
from plausible.runs.settings import EvaluateSettings
from tests.cli.program import contents, run, told
from tests.io.folders import save_nifti
from tests.runs.studies import SHAPE, SUBJECTS


def cohort_of(out):
    return cohort_from_json((out / "cohort.json").read_text("utf-8"))


def plain(rows) -> list[dict]:
    return [row.to_dict() for row in rows]


def test_defaults_are_those_of_the_library():
    assert (EvaluateSettings().n_bins, EvaluateSettings().box_margin_mm) == (N_BINS, BOX_MARGIN_MM)


def test_rows_are_those_of_the_library(scored):
    study = read_study(scored.members, images=scored.images, references=scored.references)
    case = study.case("case_b")
    expected = evaluate_case(case.members(), case.raters(), tolerance_mm=2.0, subject="case_b").rows
    written = read_evaluation(scored.out / "case_b").rows
    assert plain(row for row in written if row.against) == plain(expected)
    listed = [row for row in read_rows(scored.out / "scores.csv") if row.subject == "case_b" and row.against]
    assert plain(listed) == plain(expected)


def test_no_row_is_written_twice(scored):
    keys = [(row.subject, row.key) for row in read_rows(scored.out / "scores.csv")]
    assert len(keys) == len(set(keys))
    assert {subject for subject, _ in keys} == set(SUBJECTS)


def test_cohort_numbers_are_those_of_the_library(scored):
    rows = read_rows(scored.out / "scores.csv")
    bins = [one for subject in SUBJECTS for one in read_evaluation(scored.out / subject).reliability]
    expected, cohort = evaluate_cohort(rows, bins, seed=0, n_resamples=20), cohort_of(scored.out)
    lines = [line for line in expected.summary if line.measure in SUMMARY_MEASURES]
    assert len(lines) > 20
    for line, written in zip(lines, cohort.summary, strict=True):
        for name in ("measure", "structure", "region", "mean", "low", "high", "n", "n_undefined", "unit"):
            assert written[name] == pytest.approx(getattr(line, name), nan_ok=True), (line, name)
        assert written["of"] == line.reduction
    for curve, shown in zip(expected.reliability, cohort.reliability, strict=True):
        np.testing.assert_array_equal(shown.accuracy, curve.accuracy)
        assert shown.ece.value == curve.ece.value
    for curve, shown in zip(expected.risk_coverage, cohort.risk_coverage, strict=True):
        assert (shown.structure, shown.selective_risk) == (curve.structure, curve.selective_risk)
        assert (shown.aurc.value, shown.aurc.low) == (curve.aurc.value, curve.aurc.low)


def test_the_page_shows_the_scores_that_the_table_has(scored):
    report = read_case(scored.out / "case_a")
    rows = read_rows(scored.out / "scores.csv")
    for one in report.structures:
        (dice,) = [
            row.value
            for row in rows
            if (row.subject, row.structure, row.measure, row.reduction) == ("case_a", one.name, "dice", "ensemble")
        ]
        assert one.reference["dice"] == dice
        assert one.reference_volume_ml > 0
    page = (scored.out / "case_a" / "case.html").read_text("utf-8")
    assert "NSD" in page
    assert f"{report.structures[0].reference['dice']:.2f}" in page


def test_scores_do_not_change_what_assess_wrote(assessed, scored):
    maps = contents(scored.out, ".nii.gz")
    assert maps == contents(assessed.out, ".nii.gz")
    before, after = (
        case_from_json((out / "case_a" / "case.json").read_text("utf-8")) for out in (assessed.out, scored.out)
    )
    assert after.scores == before.scores
    assert after.verdict == before.verdict


def test_alone_there_are_scores_and_no_case_pages(fresh):
    done = told("evaluate", *fresh.scored_line)
    assert done["new"] == list(SUBJECTS)
    assert not list(fresh.out.rglob("case.*"))
    cohort = cohort_of(fresh.out)
    assert (cohort.n_cases, cohort.lines, cohort.study) == (3, (), "members")
    assert cohort.provenance["command"].startswith("evaluate --tolerance-mm 2.0")
    assert cohort.risk_coverage
    rows = read_rows(fresh.out / "scores.csv")
    assert {"dice", "mean_pairwise_dice", "volume_mean"} <= {row.measure for row in rows}
    assert json.loads((fresh.out / "run.json").read_text("utf-8"))["extra"]["cases"]["new"] == 3


@pytest.mark.usefixtures("quick_pages")
def test_after_assess_gives_what_assess_with_references_gives(own, scored):
    told("evaluate", *own.scored_line)
    found, expected = cohort_of(own.out), cohort_of(scored.out)
    assert found.lines == expected.lines
    assert found.lines[0].reference
    assert (own.out / "scores.csv").read_bytes() == (scored.out / "scores.csv").read_bytes()


@pytest.mark.usefixtures("quick_pages")
def test_several_raters_are_scored_one_by_one_and_averaged_per_subject(own):
    second = own.root / "labels_2"
    second.mkdir()
    for subject, other in pairwise(SUBJECTS):  # case_c has one rater only
        shutil.copy(own.references / f"{other}.nii.gz", second / f"{subject}.nii.gz")
    raters = ("--references", f"anna={own.references}", "--references", f"ben={second}")
    done = told("evaluate", *own.line, *raters)
    assert {(one["code"], one["subject"], one["member"]) for one in done["problems"]} == {("E106", "case_c", "ben")}
    rows = [row for row in read_rows(own.out / "scores.csv") if row.measure == "dice" and row.reduction == "ensemble"]
    assert {(row.subject, row.against) for row in rows if row.structure == "liver"} == {
        *((subject, "anna") for subject in SUBJECTS),
        ("case_a", "ben"),
        ("case_b", "ben"),
    }
    of_case = [row.value for row in rows if (row.subject, row.structure) == ("case_a", "liver")]
    assert read_case(own.out / "case_a").structures[0].reference["dice"] == pytest.approx(np.mean(of_case))
    per_subject = [np.mean([r.value for r in rows if (r.subject, r.structure) == (s, "liver")]) for s in SUBJECTS]
    (line,) = [one for one in cohort_of(own.out).summary if summed(one) == ("dice", "liver", "ensemble")]
    assert (line["n"], line["mean"]) == (3, pytest.approx(np.mean(per_subject)))


def test_the_last_lines_tell_the_dice_of_each_structure(own_scored):
    lines = run("evaluate", *own_scored.scored_line).stdout.splitlines()
    assert lines[0].startswith("0 cases done, 3 kept from before, 0 failed, ")
    first = lines.index("Dice of the members' mean, over cases:") + 1
    dice = {one["structure"]: one for one in cohort_of(own_scored.out).summary if one["measure"] == "dice"}
    assert [line.split()[3:] for line in lines[first : first + 3]] == [[name, "n", "3"] for name in dice]
    (liver,) = [one for one in cohort_of(own_scored.out).summary if summed(one) == ("dice", "liver", "ensemble")]
    assert lines[first] == f"  {liver['mean']:.3f} [{liver['low']:.3f}, {liver['high']:.3f}]  liver  n 3"


def summed(row) -> tuple[str, str, str]:
    return row["measure"], row["structure"], row["of"]


def test_cases_without_a_reference_are_assessed_and_told(own):
    (own.references / "case_b.nii.gz").unlink()
    done = told("evaluate", *own.scored_line, "--dry-run")
    assert done["cases"] == ["case_a", "case_c"]
    assert [(one["code"], one["subject"]) for one in done["problems"]] == [("E106", "case_b")]


def test_without_any_reference_the_option_is_named(own):
    error = run("evaluate", *own.line, code=2).stderr
    assert "no case has a reference" in error
    assert "--references" in error


def test_a_reference_on_a_grid_of_its_own_is_refused_and_named(fresh, grid):
    moved = np.array(grid.affine)
    moved[0, 3] += 3
    save_nifti(fresh.references / "case_b.nii.gz", np.zeros(SHAPE, np.uint8), Geometry(SHAPE, moved))
    done = told("evaluate", *fresh.scored_line, code=3)
    assert [(one["subject"], one["member"], one["code"]) for one in done["failures"]] == [
        ("case_b", "reference", "E201")
    ]
