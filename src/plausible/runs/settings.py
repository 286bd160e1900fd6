"""Settings of the runs: frozen records, at once flags of the command line, defaults in Python and provenance.

The families that the settings are for are imported when a setting is used, so that `--help` answers at once.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plausible.aggregate import AggregationSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class AssessSettings:
    """How cases are assessed.

    Attributes:
        maps: further voxel map to write, e.g. variance; give it several times. The mean probability, predictive
            entropy, expected entropy and mutual information are always written.
        boundary_mm: half the width of the shell around the predicted surface in which maps are aggregated.
        interval_level: share of the members that a volume interval holds.
        aggregations: further way to make numbers of the maps, as REGION:REDUCTION (whole_image:morans_i), one of both
            names, or all; give it several times.
        thresholds: value of a map from which a voxel counts as uncertain, as MAP=VALUE (predictive_entropy=0.3), for
            the reduction mean_above_threshold; give it several times.
        patch_mm: side of the box of the reductions largest_patch_mean and largest_patch_sum.
        lesion_connectivity: count lesions, and how many members find each, as connected components by faces (6),
            edges too (18) or corners too (26). Without it nothing is said of lesions.
        agreement_tolerance_mm: compare the surfaces of the members in pairs, by normalized surface Dice with this
            tolerance. Without it only their overlap is compared.
        review_below: mean pairwise Dice below which a structure is flagged for review. Without it (and without a
            calibration) no verdict is given.
    """

    maps: tuple[str, ...] = ()
    boundary_mm: float = 4.0
    interval_level: float = 0.9
    aggregations: tuple[str, ...] = ()
    thresholds: tuple[str, ...] = ()
    patch_mm: float = 10.0
    lesion_connectivity: int | None = None
    agreement_tolerance_mm: float | None = None
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
        self._check_aggregations()

    def _check_aggregations(self) -> None:
        if not self.patch_mm > 0:
            raise ValueError(f"patch_mm must be above 0, got {self.patch_mm}")
        if self.agreement_tolerance_mm is not None and not self.agreement_tolerance_mm >= 0:
            raise ValueError(f"agreement_tolerance_mm must be at least 0, got {self.agreement_tolerance_mm}")
        if self.aggregations or self.thresholds or self.lesion_connectivity is not None:
            from plausible.aggregate import check_connectivity, chosen_reductions

            if self.lesion_connectivity is not None:
                check_connectivity(self.lesion_connectivity)
            chosen_reductions(self.aggregated, self.aggregation)

    @property
    def measures(self) -> tuple[str, ...]:
        """Every map that is written."""
        from plausible.measure import DEFAULT_MEASURES

        return tuple(dict.fromkeys((*DEFAULT_MEASURES, *self.maps)))

    @property
    def aggregated(self) -> tuple[str, ...]:
        """Every way in which numbers are made of the maps."""
        from plausible.aggregate import DEFAULT_AGGREGATIONS

        above = ("mean_above_threshold",) if self.thresholds else ()
        return (*DEFAULT_AGGREGATIONS, *above, *self.aggregations)

    @property
    def aggregation(self) -> "AggregationSettings":
        """Settings of the aggregations.

        Raises:
            ValueError: a threshold that is not MAP=VALUE, or of a map that there is not.
        """
        from plausible.aggregate import AggregationSettings

        return AggregationSettings(
            boundary_mm=self.boundary_mm,
            patch_mm=self.patch_mm,
            thresholds=dict(map(_threshold, self.thresholds)),
            connectivity=self.lesion_connectivity,
        )


def _threshold(text: str) -> tuple[str, float]:
    """Map and value of one threshold."""
    from plausible.measure import VOXEL_MEASURES

    name, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not equals or not number >= 0:
        raise ValueError(f"thresholds are MAP=VALUE with a value of at least 0, such as mutual_information=0.1: {text}")
    return VOXEL_MEASURES[name].name, number


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """How cases are scored against references.

    Attributes:
        tolerance_mm: tolerance of the normalized surface Dice, what raters themselves differ by.
        n_bins: bins of the calibration errors.
        box_margin_mm: margin around the reference's structures of the region "reference_box".
        space_sigma_mm: also write calibration near contours: BA-ECE in bands, and SPACE with a Gaussian of this width.
        reference: what is right: each rater in turn, one at random, consensus_majority, consensus_majority_ties_inside,
            consensus_staple, or the name of a rater; give it several times, the first one is shown first.
        reference_seed: of the rater that "random" draws for each case.
        lesion_connectivity: count lesions as connected components by faces (6), edges too (18) or corners too (26), and
            which of them are found. Without it nothing is said of lesions.
        lesion_iou: IoU from which a predicted lesion matches one of the reference, one to one. Without it whatever
            shares a voxel matches.
        protocol: also score by the rules of a challenge, against all raters: curvas_2024 or pdacvi_2025; give it
            several times.
        tumour: structure that pdacvi_2025 scores.
        vessels: structure that pdacvi_2025 measures the tumour's contact with; give it several times.
    """

    tolerance_mm: float = 2.0
    n_bins: int = 15
    box_margin_mm: float = 10.0
    space_sigma_mm: float | None = None
    reference: tuple[str, ...] = ("each",)
    reference_seed: int = 0
    lesion_connectivity: int | None = None
    lesion_iou: float | None = None
    protocol: tuple[str, ...] = ()
    tumour: str | None = None
    vessels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._check_numbers()
        if not self.reference:
            raise ValueError("reference: name at least one, such as each or consensus_staple")
        if self.lesion_iou is not None and self.lesion_connectivity is None:
            raise ValueError("lesion_iou matches lesions: say what makes one with --lesion-connectivity 6, 18 or 26")
        if self.lesion_connectivity is not None:
            from plausible.aggregate import check_connectivity
            from plausible.evaluate import check_iou

            check_connectivity(self.lesion_connectivity)
            check_iou(self.lesion_iou)
        if self.protocol:
            from plausible.evaluate import PROTOCOLS

            for name in self.protocol:
                PROTOCOLS[name]

    def _check_numbers(self) -> None:
        if self.space_sigma_mm is not None and self.space_sigma_mm < 0:
            raise ValueError(f"space_sigma_mm must be at least 0, got {self.space_sigma_mm}")
        if self.tolerance_mm < 0 or self.box_margin_mm < 0 or self.n_bins < 1:
            raise ValueError(
                f"tolerance_mm and box_margin_mm must be at least 0 and n_bins at least 1, got {self.tolerance_mm}, "
                f"{self.box_margin_mm} and {self.n_bins}"
            )
