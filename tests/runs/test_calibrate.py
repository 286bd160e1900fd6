"""From a calibration set to promises, and from promises to the pages of new cases."""

import json
import math
from dataclasses import replace
from datetime import date

import jsonschema
import numpy as np
import pytest
from scipy import ndimage

from plausible.calibrate import FailureFlag, IntervalCalibration, Margin, SetThreshold
from plausible.core import Case, Classes, Geometry, InvalidInput, Members, Score, Study
from plausible.io import read_scalar_map
from plausible.report import case_from_json, schema
from plausible.runs.assess import assess_study
from plausible.runs.calibrate import calibrate, measure_cases, worst_structure
from plausible.runs.calibrate_settings import CalibrateSettings, FailureRule
from plausible.runs.calibration import adopt_calibration, read_calibration, write_calibration
from plausible.runs.cohort import write_cohort
from plausible.runs.settings import EvaluateSettings

SHAPE = (13, 12, 11)
GEOMETRY = Geometry(SHAPE, np.diag([1.0, 1.0, 1.5, 1.0]))
CLASSES = Classes.exclusive_of({"background": 0, "shell": 1, "core": 2})
TODAY = date(2026, 3, 2)
N_CALIBRATION = 40
SETTINGS = CalibrateSettings(population="made-up balls", alpha=0.2, delta=0.2, failure=("dice<0.5",), margin_share=0.9)


