"""What `plausible diversity` is told; a file of its own, so that the help loads nothing that measures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversitySettings:
    """How members are compared.

    Attributes:
        voxels: set of voxels that members are compared on: contour_band, ever_foreground or whole_image.
        band_mm: how far contour_band reaches beyond the contours, on both sides.
        tolerance_mm: tolerance of the surface Dice of two members; left out without.
        maps: write the variance by source at every voxel.
        resamples: draws of each interval.
    """

    voxels: str = "contour_band"
    band_mm: float = 4.0
    tolerance_mm: float | None = None
    maps: bool = False
    resamples: int = 2000

    def __post_init__(self) -> None:
        from plausible.diversity.voxel_sets import VOXEL_SETS

        VOXEL_SETS[self.voxels]
        tolerance = 0.0 if self.tolerance_mm is None else self.tolerance_mm
        if not (self.band_mm > 0 and tolerance >= 0 and self.resamples >= 100):
            raise ValueError(
                "band_mm must be above 0, tolerance_mm at least 0 and resamples at least 100, got "
                f"{self.band_mm}, {self.tolerance_mm} and {self.resamples}"
            )
