"""All numbers of one case that need no reference: uncertainty by region, volumes, and agreement of the members."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from plausible.aggregate.agreement import AGREEMENT_SCORES, PairwiseOverlap
from plausible.aggregate.maps import aggregate_maps
from plausible.aggregate.regions import BOUNDARY_MM, CaseMasks
from plausible.aggregate.volumes import VOLUME_SCORES, MemberVolumes, volume_interval
from plausible.core import Collected, Entry, ScalarMap, Score

INTERVAL_LEVEL = 0.9


def case_rows(
    collected: Collected,
    maps: Sequence[ScalarMap],
    masks: CaseMasks,
    *,
    subject: str,
    regions: Sequence[str] | None = None,
    reductions: Sequence[str] | None = None,
    boundary_mm: float = BOUNDARY_MM,
    interval_level: float = INTERVAL_LEVEL,
) -> list[Score]:
    """Return every row of a case: maps by region and reduction, volumes, agreement.

    Args:
        collected: `MemberVolumes` and `PairwiseOverlap` of the members.
        maps: maps of the case, as `aggregate_maps` takes them.
        masks: its structures.
        subject: name for the rows.
        regions: as `REGIONS` calls them; all of them by default.
        reductions: as `REDUCTIONS` calls them; all of them by default.
        boundary_mm: how far the boundary region reaches on either side of the surface.
        interval_level: share of the members in the volume interval.

    Returns:
        Rows; n counts voxels (maps), members (volumes), pairs of members of which one has the structure (agreement of
        a structure) or structures (agreement of the subject).
    """
    rows = aggregate_maps(maps, masks, subject=subject, regions=regions, reductions=reductions, boundary_mm=boundary_mm)
    rows += volume_rows(collected[MemberVolumes], subject=subject, interval_level=interval_level)
    return rows + agreement_rows(collected[PairwiseOverlap], subject=subject)


def volume_rows(volumes: MemberVolumes, *, subject: str, interval_level: float = INTERVAL_LEVEL) -> list[Score]:
    """Volume of each structure in ml: mean, spread, expected volume and the interval of the middle members."""
    rows = []
    for entry in VOLUME_SCORES:
        for structure, value in zip(volumes.structures, entry.function(volumes), strict=True):
            rows.append(_row(entry, value, subject=subject, structure=structure, n=len(volumes.members)))
    return rows + list(_interval_rows(volumes, subject, interval_level))


def agreement_rows(overlap: PairwiseOverlap, *, subject: str) -> list[Score]:
    """Agreement of the members on each structure, and on the subject: the mean over its defined structures."""
    rows = []
    for entry in AGREEMENT_SCORES:
        values = entry.function(overlap)
        for structure, value, n in zip(overlap.structures, values, overlap.n_pairs, strict=True):
            rows.append(_row(entry, value, subject=subject, structure=structure, n=int(n)))
        defined = values[~np.isnan(values)]
        whole = defined.mean() if defined.size else math.nan
        rows.append(_row(entry, whole, subject=subject, structure="", n=defined.size))
    return rows


def _row(entry: Entry, value: float, *, subject: str, structure: str, n: int) -> Score:
    return Score(
        subject=subject,
        structure=structure,
        measure=entry.name,
        value=float(value),
        unit=entry.unit,
        higher_is=entry.higher_is,
        n=n,
    )


def _interval_rows(volumes: MemberVolumes, subject: str, level: float) -> Iterator[Score]:
    ends = zip(("volume_interval_low", "volume_interval_high"), volume_interval(volumes, level=level), strict=True)
    for measure, values in ends:
        for structure, value in zip(volumes.structures, values, strict=True):
            yield Score(
                subject=subject,
                structure=structure,
                measure=measure,
                reduction=f"middle_{100 * level:g}",
                value=float(value),
                unit="ml",
                higher_is="neither",
                n=len(volumes.members),
            )
