"""The search against closed forms: least squares without and with the bound, warm starts, what is refused."""

import numpy as np
import pytest
from scipy.optimize import nnls
from scipy.sparse import csr_array

from plausible.dose.plan import PlanGoal, PlanningRows, Term, optimise, uniform_start


def problem(seed, *, n_rows=12, n_beamlets=5):
    random = np.random.default_rng(seed)
    matrix = random.random((n_rows, n_beamlets)) * (random.random((n_rows, n_beamlets)) < 0.7) + 0.01
    goal = PlanGoal(structure="target", objective="target_dose", dose_gy=60, weight=2)
    return matrix, PlanningRows(csr_array(matrix)), (Term(goal, np.arange(n_rows)),)


@pytest.mark.parametrize("seed", range(8))
def test_least_squares_with_weights_of_at_least_zero(seed):
    matrix, rows, terms = problem(seed)
    found = optimise(rows, terms, start=np.ones(5), iterations=500, tolerance=1e-15)
    expected, residual = nnls(matrix, np.full(12, 60.0))
    assert found.weights == pytest.approx(expected, abs=1e-3)
    assert found.convergence.objective[-1] == pytest.approx(2 * residual**2 / 12, rel=1e-8)


def test_where_no_bound_stops_it_the_solution_is_that_of_the_normal_equations():
    random = np.random.default_rng(3)
    matrix = np.eye(4) * 5 + random.random((4, 4))
    level, _ = 60.0, None
    terms = (Term(PlanGoal(structure="t", objective="target_dose", dose_gy=level), np.arange(4)),)
    found = optimise(PlanningRows(csr_array(matrix)), terms, start=np.ones(4), iterations=500, tolerance=1e-15)
    expected = np.linalg.solve(matrix, np.full(4, level))
    assert (expected > 0).all()
    assert found.weights == pytest.approx(expected, rel=1e-4)


def test_some_of_the_problems_are_stopped_by_the_bound():
    assert sum((nnls(problem(seed)[0], np.full(12, 60.0))[0] == 0).any() for seed in range(8)) >= 2


def test_the_value_never_rises_and_is_recorded_from_the_start_on():
    _, rows, terms = problem(1)
    convergence = optimise(rows, terms, start=np.ones(5), iterations=7, tolerance=0.0).convergence
    assert len(convergence.objective) == convergence.n_iterations + 1 <= 8
    assert (np.diff(convergence.objective) <= 0).all()
    first = 2 * np.mean((rows.dose(np.ones(5)) - 60) ** 2)
    assert convergence.objective[0] == pytest.approx(first)


def test_a_warm_start_needs_fewer_iterations_than_a_cold_one():
    _, rows, terms = problem(2, n_rows=40, n_beamlets=15)
    cold = optimise(rows, terms, start=np.ones(15), iterations=500)
    warm = optimise(rows, terms, start=cold.weights, iterations=500)
    assert warm.convergence.n_iterations < cold.convergence.n_iterations / 2


def test_equal_weights_give_the_first_target_its_dose_in_the_mean():
    _, rows, terms = problem(4)
    start = uniform_start(rows, terms)
    assert np.ptp(start) == 0
    assert rows.dose(start).mean() == pytest.approx(60)


def test_what_cannot_be_searched_is_refused():
    _, rows, terms = problem(5)
    with pytest.raises(ValueError, match="at least 0 for each beamlet"):
        optimise(rows, terms, start=-np.ones(5), iterations=5)
    organ = (Term(PlanGoal(structure="organ", objective="mean_dose"), np.arange(12)),)
    with pytest.raises(ValueError, match="no target among the goals"):
        uniform_start(rows, organ)
    dark = PlanningRows(csr_array(np.zeros((12, 5))))
    with pytest.raises(ValueError, match="no beamlet reaches"):
        uniform_start(dark, terms)
