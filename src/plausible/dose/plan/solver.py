"""Beamlet weights that fit goals best: a bounded quasi-Newton search over weights of at least 0.

minimise over x ≥ 0 the weighted sum of quadratic terms of d = A x, by L-BFGS-B (Byrd et al. 1995, doi:10.1137/0916069).
A plan costs one product with A and one with its transpose an iteration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.optimize import OptimizeResult, minimize
from scipy.sparse import csr_array

from plausible.dose.plan.objectives import Term, targets_of, total


@dataclass(frozen=True, slots=True)
class Convergence:
    """How a search went.

    Attributes:
        objective: value after each iteration, that of the start first, in Gy².
        n_evaluations: products with the matrix and its transpose.
        projected_gradient: largest component of the gradient that no bound stops, at the end.
        converged: whether a tolerance ended the search, not the number of iterations.
        message: what the optimiser says.
    """

    objective: tuple[float, ...]
    n_evaluations: int
    projected_gradient: float
    converged: bool
    message: str

    @property
    def n_iterations(self) -> int:
        """Iterations done."""
        return len(self.objective) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Beamlet weights, and how they were found."""

    weights: Float64[np.ndarray, " b"]
    convergence: Convergence


class PlanningRows:
    """The rows of an influence matrix that a search looks at, and their transpose, both by rows for fast products."""

    def __init__(self, matrix: csr_array) -> None:
        self.matrix = matrix
        self.transposed = csr_array(matrix.T)

    def dose(self, weights: np.ndarray) -> np.ndarray:
        """Dose of each row in Gy."""
        return np.asarray(self.matrix @ weights.astype(self.matrix.dtype))

    def back(self, slope: np.ndarray) -> Float64[np.ndarray, " b"]:
        """Derivative by each weight from that by each row's dose."""
        return np.asarray(self.transposed @ slope.astype(self.matrix.dtype), dtype=np.float64)


def uniform_start(rows: PlanningRows, terms: Sequence[Term]) -> Float64[np.ndarray, " b"]:
    """Equal weights that give the target of the highest prescription its dose in the mean.

    Raises:
        ValueError: no target, or no beamlet reaches it.
    """
    targets = targets_of([term.goal for term in terms])
    if not targets:
        raise ValueError("no target among the goals: there is nothing to scale a plan to")
    of_target = next(term for term in terms if term.goal == targets[0])
    ones = np.ones(rows.matrix.shape[1])
    mean = float(rows.dose(ones)[of_target.rows].mean())
    if mean <= 0:
        raise ValueError(f"{targets[0].structure}: no beamlet reaches this target")
    return ones * (targets[0].dose_gy / mean)


def optimise(
    rows: PlanningRows,
    terms: Sequence[Term],
    *,
    start: Float64[np.ndarray, " b"],
    iterations: int,
    tolerance: float | int = 1e-7,
) -> Solution:
    """Improve beamlet weights from a start.

    Args:
        rows: the rows of the influence matrix.
        terms: what is asked for.
        start: weights of at least 0; those of a plan on a similar contour are a warm start.
        iterations: at most so many.
        tolerance: the search ends when an iteration improves the value by less than this share.

    Raises:
        ValueError: no iteration, or a start that does not fit the matrix or has weights below 0.
    """
    if iterations < 1 or len(start) != rows.matrix.shape[1] or (start < 0).any():
        raise ValueError("iterations must be at least 1, and the start a weight of at least 0 for each beamlet")

    def value_and_slope(weights: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = total(terms, rows.dose(weights))
        return value, rows.back(slope)

    values = [value_and_slope(start)[0]]

    def record(*, intermediate_result: OptimizeResult) -> None:
        values.append(float(intermediate_result.fun))

    search: Any = minimize  # its types know no callback by keyword
    found = search(
        value_and_slope,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(start),
        callback=record,
        options={"maxiter": iterations, "maxfun": 3 * iterations + 20, "ftol": tolerance, "gtol": 0.0, "maxcor": 20},
    )
    weights, slope = np.maximum(found.x, 0.0), np.asarray(found.jac)
    free = np.where(weights > 0, np.abs(slope), np.maximum(-slope, 0))
    return Solution(
        weights,
        Convergence(tuple(values), int(found.nfev) + 1, float(free.max()), bool(found.status == 0), str(found.message)),
    )
