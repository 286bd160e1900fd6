"""All that several raters tell of one case at once: distances of two sets, correlation of maps, volumes.

Rows say in `against` how many raters there are, "3_raters", for the correlation also which map of their disagreement,
"3_raters:rater_entropy". `reduction` says how many members, "5_members", or which map of theirs. A row without a
structure is about the subject: distances and matching average the structures of each pair, the correlation takes the
classes together (overlapping regions: all their voxels), volumes the mean over defined structures.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from plausible.aggregate import MemberVolumes
from plausible.core import Collected, Members, Score, walk
from plausible.evaluate.ambiguity import AMBIGUITY_SCORES, SetOverlap
from plausible.evaluate.ambiguity_map import (
    Correlation,
    PresenceStatistics,
    normalized_cross_correlation,
    rater_entropy,
    structures_of,
)
from plausible.evaluate.decisions import Decisions
from plausible.evaluate.volume_crps import VOLUME_FORECAST_SCORES, VolumeForecast
from plausible.measure import VOXEL_MEASURES, VoxelStatistics

MAPS = ("expected_entropy", "predictive_entropy", "mutual_information")
"""Maps of the members that are compared with the raters' disagreement."""


def ambiguity_rows(
    members: Members,
    raters: Members,
    *,
    subject: str = "",
    slab_voxels: int | None = None,
    n_threads: int | None = None,
) -> list[Score]:
    """Compare the members with several raters as two sets, in one walk over each.

    Args:
        members: the predictions; one is in memory at a time.
        raters: the references, on the same grid and with the same classes.
        subject: name for the rows; the members' own if empty.
        slab_voxels: work in slabs of about this many voxels; None takes whole members.
        n_threads: slabs that are worked on at a time.

    Returns:
        Rows per structure, then of the subject (empty structure), measure by measure. Empty for fewer than two raters.

    Raises:
        InvalidInput: E201 or E202, raters on another grid.
        ValueError: no members, or raters with other structures.
    """
    if len(raters) < 2:
        return []
    raters.geometry.check_matches(members.geometry, this="the raters", that="the members", subject=members.subject)
    found = _walked(members, raters, slab_voxels, n_threads)
    common = {"subject": subject or members.subject, "against": f"{len(raters)}_raters"}
    sets, maps = {**common, "reduction": f"{len(members)}_members"}, dict(common)
    return [*_set_rows(found.overlap, sets), *_volume_rows(found.volumes, sets), *_map_rows(found, maps)]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    overlap: SetOverlap
    volumes: VolumeForecast
    correlations: dict[tuple[str, str], Correlation] = field(default_factory=dict)  # by map and structure


def _walked(members: Members, raters: Members, slab_voxels: int | None, n_threads: int | None) -> _Found:
    structures = members.classes.structures
    alone = members.classes.exclusive and len(structures) > 1
    kinds = (VoxelStatistics, Decisions)
    aligned = replace(raters, slab_axis=members.slab_axis)
    walks = (
        walk(each, *kinds, *more, slab_voxels=slab_voxels, n_threads=n_threads)
        for each, more in ((members, (PresenceStatistics,) if alone else ()), (aligned, ()))
    )
    overlaps: list[SetOverlap] = []
    volumes: list[tuple[MemberVolumes, MemberVolumes]] = []
    correlations: dict[tuple[str, str], Correlation] = {}
    for (_, ours), (_, theirs) in zip(*walks, strict=True):
        overlaps.append(SetOverlap.of(theirs[Decisions].overlap, ours[Decisions].overlap))
        volumes.append((ours[Decisions].volumes, theirs[Decisions].volumes))
        for place, moments in _correlated(ours, theirs, structures, alone=alone):
            correlations[place] = correlations[place].merge(moments) if place in correlations else moments
    own, drawn = (first.join(*rest, axis=members.slab_axis) for first, *rest in zip(*volumes, strict=True))
    forecast = VolumeForecast.of(own, drawn)
    return _Found(overlaps[0].join(*overlaps[1:]), forecast, correlations)


def _correlated(
    ours: Collected, theirs: Collected, structures: tuple[str, ...], *, alone: bool
) -> Iterator[tuple[tuple[str, str], Correlation]]:
    """Moments of each map in one slab, for each structure and ("") for all together."""
    together = ours[VoxelStatistics], theirs[VoxelStatistics]
    each = (ours[PresenceStatistics].statistics, structures_of(together[1])) if alone else together
    disagreement = rater_entropy(together[1])
    disagreements = rater_entropy(each[1]) if alone else disagreement
    for name in MAPS:
        measured = VOXEL_MEASURES[name].function(together[0])
        yield (name, ""), Correlation.of(measured, disagreement)
        if alone:
            measured = VOXEL_MEASURES[name].function(each[0])
        for s, structure in enumerate(structures):
            yield (name, structure), Correlation.of(measured[s : s + 1], disagreements[s : s + 1])


def _set_rows(overlap: SetOverlap, common: dict[str, str]) -> Iterator[Score]:
    parts = {**{structure: overlap.only(structure) for structure in overlap.structures}, "": overlap}
    for entry in AMBIGUITY_SCORES:
        for structure, part in parts.items():
            yield Score(
                structure=structure,
                measure=entry.name,
                value=entry.function(part),
                unit=entry.unit,
                higher_is=entry.higher_is,
                n=part.n_pairs,
                **common,
            )


def _volume_rows(forecast: VolumeForecast, common: dict[str, str]) -> Iterator[Score]:
    n = len(forecast.members_ml) + len(forecast.raters_ml)
    for entry in VOLUME_FORECAST_SCORES:
        values = entry.function(forecast)
        defined = values[~np.isnan(values)]
        rows = [(structure, float(value), n) for structure, value in zip(forecast.structures, values, strict=True)]
        rows.append(("", float(defined.mean()) if defined.size else np.nan, defined.size))
        for structure, value, number in rows:
            yield Score(
                structure=structure,
                measure=entry.name,
                value=value,
                unit=entry.unit,
                higher_is=entry.higher_is,
                n=number,
                **common,
            )


def _map_rows(found: _Found, common: dict[str, str]) -> Iterator[Score]:
    for name in MAPS:
        for structure in (*found.overlap.structures, ""):
            moments = found.correlations[name, structure]
            yield Score(
                subject=common["subject"],
                structure=structure,
                measure=normalized_cross_correlation.__name__,
                region="whole_image",
                reduction=name,
                against=f"{common['against']}:{rater_entropy.__name__}",
                value=normalized_cross_correlation(moments),
                unit="1",
                higher_is="better",
                n=moments.n,
            )
