import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import (
    REDUCTIONS,
    CaseMasks,
    DistanceValues,
    RegionMeans,
    aggregate_maps,
    boundary_distances,
    regions_of,
)
from plausible.core import Geometry, ScalarMap, select

BALANCED = REDUCTIONS["balanced_class_mean"].function
BY_SIZE = REDUCTIONS["size_weighted_class_mean"].function
BY_DISTANCE = REDUCTIONS["distance_weighted_mean"].function


def means(values: list[float], voxels: list[int]) -> RegionMeans:
    return RegionMeans(np.array(values), np.array(voxels, dtype=np.int64))


def test_two_classes_of_different_size():
    """The fixture of aggrigator's own tests: class means 0.8 and 2.4 of 9 and 8 voxels."""
    found = means([0.8, 2.4], [9, 8])
    assert BALANCED(found) == pytest.approx((0.8 + 2.4) / 2)
    assert BY_SIZE(found) == pytest.approx(0.8 * 9 / 17 + 2.4 * 8 / 17)
    with_background = means([0, 0.8, 2.4], [8, 9, 8])
    assert BALANCED(with_background) == pytest.approx(16 / 15)
    assert BY_SIZE(with_background) == pytest.approx((7.2 + 19.2) / 25)


def test_absent_classes_are_left_out():
    assert BALANCED(means([0.8, math.nan], [9, 0])) == 0.8
    assert BY_SIZE(means([0.8, math.nan], [9, 0])) == 0.8
    assert math.isnan(BALANCED(means([math.nan], [0])))
    assert math.isnan(BY_SIZE(means([], [])))
    assert math.isnan(BALANCED(means([0.8, math.nan], [9, 3])))  # a class that is there and has no number


def case(mask: np.ndarray, geometry: Geometry) -> CaseMasks:
    return CaseMasks(mask[None], mask[None], geometry, ("liver",))


def test_rows_of_classes_are_about_the_subject_and_count_those_that_are_there(geometry):
    masks = np.zeros((3, *geometry.shape), bool)
    masks[0, 1:3, 1:3, 1:3], masks[1, 4, 4, 4] = True, True
    values = np.random.default_rng(0).random((1, *geometry.shape)).astype(np.float32)
    entropy = ScalarMap("predictive_entropy", values, geometry, "nat", (0.0, 1.4), "")
    rows = aggregate_maps([entropy], CaseMasks(masks, masks, geometry, ("a", "b", "c")), subject="s1")
    inside = [values[0][mask].mean() for mask in masks[:2]]
    (balanced,) = select(rows, reduction="balanced_class_mean")
    assert (balanced.structure, balanced.region, balanced.n) == ("", "predicted_structure", 2)
    assert balanced.value == pytest.approx(np.mean(inside), rel=1e-6)
    (weighted,) = select(rows, reduction="size_weighted_class_mean")
    assert weighted.value == pytest.approx(values[0][masks.any(axis=0)].mean(), rel=1e-6)  # as over the foreground


@pytest.mark.parametrize("n", [20, 40])
def test_a_constant_is_itself_where_published_code_divides_twice(n):
    mask = np.zeros((n, n, n), bool)
    mask[5:15, 5:15, 5:15] = True
    geometry = Geometry(mask.shape, np.eye(4))
    (region,) = regions_of(case(mask, geometry), ["whole_image"])
    distances = boundary_distances(case(mask, geometry), region, structure="liver")
    constant = np.full(n**3, 0.8, np.float32)
    assert BY_DISTANCE(DistanceValues(constant, distances)) == pytest.approx(0.8)
    weights = np.minimum(distances, 4) / np.minimum(distances, 4).sum()
    published = (weights * constant).mean()
    assert published == pytest.approx({20: 1.0e-4, 40: 1.25e-5}[n])


def test_what_is_far_from_the_boundary_counts_more():
    assert BY_DISTANCE(DistanceValues(np.array([1, 0], np.float32), np.array([1, 3], np.float32))) == 1 / 4
    assert BY_DISTANCE(DistanceValues(np.array([1, 0], np.float32), np.array([1, 7], np.float32))) == 1 / 5
    nothing = np.zeros(0, np.float32)
    assert math.isnan(BY_DISTANCE(DistanceValues(nothing, nothing)))


@given(seed=st.integers(0, 99), name=st.sampled_from(["whole_image", "predicted_structure", "boundary", "lesion"]))
def test_distances_in_a_box_are_those_of_the_image_by_brute_force(geometry, seed, name):
    mask = np.random.default_rng(seed).random(geometry.shape) < 0.4
    points = np.indices(geometry.shape).reshape(3, -1).T @ geometry.affine[:3, :3].T
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    nearest = np.where(mask.ravel()[:, None] != mask.ravel()[None], apart, np.inf).min(axis=1).reshape(mask.shape)
    for region in regions_of(case(mask, geometry), [name], connectivity=6):
        found = boundary_distances(case(mask, geometry), region, structure="liver")
        expected = nearest[region.box][region.inside]
        assert np.minimum(found, 4) == pytest.approx(np.minimum(expected, 4), rel=1e-5)


def test_boundary_of_all_structures_runs_between_labels_too(geometry):
    masks = np.zeros((2, *geometry.shape), bool)
    masks[0, :, :, :6], masks[1, :, :, 6:] = True, True
    both = CaseMasks(masks, masks, geometry, ("a", "b"))
    (region,) = regions_of(both, ["whole_image"])
    distances = boundary_distances(both, region, structure="").reshape(geometry.shape)
    assert distances[0, 0, [5, 6]] == pytest.approx([3, 3])
    alone = CaseMasks(masks.any(axis=0)[None], masks.any(axis=0)[None], geometry, ("a",))
    assert np.isinf(boundary_distances(alone, region, structure="")).all()
    overlapping = CaseMasks(np.stack([masks.any(axis=0), masks[1]]), masks, geometry, ("a", "b"))
    again = boundary_distances(overlapping, region, structure="").reshape(geometry.shape)
    assert np.array_equal(again, distances)


def test_a_region_far_from_the_structure_sees_the_boundary_outside_its_box(geometry):
    """One member sees a voxel four voxels of 0.7 mm from what is predicted: the box of the region ends before."""
    predicted, ever = np.zeros(geometry.shape, bool), np.zeros(geometry.shape, bool)
    predicted[0, 3, 5] = ever[4, 3, 5] = True
    masks = CaseMasks(predicted[None], ever[None], geometry, ("liver",))
    (region,) = regions_of(masks, ["ever_foreground"])
    assert boundary_distances(masks, region, structure="liver") == pytest.approx([4 * 0.7], rel=1e-5)
