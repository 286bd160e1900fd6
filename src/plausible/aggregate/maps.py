"""Every map, over every region, by every reduction: rows that say which number this is."""

from collections.abc import Iterator, Sequence

from plausible.aggregate.reductions import REDUCTIONS, RegionValues
from plausible.aggregate.regions import BOUNDARY_MM, REGIONS, CaseMasks, Region, regions_of
from plausible.core import Direction, ScalarMap, Score
from plausible.measure import VOXEL_MEASURES


def aggregate_maps(
    maps: Sequence[ScalarMap],
    masks: CaseMasks,
    *,
    subject: str,
    regions: Sequence[str] | None = None,
    reductions: Sequence[str] | None = None,
    boundary_mm: float = BOUNDARY_MM,
) -> list[Score]:
    """Reduce maps of uncertainty to numbers, region by region.

    A map with one frame is read for every structure, a map with a frame per structure in that structure's frame; in
    the whole image such a map has one row per frame. Maps that tell no uncertainty (mean probability, vote share) are
    left out.

    Args:
        maps: maps of the case.
        masks: its structures.
        subject: name for the rows.
        regions: as `REGIONS` calls them; all of them by default.
        reductions: as `REDUCTIONS` calls them; all of them by default.
        boundary_mm: how far the boundary region reaches on either side of the surface.

    Returns:
        Rows with n = voxels of the region; NaN where it is empty.

    Raises:
        InvalidInput: E201 or E202, a map on another grid than the masks.
        ValueError: a name that is no region or no reduction.
    """
    uncertain = [each for each in maps if _direction(each) is not None]
    for each in uncertain:
        each.geometry.check_matches(masks.geometry, this=f"the map {each.name}", that="the masks", subject=subject)
    return [
        row
        for region in regions_of(masks, REGIONS.names if regions is None else regions, boundary_mm=boundary_mm)
        for each in uncertain
        for row in _rows(each, region, REDUCTIONS.names if reductions is None else reductions, subject)
    ]


def _direction(scalar_map: ScalarMap) -> Direction | None:
    """What a higher value means; None for a measure that tells no uncertainty."""
    if scalar_map.name not in VOXEL_MEASURES:
        return "neither"
    known = VOXEL_MEASURES[scalar_map.name].higher_is
    return None if known == "neither" else known


def _rows(scalar_map: ScalarMap, region: Region, reductions: Sequence[str], subject: str) -> Iterator[Score]:
    frames = scalar_map.frames if not region.structure else (region.structure,)
    for structure in frames:
        values = region.read(scalar_map.frame(structure))
        read = RegionValues(values, scalar_map.geometry.voxel_volume_ml)
        for name in reductions:
            entry = REDUCTIONS[name]
            yield Score(
                subject=subject,
                structure=structure,
                measure=scalar_map.name,
                region=region.name,
                reduction=name,
                value=entry.function(read),
                unit=_times(scalar_map.unit, entry.unit),
                higher_is=_direction(scalar_map) or "neither",
                n=len(values),
            )


def _times(unit: str, other: str) -> str:
    """Product of two units, of which "1" says none."""
    return "·".join(part for part in (unit, other) if part != "1") or "1"
