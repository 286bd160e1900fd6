"""Is a change of the ensemble worth it? A verdict with its reasons, from held-out subjects.

More diversity is no gain by itself. A change is accepted only if all three hold:

1. members: the mean member's own proper score is not worse by more than a tolerance;
2. ensemble: at least one of the scores named beforehand (log loss, Brier score, CRPS, AURC, a dose error) improves;
3. silent failures: the rate at which all members agree and are wrong does not rise by more than a tolerance.

Each is read from a paired bootstrap interval (BCa) over patients of change minus baseline, so each may be met, broken
or open. One broken condition rejects, all met accept, else it is undecided: more subjects are needed, or the effect is
too small to matter. Several scores have as many chances to improve by luck: each of k intervals is drawn at level
1 - (1 - level) / k (Bonferroni). A bootstrap of few dozen patients is too sure of itself (of 40, twice as often as it
says), so that an improvement must also pass a test at the same level in which the two ensembles are swapped patient by
patient: a change that is exchangeable with the baseline is accepted with probability (1 - level) / 2 at most.
Conditions 1 and 3 must both hold and need no such correction.

All scores are errors: lower is better. Both ensembles should have equally many members: silent failures get fewer with
every further one, whatever it is.

Sources: Efron 1987, doi:10.1080/01621459.1987.10478410 (BCa); Abe et al. 2024, arXiv:2302.00704, and Jeffares et al.
2023, arXiv:2301.11323 (why diversity must not be the aim); the rule itself is unpublished.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Float64

from plausible.diversity.pool_cases import Pool, Weights
from plausible.diversity.pool_scores import POOL_SCORES, member_values, reduced
from plausible.diversity.swapping import swap_test
from plausible.evaluate import Estimate, bootstrap_mean, bootstrap_weighted, weighted_aurc

Decision: TypeAlias = Literal["accepted", "rejected", "undecided"]
Outcome: TypeAlias = Literal["met", "broken", "open"]

CONDITIONS = ("members", "ensemble", "silent failures")
MEMBER_SCORE = "negative_log_likelihood"
ENSEMBLE_SCORES = ("negative_log_likelihood", "brier_score", "volume_crps", "area_under_risk_coverage")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evidence:
    """What one ensemble did on held-out subjects.

    Attributes:
        name: what it is called in reasons.
        n_members: forward passes per case.
        subjects: the cases, in the order of all columns.
        member: proper score of the single members, mean over them.
        scores: columns of the ensemble's scores by name: one whose mean counts, or confidence and risk (AURC).
        silent_failures: share of voxels where all members agree and are wrong.
    """

    name: str
    n_members: int
    subjects: tuple[str, ...]
    member: Float[np.ndarray, " s"]
    scores: Mapping[str, Float[np.ndarray, "_ s"]]
    silent_failures: Float[np.ndarray, " s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRule:
    """What counts as worse, and how sure one must be.

    Attributes:
        member_tolerance: how much worse the mean member may be, as a share of the baseline's.
        silent_tolerance: how much more often all may agree and be wrong, as a share of the baseline's.
        level: of the intervals; the scores of condition 2 share what is left of 1.
        n_resamples: draws of each interval.
    """

    member_tolerance: float = 0.05
    silent_tolerance: float = 0.05
    level: float = 0.95
    n_resamples: int = 10_000

    def __post_init__(self) -> None:
        if not (self.member_tolerance >= 0 and self.silent_tolerance >= 0 and 0 < self.level < 1):
            raise ValueError(
                "tolerances must be at least 0 and the level between 0 and 1, got "
                f"{self.member_tolerance}, {self.silent_tolerance} and {self.level}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Change minus baseline in one score, with its paired interval and what that says of a condition.

    Attributes:
        condition: "members", "ensemble" or "silent failures".
        score: its name.
        change, baseline: value of both over the subjects that both have.
        difference: change minus baseline; below 0 is better.
        tolerance: how far above 0 it may lie; 0 for the ensemble's scores, which must lie below.
        p: of the test that swaps the two, both sides; NaN where it is not needed.
        outcome: met, broken or open, for this line alone.
    """

    condition: str
    score: str
    change: float
    baseline: float
    difference: Estimate
    tolerance: float
    p: float
    outcome: Outcome

    @property
    def reason(self) -> str:
        """The line in words and numbers."""
        d = self.difference
        said = {
            "ensemble": {"met": "improves", "broken": "gets worse", "open": "no difference shown"},
        }.get(self.condition, {"met": "not worse", "broken": "worse", "open": "may be worse"})[self.outcome]
        asked = f", p {self.p:.2g}" if not math.isnan(self.p) else ""
        if self.condition != "ensemble":
            asked = f", at most {self.tolerance:+.3g} is tolerated"
        return (
            f"{self.condition}: {self.score.replace('_', ' ')} {said}: {self.baseline:.4g} to {self.change:.4g}, "
            f"difference {d.value:+.3g} ({d.low:+.3g} to {d.high:+.3g}, {d.level:.1%} interval, n {d.n}{asked})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the line as plain JSON values."""
        d = self.difference
        numbers = {"change": self.change, "baseline": self.baseline, "difference": d.value, "low": d.low,
                   "high": d.high, "level": d.level, "tolerance": self.tolerance, "p": self.p}  # fmt: skip
        told = {key: None if math.isnan(value) else value for key, value in numbers.items()}
        return {"condition": self.condition, "score": self.score, "outcome": self.outcome, **told, "n": d.n}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a change of the ensemble is accepted, and why."""

    change: str
    baseline: str
    lines: tuple[Difference, ...]
    notes: tuple[str, ...] = ()

    @property
    def decision(self) -> Decision:
        """Rejected if one condition is broken, accepted if all are met."""
        outcomes = {self.outcome(one) for one in CONDITIONS}
        return "rejected" if "broken" in outcomes else "accepted" if outcomes == {"met"} else "undecided"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every line in words and numbers, then what else should be known."""
        return (*(line.reason for line in self.lines), *self.notes)

    def outcome(self, condition: str) -> Outcome:
        """Outcome of a condition: one line that is met is enough for the ensemble, all others need every line."""
        found = [line.outcome for line in self.lines if line.condition == condition]
        if condition == "ensemble":
            return "met" if "met" in found else "broken" if set(found) == {"broken"} else "open"
        return "broken" if "broken" in found else "open" if "open" in found else "met"

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        lines = [line.to_dict() for line in self.lines]
        return {"decision": self.decision, "change": self.change, "baseline": self.baseline, "lines": lines,
                "reasons": list(self.reasons)}  # fmt: skip


def evidence_of(
    pool: Pool,
    weights: Weights,
    *,
    name: str,
    scores: Sequence[str] = ENSEMBLE_SCORES,
    member_score: str = MEMBER_SCORE,
) -> Evidence:
    """Return what a weighted mean of members of a pool did on its cases, which nobody may have chosen them on.

    Two ensembles are compared on the same voxels if both come from one pool.
    """
    return Evidence(
        name=name,
        n_members=int(np.count_nonzero(weights)),
        subjects=pool.subjects,
        member=member_values(pool, weights, member_score),
        scores={one: POOL_SCORES[one].function(pool, weights) for one in scores},
        silent_failures=POOL_SCORES["silent_failure_rate"].function(pool, weights)[0],
    )


def accept(
    change: Evidence,
    baseline: Evidence,
    *,
    rule: AcceptanceRule | None = None,
    patients: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Verdict:
    """Judge a change of the ensemble against a baseline, on the same held-out subjects.

    Args:
        change: the new ensemble.
        baseline: what one would use otherwise.
        rule: tolerances and level; the defaults of `AcceptanceRule` if None.
        patients: patient of each subject, where a patient has several; else each subject is one.
        seed: of the draws.

    Raises:
        InvalidInput: E401, fewer than two subjects.
        ValueError: other subjects or other scores.
    """
    if change.subjects != baseline.subjects or change.scores.keys() != baseline.scores.keys() or not change.scores:
        raise ValueError(f"{change.name} and {baseline.name} need the same subjects and the same scores, one at least")
    chosen = rule or AcceptanceRule()
    owners = [(patients or {}).get(subject, subject) for subject in change.subjects]
    shared = 1 - (1 - chosen.level) / len(change.scores)
    compare = _Comparison(owners, chosen.n_resamples, seed)
    lines = [
        compare.line("members", "mean member", change.member, baseline.member, chosen.level, chosen.member_tolerance)
    ]
    lines += [compare.line("ensemble", one, change.scores[one], baseline.scores[one], shared) for one in change.scores]
    silent = (change.silent_failures, baseline.silent_failures)
    lines.append(compare.line("silent failures", "rate", *silent, chosen.level, chosen.silent_tolerance))
    return Verdict(
        change=change.name, baseline=baseline.name, lines=tuple(lines), notes=_notes(change, baseline, lines)
    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    owners: Sequence[Hashable]
    n_resamples: int
    seed: int

    def line(
        self,
        condition: str,
        score: str,
        change: Float[np.ndarray, "*k s"],
        baseline: Float[np.ndarray, "*k s"],
        level: float,
        tolerated_share: float | None = None,
    ) -> Difference:
        """Compare two columns, or two pairs of confidence and risk."""
        ours, theirs = np.atleast_2d(change), np.atleast_2d(baseline)
        known = ~np.isnan(np.concatenate([ours, theirs])).any(axis=0)
        values = reduced(ours[:, known]), reduced(theirs[:, known])
        difference = self._difference(ours, theirs, level)
        tolerance = 0.0 if tolerated_share is None else tolerated_share * abs(values[1])
        p = math.nan
        if tolerated_share is None and (difference.high < 0 or difference.low > 0):
            p = swap_test(ours, theirs, owners=self.owners, seed=self.seed)
        outcome = _improves(difference, p) if tolerated_share is None else _not_worse(difference, tolerance)
        return Difference(condition=condition, score=score, change=values[0], baseline=values[1],
                          difference=difference, tolerance=tolerance, p=p, outcome=outcome)  # fmt: skip

    def _difference(self, ours: np.ndarray, theirs: np.ndarray, level: float) -> Estimate:
        if len(ours) == 1:
            apart = ours[0] - theirs[0]
            return bootstrap_mean(apart, seed=self.seed, clusters=self.owners, n_resamples=self.n_resamples,
                                  level=level)  # fmt: skip
        return bootstrap_weighted(weighted_area_difference, *ours, *theirs, seed=self.seed, clusters=self.owners,
                                  n_resamples=self.n_resamples, level=level)  # fmt: skip


def weighted_area_difference(
    first: Float64[np.ndarray, " s"],
    first_risk: Float64[np.ndarray, " s"],
    second: Float64[np.ndarray, " s"],
    second_risk: Float64[np.ndarray, " s"],
) -> Callable[[Float64[np.ndarray, "r s"]], Float64[np.ndarray, " r"]]:
    """Area under risk and coverage of the first minus that of the second, of weighted cases."""
    ours, theirs = weighted_aurc(first, first_risk), weighted_aurc(second, second_risk)
    return lambda weights: ours(weights) - theirs(weights)


def _improves(difference: Estimate, p: float) -> Outcome:
    if not p <= 1 - difference.level:
        return "open"
    return "met" if difference.high < 0 else "broken" if difference.low > 0 else "open"


def _not_worse(difference: Estimate, tolerance: float) -> Outcome:
    return "met" if difference.high <= tolerance else "broken" if difference.low > tolerance else "open"


def _notes(change: Evidence, baseline: Evidence, lines: Sequence[Difference]) -> tuple[str, ...]:
    notes = []
    worse = [
        line.score.replace("_", " ") for line in lines if line.condition == "ensemble" and line.outcome == "broken"
    ]
    if worse:
        notes.append(f"note: {', '.join(worse)} of the ensemble gets worse")
    if change.n_members != baseline.n_members:
        notes.append(
            f"note: {change.n_members} members against {baseline.n_members}: with fewer members it is more often that "
            "all agree and are wrong, whatever the members are"
        )
    return tuple(notes)
