"""`plausible evaluate` with a choice of reference, lesions, protocols, and what its table of confidences says."""

import csv
import json
import shutil

import numpy as np
import pytest

from plausible.core import select
from plausible.evaluate import ceiling_rows
from plausible.io import read_rows, read_study
from plausible.report import cohort_from_json
from plausible.runs.pages import read_case, read_evaluation
from tests.cli.program import run, told
from tests.runs.studies import SUBJECTS

PEOPLE = ("anna", "ben", "cleo")


@pytest.fixture(scope="module")
def chosen(assessed, tmp_path_factory):
    """A study with three raters, scored against two choices of reference; for reading only."""
    root = tmp_path_factory.mktemp("chosen") / "study"
    shutil.copytree(assessed.root, root)
    own = type(assessed)(root)
    lesions = ("--lesion-connectivity", 26, "--lesion-iou", 0.1)
    choices = ("--reference", "consensus_staple", "--reference", "each")
    told("evaluate", *own.line, *raters(own), *choices, *lesions, "--protocol", "curvas_2024", "--failure", "dice<0.3")
    return own


def raters(own) -> tuple[object, ...]:
    """Three folders of references: of each case another case's labels."""
    found: list[object] = []
    for shift, name in enumerate(PEOPLE):
        folder = own.root / f"labels_{name}"
        folder.mkdir(exist_ok=True)
        for place, subject in enumerate(SUBJECTS):
            other = SUBJECTS[(place + shift) % len(SUBJECTS)]
            shutil.copy(own.references / f"{other}.nii.gz", folder / f"{subject}.nii.gz")
        found += ["--references", f"{name}={folder}"]
    return tuple(found)


