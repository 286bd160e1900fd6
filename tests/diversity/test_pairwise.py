"""Counts of pairs and every measure read from them: laws of the catalogue, closed forms, copies, independent errors."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.aggregate import PairwiseOverlap
from plausible.aggregate.agreement import pairwise_dice
from plausible.core import Classes, Geometry, InvalidInput, Members, collect
from plausible.diversity.case import measure_case
from plausible.diversity.decisions import ALL, Decisions, decision_pairs, error_counts, mask_pairs, surface_pairs
from plausible.diversity.pairwise import (
    DecisionPairs,
    ErrorGroup,
    ErrorPairs,
    SoftPairs,
    from_dict,
    pool,
    stack,
    to_dict,
)
from plausible.diversity.pairwise_measures import DIVERSITY_MEASURES, GROUP_MEASURES, mean_of_pairs, off_diagonal
from plausible.diversity.soft_pairwise import divergences
from plausible.diversity.summary import measures_of
from plausible.diversity.voxel_sets import VOXEL_SETS, unpacked, voxel_set
from plausible.evaluate import normalized_surface_dice, surface_distances
from plausible.measure import PROBABILITY_FLOOR

GRID = Geometry((5, 7, 11), np.diag([0.7, 1.1, 3.0, 1.0]))
CLASSES = Classes.exclusive_of({"background": 0, "liver": 1, "tumour": 2})
NOT_SYMMETRIC = {"kullback_leibler", "normalised_disagreement"}
SAME_END = {
    "disagreement": 0,
    "dice_distance": 0,
    "surface_dice_distance": 0,
    "kullback_leibler": 0,
    "jensen_shannon": 0,
    "normalised_disagreement": 0,
    "error_consistency": 1,
    "q_statistic": 1,
    "error_correlation": 1,
}
"""What copies give; double fault gives their error rate."""


def labels(seed: int, *, n: int = 4, noise: float = 0.25) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.zeros(GRID.shape, np.uint8)
    truth[1:4, 1:6, 2:9] = 1
    truth[2:4, 2:4, 4:6] = 2
    drawn = [np.where(rng.random(GRID.shape) < noise, rng.integers(0, 3, GRID.shape), truth) for _ in range(n)]
    return [one.astype(np.uint8) for one in drawn], truth


def as_members(maps: list[np.ndarray]) -> Members:
    return Members.from_labels(maps, geometry=GRID, classes=CLASSES)


def soft_members(seed: int, n: int = 4) -> Members:
    rng = np.random.default_rng(seed)
    _, truth = labels(seed)
    logits = [rng.normal(size=(3, *GRID.shape)) + 2 * np.eye(3)[truth].transpose(3, 0, 1, 2) for _ in range(n)]
    p = [np.exp(z) / np.exp(z).sum(axis=0) for z in logits]
    return Members.from_arrays([one.astype(np.float32) for one in p], geometry=GRID, classes=CLASSES)


def case_of(members: Members, truth: np.ndarray | None):
    references = None if truth is None else as_members([truth])
    return measure_case(members, references, subject="a", tolerance_mm=1.0)


def matrices(found) -> dict[tuple[str, str], np.ndarray]:
    return {
        (entry.name, part.structure): entry.function(part.counts)
        for part in found.parts
        for entry in measures_of(part.counts)
    }


@pytest.fixture(scope="module")
def case():
    return case_of(soft_members(1), labels(1)[1])


def test_every_measure_is_read_from_a_case(case):
    assert {name for name, _ in matrices(case)} == {*DIVERSITY_MEASURES.names, *GROUP_MEASURES.names}


def test_every_matrix_is_symmetric_but_for_two(case):
    for (name, structure), values in matrices(case).items():
        if name in DIVERSITY_MEASURES:
            alike = np.allclose(values, values.T, equal_nan=True)
            assert alike != (name in NOT_SYMMETRIC), (name, structure)


def test_order_of_members_is_irrelevant(case):
    members = soft_members(1)
    order = [2, 0, 3, 1]
    turned = replace(members, sources=tuple(members.sources[m] for m in order))
    there = matrices(case_of(turned, labels(1)[1]))
    for key, values in matrices(case).items():
        expected = values[np.ix_(order, order)] if values.ndim else values
        assert there[key] == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), key


def test_copies_have_no_diversity():
    members = soft_members(2, n=1)
    (source,) = members.sources
    copies = replace(members, sources=tuple(replace(source, info=replace(source.info, id=f"m{n}")) for n in range(3)))
    truth = labels(3)[1]
    found = matrices(case_of(copies, truth))
    for (name, structure), values in found.items():
        if name in SAME_END:
            assert values[off_diagonal(3)] == pytest.approx(SAME_END[name], abs=1e-9), (name, structure)
    for structure in ("liver", "tumour", ALL):
        (errors,) = (p.counts for p in case_of(copies, truth).parts
                     if isinstance(p.counts, ErrorPairs) and p.structure == structure)  # fmt: skip
        rate = errors.wrong[0, 0] / errors.n[0, 0]
        assert found["double_fault", structure] == pytest.approx(np.full((3, 3), rate))
        assert found["silent_failure_rate", structure] == pytest.approx(rate)
        assert found["silent_share_of_errors", structure] == 1
        assert found["disagreement_error_ratio", structure] == 0


def test_counts_are_those_of_plain_arrays():
    maps, truth = labels(4)
    decisions = Decisions.of(as_members(maps))
    reference = Decisions.of_references(as_members([truth]), as_members(maps)).bits[0]
    region = voxel_set("ever_foreground", np.concatenate([decisions.bits, reference[None]]), GRID, references=1)
    inside = [np.any([m == c for m in (*maps, truth)], axis=0) for c in (1, 2)]
    inside.append(inside[0] | inside[1])
    for place, structure in enumerate(("liver", "tumour", ALL)):
        where = inside[place]
        assert np.array_equal(unpacked(region.bits[place], GRID.shape), where)
        told = [one[where] if structure == ALL else one[where] == place + 1 for one in maps]
        right = truth[where] if structure == ALL else truth[where] == place + 1
        pairs, group = error_counts(decisions, reference, structure, region.bits[place])
        for i in range(4):
            for j in range(4):
                assert pairs.differ[i, j] == np.sum(told[i] != told[j])
                assert pairs.both[i, j] == np.sum((told[i] != right) & (told[j] != right))
                assert pairs.wrong[i, j] == np.sum(told[i] != right)
        alike = np.all([one == told[0] for one in told], axis=0)
        assert group.silent == np.sum(alike & (told[0] != right))
        assert np.array_equal(decision_pairs(decisions, structure, region.bits[place]).differ, pairs.differ)


def test_dice_and_surface_dice_are_those_of_the_scores():
    maps, _ = labels(5)
    decisions = Decisions.of(as_members(maps))
    dice = pairwise_dice(collect(as_members(maps), PairwiseOverlap)[PairwiseOverlap])
    for place, structure in enumerate(CLASSES.structures):
        found = 1 - DIVERSITY_MEASURES["dice_distance"].function(mask_pairs(decisions, structure))
        assert found == pytest.approx(dice[place])
        surfaces = surface_pairs(decisions, structure, tolerance_mm=1.0)
        for i, j in ((0, 1), (2, 3), (3, 1)):
            masks = (maps[i] == place + 1, maps[j] == place + 1)
            direct = normalized_surface_dice(surface_distances(*masks, spacing_mm=GRID.spacing_mm), tolerance_mm=1.0)
            assert surfaces.nsd[i, j] == pytest.approx(direct)


def simulated(accuracy: float, n_classes: int, *, n: int = 400_000, seed: int = 0) -> ErrorPairs:
    """Two members that err independently, counted from their decisions one by one."""
    rng = np.random.default_rng(seed)
    told = [np.where(rng.random(n) < accuracy, 0, rng.integers(1, n_classes, n)) for _ in range(2)]
    wrong = np.array([one != 0 for one in told])
    differ = float(np.sum(told[0] != told[1]))
    both = (wrong[:, None] & wrong[None]).sum(axis=2).astype(float)
    each = np.repeat(wrong.sum(axis=1).astype(float)[:, None], 2, axis=1)
    return ErrorPairs(("a", "b"), np.full((2, 2), float(n)), each, both, differ * (1 - np.eye(2)), float(n_classes))


@pytest.mark.parametrize(("accuracy", "n_classes", "expected"), [(0.9, 2, 1.8), (0.9, 10, 1.889), (0.95, 2, 1.9)])
def test_independent_errors(accuracy, n_classes, expected):
    pairs = simulated(accuracy, n_classes)
    apart = mean_of_pairs(DIVERSITY_MEASURES["normalised_disagreement"].function(pairs))
    assert apart == pytest.approx(expected, abs=0.015)
    for name in ("error_consistency", "error_correlation"):
        assert mean_of_pairs(DIVERSITY_MEASURES[name].function(pairs)) == pytest.approx(0, abs=0.01)
    assert mean_of_pairs(DIVERSITY_MEASURES["q_statistic"].function(pairs)) == pytest.approx(0, abs=0.05)
    assert DIVERSITY_MEASURES["double_fault"].function(pairs)[0, 1] == pytest.approx((1 - accuracy) ** 2, abs=0.001)


def test_four_counts_by_hand():
    """N11, N10, N01, N00 = 50, 20, 10, 20 of 100 voxels of two classes."""
    wrong = np.array([[30.0, 30.0], [40.0, 40.0]])
    both = np.array([[30.0, 20.0], [20.0, 40.0]])
    pairs = ErrorPairs(("a", "b"), np.full((2, 2), 100.0), wrong, both, 30.0 * (1 - np.eye(2)), 2.0)
    read = {name: DIVERSITY_MEASURES[name].function(pairs) for name in DIVERSITY_MEASURES.names
            if DIVERSITY_MEASURES[name].reads is ErrorPairs}  # fmt: skip
    assert read["q_statistic"][0, 1] == pytest.approx((50 * 20 - 20 * 10) / (50 * 20 + 20 * 10))
    expected = 0.7 * 0.6 + 0.3 * 0.4
    assert read["error_consistency"][0, 1] == pytest.approx((0.7 - expected) / (1 - expected))
    assert read["error_correlation"][0, 1] == pytest.approx((0.2 - 0.3 * 0.4) / math.sqrt(0.3 * 0.7 * 0.4 * 0.6))
    assert read["normalised_disagreement"][0, 1] == pytest.approx(0.3 / 0.4)
    assert read["normalised_disagreement"][1, 0] == pytest.approx(0.3 / 0.3)
    assert read["double_fault"][0, 1] == pytest.approx(0.2)
    group = ErrorGroup(*(np.array(v) for v in (100.0, 15.0, 35.0, 30.0)))
    assert GROUP_MEASURES["silent_failure_rate"].function(group) == pytest.approx(0.15)
    assert GROUP_MEASURES["silent_share_of_errors"].function(group) == pytest.approx(15 / 35)
    assert GROUP_MEASURES["disagreement_error_ratio"].function(group) == pytest.approx(30 / 35)


def test_divergences_of_two_coins():
    p = np.array([[[0.9], [0.1]], [[0.5], [0.5]], [[1.0], [0.0]]], np.float32)
    kl, js = divergences(p)
    assert kl[0, 1] == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5), rel=1e-5)
    assert kl[1, 0] == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), rel=1e-5)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert js[1, 2] == pytest.approx(entropy - math.log(2) / 2, rel=1e-6)
    assert kl[1, 2] == pytest.approx(0.5 * math.log(0.5) + 0.5 * math.log(0.5 / PROBABILITY_FLOOR), rel=1e-3)


def test_opposite_members_are_log_2_apart():
    _, js = divergences(np.array([[[1.0], [0.0]], [[0.0], [1.0]]], np.float32))
    assert js[0, 1] == pytest.approx(math.log(2))


@given(st.lists(st.integers(0, 50), min_size=8, max_size=8), st.integers(1, 7))
@settings(max_examples=30, deadline=None)
def test_pooling_parts_is_counting_once(counts, cut):
    parts = [DecisionPairs(("a", "b"), np.full((2, 2), 50.0), np.full((2, 2), float(c)), 2.0) for c in counts]
    whole = pool(parts)
    halves = pool([pool(parts[:cut]), pool(parts[cut:])])
    assert np.array_equal(whole.differ, halves.differ)
    assert whole.differ[0, 1] == sum(counts)
    assert whole.n[0, 1] == 50 * len(counts)


def test_members_of_different_subjects_are_matched_by_name():
    first = DecisionPairs(("a", "b"), np.full((2, 2), 10.0), np.array([[0.0, 3], [3, 0]]), 2.0)
    second = DecisionPairs(("c", "a"), np.full((2, 2), 5.0), np.array([[0.0, 1], [1, 0]]), 2.0)
    both = pool([first, second])
    assert both.members == ("a", "b", "c")
    values = DIVERSITY_MEASURES["disagreement"].function(both)
    assert (values[0, 1], values[0, 2]) == (0.3, 0.2)
    assert math.isnan(values[1, 2])
    assert stack([first, second]).differ.shape == (2, 3, 3)
    with pytest.raises(ValueError, match="n_classes"):
        pool([first, replace(second, n_classes=3.0)])


def test_slabs_give_what_the_whole_gives(case, monkeypatch):
    monkeypatch.setattr("plausible.diversity.soft_pairwise.SLAB_VALUES", 35 * 12)
    monkeypatch.setattr("plausible.diversity.soft_pairwise.BLOCK", 7)
    turned = replace(soft_members(1), slab_axis=2)
    there = matrices(case_of(turned, labels(1)[1]))
    for key, values in matrices(case).items():
        assert there[key] == pytest.approx(values, rel=1e-9, nan_ok=True), key


def test_statistics_survive_a_file(case):
    for part in case.parts:
        again = from_dict(to_dict(part.counts))
        for entry in measures_of(part.counts):
            assert np.array_equal(entry.function(again), entry.function(part.counts), equal_nan=True)
    soft = next(part.counts for part in case.parts if isinstance(part.counts, SoftPairs))
    assert to_dict(soft)["statistic"] == "SoftPairs"


def test_band_of_one_voxel_by_hand():
    grid = Geometry((9, 9, 9), np.diag([1.0, 1.0, 2.0, 1.0]))
    mask = np.zeros(grid.shape, np.uint8)
    mask[4, 4, 4] = 1
    classes = Classes.exclusive_of({"background": 0, "liver": 1})
    two = Members.from_labels([mask, mask], geometry=grid, classes=classes)
    bits = Decisions.of(two).bits
    band = unpacked(voxel_set("contour_band", bits, grid, band_mm=1.0).bits[0], grid.shape)
    assert band.sum() == 1 + 4  # the voxel and its neighbours in the slice; those above and below are 2 mm away
    assert unpacked(voxel_set("contour_band", bits, grid, band_mm=2.0).bits[0], grid.shape).sum() == 1 + 12 + 2
    assert unpacked(voxel_set("ever_foreground", bits, grid).bits[0], grid.shape).sum() == 1
    assert unpacked(voxel_set("whole_image", bits, grid).bits[0], grid.shape).all()
    assert VOXEL_SETS.names == ("contour_band", "ever_foreground", "whole_image")


def test_band_runs_along_the_references_too():
    """What all members miss is inside: an island that only the reference has is a silent failure."""
    maps, _ = labels(6, n=2, noise=0)
    truth = maps[0].copy()
    truth[0, 0, 0] = 1
    alone = case_of(as_members(maps), truth)
    (group,) = (p.counts for p in alone.parts if isinstance(p.counts, ErrorGroup) and p.structure == "liver")
    assert group.silent == 1
    assert {p.region for p in alone.parts} >= {"contour_band_4_mm_with_references"}


def test_one_member_has_nobody_to_differ_from():
    with pytest.raises(InvalidInput, match="E104"):
        Decisions.of(as_members(labels(1, n=1)[0]))


def test_empty_structures_are_undefined():
    nothing = as_members([np.zeros(GRID.shape, np.uint8)] * 2)
    found = matrices(case_of(nothing, np.zeros(GRID.shape, np.uint8)))
    assert np.isnan(found["dice_distance", "liver"]).all()
    assert np.isnan(found["disagreement", "tumour"]).all()
    assert np.isnan(found["surface_dice_distance", "liver"]).all()
    assert np.isnan(found["silent_failure_rate", ALL])
