import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, MapHistogram, RegionValues, background_share, threshold_of_validation
from plausible.aggregate.thresholds import RELATIVE_ERROR
from tests.aggregate.test_regions import masks_of

SIZES = st.lists(st.integers(1, 400), min_size=1, max_size=5)


def maps(seed: int, sizes: list[int]) -> list[np.ndarray]:
    """Maps of entropies of different shapes: many zeros, many tiny values and some large ones."""
    rng = np.random.default_rng(seed)
    return [(rng.random(n) ** 8 * (rng.random(n) < 0.7)).astype(np.float32) for n in sizes]


def pooled(parts: list[np.ndarray]) -> MapHistogram:
    first, *others = map(MapHistogram.of, parts)
    for other in others:
        first = first.merge(other)
    return first


@given(seed=st.integers(0, 999), sizes=SIZES, share=st.floats(0, 1))
def test_quantile_is_that_of_all_maps_stacked_within_the_stated_error(seed, sizes, share):
    parts = maps(seed, sizes)
    exact = np.quantile(np.concatenate(parts), share, method="inverted_cdf")
    found = pooled(parts).quantile(share)
    assert found <= exact <= found * (1 + RELATIVE_ERROR)


@given(seed=st.integers(0, 99), sizes=SIZES, cut=st.integers(0, 400))
def test_slabs_and_order_do_not_matter(seed, sizes, cut):
    parts = maps(seed, sizes)
    pieces = [piece for part in reversed(parts) for piece in (part[cut:], part[:cut])]
    assert np.array_equal(pooled(pieces).counts, pooled(parts).counts)
    assert pooled(parts).n == sum(sizes)


def test_its_size_does_not_depend_on_the_maps():
    assert MapHistogram.of(np.ones(3, np.float32)).counts.nbytes == 2 * 2**20
    assert MapHistogram.of(np.full((40, 50, 60), 0.3, np.float32)).counts.nbytes == 2 * 2**20


def test_values_that_a_float_has_exactly_are_exact():
    values = np.array([0, 0.25, 0.5, 0.5, 1, 2**-140], np.float32)  # the last one is subnormal
    found = MapHistogram.of(values)
    assert [found.quantile(share) for share in (0.0, 0.5, 0.8, 1.0)] == [0, 0.25, 0.5, 1]
    assert MapHistogram.of(-values * 0).quantile(1.0) == 0


@pytest.mark.parametrize("wrong", [-0.1, math.nan, math.inf])
def test_what_is_no_uncertainty_is_refused(wrong):
    with pytest.raises(ValueError, match="at least 0 and finite"):
        MapHistogram.of(np.array([0.1, wrong], np.float32))


def test_nothing_has_no_quantile_and_shares_are_shares():
    empty = MapHistogram.of(np.zeros((0, 3, 3), np.float32))
    assert math.isnan(empty.quantile(0.5))
    with pytest.raises(ValueError, match="share must lie between 0 and 1"):
        empty.quantile(1.1)
    with pytest.raises(ValueError, match="at least one validation case"):
        threshold_of_validation(empty, [])


def test_threshold_of_values_lets_in_as_many_voxels_as_are_foreground():
    rng = np.random.default_rng(0)
    shapes = [(10, 12, 14), (9, 20, 11), (30, 8, 8)]  # ValUES stacks the maps, which needs one shape
    parts = [rng.random(shape).astype(np.float32) for shape in shapes]
    shares = [0.9, 0.8, 0.7]
    tau = threshold_of_validation(pooled(parts), shares)
    together = np.concatenate([part.ravel() for part in parts])
    assert tau == pytest.approx(np.quantile(together, 0.8), rel=2e-3)
    assert np.mean(together >= tau) == pytest.approx(1 - 0.8, abs=2e-3)
    found = REDUCTIONS["mean_above_threshold"].function(RegionValues(together, 1.0, 0, tau))
    assert found == pytest.approx(together[together >= tau].mean(dtype=np.float64), rel=1e-6)


def test_share_of_background(geometry):
    mask = np.zeros(geometry.shape, bool)
    mask[0] = True
    assert background_share(masks_of(mask, geometry)) == pytest.approx(4 / 5)
    assert background_share(masks_of(~mask | mask, geometry)) == 0
