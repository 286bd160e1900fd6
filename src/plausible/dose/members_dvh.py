"""The DVHs of all members and structures of a case: read once for the boxes, once for the doses, a member at a time.

A member counts what lies in the box around a structure in any member. Soft members are cut below the size of a voxel,
contours are taken as they are drawn if all members are, label maps by their voxels. The curves are kept on equidistant
doses, on which they are exact, with their exact ends, so that memory does not grow with the size of a structure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, UInt8

from plausible.aggregate.regions import box_around, shifted
from plausible.core import Box, Classes, Dose, DrawnSource, Member, Members, slabs
from plausible.dose.drawn import majority_dvh
from plausible.dose.dvh import Dvh, on_doses
from plausible.dose.interpolation import DoseField, Interpolation
from plausible.dose.metric_text import DoseMetric, parse_metric
from plausible.dose.soft import class_log_odds, field_dvh
from plausible.dose.spread import MetricSpread, metric_spread
from plausible.dose.structure import contours_dvh, voxels_dvh
from plausible.measure import VoxelStatistics, default_slab_voxels, mean_probability

STEP_GY = 0.01
"""Curves of members are kept at every multiple of this dose."""
MARGIN = 12
"""Voxels around a structure's box: a cubic spline has forgotten a border by then (to one in ten million)."""


@dataclass(frozen=True, slots=True, eq=False)
class MemberDvhs:
    """DVHs of one structure, one per member.

    Attributes:
        structure: its name.
        member_ids: in the members' order.
        dvhs: one per member; empty ones where a member lacks the structure.
        nominal: DVH of the segmentation of the mean probability. It is not the mean of the DVHs.
        box: smallest box of the image around the structure in any member and in the segmentation.
        bits: voxels of each member in that box, one bit each; `masks` reads them.
        segmentation: voxels of the segmentation there.
    """

    structure: str
    member_ids: tuple[str, ...]
    dvhs: tuple[Dvh, ...]
    nominal: Dvh
    box: Box
    bits: tuple[UInt8[np.ndarray, " n"], ...]
    segmentation: Bool[np.ndarray, "i j k"]

    def masks(self) -> Iterator[Bool[np.ndarray, "i j k"]]:
        """Yield the voxels of each member in the box."""
        return (_unpacked(one, self.segmentation.shape) for one in self.bits)

    @property
    def method(self) -> str:
        """How the DVHs were made: of the members, or else of the segmentation."""
        made = dict.fromkeys(dvh.method for dvh in self.dvhs if dvh.total_volume_ml)
        return "; ".join(made) or self.nominal.method

    def values(self, metric: DoseMetric | str) -> Float64[np.ndarray, " m"]:
        """Values of a metric, one per member; NaN where it is undefined."""
        asked = parse_metric(metric) if isinstance(metric, str) else metric
        return np.array([asked.value(dvh) for dvh in self.dvhs], dtype=np.float64)

    def nominal_value(self, metric: DoseMetric | str) -> float:
        """Value of a metric for the segmentation of the mean probability."""
        return (parse_metric(metric) if isinstance(metric, str) else metric).value(self.nominal)

    def spread(self, metric: DoseMetric) -> MetricSpread:
        """Distribution of a metric over the members."""
        return metric_spread(self.values(metric), upper=metric.upper)


def all_drawn(members: Members) -> bool:
    """Whether every member is contours."""
    return all(isinstance(source, DrawnSource) for source in members.sources)


def member_dvhs(
    members: Members, dose: Dose, *, interpolation: Interpolation = "linear", drawn: bool | None = None
) -> dict[str, MemberDvhs]:
    """DVHs of every structure in every member and in the segmentation of their mean.

    Args:
        members: read twice.
        dose: on its own grid.
        interpolation: of the dose.
        drawn: take contours as they are drawn, and no masks of them; None does so if all members are contours. What is
            compared must be measured alike: contours beside label maps are masks too.

    Raises:
        ValueError: no members.
    """
    if not len(members):
        raise ValueError("no members: a DVH needs at least one")
    field = DoseField.of(dose, interpolation=interpolation)
    boxes = structure_boxes(members)
    around = _around([box for box in boxes.values() if box is not None])
    found: dict[str, list[_Found]] = {structure: [] for structure in boxes}
    statistics: VoxelStatistics | None = None
    hard, as_drawn = False, all_drawn(members) if drawn is None else drawn and all_drawn(members)
    for source, member in zip(members.sources, _read(members, around), strict=True):
        hard |= member.hard
        statistics = VoxelStatistics.of(member) if statistics is None else statistics.add(member)
        own = _drawn(source, members, dose, interpolation) if as_drawn and isinstance(source, DrawnSource) else {}
        for structure, one in _structures(member, boxes, around, field):
            found[structure].append(replace(one, dvh=own.get(structure, one.dvh)))
    assert statistics is not None
    mean = mean_probability(statistics)
    nominal = Member(mean, members.geometry.cut(around), members.classes, members.infos[0], hard)
    ids = tuple(info.id for info in members.infos)
    most = _most(members, field) if as_drawn else {}
    return {
        structure: _together(
            structure, ids, found[structure], replace(one, dvh=most.get(structure, one.dvh)), boxes[structure] or around
        )
        for structure, one in _structures(nominal, boxes, around, field)
    }


