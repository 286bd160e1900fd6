import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import (
    CONSENSUS_SCORES,
    ConsensusOverlap,
    PairwiseOverlap,
    consensus_overlap,
    consensus_rows,
    iou_of_all_members,
    predicted_structure_uncertainty,
    predicted_structure_uncertainty_dice,
)
from plausible.core import Classes, Geometry, Members, collect, select
from tests.aggregate.cases import assessed, certain_members, random_members, reordered

EVERY = pytest.mark.parametrize("entry", list(CONSENSUS_SCORES), ids=lambda e: e.name)
BINARY = Classes.exclusive_of({"background": 0, "liver": 1})


def members_of(masks: list[np.ndarray]) -> Members:
    geometry = Geometry(masks[0].shape, np.eye(4))
    return Members.from_labels([m.astype(np.uint8) for m in masks], geometry=geometry, classes=BINARY, subject="s1")


def line(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((5, 7, 11), bool)
    mask[2, 3, start:stop] = True
    return mask


def test_closed_forms():
    members = members_of([line(0, 4), line(0, 6), line(2, 8)])
    found = consensus_overlap(members, line(0, 6)[None])
    assert predicted_structure_uncertainty(found) == pytest.approx(1 - (4 / 6 + 6 / 6 + 4 / 8) / 3)
    assert predicted_structure_uncertainty_dice(found) == pytest.approx(1 - (8 / 10 + 12 / 12 + 8 / 12) / 3)
    assert iou_of_all_members(found) == pytest.approx(2 / 8)


def test_by_iou_and_by_dice_are_two_numbers():
    """One package calls the IoU form PSU, others the Dice form."""
    found = consensus_overlap(members_of([line(0, 4), line(0, 6)]), line(0, 6)[None])
    assert predicted_structure_uncertainty(found)[0] > predicted_structure_uncertainty_dice(found)[0] > 0


def test_members_that_lack_what_the_consensus_lacks_are_left_out():
    nothing = line(0, 0)
    found = consensus_overlap(members_of([nothing, line(0, 2), nothing]), nothing[None])
    assert predicted_structure_uncertainty(found) == pytest.approx(1)  # of the one member that has it: nothing shared
    missed = consensus_overlap(members_of([nothing, line(0, 2)]), line(0, 2)[None])
    assert predicted_structure_uncertainty(missed) == pytest.approx(1 / 2)


@EVERY
def test_one_member_and_an_absent_structure_are_undefined(entry, geometry, classes):
    one = random_members(geometry, classes, n_members=1)
    masks = classes.masks(next(iter(one)).probabilities)
    assert np.isnan(entry.function(consensus_overlap(one, masks))).all()
    certain = certain_members(geometry, classes)
    values = entry.function(consensus_overlap(certain, classes.masks(next(iter(certain)).probabilities)))
    assert np.isnan(values).tolist() == [False, False, True]


@EVERY
def test_members_that_all_say_the_same_agree_in_full(entry, geometry, classes):
    members = certain_members(geometry, classes)
    values = entry.function(consensus_overlap(members, classes.masks(next(iter(members)).probabilities)))
    assert values[:2] == pytest.approx([1, 1] if entry.higher_is == "better" else [0, 0])


@given(seed=st.integers(0, 50), slab_voxels=st.sampled_from([None, 1, 77, 200]), order=st.permutations(range(4)))
def test_slabs_and_order_of_members_do_not_matter(geometry, classes, seed, slab_voxels, order):
    members = random_members(geometry, classes, seed=seed)
    predicted = assessed(members, "predicted_structure:mean").masks.predicted
    whole = consensus_overlap(members, predicted)
    slabs = consensus_overlap(reordered(members, order), predicted, slab_voxels=slab_voxels)
    own = [classes.masks(member.probabilities) for member in members]
    assert np.array_equal(whole.shared, [(one & predicted).sum(axis=(1, 2, 3)) for one in own])
    assert np.array_equal(whole.in_all, np.all(own, axis=0).sum(axis=(1, 2, 3)))
    assert np.array_equal(whole.in_any, np.any(own, axis=0).sum(axis=(1, 2, 3)))
    for entry in CONSENSUS_SCORES:
        assert entry.function(slabs) == pytest.approx(entry.function(whole), nan_ok=True)


def test_joined_slabs_have_no_bits_left(geometry, classes):
    members = random_members(geometry, classes)
    joined = collect(members, PairwiseOverlap, slab_voxels=77)[PairwiseOverlap]
    with pytest.raises(ValueError, match="before joining slabs"):
        ConsensusOverlap.of(classes.masks(next(iter(members)).probabilities), joined)


def test_slabs_of_others_are_refused(geometry, classes):
    members = random_members(geometry, classes)
    predicted = classes.masks(next(iter(members)).probabilities)
    with pytest.raises(ValueError, match="slabs of other members"):
        consensus_overlap(members, predicted).join(consensus_overlap(reordered(members, [0, 1]), predicted), axis=0)


def test_rows_are_per_structure_and_of_the_subject(geometry, classes):
    members = certain_members(geometry, classes)
    predicted = classes.masks(next(iter(members)).probabilities)
    rows = consensus_rows(consensus_overlap(members, predicted), subject="s1")
    iou = {row.structure: (row.value, row.n) for row in select(rows, measure="iou_of_all_members")}
    assert iou["liver"] == iou["kidney"] == (1, 3)
    assert math.isnan(iou["spleen"][0])
    assert iou[""] == (1, 2)
    assert len(rows) == 4 * len(CONSENSUS_SCORES)
