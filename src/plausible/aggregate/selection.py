"""Which aggregations are written: pairs of a region and a reduction, and their settings.

An aggregation is always part of a result's name, so it is named in full: "whole_image:morans_i". A region alone stands
for itself with the everyday reductions, a reduction alone for itself in the region where it is published, and "all" for
every pair that the settings allow.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from plausible.aggregate.components import check_connectivity
from plausible.aggregate.patches import PATCH_MM
from plausible.aggregate.reductions import REDUCTIONS
from plausible.aggregate.regions import BOUNDARY_MM, REGIONS, lesion
from plausible.aggregate.weighted import RegionMeans

EVERYDAY_REGIONS = ("whole_image", "predicted_structure", "ever_foreground", "boundary")
EVERYDAY_REDUCTIONS = ("mean", "sum", "max", "quantile_95", "top_share_5")
DEFAULT_AGGREGATIONS = (
    *EVERYDAY_REGIONS,
    "foreground_ratio_quantile",
    "balanced_class_mean",
    "size_weighted_class_mean",
)
"""What is written of every case."""

ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregationSettings:
    """Settings of regions and reductions.

    Attributes:
        boundary_mm: how far the boundary region reaches on either side of the surface.
        patch_mm: side of the box of the patch reductions.
        thresholds: value from which a voxel is uncertain, by map; needed for `mean_above_threshold`.
        connectivity: neighbours that make one lesion: 6, 18 or 26; needed for `lesion`.
    """

    boundary_mm: float = BOUNDARY_MM
    patch_mm: float = PATCH_MM
    thresholds: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    connectivity: int | None = None


def chosen_reductions(names: Iterable[str], settings: AggregationSettings) -> dict[str, tuple[str, ...]]:
    """Return the reductions of each region, in the order of the catalogues.

    Args:
        names: "REGION:REDUCTION", one of both, or "all".
        settings: what is told of thresholds and lesions.

    Raises:
        ValueError: a name that is no region or reduction, or one that needs a setting that was not told.
    """
    pairs = {pair for name in names for pair in _pairs(name, settings)}
    for region, reduction in pairs:
        if region == lesion.__name__:
            check_connectivity(settings.connectivity)
        if reduction == "mean_above_threshold" and not settings.thresholds:
            raise ValueError("mean_above_threshold needs a threshold of the map, such as predictive_entropy=0.3")
    return {
        region: found
        for region in REGIONS.names
        if (found := tuple(name for name in REDUCTIONS.names if (region, name) in pairs))
    }


def _pairs(name: str, settings: AggregationSettings) -> Sequence[tuple[str, str]]:
    if name == ALL:
        regions = [one for one in REGIONS.names if one != lesion.__name__ or settings.connectivity is not None]
        reductions = [one for one in REDUCTIONS.names if one != "mean_above_threshold" or settings.thresholds]
        pooled = [one.name for one in REDUCTIONS if one.reads is RegionMeans]
        together = ("whole_image", "predicted_foreground")
        return [(one, other) for one in regions for other in reductions if other not in pooled or one not in together]
    region, colon, reduction = name.partition(":")
    if colon:
        return [(REGIONS[region].name, REDUCTIONS[reduction].name)]
    if name in REGIONS:
        return [(name, one) for one in EVERYDAY_REDUCTIONS]
    if name in REDUCTIONS:
        return [("predicted_structure" if REDUCTIONS[name].reads is RegionMeans else "whole_image", name)]
    raise ValueError(
        f"no aggregation {name!r}; there are REGION:REDUCTION, one of both, or all, with the regions "
        f"{', '.join(REGIONS.names)} and the reductions {', '.join(REDUCTIONS.names)}"
    )
