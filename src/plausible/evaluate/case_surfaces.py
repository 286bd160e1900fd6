"""Surfaces of all predictions against those of all raters: each surface, and the distances to it, are made once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from plausible.aggregate.hard import HardMap
from plausible.core import Box, Geometry
from plausible.evaluate.case_counts import Truth
from plausible.evaluate.case_walk import in_order
from plausible.evaluate.surface import (
    SURFACE_SCORES,
    DistanceField,
    Surface,
    SurfaceDistances,
    normalized_surface_dice,
)

Pair: TypeAlias = tuple[str, str]
"""What a prediction is called, and the rater."""
Maps: TypeAlias = Mapping[str, tuple[HardMap, list[Box | None]]]
"""Decisions by name, with the boxes around the structures."""


@dataclass(frozen=True, slots=True)
class SurfaceScores:
    """Every surface score of two masks, by name, and how many elements both surfaces have."""

    values: Mapping[str, float]
    n_elements: int

    @classmethod
    def of(cls, distances: SurfaceDistances, *, tolerance_mm: float) -> "SurfaceScores":
        """Read every score."""
        values = {}
        for entry in SURFACE_SCORES:
            told = {"tolerance_mm": tolerance_mm} if entry.name == normalized_surface_dice.__name__ else {}
            values[entry.name] = entry.function(distances, **told)
        return cls(values, distances.n_elements)


def surface_scores(
    hard: Mapping[str, HardMap], truths: Sequence[Truth], geometry: Geometry, *, tolerance_mm: float, n_threads: int
) -> list[dict[Pair, SurfaceScores]]:
    """Scores of every prediction against every rater, for each structure.

    Args:
        hard: decisions of the predictions.
        truths: the raters.
        geometry: grid of all.
        tolerance_mm: tolerance of the normalized surface Dice.
        n_threads: structures that are worked on at a time.
    """
    predictions = {name: (each, each.boxes()) for name, each in hard.items()}
    references = {truth.name: (truth.hard, truth.hard.boxes()) for truth in truths}
    n_structures = truths[0].hard.n_structures

    def of_structure(s: int) -> dict[Pair, SurfaceScores]:
        ours, theirs = (_surfaces(maps, s, geometry) for maps in (predictions, references))
        return _compared(ours, theirs, tolerance_mm)

    return list(in_order(of_structure, range(n_structures), n_threads))


def _surfaces(maps: Maps, s: int, geometry: Geometry) -> dict[str, Surface]:
    """Surface of one structure in every segmentation, looked for in its box."""
    i, j, k = geometry.shape
    found = {}
    for name, (hard, boxes) in maps.items():
        box = boxes[s] or (slice(0, 0), slice(0, 0), slice(0, 0))
        found[name] = Surface.of(
            hard.mask(s, box=box),
            spacing_mm=geometry.spacing_mm,
            offset=(box[0].start, box[1].start, box[2].start),
            flat=(i == 1, j == 1, k == 1),
        )
    return found


def _compared(
    ours: Mapping[str, Surface], theirs: Mapping[str, Surface], tolerance_mm: float
) -> dict[Pair, SurfaceScores]:
    to_theirs = {rater: DistanceField.around(surface, list(ours.values())) for rater, surface in theirs.items()}
    found = {}
    for name, surface in ours.items():
        to_ours = DistanceField.around(surface, list(theirs.values()))
        for rater, other in theirs.items():
            distances = SurfaceDistances(*to_theirs[rater].from_surface(surface), *to_ours.from_surface(other))
            found[name, rater] = SurfaceScores.of(distances, tolerance_mm=tolerance_mm)
    return found
