import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, Region, patch_sums, patch_voxels
from plausible.core import Geometry

MEAN, SUM = REDUCTIONS["largest_patch_mean"].function, REDUCTIONS["largest_patch_sum"].function


def whole(shape: tuple[int, ...]) -> Region:
    return Region("whole_image", "", tuple(slice(0, n) for n in shape), np.ones(shape, bool))


def even(shape: tuple[int, int, int], spacing_mm: float = 1.0) -> Geometry:
    return Geometry(shape, np.diag([spacing_mm] * 3 + [1]))


@pytest.mark.parametrize(("size", "mean"), [(2, 3.5), (3, 3.0), (4, 2.5), (1, 4.0), (99, 2.5)])
def test_patches_of_four_columns(size, mean):
    values = np.tile(np.arange(1, 5, dtype=np.float32), (4, 1))[:, :, None]
    found = patch_sums(values, whole(values.shape), even(values.shape), patch_mm=float(size))
    assert MEAN(found) == pytest.approx(mean)
    assert SUM(found) == pytest.approx(mean * min(size, 4) ** 2 / 1000)


@given(seed=st.integers(0, 99), patch_mm=st.sampled_from([0.5, 1.5, 3.0, 4.0, 7.0]), all_of_it=st.booleans())
def test_cumulative_sums_are_a_loop_over_boxes(geometry, seed, patch_mm, all_of_it):
    rng = np.random.default_rng(seed)
    values = rng.random(geometry.shape).astype(np.float32)
    inside = np.ones(geometry.shape, bool)
    region = whole(geometry.shape)
    if not all_of_it:
        inside = np.zeros(geometry.shape, bool)
        box = tuple(slice(a, a + 2) for a in rng.integers(0, (4, 6, 10)))
        inside[box] = rng.random((2, 2, 2)) < 0.8
        inside[box][0, 0, 0] = True
        region = Region("some", "", box, inside[box])
    size = patch_voxels(geometry, patch_mm=patch_mm)
    boxes = np.lib.stride_tricks.sliding_window_view(np.where(inside, values, 0).astype(float), size)
    largest = boxes.sum(axis=(3, 4, 5)).max()
    found = patch_sums(values, region, geometry, patch_mm=patch_mm)
    assert SUM(found) == pytest.approx(largest * 0.00231, rel=1e-9)
    assert MEAN(found) == pytest.approx(largest / math.prod(size), rel=1e-9)


def test_side_is_told_in_mm_and_fits_into_the_image(geometry):
    assert patch_voxels(geometry, patch_mm=3.0) == (4, 3, 1)
    assert patch_voxels(geometry, patch_mm=0.1) == (1, 1, 1)
    assert patch_voxels(geometry, patch_mm=1000.0) == geometry.shape


def test_the_largest_mean_of_a_finer_grid_is_that_of_the_coarse_one():
    values = np.zeros((8, 8, 8), np.float32)
    values[2:4, 4:6, 2:6] = 0.7
    fine = values.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    coarse = patch_sums(values, whole(values.shape), even(values.shape, 2.0), patch_mm=4.0)
    finer = patch_sums(fine, whole(fine.shape), even(fine.shape, 1.0), patch_mm=4.0)
    assert MEAN(finer) == pytest.approx(MEAN(coarse))
    assert SUM(finer) == pytest.approx(SUM(coarse))


def test_sum_and_mean_are_not_one_number():
    """ValUES takes the largest sum, aggrigator the largest mean; both call it patch."""
    values = np.full((8, 8, 8), 0.5, np.float32)
    found = patch_sums(values, whole(values.shape), even(values.shape), patch_mm=4.0)
    assert MEAN(found) == pytest.approx(0.5)
    assert SUM(found) == pytest.approx(0.5 * 4**3 / 1000)


def test_empty_region_and_undefined_voxels_are_undefined(geometry):
    values = np.ones(geometry.shape, np.float32)
    nothing = Region("none", "", (slice(0, 0),) * 3, np.zeros((0, 0, 0), bool))
    assert math.isnan(MEAN(patch_sums(values, nothing, geometry)))
    assert math.isnan(SUM(patch_sums(values, nothing, geometry)))
    values[0, 0, 0] = np.nan
    assert math.isnan(MEAN(patch_sums(values, whole(geometry.shape), geometry)))


@pytest.mark.parametrize("patch_mm", [0.0, -1.0, math.nan])
def test_boxes_without_a_side_are_refused(patch_mm, geometry):
    with pytest.raises(ValueError, match="patch_mm must be above 0"):
        patch_voxels(geometry, patch_mm=patch_mm)
