"""Score the members of one case, and their pooled segmentation, against every rater, in one walk.

Each row says which segmentation it is about in `reduction`: "ensemble" for the mean probability of all members, or
"member:<id>" for a single one; `against` names the rater. Calibration rows say in `region` which voxels count:
"whole_image", or "reference_box", the box around all that the rater marked plus a margin in mm, where the background
does not drown the rest. A row of normalized surface Dice carries its tolerance there, e.g. "tolerance_2_mm".

Hard members (label maps) have probabilities 0 and 1: their log-likelihood says only how many voxels are wrong.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np

from plausible.aggregate.hard import Box, HardMap
from plausible.core import Classes, Geometry, InvalidInput, Member, Members, Problem, Score, slabs
from plausible.core.collect import usable_processors
from plausible.evaluate.calibration import (
    CALIBRATION_SCORES,
    N_BINS,
    ProbabilityScores,
    ReliabilityBins,
    questions,
)
from plausible.evaluate.case_counts import Counts, SlabTruths, Truth, count_slab, truths_of
from plausible.evaluate.overlap import OVERLAP_SCORES, Overlap
from plausible.evaluate.surface import SURFACE_SCORES, DistanceField, Surface, SurfaceDistances
from plausible.measure.layout import channels, memory_order, rows, zeros_in

ENSEMBLE = "ensemble"
MEMBER = "member:"
WHOLE_IMAGE = "whole_image"
REFERENCE_BOX = "reference_box"
BOX_MARGIN_MM = 10.0

Pair: TypeAlias = tuple[str, str]
"""What a prediction is called, and the rater."""
T = TypeVar("T")
R = TypeVar("R")


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


def evaluate_case(
    members: Members,
    raters: Members,
    *,
    tolerance_mm: float,
    slab_voxels: int | None = None,
    n_bins: int = N_BINS,
    box_margin_mm: float = BOX_MARGIN_MM,
    subject: str = "",
    n_threads: int | None = None,
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
        n_threads: slabs and structures that are worked on at a time; None takes the processors that this process may
            use.

    Raises:
        InvalidInput: E201 or E202, raters on another grid; E103, raters with other classes.
        ValueError: no members or no raters.
    """
    _check(members, raters)
    aligned = replace(raters, slab_axis=members.slab_axis)
    truths = truths_of(aligned, margin_mm=box_margin_mm, slab_voxels=slab_voxels)
    named = _Naming(subject or members.subject, members.classes, members.geometry, tolerance_mm)
    threads = n_threads or usable_processors()
    parts: dict[str, list[tuple[Counts, HardMap]]] = {}
    for slab in _in_order(
        lambda bounds: _compared(members, aligned, truths, bounds, n_bins),
        slabs(members, slab_voxels=slab_voxels),
        threads,
    ):
        for name, part in slab.items():
            parts.setdefault(name, []).append(part)
    counts = {name: _joined_counts(slabs) for name, slabs in parts.items()}
    hard = {name: _joined_maps(parts.pop(name), members.slab_axis) for name in list(parts)}
    surfaces = _all_surfaces(named, hard, truths, threads)
    table = tuple(_rows(named, counts, truths, surfaces))
    return CaseEvaluation(named.subject, table, tuple(_reliability(named, counts, truths)))


@dataclass(frozen=True, slots=True)
class _Naming:
    """What every row of a case needs."""

    subject: str
    classes: Classes
    geometry: Geometry
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


def _in_order(work: Callable[[T], R], tasks: Sequence[T], n_threads: int) -> Iterator[R]:
    """Do the tasks in threads, a few ahead; yield results in the order of the tasks."""
    if min(n_threads, len(tasks)) < 2:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(n_threads) as executor:
        ahead: deque[Future[R]] = deque()
        for task in tasks:
            ahead.append(executor.submit(work, task))
            if len(ahead) > n_threads:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


def _compared(
    members: Members, raters: Members, truths: Sequence[Truth], bounds: tuple[int, int], n_bins: int
) -> dict[str, tuple[Counts, HardMap]]:
    """Compare every prediction with every rater in one slab."""
    soft = [truth.name for truth in truths if truth.soft]
    read = {rater.info.id: rater for rater in raters.select(soft).slab(*bounds)} if soft else {}
    there = SlabTruths(truths, bounds, members.slab_axis, read)
    return {name: count_slab(each, there, n_bins=n_bins) for name, each in _segmentations(members, *bounds)}


