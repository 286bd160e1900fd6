"""Assess one case: one walk over its members, then maps, rows and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from plausible.aggregate import CaseMasks, MemberVolumes, PairwiseOverlap, SliceProfiles, case_rows, slice_profiles
from plausible.core import Classes, Collected, Geometry, LabelMap, Members, ScalarMap, Score, join, walk
from plausible.measure import MapBuilder, default_slab_voxels
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
    wanted = (*builder.reads, MemberVolumes, PairwiseOverlap)
    for bounds, collected in walk(members, *wanted, slab_voxels=default_slab_voxels(members)):
        builder.put(bounds, collected)
        kept = Collected({kind: collected[kind] for kind in (MemberVolumes, PairwiseOverlap)})
        small = kept if small is None else join([small, kept], axis=members.slab_axis)
    assert small is not None
    maps = builder.finish()
    mean = maps[PROBABILITY]
    masks = _masks(mean, maps[VOTES], members)
    written = tuple(maps[name] for name in settings.measures)
    uncertain = [one for one in written if one.name not in (PROBABILITY, VOTES)]
    rows = case_rows(
        small,
        uncertain,
        masks,
        subject=members.subject,
        boundary_mm=settings.boundary_mm,
        interval_level=settings.interval_level,
    )
    profiles = tuple(slice_profiles(mean, structures=members.classes.structures))
    return Assessment(members, written, _segmentation(mean, members.classes), masks, small, profiles, tuple(rows))


def _masks(mean: ScalarMap, votes: ScalarMap, members: Members) -> CaseMasks:
    predicted: Bool[np.ndarray, "s i j k"] = members.classes.masks(mean.values)
    return CaseMasks(predicted, votes.values > 0, members.geometry, members.classes.structures)


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