def detection(out) -> list[dict[str, str]]:
    with (out / "detection.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_every_choice_and_the_raters(chosen):
    rows = read_rows(chosen.out / "scores.csv")
    dice = select(rows, subject="case_a", structure="liver", measure="dice")
    assert {row.against for row in dice if row.reduction == "ensemble"} == {"consensus_staple", *PEOPLE}
    people = {(row.reduction, row.against) for row in dice if row.reduction.startswith("rater:")}
    pairs = {(f"rater:{a}", b) for a in PEOPLE for b in PEOPLE if a != b}
    assert people == pairs | {(f"rater:{a}", f"consensus_staple:without_{a}") for a in PEOPLE}
    keys = [(row.subject, row.key) for row in rows]
    assert len(set(keys)) == len(keys)
    assert select(rows, measure="lesion_f1", region="lesions_26:iou_0.1", against="consensus_staple")
    assert select(rows, measure="dice_outside_dissensus", against="3_raters", structure="liver")


def test_the_cohort_shows_people_beside_the_model_and_the_first_choice_first(chosen):
    cohort = cohort_from_json((chosen.out / "cohort.json").read_text("utf-8"))
    lines = [one for one in cohort.summary if (one["measure"], one["structure"]) == ("dice", "liver")]
    assert {(one["against"], one["of"]) for one in lines} >= {
        (kind, of) for kind in ("each", "consensus_staple") for of in ("human", "ensemble", "single_member")
    }
    page = (chosen.out / "cohort.html").read_text("utf-8")
    assert '<th scope="col" class="num">human</th>' in page
    assert "consensus STAPLE" in page
    rows = read_evaluation(chosen.out / "case_a").rows
    (dice,) = select(rows, structure="liver", measure="dice", reduction="ensemble", against="consensus_staple")
    (liver,) = [one for one in read_case(chosen.out / "case_a").structures if one.name == "liver"]
    assert liver.reference["dice"] == dice.value
    risks = [1 - np.nanmean([r.value for r in select(
        read_evaluation(chosen.out / s).rows, measure="dice", reduction="ensemble", against="consensus_staple",
        structure="liver")]) for s in SUBJECTS]  # fmt: skip
    (curve,) = [one for one in cohort.risk_coverage if one.structure == "liver"]
    assert curve.mean_risk == pytest.approx(np.mean(risks))


def test_confidences_are_judged_by_every_risk(chosen):
    lines = detection(chosen.out)
    assert {line["risk"] for line in lines} >= {
        "dice_loss", "surface_dice_loss", "hausdorff_distance_95", "absolute_volume_error", "dice<0.3",
    }  # fmt: skip
    assert {line["task"] for line in lines} == {"failure_detection", "active_learning"}
    assert {line["against"] for line in lines} == {"consensus_staple"}
    judged = {(line["confidence"], line["region"], line["reduction"]) for line in lines}
    assert ("mean_pairwise_dice", "", "") in judged
    assert ("predictive_entropy", "whole_image", "mean") in judged


def test_raters_are_no_methods_to_compare(chosen, tmp_path):
    methods = (f"one={chosen.out}", f"two={chosen.out}")
    told("evaluate", "--compare", *methods, "--measures", "dice", "-o", tmp_path / "compared")
    lines = json.loads((tmp_path / "compared" / "comparison.json").read_text("utf-8"))["lines"]
    assert not [line for line in lines if line["reduction"].startswith("rater:")]
    assert {line["against"] for line in lines if line["measure"] == "dice"} == {"consensus_staple"}


@pytest.mark.usefixtures("quick_pages")
def test_other_choices_make_cases_anew_and_old_results_are_read(own):
    told("evaluate", *own.line, *raters(own))
    path = own.out / "case_a" / "evaluation.json"
    old = json.loads(path.read_text("utf-8"))
    assert told("evaluate", *own.line, *raters(own))["kept"] == list(SUBJECTS)
    assert told("evaluate", *own.line, *raters(own), "--reference", "random")["new"] == list(SUBJECTS)
    for name in ("reference", "reference_seed", "lesion_connectivity", "protocol"):
        old["provenance"]["settings"].pop(name)
    old["rows"] = [row for row in old["rows"] if not row["reduction"].startswith("rater:")]
    path.write_text(json.dumps(old), "utf-8")
    assert read_evaluation(own.out / "case_a").headline("liver")["dice"] is not None


@pytest.mark.usefixtures("quick_pages")
def test_a_rater_by_name_is_the_contour_that_is_drawn(own):
    told("evaluate", *own.line, *raters(own), "--reference", "ben")
    assert read_evaluation(own.out / "case_b").references == ("../labels_ben/case_b.nii.gz",)
    rows = [row for row in read_evaluation(own.out / "case_b").rows if row.reduction == "ensemble"]
    assert {row.against for row in rows} == {"ben"}


@pytest.mark.usefixtures("quick_pages")
def test_the_reference_drawn_for_a_case_does_not_depend_on_the_other_cases(own):
    told("evaluate", *own.line, *raters(own), "--reference", "random", "--reference-seed", 3)
    drawn = {s: read_evaluation(own.out / s).reliability[0].against for s in SUBJECTS}
    shutil.rmtree(own.out)
    told("evaluate", *own.line, *raters(own), "--reference", "random", "--reference-seed", 3,
         "--num-parts", 3, "--part-id", 1)  # fmt: skip
    (done,) = [s for s in SUBJECTS if (own.out / s / "evaluation.json").is_file()]
    assert read_evaluation(own.out / done).reliability[0].against == drawn[done]


def test_an_unknown_rater_fails_the_case_and_says_who_there_is(fresh):
    done = told("evaluate", *fresh.line, *raters(fresh), "--reference", "dora", code=4)
    assert {(one["code"], one["member"]) for one in done["failures"]} == {("E106", "dora")}
    assert "anna, ben, cleo" in done["failures"][0]["found"]


def test_a_protocol_that_lacks_a_tumour_is_refused_before_any_work(fresh):
    error = run("evaluate", *fresh.line, *raters(fresh), "--protocol", "pdacvi_2025", code=2).stderr
    assert "--tumour STRUCTURE" in error
    assert not list(fresh.out.rglob("evaluation.json"))
    error = run("evaluate", *fresh.line, *raters(fresh), "--protocol", "pdacvi", code=2).stderr
    assert "curvas_2024, pdacvi_2025" in error
    error = run("evaluate", *fresh.line, *raters(fresh), "--lesion-iou", 0.5, code=2).stderr
    assert "--lesion-connectivity" in error


def test_one_rater_has_no_protocol_and_is_told_so(fresh):
    done = told("evaluate", *fresh.scored_line, "--protocol", "curvas_2024")
    assert {(one["code"], one["subject"]) for one in done["problems"]} == {("E406", subject) for subject in SUBJECTS}
    rows = read_rows(fresh.out / "scores.csv")
    assert select(rows, measure="dice")
    assert not select(rows, measure="dice_outside_dissensus")
    assert not [row for row in rows if row.reduction.startswith("rater:")]


@pytest.mark.usefixtures("quick_pages")
def test_cases_out_of_distribution_are_told_by_a_file(own, tmp_path):
    names = tmp_path / "ood.txt"
    (own.references / "case_c.nii.gz").unlink()
    for text in ("case_c\n", '["case_c"]'):
        names.write_text(text, "utf-8")
        told("evaluate", *own.scored_line, "--ood", names)
        lines = [line for line in detection(own.out) if line["task"] == "out_of_distribution"]
        assert {int(line["n"]) for line in lines if line["confidence"] == "mean_pairwise_dice"} == {3}
    names.write_text("nobody\n", "utf-8")
    assert "nobody" in run("evaluate", *own.scored_line, "--ood", names, code=2).stderr


@pytest.mark.usefixtures("quick_pages")
def test_assess_counts_lesions_of_members_and_of_references_by_one_option(own):
    told("assess", *own.scored_line, "--lesion-connectivity", 6)
    rows = read_rows(own.out / "scores.csv")
    assert select(rows, measure="lesion_count")
    assert select(rows, measure="lesion_sensitivity", region="lesions_6:any_overlap")


def test_rows_read_from_disk_are_those_of_the_functions(chosen):
    folders = {name: chosen.root / f"labels_{name}" for name in PEOPLE}
    case = read_study(chosen.members, images=chosen.images, references=folders).case("case_b")
    expected = ceiling_rows(case.raters(), ("consensus_staple", "each"), tolerance_mm=2.0, subject="case_b")
    written = [row for row in read_evaluation(chosen.out / "case_b").rows if row.reduction.startswith("rater:")]
    assert [row.to_dict() for row in written] == [row.to_dict() for row in expected]
