"""Contours of a case: the nominal one of each structure, and its lines of equal probability."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from plausible.aggregate.outlines import Outlines, class_outlines, mask_outlines, probability_outlines
from plausible.aggregate.tracing import Level, levels_of
from plausible.core import Contours, LoopKind, Problem, standard_name
from plausible.report.case_panels import STRUCTURE_COLOURS
from plausible.runs.export_case import ResultOfCase
from plausible.runs.export_names import renamed, roi_names
from plausible.runs.export_settings import Holes

KINDS: dict[str, LoopKind] = {"nested": "CLOSED_PLANAR", "xor": "CLOSEDPLANAR_XOR"}
SMALL_PX = 2.0
"""Below this radius, in voxels, the area inside contours is a few percent off."""
HALF = Level("p50", "50 %", 0.5)
SUFFIXES = {"p05": ("_p05", "_any"), "p50": ("_p50", "_half"), "p95": ("_p95", "_all")}
"""Of a level: soft members, hard members."""
SHADES = {"p05": 0.65, "p50": 0.35, "p95": -0.25}
"""How far a band's colour is from its structure's: towards white, or below 0 towards black."""


@dataclass(frozen=True, slots=True, eq=False)
class NamedOutlines:
    """Outlines with what they are called in the file, and what they are.

    Attributes:
        level: the level's key, e.g. "p05"; "" for the nominal contour.
        meaning: full text for the file.
    """

    contours: Contours
    outlines: Outlines
    structure: str
    level: str
    meaning: str


def contours_of(case: ResultOfCase, *, holes: Holes, tg263: bool) -> tuple[NamedOutlines, ...]:
    """Trace every structure: the nominal contour, then its bands; those without a line are left out.

    Args:
        case: results on the grid of the series.
        holes: "nested" loops, or the standard's explicit exclusive or.
        tg263: call structures by their names of AAPM TG-263 where they are known.
    """
    levels = _levels(case)
    suffix = {level.key: SUFFIXES[level.key][case.hard] for level in levels}
    called = _called(case.classes.structures, tg263=tg263)
    names = roi_names(list(called.values()), list(suffix.values()))
    found = list[NamedOutlines]()
    for n, (structure, base) in enumerate(called.items()):
        for level, outlines in _traced(case, structure, levels):
            key = level.key if level else ""
            colour = _shaded(STRUCTURE_COLOURS[n % len(STRUCTURE_COLOURS)], SHADES.get(key, 0.0))
            name, number = names[base, suffix.get(key, "")], len(found) + 1
            if outlines.loops:
                loops = tuple(replace(loop, kind=KINDS[holes]) for loop in outlines.loops)
                meaning = _meaning(case, structure, level, outlines)
                contours = Contours(name, number, loops, colour)
                found.append(NamedOutlines(contours, outlines, structure, key, meaning))
    return tuple(found)


def doubts(found: Sequence[NamedOutlines], *, subject: str) -> Iterator[Problem]:
    """Warn of contours that others may read differently: holes, small structures, lost parts."""
    told = (
        ("holes", [f"{one.contours.name} ({one.outlines.n_holes})" for one in found if one.outlines.n_holes]),
        ("radius below 2 voxels", [one.contours.name for one in found if one.outlines.radius_px < SMALL_PX]),
        (
            "parts too small to draw",
            [f"{one.contours.name} ({one.outlines.n_lost})" for one in found if one.outlines.n_lost],
        ),
    )
    for what, names in told:
        if names:
            yield Problem(
                code="E626",
                subject=subject,
                severity="warning",
                found=f"{what}: {', '.join(names)}",
                expected="contours without holes, of 2 voxels of radius and more",
                fix="look at them in the program that will use them; --to seg has every voxel",
            )


def _levels(case: ResultOfCase) -> tuple[Level, ...]:
    """Levels that differ from each other: one hard member has none, of two "any" is "half"."""
    if case.hard and case.n_members == 1:
        return ()
    levels = levels_of(hard=case.hard, n_members=case.n_members)
    return tuple(one for n, one in enumerate(levels) if one.threshold not in {other.threshold for other in levels[:n]})


def _traced(case: ResultOfCase, structure: str, levels: Sequence[Level]) -> Iterator[tuple[Level | None, Outlines]]:
    probability = case.bands.frame(structure)
    yield None, _nominal(case, structure)
    yield from zip(levels, probability_outlines(probability, case.geometry, levels, hard=case.hard), strict=True)


def _nominal(case: ResultOfCase, structure: str) -> Outlines:
    if case.hard:
        return mask_outlines(case.mask(structure), case.geometry)
    if case.classes.exclusive:
        return class_outlines(case.mean.values, case.geometry, channel=case.classes.channel(structure))
    (half,) = probability_outlines(case.mean.frame(structure), case.geometry, (HALF,), hard=False)
    return half


def _called(structures: Sequence[str], *, tg263: bool) -> dict[str, str]:
    if not tg263:
        return {one: one for one in structures}

    return renamed(structures, {one: standard_name(one) for one in structures})


def _meaning(case: ResultOfCase, structure: str, level: Level | None, outlines: Outlines) -> str:
    parts = [_what(case, structure, level), f"From {case.members or f'{case.n_members} members'}."]
    if outlines.n_holes:
        parts.append(f"{outlines.n_holes} loops are holes: some programs fill them.")
    if outlines.radius_px < SMALL_PX:
        parts.append("Radius below 2 voxels: the area inside may be a few percent off.")
    return " ".join([*parts, "Made automatically, not reviewed. Research use only."])


def _what(case: ResultOfCase, structure: str, level: Level | None) -> str:
    if level is None:
        return f"{structure}: nominal contour, the segmentation of the mean of the members."
    if case.hard:
        return f"{structure}: marked by {level.label} of {case.n_members}. Members are label maps."
    calibrated = "calibrated" if case.calibrated else "not calibrated"
    return (
        f"{structure}: {level.label} line of the mean probability, which is {calibrated}. It is meant voxel by voxel: "
        "the space between the 5 % and the 95 % line does not hold the whole true contour with 90 %."
    )


def _shaded(colour: str, towards: float) -> tuple[int, int, int]:
    rgb = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)])
    mixed = rgb + abs(towards) * ((255 if towards > 0 else 0) - rgb)
    return int(mixed[0]), int(mixed[1]), int(mixed[2])
