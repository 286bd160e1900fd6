"""What lies on a grid: label maps and maps of a quantity."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Integer

from plausible.core.classes import Classes
from plausible.core.geometry import Geometry


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """One segmentation as label values on a grid."""

    values: Integer[np.ndarray, "i j k"]
    geometry: Geometry
    classes: Classes

    def mask(self, structure: str) -> Bool[np.ndarray, "i j k"]:
        """Voxels of one structure."""
        return np.isin(self.values, self.classes.labels[self.classes.channel(structure)])


@dataclass(frozen=True, slots=True, eq=False)
class ScalarMap:
    """A quantity at every voxel, in one frame, or in one frame per class or structure.

    Attributes:
        name: the quantity, as the catalogue calls it.
        values: frames, then voxels, float32.
        frames: what each frame is; one empty name for a single frame.
        unit: "nat", "1", "mm", "Gy", ...
        valid_range: smallest and largest possible value.
        definition: formula in one line.
    """

    name: str
    values: Float32[np.ndarray, "f i j k"]
    geometry: Geometry
    unit: str
    valid_range: tuple[float, float]
    definition: str
    frames: tuple[str, ...] = ("",)

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.frames), *self.geometry.shape):
            raise ValueError(
                f"{self.name}: values {self.values.shape} do not fit frames and grid {self.geometry.shape}"
            )

    def frame(self, structure: str) -> Float32[np.ndarray, "i j k"]:
        """Map of one structure; the only frame if the map is one for all structures."""
        return self.values[0] if self.frames == ("",) else self.values[self.frames.index(structure)]
