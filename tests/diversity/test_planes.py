"""Networks inside, members in the plane, and accuracy against disagreement."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import ortho_group

from plausible.diversity.embedding import embed
from plausible.diversity.fort_plane import fort_plane, independent_errors, lower_limit, upper_limit
from plausible.diversity.pairwise import ErrorPairs
from plausible.diversity.weights import linear_cka, loss_barrier, weight_cosine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5))


def test_cka_sees_neither_rotation_nor_scale_nor_shift():
    turned = 3.7 * X @ ortho_group.rvs(5, random_state=1) + 2.0
    assert linear_cka(X, X) == pytest.approx(1)
    assert linear_cka(X, turned) == pytest.approx(1)
    other = RNG.normal(size=(60, 3))
    assert linear_cka(X, other) == pytest.approx(linear_cka(other, X))
    assert linear_cka(X, other) == pytest.approx(linear_cka(turned, other))


def test_cka_sees_a_stretch():
    assert linear_cka(X, X * [10, 1, 1, 1, 1]) < 0.9


def test_cka_of_one_feature_is_squared_correlation():
    a, b = X[:, :1], X[:, :1] + RNG.normal(size=(60, 1))
    assert linear_cka(a, b) == pytest.approx(np.corrcoef(a[:, 0], b[:, 0])[0, 1] ** 2)
    assert math.isnan(linear_cka(a, np.ones((60, 1))))
    with pytest.raises(ValueError, match="same examples"):
        linear_cka(a, b[:50])


def test_no_barrier_for_a_convex_model():
    """Least squares between two sets of weights: the loss is convex on the way."""
    y = X @ np.ones(5)
    ends = [RNG.normal(size=5) for _ in range(2)]
    losses = [np.mean((X @ ((1 - t) * ends[0] + t * ends[1]) - y) ** 2) for t in np.linspace(0, 1, 11)]
    assert loss_barrier(np.array(losses)) == 0


def test_barrier_by_hand():
    assert loss_barrier(np.array([1.0, 3.0, 2.0])) == pytest.approx(3 - 1.5)
    assert loss_barrier(np.array([1.0, 1.25, 1.5, 1.75, 2.0])) == pytest.approx(0)
    with pytest.raises(ValueError, match="in between"):
        loss_barrier(np.array([1.0, 2.0]))


def test_cosine():
    assert weight_cosine(np.array([1.0, 0.0]), np.array([0.0, 2.0])) == 0
    assert weight_cosine(np.array([1.0, 1.0]), np.array([-3.0, -3.0])) == pytest.approx(-1)
    with pytest.raises(ValueError, match="architectures"):
        weight_cosine(np.ones(2), np.ones(3))


def test_places_in_the_plane_are_found_again():
    places = RNG.normal(size=(7, 2))
    found = embed(squareform(pdist(places)))
    assert pdist(found.places) == pytest.approx(pdist(places))
    assert found.stress == pytest.approx(0, abs=1e-7)


def test_what_needs_three_directions_has_stress():
    equal = 1 - np.eye(4)
    found = embed(equal)
    shown = squareform(pdist(found.places))
    assert found.stress == pytest.approx(math.sqrt(((equal - shown) ** 2).sum() / 12))
    assert found.stress > 0.2
    assert embed(np.zeros((3, 3))).stress == 0
    with pytest.raises(ValueError, match="symmetric"):
        embed(np.array([[0, 1.0], [2.0, 0]]))


def test_independent_errors_in_the_plane():
    for accuracy, n_classes, expected in ((0.9, 2, 1.8), (0.9, 10, 17 / 9), (0.95, 2, 1.9)):
        found = independent_errors(np.array([accuracy]), base_accuracy=accuracy, n_classes=n_classes)
        assert found[0] == pytest.approx(expected)


def test_limits_enclose_what_there_can_be():
    a = np.linspace(0.5, 0.99, 20)
    low, high = lower_limit(a, base_accuracy=0.9), upper_limit(a, base_accuracy=0.9)
    middle = independent_errors(a, base_accuracy=0.9, n_classes=2)
    assert (low <= middle).all()
    assert (middle <= high).all()
    assert lower_limit(np.array([0.9]), base_accuracy=0.9)[0] == 0
    assert upper_limit(np.array([0.9]), base_accuracy=0.9)[0] == pytest.approx(2)


def test_the_best_member_is_the_reference_member():
    n = np.full((3, 3), 100.0)
    wrong = np.repeat(np.array([[10.0], [5.0], [20.0]]), 3, axis=1)
    differ = np.array([[0.0, 8, 20], [8, 0, 15], [20, 15, 0]])
    found = fort_plane(ErrorPairs(("a", "b", "c"), n, wrong, np.zeros((3, 3)), differ, 2.0))
    assert (found.base, found.members) == ("b", ("a", "c"))
    assert found.base_accuracy == pytest.approx(0.95)
    assert found.accuracy == pytest.approx([0.9, 0.8])
    assert found.disagreement == pytest.approx([8 / 10, 15 / 20])
