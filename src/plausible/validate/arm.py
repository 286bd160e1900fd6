"""One prediction model on one dataset: what is known of each test image, and how a task writes its lines.

Cases come in three sets: "familiar" (like the training data), "shifted" (unlike it) and "all". Intervals draw patients,
so that an image and its copies stay together.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from plausible.core import Direction, Score
from plausible.evaluate import ENSEMBLE, Estimate, bootstrap_mean, bootstrap_statistic, bootstrap_weighted
from plausible.evaluate.resampling import OfWeights
from plausible.validate.uncertainty_levels import UncertaintyLevels

SETS = ("familiar", "shifted", "all")


@dataclass(frozen=True, eq=False)
class Judged:
    """One test image.

    Attributes:
        rows: what the members say (no `against`), and scores of their mean against each rater.
        levels: voxels by each map's value, how many are labelled right.
    """

    subject: str
    patient: str
    shifted: bool
    ambiguous: bool
    rows: tuple[Score, ...]
    levels: Mapping[str, UncertaintyLevels] = field(default_factory=dict)

    def mean(
        self,
        measure: str,
        *,
        structure: str | None = None,
        region: str | None = None,
        reduction: str | None = None,
    ) -> float:
        """Mean of the defined rows of a measure, over raters and what else was not told; NaN without any."""
        wanted = {"structure": structure, "region": region, "reduction": reduction}
        told = {name: value for name, value in wanted.items() if value is not None}
        found = [row.value for row in self._by_measure.get(measure, ()) if _fits(row, told)]
        defined = [value for value in found if not math.isnan(value)]
        return float(np.mean(defined)) if defined else math.nan

    @cached_property
    def _by_measure(self) -> dict[str, list[Score]]:
        found: dict[str, list[Score]] = {}
        for row in self.rows:
            found.setdefault(row.measure, []).append(row)
        return found

    @property
    def risk(self) -> float:
        """1 - Dice of the mean of the members, mean over raters and structures; NaN if all are empty on both sides."""
        return 1 - self.mean("dice", reduction=ENSEMBLE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """What a line is about; see `Line`."""

    task: str
    score: str
    unit: str
    higher_is: Direction
    measure: str = ""
    aggregation: str = ""
    cases: str = "familiar"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table of a study.

    Attributes:
        measure: map or agreement of the members that is judged; empty if the prediction is.
        aggregation: how the map became one number per case, "REGION:REDUCTION"; empty without.
        cases: "familiar", "shifted" or "all".
        score: what was found of it.
        low, high: interval over patients; NaN without one.
        n: patients.
        n_undefined: cases left out because a value was undefined.
    """

    data: str
    model: str
    task: str
    score: str
    value: float
    unit: str
    higher_is: Direction
    measure: str = ""
    aggregation: str = ""
    cases: str = "familiar"
    low: float = math.nan
    high: float = math.nan
    level: float = 0.95
    n: int = 0
    n_undefined: int = 0


