"""One case: what its members have in common and what not, two at a time and all together, on one set of voxels.

Members are walked over twice: once for their decisions, one bit a voxel; once for their probabilities in the set.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from plausible.core import MemberInfo, Members, Problem, ScalarMap, Score
from plausible.core.problems import InvalidInput
from plausible.diversity.case_components import ComponentSums
from plausible.diversity.decisions import ALL, Decisions, decision_pairs, error_counts, mask_pairs, surface_pairs
from plausible.diversity.design import Levels, SourceDesign, design_of, levels_of
from plausible.diversity.losses import LossSums, trials_of
from plausible.diversity.pairwise import Counts, ErrorGroup
from plausible.diversity.pairwise_measures import DIVERSITY_MEASURES, GROUP_MEASURES, mean_of_pairs, off_diagonal
from plausible.diversity.soft_pairwise import SoftSums, chunks, of_structure
from plausible.diversity.voxel_sets import BAND_MM, VoxelSet, contour_band, voxel_set

MEAN_OF_PAIRS, ALL_MEMBERS = "mean_of_pairs", "all_members"
WHOLE_IMAGE = "whole_image"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPart:
    """Counts of one structure.

    Attributes:
        structure: which one; empty for all together.
        region: set of voxels.
        against: reference; empty without one.
    """

    structure: str
    region: str
    counts: Counts
    against: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDiversity:
    """What was found of one case.

    Attributes:
        members: what made each.
        parts: counts that every measure of pairs is read from.
        rows: losses taken apart, and variance by source.
        design: the grid that members form; None where there is none.
        no_design: why there is none.
        trials: what differs between repeated trainings; empty without.
        maps: variance by source at every voxel, where asked for.
    """

    subject: str
    members: tuple[MemberInfo, ...]
    parts: tuple[MeasuredPart, ...]
    rows: tuple[Score, ...]
    design: SourceDesign | None
    no_design: Problem | None
    trials: str = ""
    maps: tuple[ScalarMap, ...] = ()


def measure_case(
    members: Members,
    references: Members | None = None,
    *,
    subject: str = "",
    voxels: str = contour_band.__name__,
    band_mm: float = BAND_MM,
    tolerance_mm: float | None = None,
    levels: Mapping[str, Levels] | None = None,
    keep_maps: bool = False,
) -> CaseDiversity:
    """Measure how different the members of one case are, and where that comes from.

    Args:
        members: the plausible segmentations; two or more.
        references: what errors are counted against, each in turn; None without.
        subject: name of the case.
        voxels: set of voxels, one of `VOXEL_SETS`.
        band_mm: reach of the band.
        tolerance_mm: of the surface Dice of two members; None leaves it out.
        levels: level of each source by member; None reads them from what made the members.
        keep_maps: whether to keep the variance by source at every voxel.

    Raises:
        InvalidInput: E104, fewer than two members; E201 or E202, references on another grid; E408, `levels` of other
            members.
        ValueError: no such set of voxels, or a reach that is not above 0.
    """
    decisions = Decisions.of(members)
    truth = None if references is None else Decisions.of_references(references, members)
    bits = decisions.bits if truth is None else np.concatenate([decisions.bits, truth.bits])
    found = voxel_set(
        voxels, bits, members.geometry, band_mm=band_mm, references=0 if truth is None else len(truth.bits)
    )
    design, missing = _design(members, levels)
    hard = all(source.hard for source in members.sources)
    trials = trials_of(design, decisions.members) if design else None
    losses = None if truth is None else LossSums(decisions, truth, hard, trials)
    components = ComponentSums(decisions, design, keep_maps) if design else None
    soft = _walk(members, decisions, found, [visitor for visitor in (losses, components) if visitor], hard=hard)
    told: dict[str, Any] = {"subject": subject or members.subject, "region": found.name}
    rows = [row for visitor in (losses, components) if visitor for row in visitor.rows(**told)]
    return CaseDiversity(
        subject=told["subject"],
        members=members.infos,
        parts=(*_hard_parts(decisions, truth, found, tolerance_mm), *soft),
        rows=tuple(rows),
        design=design,
        no_design=missing,
        trials=trials.over if trials and losses else "",
        maps=tuple(components.maps()) if components else (),
    )


def diversity_rows(parts: tuple[MeasuredPart, ...], *, subject: str) -> Iterator[Score]:
    """Every measure of one case as a row: mean over pairs (n counts them), or of all members (n counts voxels)."""
    for part in parts:
        told: dict[str, Any] = {
            "subject": subject,
            "structure": part.structure,
            "region": part.region,
            "against": part.against,
        }
        if isinstance(part.counts, ErrorGroup):
            for group in GROUP_MEASURES:
                value, n = float(group.function(part.counts)), int(part.counts.n)
                yield Score(**told, measure=group.name, reduction=ALL_MEMBERS, value=value, unit=group.unit,
                            higher_is=group.higher_is, n=n)  # fmt: skip
            continue
        for entry in DIVERSITY_MEASURES:
            if entry.reads is type(part.counts):
                matrix = entry.function(part.counts)
                n = int((~np.isnan(matrix[off_diagonal(len(matrix))])).sum()) // 2
                yield Score(**told, measure=entry.name, reduction=MEAN_OF_PAIRS, value=float(mean_of_pairs(matrix)),
                            unit=entry.unit, higher_is=entry.higher_is, n=n)  # fmt: skip


def _hard_parts(
    decisions: Decisions, truth: Decisions | None, found: VoxelSet, tolerance_mm: float | None
) -> Iterator[MeasuredPart]:
    for place, structure in enumerate(decisions.structures):
        told: dict[str, Any] = {"structure": structure, "region": found.name}
        yield MeasuredPart(**told, counts=decision_pairs(decisions, structure, found.bits[place]))
        if structure != ALL:
            yield MeasuredPart(structure=structure, region=WHOLE_IMAGE, counts=mask_pairs(decisions, structure))
            if tolerance_mm is not None:
                surfaces = surface_pairs(decisions, structure, tolerance_mm=tolerance_mm)
                yield MeasuredPart(structure=structure, region=f"tolerance_{tolerance_mm:g}_mm", counts=surfaces)
        if truth is not None:
            for against, reference in zip(truth.members, truth.bits, strict=True):
                for counts in error_counts(decisions, reference, structure, found.bits[place]):
                    yield MeasuredPart(**told, against=against, counts=counts)


def _walk(
    members: Members, decisions: Decisions, found: VoxelSet, visitors: list[Any], *, hard: bool
) -> list[MeasuredPart]:
    """Walk over the probabilities in the set for all that need them; the divergences of pairs, for soft members."""
    classes = members.classes
    sums: dict[str, SoftSums] = {}
    if not hard:
        single = classes.exclusive
        sums = {s: SoftSums(decisions.members, exclusive=single or s != ALL) for s in decisions.structures}
    if not sums and not visitors:
        return []
    for chunk in chunks(members, found):
        for visitor in visitors:
            visitor.add(chunk)
        for place, (structure, one) in enumerate(sums.items()):
            here = chunk.inside[place]
            if here.any():
                one.add(of_structure(chunk.p[:, :, here], structure, classes.structures, exclusive=classes.exclusive))
    return [MeasuredPart(structure=s, region=found.name, counts=one.found()) for s, one in sums.items()]


def _design(members: Members, levels: Mapping[str, Levels] | None) -> tuple[SourceDesign, None] | tuple[None, Problem]:
    if levels is not None:
        missing = [info.id for info in members.infos if info.id not in levels]
        if missing:
            raise InvalidInput(
                Problem(
                    code="E408",
                    found=f"no line for {', '.join(missing)}",
                    expected="a line of the design's table for every member",
                    fix="plausible inspect shows the names of the members; add the lines that are missing",
                )
            )
        levels = {info.id: levels[info.id] for info in members.infos}
    try:
        return design_of(levels or levels_of(members.infos)), None
    except InvalidInput as error:
        return None, error.problem
