"""Score the members of one case, and their pooled segmentation, against every rater, in one walk.

Each row says which segmentation it is about in `reduction`: "ensemble" for the mean probability of all members, or
"member:<id>" for a single one; `against` names the rater. Calibration rows say in `region` which voxels count:
"whole_image", or "reference_box", the box around all that the rater marked plus a margin in mm, where the background
does not drown the rest. A row of normalized surface Dice carries its tolerance there, e.g. "tolerance_2_mm".

Hard members (label maps) have probabilities 0 and 1: their log-likelihood says only how many voxels are wrong.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, UInt8

from plausible.core import Classes, Geometry, InvalidInput, Member, Members, Problem, Score, slabs
from plausible.evaluate.calibration import (
    CALIBRATION_SCORES,
    N_BINS,
    ProbabilityScores,
    ReliabilityBins,
    presence_bins,
    presence_scores,
    probability_scores,
    questions,
    top_label_bins,
)
from plausible.evaluate.overlap import OVERLAP_SCORES, Overlap, overlap
from plausible.evaluate.surface import SURFACE_SCORES, SurfaceDistances, surface_distances
from plausible.measure import VoxelStatistics, mean_probability

ENSEMBLE = "ensemble"
MEMBER = "member:"
WHOLE_IMAGE = "whole_image"
REFERENCE_BOX = "reference_box"
BOX_MARGIN_MM = 10.0

Box: TypeAlias = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
Place: TypeAlias = tuple[str, str]
"""Region, and the structure asked about ("" for the top label)."""
Owner: TypeAlias = tuple[str, str]
"""Whether it is a prediction or a rater, and its name."""


@dataclass(frozen=True, slots=True, eq=False)
class CaseReliability:
    """Reliability bins of one segmentation against one rater, kept per subject so that subjects can be drawn."""

    subject: str
    structure: str
    region: str
    reduction: str
    against: str
    bins: ReliabilityBins


@dataclass(frozen=True, slots=True, eq=False)
class CaseEvaluation:
    """The rows of one case, and the bins that a cohort pools."""

    subject: str
    rows: tuple[Score, ...]
    reliability: tuple[CaseReliability, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One segmentation against one rater, in a slab or the whole image: everything but the surfaces.

    Attributes:
        overlaps: one per structure.
        bins: by region and question.
        scores: sums of the proper scores, by region and question.
    """

    overlaps: tuple[Overlap, ...]
    bins: Mapping[Place, ReliabilityBins]
    scores: Mapping[Place, ProbabilityScores]

    def join(self, *others: "Comparison") -> "Comparison":
        """Return the comparison over this and further slabs."""
        per_structure = zip(*(part.overlaps for part in (self, *others)), strict=True)
        return Comparison(
            tuple(first.join(*rest) for first, *rest in per_structure),
            {place: own.merge(*(part.bins[place] for part in others)) for place, own in self.bins.items()},
            {place: own.merge(*(part.scores[place] for part in others)) for place, own in self.scores.items()},
        )


@dataclass(frozen=True, slots=True, eq=False)
class PackedMasks:
    """The structures of one segmentation in one slab, one bit per voxel."""

    bits: UInt8[np.ndarray, "s n"]
    shape: tuple[int, ...]

    @classmethod
    def of(cls, masks: Bool[np.ndarray, "s i j k"]) -> "PackedMasks":
        """Pack masks."""
        return cls(np.packbits(masks.reshape(len(masks), -1), axis=1), masks.shape[1:])

    def mask(self, structure: int) -> Bool[np.ndarray, "i j k"]:
        """Mask of one structure, by its place among the structures."""
        flat = np.unpackbits(self.bits[structure], count=math.prod(self.shape))
        return flat.reshape(self.shape).astype(bool)


