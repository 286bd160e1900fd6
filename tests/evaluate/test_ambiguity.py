"""Distances of two sets: closed forms, a plain loop, laws, and what published code gives instead."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import PairwiseOverlap
from plausible.core import Classes, Geometry, Members, walk
from plausible.evaluate import (
    AMBIGUITY_SCORES,
    SetOverlap,
    generalized_energy_distance_dice_u,
    generalized_energy_distance_dice_v,
    generalized_energy_distance_iou_v,
    hungarian_matched_iou,
    inter_rater_dice,
    member_rater_dice,
    similarities,
)
from tests.aggregate.cases import random_members, reordered

LIVER = Classes.exclusive_of({"background": 0, "liver": 1})
TWO = Classes.exclusive_of({"background": 0, "liver": 1, "kidney": 2})


def rows(*lists, classes=LIVER) -> Members:
    geometry = Geometry((1, 1, len(lists[0])), np.eye(4))
    return Members.from_labels([np.array([[each]]) for each in lists], geometry=geometry, classes=classes)


def sets(raters: Members, members: Members, *, slab_voxels: int | None = None) -> SetOverlap:
    pairs = zip(*(walk(each, PairwiseOverlap, slab_voxels=slab_voxels) for each in (raters, members)), strict=True)
    first, *rest = [SetOverlap.of(theirs[PairwiseOverlap], ours[PairwiseOverlap]) for (_, theirs), (_, ours) in pairs]
    return first.join(*rest)


def masks_of(members: Members) -> list[np.ndarray]:
    return [m.classes.masks(m.probabilities).reshape(len(m.classes.structures), -1) for m in members]


def plain_distance(a: np.ndarray, b: np.ndarray, *, by: str) -> float:
    """1 - Dice or IoU, mean over the structures that either has; 0 for two empty ones."""
    values = []
    for x, y in zip(a, b, strict=True):
        if x.any() or y.any():
            both, either = (x & y).sum(), (x | y).sum()
            values.append(2 * both / (x.sum() + y.sum()) if by == "dice" else both / either)
    return 1 - float(np.mean(values)) if values else 0.0


def plain_ged(raters, members, *, by: str) -> float:
    """The loop of the field's scripts: every ordered pair, (R + M)² of them."""

    def mean(first, second):
        return np.mean([plain_distance(a, b, by=by) for a in first for b in second])

    return 2 * mean(raters, members) - mean(raters, raters) - mean(members, members)


def test_closed_form():
    both = sets(rows([1, 1, 0, 0], [0, 1, 1, 0]), rows([1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 1]))
    cross = [[0, 1 - 4 / 5, 1], [1 - 2 / 4, 1 - 4 / 5, 1]]
    raters, members = 1 - 2 / 4, [1 - 4 / 5, 1, 1]
    d_cross, d_members = np.mean(cross), np.mean(members)
    assert generalized_energy_distance_dice_u(both) == pytest.approx(2 * d_cross - raters - d_members)
    expected = 2 * d_cross - 2 * raters / 4 - 6 * d_members / 9
    assert generalized_energy_distance_dice_v(both) == pytest.approx(expected)
    assert inter_rater_dice(both) == pytest.approx(2 / 4)
    assert member_rater_dice(both) == pytest.approx(1 - d_cross)
    assert both.n_pairs == 5 * 4 // 2


def test_one_rater_and_one_member_give_twice_their_distance():
    both = sets(rows([1, 1, 0]), rows([0, 1, 1]))
    assert generalized_energy_distance_dice_v(both) == pytest.approx(2 * (1 - 2 / 4))
    assert generalized_energy_distance_iou_v(both) == pytest.approx(2 * (1 - 1 / 3))
    assert math.isnan(generalized_energy_distance_dice_u(both))
    assert math.isnan(inter_rater_dice(both))