LINE_COLUMNS = tuple(f.name for f in fields(Line))


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """All test images of one model on one dataset.

    Attributes:
        measures: maps that are judged, in the order in which the study names them.
        seed: of the intervals.
        resamples: draws of each interval.
    """

    data: str
    model: str
    cases: tuple[Judged, ...]
    measures: tuple[str, ...]
    seed: int = 0
    resamples: int = 1000

    @property
    def sets(self) -> dict[str, "Arm"]:
        """The arm with only the cases of each set; sets without cases, and "all" where nothing is shifted, left out."""
        familiar = tuple(case for case in self.cases if not case.shifted)
        shifted = tuple(case for case in self.cases if case.shifted)
        parts = {"familiar": familiar, "shifted": shifted, "all": self.cases if familiar and shifted else ()}
        return {name: replace(self, cases=cases) for name, cases in parts.items() if cases}

    def uncertainties(self) -> "dict[tuple[str, str], Uncertainty]":
        """Every number that needs no reference, one per case, signed so that higher is less sure.

        The subject's own row where there is one, else the mean over its structures. Measures that are neither better
        nor worse are left out.
        """
        found: dict[tuple[str, str], dict[str, list[Score]]] = {}
        for case in self.cases:
            for row in case.rows:
                if not row.against and row.higher_is != "neither":
                    by_subject = found.setdefault((row.measure, _aggregation(row)), {})
                    by_subject.setdefault(case.subject, []).append(row)
        return {key: self._signed(rows) for key, rows in found.items()}

    def _signed(self, rows: Mapping[str, Sequence[Score]]) -> "Uncertainty":
        direction = next(iter(rows.values()))[0].higher_is
        values = np.array([_of_subject(rows.get(case.subject, ())) for case in self.cases], dtype=np.float64)
        return Uncertainty(values, -values if direction == "better" else values)

    def values(self, of: Callable[[Judged], float]) -> Float64[np.ndarray, " s"]:
        """One number per case."""
        return np.array([of(case) for case in self.cases], dtype=np.float64)

    @property
    def risks(self) -> Float64[np.ndarray, " s"]:
        """1 - Dice of each case."""
        return self.values(lambda case: case.risk)

    @property
    def patients(self) -> list[str]:
        """Patient of each case."""
        return [case.patient for case in self.cases]

    def mean(self, heading: Heading, of: Callable[[Judged], float]) -> Line | None:
        """Line of the mean of a number over cases; None if it is defined for none."""
        values = self.values(of)
        return self._line(heading, self._estimated(bootstrap_mean, values)) if np.isfinite(values).any() else None

    def statistic(self, heading: Heading, statistic: Callable[..., float], *columns: Float64[np.ndarray, " s"]) -> Line:
        """Line of any number made of the cases' columns."""
        return self._line(heading, self._estimated(bootstrap_statistic, statistic, *columns))

    def weighted(
        self, heading: Heading, statistic: Callable[..., OfWeights], *columns: Float64[np.ndarray, " s"]
    ) -> Line:
        """Line of an area that takes all draws at once, see `plausible.evaluate.resampling`."""
        return self._line(heading, self._estimated(bootstrap_weighted, statistic, *columns))

    def plain(self, heading: Heading, value: float, *columns: Float64[np.ndarray, " s"]) -> Line:
        """Line of a number without an interval, made of these columns."""
        return self._line(heading, self._without_interval(value, self._known(columns)))

    def _estimated(self, bootstrap: Callable[..., Estimate], *told: Any) -> Estimate:
        """Draw patients; with fewer than two of them there is a value and no interval."""
        columns = [value for value in told if isinstance(value, np.ndarray)]
        known = self._known(columns)
        if self._n_patients(known) > 1:
            return bootstrap(*told, clusters=self.patients, seed=self.seed, n_resamples=self.resamples)
        value = _value(told[0], [column[known] for column in columns]) if known.any() else math.nan
        return self._without_interval(value, known)

    def _known(self, columns: Sequence[np.ndarray]) -> Bool[np.ndarray, " s"]:
        """Cases that are defined in every column."""
        return np.asarray(np.all([~np.isnan(column) for column in columns], axis=0))

    def _n_patients(self, known: Bool[np.ndarray, " s"]) -> int:
        return len({patient for patient, here in zip(self.patients, known, strict=True) if here})

    def _without_interval(self, value: float, known: Bool[np.ndarray, " s"]) -> Estimate:
        n, n_undefined = self._n_patients(known), int((~known).sum())
        return Estimate(value=value, low=math.nan, high=math.nan, level=0.95, n=n, n_undefined=n_undefined)

    def _line(self, heading: Heading, found: Estimate) -> Line:
        return Line(
            data=self.data,
            model=self.model,
            task=heading.task,
            score=heading.score,
            value=found.value,
            unit=heading.unit,
            higher_is=heading.higher_is,
            measure=heading.measure,
            aggregation=heading.aggregation,
            cases=heading.cases,
            low=found.low,
            high=found.high,
            level=found.level,
            n=found.n,
            n_undefined=found.n_undefined,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """One number per case.

    Attributes:
        values: as the measure has it.
        suspicion: signed so that higher is less sure.
    """

    values: Float64[np.ndarray, " s"]
    suspicion: Float64[np.ndarray, " s"]


def _value(statistic: Any, columns: Sequence[np.ndarray]) -> float:
    """Statistic of the cases as they are; the mean where no statistic is told."""
    found = statistic(*columns) if callable(statistic) else np.mean(columns[0])
    return float(found(np.ones((1, len(columns[0]))))[0] if callable(found) else found)


def _fits(row: Score, told: Mapping[str, str]) -> bool:
    return all(getattr(row, name) == value for name, value in told.items())


def _aggregation(row: Score) -> str:
    return ":".join(part for part in (row.region, row.reduction) if part)


def _of_subject(rows: Sequence[Score]) -> float:
    whole = [row.value for row in rows if not row.structure] or [row.value for row in rows]
    defined = [value for value in whole if not math.isnan(value)]
    return float(np.mean(defined)) if defined else math.nan


def lines_of(found: Iterable[Line | None]) -> tuple[Line, ...]:
    """Lines that are defined for any case."""
    return tuple(line for line in found if line is not None)
