"""Members to aggregate: random or certain ones, with a structure left out, turned and flipped."""

from dataclasses import dataclass, replace

import numpy as np

from plausible.aggregate import (
    DEFAULT_AGGREGATIONS,
    AggregationSettings,
    CaseMasks,
    MemberVolumes,
    PairwiseOverlap,
    case_rows,
)
from plausible.core import Classes, Collected, Geometry, Members, ScalarMap, Score, collect
from plausible.measure import VoteCounts, voxel_maps

MAPS = ("mean_probability", "predictive_entropy", "expected_entropy", "mutual_information", "vote_share")


def random_members(
    geometry: Geometry, classes: Classes, *, n_members: int = 4, seed: int = 0, absent: tuple[str, ...] = ()
) -> Members:
    """Unrelated members; those of a structure in `absent` are far too unlikely to win anywhere."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (n_members, len(classes.names), *geometry.shape))
    for structure in absent:
        logits[:, classes.channel(structure)] = -9
    if classes.exclusive:
        odds = np.exp(logits)
        arrays = odds / odds.sum(axis=1, keepdims=True)
    else:
        arrays = 1 / (1 + np.exp(-logits))
    return Members.from_arrays(list(arrays.astype(np.float32)), geometry=geometry, classes=classes, subject="s1")


def certain_members(geometry: Geometry, classes: Classes, *, n_members: int = 3) -> Members:
    """The same label map again and again, with background, two structures and one that is absent."""
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1:3, 2:5, 3:8] = classes.labels[1][0]
    labels[3, 4, 9] = classes.labels[2][0]
    return Members.from_labels([labels] * n_members, geometry=geometry, classes=classes, subject="s1")


def reordered(members: Members, order: list[int]) -> Members:
    return replace(members, sources=tuple(members.sources[n] for n in order))


def turned(members: Members, *, axes: tuple[int, int, int], flipped: tuple[bool, bool, bool]) -> Members:
    """The same image with its voxel axes in another order and direction; the affine follows."""
    geometry = members.geometry
    affine = geometry.affine.copy()
    for axis in range(3):
        if flipped[axis]:
            affine[:3, 3] += affine[:3, axis] * (geometry.shape[axis] - 1)
            affine[:3, axis] *= -1
    affine[:3, :3] = affine[:3, list(axes)]
    steps = tuple(slice(None, None, -1 if flip else None) for flip in flipped)
    shape = tuple(geometry.shape[axis] for axis in axes)
    arrays = [m.probabilities[(slice(None), *steps)].transpose(0, *(1 + a for a in axes)) for m in members]
    return Members.from_arrays(
        arrays, geometry=Geometry(shape, affine), classes=members.classes, subject=members.subject
    )


@dataclass(frozen=True)
class Assessed:
    """All that `case_rows` reads, and its rows."""

    collected: Collected
    maps: dict[str, ScalarMap]
    masks: CaseMasks
    rows: list[Score]

    @property
    def values(self) -> dict[tuple[str, ...], float]:
        return {row.key: row.value for row in self.rows}


def assessed(
    members: Members, *aggregations: str, slab_voxels: int | None = None, interval_level: float = 0.9, **settings
) -> Assessed:
    """Rows by these aggregations, the default ones without any."""
    collected = collect(members, MemberVolumes, PairwiseOverlap, VoteCounts, slab_voxels=slab_voxels)
    maps = voxel_maps(members, MAPS, slab_voxels=slab_voxels)
    masks = CaseMasks.of(maps["mean_probability"], collected[VoteCounts], classes=members.classes)
    rows = case_rows(
        collected,
        list(maps.values()),
        masks,
        subject=members.subject,
        aggregations=aggregations or DEFAULT_AGGREGATIONS,
        settings=AggregationSettings(**settings),
        interval_level=interval_level,
    )
    return Assessed(collected, maps, masks, rows)
