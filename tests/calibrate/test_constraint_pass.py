import numpy as np
import pytest

from plausible.calibrate import fit_constraint_pass

from .cohorts import WHO, row, rows

METRIC = "D0.03cc[Gy]"


def columns(predicted, spread, true):
    named = ((predicted, METRIC), (spread, f"{METRIC} sd"), (true, METRIC))
    return [rows(values, name, structure="SpinalCord", unit="Gy") for values, name in named]


def fit(predicted, spread, true, **changed):
    settings = {"operator": "<=", "limit": 45.0, "alpha": 0.1, "spread_floor": 0.5, **WHO, **changed}
    return fit_constraint_pass(*columns(predicted, spread, true), **settings)


def decide(record, value, spread=1.0):
    settings = {"structure": "SpinalCord", "unit": "Gy"}
    return record.apply(row(value, METRIC, **settings), row(spread, f"{METRIC} sd", **settings))


def test_the_caution_is_that_of_the_first_violation_that_may_not_be_missed():
    """n = 29, α = 0.1: (missed + 1) / 30 ≤ 0.1 allows two missed. Violations with margins 5, 4, 3, 2: caution 3."""
    predicted = np.array([40.0, 41.0, 42.0, 43.0, *[30.0] * 25])
    true = np.array([46.0, 46.0, 46.0, 46.0, *[30.0] * 25])
    record = fit(predicted, np.ones(29), true)
    assert (record.caution, record.missed, record.violated) == (3.0, 2, 4)
    assert decide(record, 41.9).passes
    assert not decide(record, 42.0).passes
    assert decide(record, 40.0).margin == 5.0
    assert not decide(record, 40.0, spread=2.0).passes


def test_a_lower_limit_is_the_same_turned_round():
    predicted = np.array([40.0, 41.0, 42.0, 43.0, *[30.0] * 25])
    true = np.array([46.0, 46.0, 46.0, 46.0, *[30.0] * 25])
    upper = fit(predicted, np.ones(29), true)
    lower = fit(-predicted, np.ones(29), -true, operator=">=", limit=-45.0)
    assert (upper.caution, upper.missed) == (lower.caution, lower.missed)
    assert decide(lower, -41.9).passes


def test_what_violates_as_predicted_never_passes_however_rare_violations_are():
    record = fit(np.full(29, 30.0), np.ones(29), np.full(29, 30.0))
    assert record.caution == 0.0
    assert not decide(record, 45.0).passes
    assert decide(record, 44.9).passes
    assert fit(np.full(29, 30.0), np.ones(29), np.full(29, 30.0), least_caution=-np.inf).caution == -np.inf


@pytest.mark.parametrize("n", [19, 60])
def test_missed_violations_stay_at_alpha(n):
    """The risk lies between α - 2/(n+1) and α on average over calibration sets where α alone decides."""
    rng, risks = np.random.default_rng(0), []
    for _ in range(3000):
        spread = rng.uniform(0.5, 3, n + 50)
        predicted = rng.normal(44, 4, n + 50)
        true = predicted + 1 + spread * rng.standard_t(4, n + 50)
        record = fit(predicted[:n], spread[:n], true[:n], least_caution=-np.inf)
        margin = (45 - predicted[n:]) / np.maximum(spread[n:], 0.5)
        risks.append(np.mean((margin > record.caution) & (true[n:] > 45)))
    error = 4 * np.std(risks) / np.sqrt(len(risks))
    assert 0.1 - 2 / (n + 1) - error <= np.mean(risks) <= 0.1 + error


def test_too_few_patients_pass_nothing_if_asked():
    record = fit(np.full(5, 30.0), np.ones(5), np.full(5, 30.0), if_infeasible="trivial")
    assert record.caution == np.inf
    assert not decide(record, 0.0).passes


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="spread_floor must be above 0"):
        fit(np.full(29, 30.0), np.ones(29), np.full(29, 30.0), spread_floor=0.0)
    record = fit(np.full(29, 30.0), np.ones(29), np.full(29, 30.0))
    with pytest.raises(ValueError, match="calibrated for"):
        record.apply(row(30.0, "D2%[Gy]", structure="SpinalCord", unit="Gy"), row(1.0, "sd"))


@pytest.mark.parametrize(("operator", "violated"), [("<", 29), ("<=", 0), (">", 29), (">=", 0)])
def test_a_value_on_the_limit_violates_the_strict_operators_only(operator, violated):
    record = fit(np.full(29, 45.0), np.ones(29), np.full(29, 45.0), operator=operator)
    assert record.violated == violated
