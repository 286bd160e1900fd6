"""The DVHs of all members and structures of a case: read once for the boxes, once for the doses, a member at a time.

A member counts what lies in the box around a structure in any member. Soft members are cut below the size of a voxel,
label maps are taken by their voxels. The curves are kept on equidistant doses, on which they are exact, with their
exact ends, so that memory does not grow with the size of a structure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from plausible.core import Classes, Dose, Geometry, Member, Members
from plausible.dose.dvh import Dvh, on_doses
from plausible.dose.interpolation import DoseField, Interpolation
from plausible.dose.metric_text import DoseMetric, parse_metric
from plausible.dose.soft import class_log_odds, field_dvh
from plausible.dose.structure import voxels_dvh

STEP_GY = 0.01
"""Curves of members are kept at every multiple of this dose."""
MARGIN = 12
"""Voxels around a structure's box: a cubic spline has forgotten a border by then (to one in ten million)."""
SLAB_BYTES = 64e6
"""How much of a member is read at a time while boxes are looked for, where it can be read in slabs."""


@dataclass(frozen=True, slots=True, eq=False)
class MemberDvhs:
    """DVHs of one structure, one per member.

    Attributes:
        structure: its name.
        member_ids: in the members' order.
        dvhs: one per member; empty ones where a member lacks the structure.
        nominal: DVH of the segmentation of the mean probability. It is not the mean of the DVHs.
    """

    structure: str
    member_ids: tuple[str, ...]
    dvhs: tuple[Dvh, ...]
    nominal: Dvh

    def values(self, metric: DoseMetric | str) -> Float64[np.ndarray, " m"]:
        """Values of a metric, one per member; NaN where it is undefined."""
        asked = parse_metric(metric) if isinstance(metric, str) else metric
        return np.array([asked.value(dvh) for dvh in self.dvhs], dtype=np.float64)

    def nominal_value(self, metric: DoseMetric | str) -> float:
        """Value of a metric for the segmentation of the mean probability."""
        return (parse_metric(metric) if isinstance(metric, str) else metric).value(self.nominal)


Box = tuple[slice, slice, slice]


def member_dvhs(members: Members, dose: Dose, *, interpolation: Interpolation = "linear") -> dict[str, MemberDvhs]:
    """DVHs of every structure in every member and in the segmentation of their mean.

    Raises:
        ValueError: no members.
    """
    if not len(members):
        raise ValueError("no members: a DVH needs at least one")
    field = DoseField.of(dose, interpolation=interpolation)
    boxes = structure_boxes(members)
    around = _around([box for box in boxes.values() if box is not None], members.geometry)
    found: dict[str, list[Dvh]] = {structure: [] for structure in boxes}
    mean, hard = np.zeros(0, np.float32), False
    for n, member in enumerate(_read(members, around)):
        hard |= member.hard
        mean = member.probabilities.copy() if n == 0 else mean
        mean += (member.probabilities - mean) / np.float32(n + 1)
        for structure, dvh in _dvhs(member, boxes, around, field):
            found[structure].append(dvh)
    nominal = Member(mean, _part(members.geometry, around), members.classes, members.infos[0], hard)
    middle = dict(_dvhs(nominal, boxes, around, field))
    ids = tuple(info.id for info in members.infos)
    return {name: MemberDvhs(name, ids, tuple(dvhs), middle[name]) for name, dvhs in found.items()}


def structure_boxes(members: Members) -> dict[str, Box | None]:
    """Smallest box around each structure in any member, with a margin; None if no member has it."""
    structures, length = members.classes.structures, members.geometry.shape[members.slab_axis]
    present = [[np.zeros(n, bool) for n in members.geometry.shape] for _ in structures]
    for start, stop in _slabs(members, length):
        for member in members.slab(start, stop):
            _note(present, members.classes, member.probabilities, start, members.slab_axis)
    return {name: _box(axes) for name, axes in zip(structures, present, strict=True)}


def _slabs(members: Members, length: int) -> Iterator[tuple[int, int]]:
    thickness = length
    if members.sliceable:
        layer = 4 * len(members.classes.names) * members.geometry.n_voxels / length
        thickness = max(1, int(SLAB_BYTES / layer))
    for start in range(0, length, thickness):
        yield start, min(start + thickness, length)


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


def _around(boxes: list[Box], geometry: Geometry) -> Box:
    """Box around all boxes; the first voxel if there are none."""
    if not boxes:
        return slice(0, 1), slice(0, 1), slice(0, 1)
    i, j, k = (slice(min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)) for axis in range(3))
    return i, j, k


def _part(geometry: Geometry, box: Box) -> Geometry:
    for axis, side in enumerate(box):
        geometry = geometry.slab(side.start, side.stop, axis=axis)
    return geometry


def _read(members: Members, around: Box) -> Iterator[Member]:
    """Part of every member in a box, one in memory at a time."""
    axis, geometry = members.slab_axis, _part(members.geometry, around)
    within = tuple(slice(None) if n == axis else side for n, side in enumerate(around))
    for member in members.slab(around[axis].start, around[axis].stop):
        yield replace(member, probabilities=member.probabilities[(slice(None), *within)], geometry=geometry)


def _dvhs(member: Member, boxes: dict[str, Box | None], around: Box, field: DoseField) -> Iterator[tuple[str, Dvh]]:
    """DVH of every structure of a member."""
    classes = member.classes
    for number, (structure, box) in enumerate(boxes.items()):
        inner = box or around
        inside = tuple(slice(s.start - a.start, s.stop - a.start) for s, a in zip(inner, around, strict=True))
        part, geometry = member.probabilities[(slice(None), *inside)], _part(member.geometry, inside)  # type: ignore[arg-type]
        if member.hard:
            voxels = np.argwhere(classes.masks(part)[number])
            dvh = on_doses(voxels_dvh(voxels, field, geometry=geometry), step_gy=STEP_GY)
        else:
            odds = class_log_odds(part, classes.channel(structure), exclusive=classes.exclusive)
            dvh = field_dvh(odds, field, geometry=geometry, step_gy=STEP_GY)
        yield structure, dvh
