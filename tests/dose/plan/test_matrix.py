"""Rows, columns and diagonal of a matrix; the correlation's interval; how two views disagree."""

import math

import numpy as np
import pytest
from scipy.stats import pearsonr

from plausible.dose.plan import PlanMatrix, disagreement, fisher_interval

IDS = ("reference", "a", "b", "c")
VALUES = np.array([[70.0, 68, 66, 71], [73, 60, 61, 62], [72, 63, 59, 64], [69, 65, 67, 58]])


@pytest.fixture
def matrix() -> PlanMatrix:
    return PlanMatrix("PTV", "D95%[Gy]", IDS, VALUES)


def test_fixed_dose_is_the_row_and_the_closed_loop_the_column_of_the_reference(matrix):
    assert matrix.nominal == 70
    assert matrix.fixed.tolist() == [68, 66, 71]
    assert matrix.closed.tolist() == [73, 72, 69]
    assert matrix.believed.tolist() == [60, 59, 58]
    assert matrix.loss.tolist() == [3, 2, -1]


def test_how_they_disagree(matrix):
    found = disagreement(matrix)
    assert found.n == found.n_signed == 3
    assert found.opposite_sign == 1  # -2, -4, +1 against +3, +2, -1
    assert found.rank_correlation == pytest.approx(-0.5)
    assert (found.fixed_mean, found.closed_mean) == (pytest.approx(205 / 3), pytest.approx(214 / 3))
    assert found.closed_sd == pytest.approx(math.sqrt((5 / 3) ** 2 / 2 + (2 / 3) ** 2 / 2 + (7 / 3) ** 2 / 2))
    assert math.isnan(found.low)  # three pairs have no interval
    assert math.isnan(found.high)


def test_a_structure_that_a_contouring_lacks_does_not_count():
    values = VALUES.copy()
    values[0, 2] = math.nan
    found = disagreement(PlanMatrix("PTV", "D95%[Gy]", IDS, values))
    assert found.n == 2
    assert found.fixed_mean == pytest.approx((68 + 71) / 2)
    assert found.closed_mean == pytest.approx((73 + 69) / 2)


def test_contourings_that_change_nothing_have_no_sign():
    values = np.full((4, 4), 70.0)
    found = disagreement(PlanMatrix("PTV", "D95%[Gy]", IDS, values))
    assert found.n_signed == 0
    assert math.isnan(found.opposite_sign)
    assert math.isnan(found.correlation)


@pytest.mark.parametrize(
    ("correlation", "n", "low", "high"),
    [(-0.96, 12, -0.99, -0.86), (-0.70, 10, -0.92, -0.13), (-0.51, 12, -0.84, 0.09)],
)
def test_published_intervals(correlation, n, low, high):
    found = fisher_interval(correlation, n)
    assert found == pytest.approx((low, high), abs=0.006)


def test_the_interval_is_that_of_scipy():
    a, b = np.random.default_rng(0).random((2, 15))
    told = pearsonr(a, b)
    assert fisher_interval(told.statistic, 15) == pytest.approx(tuple(told.confidence_interval()))


def test_a_matrix_must_be_square():
    with pytest.raises(ValueError, match="4 contourings"):
        PlanMatrix("PTV", "D95%[Gy]", IDS, VALUES[:3, :3])
