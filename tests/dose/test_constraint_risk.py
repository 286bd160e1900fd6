"""P(violation) with its interval, and the verdict made of it."""

import math

import numpy as np
import pytest

from plausible.dose.constraint_risk import BINOMIAL_INTERVALS, RiskSettings, constraint_risk
from plausible.dose.constraints import Constraint


def cord(operator="<", limit=45.0, acceptable=None):
    return Constraint(
        structure="SpinalCord",
        metric="D2%[Gy]",
        operator=operator,
        limit=limit,
        acceptable=acceptable,
        source="a test",
    )


@pytest.mark.parametrize(
    ("m", "jeffreys", "wilson"),
    [(5, 0.379, 0.434), (10, 0.217, 0.278), (20, 0.117, 0.161), (50, 0.049, 0.071), (100, 0.025, 0.037)],
)
def test_upper_limit_when_nothing_was_seen(m, jeffreys, wilson):
    assert BINOMIAL_INTERVALS["jeffreys"].function(0, m, 0.95)[1] == pytest.approx(jeffreys, abs=5e-4)
    assert BINOMIAL_INTERVALS["wilson"].function(0, m, 0.95)[1] == pytest.approx(wilson, abs=5e-4)


@pytest.mark.parametrize("entry", BINOMIAL_INTERVALS, ids=lambda entry: entry.name)
def test_every_interval_holds_the_share_and_mirrors(entry):
    for k in range(8):
        low, high = entry.function(k, 7, 0.9)
        assert 0 <= low <= k / 7 <= high <= 1
        assert (1 - high, 1 - low) == pytest.approx(entry.function(7 - k, 7, 0.9))


@pytest.mark.parametrize("entry", BINOMIAL_INTERVALS, ids=lambda entry: entry.name)
def test_every_interval_covers_about_as_promised(entry):
    """Mean coverage over many true probabilities: both intervals keep 95 % on average, not for each p."""
    rng = np.random.default_rng(3)
    p = rng.random(20_000)
    k = rng.binomial(20, p)
    ends = np.array([entry.function(n, 20, 0.95) for n in range(21)])
    covered = (ends[k, 0] <= p) & (p <= ends[k, 1])
    assert covered.mean() == pytest.approx(0.95, abs=0.006)


VERDICTS = [  # violating members of 100, verdict, sure
    (0, "pass", True),
    (5, "pass", False),
    (6, "undecided", False),
    (50, "undecided", True),
    (94, "undecided", False),
    (95, "fail", False),
    (100, "fail", True),
]


@pytest.mark.parametrize(("k", "verdict", "sure"), VERDICTS)
def test_verdicts(k, verdict, sure):
    values = np.array([46.0] * k + [44.0] * (100 - k))
    found = constraint_risk(values, cord())
    assert (found.k, found.n, found.verdict, found.sure) == (k, 100, verdict, sure)
    assert found.probability == k / 100


def test_strict_leaves_open_what_the_members_are_too_few_for():
    values = np.full(48, 30.0)
    assert constraint_risk(values, cord()).verdict == "pass"
    assert constraint_risk(values, cord(), settings=RiskSettings(strict=True)).verdict == "undecided"
    assert constraint_risk(np.full(49, 30.0), cord(), settings=RiskSettings(strict=True)).verdict == "pass"


@pytest.mark.parametrize(
    ("operator", "violating"), [("<", [False, True, True]), ("<=", [False, False, True]), (">", [True, True, False])]
)
def test_operators_at_the_limit(operator, violating):
    assert list(cord(operator).violated_by(np.array([44.0, 45.0, 46.0]))) == violating


def test_at_least_is_violated_below():
    assert list(cord(">=").violated_by(np.array([44.0, 45.0, 46.0]))) == [True, False, False]


def test_acceptable_variation_is_counted_beside():
    found = constraint_risk(np.array([44.0, 46.0, 51.0, 47.0]), cord(acceptable=50.0))
    assert (found.k, found.k_acceptable) == (3, 1)


def test_undefined_members_are_left_out_and_counted():
    found = constraint_risk(np.array([44.0, math.nan, 46.0]), cord())
    assert (found.k, found.n, found.n_undefined) == (1, 2, 1)


def test_no_member_no_verdict():
    found = constraint_risk(np.array([math.nan]), cord())
    assert found.verdict == "cannot_tell"
    assert math.isnan(found.probability)


def test_order_of_members_does_not_matter():
    values = np.array([44.0, 45.5, 41.0, 49.0, 30.0])
    assert constraint_risk(values, cord()) == constraint_risk(values[::-1].copy(), cord())


def test_settings_refuse_limits_that_cross():
    with pytest.raises(ValueError, match="below fail_from"):
        RiskSettings(pass_up_to=0.5, fail_from=0.5)


@pytest.mark.parametrize(
    ("k", "n", "n_undefined", "verdict"),
    [(0, 20, 0, "pass"), (0, 20, 1, "pass"), (0, 20, 2, "undecided"), (0, 1, 19, "undecided"), (20, 20, 1, "fail"),
     (20, 20, 2, "undecided"), (10, 20, 0, "undecided"), (0, 0, 20, "cannot_tell")],
)  # fmt: skip
def test_members_whose_metric_is_undefined_may_lie_on_either_side(k, n, n_undefined, verdict):
    values = np.array([46.0] * k + [44.0] * (n - k) + [math.nan] * n_undefined)
    assert constraint_risk(values, cord()).verdict == verdict


def test_an_undefined_value_breaks_no_limit_and_keeps_none():
    assert cord().violation(46.0) is True
    assert cord().violation(44.0) is False
    assert cord().violation(math.nan) is None
