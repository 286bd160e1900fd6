"""From `plausible calibrate --probabilities` to the calibrated map that assess writes."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from plausible.core import Case, Classes, Geometry, Members, Study
from plausible.io import read_scalar_map
from plausible.runs.assess import assess_study
from plausible.runs.calibrate import calibrate, measure_cases, sample_cases
from plausible.runs.calibrate_settings import CalibrateSettings
from plausible.runs.calibration import read_calibration, write_calibration
from plausible.runs.layout import read_failure
from plausible.runs.settings import EvaluateSettings

SHAPE = (12, 11, 7)
GEOMETRY = Geometry(SHAPE, np.diag([0.7, 1.1, 3.0, 1.0]))
CLASSES = Classes.exclusive_of({"background": 0, "liver": 1})
SETTINGS = CalibrateSettings(population="made-up patients", alpha=0.2, missed=0.4, probabilities="temperature")


def study(n: int, *, first: int = 0, classes: Classes = CLASSES) -> Study:
    """Too sharp members of balls of random size and place."""
    cases = []
    for number in range(first, first + n):
        rng = np.random.default_rng(number)
        centre = rng.uniform(4, 6, 3) * (1, 1, 0.6)
        steps = ((axis - c) * s for axis, c, s in zip(np.indices(SHAPE), centre, (0.7, 1.1, 3), strict=True))
        depth = rng.uniform(2, 4) - np.sqrt(sum(step**2 for step in steps))
        labels = (rng.random(SHAPE) < 1 / (1 + np.exp(-2 * depth))).astype(np.uint8)
        soft = [1 / (1 + np.exp(-6 * (depth + rng.normal(0, 0.3)))) for _ in range(3)]
        common = {"geometry": GEOMETRY, "classes": classes, "subject": f"s{number:02}"}
        members = Members.from_arrays([np.stack([1 - p, p]).astype(np.float32) for p in soft], **common)
        raters = Members.from_labels([labels], **common)
        cases.append(Case(f"s{number:02}", classes, load_members=lambda m=members: m, load_raters=lambda r=raters: r))
    return Study("balls", classes, tuple(cases))


@pytest.fixture(scope="module")
def calibrations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibration")
    cohort = study(12)
    cases, _ = measure_cases(cohort, folder / "cases", scoring=EvaluateSettings())
    made = calibrate(cases, SETTINGS, today=date(2026, 3, 2), samples=sample_cases(cohort, cases, SETTINGS))
    write_calibration(folder / "calibration.json", made)
    return read_calibration(folder / "calibration.json")


def test_the_file_holds_the_calibration(calibrations):
    found = calibrations.probabilities
    assert len(found.subjects) == 12
    assert found.maps[0][0].temperature > 1.3
    assert found.nll_after < found.nll_before
    assert calibrations.statements[-1].endswith("no guarantee.")


def test_assess_writes_the_calibrated_map_beside_the_raw_one(calibrations, tmp_path):
    walked = assess_study(study(1, first=50), tmp_path, calibrations=calibrations)
    assert walked.done == ("s50",), read_failure(tmp_path / "s50")
    raw, calibrated = (
        read_scalar_map(tmp_path / "s50" / f"{name}.nii.gz") for name in ("probability", "calibrated_probability")
    )
    expected = calibrations.probabilities.transform(raw.values)
    told = (raw.values > 0.01) & (raw.values < 0.99)  # closer to 0 and 1 the file's steps of 1/65535 count
    assert told.mean() > 0.1
    np.testing.assert_allclose(calibrated.values[told], expected[told], atol=1e-3)
    np.testing.assert_allclose(calibrated.values, expected, atol=5e-3)
    assert calibrated.frames == raw.frames == CLASSES.names
    assert "temperature calibration" in calibrated.definition
    assert "probability.nii.gz, which is not calibrated" in calibrated.definition
    assert calibrations.sha256[:12] in calibrated.definition
    sets = read_scalar_map(tmp_path / "s50" / "conformal_set.nii.gz").frame("liver") > 0.5
    threshold = calibrations.set_threshold("liver").threshold
    clear = np.abs(raw.frame("liver") - threshold) > 1e-4
    np.testing.assert_array_equal(sets[clear], (raw.frame("liver") >= threshold)[clear])


def test_its_own_patients_and_other_classes_are_refused(calibrations, tmp_path):
    only = replace(calibrations, records=(calibrations.lamp,))
    assert [p.code for p in assess_study(study(1, first=3), tmp_path, calibrations=only).failures] == ["E402"]
    other = study(1, first=51, classes=Classes.exclusive_of({"background": 0, "spleen": 1}))
    assert [p.code for p in assess_study(other, tmp_path, calibrations=only).failures] == ["E103"]


def test_nothing_is_drawn_unless_asked_for():
    assert sample_cases(study(1), [], CalibrateSettings(population="x")) == []


@pytest.mark.parametrize("wrong", [{"band_edge_mm": (3.0, 2.0)}, {"band_edge_mm": (0.0,)}, {"probability_voxels": 3}])
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CalibrateSettings(population="x", **wrong)
