"""All numbers of one case that need no reference: uncertainty by region, volumes, and agreement of the members."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from plausible.aggregate.agreement import AGREEMENT_SCORES, PairwiseOverlap
from plausible.aggregate.consensus import CONSENSUS_SCORES, ConsensusOverlap
from plausible.aggregate.lesions import DETECTION_SCORES, LESION_SCORES, LesionMatches
from plausible.aggregate.maps import aggregate_maps
from plausible.aggregate.regions import CaseMasks, lesion_name
from plausible.aggregate.selection import DEFAULT_AGGREGATIONS, AggregationSettings
from plausible.aggregate.surfaces import SURFACE_AGREEMENT_SCORES, PairwiseSurfaceDice
from plausible.aggregate.volumes import VOLUME_SCORES, MemberVolumes, volume_interval
from plausible.core import Collected, Entry, ScalarMap, Score

INTERVAL_LEVEL = 0.9


def case_rows(
    collected: Collected,
    maps: Sequence[ScalarMap],
    masks: CaseMasks,
    *,
    subject: str,
    aggregations: Sequence[str] = DEFAULT_AGGREGATIONS,
    settings: AggregationSettings | None = None,
    interval_level: float = INTERVAL_LEVEL,
) -> list[Score]:
    """Return every row of a case: maps by region and reduction, volumes, agreement.

    Args:
        collected: `MemberVolumes` and `PairwiseOverlap` of the members.
        maps: maps of the case, as `aggregate_maps` takes them.
        masks: its structures.
        subject: name for the rows.
        aggregations: how maps become numbers: "REGION:REDUCTION", one of both, or "all".
        settings: widths, thresholds and connectivity.
        interval_level: share of the members in the volume interval.

    Returns:
        Rows; n counts voxels (maps), structures (means over them), members (volumes), pairs of members of which one
        has the structure (agreement of a structure) or structures (agreement of the subject).
    """
    rows = aggregate_maps(maps, masks, subject=subject, aggregations=aggregations, settings=settings)
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
    rows: list[Score] = []
    for entry in AGREEMENT_SCORES:
        rows += _with_subject(entry, overlap.structures, entry.function(overlap), overlap.n_pairs, subject)
    return rows


def consensus_rows(overlap: ConsensusOverlap, *, subject: str) -> list[Score]:
    """How far the members are from their consensus, per structure and, as the mean over them, for the subject."""
    rows: list[Score] = []
    n = [len(overlap.members)] * len(overlap.structures)
    for entry in CONSENSUS_SCORES:
        rows += _with_subject(entry, overlap.structures, entry.function(overlap), n, subject)
    return rows


def surface_agreement_rows(surfaces: PairwiseSurfaceDice, *, subject: str) -> list[Score]:
    """Agreement of the members' surfaces, with the tolerance as region, as a score against a rater has it."""
    rows: list[Score] = []
    region = f"tolerance_{surfaces.tolerance_mm:g}_mm"
    for entry in SURFACE_AGREEMENT_SCORES:
        rows += _with_subject(
            entry, surfaces.structures, entry.function(surfaces), surfaces.n_pairs, subject, region=region
        )
    return rows


def lesion_rows(matches: Sequence[LesionMatches], *, subject: str) -> list[Score]:
    """Every lesion of each structure, and how many there are; n counts members."""
    rows = []
    for found in matches:
        n, structure = len(found.members), found.structure
        for entry in LESION_SCORES:
            for number, value in enumerate(entry.function(found), start=1):
                region = lesion_name(number, found.connectivity)
                rows.append(_row(entry, value, subject=subject, structure=structure, n=n, region=region))
        region = f"connectivity_{found.connectivity}"
        for counted in DETECTION_SCORES:
            value = counted.function(found)
            rows.append(_row(counted, value, subject=subject, structure=structure, n=n, region=region))
    return rows


def _with_subject(
    entry: Entry,
    structures: Sequence[str],
    values: Float[np.ndarray, " s"],
    counts: Sequence[int] | np.ndarray,
    subject: str,
    *,
    region: str = "",
) -> Iterator[Score]:
    """Yield a row per structure, and one of the subject: the mean over its defined structures."""
    for structure, value, n in zip(structures, values, counts, strict=True):
        yield _row(entry, value, subject=subject, structure=structure, n=int(n), region=region)
    defined = values[~np.isnan(values)]
    whole = defined.mean() if defined.size else math.nan
    yield _row(entry, whole, subject=subject, structure="", n=defined.size, region=region)


def _row(entry: Entry, value: float, *, subject: str, structure: str, n: int, region: str = "") -> Score:
    return Score(
        subject=subject,
        structure=structure,
        measure=entry.name,
        region=region,
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