def _segmentations(members: Members, start: int, stop: int) -> Iterator[tuple[str, Member]]:
    """Yield each member of a slab, then the mean of all, with the name that rows call it."""
    from plausible.evaluate.kernels import move_mean

    mean = None
    for n, member in enumerate(members.slab(start, stop), start=1):
        p = member.probabilities
        if mean is None:
            mean = zeros_in(memory_order(p), p.shape, np.float32)
        order = memory_order(mean)
        move_mean(*channels(p, order), rows(mean, order), np.float32(1 / n))
        last = replace(member, probabilities=mean, hard=False)
        yield MEMBER + member.info.id, member
        del member, p  # the next one is read before the names are bound again: two would be in memory
    yield ENSEMBLE, replace(last, probabilities=np.clip(last.probabilities, 0, 1, out=last.probabilities))


def _joined_counts(slabs: Sequence[tuple[Counts, HardMap]]) -> Counts:
    first, *rest = (counts for counts, _ in slabs)
    return first.join(*rest)


def _joined_maps(slabs: Sequence[tuple[Counts, HardMap]], axis: int) -> HardMap:
    first, *rest = (hard for _, hard in slabs)
    return first.join(*rest, axis=axis)


def _all_surfaces(
    named: _Naming, hard: Mapping[str, HardMap], truths: Sequence[Truth], n_threads: int
) -> list[dict[Pair, list[Score]]]:
    """Rows of the surfaces of every structure, for every prediction and rater."""
    predictions = {name: (each, each.boxes()) for name, each in hard.items()}
    references = {truth.name: (truth.hard, truth.hard.boxes()) for truth in truths}
    structures = range(len(named.classes.structures))
    return list(_in_order(lambda s: _surfaces(named, s, predictions, references), structures, n_threads))


def _surfaces(
    named: _Naming,
    s: int,
    predictions: Mapping[str, tuple[HardMap, list[Box | None]]],
    references: Mapping[str, tuple[HardMap, list[Box | None]]],
) -> dict[Pair, list[Score]]:
    """Rows of one structure; the surface and the distances of each segmentation are made once for all pairs."""
    ours, theirs = (
        {name: _surface(each, boxes[s], s, named.geometry) for name, (each, boxes) in side.items()}
        for side in (predictions, references)
    )
    to_theirs = {rater: DistanceField.around(surface, list(ours.values())) for rater, surface in theirs.items()}
    found = {}
    for name, surface in ours.items():
        to_ours = DistanceField.around(surface, list(theirs.values()))
        for rater, other in theirs.items():
            distances = SurfaceDistances(*to_theirs[rater].from_surface(surface), *to_ours.from_surface(other))
            common = _common(named, s, (name, rater))
            found[name, rater] = list(_surface_rows(distances, named.tolerance_mm, common))
    return found


def _surface(hard: HardMap, box: Box | None, s: int, geometry: Geometry) -> Surface:
    i, j, k = geometry.shape
    box = box or (slice(0, 0), slice(0, 0), slice(0, 0))
    offset = box[0].start, box[1].start, box[2].start
    return Surface.of(
        hard.mask(s, box=box), spacing_mm=geometry.spacing_mm, offset=offset, flat=(i == 1, j == 1, k == 1)
    )


def _common(named: _Naming, s: int, pair: Pair) -> dict[str, str]:
    structure = named.classes.structures[s]
    return {"subject": named.subject, "structure": structure, "reduction": pair[0], "against": pair[1]}


def _rows(
    named: _Naming,
    counts: Mapping[str, Counts],
    truths: Sequence[Truth],
    surfaces: Sequence[Mapping[Pair, list[Score]]],
) -> Iterator[Score]:
    volume, exclusive = named.geometry.voxel_volume_ml, named.classes.exclusive
    for name, found in counts.items():
        for r, truth in enumerate(truths):
            pair = name, truth.name
            for s, shared in enumerate(found.overlaps(r, exclusive=exclusive, voxel_volume_ml=volume)):
                yield from _overlap_rows(shared, _common(named, s, pair))
                yield from surfaces[s][pair]
            yield from _calibration_rows(named, pair, found, r)


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


def _places(named: _Naming) -> Iterator[tuple[str, str, int]]:
    """Yield region, question, and place of the question."""
    for region in (WHOLE_IMAGE, REFERENCE_BOX):
        for q, question in enumerate(questions(named.classes)):
            yield region, question, q


def _calibration_rows(named: _Naming, pair: Pair, found: Counts, r: int) -> Iterator[Score]:
    for region, structure, q in _places(named):
        inside = region == REFERENCE_BOX
        statistics: dict[type, ReliabilityBins | ProbabilityScores] = {
            ReliabilityBins: found.bins(q, r, inside=inside),
            ProbabilityScores: found.scores(q, r, inside=inside),
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


def _reliability(named: _Naming, counts: Mapping[str, Counts], truths: Sequence[Truth]) -> Iterator[CaseReliability]:
    for name, found in counts.items():
        for r, truth in enumerate(truths):
            for region, structure, q in _places(named):
                bins = found.bins(q, r, inside=region == REFERENCE_BOX)
                yield CaseReliability(named.subject, structure, region, name, truth.name, bins)
