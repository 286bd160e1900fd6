"""Constraints on a plan: what a structure may receive at most, or must receive at least, and who says so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from plausible.core import standard_name
from plausible.core.limits import Operator, violates
from plausible.dose.metric_text import DoseMetric, parse_metric


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """One line of a protocol.

    Attributes:
        structure: name after TG-263.
        metric: the metric as text with its unit, e.g. "D2%[Gy]"; part of the constraint, not only its number.
        operator: what must hold between metric and limit.
        limit: in the metric's unit.
        acceptable: limit of the acceptable variation, beyond `limit`; None if the source has none.
        prescription_gy: what 100 % of dose means, for metrics that speak of it.
        priority: 1 for what must hold first; None if it was not told.
        source: who says so.
        checked: whether the number was compared with a publication by the authors of the file.
    """

    structure: str
    metric: str
    operator: Operator
    limit: float
    acceptable: float | None = None
    prescription_gy: float | None = None
    priority: int | None = None
    source: str
    checked: bool = True

    @property
    def text(self) -> str:
        """The requirement in words, without the structure: "D2%[Gy] < 45"."""
        return f"{self.metric} {self.operator} {self.limit:g}"

    @property
    def dose_metric(self) -> DoseMetric:
        """The metric, ready to be read of a DVH."""
        return parse_metric(self.metric, prescription_gy=self.prescription_gy)

    def violation(self, value: float) -> bool | None:
        """Whether one value breaks the limit; None if it is undefined."""
        return bool(self.violated_by(np.array([value]))[0]) if np.isfinite(value) else None

    def violated_by(self, values: Float[np.ndarray, "m"], *, acceptable: bool = False) -> Bool[np.ndarray, "m"]:
        """Whether each value breaks the limit, or that of the acceptable variation. An undefined value breaks none."""
        limit = self.acceptable if acceptable and self.acceptable is not None else self.limit
        return np.asarray(violates(values, self.operator, limit) & np.isfinite(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Lkb:
    """Parameters of the Lyman-Kutcher-Burman model of a complication.

    Attributes:
        structure: name after TG-263.
        endpoint: the complication.
        td50_gy: gEUD at which half of the patients have it.
        m: slope; smaller is steeper.
        n: volume effect, above 0; 1 is the mean dose, near 0 the maximum.
        source: who says so.
        checked: whether the numbers were compared with a publication by the authors of the file.
    """

    structure: str
    endpoint: str
    td50_gy: float
    m: float
    n: float
    source: str
    checked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintSet:
    """What a constraint file holds.

    Attributes:
        name: of the set, as pages show it.
        note: what a reader has to know of it.
        constraints: in the order of the file.
        ntcp: models of complications.
        aliases: further names of structures and what they stand for.
    """

    name: str
    note: str = ""
    constraints: tuple[Constraint, ...] = ()
    ntcp: tuple[Lkb, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def standard_name(self, structure: str) -> str:
        """Name after TG-263 of a structure, by the aliases of the file first; its own name if it is not known."""
        return standard_name(structure, aliases=self.aliases) or structure

    def of(self, structure: str) -> tuple[Constraint, ...]:
        """Constraints of a structure, whatever its name is spelt like."""
        return tuple(one for one in self.constraints if one.structure == self.standard_name(structure))

    def ntcp_of(self, structure: str) -> tuple[Lkb, ...]:
        """Models of complications of a structure."""
        return tuple(one for one in self.ntcp if one.structure == self.standard_name(structure))

    def without_structure(self, structures: Iterable[str]) -> tuple[str, ...]:
        """Structures of the file that a case does not have."""
        there = {self.standard_name(name) for name in structures}
        return tuple(dict.fromkeys(one.structure for one in self.constraints if one.structure not in there))
