"""What published code computes under the names of our scores, where no other test says so: the wrong value and ours."""

import math

import numpy as np
import pytest
from scipy.ndimage import binary_erosion, distance_transform_edt

from plausible.evaluate import (
    Overlap,
    SetOverlap,
    area_under_risk_coverage,
    dice,
    hausdorff_distance,
    normalized_area_under_risk_coverage,
    normalized_surface_dice,
    overlap,
    risk_coverage,
    surface_distances,
    top_label_bins,
)
from tests.evaluate.test_ambiguity import rows, sets


def box(shape: tuple[int, int, int], *sides: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(*side) for side in sides)] = True
    return mask


def edge_distances(of: np.ndarray, to: np.ndarray, spacing_mm: tuple[float, float, float]) -> np.ndarray:
    """From each boundary voxel of one mask to the nearest boundary voxel of another."""
    first, second = (mask & ~binary_erosion(mask) for mask in (of, to))
    return distance_transform_edt(~second, sampling=spacing_mm)[first]


def test_boundary_voxels_are_not_areas():
    """MONAI counts boundary voxels, whatever area each stands for: 0.7623 where the share of the area is 0.8757."""
    cube = box((20, 20, 20), (4, 14), (4, 14), (4, 14))
    moved, spacing = np.roll(cube, 1, axis=0), (3.0, 1.0, 1.0)
    near = [edge_distances(a, b, spacing) <= 2 for a, b in ((cube, moved), (moved, cube))]
    assert np.concatenate(near).mean() == pytest.approx(0.7623, abs=1e-4)  # another score
    distances = surface_distances(cube, moved, spacing_mm=spacing)
    assert normalized_surface_dice(distances, tolerance_mm=2.0) == pytest.approx(0.8757, abs=1e-4)


def test_distance_of_all_organs_at_once_in_voxels_is_nobodys():
    """A published script joins the organs and knows no spacing: a missed end of one lies in the other."""
    shape, spacing = (30, 9, 9), (3.0, 1.0, 1.0)
    liver, kidney = box(shape, (2, 12), (2, 7), (2, 7)), box(shape, (12, 22), (2, 7), (2, 7))
    grown, shrunk = box(shape, (2, 16), (2, 7), (2, 7)), box(shape, (16, 22), (2, 7), (2, 7))
    joined = edge_distances(liver | kidney, grown | shrunk, (1, 1, 1)).max()
    assert joined == 0  # wrong: a border moved by four slices is not seen
    for prediction, reference in ((grown, liver), (shrunk, kidney)):
        assert hausdorff_distance(surface_distances(prediction, reference, spacing_mm=spacing)) == pytest.approx(4 * 3)


@pytest.mark.parametrize("of_nothing", [0.0, 1.0])
def test_organs_that_nobody_has_neither_raise_nor_lower_a_mean(of_nothing):
    """Two empty masks are 1 in some published code and 0 in other."""
    found = [Overlap(6, 2, 2, 90, 0.001), Overlap(0, 0, 0, 100, 0.001)]
    ours = [dice(each) for each in found]
    assert ours[0] == pytest.approx(12 / 16)
    assert math.isnan(ours[1])
    assert np.nanmean(ours) == 12 / 16
    assert abs(np.mean([ours[0], of_nothing]) - 12 / 16) > 0.1  # wrong
    assert math.isnan(dice(overlap(*np.zeros((2, 3, 4, 5), bool), voxel_volume_ml=0.001)))


def test_a_value_on_an_edge_lies_in_the_bin_above():
    """MONAI documents [l, r) and does not keep to it: a probability of 0.5 in two bins belongs to the upper one."""
    p = np.full((2, 1, 1, 4), 0.5)
    p[:, 0, 0, 3] = 0.25, 0.75
    truth = np.zeros(p.shape)
    truth[0] = 1
    bins = top_label_bins(p, truth, n_bins=4)
    assert bins.count.tolist() == [0, 0, 3, 1]
    upper_edge = np.searchsorted(np.linspace(0, 1, 5), p.max(axis=0).ravel(), side="left") - 1
    assert np.bincount(upper_edge, minlength=4).tolist() == [0, 3, 1, 0]  # wrong


def test_each_pair_is_compared_once():
    """LostInFolds walks 49 ordered pairs of three raters and five members, 28 hold all that they tell."""
    rng = np.random.default_rng(0)
    both: SetOverlap = sets(rows(*rng.integers(0, 2, (3, 12))), rows(*rng.integers(0, 2, (5, 12))))
    n = {"raters": len(both.raters), "members": len(both.members)}
    ordered = n["raters"] * n["members"] + n["raters"] ** 2 + n["members"] ** 2
    assert ordered == 49  # twice each, and each with itself
    assert both.n_pairs == 28


def test_a_random_order_is_worth_nothing():
    """Zenk's code mixes two estimators: a random order of ten cases scores well above 0 on average."""
    rng = np.random.default_rng(3)
    risk = rng.random(10)
    curves = [risk_coverage(rng.permutation(10).astype(float), risk) for _ in range(3000)]
    best = area_under_risk_coverage(curves[0].perfect, convention="trapezoid")
    areas = [area_under_risk_coverage(curve, convention="trapezoid") for curve in curves]
    published = (risk.mean() - np.array(areas)) / (risk.mean() - best)
    assert published.mean() > 0.1  # wrong
    assert np.mean([normalized_area_under_risk_coverage(curve) for curve in curves]) == pytest.approx(0, abs=0.03)


@pytest.mark.parametrize(
    ("risk", "from_zero"), [((0.1, 0.2, 0.3, 0.4), 0.14375), ((0.4, 0.3, 0.2, 0.1), 0.29375), ((0.3,) * 4, 0.2625)]
)
def test_nobody_kept_is_not_a_risk_of_zero(risk, from_zero):
    """failcatcher starts its trapezoids at a risk of 0 for a coverage of 0: a constant risk has a smaller area."""
    kept = np.arange(5)
    selective = np.append(0, np.cumsum(risk) / kept[1:])
    published = np.trapezoid(selective, kept / 4)
    curve = risk_coverage(np.arange(4.0, 0.0, -1.0), np.array(risk))
    assert published == pytest.approx(from_zero)  # wrong
    assert area_under_risk_coverage(curve) == pytest.approx(published + risk[0] / (2 * 4))
    constant = risk_coverage(np.arange(4.0), np.full(4, 0.3))
    assert area_under_risk_coverage(constant) == pytest.approx(0.3)
