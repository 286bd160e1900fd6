"""Metrics as text, what they say about a DVH, conformity, and OpenKBP's own definitions."""

import math
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import InvalidInput
from plausible.dose import (
    CONFORMITY_INDICES,
    DVH_METRICS,
    contours_dvh,
    dose_grid_dvh,
    dvh_of_cells,
    dvh_of_samples,
    openkbp_dose_error,
    openkbp_dvh_score,
    openkbp_organ_metrics,
    openkbp_target_metrics,
    paddick_conformity,
    parse_metric,
    rtog_conformity,
)
from tests.dose.phantoms import R, contours_of, dose_of, image

EVEN = dvh_of_cells(np.array([30.0]), np.array([20.0]), np.array([4.0]), cell_ml=0.01, method="4 ml from 10 to 50 Gy")


@pytest.mark.parametrize(
    ("text", "canonical", "expected"),
    [
        ("D95%", "D95%[Gy]", 10 + 40 * 0.05),
        ("D95.0%[Gy]", "D95%[Gy]", 10 + 40 * 0.05),
        (" D 2 % [Gy] ", "D2%[Gy]", 50 - 40 * 0.02),
        ("D0.4cc[Gy]", "D0.4cc[Gy]", 50 - 40 * 0.1),
        ("D.4cc", "D0.4cc[Gy]", 50 - 40 * 0.1),
        ("V20Gy", "V20Gy[%]", 75.0),
        ("V20Gy[cc]", "V20Gy[cc]", 3.0),
        ("Mean[Gy]", "Mean[Gy]", 30.0),
        ("Min", "Min[Gy]", 10.0),
        ("Max", "Max[Gy]", 50.0),
        ("HI", "HI[1]", (50 - 0.8 - 10 - 0.8) / 30),
        ("Volume", "Volume[cc]", 4.0),
        ("gEUD(a=1)", "gEUD(a=1)[Gy]", 30.0),
        ("gEUD(a=2.0)[Gy]", "gEUD(a=2)[Gy]", math.sqrt((50**3 - 10**3) / (3 * 40))),
        ("gEUD(a=-1)", "gEUD(a=-1)[Gy]", 40 / math.log(50 / 10)),
    ],
)
def test_texts(text, canonical, expected):
    metric = parse_metric(text)
    assert metric.text == canonical
    assert parse_metric(metric.text) == metric
    assert metric.read(EVEN).value == pytest.approx(expected)
    assert canonical.endswith(f"[{metric.unit}]")


@pytest.mark.parametrize(
    ("text", "canonical", "expected"),
    [
        ("V50%[%]", "V50%[%]", 75.0),
        ("V50%[cc]", "V50%[cc]", 3.0),
        ("D95%[%]", "D95%[%]", 100 * 12 / 40),
        ("Mean[%]", "Mean[%]", 75.0),
    ],
)
def test_percent_of_a_prescription(text, canonical, expected):
    metric = parse_metric(text, prescription_gy=40.0)
    assert metric.text == canonical
    assert metric.value(EVEN) == pytest.approx(expected)
    with pytest.raises(InvalidInput, match=r"(?s)E703.*prescription"):
        parse_metric(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "D95",
        "d95%",
        "95%",
        "D95%[cc]",
        "V20",
        "V20Gy[Gy]",
        "V20cc",
        "D0.03 mm",
        "Mean[cc]",
        "D-5%",
        "D101%",
        "Dmax",
        "gEUD",
        "gEUD(a=0)",
        "gEUD(8)",
        "D1e3cc",
        "D95%[Gy] ",
        "Volume[Gy]",
        "HI[Gy]",
        "D95%%",
        "D٣%",
    ],
)
def test_anything_else_is_refused_with_its_text(text):
    if text.strip() != text:
        assert parse_metric(text).text == "D95%[Gy]"
        return
    with pytest.raises(InvalidInput) as refused:
        parse_metric(text)
    assert refused.value.problem.code == "E703"
    assert repr(text) in refused.value.problem.found
    assert "D0.03cc[Gy]" in refused.value.problem.expected


@given(st.text(alphabet="DVgEUDMeanHIGycc%[]()=.-0123456789", max_size=10))
def test_no_text_breaks_the_reader(text):
    with suppress(InvalidInput):
        metric = parse_metric(text, prescription_gy=60.0)
        assert parse_metric(metric.text, prescription_gy=60.0) == metric


def test_every_metric_of_the_catalogue_can_be_written():
    written = ("D5%", "D1cc", "V5Gy", "V5Gy[cc]", "Mean", "Min", "Max", "Volume", "gEUD(a=3)", "HI")
    assert {parse_metric(text).name for text in written} == set(DVH_METRICS.names)


def test_flags_say_what_a_reader_must_know():
    small = dvh_of_samples(np.array([10.0, 20.0]), np.array([0.01, 0.01]), cell_ml=0.01, method="two voxels")
    reading = parse_metric("D0.03cc").read(small)
    assert math.isnan(reading.value)
    assert reading.flags == ("volume < x", "small volume < 0.5 cc")
    coarse = dvh_of_samples(np.linspace(10, 20, 100), np.full(100, 0.038), cell_ml=0.038, method="voxels of 38 mm³")
    assert parse_metric("D0.03cc").read(coarse).flags == ("resolution-limited",)
    assert parse_metric("D0.2cc").read(coarse).flags == ()
    empty = dvh_of_samples(np.zeros(0), np.zeros(0), cell_ml=0.01, method="nothing")
    assert parse_metric("Mean").read(empty).flags == ("empty",)


