import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.aggregate import (
    DETECTION_SCORES,
    LESION_SCORES,
    CaseMasks,
    LesionMatches,
    connected_components,
    detection_disagreement,
    existence_probability,
    lesion_matches,
    lesion_rows,
    lesion_structural_uncertainty,
    lesion_structural_uncertainty_union,
)
from plausible.core import Geometry, Members, select
from tests.aggregate.cases import assessed, random_members, reordered
from tests.aggregate.test_consensus import BINARY, members_of

SHAPE = (5, 7, 30)
EVERY = pytest.mark.parametrize("entry", list(LESION_SCORES), ids=lambda e: e.name)
COUNTS = {entry.name: entry.function for entry in DETECTION_SCORES}


def lines(*ends: tuple[int, int]) -> np.ndarray:
    """Lesions that follow each other on one line."""
    mask = np.zeros(SHAPE, bool)
    for start, stop in ends:
        mask[2, 3, start:stop] = True
    return mask


def matched(consensus: np.ndarray, *members: np.ndarray, connectivity: int = 26) -> LesionMatches:
    masks = CaseMasks(consensus[None], consensus[None], Geometry(SHAPE, np.eye(4)), ("liver",))
    (found,) = lesion_matches(members_of(list(members)), masks, connectivity=connectivity)
    return found


def test_closed_forms():
    """Two lesions of 10 and 4 voxels; one member has both a little off, one only the first, one neither."""
    found = matched(lines((0, 10), (20, 24)), lines((0, 8), (21, 25)), lines((2, 12)), lines((14, 16)))
    assert found.voxels.tolist() == [10, 4]
    assert existence_probability(found) == pytest.approx([2 / 3, 1 / 3])
    assert detection_disagreement(found) == pytest.approx([1 / 3, 2 / 3])
    assert lesion_structural_uncertainty(found) == pytest.approx([1 - (8 / 10 + 8 / 12) / 3, 1 - (3 / 5) / 3])
    counts = {name: function(found) for name, function in COUNTS.items()}
    assert counts == pytest.approx(
        {
            "lesion_count": 2,
            "mean_lesion_count": (2 + 1 + 1) / 3,
            "lesion_count_sd": math.sqrt(1 / 3),
            "expected_lesion_count": 2 / 3 + 1 / 3,
            "lesions_outside_consensus": 1 / 3,
            "mean_detection_disagreement": (1 / 3 + 2 / 3) / 2,
            "mean_lesion_structural_uncertainty": (1 - (8 / 10 + 8 / 12) / 3 + 1 - (3 / 5) / 3) / 2,
        }
    )


def test_a_lesion_in_pieces_by_both_rules_of_matching():
    found = matched(lines((0, 10)), lines((0, 6), (7, 9)), lines((0, 10)))
    assert lesion_structural_uncertainty(found) == pytest.approx([1 - (6 / 10 + 1) / 2])
    assert lesion_structural_uncertainty_union(found) == pytest.approx([1 - (8 / 10 + 1) / 2])


def test_a_component_that_bridges_two_lesions_is_matched_to_both():
    found = matched(lines((0, 6), (8, 12)), lines((0, 12)), lines((0, 12)))
    assert existence_probability(found).tolist() == [1, 1]
    assert lesion_structural_uncertainty(found) == pytest.approx([1 - 6 / 12, 1 - 4 / 12])
    assert COUNTS["lesions_outside_consensus"](found) == 0
    assert COUNTS["mean_lesion_count"](found) == 1


def test_connectivity_decides_how_many_lesions_there_are():
    corner = np.zeros(SHAPE, bool)
    corner[1, 1, 1] = corner[2, 2, 2] = True
    assert [len(matched(corner, corner, corner, connectivity=n).voxels) for n in (6, 18, 26)] == [2, 2, 1]
    with pytest.raises(ValueError, match="connectivity must be"):
        matched(corner, corner, connectivity=8)
    with pytest.raises(TypeError, match="connectivity"):
        connected_components(corner)


@EVERY
def test_members_that_all_say_the_same_are_certain(entry):
    mask = lines((0, 10), (20, 24))
    values = entry.function(matched(mask, mask, mask, mask))
    assert values == pytest.approx([1, 1] if entry.name == "existence_probability" else [0, 0])


@EVERY
def test_lesions_that_no_member_has_are_uncertain_in_full(entry):
    mask = lines((0, 10))
    values = entry.function(matched(mask, lines((20, 24)), lines()))
    assert values == pytest.approx([0] if entry.name == "existence_probability" else [1])


@EVERY
def test_one_member_is_undefined(entry):
    mask = lines((0, 10))
    assert np.isnan(entry.function(matched(mask, mask))).all()


