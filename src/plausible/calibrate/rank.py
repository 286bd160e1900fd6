"""How many patients a promise needs, and which of their scores is the bound: ranks, never clipped or interpolated.

With n exchangeable scores, a new score is at most the k-th smallest, k = ⌈(n+1)(1-α)⌉, with probability k/(n+1) or
more: at least 1 - α, and at most 1 - α + 1/(n+1) without ties. Given the calibration patients, that probability
follows a Beta(k, n+1-k) law. If k > n no score is large enough, and the only right answer is infinity.

Sources: Vovk, Gammerman and Shafer 2005, doi:10.1007/b106715; Angelopoulos and Bates 2023, arXiv:2107.07511.
"""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Float
from scipy import stats

from plausible.calibrate.guarantee import IfInfeasible
from plausible.core import InvalidInput, Problem


def conformal_rank(n: int, alpha: float, *, tails: int = 1) -> int:
    """Which of n ordered scores bounds a new one from above with probability 1 - α/tails.

    Args:
        n: calibration patients.
        alpha: share of patients that may lie outside, above 0 and below 1; read as a decimal, to 12 places.
        tails: 2 if α is shared by an upper and a lower bound.

    Raises:
        InvalidInput: E401, too few patients; says how many are needed and the best alpha that n allows.
        ValueError: alpha is not between 0 and 1.
    """
    rank = math.ceil((n + 1) * (1 - _exact(alpha) / tails))
    if rank > n:
        raise too_few(n, alpha=alpha, needed=smallest_n(alpha, tails=tails), best=tails / (n + 1))
    return rank


def smallest_n(alpha: float, *, tails: int = 1) -> int:
    """Fewest patients with which a bound at level alpha is finite: ⌈tails/α⌉ - 1."""
    return math.ceil(tails / _exact(alpha)) - 1


def conformal_quantile(
    scores: Float[np.ndarray, "*repeats n"], alpha: float, *, tails: int = 1, if_infeasible: IfInfeasible = "raise"
) -> Float[np.ndarray, "*repeats"]:
    """Bound that a new score keeps with probability 1 - α/tails: the k-th smallest along the last axis.

    Raises:
        InvalidInput: E401, too few patients, unless the trivial answer (infinity) is asked for.
    """
    n = scores.shape[-1]
    if if_infeasible == "trivial" and n < smallest_n(alpha, tails=tails):
        return np.full(scores.shape[:-1], np.inf)
    rank = conformal_rank(n, alpha, tails=tails)
    return np.asarray(np.partition(scores, rank - 1, axis=-1)[..., rank - 1])


def coverage_range(n: int, alpha: float, *, level: float = 0.9) -> tuple[float, float]:
    """Coverage that these very calibration patients give: the middle `level` of its Beta(k, n+1-k) law.

    With 50 patients and alpha 0.1, nine in ten calibration sets cover between 0.83 and 0.96 of new patients.
    """
    rank = conformal_rank(n, alpha)
    low, high = stats.beta(rank, n + 1 - rank).interval(level)
    return float(low), float(high)


def coverage_band(n: int, n_new: int, alpha: float, *, level: float = 0.95) -> tuple[float, float]:
    """Share covered among n_new new patients that is compatible with the promise: a Beta-binomial interval.

    What an audit compares its observed coverage with. Contains the observed share with probability `level` or more.
    """
    rank = conformal_rank(n, alpha)
    low, high = stats.betabinom(n_new, rank, n + 1 - rank).interval(level)
    return float(low) / n_new, float(high) / n_new


def too_few(n: int, *, alpha: float, needed: int, best: float) -> InvalidInput:
    """Return the error that says how many patients are needed and the best alpha that n allows."""
    allowed = math.ceil(best * 1e4) / 1e4
    instead = f"; {n} patients allow alpha {allowed:.4g} at best" if allowed < 1 else ""
    return InvalidInput(
        Problem(
            code="E401",
            found=f"{n} calibration patient{'' if n == 1 else 's'} for alpha {alpha:g}",
            expected=f"at least {needed} patients for this alpha{instead}",
            fix="add calibration patients, or ask for a larger alpha",
        )
    )


def infeasible(found: str, *, expected: str, fix: str, subject: str = "") -> InvalidInput:
    """Return the error that says that no setting keeps the risk asked for, however many patients there are."""
    return InvalidInput(Problem(code="E403", found=found, expected=expected, fix=fix, subject=subject))


def check_level(value: float, *, name: str) -> None:
    """Refuse a level that is not between 0 and 1.

    Raises:
        ValueError: it is not.
    """
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


def _exact(alpha: float) -> Fraction:
    """Alpha as the decimal that was meant, so that (n+1)(1-α) has no rounding error: 1 - 0.9 is 0.1."""
    check_level(alpha, name="alpha")
    return Fraction(str(round(alpha, 12)))
