"""Losses of one case taken apart, summed over the voxels of a set: one row per part, structure and reference."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64

from plausible.core import Classes, Score
from plausible.diversity.decisions import ALL, Decisions
from plausible.diversity.decomposition import (
    DECOMPOSITIONS,
    brier_arithmetic,
    brier_bias_variance_diversity,
    cross_entropy_bias_variance_diversity,
)
from plausible.diversity.design import SourceDesign
from plausible.diversity.soft_pairwise import Chunk, of_structure
from plausible.diversity.voxel_sets import unpacked

REPEATED = {
    "brier_bias_variance_diversity": (brier_bias_variance_diversity, "1"),
    "cross_entropy_bias_variance_diversity": (cross_entropy_bias_variance_diversity, "nat"),
}
"""What takes the expected loss over repeated trainings apart."""


@dataclass(frozen=True, slots=True)
class Trials:
    """Which members are one ensemble, trained again and again.

    Attributes:
        members: places of the members, by trial and kind of member.
        over: what differs from trial to trial.
    """

    members: tuple[tuple[int, ...], ...]
    over: str


def trials_of(design: SourceDesign, names: Sequence[str]) -> Trials | None:
    """Return the trials that a design holds: its seeds, or the repeats of its cells; None if there are none."""
    cells = np.array([names.index(name) for name in design.cells]).reshape(design.shape)
    seeds = next((axis for axis, name in enumerate(design.factors) if "seed" in name.split(" = ")), None)
    axis = seeds if seeds is not None and len(design.factors) > 1 else len(design.factors)
    by_trial = np.moveaxis(cells, axis, 0).reshape(cells.shape[axis], -1)
    if len(by_trial) < 2 or by_trial.shape[1] < 2:
        return None
    over = design.factors[axis] if axis < len(design.factors) else " = ".join(design.residual) or "repeat"
    return Trials(tuple(map(tuple, by_trial.tolist())), over)


@dataclass(slots=True)
class LossSums:
    """Adds up the parts of each loss.

    Attributes:
        decisions: of the members.
        references: of the references.
        hard: whether all members are label maps; a cross-entropy of those says nothing.
        trials: which members are trained again; None without.
    """

    decisions: Decisions
    references: Decisions
    hard: bool
    trials: Trials | None = None
    _sums: dict[tuple[str, str, str, str], Float64[np.ndarray, "2"]] = field(default_factory=dict)
    _truth: list[Bool[np.ndarray, "s n"]] = field(default_factory=list)

    def __post_init__(self) -> None:
        shape = self.references.geometry.shape
        for bits in self.references.bits:
            self._truth.append(np.stack([unpacked(one, shape).ravel() for one in bits]))

    def add(self, chunk: Chunk) -> None:
        """Add voxels."""
        classes = self.decisions.classes
        for place, structure in enumerate(self.decisions.structures):
            here = chunk.inside[place]
            if not here.any() or (structure == ALL and not classes.exclusive):
                continue
            p = of_structure(chunk.p[:, :, here], structure, classes.structures, exclusive=classes.exclusive)
            for against, truth in zip(self.references.members, self._truth, strict=True):
                target = target_of(truth[:, chunk.voxels[here]], structure, classes)
                for measure, parts in self._parts(p, target):
                    for name, values in parts.items():
                        key = (measure, structure, against, name)
                        self._sums[key] = self._sums.get(key, np.zeros(2)) + np.array([values.sum(), values.size])

    def _parts(
        self, p: Float32[np.ndarray, "m c n"], target: Float64[np.ndarray, "c n"]
    ) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for entry in DECOMPOSITIONS:
            if not self.hard or entry.name == brier_arithmetic.__name__:
                yield entry.name, _told(entry.function(p, target))
        if self.trials is not None:
            repeated = p[np.array(self.trials.members)]
            for name, (decompose, _) in REPEATED.items():
                if not self.hard or name.startswith("brier"):
                    yield name, _told(decompose(repeated, target))

    def rows(self, *, subject: str, region: str) -> Iterator[Score]:
        """Means over the voxels, as rows; n counts voxels."""
        for (measure, structure, against, name), (total, n) in self._sums.items():
            unit = REPEATED[measure][1] if measure in REPEATED else DECOMPOSITIONS[measure].unit
            yield Score(
                subject=subject,
                structure=structure,
                measure=measure,
                region=region,
                reduction=name,
                value=float(total / n) if n else math.nan,
                unit=unit,
                higher_is="neither",
                n=int(n),
                against=against,
            )


def target_of(truth: Bool[np.ndarray, "s n"], structure: str, classes: Classes) -> Float64[np.ndarray, "c n"]:
    """1 in the true class: of a structure and all else, or of every class."""
    if structure == ALL:
        return np.concatenate([~truth.any(axis=0, keepdims=True), truth]).astype(np.float64)
    own = truth[classes.structures.index(structure)]
    return np.stack([~own, own]).astype(np.float64)


def _told(parts: Any) -> dict[str, np.ndarray]:
    return {f.name: getattr(parts, f.name) for f in fields(parts)}
