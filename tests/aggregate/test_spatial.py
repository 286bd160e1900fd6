"""Moran's I and Geary's C: closed forms, a dense matrix of weights, and another author's library."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, Region, RegionMap

SPACING = (0.7, 1.1, 3.0)
MORAN, GEARY = REDUCTIONS["morans_i"].function, REDUCTIONS["gearys_c"].function
MORAN_MM, GEARY_MM = (REDUCTIONS[f"{name}_by_distance"].function for name in ("morans_i", "gearys_c"))
SPATIAL = pytest.mark.parametrize("function", [MORAN, GEARY, MORAN_MM, GEARY_MM])


def whole(values: np.ndarray, *, spacing_mm=SPACING, inside: np.ndarray | None = None) -> RegionMap:
    box = tuple(slice(0, n) for n in values.shape)
    chosen = np.ones(values.shape, bool) if inside is None else inside
    return RegionMap(values.astype(np.float32), Region("whole_image", "", box, chosen), spacing_mm, 1.0)


def checkerboard(*shape: int) -> np.ndarray:
    return np.indices(shape).sum(axis=0) % 2


def random_map(seed: int, shape=(5, 7, 11)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape)


def dense_weights(shape: tuple[int, ...], inside: np.ndarray, weights: tuple[float, float, float]) -> np.ndarray:
    """One weight per pair of voxels in the region, 0 but for face neighbours."""
    places = np.argwhere(inside)
    steps = np.abs(places[:, None] - places[None])
    neighbours = steps.sum(axis=2) == 1
    return neighbours * (steps * np.array(weights)).sum(axis=2)


@pytest.mark.parametrize("shape", [(6, 6, 6), (6, 8, 1), (1, 4, 6)])
def test_checkerboard(shape):
    n = math.prod(shape)
    assert MORAN(whole(checkerboard(*shape))) == pytest.approx(-1)
    assert GEARY(whole(checkerboard(*shape))) == pytest.approx(2 * (n - 1) / n)


def test_checkerboard_of_six_cubed():
    assert GEARY(whole(checkerboard(6, 6, 6))) == pytest.approx(1.990741, abs=1e-6)


def test_quadrants_are_clustered():
    values = np.zeros((64, 64, 1))
    values[:32, :32] = values[32:, 32:] = 1
    assert MORAN(whole(values)) == pytest.approx(1 - 2 * (64 + 64) / (2 * 64 * 63), abs=1e-12)  # pairs that differ
    assert 0.95 < MORAN(whole(values)) < 0.99


def test_no_arrangement_has_the_mean_that_theory_says():
    found = [MORAN(whole(random_map(seed))) for seed in range(400)]
    assert np.mean(found) == pytest.approx(-1 / (5 * 7 * 11 - 1), abs=3 * np.std(found) / math.sqrt(400))
    assert np.mean([GEARY(whole(random_map(seed))) for seed in range(400)]) == pytest.approx(1, abs=0.01)


@given(seed=st.integers(0, 999), share=st.floats(0.2, 1))
def test_every_region_by_a_dense_matrix(seed, share):
    values = random_map(seed, (3, 4, 5)).astype(np.float32).astype(float)
    inside = np.random.default_rng(seed + 1).random(values.shape) < share
    x = values[inside]
    for weights, moran, geary in (((1, 1, 1), MORAN, GEARY), (tuple(1 / s for s in SPACING), MORAN_MM, GEARY_MM)):
        w = dense_weights(values.shape, inside, weights)
        if x.size < 2 or not w.any():
            assert math.isnan(moran(whole(values, inside=inside)))
            continue
        z = x - x.mean()
        expected = x.size / w.sum() * (z @ w @ z) / (z @ z)
        assert moran(whole(values, inside=inside)) == pytest.approx(expected, rel=1e-9, abs=1e-12)
        expected = (x.size - 1) / (2 * w.sum()) * (w * (x[:, None] - x[None]) ** 2).sum() / (z @ z)
        assert geary(whole(values, inside=inside)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("seed", "shape", "moran", "geary"),
    [(3, (7, 11, 1), -0.1170040760715792, 1.0741610456585264), (4, (3, 4, 5), -0.09561481352834714, 1.081273124279227)],
)
def test_values_of_another_library(seed, shape, moran, geary):
    """Recorded from esda 2.9.0 on libpysal 4.14.1, binary weights: a lattice in 2-D, a matrix of neighbours in 3-D."""
    values = whole(random_map(seed, shape))
    assert MORAN(values) == pytest.approx(moran, rel=1e-12)
    assert GEARY(values) == pytest.approx(geary, rel=1e-12)


@SPATIAL
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_constant_map_is_undefined_where_published_code_says_one(function, value):
    assert math.isnan(function(whole(np.full((5, 7, 11), value))))


@SPATIAL
def test_empty_region_and_single_voxel_are_undefined(function):
    for n in (0, 1):
        inside = np.zeros((5, 7, 11), bool)
        inside.flat[:n] = True
        assert math.isnan(function(whole(random_map(0), inside=inside)))


@SPATIAL
def test_undefined_voxels_make_the_number_undefined_inside_the_region_alone(function):
    values = random_map(0)
    values[0, 0, 0] = math.nan
    inside = np.ones(values.shape, bool)
    assert math.isnan(function(whole(values, inside=inside)))
    inside[0] = False
    assert not math.isnan(function(whole(values, inside=inside)))


@SPATIAL
@given(seed=st.integers(0, 99), scale=st.floats(0.1, 10), shift=st.floats(0, 5))
def test_scale_and_shift_of_the_map_do_not_matter(function, seed, scale, shift):
    values = random_map(seed)
    assert function(whole(values * scale + shift)) == pytest.approx(function(whole(values)), rel=1e-3, abs=1e-4)


@SPATIAL
def test_a_multiple_of_the_spacing_does_not_matter(function):
    doubled = tuple(2 * spacing for spacing in SPACING)
    assert function(whole(random_map(1), spacing_mm=doubled)) == pytest.approx(function(whole(random_map(1))))


def test_distances_matter_only_where_spacings_differ():
    values = random_map(2)
    even, uneven = whole(values, spacing_mm=(2.0, 2.0, 2.0)), whole(values)
    assert MORAN_MM(even) == pytest.approx(MORAN(even))
    assert GEARY_MM(even) == pytest.approx(GEARY(even))
    assert abs(MORAN_MM(uneven) - MORAN(uneven)) > 1e-4
    stripes = np.zeros((6, 6, 6))
    stripes[:, :, ::2] = 1  # neighbours along the far axis differ, those along the close axes agree
    assert MORAN_MM(whole(stripes)) > MORAN(whole(stripes))
