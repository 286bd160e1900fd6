"""Lesions found and missed: closed forms, both matching rules, and what an empty side means."""

import math

import numpy as np
import pytest

from plausible.core import Members
from plausible.evaluate import (
    LESION_DETECTION_SCORES,
    LesionDetection,
    evaluate_cohort,
    lesion_detection,
    lesion_detection_rows,
    lesion_f1,
    lesion_false_positives,
    lesion_precision,
    lesion_sensitivity,
)
from tests.evaluate.test_references import CLASSES, GEOMETRY, raters_of

SHAPE = (5, 7, 11)
NAMES = ("lesion_sensitivity", "lesion_precision", "lesion_f1", "lesion_false_positives")


def mask(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Boxes in slice 2: rows from, to, columns from, to."""
    made = np.zeros(SHAPE, bool)
    for a, b, c, d in boxes:
        made[2, a:b, c:d] = True
    return made


def counts(found: LesionDetection) -> tuple[int, int, int, int]:
    return found.n_reference, found.n_predicted, found.n_found, found.n_true


def test_found_missed_and_false_by_hand():
    reference = mask((0, 2, 0, 2), (4, 6, 0, 2), (0, 2, 8, 10))
    prediction = mask((1, 2, 1, 3), (4, 6, 0, 2), (5, 6, 8, 9), (3, 4, 5, 6))
    found = lesion_detection(prediction, reference, connectivity=26)
    assert counts(found) == (3, 4, 2, 2)
    assert lesion_sensitivity(found) == 2 / 3
    assert lesion_precision(found) == 2 / 4
    assert lesion_f1(found) == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert lesion_false_positives(found) == 2
    strict = lesion_detection(prediction, reference, connectivity=26, min_iou=0.5)
    assert counts(strict) == (3, 4, 1, 1)  # the first pair: IoU 1 / 5


def test_one_component_over_two_lesions_finds_both_by_overlap_and_one_by_iou():
    reference, prediction = mask((0, 2, 0, 2), (0, 2, 3, 5)), mask((0, 2, 0, 5))
    assert counts(lesion_detection(prediction, reference, connectivity=6)) == (2, 1, 2, 1)
    assert counts(lesion_detection(prediction, reference, connectivity=6, min_iou=0.4)) == (2, 1, 1, 1)
    assert counts(lesion_detection(reference, prediction, connectivity=6, min_iou=0.4)) == (1, 2, 1, 1)


def test_partners_make_most_pairs_not_the_best_single_one():
    reference = mask((0, 1, 0, 6), (2, 3, 0, 2))
    prediction = mask((0, 1, 0, 4), (1, 3, 0, 1), (0, 1, 5, 6))  # the first two boxes are one component
    ious = {"first with long": 4 / 8, "first with short": 1 / 6, "second with long": 1 / 7}
    assert ious["first with long"] > ious["first with short"] + ious["second with long"]
    assert counts(lesion_detection(prediction, reference, connectivity=6, min_iou=0.1)) == (2, 2, 2, 2)
    assert counts(lesion_detection(prediction, reference, connectivity=6, min_iou=0.15)) == (2, 2, 1, 1)


def test_an_iou_of_exactly_the_threshold_matches():
    reference, prediction = mask((0, 1, 0, 4)), mask((0, 1, 0, 2))
    assert counts(lesion_detection(prediction, reference, connectivity=6, min_iou=0.5)) == (1, 1, 1, 1)
    assert counts(lesion_detection(prediction, reference, connectivity=6, min_iou=0.51)) == (1, 1, 0, 0)


def test_connectivity_decides_what_a_lesion_is():
    corner = np.zeros(SHAPE, bool)
    corner[1, 1, 1] = corner[2, 2, 1] = corner[3, 3, 2] = True
    assert [lesion_detection(corner, corner, connectivity=c).n_reference for c in (6, 18, 26)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("n_reference", "n_predicted", "expected"),
    [(0, 0, (math.nan, math.nan, math.nan, 0)), (1, 0, (0, math.nan, 0, 0)), (0, 1, (math.nan, 0, 0, 1))],
)
def test_the_contract_of_empty_sides(n_reference, n_predicted, expected):
    boxes = [(0, 2, 0, 2)]
    for min_iou in (None, 0.3):
        found = lesion_detection(
            mask(*boxes[:n_predicted]), mask(*boxes[:n_reference]), connectivity=26, min_iou=min_iou
        )
        np.testing.assert_equal(tuple(entry.function(found) for entry in LESION_DETECTION_SCORES), expected)


def test_swapping_sides_swaps_sensitivity_and_precision():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, *SHAPE)) > 0.9
    for min_iou in (None, 0.2):
        ours = lesion_detection(a, b, connectivity=6, min_iou=min_iou)
        theirs = lesion_detection(b, a, connectivity=6, min_iou=min_iou)
        assert lesion_sensitivity(ours) == lesion_precision(theirs)
        assert lesion_f1(ours) == lesion_f1(theirs)


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="connectivity must be 6"):
        lesion_detection(mask(), mask(), connectivity=4)
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        lesion_detection(mask(), mask(), connectivity=6, min_iou=0.0)


def case(subject: str, *, predicted: tuple, drawn: tuple):
    labels = [mask(*boxes).astype(np.uint8) for boxes in (predicted, drawn)]
    members = Members.from_labels([labels[0], labels[0]], geometry=GEOMETRY, classes=CLASSES, subject=subject)
    return lesion_detection_rows(members, raters_of(labels[1], subject=subject), connectivity=18, slab_voxels=100)


def test_rows_say_the_rule_and_what_n_counts():
    rows = case("s1", predicted=((0, 2, 0, 2), (4, 6, 4, 6)), drawn=((0, 2, 1, 3), (4, 6, 8, 10), (0, 1, 6, 7)))
    liver = {row.measure: (row.value, row.n) for row in rows if row.structure == "liver"}
    assert liver == {
        "lesion_sensitivity": (1 / 3, 3), "lesion_precision": (1 / 2, 2), "lesion_f1": (2 / 5, 5),
        "lesion_false_positives": (1, 2),
    }  # fmt: skip
    assert {(row.region, row.reduction, row.against) for row in rows} == {
        ("lesions_18:any_overlap", "ensemble", "rater_0")
    }
    assert [row.measure for row in rows if row.structure == "spleen"] == list(NAMES)


def test_a_cohort_pools_the_lesions_of_all_cases():
    rows = [
        *case("s1", predicted=((0, 2, 0, 2),), drawn=((0, 2, 0, 2),)),
        *case("s2", predicted=((4, 6, 8, 10),), drawn=((0, 1, 0, 1), (2, 3, 0, 1), (4, 5, 0, 1))),
        *case("s3", predicted=(), drawn=()),
    ]
    lines = {
        (line.region.removeprefix("lesions_18:any_overlap"), line.measure): line
        for line in evaluate_cohort(rows, seed=0, n_resamples=50).summary
        if line.structure == "liver" and line.reduction == "ensemble"
    }
    assert lines["", "lesion_sensitivity"].mean == pytest.approx((1 + 0) / 2)
    pooled = lines[":all_cases", "lesion_sensitivity"]
    assert (pooled.mean, pooled.n) == (pytest.approx(1 / 4), 3)
    assert lines[":all_cases", "lesion_precision"].mean == pytest.approx(1 / 2)
    assert lines[":all_cases", "lesion_false_positives"].mean == pytest.approx(1 / 3)
    assert 0 <= pooled.low <= pooled.mean <= pooled.high <= 1
