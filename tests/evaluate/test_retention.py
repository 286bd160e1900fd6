"""Correcting the most uncertain first: closed forms, limits, ties, and the published program's numbers."""

import math

import numpy as np
import pytest

from plausible.evaluate import (
    LESION_LOAD,
    QU_BRATS_SCORES,
    RETENTION_SCORES,
    area_under_retention,
    filtered_counts,
    filtered_dice_area,
    filtered_negatives_area,
    filtered_positives_area,
    lesion_retention,
    normalized_retention_gain,
    patient_retention,
    qu_brats_score,
    voxel_retention,
)
from plausible.evaluate.overlap import dice, overlap
from tests.evaluate.shapes import SHAPE, damaged, ellipsoid


def masks(seed=0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A damaged ellipsoid with false positives, the true one, and distinct uncertainties that know of some errors."""
    rng = np.random.default_rng(seed)
    reference = ellipsoid()
    prediction = damaged(reference, steps=2) | (rng.random(SHAPE) < 0.02)
    return prediction, reference, rng.random(SHAPE) + 0.5 * (prediction ^ reference)


def test_ends_are_the_dice_and_one():
    prediction, reference, uncertainty = masks()
    curve = voxel_retention(prediction, reference, uncertainty)
    whole = dice(overlap(prediction, reference, voxel_volume_ml=1.0))
    for values in (curve.score, curve.ideal, curve.random):
        assert values[-1] == pytest.approx(whole)
        assert values[0] == 1
    assert (curve.retained[0], curve.retained[-1], curve.n) == (0, 1, reference.size)


def test_published_loop_agrees_on_distinct_uncertainties():
    """Molchanova et al.: sort, keep the first part as predicted, take the rest from the truth."""
    prediction, reference, uncertainty = (values.ravel() for values in masks())
    order = np.argsort(uncertainty)
    p, y = prediction[order], reference[order]
    k = (1 - 0.001) * y.sum() / (0.001 * (~y).sum())
    for load, weight in ((None, 1.0), (LESION_LOAD, k)):
        curve = voxel_retention(*masks(), lesion_load=load, n_shares=y.size + 1)
        for kept in (0, 17, 1_000, y.size - 3, y.size):
            mixed = np.append(p[:kept], y[kept:])
            right, false, missed = (mixed & y).sum(), (mixed & ~y).sum(), (y & ~mixed).sum()
            assert curve.score[kept] == pytest.approx(2 * right / (2 * right + weight * false + missed))


def test_by_hand():
    """Four voxels, the most uncertain one is false: at half retained all is right."""
    prediction = np.array([1, 1, 0, 1], bool).reshape(4, 1, 1)
    reference = np.array([1, 1, 0, 0], bool).reshape(4, 1, 1)
    uncertainty = np.array([0.1, 0.2, 0.3, 0.9]).reshape(4, 1, 1)
    curve = voxel_retention(prediction, reference, uncertainty, n_shares=5)
    np.testing.assert_allclose(curve.score, [1, 1, 1, 1, 4 / 5])
    np.testing.assert_allclose(curve.random, [4 / (4 + f) for f in (0, 1 / 4, 1 / 2, 3 / 4, 1)])
    assert area_under_retention(curve) == pytest.approx(1 - 0.2 / 8)
    assert normalized_retention_gain(curve) == 1


def test_ideal_and_random_are_the_limits():
    prediction, reference, uncertainty = masks()
    wrong = (prediction ^ reference).astype(float)
    perfect = voxel_retention(prediction, reference, wrong)
    silent = voxel_retention(prediction, reference, np.full(SHAPE, 0.3))
    assert normalized_retention_gain(perfect) == pytest.approx(1)
    assert normalized_retention_gain(silent) == pytest.approx(0)
    assert normalized_retention_gain(voxel_retention(prediction, reference, -wrong)) < 0
    assert 0 < normalized_retention_gain(voxel_retention(prediction, reference, uncertainty)) < 1


def test_ties_do_not_depend_on_the_order_of_voxels():
    """The published loop sorts ties by their place: a constant map scores by where the errors lie in the file."""
    prediction, reference, _ = masks()
    constant = np.zeros(SHAPE)
    ours = area_under_retention(voxel_retention(prediction, reference, constant))
    turned = area_under_retention(voxel_retention(prediction[::-1], reference[::-1], constant))
    assert turned == pytest.approx(ours)
    by_place = np.arange(reference.size, dtype=float).reshape(SHAPE)
    first, last = (
        area_under_retention(voxel_retention(prediction, reference, order)) for order in (by_place, -by_place)
    )
    assert abs(first - last) > 0.01  # wrong: two values for one constant map


def test_normalized_dice_does_not_depend_on_the_lesion_load():
    """The same sensitivity and specificity at two loads: nDSC agrees, Dice does not."""
    found = []
    for n_true in (1_000, 100):
        reference = np.zeros((10, 100, 20), bool)
        reference.ravel()[:n_true] = True
        n_false = 20_000 - n_true
        prediction = reference.copy()
        prediction.ravel()[: n_true // 5] = False
        prediction.ravel()[n_true : n_true + round(0.01 * n_false)] = True
        constant = np.zeros(reference.shape)
        found.append(
            [voxel_retention(prediction, reference, constant, lesion_load=r).score[-1] for r in (None, LESION_LOAD)]
        )
    assert abs(found[0][0] - found[1][0]) > 0.3
    assert found[0][1] == pytest.approx(found[1][1], rel=0.01)


def test_lesions_and_patients_by_hand():
    lesions = lesion_retention(np.array([0.1, 0.9, 0.5]), np.array([True, False, True]), n_shares=4)
    np.testing.assert_allclose(lesions.score, [1, 1, 1, 2 / 3])
    patients = patient_retention(np.array([0.1, 0.9, np.nan]), np.array([0.9, 0.5, 0.2]), n_shares=3)
    np.testing.assert_allclose(patients.score, [1, (0.9 + 1) / 2, (0.9 + 0.5) / 2])
    np.testing.assert_allclose(patients.random, [1, (1 + 0.7) / 2, 0.7])
    assert patients.n == 2
    assert normalized_retention_gain(patients) == pytest.approx(1)
    worst = patient_retention(np.array([0.9, 0.1]), np.array([0.9, 0.5]))
    assert normalized_retention_gain(worst) == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize("entry", list(RETENTION_SCORES), ids=lambda e: e.name)
def test_what_is_undefined(entry):
    prediction, reference, uncertainty = masks()
    nothing = np.zeros(SHAPE, bool)
    assert math.isnan(entry.function(voxel_retention(prediction, nothing, uncertainty)))
    assert math.isnan(entry.function(voxel_retention(nothing, nothing, uncertainty)))
    assert math.isnan(entry.function(voxel_retention(prediction, reference, uncertainty, within=nothing)))
    assert math.isnan(entry.function(lesion_retention(np.zeros(0), np.zeros(0, bool))))
    assert math.isnan(entry.function(lesion_retention(np.array([0.3, 0.4]), np.zeros(2, bool))))
    assert math.isnan(entry.function(patient_retention(np.zeros(0), np.zeros(0))))


def test_a_perfect_prediction_gains_nothing():
    reference = ellipsoid()
    curve = voxel_retention(reference, reference, np.random.default_rng(0).random(SHAPE))
    assert area_under_retention(curve) == pytest.approx(1)
    assert math.isnan(normalized_retention_gain(curve))


def test_a_region_counts_only_its_voxels():
    prediction, reference, uncertainty = masks()
    within = np.zeros(SHAPE, bool)
    within[2:8, 3:12] = True
    part = voxel_retention(prediction, reference, uncertainty, within=within)
    box = voxel_retention(prediction[2:8, 3:12], reference[2:8, 3:12], uncertainty[2:8, 3:12])
    np.testing.assert_allclose(part.score, box.score)
    with pytest.raises(ValueError, match="lesion_load"):
        voxel_retention(prediction, reference, uncertainty, lesion_load=1.0)


def filtered(seed=0):
    prediction, reference, uncertainty = masks(seed)
    brain = np.zeros(SHAPE, bool)
    brain[1:-1, 1:-2, 2:] = True
    return prediction, reference, uncertainty / uncertainty.max() * 100, brain


def test_filtering_agrees_with_the_published_loop():
    """Mehta et al.: at each threshold Dice of what is left, and the shares filtered within the brain."""
    prediction, reference, uncertainty, brain = filtered()
    counts = filtered_counts(prediction, reference, uncertainty, within=brain)
    for place, threshold in enumerate(counts.thresholds):
        left = ~(uncertainty > threshold)
        p, y = prediction & left, reference & left
        size = p.sum() + y.sum()
        assert counts.dice[place] == pytest.approx(2 * (p & y).sum() / size if size else 1)
        for kind, shares in (
            (prediction & reference & brain, counts.filtered_positives),
            (~prediction & ~reference & brain, counts.filtered_negatives),
        ):
            assert shares[place] == pytest.approx(1 - (kind & left).sum() / kind.sum())
    expected = (
        filtered_dice_area(counts) + 1 - filtered_positives_area(counts) + 1 - filtered_negatives_area(counts)
    ) / 3
    assert qu_brats_score(counts) == pytest.approx(expected)


def test_filtering_ends_and_limits():
    prediction, reference, uncertainty, brain = filtered()
    sure = filtered_counts(reference, reference, np.zeros(SHAPE), within=brain)
    assert [entry.function(sure) for entry in QU_BRATS_SCORES] == [1, 0, 0, 1]
    wrong = 100.0 * (prediction ^ reference)
    known = filtered_counts(prediction, reference, wrong, within=brain)
    assert filtered_positives_area(known) == filtered_negatives_area(known) == 0
    assert filtered_dice_area(known) > filtered_dice_area(
        filtered_counts(prediction, reference, uncertainty, within=brain)
    )
    assert known.dice[-1] == pytest.approx(dice(overlap(prediction, reference, voxel_volume_ml=1.0)))
    none = np.zeros(SHAPE, bool)
    assert filtered_dice_area(filtered_counts(none, none, uncertainty, within=brain)) == 1  # as the protocol has it


def test_filtering_refuses_another_scale():
    prediction, reference, uncertainty, brain = filtered()
    with pytest.raises(ValueError, match="0 to 100"):
        filtered_counts(prediction, reference, 2 * uncertainty, within=brain)
    with pytest.raises(ValueError, match="thresholds"):
        filtered_counts(prediction, reference, uncertainty, within=brain, thresholds=(0.0, 50.0))
