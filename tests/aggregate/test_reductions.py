import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, RegionValues

OF_VALUES = [entry for entry in REDUCTIONS if entry.reads is RegionValues]
EVERY = pytest.mark.parametrize("entry", OF_VALUES, ids=lambda e: e.name)
ML = 0.7 * 1.1 * 3.0 / 1000
SOME = st.lists(st.floats(0, 3, width=32), min_size=1, max_size=60)


def reduce(entry, values, *, ml: float = ML, n_foreground: int = 7, threshold: float = 0.0) -> float:
    """A threshold of 0, which every value reaches, leaves the laws of a mean."""
    array = np.asarray(values, dtype=np.float32).ravel()
    return entry.function(RegionValues(array, ml, n_foreground, threshold))


def test_closed_forms():
    twenty = np.random.default_rng(0).permutation(np.arange(1, 21))
    found = {entry.name: reduce(entry, twenty, n_foreground=3, threshold=17.0) for entry in OF_VALUES}
    expected = {"mean": 10.5, "sum": 210 * ML, "max": 20, "quantile_95": 19, "top_share_5": 20}
    expected |= {"foreground_ratio_quantile": (18 + 19 + 20) / 3, "mean_above_threshold": (17 + 18 + 19 + 20) / 4}
    assert found == pytest.approx(expected)
    forty = {name: reduce(REDUCTIONS[name], np.arange(1, 41)) for name in ("quantile_95", "top_share_5")}
    assert forty == {"quantile_95": 38, "top_share_5": (39 + 40) / 2}
    assert reduce(REDUCTIONS["top_share_5"], np.arange(1, 22)) == (20 + 21) / 2  # 5 % of 21 voxels: 1.05, so two
    assert reduce(REDUCTIONS["top_share_5"], [0.25]) == 0.25


def test_top_share_counts_voxels_where_most_are_tied():
    values = np.zeros(200)
    values[:5] = 0.5
    assert reduce(REDUCTIONS["top_share_5"], values) == pytest.approx(5 * 0.5 / 10)  # not over the 195 ties at 0


@EVERY
def test_empty_region_is_undefined(entry):
    assert math.isnan(reduce(entry, []))


@EVERY
def test_an_undefined_voxel_makes_the_number_undefined(entry):
    values = np.linspace(0, 1, 100)
    values[3] = np.nan
    assert math.isnan(reduce(entry, values))
    assert math.isnan(reduce(entry, np.full(7, np.nan)))


@EVERY
@given(values=SOME, seed=st.integers(0, 9))
def test_order_of_voxels_does_not_matter_and_input_stays(entry, values, seed):
    array = np.array(values, np.float32)
    mixed = np.random.default_rng(seed).permutation(array)
    kept = mixed.copy()
    assert reduce(entry, mixed) == pytest.approx(reduce(entry, array), rel=1e-12)
    assert np.array_equal(mixed, kept)


@EVERY
@given(value=st.floats(0, 3, width=32), n=st.integers(1, 500))
def test_a_constant_is_itself(entry, value, n):
    volume = n * ML if entry.unit == "ml" else 1
    assert reduce(entry, np.full(n, value)) == pytest.approx(value * volume, rel=1e-12)


@EVERY
@given(seed=st.integers(0, 99), twenties=st.integers(1, 6))
def test_a_finer_grid_changes_nothing(entry, seed, twenties):
    values = np.random.default_rng(seed).random(20 * twenties).astype(np.float32)
    finer = reduce(entry, values.repeat(8), ml=ML / 8, n_foreground=8 * 7)
    assert finer == pytest.approx(reduce(entry, values), rel=1e-9)


def test_quantile_of_the_foreground_ratio():
    qfr = REDUCTIONS["foreground_ratio_quantile"]
    assert reduce(qfr, [[0.5, 0.6], [0.3, 0.8]], n_foreground=2) == pytest.approx((0.6 + 0.8) / 2)
    assert reduce(qfr, [0.1, 0.4], n_foreground=9) == pytest.approx((0.1 + 0.4) / 2)
    assert math.isnan(reduce(qfr, [0.5, 0.6], n_foreground=0))


def test_foreground_ratio_goes_by_count_where_most_voxels_are_zero():
    values = np.zeros(100)
    values[:5] = 1.0
    assert reduce(REDUCTIONS["foreground_ratio_quantile"], values, n_foreground=10) == 5 / 10
    published = values[values >= np.quantile(values, 1 - 10 / 100)].mean()  # a threshold of 0 lets all voxels in
    assert published == 5 / 100


def test_mean_above_a_threshold_can_fall_as_uncertainty_rises():
    above = REDUCTIONS["mean_above_threshold"]
    assert reduce(above, [0.6, 0.4], threshold=0.5) == pytest.approx(0.6)
    assert reduce(above, [0.6, 0.5], threshold=0.5) == pytest.approx((0.6 + 0.5) / 2)
    assert reduce(above, [0.1, 0.2], threshold=0.5) == 0
    assert math.isnan(reduce(above, [0.1, 0.2], threshold=math.nan))
    assert math.isnan(RegionValues(np.ones(3, np.float32), ML).threshold)


def test_a_sum_stays_finite_where_a_logarithm_of_uncertainty_would_not():
    values = np.array([0.0, 0.5], np.float32)  # the log-sum over a lesion, a published baseline, is minus infinity
    assert reduce(REDUCTIONS["sum"], values) == pytest.approx(0.5 * ML)
    with np.errstate(divide="ignore"):
        assert np.log(values).sum() == -np.inf
