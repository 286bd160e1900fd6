"""Published areas under the risk-coverage curve: five conventions, converted into one another, and their traps."""

import math

import numpy as np
import pytest

from plausible.evaluate import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    converted_area,
    excess_area_under_risk_coverage,
    normalized_area_under_risk_coverage,
    risk_coverage,
)

RISKS, DOWN = np.array([0.1, 0.2, 0.3, 0.4]), np.array([4.0, 3.0, 2.0, 1.0])
NAMES = ("trapezoid", "flat_start", "plug_in", "per_interval", "zero_start")
TABLE = {
    "perfect": (DOWN, RISKS, (0.13125, 0.15625, 0.175, 0.175, 0.14375)),
    "reversed": (DOWN[::-1].copy(), RISKS, (0.24375, 0.34375, 0.325, 0.325, 0.29375)),
    "constant": (DOWN, np.full(4, 0.3), (0.225, 0.3, 0.3, 0.3, 0.2625)),
}


@pytest.fixture(scope="module")
def seeded():
    g = np.random.default_rng(0)
    risk = 0.6 * g.random(30)
    return risk_coverage(-risk + 0.2 * g.standard_normal(30), risk)


@pytest.mark.parametrize("name", TABLE)
def test_every_convention_converts_into_every_other(name):
    confidence, risk, areas = TABLE[name]
    curve = risk_coverage(confidence, risk)
    for given, area in zip(NAMES, areas, strict=True):
        for wanted, expected in zip(NAMES, areas, strict=True):
            assert converted_area(area, curve, given=given, wanted=wanted) == pytest.approx(expected)
    for convention, area in zip(NAMES[:3], areas, strict=False):
        assert area_under_risk_coverage(curve, convention=convention) == pytest.approx(area)


def test_frozen_values_of_other_libraries(seeded):
    area = area_under_risk_coverage(seeded)
    published = {"trapezoid": 0.18992496, "flat_start": 0.18997973, "plug_in": 0.19529587, "per_interval": 0.19647410}
    for wanted, value in published.items():
        assert converted_area(area, seeded, given="flat_start", wanted=wanted) == pytest.approx(value, abs=1e-8)


def test_ties_do_not_convert_and_published_code_depends_on_the_order_of_files(seeded):
    risk = np.arange(10) / 9
    curve = risk_coverage(np.ones(10), risk)
    with pytest.raises(ValueError, match="9 of 10 confidences"):
        converted_area(0.5, curve, given="flat_start", wanted="trapezoid")
    kept = np.arange(1, 11)
    by_file = [np.trapezoid(np.cumsum(order) / kept, kept / 10) for order in (risk, risk[::-1])]
    assert by_file == pytest.approx([0.225, 0.675])  # wrong: one constant confidence, two areas
    assert area_under_risk_coverage(curve) == pytest.approx(0.5)


def test_areas_of_two_conventions_are_not_subtracted(seeded):
    """ValUES subtracts the plug-in area of the best order from trapezoids: a perfect order gets less than nothing."""
    mixed = area_under_risk_coverage(seeded, convention="trapezoid") - area_under_risk_coverage(
        seeded.perfect, convention="plug_in"
    )
    assert mixed == pytest.approx(0.03205211, abs=1e-8)  # wrong
    assert excess_area_under_risk_coverage(seeded, convention="trapezoid") == pytest.approx(0.03742301, abs=1e-8)
    best = risk_coverage(DOWN, RISKS)
    assert area_under_risk_coverage(best, convention="trapezoid") - 0.175 < 0  # wrong: below a perfect order
    assert excess_area_under_risk_coverage(best) == 0


def test_chance_of_the_normalized_area_has_its_convention():
    """Zenk's code takes the mean risk for chance and trapezoids for the rest: the worst order scores above 0."""
    worst, constant = risk_coverage(DOWN[::-1].copy(), RISKS), risk_coverage(DOWN, np.full(4, 0.3))
    trapezoids = [area_under_risk_coverage(curve, convention="trapezoid") for curve in (worst, worst.perfect)]
    assert (0.25 - trapezoids[0]) / (0.25 - trapezoids[1]) == pytest.approx(0.053, abs=1e-3)  # wrong
    assert normalized_area_under_risk_coverage(worst) == pytest.approx((0.25 - 0.34375) / (0.25 - 0.15625))
    assert math.isnan(normalized_area_under_risk_coverage(constant))
    tied = risk_coverage(np.ones(4), RISKS)
    assert normalized_area_under_risk_coverage(tied) == pytest.approx(0)


def test_generalized_risk_of_torch_uncertainty(seeded):
    n = seeded.n
    ours = area_under_generalized_risk_coverage(seeded)
    assert (ours - seeded.risk[0] / (2 * n**2)) / (1 - 1 / n) == pytest.approx(0.12592880, abs=1e-8)


def test_nothing_is_undefined_and_unknown_names_are_refused(seeded):
    nothing = risk_coverage(np.zeros(0), np.zeros(0))
    assert math.isnan(converted_area(0.1, nothing, given="flat_start", wanted="trapezoid"))
    one = risk_coverage(np.ones(1), np.array([0.3]))
    assert math.isnan(converted_area(0.3, one, given="flat_start", wanted="per_interval"))
    assert converted_area(0.3, one, given="flat_start", wanted="trapezoid") == 0
    # while types are checked, beartype refuses before our own message does
    with pytest.raises((ValueError, TypeError), match=r"convention|wanted"):
        converted_area(0.1, seeded, given="flat_start", wanted="area")
