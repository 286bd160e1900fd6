"""Values known by hand: Beta members, disjoint and identical members, and the identities between the measures."""

import numpy as np
import pytest
from scipy.special import digamma, rel_entr
from scipy.stats import beta

from plausible.core import Members, collect
from plausible.measure import (
    VOXEL_MEASURES,
    VoxelSpread,
    VoxelStatistics,
    expected_entropy,
    expected_pairwise_kl,
    mean_probability,
    mutual_information,
    predictive_entropy,
    variance,
)
from tests.measure.cases import KINDS, SHAPE, members_of, random_stack, read
from tests.measure.exact import DISAGREEMENT, exact_maps, outcomes

PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def pooled(members: Members, statistic: type, dtype: type = np.float32):
    first, *others = members
    whole = statistic.of(first, dtype=dtype)
    for member in others:
        whole = whole.add(member) if hasattr(whole, "add") else whole.merge(statistic.of(member, dtype=dtype))
    return whole


@EVERY_KIND
@PRECISIONS
def test_every_measure_agrees_with_its_definition(kind: str, dtype: type, tolerance: float) -> None:
    classes = KINDS[kind]
    for sharpness in ("soft", "confident", "hard"):
        stack = random_stack(classes, n_members=7, seed=3, sharpness=sharpness)
        exact = exact_maps(stack, exclusive=classes.exclusive)
        for entry in VOXEL_MEASURES:
            precise = {} if entry.name == "vote_share" else {"dtype": dtype}
            if precise:
                ours = entry.function(pooled(members_of(stack, classes), entry.reads, **precise))
            else:
                ours = read(entry, members_of(stack, classes))
            scale = 10 if entry.name == "expected_pairwise_kl" else 1  # its logarithms go up to 11.8
            allowed = scale * (1e-7 if entry.name == "vote_share" else tolerance)
            np.testing.assert_allclose(ours, exact[entry.name], rtol=0, atol=allowed, err_msg=entry.name)


@pytest.mark.parametrize("kind", ["two classes", "one region"])
def test_members_drawn_from_a_beta_distribution(kind: str) -> None:
    a, b = np.array([2.0, 1.0, 5.0]), np.array([3.0, 1.0, 2.0])
    n_members = 4000
    quantiles = (np.arange(n_members) + 0.5) / n_members
    present = beta.ppf(quantiles[:, np.newaxis], a, b).astype(np.float32)[:, np.newaxis, :, np.newaxis, np.newaxis]
    stack = np.concatenate([1 - present, present], axis=1) if kind == "two classes" else present
    statistics = pooled(members_of(stack, KINDS[kind]), VoxelStatistics)

    own = digamma(a + b + 1) - a / (a + b) * digamma(a + 1) - b / (a + b) * digamma(b + 1)
    mean = a / (a + b)
    total = -mean * np.log(mean) - (1 - mean) * np.log(1 - mean)
    assert own[0] == pytest.approx(7 / 12)
    assert (total - own)[0] == pytest.approx(0.089678, abs=1e-6)
    np.testing.assert_allclose(expected_entropy(statistics).ravel(), own, atol=1e-5)
    np.testing.assert_allclose(predictive_entropy(statistics).ravel(), total, atol=1e-5)
    np.testing.assert_allclose(mutual_information(statistics).ravel(), total - own, atol=1e-5)


@PRECISIONS
def test_disjoint_members_share_the_logarithm_of_their_number(dtype: type, tolerance: float) -> None:
    classes = KINDS["classes"]
    for n_members in (2, 3, 4):
        stack = np.zeros((n_members, 4, *SHAPE), np.float32)
        for m in range(n_members):
            stack[m, m] = 1
        statistics = pooled(members_of(stack, classes), VoxelStatistics, dtype)
        np.testing.assert_allclose(mutual_information(statistics), np.log(n_members), atol=tolerance)
        np.testing.assert_array_equal(expected_entropy(statistics), 0)
        np.testing.assert_allclose(mean_probability(statistics)[:n_members], 1 / n_members, atol=tolerance)


def test_half_the_members_against_the_other_half_has_a_variance_of_a_quarter():
    for kind in ("two classes", "one region"):
        stack = np.zeros((6, len(KINDS[kind].names), *SHAPE), np.float32)
        stack[:3, 0] = 1
        stack[3:, -1] = 1 if kind == "two classes" else 0
        spread = pooled(members_of(stack, KINDS[kind]), VoxelSpread)
        np.testing.assert_allclose(variance(spread), 1 / 4, rtol=1e-6)
        half_of_the_pairs = -np.log(1 / 131070) / 2
        np.testing.assert_allclose(expected_pairwise_kl(spread), half_of_the_pairs, rtol=1e-6)


