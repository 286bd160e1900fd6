"""What published code computes under the names of our measures: the wrong value beside ours."""

import math

import numpy as np
import pytest

from plausible.core import collect
from plausible.measure import (
    VOXEL_MEASURES,
    VoxelSpread,
    VoxelStatistics,
    expected_entropy,
    mutual_information,
    one_minus_max_probability,
    predictive_entropy,
    variance,
)
from tests.measure.cases import KINDS, members_of

TWO = KINDS["two classes"]


def voxel(*present: float) -> np.ndarray:
    """Members of one voxel, by their probability of the liver."""
    p = np.array(present, np.float32)[:, np.newaxis, np.newaxis, np.newaxis, np.newaxis]
    return np.concatenate([1 - p, p], axis=1)


def read(stack: np.ndarray, *, classes=TWO):
    found = collect(members_of(stack, classes), VoxelStatistics, VoxelSpread)
    return found[VoxelStatistics], found[VoxelSpread]


@pytest.mark.parametrize(
    ("present", "merged", "ours"),
    [((0.999,) * 10, 0.2490, 0), ((0.999,) * 5 + (0.001,) * 5, 0.2490, 0.249), ((0.5,) * 10, 0, 0)],
)
def test_members_and_classes_are_not_merged_before_the_variance(present, merged, ours):
    """MONAI's VarianceMetric: ten members that agree vary as much as five against five."""
    stack = voxel(*present)
    assert stack.var() == pytest.approx(merged, abs=1e-4)  # wrong: the classes differ, not the members
    np.testing.assert_allclose(variance(read(stack)[1]), ours, atol=1e-4)


def test_one_minus_the_maximum_is_no_entropy():
    """ValUES writes it into a file named pred_entropy for one of its models."""
    statistics, _ = read(voxel(0.4, 0.6))
    assert one_minus_max_probability(statistics).item() == pytest.approx(1 / 2)
    assert predictive_entropy(statistics).item() == pytest.approx(math.log(2))


def test_entropy_of_three_classes_and_more_exceeds_1():
    """Code that takes an uncertainty for a share of 1 cuts it off; the catalogue says how high it can be."""
    classes = KINDS["classes"]
    stack = np.full((2, 4, 1, 1, 1), 1 / 4, np.float32)
    value = predictive_entropy(read(stack, classes=classes)[0]).item()
    assert min(value, 1.0) != pytest.approx(value)  # wrong
    upper = VOXEL_MEASURES["predictive_entropy"].upper
    assert upper is not None
    assert value == pytest.approx(math.log(4)) == pytest.approx(upper(classes))


def test_a_hard_member_has_no_entropy_at_all():
    """LostInFolds clips at 1e-10, renormalises and adds 1e-10 in the logarithm: near, but not 0 and not exact."""
    stack = voxel(0.0, 1.0)

    def clipped(p: np.ndarray) -> np.ndarray:
        p = np.clip(p.astype(np.float64), 1e-10, 1)
        p /= p.sum(axis=0)
        return -(p * np.log(p + 1e-10)).sum(axis=0)

    inside = np.mean([clipped(p) for p in stack])
    statistics, _ = read(stack)
    assert 0 < inside < 1e-8  # harmless, not bit for bit
    assert expected_entropy(statistics).item() == 0
    assert mutual_information(statistics).item() == pytest.approx(clipped(stack.mean(axis=0)) - inside, abs=1e-6)


def test_one_member_is_not_sure_it_is_alone():
    """The formula gives 0 for one member, which reads as certainty although nothing was compared."""
    stack = voxel(0.5)
    statistics, spread = read(stack)
    assert float(np.var(stack, axis=0).max()) == 0  # wrong
    assert math.isnan(mutual_information(statistics).item())
    assert np.isnan(variance(spread)).all()
    assert predictive_entropy(statistics).item() == pytest.approx(math.log(2))
