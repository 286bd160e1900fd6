"""Contours of a structure as a planning system draws them: closed loops in parallel planes, in world coordinates."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

LoopKind = Literal["CLOSED_PLANAR", "CLOSEDPLANAR_XOR"]


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """One closed outline in one plane; the last point is joined to the first.

    Attributes:
        points_mm: world coordinates of NIfTI (right, anterior, superior positive), in mm.
        kind: how loops of one plane combine. CLOSEDPLANAR_XOR: by exclusive or. CLOSED_PLANAR: a loop wholly inside
            another is a hole, others are united.
    """

    points_mm: Float64[np.ndarray, "n 3"]
    kind: LoopKind = "CLOSED_PLANAR"


@dataclass(frozen=True, slots=True, eq=False)
class Contours:
    """All loops of one structure.

    Attributes:
        name: as it is written in the file.
        number: tells structures of one file apart, whatever their names (ROINumber).
        loops: in no particular order; planes are found from their positions.
        colour: red, green, blue from 0 to 255, where the file has one.
        interpreted_type: what the file says the structure is, e.g. "ORGAN", "PTV", "EXTERNAL"; empty if nothing.
    """

    name: str
    number: int
    loops: tuple[Loop, ...]
    colour: tuple[int, int, int] | None = None
    interpreted_type: str = ""
