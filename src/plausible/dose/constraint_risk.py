"""How likely a constraint is violated, given what the members say, and what that leaves to decide.

P(violation) = k / n, the share of the members whose metric breaks the limit. Its interval says how far k / n may be
from the share in an endless number of members; it does not cover members that are wrong together.

Sources: Brown, Cai, DasGupta 2001 (Jeffreys, Wilson).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.core import Catalogue
from plausible.dose.constraints import Constraint

State: TypeAlias = Literal["pass", "fail", "undecided", "cannot_tell"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskSettings:
    """How a constraint is judged.

    Attributes:
        pass_up_to: largest probability of violation that is called a pass.
        fail_from: smallest probability of violation that is called a fail.
        interval: interval of the probability: jeffreys or wilson.
        interval_level: its level.
        strict: whether a constraint is undecided too if the interval reaches beyond the limit that decides; with few
            members that is always so.
    """

    pass_up_to: float = 0.05
    fail_from: float = 0.95
    interval: str = "jeffreys"
    interval_level: float = 0.95
    strict: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.pass_up_to < self.fail_from <= 1:
            raise ValueError(
                f"pass_up_to must lie below fail_from, both from 0 to 1, got {self.pass_up_to} and {self.fail_from}"
            )
        if not 0 < self.interval_level < 1:
            raise ValueError(f"level of the interval must lie between 0 and 1, got {self.interval_level}")
        BINOMIAL_INTERVALS[self.interval]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintRisk:
    """One constraint and the members' verdict on it.

    Attributes:
        k, n: members that violate it, of those whose metric is defined.
        k_acceptable: members beyond the acceptable variation too; None if the constraint has none.
        n_undefined: members whose metric is undefined (an empty structure, or a part outside the dose grid).
        probability, low, high: of a violation, with its interval; NaN without members.
        verdict: pass, fail or undecided by `probability`; cannot_tell without members.
        sure: whether the whole interval lies on the side of the verdict.
    """

    k: int
    n: int
    k_acceptable: int | None
    n_undefined: int
    probability: float
    low: float
    high: float
    verdict: State
    sure: bool


def constraint_risk(
    values: Float[np.ndarray, "m"], constraint: Constraint, *, settings: RiskSettings | None = None
) -> ConstraintRisk:
    """Judge a constraint by the metric's value in every member.

    A constraint is passed if P(violation) is at most 5 % and failed from 95 % on, by the point estimate k / n: with few
    members no interval ends there, and a constraint that all of five members meet by 20 Gy is no open question.
    Whether n suffices for the verdict stands beside it (`sure`); `RiskSettings.strict` makes such verdicts undecided.
    Members whose metric is undefined could be on either side: where they decide, the constraint is undecided.

    Args:
        values: in the unit of the constraint's metric; NaN where it is undefined.
        constraint: what must hold.
        settings: how it is judged.
    """
    chosen = settings or RiskSettings()
    defined = values[np.isfinite(values)]
    k, n = int(np.count_nonzero(constraint.violated_by(defined))), len(defined)
    beyond = None
    if constraint.acceptable is not None:
        beyond = int(np.count_nonzero(constraint.violated_by(defined, acceptable=True)))
    low, high = BINOMIAL_INTERVALS[chosen.interval].function(k, n, chosen.interval_level) if n else (np.nan, np.nan)
    verdict, sure = _verdict(k, n, len(values) - n, (low, high), chosen) if n else ("cannot_tell", False)
    return ConstraintRisk(
        k=k,
        n=n,
        k_acceptable=beyond,
        n_undefined=len(values) - n,
        probability=k / n if n else float("nan"),
        low=float(low),
        high=float(high),
        verdict=verdict,
        sure=sure,
    )


def _verdict(
    k: int, n: int, n_undefined: int, interval: tuple[float, float], chosen: RiskSettings
) -> tuple[State, bool]:
    """Verdict of k violations in n members, and whether the whole interval agrees."""
    every = n + n_undefined
    words = {_word(share, chosen) for share in (k / n, k / every, (k + n_undefined) / every)}
    word: State = words.pop() if len(words) == 1 else "undecided"
    low, high = interval
    agrees = {"pass": high <= chosen.pass_up_to, "fail": low >= chosen.fail_from}
    sure = agrees.get(word, low > chosen.pass_up_to and high < chosen.fail_from)
    return ("undecided" if chosen.strict and not sure else word), sure


def _word(share: float, chosen: RiskSettings) -> State:
    if share <= chosen.pass_up_to:
        return "pass"
    return "fail" if share >= chosen.fail_from else "undecided"


BinomialInterval = Callable[[int, int, float], tuple[float, float]]
BINOMIAL_INTERVALS: Catalogue[BinomialInterval] = Catalogue("interval of a share")


@BINOMIAL_INTERVALS.add(unit="1", higher_is="neither", source="Brown, Cai, DasGupta 2001", label="Jeffreys")
def jeffreys(k: int, n: int, level: float) -> tuple[float, float]:
    """Quantiles of Beta(k + 1/2, n - k + 1/2); the end at 0 or 1 is taken where none, or all, of n are counted."""
    from scipy import stats  # slow to load, and settings are read for --help

    tail = (1 - level) / 2
    low = 0.0 if k == 0 else float(stats.beta.ppf(tail, k + 0.5, n - k + 0.5))
    high = 1.0 if k == n else float(stats.beta.ppf(1 - tail, k + 0.5, n - k + 0.5))
    return low, high


@BINOMIAL_INTERVALS.add(unit="1", higher_is="neither", source="Wilson 1927", label="Wilson")
def wilson(k: int, n: int, level: float) -> tuple[float, float]:
    """Shares p that a score test does not reject: abs(k/n - p) <= z sqrt(p (1 - p) / n)."""
    from scipy import stats  # slow to load, and settings are read for --help

    z2 = float(stats.norm.ppf((1 + level) / 2)) ** 2
    centre, spread = k + z2 / 2, float(np.sqrt(z2 * (k * (n - k) / n + z2 / 4)))
    return max((centre - spread) / (n + z2), 0.0), min((centre + spread) / (n + z2), 1.0)
