"""A dose distribution on a grid of its own."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32

from plausible.core.frame import FrameOfReference
from plausible.core.geometry import Geometry

DoseKind = Literal["physical", "effective"]


@dataclass(frozen=True, slots=True, eq=False)
class Dose:
    """Dose at the centres of the voxels of its own grid, which is rarely that of the image.

    Attributes:
        dose_gy: dose in Gy.
        geometry: the dose's own grid.
        kind: "physical", or "effective" where a biological weight is in it.
        frame: whose coordinates these are, where the file says (RTDOSE).
    """

    dose_gy: Float32[np.ndarray, "i j k"]
    geometry: Geometry
    kind: DoseKind = "physical"
    frame: FrameOfReference | None = None

    def __post_init__(self) -> None:
        if self.dose_gy.shape != self.geometry.shape:
            raise ValueError(f"dose {self.dose_gy.shape} does not fit its grid {self.geometry.shape}")
