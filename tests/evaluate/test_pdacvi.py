"""PDACVI 2025: angles of contact with known arcs, distances of angles, and the tumour's scores."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from plausible.aggregate import linear_pool, staple
from plausible.core import Classes, Geometry, Members, select
from plausible.evaluate import (
    PDACVI_THRESHOLDS,
    TumourCase,
    expected_calibration_error,
    involvement_distance_degrees,
    pdacvi_2025_rows,
    raters_box_bins,
    staple_dice,
    thresholded_dice,
    top_label_bins,
    vascular_involvement_degrees,
    vascular_involvement_distance,
)
from plausible.evaluate.overlap import dice, overlap

TUMOUR = Classes.exclusive_of({"background": 0, "tumour": 1})
SIZE = 41


def disk(radius: float, *, spacing=(1.0, 1.0)) -> np.ndarray:
    i, j = np.indices((SIZE, SIZE))
    return ((i - 20) * spacing[0]) ** 2 + ((j - 20) * spacing[1]) ** 2 <= radius**2


def sector(degrees: float) -> np.ndarray:
    i, j = np.indices((SIZE, SIZE)) - 20
    return np.degrees(np.arctan2(j, i)) % 360 < degrees


def stacked(mask: np.ndarray, *, axis: int = 2, n: int = 3) -> np.ndarray:
    return np.repeat(np.expand_dims(mask, axis), n, axis=axis)


@pytest.mark.parametrize(("arc", "published"), [(360, 360), (180, 188), (90, 98), (45, 65)])
def test_known_arcs(arc, published):
    """Published code counts neighbours after widening the tumour; each side once is within two degrees."""
    vessel = disk(8)
    lesion = disk(12) & ~vessel & sector(arc)
    ours = vascular_involvement_degrees(stacked(lesion), stacked(vessel), spacing_mm=(1.0, 1.0, 3.0), axis=2)
    assert ours == pytest.approx(arc, abs=4)
    assert arc == 360 or abs(ours - arc) < abs(published - arc) / 2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_each_plane_is_looked_at_along_its_axis(axis):
    vessel, lesion = disk(8), disk(12) & ~disk(8)
    spacing = (1.0, 1.0, 1.0)
    lesions = stacked(lesion, axis=axis)
    lesions[tuple(slice(0, 2) if a == axis else slice(None) for a in range(3))] = False  # one slice is enough
    found = vascular_involvement_degrees(lesions, stacked(vessel, axis=axis), spacing_mm=spacing, axis=axis)
    assert found == 360


def test_sides_are_measured_in_mm():
    vessel = np.zeros((5, 5, 1), bool)
    vessel[2, 2] = True
    lesion = np.zeros_like(vessel)
    lesion[2, 3] = True  # across a side that runs along i
    degrees = vascular_involvement_degrees(lesion, vessel, spacing_mm=(3.0, 1.0, 1.0), axis=2)
    assert degrees == pytest.approx(360 * 3 / (2 * 3 + 2 * 1))
    lesion[:] = False
    lesion[3, 3] = True  # a corner is no contact
    assert vascular_involvement_degrees(lesion, vessel, spacing_mm=(3.0, 1.0, 1.0), axis=2) == 0


def test_a_lesion_drawn_over_the_vessel_touches_its_outline_alone():
    vessel, over = disk(8), disk(12)
    for lesion, angle in ((over, 360), (vessel, 0), (vessel | (over & sector(180)), 180)):
        found = vascular_involvement_degrees(stacked(lesion), stacked(vessel), spacing_mm=(1.0, 1.0, 3.0), axis=2)
        assert found == pytest.approx(angle, abs=4)


def test_without_vessel_or_lesion_there_is_no_angle():
    nothing, vessel = np.zeros((5, 5, 2), bool), np.zeros((5, 5, 2), bool)
    vessel[2, 2] = True
    for lesion, tube in ((nothing, vessel), (vessel, nothing)):
        assert math.isnan(vascular_involvement_degrees(lesion, tube, spacing_mm=(1.0, 1.0, 1.0), axis=2))
    whole = np.ones((5, 5, 2), bool)  # a vessel that fills the image has no outline
    assert vascular_involvement_degrees(whole, whole, spacing_mm=(1.0, 1.0, 1.0), axis=2) == 0


@given(a=st.lists(st.floats(0, 360), min_size=1, max_size=6), b=st.lists(st.floats(0, 360), min_size=1, max_size=6))
def test_the_distance_is_the_integral_between_the_distribution_functions(a, b):
    x = np.linspace(0, 360, 72_001)

    def below(values):
        mean, sd = np.mean(values), np.std(values)
        return norm.cdf(x, mean, sd) if sd > 0 else (x >= mean).astype(float)

    expected = np.trapezoid(np.abs(below(a) - below(b)), x)
    assert involvement_distance_degrees(a, b) == pytest.approx(expected, abs=0.02)
    assert involvement_distance_degrees(b, a) == pytest.approx(involvement_distance_degrees(a, b), abs=1e-9)


def test_ends_of_the_distance():
    assert involvement_distance_degrees([100.0] * 6, [70.0] * 5) == 30
    assert involvement_distance_degrees([90.0, 110.0], [110.0, 90.0]) == 0
    assert involvement_distance_degrees([math.nan] * 6, [70.0, 80.0]) == 360
    assert math.isnan(involvement_distance_degrees([math.nan], [math.nan]))
    assert involvement_distance_degrees([math.nan, 50.0], [50.0]) == 0


def case(seed: int = 0) -> tuple[Members, Members, np.ndarray]:
    rng = np.random.default_rng(seed)
    geometry = Geometry((SIZE, SIZE, 3), np.diag([1.0, 1.0, 3.0, 1.0]))
    vessel = stacked(disk(8))
    labels = [
        (stacked(disk(10 + r) & sector(120 + 20 * r)) & ~vessel & (rng.random(vessel.shape) < 0.97)).astype(np.uint8)
        for r in range(5)
    ]
    raters = Members.from_labels(labels, geometry=geometry, classes=TUMOUR)
    p = np.clip(np.mean(labels, axis=0) + rng.normal(0, 0.05, vessel.shape), 0, 1).astype(np.float32)
    return Members.from_arrays([np.stack([1 - p, p])], geometry=geometry, classes=TUMOUR), raters, vessel


def test_rows_by_hand():
    members, raters, vessel = case()
    pooled = linear_pool(members)
    rows = pdacvi_2025_rows(pooled, raters, structure="tumour", vessels={"smv": vessel}, subject="s1")
    assert len({row.key for row in rows}) == len(rows) == 4 + 3
    values = {(row.measure, row.structure, row.region): row.value for row in rows}
    truth = staple(raters).probabilities[1] > 0.5
    p = pooled.probabilities[1]
    expected = dice(overlap(p > 0.5, truth, voxel_volume_ml=0.003))
    assert values["staple_dice", "tumour", ""] == pytest.approx(expected)
    assert select(rows, measure="staple_dice")[0].against == "5_raters:staple"
    masks = [rater.probabilities[1] > 0 for rater in raters]
    any_of = np.logical_or.reduce(masks)
    i, j, _ = np.nonzero(any_of)
    box = slice(max(0, i.min() - 20), i.max() + 21), slice(max(0, j.min() - 20), j.max() + 21)
    errors = []
    for mask in masks:
        y = mask[box].astype(np.float32)
        q = p[box]
        bins = top_label_bins(np.stack([1 - q, q]), np.stack([1 - y, y]), n_bins=50)
        errors.append(expected_calibration_error(bins))
    found = values["calibration_error_50_bins", "tumour", "raters_box_20_voxels"]
    assert found == pytest.approx(np.mean(errors))
    angles = {
        name: [vascular_involvement_degrees(m, vessel, spacing_mm=(1.0, 1.0, 3.0), axis=2) for m in each]
        for name, each in {"ours": [p > t for t in PDACVI_THRESHOLDS], "theirs": masks}.items()
    }
    expected = involvement_distance_degrees(angles["ours"], angles["theirs"])
    assert values["vascular_involvement_distance", "smv", "slices_along_axis_2"] == pytest.approx(expected)
    assert 0 < expected < 60


def test_identical_soft_maps_share_all_thresholds():
    members, raters, _ = case()
    share = np.mean([rater.probabilities[1] for rater in raters], axis=0)
    same = Members.from_arrays(
        [np.stack([1 - share, share]).astype(np.float32)], geometry=members.geometry, classes=TUMOUR
    )
    tumour = TumourCase.of(linear_pool(same), raters, structure="tumour")
    assert thresholded_dice(tumour) == 1
    binary = TumourCase.of(next(iter(raters)), raters, structure="tumour")
    assert thresholded_dice(binary) < 0.95  # a hard mask is wrong at low and high consensus


def test_thresholds_by_hand():
    raters = tuple(np.array([[row]], bool) for row in ([1, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]))
    p = np.array([[[0.9, 0.3, 0.2, 0.0]]], np.float32)
    one = TumourCase(p, raters, raters[1], (1.0, 1.0, 1.0), 1e-3)
    assert pytest.approx((0.1, 0.24, 0.38, 0.52, 0.66, 0.8)) == PDACVI_THRESHOLDS
    # shares 1, 0.25, 0, 0: two voxels up to 0.24, one above
    assert thresholded_dice(one) == pytest.approx((4 / 5 + 1 + 1 + 1 + 1 + 1) / 6)
    assert staple_dice(one) == 1


def test_what_is_empty():
    geometry = Geometry((4, 5, 3), np.eye(4))
    nothing = Members.from_labels([np.zeros(geometry.shape, np.uint8)] * 2, geometry=geometry, classes=TUMOUR)
    tumour = TumourCase.of(linear_pool(nothing), nothing, structure="tumour")
    assert thresholded_dice(tumour) == 1  # as the protocol has it
    assert math.isnan(staple_dice(tumour))
    assert raters_box_bins(tumour) == []
    vessel = np.zeros(geometry.shape, bool)
    assert math.isnan(vascular_involvement_distance(tumour, vessel, axis=0))
    vessel[1, 1] = True
    assert math.isnan(vascular_involvement_distance(tumour, vessel, axis=0))
    rows = pdacvi_2025_rows(linear_pool(nothing), nothing, structure="tumour", vessels={}, subject="s1")
    assert [math.isnan(row.value) for row in rows] == [True, False, True, True]


def test_one_rater_is_refused():
    members, raters, _ = case()
    with pytest.raises(ValueError, match="several raters"):
        pdacvi_2025_rows(
            linear_pool(members), raters.select([raters.infos[0].id]), structure="tumour", vessels={}, subject="s1"
        )
