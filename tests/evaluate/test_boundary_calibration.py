"""Calibration in bands around the contour, and of smoothed maps: limits, laws, published values and traps."""

import math

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from plausible.evaluate import (
    Answers,
    BoundaryBands,
    boundary_aware_calibration_error,
    boundary_bands,
    boundary_distance_mm,
    expected_calibration_error,
    presence_answers,
    spatial_calibration_error,
    top_label_answers,
)
from plausible.evaluate.calibration import ReliabilityBins
from tests.evaluate.shapes import SHAPE, SPACING, ellipsoid, one_voxel

VOXELS = (1.0, 1.0, 1.0)
ONE_BAND = (0.0, math.inf)


def ball(radius: float, centre: tuple[int, int, int]) -> np.ndarray:
    """Distance below or above the surface of a ball."""
    i, j, k = np.indices((24, 26, 40)).astype(float)
    a, b, c = centre
    return np.sqrt((i - a) ** 2 + (j - b) ** 2 + (k - c) ** 2) - radius


@pytest.fixture(scope="module")
def balls() -> tuple[Answers, list[np.ndarray]]:
    """A soft ball, and two raters who drew others."""
    p = 1 / (1 + np.exp(ball(6.6, (10, 10, 12)) / 1.5))
    raters = [(ball(r, c) < 0).astype(np.int64) for r, c in ((6.2, (9, 10, 11)), (7.1, (9, 11, 12)))]
    return presence_answers(np.stack([1 - p, p]), channel=1), raters


def noisy(shape=SHAPE, seed=0) -> tuple[Answers, np.ndarray]:
    """Random answers to an ellipsoid."""
    rng = np.random.default_rng(seed)
    reference = ellipsoid(shape).astype(np.int64)
    return Answers(rng.integers(0, 2, shape), rng.uniform(0.5, 1, shape)), reference


def test_the_published_function_in_voxels_agrees(balls):
    """Values of LostInFolds' function on the same confidences, raters pooled and the first alone."""
    answers, raters = balls
    bands = [boundary_bands(answers, rater, spacing_mm=VOXELS) for rater in raters]
    both = bands[0].merge(bands[1])
    assert both.count.tolist() == [8251, 12550, 18349, 10770]
    assert boundary_aware_calibration_error(both) == pytest.approx(0.08963103050504775, abs=1e-6)
    assert boundary_aware_calibration_error(bands[0]) == pytest.approx(0.1015130337626649, abs=1e-6)
    one = [boundary_bands(answers, rater, spacing_mm=VOXELS, edges_mm=ONE_BAND) for rater in raters]
    assert boundary_aware_calibration_error(one[0].merge(one[1])) == pytest.approx(0.033158933909077565, abs=1e-6)


def test_by_hand():
    """One row of voxels with a contour in the middle: two at distance 0, then 2 mm steps."""
    reference = np.array([0, 0, 0, 1, 1, 1]).reshape(6, 1, 1)
    given = np.array([0, 0, 1, 1, 1, 0]).reshape(6, 1, 1)
    answers = Answers(given, np.array([1, 0.9, 0.6, 0.6, 0.8, 0.9]).reshape(6, 1, 1))
    bands = boundary_bands(answers, reference, spacing_mm=(2.0, 1.0, 1.0), edges_mm=(0.0, 1.0, 4.0))
    assert bands.count.tolist() == [2, 2]  # the outermost two lie at 4 mm, beyond the last edge
    np.testing.assert_allclose(bands.uncertainty_sum, [0.4 + 0.4, 0.1 + 0.2])
    assert bands.error_sum.tolist() == [1, 0]
    assert bands.distance_sum_mm.tolist() == [0, 4]
    expected = (1 * abs(0.4 - 1 / 2) + 1 / 3 * abs(0.15 - 0)) / (1 + 1 / 3)
    assert boundary_aware_calibration_error(bands) == pytest.approx(expected)


def test_bands_are_in_mm_not_in_slices():
    answers, reference = noisy()
    mm = boundary_bands(answers, reference, spacing_mm=SPACING)
    voxels = boundary_bands(answers, reference, spacing_mm=VOXELS)
    assert mm.count.tolist() != voxels.count.tolist()
    distance = boundary_distance_mm(reference, spacing_mm=SPACING)
    assert mm.count[0] == np.count_nonzero(distance < 3 - 1e-4)
    assert distance.min() == 0
    assert distance[0, 8, 10] == pytest.approx(0.7 * np.flatnonzero(distance[:, 8, 10] == 0)[0], abs=1e-5)


