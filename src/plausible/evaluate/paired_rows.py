"""Rows of several methods side by side: one table per measure, with a value of each method for each subject.

Rows are paired by subject, structure, measure, region, reduction and reference. Members cannot be paired between
methods and are averaged first ("single_member"); a subject's raters are averaged over those for which every method
has a defined value. Only the first choice of reference is compared, and what raters reach among themselves is not.
"""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from plausible.core import Direction, Score
from plausible.evaluate.case import ENSEMBLE, MEMBER
from plausible.evaluate.ceiling import RATER
from plausible.evaluate.cohort_summary import SINGLE_MEMBER, mean_defined
from plausible.evaluate.references import of_primary
from plausible.evaluate.risk_coverage import area_under_risk_coverage

AURC = area_under_risk_coverage.__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the values of one table are.

    Attributes:
        scored: against a reference, or without one.
    """

    measure: str
    structure: str
    region: str
    reduction: str
    scored: bool

    def __str__(self) -> str:
        return " ".join(part for part in (self.measure, self.structure, self.region, self.reduction) if part)


@dataclass(frozen=True, slots=True, eq=False)
class PairedTable:
    """One value per method and subject; NaN where any method has none that can be paired.

    Attributes:
        methods: names, one per row of `values`.
        subjects: sorted, one per column of `values`.
        against: references that the values were taken against.
    """

    line: Line
    unit: str
    higher_is: Direction
    methods: tuple[str, ...]
    subjects: tuple[str, ...]
    values: Float[np.ndarray, "m s"]
    against: tuple[str, ...] = ()


def common_subjects(methods: Mapping[str, Sequence[Score]]) -> tuple[str, ...]:
    """Subjects of which every method has rows, sorted."""
    found = [{row.subject for row in rows} for rows in methods.values()]
    return tuple(sorted(set.intersection(*found))) if found else ()


def paired_tables(methods: Mapping[str, Sequence[Score]]) -> Iterator[PairedTable]:
    """Yield a table of each kind of row that all methods have, over the subjects that all have.

    Raises:
        ValueError: a method has two values for one subject, reference and line, or units or directions differ.
    """
    subjects = frozenset(common_subjects(methods))
    indexed = {name: _lines(rows, subjects) for name, rows in methods.items()}
    for line, first in next(iter(indexed.values()), {}).items():
        if all(line in lines for lines in indexed.values()):
            found = [lines[line] for lines in indexed.values()]
            meaning = {(rows[0].unit, rows[0].higher_is) for rows in found}
            if len(meaning) > 1:
                raise ValueError(f"{line}: methods differ in unit or direction: {sorted(meaning)}")
            tables = [_values(rows) for rows in found]
            places = sorted({place for table in tables for place in table})
            names = tuple(sorted({subject for subject, _ in places}))
            values = _columns(_per_subject(tables, names), tuple(indexed))
            against = tuple(sorted({rater for _, rater in places if rater}))
            yield PairedTable(line, first[0].unit, first[0].higher_is, tuple(indexed), names, values, against)


def unpaired_lines(methods: Mapping[str, Sequence[Score]]) -> dict[str, tuple[str, ...]]:
    """Lines that not all methods have, with the names of those that have them."""
    owners: dict[Line, list[str]] = defaultdict(list)
    for name, rows in methods.items():
        for line in dict.fromkeys(map(_line, _compared(rows))):
            owners[line].append(name)
    return {str(line): tuple(names) for line, names in owners.items() if len(names) < len(methods)}


def _line(row: Score) -> Line:
    reduction = SINGLE_MEMBER if row.reduction.startswith(MEMBER) else row.reduction
    return Line(
        measure=row.measure,
        structure=row.structure,
        region=row.region,
        reduction=reduction,
        scored=bool(row.against),
    )


def _lines(rows: Sequence[Score], subjects: Collection[str]) -> dict[Line, list[Score]]:
    found: dict[Line, list[Score]] = defaultdict(list)
    for row in _compared(rows):
        if row.subject in subjects:
            found[_line(row)].append(row)
    return found


def _compared(rows: Sequence[Score]) -> list[Score]:
    """Rows of a method: against its first choice of reference, and not those of the raters among themselves."""
    return [row for row in of_primary(rows) if not row.reduction.startswith(RATER)]


def _values(rows: Sequence[Score]) -> dict[tuple[str, str], float]:
    """Value for each subject and reference, members averaged over those that are defined."""
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        of_place = found[row.subject, row.against]
        if row.reduction in of_place:
            raise ValueError(f"{row.subject}: two values of {_line(row)} against {row.against or 'no reference'}")
        of_place[row.reduction] = row.value
    return {place: mean_defined(list(values.values())) for place, values in found.items()}


def _per_subject(tables: Sequence[Mapping[tuple[str, str], float]], subjects: Sequence[str]) -> list[list[float]]:
    """Value of each method for each subject, over the references for which every method has one."""
    raters: dict[str, list[str]] = defaultdict(list)
    for subject, rater in tables[0]:
        if not any(math.isnan(table.get((subject, rater), math.nan)) for table in tables):
            raters[subject].append(rater)
    return [[mean_defined([table[s, rater] for rater in raters.get(s, [])]) for table in tables] for s in subjects]


def risk_tables(
    methods: Mapping[str, Sequence[Score]], *, confidence: str
) -> Iterator[tuple[PairedTable, PairedTable]]:
    """Yield confidences (higher is more confident) and risks for each structure that all methods have both of.

    Risk is 1 - Dice of the members' mean; the structure "" takes the mean over all structures.

    Args:
        methods: rows of each method.
        confidence: MEASURE, or MEASURE:REGION:REDUCTION where a measure has several. Its sign is turned where the rows
            say that higher is worse.

    Raises:
        ValueError: the measure has several regions or reductions and none was told.
    """
    tables = list(paired_tables(methods))
    dice = [table for table in tables if (table.line.measure, table.line.reduction) == ("dice", ENSEMBLE)]
    for table in _chosen(tables, confidence):
        found = [one for one in dice if table.line.structure in ("", one.line.structure)]
        if found:
            sign = -1.0 if table.higher_is == "worse" else 1.0
            yield replace(table, values=sign * table.values, higher_is="better"), _risks(found, table, confidence)


def _chosen(tables: Sequence[PairedTable], confidence: str) -> list[PairedTable]:
    measure, *told = confidence.split(":")
    found = [table for table in tables if table.line.measure == measure and not table.line.scored]
    if told:
        found = [table for table in found if [table.line.region, table.line.reduction] == told]
    kinds = {(table.line.region, table.line.reduction) for table in found}
    if len(kinds) > 1:
        choices = ", ".join(sorted(":".join((measure, *kind)) for kind in kinds))
        raise ValueError(f"the confidence {confidence} has several regions or reductions; choose one of {choices}")
    return found


def _risks(dice: Sequence[PairedTable], like: PairedTable, confidence: str) -> PairedTable:
    """Mean risk over the tables of Dice, for the subjects of another table."""
    found: dict[str, list[Float[np.ndarray, " m"]]] = defaultdict(list)
    for table in dice:
        for subject, values in zip(table.subjects, table.values.T, strict=True):
            if not np.isnan(values).any():
                found[subject].append(values)
    nothing = np.full(len(like.methods), np.nan)
    columns = [1 - np.mean(found[s], axis=0) if s in found else nothing for s in like.subjects]
    return replace(
        like,
        line=replace(like.line, measure=AURC, region="", reduction=confidence, scored=True),
        unit="risk",
        higher_is="worse",
        values=_columns(columns, like.methods),
        against=tuple(sorted({rater for table in dice for rater in table.against})),
    )


def _columns(columns: Sequence[Sequence[float] | Float[np.ndarray, " m"]], methods: Sequence[str]) -> np.ndarray:
    """One row per method from one column per subject, of which there may be none."""
    return np.array(columns, dtype=np.float64).reshape(len(columns), len(methods)).T
