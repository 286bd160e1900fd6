import math

import numpy as np
import pytest

from plausible.evaluate import (
    RISK_COVERAGE_SCORES,
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    excess_area_under_risk_coverage,
    normalized_area_under_risk_coverage,
    risk_coverage,
)

RISKS = np.array([0.1, 0.2, 0.3, 0.4])
DOWN = np.array([4.0, 3.0, 2.0, 1.0])
ALL = pytest.mark.parametrize("entry", list(RISK_COVERAGE_SCORES), ids=lambda e: e.name)


@pytest.fixture(scope="module")
def seeded():
    g = np.random.default_rng(0)
    risk = 0.6 * g.random(30)
    return -risk + 0.2 * g.standard_normal(30), risk


@pytest.mark.parametrize(
    ("confidence", "risk", "trapezoid", "flat_start", "plug_in", "augrc"),
    [
        (DOWN, RISKS, 0.13125, 0.15625, 0.175, 0.09375),
        (DOWN[::-1].copy(), RISKS, 0.24375, 0.34375, 0.325, 0.15625),
        (DOWN, np.full(4, 0.3), 0.225, 0.3, 0.3, 0.15),
    ],
)
def test_four_subjects(confidence, risk, trapezoid, flat_start, plug_in, augrc):
    curve = risk_coverage(confidence, risk)
    assert area_under_risk_coverage(curve, convention="trapezoid") == pytest.approx(trapezoid)
    assert area_under_risk_coverage(curve) == pytest.approx(flat_start)
    assert area_under_risk_coverage(curve, convention="plug_in") == pytest.approx(plug_in)
    assert area_under_generalized_risk_coverage(curve) == pytest.approx(augrc)


def test_thirty_subjects(seeded):
    curve = risk_coverage(*seeded)
    assert area_under_risk_coverage(curve, convention="trapezoid") == pytest.approx(0.18992496, abs=1e-8)
    assert area_under_risk_coverage(curve) == pytest.approx(0.18997973, abs=1e-8)
    assert area_under_risk_coverage(curve, convention="plug_in") == pytest.approx(0.19529587, abs=1e-8)
    assert area_under_risk_coverage(curve, convention="trapezoid") / (1 - 1 / 30) == pytest.approx(0.19647410, abs=1e-8)
    assert area_under_generalized_risk_coverage(curve) == pytest.approx(0.12173208, abs=1e-8)
    first = seeded[1][np.argmax(seeded[0])]
    assert pytest.approx(area_under_generalized_risk_coverage(curve) - first / (2 * 30**2), abs=1e-8) == 0.12592880 * (
        1 - 1 / 30
    )
    for convention in ("flat_start", "trapezoid"):
        assert excess_area_under_risk_coverage(curve, convention=convention) == pytest.approx(0.03742301, abs=1e-8)


def test_ties_give_the_mean_risk_in_any_order_of_files():
    risk = np.arange(10) / 9
    rng = np.random.default_rng(0)
    for _ in range(5):
        curve = risk_coverage(np.ones(10), rng.permutation(risk))
        assert curve.coverage.tolist() == [1.0]
        assert area_under_risk_coverage(curve) == pytest.approx(0.5)
        assert area_under_generalized_risk_coverage(curve) == pytest.approx(0.5 / 2)
        assert normalized_area_under_risk_coverage(curve) == pytest.approx(0)


@ALL
def test_order_of_files_and_ties_do_not_matter(entry):
    rng = np.random.default_rng(4)
    confidence, risk = rng.integers(0, 6, 50) / 5, rng.random(50)
    turn = rng.permutation(50)
    expected = entry.function(risk_coverage(confidence, risk))
    assert entry.function(risk_coverage(confidence[turn], risk[turn])) == pytest.approx(expected)
    assert entry.function(risk_coverage(7 * confidence - 3, risk)) == pytest.approx(expected)


@ALL
def test_a_better_order_scores_better(entry):
    rng = np.random.default_rng(5)
    risk, noise = rng.random(200), rng.normal(size=200)
    values = [entry.function(risk_coverage(-risk + width * noise, risk)) for width in (0, 0.3, 2)]
    assert values == sorted(values, reverse=entry.higher_is == "better")


@ALL
def test_nothing_is_undefined_and_nan_is_counted(entry):
    assert math.isnan(entry.function(risk_coverage(np.zeros(0), np.zeros(0))))
    holes = risk_coverage(np.array([*DOWN, np.nan, 9.0]), np.array([*RISKS, 0.5, np.nan]))
    assert holes.n_undefined == 2
    assert entry.function(holes) == pytest.approx(entry.function(risk_coverage(DOWN, RISKS)))


def test_limits_of_normalized_area(seeded):
    perfect, constant = risk_coverage(-seeded[1], seeded[1]), risk_coverage(DOWN, np.full(4, 0.3))
    assert normalized_area_under_risk_coverage(perfect) == pytest.approx(1)
    assert excess_area_under_risk_coverage(perfect) == 0
    assert math.isnan(normalized_area_under_risk_coverage(constant))


def test_binary_risk_closed_forms():
    error, n = 0.2, 20_000
    risk = np.append(np.zeros(int(n * (1 - error))), np.ones(int(n * error)))
    strict = risk_coverage(-np.arange(n, dtype=float), risk)
    assert area_under_risk_coverage(strict) == pytest.approx(error + (1 - error) * math.log(1 - error), abs=1e-4)
    # perfect detection of failures: the first term of the closed form vanishes
    assert area_under_generalized_risk_coverage(strict) == pytest.approx(error**2 / 2, abs=1e-4)


def test_wrong_input_is_refused():
    # while shapes are checked, jaxtyping refuses before our own message does
    with pytest.raises((ValueError, TypeError), match=r"confidences for|risk"):
        risk_coverage(DOWN, RISKS[:3])
