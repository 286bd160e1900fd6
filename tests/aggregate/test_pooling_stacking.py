"""Stacking weights: planted ones are found, and no others do better."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import stacking_weights, truth_probability, weighted_pool
from plausible.core import Geometry, Members
from tests.aggregate.cases import random_members


def planted(weights, *, n=60_000, n_classes=3, seed=0) -> np.ndarray:
    """Probabilities that members gave to labels drawn from their weighted mean."""
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n_classes, 0.5), size=(len(weights), n))
    mixed = np.tensordot(np.array(weights), p, axes=1)
    labels = (mixed.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=n_classes - 1)
    return p[:, np.arange(n), labels]


@pytest.mark.parametrize("weights", [(0.5, 0.3, 0.2), (0.7, 0.3, 0.0), (1.0, 0.0, 0.0)])
def test_planted_weights_are_recovered(weights):
    found = stacking_weights(planted(weights), members=("a", "b", "c"))
    assert list(found.weights.values()) == pytest.approx(weights, abs=0.02)
    assert found.gap < 2e-6


@given(seed=st.integers(0, 99))
def test_no_other_weights_are_better_than_the_gap_says(seed):
    rng = np.random.default_rng(seed)
    p = rng.random((4, 300))
    found = stacking_weights(p, members=tuple("abcd"))
    weights = np.array(list(found.weights.values()))
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    others = [*rng.dirichlet(np.ones(4), 200), *np.eye(4), np.full(4, 0.25)]
    best = min(float(-np.log(other @ p).mean()) for other in others)
    assert found.negative_log_likelihood <= best + found.gap + 1e-9


def test_copies_share_a_weight_and_a_bad_member_gets_none():
    good = planted((1.0,), n=5000)
    p = np.concatenate([good, good, np.full((1, 5000), 1e-3)])
    weights = list(stacking_weights(p, members=("a", "copy", "bad")).weights.values())
    assert weights[2] == pytest.approx(0, abs=1e-4)
    assert weights[0] + weights[1] == pytest.approx(1, abs=1e-4)


def test_the_loss_is_that_of_the_weighted_pool(geometry, classes):
    members = random_members(geometry, classes, n_members=3, seed=4)
    labels = np.random.default_rng(1).choice([0, 1, 2, 5], geometry.shape)
    (reference,) = Members.from_labels([labels], geometry=geometry, classes=classes)
    p = truth_probability(members, reference)
    assert p.shape == (3, geometry.n_voxels)
    found = stacking_weights(p, members=tuple(info.id for info in members.infos))
    pooled = weighted_pool(members, weights=found.weights).probabilities
    loss = -np.log(np.take_along_axis(pooled, reference.probabilities.argmax(axis=0)[np.newaxis], axis=0)).mean()
    assert found.negative_log_likelihood == pytest.approx(loss, abs=1e-5)


def test_regions_ask_one_question_each(regions):
    geometry = Geometry((1, 1, 2), np.eye(4))
    p = np.array([[0.9, 0.8], [0.3, 0.6], [0.1, 0.2]], np.float32).reshape(3, 1, 1, 2)
    members = Members.from_arrays([p], geometry=geometry, classes=regions)
    (reference,) = Members.from_labels([np.array([[[2, 0]]])], geometry=geometry, classes=regions)
    expected = [0.9, 1 - 0.8, 0.3, 1 - 0.6, 1 - 0.1, 1 - 0.2]
    assert truth_probability(members, reference)[0] == pytest.approx(expected)
    within = np.array([[[True, False]]])
    assert truth_probability(members, reference, within=within)[0] == pytest.approx([0.9, 0.3, 0.9])


def test_names_and_voxels_are_needed():
    with pytest.raises(ValueError, match="name per member"):
        stacking_weights(np.ones((2, 3)), members=("a",))
    with pytest.raises(ValueError, match="voxels"):
        stacking_weights(np.ones((1, 0)), members=("a",))