def test_spacing_and_edges_scale_together():
    answers, reference = noisy()
    bands = boundary_bands(answers, reference, spacing_mm=SPACING)
    wide = boundary_bands(
        answers, reference, spacing_mm=tuple(2 * s for s in SPACING), edges_mm=(0.0, 6.0, 14.0, 30.0, math.inf)
    )
    assert wide.count.tolist() == bands.count.tolist()
    np.testing.assert_allclose(wide.distance_sum_mm, 2 * bands.distance_sum_mm, rtol=1e-6)


def test_one_band_is_the_distance_of_the_means():
    answers, reference = noisy()
    within = ellipsoid() | one_voxel()
    for region in (None, within):
        chosen = np.ones(SHAPE, bool) if region is None else region
        wrong = (answers.given != reference)[chosen]
        bands = boundary_bands(answers, reference, spacing_mm=SPACING, edges_mm=ONE_BAND, within=region)
        expected = abs((1 - answers.confidence[chosen]).mean() - wrong.mean())
        assert boundary_aware_calibration_error(bands) == pytest.approx(expected)
        assert bands.n == chosen.sum()


def test_relabelling_and_order_of_raters_do_not_matter(balls):
    answers, raters = balls
    first, second = (boundary_bands(answers, rater, spacing_mm=SPACING) for rater in raters)
    assert boundary_aware_calibration_error(first.merge(second)) == boundary_aware_calibration_error(
        second.merge(first)
    )
    swapped = Answers(1 - answers.given.astype(np.int64), answers.confidence)
    assert boundary_bands(swapped, 1 - raters[0], spacing_mm=SPACING).error_sum.tolist() == first.error_sum.tolist()


def test_perfect_and_sure_is_zero_and_damage_costs(balls):
    _, raters = balls
    values = []
    for shift in (0, 1, 3, 6):
        given = np.roll(raters[0], shift, axis=0)
        answers = Answers(given, np.ones(given.shape))
        values.append(boundary_aware_calibration_error(boundary_bands(answers, raters[0], spacing_mm=VOXELS)))
    assert values[0] == 0
    assert values == sorted(values)
    assert values[1] > 0


def test_where_errors_are_changes_the_number_unlike_code_whose_distances_are_all_zero():
    """MinIVess takes min(distance inside, distance outside), 0 everywhere: one band, whatever the errors do."""
    reference = (ball(8, (11, 12, 19)) < 0).astype(np.int64)
    inside, outside = distance_transform_edt(reference), distance_transform_edt(1 - reference)
    assert np.minimum(inside, outside).max() == 0  # wrong: no bands
    distance = boundary_distance_mm(reference, spacing_mm=VOXELS)
    confidence = np.where(distance < 3, 0.7, 0.95)
    order = np.argsort(distance, axis=None, kind="stable")
    n_wrong, found = 1_500, []
    for places in (order[:n_wrong], order[-n_wrong:]):
        given = reference.copy().ravel()
        given[places] = 1 - given[places]
        answers = Answers(given.reshape(reference.shape), confidence)
        bands = boundary_bands(answers, reference, spacing_mm=VOXELS)
        one = boundary_bands(answers, reference, spacing_mm=VOXELS, edges_mm=ONE_BAND)
        found.append((boundary_aware_calibration_error(bands), boundary_aware_calibration_error(one)))
    (near, near_one), (far, far_one) = found
    assert near_one == pytest.approx(far_one)  # with one band both cases are alike
    assert far > near + 0.05
    right = (answers.given == reference).ravel()
    assert far != pytest.approx(expected_calibration_error(ReliabilityBins.of(confidence.ravel(), right)), abs=0.01)