@EVERY_KIND
@pytest.mark.parametrize("n_members", [2, 10, 300])
def test_members_that_all_say_the_same_have_exactly_no_disagreement(kind: str, n_members: int) -> None:
    classes = KINDS[kind]
    one = random_stack(classes, n_members=1, seed=7)
    members = members_of(np.broadcast_to(one, (n_members, *one.shape[1:])), classes)
    found = collect(members, VoxelStatistics, VoxelSpread)
    for name in DISAGREEMENT:
        entry = VOXEL_MEASURES[name]
        np.testing.assert_array_equal(entry.function(found[entry.reads]), 0, err_msg=name)
    np.testing.assert_array_equal(mean_probability(found[VoxelStatistics]), one[0])


@EVERY_KIND
@PRECISIONS
def test_total_is_shared_plus_disagreement(kind: str, dtype: type, tolerance: float) -> None:
    classes = KINDS[kind]
    statistics = pooled(members_of(random_stack(classes, n_members=5, seed=1), classes), VoxelStatistics, dtype)
    both = expected_entropy(statistics) + mutual_information(statistics)
    np.testing.assert_allclose(predictive_entropy(statistics), both, atol=tolerance)


@EVERY_KIND
@PRECISIONS
def test_pairwise_divergence_is_mutual_information_plus_its_reverse(kind: str, dtype: type, tolerance: float) -> None:
    classes = KINDS[kind]
    stack = random_stack(classes, n_members=5, seed=2)
    q = outcomes(stack.astype(np.float64), exclusive=classes.exclusive)
    reverse = np.mean([rel_entr(q.mean(axis=0), one).sum(axis=0) for one in q], axis=0)
    members = members_of(stack, classes)
    forward = mutual_information(pooled(members, VoxelStatistics, dtype))
    pairwise = expected_pairwise_kl(pooled(members, VoxelSpread, dtype))
    np.testing.assert_allclose(pairwise, forward + reverse, atol=3 * tolerance)


@PRECISIONS
def test_spread_within_and_between_members_makes_up_the_whole(dtype: type, tolerance: float) -> None:
    classes = KINDS["one region"]
    stack = random_stack(classes, n_members=5, seed=4)
    members = members_of(stack, classes)
    mean = mean_probability(pooled(members, VoxelStatistics, dtype))
    p = stack.astype(np.float64)
    within = (p * (1 - p)).mean(axis=0)
    np.testing.assert_allclose(
        mean * (1 - mean), within + variance(pooled(members, VoxelSpread, dtype)), atol=tolerance
    )


def test_each_region_is_a_question_of_its_own():
    regions, one = KINDS["regions"], KINDS["one region"]
    stack = random_stack(regions, n_members=4, seed=5)
    for entry in VOXEL_MEASURES:
        whole = read(entry, members_of(stack, regions))
        alone = [read(entry, members_of(stack[:, [c]], one)) for c in range(3)]
        np.testing.assert_allclose(whole, np.concatenate(alone), atol=1e-6, err_msg=entry.name)


def test_a_region_is_the_same_question_as_two_classes():
    present = random_stack(KINDS["one region"], n_members=4, seed=6)
    asked = members_of(present, KINDS["one region"])
    classes = members_of(np.concatenate([1 - present, present], axis=1), KINDS["two classes"])
    for entry in VOXEL_MEASURES:
        own = read(entry, classes)[-1:]  # of two classes, the structure
        np.testing.assert_allclose(read(entry, asked), own, atol=1e-6, err_msg=entry.name)


@pytest.mark.parametrize(("n_members", "tolerance"), [(10, 5e-7), (100, 1e-6), (1000, 1e-5)])
def test_float32_is_as_exact_as_the_documentation_says(n_members: int, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    classes = KINDS["classes"]
    for noise in (1e-3, 1.0, 3.0):
        logits = 2 * rng.normal(size=(4, 10, 10, 5)) + noise * rng.normal(size=(n_members, 4, 10, 10, 5))
        odds = np.exp(logits)
        members = members_of((odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), classes)
        fast, exact = pooled(members, VoxelStatistics), pooled(members, VoxelStatistics, np.float64)
        for measure in (mean_probability, predictive_entropy, expected_entropy, mutual_information):
            np.testing.assert_allclose(measure(fast), measure(exact), rtol=0, atol=tolerance)
