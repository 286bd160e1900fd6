"""Rows of the dose: what failure detection, triage and scores.csv read of it.

Each score reads the distribution of one metric over the members; its unit is the metric's.
"""

from collections.abc import Callable, Iterator

from plausible.core import Catalogue, Score
from plausible.dose.constraint_risk import ConstraintRisk
from plausible.dose.constraints import Constraint
from plausible.dose.metric_text import DoseMetric
from plausible.dose.sensitivity import DOSE_SCORES, DoseSensitivity
from plausible.dose.spread import MetricSpread

SpreadScore = Callable[[MetricSpread], float]
SPREAD_SCORES: Catalogue[SpreadScore] = Catalogue("score of a dose metric")


@SPREAD_SCORES.add(unit="of the metric", higher_is="worse", source="unpublished", label="SD of a dose metric")
def dose_metric_sd(spread: MetricSpread) -> float:
    """SD of a dose metric over the members; NaN with fewer than two."""
    return spread.sd


@SPREAD_SCORES.add(unit="of the metric", higher_is="worse", source="unpublished", label="width of a dose metric")
def dose_metric_width(spread: MetricSpread) -> float:
    """Width of the 90 % interval of a dose metric; NaN with fewer than two members."""
    return spread.interval_90[1] - spread.interval_90[0]


def spread_rows(spread: MetricSpread, metric: DoseMetric, *, subject: str, structure: str) -> Iterator[Score]:
    """Rows of one metric of one structure; `region` is the metric."""
    for entry in SPREAD_SCORES:
        yield Score(
            subject=subject,
            structure=structure,
            measure=entry.name,
            region=metric.text,
            value=entry.function(spread),
            unit=metric.unit,
            higher_is=entry.higher_is,
            n=spread.n,
        )


def sensitivity_rows(sensitivity: DoseSensitivity, *, subject: str) -> Iterator[Score]:
    """Rows of the boundary's effect on the dose."""
    for entry in DOSE_SCORES:
        yield Score(
            subject=subject,
            structure=sensitivity.structure,
            measure=entry.name,
            value=entry.function(sensitivity),
            unit=entry.unit,
            higher_is=entry.higher_is,
            n=sensitivity.n,
        )


def risk_row(risk: ConstraintRisk, constraint: Constraint, *, subject: str, structure: str) -> Score:
    """Row of one constraint: probability that it is violated; `region` is the constraint."""
    return Score(
        subject=subject,
        structure=structure,
        measure="constraint_violation_probability",
        region=constraint.text,
        value=risk.probability,
        unit="1",
        higher_is="worse",
        n=risk.n,
    )
