"""What each threshold of a failure flag would cost on new cases, for the cohort's page."""

import math
from collections.abc import Iterator, Sequence

from plausible.calibrate import FailureFlag
from plausible.core import Score, select
from plausible.report import WorkingPoint, Workload
from plausible.runs.calibration import Calibrations


def workloads(rows: Sequence[Score], calibrations: Calibrations) -> Iterator[Workload]:
    """Yield the thresholds of every failure flag, with the number of new cases that each would send to review."""
    for flag in calibrations.records:
        if isinstance(flag, FailureFlag):
            yield _workload(flag, rows)


def _workload(flag: FailureFlag, rows: Sequence[Score]) -> Workload:
    new = [row.value for row in select(rows, measure=flag.measure, structure=flag.guarantee.structure, against="")]
    sign = -1.0 if flag.higher_is == "worse" else 1.0
    points = tuple(
        WorkingPoint(
            accepted=point.accepted,
            n_accepted=point.n_accepted,
            n_failed=point.n_failed,
            rate_high=point.rate_high if math.isfinite(point.rate_high) else None,
            certified=point.certified,
            n_review=sum(not sign * value > sign * point.threshold for value in new),
        )
        for point in flag.points
    )
    chosen = next((n for n, point in enumerate(flag.points) if point.threshold == flag.threshold), None)
    return Workload(
        structure=flag.guarantee.structure,
        score=flag.measure,
        failure=flag.failure,
        alpha=flag.guarantee.alpha,
        delta=flag.guarantee.delta or 0.0,
        n_patients=flag.guarantee.n_patients,
        n_new=len(new),
        chosen=chosen,
        points=points,
    )
