import math

import numpy as np
import pytest

from plausible.aggregate import (
    lowest_pairwise_surface_dice,
    mean_pairwise_surface_dice,
    pairwise_surface_dice,
    surface_agreement_rows,
)
from plausible.core import Members, select
from plausible.evaluate import normalized_surface_dice, surface_distances
from tests.aggregate.cases import certain_members, random_members, reordered


def compared(members: Members, *, tolerance_mm: float = 1.0):
    spacing_mm = members.geometry.spacing_mm

    def compare(one: np.ndarray, other: np.ndarray) -> float:
        return normalized_surface_dice(surface_distances(one, other, spacing_mm=spacing_mm), tolerance_mm=tolerance_mm)

    return pairwise_surface_dice(members, tolerance_mm=tolerance_mm, compare=compare)


def test_pairs_are_those_of_the_score_against_a_rater(geometry, classes):
    members = random_members(geometry, classes, n_members=3, absent=("kidney",))
    found = compared(members)
    masks = [classes.masks(member.probabilities) for member in members]
    for s in (0, 2):
        values = [
            normalized_surface_dice(
                surface_distances(masks[a][s], masks[b][s], spacing_mm=geometry.spacing_mm), tolerance_mm=1.0
            )
            for a, b in ((0, 1), (0, 2), (1, 2))
        ]
        assert found.values[s] == pytest.approx(values)
        assert mean_pairwise_surface_dice(found)[s] == pytest.approx(np.mean(values))
        assert lowest_pairwise_surface_dice(found)[s] == min(values)
    assert found.n_pairs.tolist() == [3, 0, 3]
    assert np.isnan(mean_pairwise_surface_dice(found)[1])
    assert np.isnan(lowest_pairwise_surface_dice(found)[1])


def test_pairs_of_which_one_lacks_the_structure_are_zero_and_both_left_out(geometry, classes):
    members = certain_members(geometry, classes)
    empty = np.zeros(geometry.shape, np.uint8)
    labels = [classes.decode(next(iter(members)).probabilities), empty, empty]
    mixed = Members.from_labels(labels, geometry=geometry, classes=classes, subject="s1")
    found = compared(mixed)
    assert found.values[0].tolist()[:2] == [0, 0]
    assert math.isnan(found.values[0][2])
    assert mean_pairwise_surface_dice(found)[0] == 0


def test_one_member_is_undefined_and_equal_members_agree(geometry, classes):
    assert np.isnan(mean_pairwise_surface_dice(compared(random_members(geometry, classes, n_members=1)))).all()
    assert np.isnan(lowest_pairwise_surface_dice(compared(random_members(geometry, classes, n_members=1)))).all()
    assert mean_pairwise_surface_dice(compared(certain_members(geometry, classes)))[:2] == pytest.approx([1, 1])


def test_order_of_members_and_a_wider_tolerance(geometry, classes):
    members = random_members(geometry, classes)
    mean = mean_pairwise_surface_dice(compared(members))
    assert mean_pairwise_surface_dice(compared(reordered(members, [2, 0, 3, 1]))) == pytest.approx(mean)
    assert (mean_pairwise_surface_dice(compared(members, tolerance_mm=3.0)) >= mean).all()


def test_rows_carry_the_tolerance(geometry, classes):
    rows = surface_agreement_rows(compared(certain_members(geometry, classes), tolerance_mm=1.5), subject="s1")
    assert {row.region for row in rows} == {"tolerance_1.5_mm"}
    told = {row.structure: (row.value, row.n) for row in select(rows, measure="mean_pairwise_surface_dice")}
    assert told["liver"] == (1, 3)
    assert told[""] == (1, 2)
    assert told["spleen"][1] == 0
