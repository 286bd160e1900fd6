"""Assess one case: one walk over its members, then maps, rows and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from plausible.aggregate import (
    CaseMasks,
    ConsensusOverlap,
    MemberVolumes,
    PairwiseOverlap,
    SliceProfiles,
    case_rows,
    consensus_rows,
    lesion_matches,
    lesion_rows,
    pairwise_surface_dice,
    slice_profiles,
    surface_agreement_rows,
)
from plausible.core import Classes, Collected, Geometry, LabelMap, Members, ScalarMap, Score, join, walk
from plausible.evaluate import normalized_surface_dice, surface_distances
from plausible.measure import MapBuilder, VoxelStatistics, default_slab_voxels, mean_probability
from plausible.runs.settings import AssessSettings

VOTES = "vote_share"
PROBABILITY = "mean_probability"


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """What is known of a case after the walk over its members.

    Attributes:
        maps: those that were asked for, the mean probability first.
        segmentation: label rule on the mean probability.
        masks: predicted and ever-foreground masks.
        collected: volumes of the members and overlap between them.
        profiles: uncertain area of each structure in every slice.
        rows: every number.
    """

    members: Members
    maps: tuple[ScalarMap, ...]
    segmentation: LabelMap
    masks: CaseMasks
    collected: Collected
    profiles: tuple[SliceProfiles, ...]
    rows: tuple[Score, ...]

    @property
    def volumes(self) -> MemberVolumes:
        """Volumes of the members."""
        return self.collected[MemberVolumes]

    @property
    def overlap(self) -> PairwiseOverlap:
        """Overlap between the members."""
        return self.collected[PairwiseOverlap]


def assess_members(members: Members, settings: AssessSettings) -> Assessment:
    """Walk once over the members and measure, aggregate and profile.

    Raises:
        InvalidInput: what the readers of the members find.
        ValueError: there are no members.
    """
    names = tuple(dict.fromkeys((*settings.measures, VOTES)))
    builder = MapBuilder.start(members, names)
    small: Collected | None = None
    predicted = np.empty((len(members.classes.structures), *members.geometry.shape), dtype=bool)
    wanted = (*builder.reads, MemberVolumes, PairwiseOverlap)
    for bounds, collected in walk(members, *wanted, slab_voxels=default_slab_voxels(members)):
        builder.put(bounds, collected)
        here = (slice(None),) * (members.slab_axis + 1) + (slice(*bounds),)
        predicted[here] = members.classes.masks(mean_probability(collected[VoxelStatistics]))
        consensus = ConsensusOverlap.of(predicted[here], collected[PairwiseOverlap])
        kept: dict[type, Any] = {kind: collected[kind] for kind in (MemberVolumes, PairwiseOverlap)}
        part = Collected(kept | {ConsensusOverlap: consensus})
        small = part if small is None else join([small, part], axis=members.slab_axis)
    assert small is not None
    maps = builder.finish()
    mean = maps[PROBABILITY]
    written = tuple(maps[name] for name in settings.measures)
    masks = CaseMasks(predicted, maps[VOTES].values > 0, members.geometry, members.classes.structures)
    rows = (*_map_rows(small, written, masks, members, settings), *_further_rows(small, masks, members, settings))
    profiles = tuple(slice_profiles(mean, structures=members.classes.structures))
    return Assessment(members, written, _segmentation(mean, members.classes), masks, small, profiles, rows)


def _map_rows(
    small: Collected, written: Sequence[ScalarMap], masks: CaseMasks, members: Members, settings: AssessSettings
) -> list[Score]:
    """Rows of the maps, the volumes and the overlap between members."""
    return case_rows(
        small,
        [one for one in written if one.name not in (PROBABILITY, VOTES)],
        masks,
        subject=members.subject,
        aggregations=settings.aggregated,
        settings=settings.aggregation,
        interval_level=settings.interval_level,
    )


def _further_rows(small: Collected, masks: CaseMasks, members: Members, settings: AssessSettings) -> list[Score]:
    """Rows of the members against their consensus; of their lesions and surfaces, if asked for: each a further walk."""
    rows = consensus_rows(small[ConsensusOverlap], subject=members.subject)
    if settings.lesion_connectivity is not None:
        found = lesion_matches(members, masks, connectivity=settings.lesion_connectivity)
        rows += lesion_rows(found, subject=members.subject)
    if settings.agreement_tolerance_mm is not None:
        tolerance_mm, spacing_mm = settings.agreement_tolerance_mm, members.geometry.spacing_mm

        def compare(one: np.ndarray, other: np.ndarray) -> float:
            distances = surface_distances(one, other, spacing_mm=spacing_mm)
            return normalized_surface_dice(distances, tolerance_mm=tolerance_mm)

        surfaces = pairwise_surface_dice(members, tolerance_mm=tolerance_mm, compare=compare)
        rows += surface_agreement_rows(surfaces, subject=members.subject)
    return rows


def _segmentation(mean: ScalarMap, classes: Classes) -> LabelMap:
    """Label map of the mean; regions without an order of their own are written one over the other as they come."""
    ordered = classes
    if not classes.exclusive and not classes.order:
        ordered = Classes(classes.names, False, classes.labels, tuple(range(1, len(classes.names) + 1)))
    return LabelMap(ordered.decode(mean.values), mean.geometry, ordered)


def volume_ml(mask: Bool[np.ndarray, "i j k"], geometry: Geometry) -> float:
    """Volume of a mask in ml."""
    return int(np.count_nonzero(mask)) * geometry.voxel_volume_ml


def warnings_of(members: Members, empty: Sequence[str]) -> list[str]:
    """What a reader of the page has to know of the members."""
    found = [f"{p.title}: {p.found}" for source in members.sources for p in getattr(source, "problems", ())]
    if len(members) == 1:
        found.append("Only one member: nothing can disagree, so nothing is known of its uncertainty but its own.")
    elif len(members) < 10:
        found.append(f"Only {len(members)} members: their spread is a rough measure.")
    if empty:
        found.append(f"No member found {', '.join(empty)}.")
    return found