def test_a_reference_without_a_contour_is_left_out_and_counted(balls):
    answers, raters = balls
    nothing = np.zeros_like(raters[0])
    assert np.isfinite(distance_transform_edt(np.ones((3, 4, 5)))).all()  # scipy: distances to no contour at all
    assert np.isinf(boundary_distance_mm(nothing, spacing_mm=VOXELS)).all()
    empty = boundary_bands(answers, nothing, spacing_mm=VOXELS)
    assert (empty.n, empty.n_without_boundary) == (0, nothing.size)
    assert math.isnan(boundary_aware_calibration_error(empty))
    drawn = boundary_bands(answers, raters[0], spacing_mm=VOXELS)
    assert boundary_aware_calibration_error(drawn.merge(empty)) == boundary_aware_calibration_error(drawn)


def test_answers_of_classes_and_of_regions():
    p = np.array([[0.5, 0.2], [0.3, 0.1], [0.2, 0.7]]).reshape(3, 1, 1, 2)
    top = top_label_answers(p)
    assert (top.given.ravel().tolist(), top.confidence.ravel().tolist()) == ([0, 2], [0.5, 0.7])
    present = presence_answers(p, channel=2)
    assert present.given.ravel().tolist() == [0, 1]
    np.testing.assert_allclose(present.confidence.ravel(), [0.8, 0.7])


def test_smoothing_has_the_known_limits():
    answers, reference = noisy()
    gap = 1 - answers.confidence - (answers.given != reference)
    within = ellipsoid()
    for region, chosen in ((None, np.ones(SHAPE, bool)), (within, within)):
        args = {"spacing_mm": SPACING, "within": region}
        narrow = spatial_calibration_error(answers, reference, sigma_mm=1e-3, **args)
        wide = spatial_calibration_error(answers, reference, sigma_mm=300.0, **args)
        assert spatial_calibration_error(answers, reference, sigma_mm=0.0, **args) == pytest.approx(narrow)
        assert narrow == pytest.approx(np.abs(gap[chosen]).mean())
        assert wide == pytest.approx(abs(gap[chosen].mean()), abs=1e-6)


def test_smoothing_is_in_mm_and_forgives_errors_that_are_near(balls):
    answers, raters = balls
    sharp, same, other = (
        spatial_calibration_error(answers, raters[0], spacing_mm=spacing, sigma_mm=sigma)
        for spacing, sigma in ((SPACING, 2.0), (tuple(3 * s for s in SPACING), 6.0), ((4.0, 4.0, 4.0), 2.0))
    )
    assert same == pytest.approx(sharp)
    assert other > 1.05 * sharp  # two voxels lie farther apart
    values = [
        spatial_calibration_error(answers, raters[0], spacing_mm=VOXELS, sigma_mm=s) for s in (0.0, 0.5, 1.0, 4.0, 20.0)
    ]
    assert values == sorted(values, reverse=True)


def test_uncertainty_beside_the_error_costs_more_the_farther_it_lies():
    """Both maps have the same mean uncertainty and the same errors: only the place differs."""
    shape = (9, 40, 7)
    reference = np.zeros(shape, np.int64)
    given = reference.copy()
    given[:, 10] = 1
    found = []
    for place in (10, 11, 30):
        confidence = np.ones(shape)
        confidence[:, place] = 0.0
        found.append(spatial_calibration_error(Answers(given, confidence), reference, spacing_mm=VOXELS, sigma_mm=2.0))
    assert found[0] == pytest.approx(0)
    assert 0 < found[1] < found[2] / 3


def test_nothing_is_undefined_and_wrong_settings_are_refused():
    answers, reference = noisy()
    none = np.zeros(SHAPE, bool)
    assert math.isnan(spatial_calibration_error(answers, reference, spacing_mm=VOXELS, sigma_mm=1.0, within=none))
    assert math.isnan(
        boundary_aware_calibration_error(boundary_bands(answers, reference, spacing_mm=VOXELS, within=none))
    )
    with pytest.raises(ValueError, match="sigma_mm"):
        spatial_calibration_error(answers, reference, spacing_mm=VOXELS, sigma_mm=-1.0)
    for edges in ((0.0,), (0.0, 3.0, 3.0)):
        with pytest.raises(ValueError, match="ascend"):
            boundary_bands(answers, reference, spacing_mm=VOXELS, edges_mm=edges)
    other: BoundaryBands = boundary_bands(answers, reference, spacing_mm=VOXELS, edges_mm=ONE_BAND)
    with pytest.raises(ValueError, match="same edges"):
        other.merge(boundary_bands(answers, reference, spacing_mm=VOXELS))