def test_midpoint_rule():
    """Four samples of 1 ml sit at 0.5, 1.5, 2.5 and 3.5 ml; between them the curve is straight, beyond them flat."""
    dvh = dvh_of_samples(np.array([10.0, 40.0, 20.0, 30.0]), np.ones(4), cell_ml=1.0, method="four")
    assert dvh.dose_at(np.array([0.0, 0.5, 1.0, 1.5, 3.5, 4.0])).tolist() == [40, 40, 35, 30, 10, 10]
    assert dvh.volume_at(np.array([9.0, 10.0, 25.0, 40.0, 40.1])).tolist() == [4, 4, 2, 0.5, 0]
    assert math.isnan(dvh.dose_at(4.1))


@pytest.mark.parametrize("percent", [-1.0, 101.0])
def test_impossible_settings_are_refused(percent):
    with pytest.raises(ValueError, match="percent"):
        DVH_METRICS["dose_at_percent"].function(EVEN, percent=percent)
    with pytest.raises(ValueError, match="volume_ml"):
        DVH_METRICS["dose_at_volume"].function(EVEN, volume_ml=-1.0)
    with pytest.raises(ValueError, match="exponent"):
        DVH_METRICS["generalised_equivalent_uniform_dose"].function(EVEN, a=0.0)


def field(radius):
    """60 Gy at the centre, falling 2 Gy a mm: the isodose of a dose is a ball."""
    return dose_of(lambda x, y, z: np.maximum(60 - 2 * np.sqrt(x**2 + y**2 + z**2), 0), 1.5)


@pytest.mark.parametrize("isodose_mm", [9.0, 12.0, 15.0])
def test_conformity_of_concentric_balls(isodose_mm):
    """Target of 12 mm, isodose of 9, 12 or 15: the smaller ball lies in the larger."""
    dose = field(isodose_mm)
    target = contours_dvh(contours_of("sphere", 0.2), dose, image=image(0.2))
    everywhere = dose_grid_dvh(dose)
    prescription = 60 - 2 * isodose_mm
    ratio = (isodose_mm / R) ** 3
    assert rtog_conformity(target, everywhere, prescription_gy=prescription) == pytest.approx(ratio, rel=0.02)
    expected = min(ratio, 1 / ratio)
    assert paddick_conformity(target, everywhere, prescription_gy=prescription) == pytest.approx(expected, rel=0.04)


def test_conformity_without_target_or_isodose():
    everywhere = dose_grid_dvh(field(9.0))
    empty = dvh_of_samples(np.zeros(0), np.zeros(0), cell_ml=1.0, method="nothing")
    for entry in CONFORMITY_INDICES:
        assert math.isnan(entry.function(empty, everywhere, prescription_gy=50.0))
        with pytest.raises(ValueError, match="prescription_gy"):
            entry.function(EVEN, everywhere, prescription_gy=0.0)
    assert math.isnan(paddick_conformity(EVEN, everywhere, prescription_gy=99.0))
    assert rtog_conformity(EVEN, everywhere, prescription_gy=99.0) == 0


def test_openkbp_counts_whole_voxels():
    """38 mm³ a voxel: 0.1 cc is 3 voxels of 101, the percentile 100 − 300/101 of the doses 0 to 100."""
    dose = np.arange(101, dtype=np.float32).reshape(101, 1, 1)
    mask = np.ones((101, 1, 1), bool)
    found = openkbp_organ_metrics(dose, mask, voxel_mm3=38.0)
    assert found == {"D_0.1_cc": pytest.approx(100 - 300 / 101), "mean": 50.0}
    assert openkbp_target_metrics(dose, mask) == {"D_99": 1.0, "D_95": 5.0, "D_1": 99.0}
    assert openkbp_organ_metrics(dose, mask, voxel_mm3=1000.0)["D_0.1_cc"] == pytest.approx(100 - 100 / 101)
    assert openkbp_organ_metrics(dose, ~mask, voxel_mm3=38.0) == {}
    assert openkbp_target_metrics(dose, ~mask) == {}


def test_openkbp_dose_error_divides_by_the_possible_dose():
    ours, theirs = np.zeros((2, 3, 4), np.float32), np.full((2, 3, 4), 2, np.float32)
    possible = np.zeros((2, 3, 4), bool)
    possible[0] = True
    assert openkbp_dose_error(ours, theirs, possible_dose=possible) == 2 * 24 / 12
    assert math.isnan(openkbp_dose_error(ours, theirs, possible_dose=np.zeros_like(possible)))


def test_openkbp_dvh_score_pools_patients_and_metrics():
    references = [{("Larynx", "mean"): 10.0, ("PTV70", "D_99"): 60.0}, {("PTV70", "D_99"): 61.0}]
    predictions = [{("Larynx", "mean"): 11.0, ("PTV70", "D_99"): 58.0}, {("PTV70", "D_99"): 61.5}]
    assert openkbp_dvh_score(predictions, references) == (1 + 2 + 0.5) / 3
    with pytest.raises(ValueError, match="Larynx mean"):
        openkbp_dvh_score([{}], references[:1])
    assert math.isnan(openkbp_dvh_score([], []))
