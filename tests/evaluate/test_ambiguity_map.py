"""Correlation of uncertainty with the raters' disagreement: exact ends, slabs, and labels that are names only."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Classes, Members, collect
from plausible.evaluate import (
    AMBIGUITY_MAPS,
    Correlation,
    PresenceStatistics,
    normalized_cross_correlation,
    presence_of,
    rater_entropy,
    rater_gini,
)
from plausible.measure import VoxelStatistics, expected_entropy, predictive_entropy
from tests.aggregate.cases import random_members, reordered


def maps(seed: int, n: int = 2, shape=(1, 4, 4, 1)) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.random(shape).astype(np.float32) for _ in range(n)]


def ncc(a: np.ndarray, b: np.ndarray) -> float:
    return normalized_cross_correlation(Correlation.of(a, b))


def statistics(members: Members) -> VoxelStatistics:
    return collect(members, VoxelStatistics)[VoxelStatistics]


@given(seed=st.integers(0, 99))
def test_numpy_agrees_and_a_map_with_itself_is_one(seed):
    a, b = maps(seed)
    assert ncc(a, b) == pytest.approx(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    assert ncc(a, a) == 1
    assert ncc(a, -a) == -1
    assert ncc(3 * a + 5, b) == pytest.approx(ncc(a, b), abs=1e-4)
    # published code divides by N what it standardised by N - 1: 15/16 for 16 pixels
    z = (a - a.mean()) / a.std(ddof=1)
    assert np.mean(z * z) == pytest.approx(0.9375, abs=1e-6)


@given(seed=st.integers(0, 99), at=st.integers(0, 4))
def test_slabs_merge_without_loss(seed, at):
    a, b = maps(seed)
    whole = Correlation.of(a, b)
    parts = Correlation.of(a[:, :at], b[:, :at]).merge(Correlation.of(a[:, at:], b[:, at:]))
    assert normalized_cross_correlation(parts) == pytest.approx(normalized_cross_correlation(whole), abs=1e-12)
    assert parts.n == whole.n


def test_a_constant_map_correlates_with_nothing():
    (a,) = maps(0, 1)
    flat = np.full_like(a, 0.1)
    for one, other in ((a, flat), (flat, a), (flat, flat), (a, np.zeros_like(a))):
        assert math.isnan(ncc(one, other))  # published code: 0
    noisy = flat * (1 + 1e-7 * np.random.default_rng(0).standard_normal(a.shape).astype(np.float32))
    assert math.isnan(ncc(a, noisy))
    assert math.isnan(normalized_cross_correlation(Correlation.of(a[:, :0], a[:, :0])))
    halves = Correlation.of(flat[:, :2], a[:, :2]).merge(Correlation.of(flat[:, 2:], a[:, 2:]))
    assert math.isnan(normalized_cross_correlation(halves))


def test_closed_forms_of_the_reference(classes):
    geometry_shape = (1, 1, 3)
    from plausible.core import Geometry

    raters = Members.from_labels(
        [np.array([[each]]) for each in ([0, 1, 1], [0, 1, 2], [0, 2, 5], [0, 2, 0])],
        geometry=Geometry(geometry_shape, np.eye(4)),
        classes=classes,
    )
    found = statistics(raters)
    assert rater_entropy(found).ravel() == pytest.approx([0, math.log(2), math.log(4)], abs=1e-6)
    assert rater_gini(found).ravel() == pytest.approx([0, 1 - 2 * (2 / 4) ** 2, 1 - 4 * (1 / 4) ** 2], abs=1e-6)
    liver = collect(raters, PresenceStatistics)[PresenceStatistics].statistics
    assert rater_gini(liver)[0].ravel() == pytest.approx([0, 2 * 1 / 2 * 1 / 2, 2 * 1 / 4 * 3 / 4])


@pytest.mark.parametrize("entry", AMBIGUITY_MAPS, ids=lambda entry: entry.name)
@given(seed=st.integers(0, 99))
def test_label_numbers_and_the_order_of_raters_do_not_matter(entry, geometry, classes, seed):
    rng = np.random.default_rng(seed)
    labels = [rng.choice([0, 1, 2, 5], geometry.shape) for _ in range(3)]
    predicted = expected_entropy(statistics(random_members(geometry, classes, seed=seed)))
    renumbered = Classes.exclusive_of({"background": 0, "spleen": 1, "liver": 7, "kidney": 9})
    to = np.array([0, 7, 9, 0, 0, 1])
    first = Members.from_labels(labels, geometry=geometry, classes=classes)
    second = Members.from_labels([to[each] for each in labels], geometry=geometry, classes=renumbered)
    value = ncc(predicted, entry.function(statistics(first)))
    assert ncc(predicted, entry.function(statistics(second))) == pytest.approx(value, abs=1e-6)
    assert ncc(predicted, entry.function(statistics(reordered(first, [1, 2, 0])))) == pytest.approx(value, abs=1e-5)
    # the variance of the label numbers, as published, is another map for each numbering
    of_numbers = [np.var(each, axis=0)[np.newaxis].astype(np.float32) for each in (labels, to[np.array(labels)])]
    assert abs(ncc(predicted, of_numbers[0]) - ncc(predicted, of_numbers[1])) > 1e-5


@given(seed=st.integers(0, 99))
def test_presence_asks_each_structure_alone(geometry, classes, seed):
    members = random_members(geometry, classes, seed=seed)
    alone = collect(members, PresenceStatistics, slab_voxels=100)[PresenceStatistics].statistics
    p = np.array([member.probabilities for member in members], np.float64)[:, 1:]
    mean = p.mean(axis=0)
    expected = -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean))
    np.testing.assert_allclose(predictive_entropy(alone), expected, atol=2e-6)
    own = -(p * np.log(p) + (1 - p) * np.log1p(-p)).mean(axis=0)
    np.testing.assert_allclose(expected_entropy(alone), own, atol=2e-6)
    first, second = (PresenceStatistics.of(member) for member in list(members)[:2])
    np.testing.assert_allclose(first.merge(second).statistics.mean_probability, p[:2].mean(axis=0), atol=1e-6)


def test_regions_are_asked_alone_already(geometry, regions):
    (member,) = random_members(geometry, regions, n_members=1)
    assert presence_of(member) is member


def test_a_map_that_was_not_measured_correlates_with_nothing():
    """One member has no mutual information: NaN at every voxel, which `min(1, nan)` would call a correlation of 1."""
    x = np.random.default_rng(0).random((1, 4, 5, 6))
    assert math.isnan(normalized_cross_correlation(Correlation.of(np.full_like(x, np.nan), x)))
    one = np.where(x == x.max(), np.nan, x)
    assert math.isnan(normalized_cross_correlation(Correlation.of(x, one)))
