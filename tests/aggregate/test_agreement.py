from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial import distance
from sklearn.metrics import f1_score

from plausible.aggregate import PairwiseOverlap, lowest_pairwise_dice, mean_pairwise_dice, pairwise_dice
from plausible.core import Classes, Geometry, Members, collect, join, walk
from tests.aggregate.cases import random_members

LIVER = Classes.exclusive_of({"background": 0, "liver": 1})


def overlap(members: Members, *, slab_voxels: int | None = None) -> PairwiseOverlap:
    return collect(members, PairwiseOverlap, slab_voxels=slab_voxels)[PairwiseOverlap]


def rows(*lists: list[int]) -> Members:
    """Members of one structure, each a row of voxels."""
    geometry = Geometry((1, 1, len(lists[0])), np.eye(4))
    return Members.from_labels([np.array([[row]]) for row in lists], geometry=geometry, classes=LIVER)


def masks_of(members: Members) -> np.ndarray:
    """Masks m s i j k by argmax or threshold."""
    hard = []
    for member in members:
        p = member.probabilities
        exclusive = member.classes.exclusive
        hard.append([p.argmax(axis=0) == c for c in range(1, len(p))] if exclusive else list(p > 0.5))
    return np.array(hard)


def test_closed_form():
    three = overlap(rows([1, 1, 0, 0], [0, 1, 1, 0], [0, 1, 1, 1]))
    expected = [[1, 2 / 4, 2 / 5], [2 / 4, 1, 4 / 5], [2 / 5, 4 / 5, 1]]
    assert pairwise_dice(three) == pytest.approx(np.array([expected]))
    assert mean_pairwise_dice(three) == pytest.approx([(2 / 4 + 2 / 5 + 4 / 5) / 3])
    assert lowest_pairwise_dice(three) == pytest.approx([2 / 5])
    assert three.n_pairs.tolist() == [3]


def test_pairs_that_both_lack_the_structure_are_left_out():
    three = overlap(rows([0, 0, 0], [0, 0, 0], [1, 0, 0]))
    assert np.array_equal(pairwise_dice(three), [[[np.nan, np.nan, 0], [np.nan, np.nan, 0], [0, 0, 1]]], equal_nan=True)
    assert mean_pairwise_dice(three).tolist() == lowest_pairwise_dice(three).tolist() == [0]
    assert three.n_pairs.tolist() == [2]
    assert overlap(rows([0, 0], [0, 0])).n_pairs.tolist() == [0]


@pytest.mark.parametrize("kind", ["classes", "regions"])
@given(seed=st.integers(0, 99), n_members=st.integers(1, 6), slab_voxels=st.sampled_from([None, 1, 70, 231]))
def test_a_plain_loop_over_pairs_agrees(kind, geometry, request, seed, n_members, slab_voxels):
    members = random_members(geometry, request.getfixturevalue(kind), n_members=n_members, seed=seed)
    ours = overlap(members, slab_voxels=slab_voxels)
    hard = masks_of(members)
    for structure in range(hard.shape[1]):
        for a in range(n_members):
            for b in range(n_members):
                assert ours.shared[structure, a, b] == (hard[a, structure] & hard[b, structure]).sum()


@given(seed=st.integers(0, 99))
def test_scipy_and_scikit_learn_agree(geometry, classes, seed):
    members = random_members(geometry, classes, seed=seed)
    ours, hard = overlap(members), masks_of(members)
    for structure in range(3):
        flat = hard[:, structure].reshape(len(members), -1)
        assert mean_pairwise_dice(ours)[structure] == pytest.approx(1 - distance.pdist(flat, "dice").mean())
        for a, b in combinations(range(len(members)), 2):
            assert pairwise_dice(ours)[structure, a, b] == pytest.approx(f1_score(flat[a], flat[b]))


@given(seed=st.integers(0, 99))
def test_matrices_are_symmetric_and_between_zero_and_one(geometry, classes, seed):
    matrices = pairwise_dice(overlap(random_members(geometry, classes, seed=seed)))
    assert np.array_equal(matrices, matrices.transpose(0, 2, 1))
    assert ((matrices >= 0) & (matrices <= 1)).all()


@given(seed=st.integers(0, 99), n=st.integers(2, 5))
def test_copies_of_all_members_pull_the_mean_to_one(geometry, classes, seed, n):
    members = random_members(geometry, classes, seed=seed, n_members=n)
    arrays = [member.probabilities for member in members]
    copied = Members.from_arrays(arrays * 2, geometry=geometry, classes=classes)
    once = mean_pairwise_dice(overlap(members))
    # of the n (2n - 1) pairs, n are a member and its copy, and each other pair is there four times
    assert mean_pairwise_dice(overlap(copied)) == pytest.approx((1 + 2 * (n - 1) * once) / (2 * n - 1))
    assert lowest_pairwise_dice(overlap(copied)) == pytest.approx(lowest_pairwise_dice(overlap(members)))


def test_joined_slabs_keep_counts_alone(geometry, classes):
    members = random_members(geometry, classes)
    parts = [part for _, part in walk(members, PairwiseOverlap, slab_voxels=100)]
    assert len(parts) > 1
    assert all(len(part[PairwiseOverlap].bits) == len(members) for part in parts)
    joined = join(parts, axis=members.slab_axis)[PairwiseOverlap]
    assert joined.bits == ()
    with pytest.raises(ValueError, match="before joining slabs"):
        joined.merge(joined)


def test_members_of_another_grid_are_refused():
    one, other = (PairwiseOverlap.of(next(iter(rows([1] * n)))) for n in (3, 99))
    with pytest.raises(ValueError, match="same voxels"):
        one.merge(other)


def test_two_members_agree_the_same_both_ways_where_a_published_generalised_dice_does_not(geometry, classes):
    """MONAI takes the weights of the classes, 1 / size², from its second argument alone."""
    first = [np.zeros(geometry.shape, bool) for _ in range(2)]
    second = [np.zeros(geometry.shape, bool) for _ in range(2)]
    first[0][0, :, :5], second[0][0, :, :7] = True, True
    first[1][2, :2, :2], second[1][2, 1:5, :2] = True, True

    def published(prediction: list[np.ndarray], reference: list[np.ndarray]) -> float:
        weights = [1 / mask.sum() ** 2 for mask in reference]
        shared = [2 * w * (a & b).sum() for w, a, b in zip(weights, prediction, reference, strict=True)]
        sizes = [w * (a.sum() + b.sum()) for w, a, b in zip(weights, prediction, reference, strict=True)]
        return float(sum(shared) / sum(sizes))

    assert abs(published(first, second) - published(second, first)) > 0.005
    labels = [a * np.uint8(1) + b * np.uint8(2) for a, b in (first, second)]
    found = [
        mean_pairwise_dice(overlap(Members.from_labels(order, geometry=geometry, classes=classes)))[:2]
        for order in (labels, labels[::-1])
    ]
    assert np.array_equal(*found)
    assert found[0] == pytest.approx([2 * 35 / (35 + 49), 2 * 2 / (4 + 8)])