def truth_of(seed: int, *, radius: float = 4.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centre = np.array([6, 6, 5]) + rng.uniform(-0.7, 0.7, 3)
    grid = np.moveaxis(np.indices(SHAPE), 0, -1) - centre
    distance = np.linalg.norm(grid * (1, 1, 1.5), axis=-1)
    size = radius + rng.uniform(-0.4, 0.4)
    return ((distance < size).astype(np.uint8) + (distance < size / 1.6)).astype(np.uint8)


def members_of(seed: int, *, radius: float = 4.0) -> Members:
    """Three smoothed versions of the truth, each moved by its own noise."""
    rng, truth = np.random.default_rng(1000 + seed), truth_of(seed, radius=radius)
    arrays = []
    for _ in range(3):
        moved = ndimage.shift(CLASSES.encode(truth), (0, *rng.normal(0, 0.3, 3)), order=1, mode="nearest")
        soft = np.clip(ndimage.gaussian_filter(moved, (0, 0.7, 0.7, 0.7)), 1e-4, None)
        arrays.append((soft / soft.sum(axis=0)).astype(np.float32))
    return Members.from_arrays(arrays, geometry=GEOMETRY, classes=CLASSES, subject=f"case_{seed:03d}")


def study_of(*seeds: int, radius: float = 4.0) -> Study:
    def case(seed: int) -> Case:
        raters = Members.from_labels([truth_of(seed, radius=radius)], geometry=GEOMETRY, classes=CLASSES)
        return Case(
            f"case_{seed:03d}",
            CLASSES,
            load_members=lambda: members_of(seed, radius=radius),
            load_raters=lambda: raters,
        )

    return Study("balls", CLASSES, tuple(map(case, seeds)))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curves")
    study = study_of(*range(N_CALIBRATION))
    cases, walked = measure_cases(study, folder, scoring=EvaluateSettings())
    assert len(walked.done) == N_CALIBRATION
    return study, folder, cases


@pytest.fixture(scope="module")
def made(measured):
    return calibrate(measured[2], SETTINGS, today=TODAY)


@pytest.fixture(scope="module")
def assessed(made, tmp_path_factory):
    """Six new cases, assessed with the calibration."""
    folder = tmp_path_factory.mktemp("new")
    write_calibration(folder / "cal.json", made)
    out = folder / "out"
    found = adopt_calibration(folder / "cal.json", out)
    walked = assess_study(study_of(*range(100, 106)), out, calibrations=found)
    assert not walked.failures
    return out, found


def test_measured_cases_are_kept_and_come_back_equal(measured) -> None:
    study, folder, cases = measured
    again, walked = measure_cases(study, folder, scoring=EvaluateSettings())
    assert len(walked.kept) == N_CALIBRATION
    assert [one.to_dict() for one in again] == [one.to_dict() for one in cases]


def test_every_structure_gets_every_promise(made) -> None:
    for structure in CLASSES.structures:
        for kind in (IntervalCalibration, Margin, SetThreshold, FailureFlag):
            record = made.of(kind, structure)
            assert record is not None, (kind, structure, made.refused)
            assert record.guarantee.n_patients == N_CALIBRATION
    assert made.lamp is not None
    assert len(made.flags("")) == 1


def test_the_file_comes_back_as_it_was_written(made, tmp_path) -> None:
    write_calibration(tmp_path / "cal.json", made)
    back = read_calibration(tmp_path / "cal.json")
    assert back.records == made.records
    assert back.to_dict() == json.loads(json.dumps(made.to_dict()))
    assert len(back.sha256) == 64


def test_a_file_that_is_no_calibration_is_refused(tmp_path) -> None:
    (tmp_path / "cal.json").write_text('{"format": "other"}')
    for path in (tmp_path / "cal.json", tmp_path / "missing.json"):
        with pytest.raises(InvalidInput) as error:
            read_calibration(path)
        assert error.value.problem.code == "E404"


def test_too_few_patients_are_told_how_many_are_needed(measured) -> None:
    with pytest.raises(InvalidInput) as error:
        calibrate(measured[2][:3], replace(SETTINGS, alpha=0.1), today=TODAY)
    assert error.value.problem.code == "E401"
    assert "19" in error.value.problem.expected + error.value.problem.fix


def test_what_cannot_be_promised_is_listed_beside_what_can(measured) -> None:
    found = calibrate(measured[2][:6], replace(SETTINGS, alpha=0.3, delta=0.05), today=TODAY)
    assert found.records
    refused = {one["what"]: one for one in found.refused}
    assert refused["failure flag of shell"]["code"] == "E401"
    assert "patients" in refused["failure flag of shell"]["fix"] + refused["failure flag of shell"]["expected"]


def test_new_cases_get_the_promised_interval_margin_and_set(assessed) -> None:
    out, found = assessed
    text = (out / "case_100" / "case.json").read_text("utf-8")
    jsonschema.validate(json.loads(text), schema("case"))
    report = case_from_json(text)
    assert report.calibration == found.summary
    for structure in report.structures:
        record = found.interval(structure.name)
        low = max(structure.volume_ml.value - record.below, 0.0)
        assert structure.volume_ml.low == pytest.approx(low, abs=1e-12)
        assert structure.volume_ml.high == pytest.approx(structure.volume_ml.value + record.above, abs=1e-12)
        assert structure.volume_ml.n == N_CALIBRATION
        assert structure.outer_margin_mm == found.margin(structure.name).outer_mm
    assert all(statement in report.methods for statement in found.statements)


def test_the_voxel_set_is_the_probability_from_the_threshold_on(assessed) -> None:
    out, found = assessed
    sets = read_scalar_map(out / "case_101" / "conformal_set.nii.gz")
    assert sets.frames == CLASSES.structures
    mean = sum(member.probabilities for member in members_of(101)) / 3
    for n, structure in enumerate(CLASSES.structures):
        inside = mean[CLASSES.channel(structure)] >= found.set_threshold(structure).threshold
        assert np.mean((sets.values[n] > 0.5) != inside) < 1e-3


def test_patients_of_the_calibration_set_are_refused_and_stop_nobody(made, tmp_path) -> None:
    walked = assess_study(study_of(0, 100), tmp_path, calibrations=made)
    assert walked.done == ("case_100",)
    assert [(problem.subject, problem.code) for problem in walked.failures] == [("case_000", "E402")]


def test_another_calibration_assesses_again(assessed, made, tmp_path) -> None:
    study = study_of(100)
    assert assess_study(study, tmp_path).done == ("case_100",)
    assert assess_study(study, tmp_path, calibrations=assessed[1]).done == ("case_100",)
    assert assess_study(study, tmp_path, calibrations=assessed[1]).kept == ("case_100",)


def test_a_patient_of_another_size_is_told_to_be_unlike(made, tmp_path) -> None:
    assess_study(study_of(200, radius=2.6), tmp_path, calibrations=made)
    report = case_from_json((tmp_path / "case_200" / "case.json").read_text("utf-8"))
    assert report.verdict.state == "review"
    assert any("unlike_calibration" in one.flags for one in report.structures)
    assert any("Unlike the calibration patients" in text for text in report.warnings)


def test_the_workload_counts_what_the_flag_in_use_flags(assessed) -> None:
    out, found = assessed
    report = write_cohort(out)
    assert report.calibration == found.summary
    assert {one.structure for one in report.workload} == {"shell", "core", ""}
    for one in report.workload:
        points = one.points
        assert one.n_new == 6
        assert [p.accepted for p in points] == sorted(p.accepted for p in points)
        assert [p.n_review for p in points] == sorted((p.n_review for p in points), reverse=True)
    shell = next(one for one in report.workload if one.structure == "shell")
    flagged = [line for line in report.lines if line.structure == "shell" and "predicted_failure" in line.flags]
    assert shell.points[shell.chosen].n_review == len(flagged)


def test_shifted_cases_light_the_lamp(made, tmp_path) -> None:
    write_calibration(tmp_path / "cal.json", made)
    out = tmp_path / "out"
    found = adopt_calibration(tmp_path / "cal.json", out)
    assess_study(study_of(*range(300, 320), radius=2.6), out, calibrations=found)
    assert any("do not look like the calibration patients" in text for text in write_cohort(out).warnings)


def test_the_worst_structure_decides_for_the_case() -> None:
    row = Score(subject="a", structure="x", measure="dice", value=0.9, unit="1", higher_is="better", n=1, against="r")
    rows = [row, replace(row, structure="y", value=0.7), replace(row, structure="z", value=math.nan)]
    (worst,) = worst_structure(rows)
    assert (worst.structure, worst.value) == ("", 0.7)
    far = [replace(one, measure="hd95", higher_is="worse") for one in rows]
    assert worst_structure(far)[0].value == 0.9


def test_rules_are_read_and_wrong_settings_refused() -> None:
    assert FailureRule.parse("hd95>5") == FailureRule("hausdorff_distance_95", 5.0)
    assert FailureRule.parse(" dice < 0.8 ") == FailureRule("dice", 0.8)
    for wrong in ("dice", "dice=0.8", "dice<", "<0.8", "dice<0.8.1"):
        with pytest.raises(ValueError, match="no rule"):
            FailureRule.parse(wrong)
    with pytest.raises(ValueError, match="for which patients"):
        CalibrateSettings()
    with pytest.raises(ValueError, match="alpha"):
        CalibrateSettings(population="x", alpha=1.0)


def test_an_unknown_score_names_those_there_are(measured) -> None:
    with pytest.raises(ValueError, match=r"there are .*dice"):
        calibrate(measured[2], replace(SETTINGS, failure=("beauty<0.5",)), today=TODAY)