def evaluate_case(
    members: Members,
    raters: Members,
    *,
    tolerance_mm: float,
    slab_voxels: int | None = None,
    n_bins: int = N_BINS,
    box_margin_mm: float = BOX_MARGIN_MM,
    subject: str = "",
) -> CaseEvaluation:
    """Score every member and the mean of all against every rater.

    Args:
        members: the predictions; one is in memory at a time.
        raters: the references, on the same grid and with the same classes.
        tolerance_mm: tolerance of the normalized surface Dice.
        slab_voxels: work in slabs of about this many voxels; None takes whole members. The rows are the same.
        n_bins: bins of the calibration errors.
        box_margin_mm: margin of the region "reference_box".
        subject: name for the rows; the members' own if empty.

    Raises:
        InvalidInput: E201 or E202, raters on another grid; E103, raters with other classes.
        ValueError: no members or no raters.
    """
    _check(members, raters)
    aligned = replace(raters, slab_axis=members.slab_axis)
    boxes = {rater.info.id: _reference_box(rater, box_margin_mm) for rater in aligned}
    compared: dict[tuple[str, str], list[Comparison]] = {}
    masks: dict[Owner, list[PackedMasks]] = {}
    for start, stop in slabs(members, slab_voxels=slab_voxels):
        truths = {rater.info.id: rater for rater in aligned.slab(start, stop)}
        regions = {name: _regions(box, members, start, stop) for name, box in boxes.items()}
        for name, truth in truths.items():
            masks.setdefault(("rater", name), []).append(_packed(truth))
        for reduction, segmentation in _segmentations(members, start, stop):
            masks.setdefault(("prediction", reduction), []).append(_packed(segmentation))
            for name, truth in truths.items():
                part = _compare(segmentation, truth, regions[name], n_bins)
                compared.setdefault((reduction, name), []).append(part)
    whole = {pair: first.join(*rest) for pair, (first, *rest) in compared.items()}
    named = _Naming(subject or members.subject, members.classes, members.geometry, members.slab_axis, tolerance_mm)
    rows = [row for pair, comparison in whole.items() for row in _rows(named, pair, comparison, masks)]
    return CaseEvaluation(named.subject, tuple(rows), tuple(_reliability(named.subject, whole)))


@dataclass(frozen=True, slots=True)
class _Naming:
    """What every row of a case needs."""

    subject: str
    classes: Classes
    geometry: Geometry
    slab_axis: int
    tolerance_mm: float


def _check(members: Members, raters: Members) -> None:
    if not len(members) or not len(raters):
        raise ValueError(
            f"{members.subject}: {len(members)} members and {len(raters)} raters; need one of each or more"
        )
    raters.geometry.check_matches(members.geometry, this="the reference", that="the members", subject=members.subject)
    ids = [info.id for info in raters.infos]
    if len(set(ids)) < len(ids):
        raise ValueError(f"{members.subject}: raters need different names, got {', '.join(ids)}")
    ours, theirs = members.classes, raters.classes
    if (ours.names, ours.exclusive) != (theirs.names, theirs.exclusive):
        raise InvalidInput(
            Problem(
                code="E103",
                subject=members.subject,
                found=f"references with the channels {', '.join(theirs.names)}",
                expected=f"those of the members: {', '.join(ours.names)}",
                fix="name the classes of both alike (dataset.json, study.toml [classes])",
            )
        )


def _segmentations(members: Members, start: int, stop: int) -> Iterator[tuple[str, Member]]:
    """Yield each member of a slab, then the mean of all, with the name that rows call it."""
    pooled: VoxelStatistics | None = None
    for member in members.slab(start, stop):
        pooled = pooled.add(member) if pooled else VoxelStatistics.of(member)
        last = member
        yield MEMBER + member.info.id, member
    assert pooled is not None
    yield ENSEMBLE, replace(last, probabilities=mean_probability(pooled), hard=False)


def _compare(segmentation: Member, truth: Member, regions: Mapping[str, np.ndarray | None], n_bins: int) -> Comparison:
    p, y = segmentation.probabilities, truth.probabilities
    pairs = zip(_masks(segmentation), _masks(truth), strict=True)
    volume = segmentation.geometry.voxel_volume_ml
    bins: dict[Place, ReliabilityBins] = {}
    scores: dict[Place, ProbabilityScores] = {}
    for region, within in regions.items():
        for question in questions(segmentation.classes):
            place = region, question
            if question:
                channel = segmentation.classes.channel(question)
                bins[place] = presence_bins(p, y, channel=channel, n_bins=n_bins, within=within)
                scores[place] = presence_scores(p, y, channel=channel, within=within)
            else:
                bins[place] = top_label_bins(p, y, n_bins=n_bins, within=within)
                scores[place] = probability_scores(p, y, within=within)
    return Comparison(tuple(overlap(a, b, voxel_volume_ml=volume) for a, b in pairs), bins, scores)


def _masks(member: Member) -> Bool[np.ndarray, "s i j k"]:
    return member.classes.masks(member.probabilities)


