"""What a calibration promises, for whom, from which patients: the record that every method of this family shares.

The exchangeable unit is the patient: a promise is about the next patient, and n counts patients, never voxels, slices
or organs. It holds for patients who could have been drawn in the place of the calibration patients (same sites,
scanners, indications, models and readers); nothing here can promise it for others.

Records hold plain numbers and text. `to_dict` gives JSON values (infinity as "inf"), `Calibration.from_dict` the
record again.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import TypeAdapter

from plausible.core import Catalogue, InvalidInput, Problem

Absent: TypeAlias = Literal["exclude", "covered", "missed"]
"""What a patient counts as in whom the quantity is undefined, usually because the structure is absent: left out (the
promise is then for patients who have it), covered (loss 0), or missed (loss at its largest)."""

IfInfeasible: TypeAlias = Literal["raise", "trivial"]
"""What to do where only the trivial answer is right (whole image, infinite interval, every case flagged)."""

_ABSENT: dict[Absent | None, str] = {
    None: "",
    "exclude": "; only patients in whom the quantity is defined",
    "covered": "; where the quantity is undefined, the patient counts as covered",
    "missed": "; where the quantity is undefined, the patient counts as missed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarantee:
    """What is promised, with which probability, for which patients, and on which data it rests.

    Attributes:
        method: name of the method, e.g. "conformal risk control".
        alpha: share of patients (or risk) that may go wrong.
        delta: probability, over the draw of the calibration patients, that the promise fails; None where the promise
            is an average over such draws.
        n_patients: patients it rests on, `excluded` not counted.
        claim: what holds, in words; `statement` adds for whom.
        population: which patients could have been drawn, in the words of whoever calibrated.
        structure: organ or target it is about; empty if none or all.
        subjects: patients used in the calibration, whom the record may not be applied to.
        absent: what a patient counts as in whom the quantity is undefined; None where it always is defined.
        excluded: patients left out because it is undefined for them.
        data_hash: SHA-256 of subjects and their numbers.
        date: day of the calibration, e.g. "2026-03-02".
    """

    method: str
    alpha: float
    n_patients: int
    claim: str
    population: str
    subjects: tuple[str, ...]
    data_hash: str
    date: str
    delta: float | None = None
    structure: str = ""
    absent: Absent | None = None
    excluded: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The promise in one plain sentence."""
        patients = f"{self.n_patients} calibration patients ({self.population}{_ABSENT[self.absent]})"
        return f"For a new patient exchangeable with the {patients}: {self.claim}."

    def check_unseen(self, subject: str) -> None:
        """Refuse a patient of the calibration set, for whom nothing is promised.

        Raises:
            InvalidInput: E402.
        """
        if subject in self.subjects:
            raise InvalidInput(
                Problem(
                    code="E402",
                    subject=subject,
                    found=f"a patient of the calibration set ({self.method}, {self.n_patients} patients, {self.date})",
                    expected="patients that the calibration has not seen",
                    fix="leave this case out, or calibrate on other patients: split them before you calibrate",
                )
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A fitted method: what it promises, and, in each kind of record, the numbers that it applies."""

    guarantee: Guarantee

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values, its kind and its statement included."""
        values = {"record": type(self).__name__, **_plain(asdict(self))}
        values["guarantee"]["statement"] = self.guarantee.statement
        return values

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "Calibration":
        """Return the record that `to_dict` wrote.

        Raises:
            ValueError: a record of unknown kind, or values that do not fit it.
        """
        found = dict(values)
        name = found.pop("record", None)
        if name not in RECORDS:
            raise ValueError(f"no calibration record {name!r}; there are: {', '.join(RECORDS)}")
        found["guarantee"] = {key: value for key, value in found["guarantee"].items() if key != "statement"}
        return RECORDS[name].restore(found)

    @classmethod
    def restore(cls, values: Mapping[str, Any]) -> "Calibration":
        """Return a record of this kind from its plain values."""
        return validated(cls, values)


RECORDS: dict[str, type[Calibration]] = {}
"""Kinds of record by name, so that a file says by itself what it holds."""

R = TypeVar("R", bound=Calibration)


def record(kind: type[R]) -> type[R]:
    """Make a kind of record known to `Calibration.from_dict`."""
    RECORDS[kind.__name__] = kind
    return kind


Fit: TypeAlias = Callable[..., Calibration]

CALIBRATIONS: Catalogue[Fit] = Catalogue("calibration")
"""Every way to fit a record, with its source."""


def percent(share: float) -> str:
    """Share in percent, as statements say it."""
    return f"{round(100 * share, 6):g} %"


WRITTEN = {"dice": "Dice", "hausdorff": "Hausdorff"}
"""Names of people keep their capital."""


def about(structure: str, name: str) -> str:
    """Name of a quantity of a structure, as statements say it."""
    words = [WRITTEN.get(word, word) for word in name.split("_")]
    return " ".join(part for part in (structure, *words) if part)


def validated(kind: type[R], values: Mapping[str, Any]) -> R:
    """Return a record of a kind from plain values, which are checked."""
    return TypeAdapter(kind).validate_python(values)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
