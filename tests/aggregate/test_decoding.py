"""Decoding: by brute force over all masks, the published acceptance values, and volumes side by side."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import (
    DECODED_VOLUMES,
    DECODINGS,
    above_threshold,
    best_dice,
    choose_by_bayes_risk,
    decoded_volume_rows,
    dice_optimal,
    expected_dice,
    linear_pool,
    minimum_bayes_risk,
    most_probable,
    without_overlap,
)
from plausible.aggregate import decoding as module
from plausible.core import Classes, Geometry, Member, MemberInfo, Members, select
from tests.aggregate.cases import random_members, reordered

LIVER = Classes.exclusive_of({"background": 0, "liver": 1})
EIGHT = np.array([0.84, 0.82, 0.61, 0.54, 0.43, 0.43, 0.34, 0.22])


def dice_of(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else 1.0


def brute_force(p: np.ndarray) -> dict[tuple[int, ...], float]:
    """Expected Dice of every mask, over every truth."""
    every = np.array(list(product((0, 1), repeat=len(p))), bool)
    chance = np.where(every, p, 1 - p).prod(axis=1)
    return {tuple(mask): sum(c * dice_of(mask, y) for c, y in zip(chance, every, strict=True)) for mask in every}


def pooled(p: np.ndarray, classes=LIVER, spacing=(1.0, 1.0, 1.0)) -> Member:
    values = p.reshape(1, 1, 1, -1).astype(np.float32)
    geometry = Geometry(values.shape[1:], np.diag([*spacing, 1.0]))
    return Member(np.concatenate([1 - values, values]), geometry, classes, MemberInfo(id="p"))


def rows(*lists) -> Members:
    geometry = Geometry((1, 1, len(lists[0])), np.eye(4))
    return Members.from_labels([np.array([[each]]) for each in lists], geometry=geometry, classes=LIVER)


def test_acceptance_of_eight_voxels():
    best = best_dice(EIGHT.reshape(1, 1, 8))
    assert best.n_voxels == 6
    assert best.expected_dice == pytest.approx(0.703814, abs=5e-7)
    assert expected_dice(EIGHT)[3] == pytest.approx(0.675330, abs=5e-7)  # what a threshold of 0.5 gives
    everything = brute_force(EIGHT)
    assert max(everything.values()) == pytest.approx(best.expected_dice, abs=1e-12)
    assert above_threshold(pooled(EIGHT), threshold=0.5).sum() == 4


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_brute_force_over_all_masks_agrees(values):
    p = np.array(values)
    everything = brute_force(p)
    best = best_dice(p.reshape(1, 1, -1))
    assert best.expected_dice == pytest.approx(max(everything.values()), abs=1e-9)
    assert everything[tuple(best.mask.ravel())] == pytest.approx(best.expected_dice, abs=1e-9)


@given(seed=st.integers(0, 99))
def test_the_threshold_is_half_the_expected_dice(seed):
    p = np.random.default_rng(seed).random(400) ** 2
    best = best_dice(p.reshape(10, 8, 5))
    smallest, largest = p.reshape(10, 8, 5)[best.mask].min(), p.reshape(10, 8, 5)[~best.mask].max()
    assert smallest >= largest
    assert largest - 0.02 < best.expected_dice / 2 < smallest + 0.02
    assert best.n_voxels >= (p > 0.5).sum()  # never smaller than the most probable class


@pytest.mark.parametrize(("power", "n"), [(0.3, 500), (1, 500), (4, 500), (60, 500), (1e4, 500)])
def test_the_series_continues_the_exact_sum(power, n, monkeypatch):
    p = np.sort(np.random.default_rng(0).random(n) ** power)[::-1]
    exact = expected_dice(p)
    monkeypatch.setattr(module, "N_EXACT", 200)
    other = expected_dice(p)
    near = exact > exact.max() / 2
    np.testing.assert_allclose(other[near], exact[near], atol=1e-6)
    assert abs(int(other.argmax()) - int(exact.argmax())) <= 1


def test_drawn_truths_have_the_expected_dice():
    rng = np.random.default_rng(0)
    p = rng.random(3000) ** 3
    best = best_dice(p.reshape(10, 20, 15))
    chosen = best.mask.ravel()
    drawn = [dice_of(chosen, rng.random(3000) < p) for _ in range(400)]
    assert best.expected_dice == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 20)


def test_certain_and_impossible_voxels():
    assert best_dice(np.array([1.0, 1.0, 0.0]).reshape(1, 1, 3)).mask.ravel().tolist() == [True, True, False]
    nothing = best_dice(np.zeros((1, 2, 3)))
    assert not nothing.mask.any()
    assert nothing.expected_dice == 1
    absent = best_dice(np.array([0.1]).reshape(1, 1, 1))
    assert (absent.n_voxels, absent.expected_dice) == (0, pytest.approx(0.9))


def block(q_of_20: int) -> Members:
    """A certain core of 8 voxels, and a block of 8 that is there in so many of 20 samples."""
    return rows(*[[1] * 8 + [1 if k < q_of_20 else 0] * 8 for k in range(20)])


def test_blocks_that_come_together_are_decided_together():
    choice = choose_by_bayes_risk(block(9))
    core, full = 0.55 * 1 + 0.45 * 2 / 3, 0.45 * 1 + 0.55 * 2 / 3
    assert (core, full) == (pytest.approx(0.850), pytest.approx(0.8167, abs=1e-4))
    assert choice.expected_dice == (pytest.approx(core),)
    assert choice.masks[0].ravel().tolist() == [True] * 8 + [False] * 8
    # the rule for independent voxels takes the block in, though that is worse
    independent = dice_optimal(linear_pool(block(9)))[0]
    assert independent.ravel().tolist() == [True] * 16
    assert choose_by_bayes_risk(block(11)).masks[0].all()


@given(seed=st.integers(0, 99))
def test_no_candidate_is_better(geometry, classes, seed):
    members = random_members(geometry, classes, n_members=5, seed=seed)
    hard = np.array([classes.masks(member.probabilities) for member in members])
    choice = choose_by_bayes_risk(members)
    for s in range(3):
        votes = hard[:, s].sum(axis=0)
        candidates = [*hard[:, s], *(votes >= k for k in range(1, 6))]
        gains = [np.mean([dice_of(one, y) for y in hard[:, s]]) for one in candidates]
        assert choice.expected_dice[s] == pytest.approx(max(gains))
        assert np.mean([dice_of(choice.masks[s], y) for y in hard[:, s]]) == pytest.approx(max(gains))


@given(seed=st.integers(0, 99), order=st.permutations(range(5)))
def test_the_order_of_samples_does_not_change_the_gain(geometry, classes, seed, order):
    members = random_members(geometry, classes, n_members=5, seed=seed)
    values = choose_by_bayes_risk(members).expected_dice
    assert choose_by_bayes_risk(reordered(members, order)).expected_dice == pytest.approx(values)


def test_absence_can_be_decided():
    members = rows(*[[0, 0, 0]] * 9, [0, 1, 1])
    choice = choose_by_bayes_risk(members)
    assert not choice.masks.any()
    assert choice.expected_dice == (pytest.approx(0.9),)
    assert choice.chosen == ("member_0",)  # the empty member itself, not only an empty set of votes
    assert not minimum_bayes_risk(members).probabilities[1].any()


@pytest.mark.parametrize("entry", DECODINGS, ids=lambda entry: entry.name)
def test_every_decoding_gives_masks_that_grow_with_the_probability(entry, geometry, classes):
    p = linear_pool(random_members(geometry, classes))
    settings = {"threshold": 0.3} if entry.name == "above_threshold" else {}
    masks = entry.function(p, **settings)
    assert masks.shape == (3, *geometry.shape)
    if entry.name != "most_probable":  # there a voxel depends on the other classes
        for s in range(3):
            inside, outside = p.probabilities[s + 1][masks[s]], p.probabilities[s + 1][~masks[s]]
            assert inside.min() >= outside.max()


def test_overlaps_go_to_the_more_probable(geometry, classes):
    p = linear_pool(random_members(geometry, classes))
    masks = above_threshold(p, threshold=0.2)
    assert (masks.sum(axis=0) > 1).any()
    apart = without_overlap(masks, p.probabilities[1:])
    assert (apart.sum(axis=0) == masks.any(axis=0)).all()
    claimed = np.where(masks, p.probabilities[1:], 0).max(axis=0)
    np.testing.assert_array_equal(np.where(apart, p.probabilities[1:], 0).max(axis=0), claimed)


def test_volumes_side_by_side():
    one = pooled(EIGHT, spacing=(1.0, 2.0, 5.0))
    made = decoded_volume_rows(one, subject="s1")
    assert [row.measure for row in made] == list(DECODED_VOLUMES.names)
    values = {row.measure: row.value for row in made}
    assert values["probability_volume"] == pytest.approx(EIGHT.sum() * 0.01)
    assert values["thresholded_volume"] == pytest.approx(4 * 0.01)
    assert values["dice_optimal_volume"] == pytest.approx(6 * 0.01)
    assert {(row.unit, row.reduction, row.structure) for row in select(made, subject="s1")} == {("ml", "p", "liver")}


def test_expected_volume_alone_is_right_on_average():
    rng = np.random.default_rng(1)
    p = rng.beta(0.3, 0.9, 4000)
    one = pooled(p)
    truth = np.mean([(rng.random(4000) < p).sum() for _ in range(200)]) * 1e-3
    expected, threshold, best = (entry.function(one)[0] for entry in DECODED_VOLUMES)
    assert expected == pytest.approx(truth, rel=0.005)
    assert threshold < 0.95 * truth
    assert threshold < best


def test_thresholds_that_select_nothing_or_everything_are_refused():
    for threshold in (-0.1, 1.0):
        with pytest.raises(ValueError, match="threshold"):
            above_threshold(pooled(EIGHT), threshold=threshold)
    assert most_probable(pooled(np.array([0.5, 0.51]))).ravel().tolist() == [False, True]