def _packed(member: Member) -> PackedMasks:
    return PackedMasks.of(_masks(member))


def _reference_box(rater: Member, margin_mm: float) -> Box | None:
    """Voxels from and up to which, per axis, the rater marked anything, plus a margin; None if nothing."""
    marked = _masks(rater).any(axis=0)
    if not marked.any():
        return None
    box = []
    for axis, spacing in enumerate(rater.geometry.spacing_mm):
        margin = math.ceil(margin_mm / spacing - 1e-6)
        present = np.flatnonzero(np.any(marked, axis=tuple({0, 1, 2} - {axis})))
        box.append((max(0, int(present[0]) - margin), int(present[-1]) + 1 + margin))
    return box[0], box[1], box[2]


def _regions(box: Box | None, members: Members, start: int, stop: int) -> dict[str, np.ndarray | None]:
    """Voxels of a slab that count in each region; None is all of them."""
    inside = np.zeros(members.geometry.slab(start, stop, axis=members.slab_axis).shape, dtype=bool)
    if box is not None:
        offset = [start if axis == members.slab_axis else 0 for axis in range(3)]
        inside[tuple(slice(max(0, a - o), max(0, b - o)) for (a, b), o in zip(box, offset, strict=True))] = True
    return {WHOLE_IMAGE: None, REFERENCE_BOX: inside}


def _rows(
    named: _Naming, pair: tuple[str, str], comparison: Comparison, masks: Mapping[Owner, list[PackedMasks]]
) -> Iterator[Score]:
    reduction, rater = pair
    owners = ("prediction", reduction), ("rater", rater)
    for number, (structure, counts) in enumerate(zip(named.classes.structures, comparison.overlaps, strict=True)):
        prediction, reference = (_whole_mask(masks[owner], number, axis=named.slab_axis) for owner in owners)
        distances = surface_distances(prediction, reference, spacing_mm=named.geometry.spacing_mm)
        common = {"subject": named.subject, "structure": structure, "reduction": reduction, "against": rater}
        yield from _overlap_rows(counts, common)
        yield from _surface_rows(distances, named.tolerance_mm, common)
    yield from _calibration_rows(named, pair, comparison)


def _overlap_rows(counts: Overlap, common: Mapping[str, str]) -> Iterator[Score]:
    for entry in OVERLAP_SCORES:
        value = entry.function(counts)
        yield Score(
            measure=entry.name, value=value, unit=entry.unit, higher_is=entry.higher_is, n=counts.n_union, **common
        )


def _surface_rows(distances: SurfaceDistances, tolerance_mm: float, common: Mapping[str, str]) -> Iterator[Score]:
    for entry in SURFACE_SCORES:
        tolerated = entry.name == "normalized_surface_dice"
        value = entry.function(distances, tolerance_mm=tolerance_mm) if tolerated else entry.function(distances)
        yield Score(
            measure=entry.name,
            value=value,
            unit=entry.unit,
            higher_is=entry.higher_is,
            n=distances.n_elements,
            region=f"tolerance_{tolerance_mm:g}_mm" if tolerated else "",
            **common,
        )


def _calibration_rows(named: _Naming, pair: tuple[str, str], comparison: Comparison) -> Iterator[Score]:
    for region, structure in comparison.bins:
        statistics: dict[type, ReliabilityBins | ProbabilityScores] = {
            ReliabilityBins: comparison.bins[region, structure],
            ProbabilityScores: comparison.scores[region, structure],
        }
        for entry in CALIBRATION_SCORES:
            assert entry.reads is not None
            statistic = statistics[entry.reads]
            yield Score(
                subject=named.subject,
                structure=structure,
                measure=entry.name,
                region=region,
                reduction=pair[0],
                against=pair[1],
                value=entry.function(statistic),
                unit=entry.unit,
                higher_is=entry.higher_is,
                n=statistic.n,
            )


def _reliability(subject: str, whole: Mapping[tuple[str, str], Comparison]) -> Iterator[CaseReliability]:
    for (reduction, rater), comparison in whole.items():
        for (region, structure), bins in comparison.bins.items():
            yield CaseReliability(subject, structure, region, reduction, rater, bins)


def _whole_mask(parts: list[PackedMasks], structure: int, *, axis: int) -> Bool[np.ndarray, "i j k"]:
    return np.concatenate([part.mask(structure) for part in parts], axis=axis)