@pytest.mark.parametrize("kind", ["classes", "regions"])
@given(seed=st.integers(0, 99), n_raters=st.integers(1, 4), n_members=st.integers(1, 5))
def test_a_plain_loop_over_all_ordered_pairs_agrees(kind, geometry, request, seed, n_raters, n_members):
    classes = request.getfixturevalue(kind)
    raters = random_members(geometry, classes, n_members=n_raters, seed=seed, absent=classes.structures[-1:])
    members = random_members(geometry, classes, n_members=n_members, seed=seed + 500)
    both = sets(raters, members, slab_voxels=100)
    for by, function in (
        ("dice", generalized_energy_distance_dice_v),
        ("iou", generalized_energy_distance_iou_v),
    ):
        assert function(both) == pytest.approx(plain_ged(masks_of(raters), masks_of(members), by=by))
        for s, structure in enumerate(classes.structures):
            one = [[mask[s : s + 1] for mask in masks_of(each)] for each in (raters, members)]
            assert function(both.only(structure)) == pytest.approx(plain_ged(*one, by=by))


@given(seed=st.integers(0, 99), n_raters=st.integers(2, 4), n_members=st.integers(2, 6))
def test_v_is_u_and_what_a_small_set_adds(geometry, classes, seed, n_raters, n_members):
    raters = random_members(geometry, classes, n_members=n_raters, seed=seed)
    members = random_members(geometry, classes, n_members=n_members, seed=seed + 500)
    both = sets(raters, members)
    for by in ("dice", "iou"):
        distance = 1 - similarities(both, by=by)
        own = distance[:n_raters, :n_raters].sum() / (n_raters * (n_raters - 1))
        theirs = distance[n_raters:, n_raters:].sum() / (n_members * (n_members - 1))
        v, u = (AMBIGUITY_SCORES[f"generalized_energy_distance_{by}_{kind}"].function(both) for kind in "vu")
        assert v == pytest.approx(u + own / n_raters + theirs / n_members)


def test_v_falls_as_members_are_added_and_u_does_not():
    """Members from one source, more and more of them: V mistakes their number for quality."""
    rng = np.random.default_rng(0)
    geometry = Geometry((12, 12, 12), np.eye(4))
    near = np.linalg.norm(np.indices(geometry.shape) - 5.5, axis=0)

    def drawn(n):
        labels = [(near + rng.normal(0, 1) < 4.5).astype(np.uint8) for _ in range(n)]
        return Members.from_labels(labels, geometry=geometry, classes=LIVER)

    v, u = [], []
    for n in (2, 20):
        found = [sets(drawn(3), drawn(n)) for _ in range(60)]
        v.append(np.mean([generalized_energy_distance_dice_v(one) for one in found]))
        u.append(np.mean([generalized_energy_distance_dice_u(one) for one in found]))
    assert v[0] - v[1] > 0.05
    assert u == pytest.approx([0, 0], abs=0.03)  # the same source: no bias


@pytest.mark.parametrize("by", ["dice", "iou"])
@given(seed=st.integers(0, 99), order=st.permutations(range(4)))
def test_identical_sets_in_any_order_are_at_distance_zero(geometry, classes, by, seed, order):
    raters = random_members(geometry, classes, n_members=4, seed=seed, absent=("spleen",))
    both = sets(raters, reordered(raters, order))
    for part in (both, *map(both.only, ("liver", "kidney"))):
        v = AMBIGUITY_SCORES[f"generalized_energy_distance_{by}_v"].function(part)
        assert v == pytest.approx(0, abs=1e-12)
        assert hungarian_matched_iou(part) == 1


def test_sets_that_repeat_are_the_same_distribution():
    raters = rows([1, 1, 0], [0, 1, 1])
    members = rows([1, 1, 0], [0, 1, 1], [1, 1, 0], [0, 1, 1])
    both = sets(raters, members)
    assert generalized_energy_distance_dice_v(both) == pytest.approx(0, abs=1e-12)
    assert hungarian_matched_iou(both) == 1
    assert generalized_energy_distance_dice_u(both) < 0


