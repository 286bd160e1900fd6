"""Rows: one number each, with everything needed to read it without the code."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Direction = Literal["better", "worse", "neither"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One number of one subject (and structure).

    Attributes:
        subject: the case; empty for a whole study.
        structure: organ or target; empty if the row is about all of them.
        measure: what was measured, as its catalogue calls it.
        region: over which voxels; empty where that has no meaning.
        reduction: how voxels became one number; empty where that has no meaning.
        value: NaN if undefined (for instance empty on both sides).
        unit: "1", "nat", "mm", "ml", "Gy".
        higher_is: what a higher value means.
        n: how many things the number rests on (voxels, members, pairs or subjects: the measure says which).
        against: reference or rater the score was taken against; empty without one.
    """

    subject: str
    measure: str
    value: float
    unit: str
    higher_is: Direction
    n: int
    structure: str = ""
    region: str = ""
    reduction: str = ""
    against: str = ""

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Everything but the subject that tells two rows apart."""
        return self.structure, self.measure, self.region, self.reduction, self.against

    def to_dict(self) -> dict[str, Any]:
        """Return the row as plain JSON values; NaN becomes None."""
        row = asdict(self)
        row["value"] = None if math.isnan(self.value) else self.value
        return row


SCORE_COLUMNS: tuple[str, ...] = tuple(f.name for f in fields(Score))


def select(rows: Iterable[Score], **wanted: str) -> list[Score]:
    """Rows whose fields have these values, e.g. `select(rows, measure="dice", structure="liver")`.

    Raises:
        AttributeError: a name that is no field of a row.
    """
    return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]
