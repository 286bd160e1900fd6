import math

import numpy as np
import pytest

from plausible.evaluate import (
    OVERLAP_SCORES,
    Overlap,
    absolute_relative_volume_difference,
    dice,
    iou,
    overlap,
    precision,
    relative_volume_difference,
    sensitivity,
    volume_difference_ml,
)
from tests.evaluate.shapes import SHAPE, damaged, ellipsoid, one_voxel

EMPTY = np.zeros(SHAPE, bool)
VOXEL_ML = 0.7 * 1.1 * 3.0 / 1000
ALL = pytest.mark.parametrize("entry", list(OVERLAP_SCORES), ids=lambda e: e.name)


def compare(prediction, reference) -> Overlap:
    return overlap(prediction, reference, voxel_volume_ml=VOXEL_ML)


def test_closed_forms():
    counts = Overlap(3, 1, 2, 94, 0.5)
    assert dice(counts) == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert iou(counts) == pytest.approx(3 / 6)
    assert sensitivity(counts) == pytest.approx(3 / 5)
    assert precision(counts) == pytest.approx(3 / 4)
    assert volume_difference_ml(counts) == pytest.approx((4 - 5) * 0.5)
    assert relative_volume_difference(counts) == pytest.approx(-1 / 5)
    assert absolute_relative_volume_difference(counts) == pytest.approx(1 / 5)


@ALL
def test_both_empty_is_undefined(entry):
    assert math.isnan(entry.function(compare(EMPTY, EMPTY)))


@ALL
def test_more_damage_is_not_better(entry):
    whole = ellipsoid()
    values = [entry.function(compare(damaged(whole, steps=n), whole)) for n in range(5)]
    if entry.higher_is == "better":
        assert values == sorted(values, reverse=True)
    elif entry.higher_is == "worse":
        assert values == sorted(values)
    assert entry.higher_is == "neither" or values[0] != values[-1] or entry.name == "precision"


@ALL
def test_slabs_equal_the_whole_and_axes_do_not_matter(entry):
    a, b = damaged(ellipsoid(), steps=3), ellipsoid()
    whole = entry.function(compare(a, b))
    parts = [compare(a[:, :, n : n + 4], b[:, :, n : n + 4]) for n in range(0, SHAPE[2], 4)]
    assert entry.function(parts[0].join(*parts[1:])) == pytest.approx(whole)
    assert entry.function(compare(a.transpose(2, 0, 1)[::-1], b.transpose(2, 0, 1)[::-1])) == pytest.approx(whole)


def test_dice_is_symmetric_and_zero_if_one_is_empty():
    a, b = damaged(ellipsoid(), steps=3), ellipsoid()
    assert dice(compare(a, b)) == dice(compare(b, a))
    assert dice(compare(EMPTY, b)) == dice(compare(b, EMPTY)) == iou(compare(b, EMPTY)) == 0
    assert math.isnan(sensitivity(compare(b, EMPTY)))
    assert math.isnan(precision(compare(EMPTY, b)))
    assert dice(compare(one_voxel(), one_voxel())) == 1


def test_slabs_of_two_images_are_refused():
    with pytest.raises(ValueError, match="different volume"):
        Overlap(1, 0, 0, 0, 1.0).join(Overlap(1, 0, 0, 0, 2.0))