@pytest.mark.parametrize("entry", AMBIGUITY_SCORES, ids=lambda entry: entry.name)
@given(seed=st.integers(0, 99))
def test_order_and_label_numbers_do_not_matter(entry, geometry, classes, seed):
    raters = random_members(geometry, classes, n_members=3, seed=seed)
    members = random_members(geometry, classes, n_members=4, seed=seed + 500)
    value = entry.function(sets(raters, members))
    turned = entry.function(sets(reordered(raters, [2, 0, 1]), reordered(members, [3, 1, 0, 2])))
    assert turned == pytest.approx(value)
    other = Classes.exclusive_of({"background": 0, "spleen": 1, "liver": 7, "kidney": 9})
    moved = [
        Members.from_arrays([m.probabilities[[0, 3, 1, 2]] for m in each], geometry=geometry, classes=other)
        for each in (raters, members)
    ]
    assert entry.function(sets(*moved)) == pytest.approx(value)


@pytest.mark.parametrize("entry", AMBIGUITY_SCORES, ids=lambda entry: entry.name)
def test_a_structure_that_nobody_has_is_undefined(entry):
    both = sets(rows([1, 0], [1, 1], classes=TWO), rows([0, 1], [1, 1], classes=TWO))
    assert math.isnan(entry.function(both.only("kidney")))
    assert not math.isnan(entry.function(both))
    assert not math.isnan(entry.function(both.only("liver")))


def test_agreement_on_absence_counts():
    """Two of three raters say there is nothing: a model that says so is nearer than one that never does."""
    raters = rows([0, 0], [0, 0], [1, 1])
    silent, speaking = sets(raters, rows([0, 0])), sets(raters, rows([1, 1]))
    assert generalized_energy_distance_dice_v(silent) == pytest.approx(2 * 1 / 3 - 4 / 9)
    assert generalized_energy_distance_dice_v(speaking) == pytest.approx(2 * 2 / 3 - 4 / 9)
    # without the pairs that are both empty, the silent one would be as far as can be: 2 · 1 - 1
    assert generalized_energy_distance_dice_v(silent) < 0.3


def test_one_dice_over_all_pairs_is_another_number():
    """A large structure drowns a small one, and two empty masks score 0, where pairs are stacked into one Dice."""
    raters = rows([1] * 8 + [0] * 2, [1] * 8 + [2] * 2, classes=TWO)
    members = rows([1] * 8 + [2, 0], classes=TWO)
    ours = generalized_energy_distance_dice_v(sets(raters, members))
    # liver agrees in full; kidney: absent and one voxel, two voxels and one, absent and two
    cross = 1 - np.mean([(1 + 0) / 2, (1 + 2 / 3) / 2])
    between = 1 - (1 + 0) / 2
    assert ours == pytest.approx(2 * cross - 2 * between / 4)
    hard = [masks_of(each) for each in (raters, members)]

    def stacked(first, second):
        a, b = (
            (np.concatenate([pair[n].ravel() for pair in pairs]) for n in (0, 1))
            if (pairs := [(x, y) for x in first for y in second])
            else ((), ())
        )
        return 1 - 2 * (a & b).sum() / (a.sum() + b.sum())

    published = 2 * stacked(*hard) - stacked(hard[0], hard[0]) - stacked(hard[1], hard[1])
    assert published < ours / 3


def test_matching_tries_every_assignment():
    rng = np.random.default_rng(4)
    for _ in range(5):
        raters, members = (rows(*rng.integers(0, 2, (n, 12))) for n in (2, 3))
        both = sets(raters, members)
        between = similarities(both, by="iou")[:2, 2:]
        repeated = np.tile(between, (3, 2))
        best = max(np.mean([repeated[n, place] for n, place in enumerate(order)]) for order in permutations(range(6)))
        assert hungarian_matched_iou(both) == pytest.approx(best)


@given(steps=st.integers(0, 5))
def test_damage_makes_every_score_worse(steps):
    def shifted(*by):
        return rows(*[[1 if n <= k < n + 6 else 0 for k in range(20)] for n in by])

    raters = shifted(0, 1, 2)
    near, far = (sets(raters, shifted(*(n + s for n in range(3)))) for s in (steps, steps + 1))
    for entry in AMBIGUITY_SCORES:
        if entry.name != "inter_rater_dice":
            better, worse = entry.function(near), entry.function(far)
            assert (better < worse) == (entry.higher_is == "worse"), entry.name
