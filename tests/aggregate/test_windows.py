"""Mass ratios against a loop over windows, and where the published code goes wrong."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, Region, RegionMap
from tests.aggregate.test_spatial import MORAN, checkerboard, whole

MOR, EDS, ENT = (REDUCTIONS[f"{name}_mass_ratio"].function for name in ("moran", "edge", "entropy"))
RATIOS = pytest.mark.parametrize("function", [MOR, EDS, ENT])
SHAPE = (4, 5, 6)


def windows(values: np.ndarray):
    """Every voxel with its mirrored window, 1 voxel wide along axes of one voxel."""
    pads = [(1, 1) if n > 1 else (0, 0) for n in values.shape]
    padded = np.pad(values, pads, mode="reflect")
    for place in product(*(range(n) for n in values.shape)):
        yield place, padded[tuple(slice(a, a + (3 if n > 1 else 1)) for a, n in zip(place, values.shape, strict=True))]


def ratio_by_loop(values: np.ndarray, score, *, inside: np.ndarray | None = None) -> float:
    chosen = np.ones(values.shape, bool) if inside is None else inside
    scored = [(values[place], score(window)) for place, window in windows(values) if chosen[place]]
    known = [(u, s) for u, s in scored if not math.isnan(s)]
    return sum(u * s for u, s in known) / sum(u for u, _ in known)


def moran_of_window(window: np.ndarray) -> float:
    return max(0.0, MORAN(whole(window))) if window.min() < window.max() else math.nan


def entropy_of_window(window: np.ndarray) -> float:
    counts, _ = np.histogram(window, bins=4, range=(0, 1))
    shares = counts[counts > 0] / window.size
    return float(-(shares * np.log(shares)).sum() / np.log(4))


def some_map(seed: int, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).random(shape).astype(np.float32)


@given(seed=st.integers(0, 99), shape=st.sampled_from([SHAPE, (5, 6, 1), (1, 2, 7)]))
def test_box_filters_are_a_loop_over_windows(seed, shape):
    values = some_map(seed, shape)
    assert MOR(whole(values)) == pytest.approx(ratio_by_loop(values, moran_of_window), rel=1e-6)
    assert ENT(whole(values)) == pytest.approx(ratio_by_loop(values, entropy_of_window), rel=1e-5)


@given(seed=st.integers(0, 99))
def test_a_region_sees_what_lies_around_it(seed):
    values = some_map(seed, (5, 7, 11))
    inside = np.zeros(values.shape, bool)
    inside[1:3, 2:5, 4:8] = some_map(seed + 1, (2, 3, 4)) < 0.7
    inside[1, 2, 4] = True
    box = (slice(1, 3), slice(2, 5), slice(4, 8))
    part = RegionMap(values, Region("some", "", box, inside[box]), (0.7, 1.1, 3.0), 1.0)
    assert MOR(part) == pytest.approx(ratio_by_loop(values, moran_of_window, inside=inside), rel=1e-6)
    assert ENT(part) == pytest.approx(ratio_by_loop(values, entropy_of_window, inside=inside), rel=1e-5)
    assert EDS(part) == pytest.approx(EDS(whole(values, inside=inside)), rel=1e-6)


def test_edges_are_slopes_in_mm():
    ramp = np.arange(40, dtype=np.float32)[:, None, None] * np.ones((1, 5, 5), np.float32)
    for axis in range(3):
        steep, flat = (np.moveaxis(ramp * slope, 0, axis) for slope in (0.0253, 0.0247))
        assert EDS(whole(steep, spacing_mm=(1.0, 1.0, 1.0))) > 0.9  # all but where the map ends
        assert EDS(whole(flat, spacing_mm=(1.0, 1.0, 1.0))) == 0
        assert EDS(whole(steep, spacing_mm=(2.0, 2.0, 2.0))) == 0
        assert EDS(whole(np.minimum(2 * flat, 1), spacing_mm=(1.99, 1.99, 1.99))) == 0


def test_slopes_do_not_grow_from_two_to_three_dimensions():
    """A Sobel filter that is not normalised gives 8 times the slope in 2-D and 32 times in 3-D."""
    ramp = np.arange(30, dtype=np.float32)[:, None] * np.ones((1, 8), np.float32) * 0.02
    flat, deep = ramp[:, :, None], np.repeat(ramp[:, :, None], 8, axis=2)
    assert EDS(whole(flat, spacing_mm=(1.0, 1.0, 1.0))) == EDS(whole(deep, spacing_mm=(1.0, 1.0, 1.0))) == 0
    assert 0.02 * 32 > 0.2 > 0.02 * 8  # the published limit of 0.2 would call all of the deep image an edge


def test_a_share_of_edges_in_the_window():
    values = np.full((9, 9, 9), 0.4, np.float32)
    values[4, 4, 4] = 0.9
    share = EDS(whole(values, spacing_mm=(1.0, 1.0, 1.0)))
    assert 0 < share < 1


def test_entropy_of_four_classes_is_rescaled_by_its_upper_bound():
    rng = np.random.default_rng(0)
    shares = rng.random(SHAPE).astype(np.float32)
    box = tuple(slice(0, n) for n in SHAPE)
    region = Region("whole_image", "", box, np.ones(SHAPE, bool))
    in_nat = RegionMap(shares * np.float32(math.log(4)), region, (1.0, 1.0, 1.0), math.log(4))
    as_shares = RegionMap(shares, region, (1.0, 1.0, 1.0), 1.0)
    for function in (EDS, ENT, MOR):
        assert function(in_nat) == pytest.approx(function(as_shares), rel=1e-5)
    raw = in_nat.values
    counts, _ = np.histogram(raw, bins=4, range=(0, 1))
    assert counts.sum() < raw.size  # published code drops the values above 1 from its histogram


@RATIOS
def test_nothing_uncertain_and_an_empty_region_are_undefined(function):
    assert math.isnan(function(whole(np.zeros(SHAPE))))
    assert math.isnan(function(whole(some_map(0), inside=np.zeros(SHAPE, bool))))
    empty = RegionMap(some_map(0), Region("none", "", (slice(0, 0),) * 3, np.zeros((0, 0, 0), bool)), (1.0,) * 3, 1.0)
    assert math.isnan(function(empty))


@RATIOS
def test_an_undefined_voxel_makes_the_number_undefined(function):
    values = some_map(0)
    values[1, 2, 3] = np.nan
    assert math.isnan(function(whole(values)))


def test_a_constant_has_no_clusters_where_published_code_says_one():
    constant = np.full(SHAPE, 0.8)
    assert math.isnan(MOR(whole(constant)))
    assert EDS(whole(constant)) == ENT(whole(constant)) == 0


def test_maps_without_an_upper_bound_have_no_edges_and_no_bins():
    box = tuple(slice(0, n) for n in SHAPE)
    unbounded = RegionMap(some_map(0), Region("whole_image", "", box, np.ones(SHAPE, bool)), (1.0,) * 3, math.inf)
    assert math.isnan(EDS(unbounded))
    assert math.isnan(ENT(unbounded))
    assert MOR(unbounded) == pytest.approx(MOR(whole(some_map(0))))


def test_a_checkerboard_is_scattered_and_a_blob_is_clustered():
    assert MOR(whole(checkerboard(6, 6, 6))) == pytest.approx(0, abs=1e-9)
    distance = np.linalg.norm(np.indices((11, 11, 11)) - 5.0, axis=0)
    assert MOR(whole(np.exp(-(distance**2) / 8))) > 0.4


@RATIOS
def test_certain_background_away_from_the_border_changes_nothing(function):
    values = np.zeros((11, 11, 11), np.float32)
    values[4:7, 4:7, 4:7] = some_map(0, (3, 3, 3))
    wide = np.pad(values, 5)
    assert function(whole(wide)) == pytest.approx(function(whole(values)), rel=1e-5)


def test_one_voxel_has_no_window():
    assert math.isnan(MOR(whole(np.ones((1, 1, 1)))))
