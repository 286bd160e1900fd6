import math

import pytest

from plausible.report.text import fixed, number, percent, ticks, words


@pytest.mark.parametrize(
    ("value", "written"),
    [(1.2345, "1.23"), (68.81, "68.8"), (1234.5, "1234"), (0.04856, "0.0486"), (0.0000213, "2.1e−05"), (-2.5, "−2.50"),
     (0, "0"), (7, "7.00"), (None, "–"), (math.nan, "–"), (math.inf, "–")],
)  # fmt: skip
def test_numbers_have_three_digits(value, written) -> None:
    assert number(value) == written


def test_fixed_and_percent_have_a_dash_where_nothing_is_known() -> None:
    assert (fixed(0.8149), fixed(0.8149, 3), fixed(None)) == ("0.81", "0.815", "–")
    assert (percent(0.146, 1), percent(0.9), percent(math.nan)) == ("14.6 %", "90 %", "–")


def test_names_of_the_field_keep_their_capitals() -> None:
    assert words("hd95_mm") == "HD95 mm"
    assert words("mean_pairwise_dice") == "mean pairwise Dice"


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (0.87, 0.99), (-3.0, 1200.0), (0.0, 1e-4), (5.0, 5.0)])
def test_ticks_are_round_and_lie_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 <= value <= high + 1e-9 for value in found)
    assert found == sorted(set(found))
