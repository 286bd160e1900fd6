"""Settings of the runs: frozen records, at once flags of the command line, defaults in Python and provenance.

The families that the settings are for are imported when a setting is used, so that `--help` answers at once.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessSettings:
    """How cases are assessed.

    Attributes:
        maps: further voxel map to write, e.g. variance; give it several times. The mean probability, predictive
            entropy, expected entropy and mutual information are always written.
        boundary_mm: half the width of the shell around the predicted surface in which maps are aggregated.
        interval_level: share of the members that a volume interval holds.
        review_below: mean pairwise Dice below which a structure is flagged for review. Without it (and without a
            calibration) no verdict is given.
    """

    maps: tuple[str, ...] = ()
    boundary_mm: float = 4.0
    interval_level: float = 0.9
    review_below: float | None = None

    def __post_init__(self) -> None:
        if self.maps:
            from plausible.measure import VOXEL_MEASURES

            for name in self.maps:
                VOXEL_MEASURES[name]
        if not self.boundary_mm > 0:
            raise ValueError(f"boundary_mm must be above 0, got {self.boundary_mm}")
        if not 0 < self.interval_level < 1:
            raise ValueError(f"interval_level must lie between 0 and 1, got {self.interval_level}")
        if self.review_below is not None and not 0 <= self.review_below <= 1:
            raise ValueError(f"review_below is a Dice, from 0 to 1, got {self.review_below}")

    @property
    def measures(self) -> tuple[str, ...]:
        """Every map that is written."""
        from plausible.measure import DEFAULT_MEASURES

        return tuple(dict.fromkeys((*DEFAULT_MEASURES, *self.maps)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """How cases are scored against references.

    Attributes:
        tolerance_mm: tolerance of the normalized surface Dice, what raters themselves differ by.
        n_bins: bins of the calibration errors.
        box_margin_mm: margin around the reference's structures of the region "reference_box".
    """

    tolerance_mm: float = 2.0
    n_bins: int = 15
    box_margin_mm: float = 10.0

    def __post_init__(self) -> None:
        if self.tolerance_mm < 0 or self.box_margin_mm < 0 or self.n_bins < 1:
            raise ValueError(
                f"tolerance_mm and box_margin_mm must be at least 0 and n_bins at least 1, got {self.tolerance_mm}, "
                f"{self.box_margin_mm} and {self.n_bins}"
            )
