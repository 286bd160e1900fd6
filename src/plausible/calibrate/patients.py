"""From rows to one number per patient: rows are matched by subject, and a patient counts once."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from plausible.calibrate.guarantee import Absent, Guarantee
from plausible.core import Score, content_key


@dataclass(frozen=True, slots=True, eq=False)
class Patients:
    """One or more numbers per patient, sorted by subject so that the order of files never matters.

    Attributes:
        subjects: the patients.
        values: one row of numbers per column of rows, one entry per patient.
        excluded: patients without a defined number.
    """

    subjects: tuple[str, ...]
    values: Float[np.ndarray, "k s"]
    excluded: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Patients that count."""
        return len(self.subjects)

    @property
    def data_hash(self) -> str:
        """SHA-256 of subjects and numbers."""
        return content_key({"subjects": list(self.subjects), "values": self.values.tolist()})

    def promise(
        self,
        claim: str,
        *,
        method: str,
        alpha: float,
        population: str,
        date: str,
        delta: float | None = None,
        structure: str = "",
        absent: Absent | None = None,
        n_patients: int | None = None,
    ) -> Guarantee:
        """Return the promise that rests on these patients, or on so many of them if the others served to learn."""
        return Guarantee(
            method=method,
            alpha=alpha,
            delta=delta,
            n_patients=self.n if n_patients is None else n_patients,
            claim=claim,
            population=population,
            structure=structure,
            subjects=self.subjects,
            absent=absent,
            excluded=self.excluded,
            data_hash=self.data_hash,
            date=date,
        )

    def keep(self, wanted: Bool[np.ndarray, " s"]) -> "Patients":
        """Return the patients that are wanted; the others are noted as excluded."""
        kept = tuple(subject for subject, ok in zip(self.subjects, wanted, strict=True) if ok)
        dropped = tuple(subject for subject, ok in zip(self.subjects, wanted, strict=True) if not ok)
        return Patients(kept, self.values[:, wanted], (*self.excluded, *dropped))


def of_rows(*columns: Sequence[Score]) -> Patients:
    """Match columns of rows by subject; a patient with a NaN in any column is excluded.

    Raises:
        ValueError: rows of several structures or measures in one column, a patient twice, or patients that one
            column has and another lacks.
    """
    return settle(all_of_rows(*columns), absent="exclude", covered=np.nan, missed=np.nan)


def all_of_rows(*columns: Sequence[Score]) -> Patients:
    """Match columns of rows by subject, NaN included.

    Raises:
        ValueError: as `of_rows`.
    """
    if not all(columns):
        raise ValueError("there are no rows to calibrate on")
    tables = [_by_subject(rows) for rows in columns]
    subjects = sorted(tables[0])
    for table in tables[1:]:
        alone = sorted(table.keys() ^ tables[0].keys())
        if alone:
            raise ValueError(f"{len(alone)} patients have rows in one column only: {', '.join(alone[:5])}")
    values = np.array([[table[subject] for subject in subjects] for table in tables], dtype=np.float64)
    return Patients(tuple(subjects), values)


def settle(patients: Patients, *, absent: Absent, covered: float, missed: float, column: int | None = None) -> Patients:
    """Decide what a patient with an undefined number counts as; in one column, or in all."""
    chosen = slice(None) if column is None else slice(column, column + 1)
    undefined = np.isnan(patients.values[chosen])
    if absent == "exclude":
        return patients.keep(np.asarray(~undefined.any(axis=0)))
    filled = patients.values.copy()
    filled[chosen] = np.where(undefined, covered if absent == "covered" else missed, filled[chosen])
    return Patients(patients.subjects, filled, patients.excluded)


def check_alike(items: Sequence[object], *, what: str, kind: str) -> None:
    """Refuse rows or curves that differ in a field that must be one.

    Raises:
        ValueError: they differ.
    """
    found = {str(getattr(item, what)) for item in items}
    if len(found) > 1:
        raise ValueError(
            f"{kind} of one {what} are needed, got {', '.join(sorted(found))}; select one, or fit by group"
        )


def check_unique(subjects: Sequence[str]) -> None:
    """Refuse a patient who comes twice.

    Raises:
        ValueError: one does.
    """
    twice = sorted(subject for subject, count in Counter(subjects).items() if count > 1)
    if twice:
        raise ValueError(
            f"{len(twice)} patients come several times: {', '.join(twice[:5])}. The patient is the unit: give each "
            "one row or curve, for instance the worst, or one drawn at random"
        )


def _by_subject(rows: Sequence[Score]) -> dict[str, float]:
    for what in ("structure", "measure", "unit"):
        check_alike(rows, what=what, kind="rows")
    check_unique([row.subject for row in rows])
    return {row.subject: row.value for row in rows}