def _most(members: Members, field: DoseField) -> dict[str, Dvh]:
    """DVH of what most members drew, of each structure."""
    drawn = [source.contours for source in members.sources if isinstance(source, DrawnSource)]
    return {
        structure: on_doses(majority_dvh(of_members, field, image=members.geometry), step_gy=STEP_GY)
        for structure, of_members in zip(members.classes.structures, zip(*drawn, strict=True), strict=True)
    }


def _drawn(source: DrawnSource, members: Members, dose: Dose, interpolation: Interpolation) -> dict[str, Dvh]:
    """DVH of each structure of a member inside its contours, whatever voxels they touch."""
    return {
        structure: on_doses(
            contours_dvh(contours, dose, image=members.geometry, interpolation=interpolation), step_gy=STEP_GY
        )
        for structure, contours in zip(members.classes.structures, source.contours, strict=True)
    }


def structure_boxes(members: Members) -> dict[str, Box | None]:
    """Smallest box around each structure in any member, with a margin; None if no member has it."""
    present = [[np.zeros(n, bool) for n in members.geometry.shape] for _ in members.classes.structures]
    for start, stop in slabs(members, slab_voxels=default_slab_voxels(members)):
        for member in members.slab(start, stop):
            _note(present, members.classes, member.probabilities, start, members.slab_axis)
    return {name: _box(axes) for name, axes in zip(members.classes.structures, present, strict=True)}


def _note(present: list[list[np.ndarray]], classes: Classes, probabilities: np.ndarray, start: int, axis: int) -> None:
    for axes, mask in zip(present, classes.masks(probabilities), strict=True):
        for along, seen in enumerate(axes):
            shown = mask.any(axis=tuple({0, 1, 2} - {along}))
            first = start if along == axis else 0
            seen[first : first + len(shown)] |= shown


def _box(axes: list[np.ndarray]) -> Box | None:
    ends = [np.flatnonzero(seen) for seen in axes]
    if not all(len(places) for places in ends):
        return None
    i, j, k = (
        slice(max(int(places[0]) - MARGIN, 0), min(int(places[-1]) + 1 + MARGIN, len(seen)))
        for places, seen in zip(ends, axes, strict=True)
    )
    return i, j, k


def _around(boxes: list[Box]) -> Box:
    """Box around all boxes; the first voxel if there are none."""
    if not boxes:
        return slice(0, 1), slice(0, 1), slice(0, 1)
    i, j, k = (slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in range(3))
    return i, j, k


def _read(members: Members, around: Box) -> Iterator[Member]:
    """Part of every member in a box, one in memory at a time."""
    axis, geometry = members.slab_axis, members.geometry.cut(around)
    within = tuple(slice(None) if n == axis else side for n, side in enumerate(around))
    for member in members.slab(around[axis].start, around[axis].stop):
        yield replace(member, probabilities=member.probabilities[(slice(None), *within)], geometry=geometry)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """One structure of one member: its DVH, and its voxels in the structure's box, one bit each."""

    dvh: Dvh
    bits: UInt8[np.ndarray, " n"]
    shape: tuple[int, ...]

    @property
    def mask(self) -> Bool[np.ndarray, "i j k"]:
        """Its voxels."""
        return _unpacked(self.bits, self.shape)


def _structures(
    member: Member, boxes: dict[str, Box | None], around: Box, field: DoseField
) -> Iterator[tuple[str, _Found]]:
    classes = member.classes
    every = classes.masks(member.probabilities)
    for number, (structure, box) in enumerate(boxes.items()):
        inside = _within(box or around, around)
        geometry, mask = member.geometry.cut(inside), every[number][inside]
        if member.hard:
            dvh = on_doses(voxels_dvh(np.argwhere(mask), field, geometry=geometry), step_gy=STEP_GY)
        else:
            part = member.probabilities[(slice(None), *inside)]
            odds = class_log_odds(part, classes.channel(structure), exclusive=classes.exclusive)
            dvh = field_dvh(odds, field, geometry=geometry, step_gy=STEP_GY)
        yield structure, _Found(dvh, np.packbits(mask), mask.shape)


def _unpacked(bits: UInt8[np.ndarray, " n"], shape: tuple[int, ...]) -> Bool[np.ndarray, "i j k"]:
    return np.unpackbits(bits, count=math.prod(shape)).reshape(shape).astype(bool)


def _within(box: Box, around: Box) -> Box:
    """A box of the image as a box of the part around it."""
    i, j, k = (slice(one.start - whole.start, one.stop - whole.start) for one, whole in zip(box, around, strict=True))
    return i, j, k


def _together(structure: str, ids: tuple[str, ...], members: list[_Found], nominal: _Found, box: Box) -> MemberDvhs:
    union = nominal.mask
    for one in members:
        union |= one.mask
    inner = box_around(union)
    return MemberDvhs(
        structure=structure,
        member_ids=ids,
        dvhs=tuple(one.dvh for one in members),
        nominal=nominal.dvh,
        box=shifted(inner, box),
        bits=tuple(np.packbits(one.mask[inner]) for one in members),
        segmentation=nominal.mask[inner].copy(),
    )
