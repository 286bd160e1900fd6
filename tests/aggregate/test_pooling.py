"""Pools: closed forms, what they promise, and the ties that published code breaks in silence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import (
    POOLS,
    PairwiseOverlap,
    linear_pool,
    logarithmic_pool,
    majority_vote,
    medoid,
    medoid_of,
    weighted_pool,
)
from plausible.core import Classes, Geometry, Members, check_probabilities, collect
from plausible.measure import PROBABILITY_FLOOR
from tests.aggregate.cases import certain_members, random_members, reordered

LIVER = Classes.exclusive_of({"background": 0, "liver": 1})
LINE = Geometry((1, 1, 1), np.eye(4))
KINDS = ["classes", "regions"]


def settings_of(name: str, members: Members) -> dict:
    weights = {info.id: 1 / len(members) for info in members.infos}
    return {"majority_vote": {"ties": "background"}, "weighted_pool": {"weights": weights}}.get(name, {})


def pool(name: str, members: Members) -> np.ndarray:
    return POOLS[name].function(members, **settings_of(name, members)).probabilities


def row(*lists, classes=LIVER) -> Members:
    geometry = Geometry((1, 1, len(lists[0])), np.eye(4))
    return Members.from_labels([np.array([[each]]) for each in lists], geometry=geometry, classes=classes)


def binary(*p) -> Members:
    arrays = [np.array([1 - each, each], np.float32).reshape(2, 1, 1, 1) for each in p]
    return Members.from_arrays(arrays, geometry=LINE, classes=LIVER)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", POOLS.names)
def test_a_pool_is_a_segmentation_of_the_same_image(name, kind, geometry, request):
    classes = request.getfixturevalue(kind)
    members = random_members(geometry, classes)
    pooled = POOLS[name].function(members, **settings_of(name, members))
    check_probabilities(pooled.probabilities, classes=classes, sum_tolerance=1e-5)
    assert pooled.geometry.matches(geometry)
    if pooled.hard:
        assert set(np.unique(pooled.probabilities)) <= {0, 1}


@pytest.mark.parametrize("name", POOLS.names)
def test_members_that_agree_are_their_own_pool(name, geometry, classes):
    members = certain_members(geometry, classes)
    truth = next(iter(members)).probabilities
    np.testing.assert_allclose(pool(name, members), truth, atol=1e-4)


@pytest.mark.parametrize("name", POOLS.names)
@given(seed=st.integers(0, 99))
def test_one_member_is_its_own_pool(name, geometry, classes, seed):
    members = random_members(geometry, classes, n_members=1, seed=seed)
    found = pool(name, members)
    one = next(iter(members)).probabilities
    if name in ("linear_pool", "weighted_pool", "logarithmic_pool", "medoid"):
        np.testing.assert_allclose(found, one, atol=1.1 * PROBABILITY_FLOOR)
    else:
        np.testing.assert_array_equal(classes.masks(found), classes.masks(one))


@pytest.mark.parametrize("name", [name for name in POOLS.names if name not in ("medoid", "minimum_bayes_risk")])
@given(seed=st.integers(0, 99), order=st.permutations(range(4)))
def test_the_order_of_members_does_not_matter(name, geometry, classes, seed, order):
    members = random_members(geometry, classes, seed=seed)
    np.testing.assert_allclose(pool(name, reordered(members, order)), pool(name, members), atol=1e-5)


@pytest.mark.parametrize("name", POOLS.names)
def test_structures_that_nobody_has_stay_empty(name, geometry, classes):
    members = random_members(geometry, classes, absent=("spleen",))
    found = POOLS[name].function(members, **settings_of(name, members))
    masks = classes.masks(found.probabilities)
    assert not masks[2].any()
    assert masks[:2].any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("name", [name for name in POOLS.names if name not in ("weighted_pool", "logarithmic_pool")])
@given(slab_voxels=st.sampled_from([1, 100, 231]))
def test_slabs_equal_the_whole(name, geometry, classes, slab_voxels):
    members = random_members(geometry, classes, seed=3)
    settings = settings_of(name, members)
    parts = POOLS[name].function(members, **settings, slab_voxels=slab_voxels).probabilities
    np.testing.assert_allclose(parts, pool(name, members), atol=1e-6)


def test_closed_forms_of_the_soft_pools():
    two = binary(0.9, 0.2)
    assert linear_pool(two).probabilities[1] == pytest.approx((0.9 + 0.2) / 2)
    assert weighted_pool(two, weights={"member_0": 0.25, "member_1": 0.75}).probabilities[1] == pytest.approx(
        0.25 * 0.9 + 0.75 * 0.2
    )
    present, absent = np.sqrt(0.9 * 0.2), np.sqrt(0.1 * 0.8)
    assert logarithmic_pool(two).probabilities[1] == pytest.approx(present / (present + absent))
    present, absent = 0.9**0.25 * 0.2**0.75, 0.1**0.25 * 0.8**0.75
    weighted = logarithmic_pool(two, weights={"member_0": 0.25, "member_1": 0.75})
    assert weighted.probabilities[1] == pytest.approx(present / (present + absent))


@given(seed=st.integers(0, 99))
def test_each_pool_is_nearest_in_its_own_divergence(geometry, classes, seed):
    """The linear pool minimises the mean KL(p_m ‖ q), the logarithmic one the mean KL(q ‖ p_m)."""
    members = random_members(geometry, classes, seed=seed)
    p = np.array([member.probabilities for member in members], np.float64)
    linear, log = (f(members).probabilities.astype(np.float64) for f in (linear_pool, logarithmic_pool))

    def to(q):
        return (p * np.log(p / q)).sum(axis=1).mean(axis=0)

    def away(q):
        return (q * np.log(q / p)).sum(axis=1).mean(axis=0)

    assert (to(linear) <= to(log) + 1e-6).all()
    assert (away(log) <= away(linear) + 1e-6).all()
    assert (to(linear) < to(log) - 1e-4).any()


def test_linear_and_logarithmic_agree_only_where_members_do():
    assert linear_pool(binary(0.7, 0.7)).probabilities == pytest.approx(
        logarithmic_pool(binary(0.7, 0.7)).probabilities
    )
    apart = binary(0.9, 0.6)
    assert logarithmic_pool(apart).probabilities[1] > linear_pool(apart).probabilities[1] + 0.01  # sharper


def test_one_zero_vetoes_in_the_logarithmic_pool_alone():
    members = binary(0.0, 0.999, 0.999)
    present, absent = (PROBABILITY_FLOOR * 0.999**2) ** (1 / 3), 0.001 ** (2 / 3)
    assert logarithmic_pool(members).probabilities[1] == pytest.approx(present / (present + absent), rel=1e-4)
    assert logarithmic_pool(members, floor=1e-30).probabilities[1] < 1e-7
    assert linear_pool(members).probabilities[1] > 0.66
    contradicting = logarithmic_pool(binary(0.0, 1.0)).probabilities.ravel()
    assert contradicting == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    "weights",
    [
        {"member_0": 1.0},
        {"member_0": 0.5, "other": 0.5},
        {"member_0": 1.5, "member_1": -0.5},
        {"member_0": 0.9, "member_1": 0.9},
    ],
)
def test_weights_that_are_no_shares_are_refused(weights):
    for function in (weighted_pool, logarithmic_pool):
        with pytest.raises(ValueError, match="weight"):
            function(binary(0.1, 0.2), weights=weights)
    with pytest.raises(ValueError, match="floor"):
        logarithmic_pool(binary(0.1, 0.2), floor=0.0)


def test_ties_follow_the_rule_that_was_asked_for():
    two = row([1, 1, 0, 0], [1, 0, 1, 0])
    as_background = majority_vote(two, ties="background").probabilities[1].ravel()
    as_foreground = majority_vote(two, ties="foreground").probabilities[1].ravel()
    assert as_background.tolist() == [1, 0, 0, 0]  # what published code does without saying so
    assert as_foreground.tolist() == [1, 1, 1, 0]


def test_ties_between_structures_and_background(classes):
    # liver and kidney two votes each; spleen one, background two; nobody anything; a plurality below one half
    four = row([1, 5, 0, 1, 1], [1, 0, 0, 2, 1], [2, 0, 0, 5, 0], [2, 5, 0, 0, 2], classes=classes)
    strict = majority_vote(four, ties="background")
    assert classes.decode(strict.probabilities).ravel().tolist() == [1, 0, 0, 0, 1]
    generous = majority_vote(four, ties="foreground")
    assert classes.decode(generous.probabilities).ravel().tolist() == [1, 5, 0, 1, 1]


def test_ties_of_regions_are_exactly_half(regions):
    two = row([3, 1, 0], [1, 0, 0], classes=regions)
    assert majority_vote(two, ties="background").probabilities[:, 0, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert majority_vote(two, ties="foreground").probabilities[:, 0, 0].tolist() == [[1, 1, 0], [1, 0, 0], [1, 0, 0]]


def test_the_medoid_is_the_member_in_the_middle():
    members = row([1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1])
    assert medoid(members).info.id == "member_1"
    assert medoid_of(collect(members, PairwiseOverlap)[PairwiseOverlap]) == "member_1"


def test_the_medoid_may_be_an_empty_mask():
    """Members that agree on absence agree: a mean without their undefined Dice would choose the odd one out."""
    members = row([0, 1, 1], [0, 0, 0], [0, 0, 0])
    assert medoid(members).info.id == "member_1"
