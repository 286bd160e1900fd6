"""Raters without a model: closed forms on drawn boxes, resuming, and the packs' own figures."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from plausible.core import Classes, Geometry, MemberInfo, Members, select
from plausible.evaluate.rater_study import rater_rows
from plausible.io.rater_datasets import read_rater_dataset
from plausible.runs.raters import compare_raters, structures_of
from tests.cli.program import contents, run, told
from tests.io.test_rater_datasets import write_nifti, write_told

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
GRID = Geometry((12, 10, 8), np.diag([1.0, 1.0, 2.0, 1.0]))
CLASSES = Classes.exclusive_of({"background": 0, "liver": 1})


def box(stop: int) -> np.ndarray:
    values = np.zeros(GRID.shape, np.uint8)
    values[2:stop, 2:8, 2:6] = 1
    return values


def members(*stops: int) -> Members:
    infos = [MemberInfo(id=f"rater_{n}", kind="rater", rater=f"rater_{n}") for n in range(1, len(stops) + 1)]
    return Members.from_labels([box(s) for s in stops], geometry=GRID, classes=CLASSES, infos=infos)


def value(rows, **wanted):
    found = select(rows, **wanted)
    assert len(found) == 1, found
    return found[0].value


def test_boxes_by_hand():
    rows = rater_rows(members(6, 8, 10), tolerance_mm=1.0, subject="a")  # 4, 6 and 8 slabs of one volume
    assert value(rows, measure="dice", reduction="rater:rater_1", against="rater_2") == pytest.approx(2 * 4 / (4 + 6))
    majority = {"measure": "dice", "against": "consensus_majority:without_rater_1"}  # what both others have: 6
    assert value(rows, reduction="rater:rater_1", **majority) == pytest.approx(2 * 4 / (4 + 6))
    assert value(rows, measure="dice", reduction="others", against="rater_3") == pytest.approx(2 * 4 / (4 + 8))
    assert value(rows, measure="mean_pairwise_dice", reduction="others", against="rater_3") == pytest.approx(0.8)
    slab = 6 * 4 * 0.002
    assert value(rows, measure="volume", reduction="rater:rater_2") == pytest.approx(6 * slab)
    assert value(rows, measure="volume", reduction="consensus", against="consensus_majority") == pytest.approx(6 * slab)
    ratio = value(rows, measure="log_volume_ratio_to_others", reduction="rater:rater_3")
    assert ratio == pytest.approx(math.log(8 / 5))
    assert value(rows, measure="volume_crps", reduction="others", against="rater_3") == pytest.approx(
        ((8 - 4) + (8 - 6)) / 2 * slab - 0.5 * (6 - 4) / 2 * slab
    )
    assert value(rows, measure="dissensus_share", reduction="consensus") == pytest.approx((8 - 4) / 8)


def test_two_raters_have_no_agreement_of_the_others():
    rows = rater_rows(members(6, 8), tolerance_mm=1.0, subject="a")
    assert math.isnan(value(rows, measure="mean_pairwise_dice", reduction="others", against="rater_1"))
    assert value(rows, measure="dice", reduction="others", against="rater_1") == pytest.approx(0.8)
    with pytest.raises(ValueError, match="two or more"):
        rater_rows(members(6), tolerance_mm=1.0, subject="a")


def test_raters_who_agree_in_full_agree_in_everything():
    rows = rater_rows(members(8, 8, 8), tolerance_mm=1.0, subject="a")
    assert {row.value for row in rows if row.measure == "dice"} == {1.0}
    assert value(rows, measure="dissensus_share", reduction="consensus") == 0
    assert {row.value for row in rows if row.measure == "generalized_energy_distance_dice_v"} == {0.0}
    assert {row.value for row in rows if row.measure == "log_volume_ratio_to_others"} == {0.0}


@pytest.fixture
def dataset(tmp_path):
    """Four cases of two patients; nobody but the first rater drew the last one."""
    folder = tmp_path / "several"
    cases = [{"id": f"case_{n}", "patient": f"p{n // 2}"} for n in range(4)]
    write_told(folder, labels={"background": 0, "liver": 1}, cases=cases)
    for n in range(4):
        for rater in range(3):
            drawn = box(6 + rater + n) if n < 3 or rater == 0 else np.zeros(GRID.shape)
            write_nifti(folder / f"labelsTr_rater_{rater}" / f"case_{n}.nii.gz", drawn)
    return folder


def test_patients_are_drawn_and_lonely_cases_are_told(dataset, tmp_path):
    done = compare_raters(read_rater_dataset(dataset), tmp_path / "out")
    assert (done.alone, done.failures) == (("case_3",), ())
    lines = {(line.structure, line.compared, line.measure): line for line in done.lines if not line.rater}
    dice = lines["liver", "between raters", "dice"]
    pairs = [2 * a / (a + b) for n in range(3) for a, b in ((4 + n, 5 + n), (4 + n, 6 + n), (5 + n, 6 + n))]
    assert dice.value == pytest.approx(np.mean(pairs))
    assert (dice.n, dice.n_cases) == (2, 3)
    assert lines["all structures", "between raters", "dice"].value == dice.value
    ratios = [line for line in done.lines if line.measure == "log_volume_ratio_to_others" and line.structure == "liver"]
    assert [line.rater for line in ratios] == ["rater_0", "rater_1", "rater_2"]
    assert ratios[0].value < 0 < ratios[2].value


def test_a_second_run_reads_what_is_there(dataset, tmp_path, monkeypatch):
    out = tmp_path / "out"
    first = compare_raters(read_rater_dataset(dataset), out)
    before = contents(out, ".csv", "CASE.json")
    monkeypatch.setattr("plausible.runs.raters.rater_rows", None)
    again = compare_raters(read_rater_dataset(dataset), out)
    assert (len(first.done), len(again.done), len(again.kept)) == (4, 0, 4)
    assert contents(out, ".csv", "CASE.json") == before


def test_the_verb(dataset, tmp_path):
    (tmp_path / "split.json").write_text(json.dumps({"dev": ["case_0", "case_1"]}), encoding="utf-8")
    line = ("raters", dataset, "-o", tmp_path / "out", "--split", tmp_path / "split.json")
    assert told(*line, "--dry-run")["cases"] == ["case_0", "case_1"]
    found = told(*line, "-q")
    assert {one["compared"] for one in found["lines"]} >= {"between raters", "others", "consensus_staple"}
    page = (tmp_path / "out" / "raters.html").read_text("utf-8")
    assert page.count("<svg") >= 3
    assert "RESEARCH USE" in page.upper()
    assert "between raters" in run(*line, "-q").stdout
    assert "--split" in run(*line, "--role", "test", code=2).stderr


def test_another_spacing_is_another_result(tmp_path):
    """Pictures have no spacing of their own: what cases.json says is part of what a result was made from."""
    folder, found = tmp_path / "pictures", []
    (folder / "labelsTr_raters").mkdir(parents=True)
    for rater in (1, 2):
        drawn = np.zeros((20, 20), np.uint8)
        drawn[4:12, 4 : 10 + rater] = 1
        Picture.fromarray(drawn).save(folder / "labelsTr_raters" / f"a_r{rater}.png")
    for spacing in (0.5, 1.0):
        write_told(folder, labels={"background": 0, "x": 1}, cases=[{"id": "a", "pixel_spacing_mm": spacing}])
        done = compare_raters(read_rater_dataset(folder), tmp_path / "out")
        assert done.kept == ()
        wanted = ("x", "between raters", "hausdorff_distance")
        found += [line.value for line in done.lines if (line.structure, line.compared, line.measure) == wanted]
    assert found == [pytest.approx(0.5), pytest.approx(1.0)]


def between(rows, measure):
    """Value of each pair of raters, the names in alphabetical order."""
    return {
        f"{row.reduction.removeprefix('rater:')}-{row.against}": row.value
        for row in select(rows, measure=measure)
        if row.reduction.startswith("rater:") and row.reduction.removeprefix("rater:") < row.against
        and not row.against.startswith("consensus")
    }  # fmt: skip


@pytest.mark.parametrize("pack", ["hn_multirater_dose", "hn_oar_two_raters", "lidc_masks_3d", "lidc_nodules_2d"])
def test_the_figures_that_came_with_the_pack(pack):
    folder = SHARED / pack
    if not folder.is_dir():
        pytest.skip(f"{pack} is not beside the project")
    joined = {"Spinal-Canal", "Orbit-Lt", "Orbit-Rt"}  # there the pack joins two labels
    small = {"Brain", "Lung-Lt", "Lung-Rt"}  # these are large and take long
    told_cases = json.loads((folder / "cases.json").read_text("utf-8"))[:2]
    found = read_rater_dataset(folder, subjects=[case["id"] for case in told_cases])
    compared = 0
    for case in found.cases:
        theirs = next(one for one in told_cases if one["id"] == case.subject)
        grid, drawn = case.load()
        kept = {rater: {s: m for s, m in marks.items() if s not in joined | small} for rater, marks in drawn.items()}
        for raters in structures_of(grid, kept, case.subject, margin_mm=5.0):
            (structure,) = raters.classes.structures
            rows = rater_rows(raters, tolerance_mm=2.0, subject=case.subject)
            dice = between(rows, "dice")
            if "mean_pairwise_dice" in theirs:
                assert np.mean(list(dice.values())) == pytest.approx(theirs["mean_pairwise_dice"], abs=2e-3)
                compared += 1
                continue
            told_dice = theirs["dice"].get(structure)
            told_dice = told_dice if isinstance(told_dice, dict) else {"oncologist-radiographer": told_dice}
            for pair in (pair for pair in set(dice) & set(told_dice) if told_dice[pair] is not None):
                assert dice[pair] == pytest.approx(told_dice[pair], abs=2e-4), (case.subject, structure, pair)
                compared += 1
            volumes = {row.reduction.removeprefix("rater:"): row.value for row in select(rows, measure="volume")}
            ml = theirs.get("ml", {}).get(structure, {})
            ml = ml if isinstance(ml, dict) else dict(zip(("oncologist", "radiographer"), ml, strict=True))
            for rater in set(volumes) & set(ml):
                assert volumes[rater] == pytest.approx(ml[rater], rel=2e-3, abs=2e-3)
    assert compared >= 2
