import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import REDUCTIONS, RegionValues

EVERY = pytest.mark.parametrize("entry", list(REDUCTIONS), ids=lambda e: e.name)
ML = 0.7 * 1.1 * 3.0 / 1000
SOME = st.lists(st.floats(0, 3, width=32), min_size=1, max_size=60)

# What algebra says of each reduction over a whole image: never falls as a voxel's uncertainty rises; the same if
# background without uncertainty is cropped; larger for a larger object.
PROPERTIES = {
    "mean": (True, False, True),
    "sum": (True, True, True),
    "max": (True, True, False),
    "quantile_95": (True, False, True),
    "top_share_5": (True, False, True),
}


def reduce(entry, values, *, ml: float = ML) -> float:
    return entry.function(RegionValues(np.asarray(values, dtype=np.float32).ravel(), ml))


def image(object_voxels: int, *, n: int = 1000) -> np.ndarray:
    """An object of uncertainty 0.5, the rest without any."""
    values = np.zeros(n)
    values[:object_voxels] = 0.5
    return values


def test_closed_forms():
    twenty = np.random.default_rng(0).permutation(np.arange(1, 21))
    found = {entry.name: reduce(entry, twenty) for entry in REDUCTIONS}
    expected = {"mean": 10.5, "sum": 210 * ML, "max": 20, "quantile_95": 19, "top_share_5": 20}
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
    assert reduce(entry, values.repeat(8), ml=ML / 8) == pytest.approx(reduce(entry, values), rel=1e-9)


def test_every_reduction_says_its_properties():
    assert set(PROPERTIES) == set(REDUCTIONS.names)


@EVERY
@given(values=SOME, place=st.integers(0, 59), rise=st.floats(0, 3, width=32))
def test_more_uncertainty_is_never_less(entry, values, place, rise):
    monotone, _, _ = PROPERTIES[entry.name]
    raised = np.array(values, np.float32)
    raised[place % len(raised)] += np.float32(rise)
    assert monotone
    assert reduce(entry, raised) >= reduce(entry, values)


@EVERY
def test_cropping_background(entry):
    _, unchanged, _ = PROPERTIES[entry.name]
    ramp = np.concatenate([np.linspace(0.1, 1, 100), np.zeros(900)])
    assert (reduce(entry, ramp) == pytest.approx(reduce(entry, ramp[:500]))) == unchanged


@EVERY
def test_larger_objects(entry):
    _, _, grows = PROPERTIES[entry.name]
    assert (reduce(entry, image(80)) > reduce(entry, image(20))) == grows
