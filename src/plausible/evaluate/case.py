"""Score the members of one case, and their pooled segmentation, against every rater, in one walk.

Each row says which segmentation it is about in `reduction`: "ensemble" for the mean probability of all members, or
"member:<id>" for a single one; `against` names the rater. Calibration rows say in `region` which voxels count:
"whole_image", or "reference_box", the box around all that the rater marked plus a margin in mm, where the background
does not drown the rest. A row of normalized surface Dice carries its tolerance there, e.g. "tolerance_2_mm".

Hard members (label maps) have probabilities 0 and 1: their log-likelihood says only how many voxels are wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from plausible.aggregate import MemberVolumes, PairwiseOverlap
from plausible.core import Classes, Geometry, InvalidInput, Members, Problem, Score
from plausible.core.collect import usable_processors
from plausible.evaluate.calibration import (
    CALIBRATION_SCORES,
    N_BINS,
    ProbabilityScores,
    ReliabilityBins,
    questions,
)
from plausible.evaluate.case_counts import Counts, Truth, truths_of
from plausible.evaluate.case_surfaces import Pair, SurfaceScores, surface_scores
from plausible.evaluate.case_walk import ENSEMBLE, MEMBER, walked
from plausible.evaluate.overlap import OVERLAP_SCORES, Overlap
from plausible.evaluate.surface import SURFACE_SCORES, normalized_surface_dice

__all__ = [
    "BOX_MARGIN_MM",
    "ENSEMBLE",
    "MEMBER",
    "REFERENCE_BOX",
    "WHOLE_IMAGE",
    "CaseEvaluation",
    "CaseReliability",
    "evaluate_case",
]

WHOLE_IMAGE = "whole_image"
REFERENCE_BOX = "reference_box"
BOX_MARGIN_MM = 10.0


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
    """The rows of one case, the bins that a cohort pools, and what was seen of the members on the way.

    Attributes:
        volumes: of the members, as `collect(members, MemberVolumes)` gives.
        overlap: of every two members, as `collect(members, PairwiseOverlap)` gives.
    """

    subject: str
    rows: tuple[Score, ...]
    reliability: tuple[CaseReliability, ...]
    volumes: MemberVolumes
    overlap: PairwiseOverlap


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
    check_comparable(members, raters)
    aligned = replace(raters, slab_axis=members.slab_axis)
    truths = truths_of(aligned, margin_mm=box_margin_mm, slab_voxels=slab_voxels)
    named = _Naming(subject or members.subject, members.classes, members.geometry, tolerance_mm)
    threads = n_threads or usable_processors()
    found = walked(members, aligned, truths, n_bins=n_bins, slab_voxels=slab_voxels, n_threads=threads)
    surfaces = surface_scores(found.hard, truths, members.geometry, tolerance_mm=tolerance_mm, n_threads=threads)
    table = tuple(_rows(named, found.counts, truths, surfaces))
    bins = tuple(_reliability(named, found.counts, truths))
    return CaseEvaluation(named.subject, table, bins, found.decisions.volumes, found.decisions.overlap)


@dataclass(frozen=True, slots=True)
class _Naming:
    """What every row of a case needs."""

    subject: str
    classes: Classes
    geometry: Geometry
    tolerance_mm: float


def check_comparable(members: Members, raters: Members) -> None:
    """Refuse members and references that cannot be scored against each other.

    Raises:
        InvalidInput: E201 or E202, different grids; E103, other classes or another order of them.
        ValueError: no members, no raters, or two raters of one name.
    """
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


def _common(named: _Naming, s: int, pair: Pair) -> dict[str, str]:
    structure = named.classes.structures[s]
    return {"subject": named.subject, "structure": structure, "reduction": pair[0], "against": pair[1]}


def _rows(
    named: _Naming,
    counts: Mapping[str, Counts],
    truths: Sequence[Truth],
    surfaces: Sequence[Mapping[Pair, SurfaceScores]],
) -> Iterator[Score]:
    volume, exclusive = named.geometry.voxel_volume_ml, named.classes.exclusive
    for name, found in counts.items():
        for r, truth in enumerate(truths):
            pair = name, truth.name
            for s, shared in enumerate(found.overlaps(r, exclusive=exclusive, voxel_volume_ml=volume)):
                yield from _overlap_rows(shared, _common(named, s, pair))
                yield from _surface_rows(surfaces[s][pair], named.tolerance_mm, _common(named, s, pair))
            yield from _calibration_rows(named, pair, found, r)


def _overlap_rows(counts: Overlap, common: Mapping[str, str]) -> Iterator[Score]:
    for entry in OVERLAP_SCORES:
        value = entry.function(counts)
        yield Score(
            measure=entry.name, value=value, unit=entry.unit, higher_is=entry.higher_is, n=counts.n_union, **common
        )


def _surface_rows(found: SurfaceScores, tolerance_mm: float, common: Mapping[str, str]) -> Iterator[Score]:
    for entry in SURFACE_SCORES:
        region = f"tolerance_{tolerance_mm:g}_mm" if entry.name == normalized_surface_dice.__name__ else ""
        yield Score(
            measure=entry.name,
            value=found.values[entry.name],
            unit=entry.unit,
            higher_is=entry.higher_is,
            n=found.n_elements,
            region=region,
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
