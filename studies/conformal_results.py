"""Results of a method over many splits, next to the law that they must follow, and the tables of them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from conformal_data import Cohort, Split
from conformal_methods import Law, Method, failed, said
from scipy import stats

from plausible.calibrate import conformal_rank
from plausible.core import InvalidInput
from plausible.evaluate import bootstrap_statistic
from plausible.runs.calibrate_settings import FailureRule

MIDDLE = (0.025, 0.975)
"""Quantiles that enclose 95 % of the splits, or of the law of one split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One method for one structure at one alpha, over all splits.

    Attributes:
        promised: what the method promises (coverage at least; risk and failures at most).
        achieved: mean over splits; failures are those of all accepted patients of all splits.
        low, high: 95 % of the splits lie between.
        expected: mean of the exact law, NaN without one.
        band: 95 % of one split's coverage by the exact law.
        inside: share of splits inside the band.
        beyond: share of all splits whose test patients went beyond what is promised; a refusal goes beyond nothing.
        size: mean over splits, and 95 % of the splits.
        n_splits: splits in which the method gave an answer.
        refused: splits in which it refused, and why.
    """

    structure: str
    method: str
    promise: str
    size_name: str
    naive: bool
    alpha: float
    n_calibration: int
    n_test: int
    n_splits: int
    refused: int
    why: str
    promised: float
    achieved: float
    low: float
    high: float
    expected: float
    band: tuple[float, float]
    inside: float
    beyond: float
    size: float
    size_low: float
    size_high: float

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def repeat(cohort: Cohort, method: Method, splits: Sequence[Split], alpha: float) -> Result:
    """Run a method on every split."""
    outcomes, refusals = [], list[str]()
    for split in splits:
        try:
            outcomes.append(method.run(cohort, split, alpha))
        except InvalidInput as error:
            refusals.append(error.problem.code)
    shares = np.array([one.achieved.mean() if len(one.achieved) else np.nan for one in outcomes])
    every = np.concatenate([one.achieved for one in outcomes]) if outcomes else np.array([])
    sizes = np.array([one.sizes.mean() for one in outcomes if len(one.sizes)])
    n, n_test = len(splits[0].calibration), len(splits[0].test)
    expected, band = law_of(method.law, n, n_test, alpha) if outcomes else (np.nan, (np.nan, np.nan))
    inside = float(np.mean((shares >= band[0] - 1e-9) & (shares <= band[1] + 1e-9))) if expected == expected else np.nan
    promised = 1 - alpha if method.promise == "coverage" else alpha
    past = shares < promised - 1e-9 if method.promise == "coverage" else shares > promised + 1e-9
    low, high = _middle(shares)
    size_low, size_high = _middle(sizes)
    return Result(
        structure=cohort.structure,
        method=method.name,
        promise=method.promise,
        size_name=method.size,
        naive=method.naive,
        alpha=alpha,
        n_calibration=n,
        n_test=n_test,
        n_splits=len(outcomes),
        refused=len(refusals),
        why=", ".join(sorted(set(refusals))),
        promised=promised,
        achieved=float(every.mean()) if len(every) else np.nan,
        low=low,
        high=high,
        expected=expected,
        band=band,
        inside=inside,
        beyond=float(past.sum() / len(splits)),
        size=float(sizes.mean()) if len(sizes) else np.nan,
        size_low=size_low,
        size_high=size_high,
    )


def law_of(law: Law, n: int, n_test: int, alpha: float) -> tuple[float, tuple[float, float]]:
    """Mean and 95 % band of the share of n_test patients covered, given n patients without ties; NaN without a law.

    Beta-binomial with k and n+1-k for a bound on one side; a pair of bounds on one error leaves out twice as much.
    """
    if law == "none":
        return np.nan, (np.nan, np.nan)
    tails = 2 if law == "two tails" else 1
    outside = tails * (n + 1 - conformal_rank(n, alpha, tails=tails))
    share = stats.betabinom(n_test, n + 1 - outside, outside)
    low, high = share.ppf(MIDDLE)
    return 1 - outside / (n + 1), (float(low) / n_test, float(high) / n_test)


HEAD = (
    "| structure | method | alpha | promised | achieved (95 % of splits) | by the law | splits in its band | "
    "size (95 % of splits) | refused |"
)


def table(results: Iterable[Result]) -> str:
    """Every result in Markdown."""
    return "\n".join([HEAD, "|---|---|---|---|---|---|---|---|---|", *(_line(one) for one in results)])


def summary(results: Sequence[Result], *, alpha: float) -> str:
    """One line per method at one alpha: mean over structures, lowest and highest structure."""
    lines = [
        "| method | promised | achieved: mean over structures (lowest to highest) | by the law | size: mean (lowest to "
        "highest) | refused |",
        "|---|---|---|---|---|---|",
    ]
    at = [one for one in results if np.isclose(one.alpha, alpha)]
    for name in dict.fromkeys(one.method for one in at):
        lines.append(_summary_line([one for one in at if one.method == name]))
    return "\n".join(lines)


def flag_table(results: Iterable[Result], cohorts: Sequence[Cohort], rules: Sequence[FailureRule]) -> str:
    """Failure flags: how often they answer, what they refer, and how often the promise is broken."""
    lines = [
        "| structure | method | alpha | patients that fail | splits answered | referred | fail among accepted | splits "
        "beyond alpha, of all |",
        "|---|---|---|---|---|---|---|---|",
    ]
    by_name = {one.structure: one for one in cohorts}
    for one in (result for result in results if result.promise == "failures"):
        (rule,) = [rule for rule in rules if one.method.endswith(said(rule))]
        cohort = by_name[one.structure]
        bad = int(failed(cohort, cohort.subjects, rule).sum())
        answered = f"{one.n_splits} of {one.n_splits + one.refused}"
        name = f"*{one.method}*" if one.naive else one.method
        lines.append(
            f"| {one.structure} | {name} | {one.alpha:g} | {bad} of {len(cohort.subjects)} | {answered} | "
            f"{_number(one.size)} | {_number(one.achieved)} | {_number(one.beyond)} |"
        )
    return "\n".join(lines)


def all_patients_table(cohorts: Sequence[Cohort], methods: Sequence[Method], alpha: float) -> str:
    """Coverage of intervals without calibration in all patients at once, with its exact interval (Clopper-Pearson)."""
    lines = ["| structure | method | covered | share (95 % interval) |", "|---|---|---|---|"]
    for cohort in cohorts:
        for method in methods:
            held = method.run(cohort, Split((), cohort.subjects, 0), alpha).achieved
            interval = stats.binomtest(int(held.sum()), len(held)).proportion_ci()
            share = f"{held.mean():.3f} ({interval.low:.3f} to {interval.high:.3f})"
            lines.append(f"| {cohort.structure} | {method.name} | {int(held.sum())} of {len(held)} | {share} |")
    return "\n".join(lines)


def spread_table(cohorts: Sequence[Cohort], *, seed: int) -> str:
    """How far volumes are off, how far members are apart, and whether the one follows the other."""
    lines = [
        "| structure | n | sd of the error, ml | median sd of the members, ml | rank correlation of absolute error and "
        "sd (95 % interval) |",
        "|---|---|---|---|---|",
    ]
    for one in cohorts:
        reference, predicted, sd = (
            one.values(name, one.subjects) for name in ("reference_volume", "segmented_volume", "volume_sd")
        )
        error = np.abs(reference - predicted)
        found = bootstrap_statistic(_rank_correlation, error, sd, seed=seed, n_resamples=2000)
        off, apart = float((reference - predicted).std(ddof=1)), float(np.median(sd))
        lines.append(
            f"| {one.structure} | {len(error)} | {off:.3f} | {apart:.3f} | {found.value:.2f} ({found.low:.2f} to "
            f"{found.high:.2f}) |"
        )
    return "\n".join(lines)


def _rank_correlation(error: np.ndarray, sd: np.ndarray) -> float:
    if np.ptp(error) == 0 or np.ptp(sd) == 0:
        return np.nan
    return float(stats.spearmanr(error, sd).statistic)


def audit_table(results: Iterable[Result]) -> str:
    """Results of a single split, each with the band that the law allows it."""
    lines = [
        "| structure | method | alpha | promised | achieved | 95 % band by the law | size |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in results:
        name = f"*{one.method}*" if one.naive else one.method
        band = "–" if np.isnan(one.expected) else f"{one.band[0]:.3f} to {one.band[1]:.3f}"
        achieved = f"refused, {one.why}" if one.refused else _number(one.achieved)
        size = f"{_number(one.size)} {one.size_name}"
        lines.append(f"| {one.structure} | {name} | {one.alpha:g} | {_promised(one)} | {achieved} | {band} | {size} |")
    return "\n".join(lines)


def _summary_line(of: Sequence[Result]) -> str:
    first = of[0]
    name = f"*{first.method}*" if first.naive else first.method
    size = f"{_over([one.size for one in of])} {first.size_name}"
    refused = f"{sum(one.refused for one in of)} of {sum(one.refused + one.n_splits for one in of)}"
    expected = _over([first.expected], single=True)
    return f"| {name} | {_promised(first)} | {_over([one.achieved for one in of])} | {expected} | {size} | {refused} |"


def _line(one: Result) -> str:
    name = f"*{one.method}*" if one.naive else one.method
    law = _over([one.expected], single=True)
    inside = _over([one.inside], single=True)
    refused = f"{one.refused} of {one.refused + one.n_splits} {one.why}".strip() if one.refused else "0"
    size = f"{_number(one.size)} ({_number(one.size_low)} to {_number(one.size_high)}) {one.size_name}"
    achieved = f"{_number(one.achieved)} ({_number(one.low)} to {_number(one.high)})"
    return (
        f"| {one.structure} | {name} | {one.alpha:g} | {_promised(one)} | {achieved} | {law} | {inside} | {size} | "
        f"{refused} |"
    )


def _promised(one: Result) -> str:
    if one.naive:
        return f"({one.promised:.2f})"
    return f"{'≥' if one.promise == 'coverage' else '≤'} {one.promised:.2f}"


def _over(values: Sequence[float], *, single: bool = False) -> str:
    known = [value for value in values if not np.isnan(value)]
    if not known:
        return "–"
    mean = _number(float(np.mean(known)))
    return mean if single or len(known) == 1 else f"{mean} ({_number(min(known))} to {_number(max(known))})"


def _number(value: float) -> str:
    if np.isnan(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _middle(values: np.ndarray) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, MIDDLE) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