def test_counts_of_one_member():
    mask = lines((0, 10), (12, 14))
    found = {name: function(matched(mask, mask)) for name, function in COUNTS.items()}
    assert {name for name, value in found.items() if not math.isnan(value)} == {"lesion_count", "mean_lesion_count"}
    assert found["lesion_count"] == found["mean_lesion_count"] == 2


def test_no_lesion_at_all():
    found = matched(lines(), lines(), lines((0, 4)))
    assert all(entry.function(found).size == 0 for entry in LESION_SCORES)
    assert COUNTS["lesion_count"](found) == 0
    assert COUNTS["lesions_outside_consensus"](found) == 1 / 2
    assert math.isnan(COUNTS["mean_detection_disagreement"](found))


@given(seed=st.integers(0, 200), connectivity=st.sampled_from([6, 18, 26]))
def test_matches_are_a_loop_over_pairs_of_components(seed, connectivity):
    rng = np.random.default_rng(seed)
    consensus, mask = rng.random((2, *SHAPE)) < 0.15
    lesions = connected_components(consensus, connectivity=connectivity)
    own = connected_components(mask, connectivity=connectivity)
    found = LesionMatches.of(lesions, mask, structure="liver", member="a")
    touching = set()
    for lesion in range(1, len(lesions.voxels) + 1):
        here = lesions.labels == lesion
        parts = [own.labels == n for n in np.unique(own.labels[here & mask])]
        touching |= set(np.unique(own.labels[here & mask]))
        single = max(((here & part).sum() / (here | part).sum() for part in parts), default=0)
        union = np.any(parts, axis=0) if parts else np.zeros(SHAPE, bool)
        assert found.iou_largest[0, lesion - 1] == pytest.approx(single)
        assert found.iou_union[0, lesion - 1] == pytest.approx((here & union).sum() / (here | union).sum())
    assert found.n_outside[0] == len(own.voxels) - len(touching)


@given(seed=st.integers(0, 50), order=st.permutations(range(4)))
def test_order_of_members_does_not_matter(geometry, classes, seed, order):
    members = random_members(geometry, classes, seed=seed)
    masks = assessed(members, "lesion:mean", connectivity=18).masks
    first, mixed = (lesion_matches(each, masks, connectivity=18) for each in (members, reordered(members, order)))
    for one, other in zip(first, mixed, strict=True):
        for entry in (*LESION_SCORES, *DETECTION_SCORES):
            assert entry.function(other) == pytest.approx(entry.function(one), nan_ok=True)


def test_other_lesions_are_not_pooled():
    one, other = matched(lines((0, 3)), lines((0, 3))), matched(lines((0, 4)), lines((0, 3)))
    with pytest.raises(ValueError, match="others than those of liver"):
        one.merge(other)


def test_rows_name_lesion_connectivity_and_structure():
    rows = lesion_rows([matched(lines((0, 10), (20, 24)), lines((0, 10)), lines((0, 10), (20, 23)))], subject="s1")
    assert len(rows) == 2 * len(LESION_SCORES) + len(DETECTION_SCORES)
    assert {row.structure for row in rows} == {"liver"}
    assert {row.n for row in rows} == {2}
    (second,) = select(rows, measure="existence_probability", region="lesion_2_connectivity_26")
    assert second.value == 1 / 2
    (count,) = select(rows, measure="lesion_count")
    assert (count.region, count.unit, count.value) == ("connectivity_26", "lesions", 2)


def test_uncertainty_in_a_lesion_and_its_existence_are_rows_of_one_region():
    geometry = Geometry(SHAPE, np.eye(4))
    soft = [np.stack([1 - 0.8 * m, 0.8 * m]).astype(np.float32) for m in (lines((0, 10), (20, 24)), lines((0, 9)))]
    soft[1][1, 2, 3, 20:24], soft[1][0, 2, 3, 20:24] = 0.4, 0.6
    members = Members.from_arrays(soft, geometry=geometry, classes=BINARY, subject="s1")
    case = assessed(members, "lesion:mean", "lesion:sum", connectivity=26)
    matches = lesion_matches(members, case.masks, connectivity=26)
    regions = {row.region for row in case.rows if row.region}
    assert regions == {row.region for row in lesion_rows(matches, subject="s1") if row.region.startswith("lesion")}
    (entropy,) = select(case.rows, region="lesion_2_connectivity_26", measure="predictive_entropy", reduction="mean")
    assert entropy.value == pytest.approx(-(0.6 * math.log(0.6) + 0.4 * math.log(0.4)), rel=1e-5)
    assert entropy.n == 4
