"""How well do people agree among themselves? The human ceiling: rows of raters beside those of the model.

A rater is scored as the model is: against every other rater, or against the consensus of the *others*, so that nobody
is compared with a consensus that holds his own contour. `reduction` is "rater:<id>". Against a consensus of one rater
fewer than the model's, `against` says so: "consensus_staple:without_rater_2".

With two raters the others are one rater, and every consensus is that rater. With one there are no rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from jaxtyping import Bool

from plausible.aggregate import MaskStack
from plausible.core import Geometry, Members, Score, collect
from plausible.evaluate.overlap import OVERLAP_SCORES, overlap
from plausible.evaluate.references import CONSENSUS, REFERENCES, references_of
from plausible.evaluate.surface import SURFACE_SCORES, surface_distances

RATER = "rater:"


def ceiling_rows(
    raters: Members,
    choices: Sequence[str] = ("each",),
    *,
    tolerance_mm: float,
    seed: int = 0,
    subject: str = "",
    slab_voxels: int | None = None,
) -> list[Score]:
    """Score every rater as a model would be: overlap and surfaces, against what the model is scored against.

    Args:
        raters: the raters of one case; of all of them the masks are kept, one bit a voxel.
        choices: references, as in `references_of`.
        tolerance_mm: tolerance of the normalized surface Dice.
        seed: of the choice "random".
        subject: name for the rows; the raters' own if empty.
        slab_voxels: read in slabs of about this many voxels.

    Returns:
        Rows; none for a single rater.

    Raises:
        InvalidInput: E106, a choice that is neither known nor a rater of this case.
    """
    if len(raters) < 2:
        return []
    named = subject or raters.subject
    stack = collect(raters, MaskStack, slab_voxels=slab_voxels)[MaskStack]
    scorer = _Scorer(raters.geometry, tolerance_mm, named)
    rows: list[Score] = []
    pooled = [choice for choice in choices if choice in REFERENCES and choice.startswith(CONSENSUS)]
    people = [choice for choice in choices if choice not in pooled]
    if people:
        references = [info.id for info in references_of(raters, people, seed=seed, subject=named).infos]
        rows += _against_raters(stack, references, scorer)
    for choice in pooled:
        rows += _against_the_others(raters, choice, stack, scorer, slab_voxels)
    return rows


@dataclass(frozen=True, slots=True, eq=False)
class _Scorer:
    """Scores one mask against another; what is the same both ways is made once."""

    geometry: Geometry
    tolerance_mm: float
    subject: str
    seen: dict[tuple[frozenset[str], str], list[tuple[str, float, int]]] = field(default_factory=dict)

    def rows(
        self,
        first: Bool[np.ndarray, "i j k"],
        second: Bool[np.ndarray, "i j k"],
        *,
        pair: tuple[str, str],
        named: Mapping[str, str],
    ) -> Iterator[Score]:
        """Yield overlap and surface scores of two masks; surfaces by the names of the pair and the structure."""
        counts = overlap(first, second, voxel_volume_ml=self.geometry.voxel_volume_ml)
        for entry in OVERLAP_SCORES:
            yield Score(
                subject=self.subject, measure=entry.name, value=entry.function(counts), unit=entry.unit,
                higher_is=entry.higher_is, n=counts.n_union, **named,
            )  # fmt: skip
        key = frozenset(pair), named["structure"]
        if key not in self.seen:
            self.seen[key] = self._surfaces(first, second)
        for name, value, n in self.seen[key]:
            surface = SURFACE_SCORES[name]
            region = f"tolerance_{self.tolerance_mm:g}_mm" if name == "normalized_surface_dice" else ""
            yield Score(
                subject=self.subject, measure=name, value=value, unit=surface.unit, higher_is=surface.higher_is, n=n,
                region=region, **named,
            )  # fmt: skip

    def _surfaces(
        self, first: Bool[np.ndarray, "i j k"], second: Bool[np.ndarray, "i j k"]
    ) -> list[tuple[str, float, int]]:
        distances = surface_distances(first, second, spacing_mm=self.geometry.spacing_mm)
        found = []
        for entry in SURFACE_SCORES:
            told = {"tolerance_mm": self.tolerance_mm} if entry.name == "normalized_surface_dice" else {}
            found.append((entry.name, entry.function(distances, **told), distances.n_elements))
        return found


def _against_raters(stack: MaskStack, references: Sequence[str], scorer: _Scorer) -> Iterator[Score]:
    for against, rater in product(references, stack.members):
        other = against.removeprefix("random:")
        if rater == other:
            continue
        for s, structure in enumerate(stack.structures):
            masks = (stack.mask(stack.members.index(name), s) for name in (rater, other))
            named = {"structure": structure, "reduction": RATER + rater, "against": against}
            yield from scorer.rows(*masks, pair=(rater, other), named=named)


def _against_the_others(
    raters: Members, choice: str, stack: MaskStack, scorer: _Scorer, slab_voxels: int | None
) -> Iterator[Score]:
    for r, rater in enumerate(stack.members):
        others = raters.select([name for name in stack.members if name != rater])
        (consensus,) = references_of(others, [choice], slab_voxels=slab_voxels)
        against = f"{choice}:without_{rater}"
        masks = consensus.classes.masks(consensus.probabilities)
        for s, structure in enumerate(stack.structures):
            named = {"structure": structure, "reduction": RATER + rater, "against": against}
            yield from scorer.rows(stack.mask(r, s), masks[s], pair=(rater, against), named=named)
