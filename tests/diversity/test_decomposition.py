"""Losses taken apart: identities to rounding, what copies give, bias and variance over trials."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.diversity.decomposition import (
    DECOMPOSITIONS,
    brier_arithmetic,
    brier_bias_variance_diversity,
    cross_entropy_arithmetic,
    cross_entropy_bias_variance_diversity,
    cross_entropy_geometric,
)
from plausible.measure import PROBABILITY_FLOOR

SIZES = st.tuples(st.integers(2, 6), st.integers(2, 4), st.integers(1, 5), st.integers(0, 2**16))


def drawn(sizes, *, trials: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Members and labels; some are sure and wrong, some are label maps."""
    m, c, n, seed = sizes
    rng = np.random.default_rng(seed)
    shape = (trials, m, c, n) if trials else (m, c, n)
    z = 4 * rng.normal(size=shape)
    p = np.exp(z) / np.exp(z).sum(axis=-2, keepdims=True)
    hard = np.moveaxis(np.eye(c)[p.argmax(axis=-2)], -1, -2)
    p = np.where(rng.random((*shape[:-2], 1, n)) < 0.2, hard, p)
    return p, np.eye(c)[rng.integers(0, c, n)].T


@given(SIZES)
@pytest.mark.parametrize("name", DECOMPOSITIONS.names)
def test_loss_of_the_pool_is_mean_loss_minus_diversity(name, sizes):
    found = DECOMPOSITIONS[name].function(*drawn(sizes))
    assert found.ensemble_loss == pytest.approx(found.member_loss - found.diversity, rel=1e-12, abs=1e-12)
    assert (found.diversity >= -1e-12).all()


@given(SIZES)
def test_without_label_where_it_says_so(sizes):
    p, target = drawn(sizes)
    for decompose, free in ((brier_arithmetic, True), (cross_entropy_geometric, True)):
        other = np.roll(target, 1, axis=0)
        same = np.allclose(decompose(p, target).diversity, decompose(p, other).diversity, atol=1e-12)
        assert same is free


def test_arithmetic_cross_entropy_needs_the_label():
    p = np.array([[[0.9], [0.1]], [[0.5], [0.5]]])
    yes, no = (cross_entropy_arithmetic(p, np.array(t)).diversity[0] for t in ([[1.0], [0.0]], [[0.0], [1.0]]))
    assert yes == pytest.approx(math.log(0.7) - (math.log(0.9) + math.log(0.5)) / 2)
    assert no == pytest.approx(math.log(0.3) - (math.log(0.1) + math.log(0.5)) / 2)


def test_brier_by_hand():
    found = brier_arithmetic(np.array([[[1.0], [0.0]], [[0.0], [1.0]]]), np.array([[1.0], [0.0]]))
    assert (found.ensemble_loss[0], found.member_loss[0], found.diversity[0]) == (0.5, 1.0, 0.5)


def test_geometric_diversity_is_minus_log_of_the_normaliser():
    p = np.array([[[0.9], [0.1]], [[0.4], [0.6]]])
    z = math.sqrt(0.9 * 0.4) + math.sqrt(0.1 * 0.6)
    assert cross_entropy_geometric(p, np.array([[1.0], [0.0]])).diversity[0] == pytest.approx(-math.log(z), abs=1e-12)


def test_label_maps_cost_the_floor_and_no_more():
    found = cross_entropy_arithmetic(np.array([[[1.0], [0.0]]] * 2), np.array([[0.0], [1.0]]))
    assert found.ensemble_loss[0] == pytest.approx(-math.log(PROBABILITY_FLOOR / (1 + PROBABILITY_FLOOR)))
    assert found.diversity[0] == pytest.approx(0, abs=1e-12)


@given(SIZES, st.integers(2, 4))
@pytest.mark.parametrize("decompose", [brier_bias_variance_diversity, cross_entropy_bias_variance_diversity])
def test_expected_loss_is_bias_plus_variance_minus_diversity(decompose, sizes, trials):
    found = decompose(*drawn(sizes, trials=trials))
    assert found.expected_loss == pytest.approx(found.bias + found.variance - found.diversity, rel=1e-12, abs=1e-12)
    assert (found.variance >= -1e-12).all()
    assert (found.bias >= -1e-12).all()


def test_without_repeats_differing_there_is_no_variance():
    p, target = drawn((3, 2, 4, 1))
    twice = np.stack([p, p])
    for decompose, pool in (
        (brier_bias_variance_diversity, brier_arithmetic),
        (cross_entropy_bias_variance_diversity, cross_entropy_geometric),
    ):
        found, once = decompose(twice, target), pool(p, target)
        assert found.variance == pytest.approx(0, abs=1e-12)
        assert found.bias == pytest.approx(once.member_loss)
        assert found.diversity == pytest.approx(once.diversity)
