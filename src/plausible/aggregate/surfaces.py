"""Do the members agree on where the surface runs? Normalized surface Dice of two members at a time, in mm.

How two surfaces are compared is given from outside (`plausible.evaluate.surface` has it), so that agreement between
members and accuracy against a rater are one and the same number. Members are kept as one bit per voxel.

Pairs that both lack the structure are left out; 0 where one has it. Source: Nikolov et al. 2021, arXiv:1809.04430.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int64

from plausible.core import Catalogue, Members

CompareMasks: TypeAlias = Callable[[np.ndarray, np.ndarray], float]
"""Normalized surface Dice of two masks at the tolerance; NaN if both are empty."""


@dataclass(frozen=True, slots=True, eq=False)
class PairwiseSurfaceDice:
    """Normalized surface Dice of every pair of members.

    Attributes:
        structures: organs and targets.
        members: names of the members.
        values: of each pair m < k, in the order of `itertools.combinations`; NaN where both lack the structure.
        tolerance_mm: distance up to which two surfaces agree.
    """

    structures: tuple[str, ...]
    members: tuple[str, ...]
    values: Float[np.ndarray, "s p"]
    tolerance_mm: float

    @property
    def n_pairs(self) -> Int64[np.ndarray, " s"]:
        """Pairs of members of which at least one has the structure."""
        return np.count_nonzero(~np.isnan(self.values), axis=1).astype(np.int64)


def pairwise_surface_dice(members: Members, *, tolerance_mm: float, compare: CompareMasks) -> PairwiseSurfaceDice:
    """Walk over the members and compare the surfaces of every pair.

    Args:
        members: the plausible segmentations.
        tolerance_mm: tolerance that `compare` works with, for the rows.
        compare: normalized surface Dice of two masks.
    """
    shape, structures = members.geometry.shape, members.classes.structures
    bits = [np.packbits(one.classes.masks(one.probabilities).reshape(len(structures), -1), axis=1) for one in members]
    pairs = list(combinations(range(len(bits)), 2))
    values = np.full((len(structures), len(pairs)), math.nan)
    for s in range(len(structures)):
        masks = [_unpacked(one[s], shape) for one in bits]
        values[s] = [compare(masks[a], masks[b]) for a, b in pairs]
    names = tuple(info.id for info in members.infos)
    return PairwiseSurfaceDice(structures, names, values, tolerance_mm)


SurfaceAgreementScore: TypeAlias = Callable[[PairwiseSurfaceDice], np.ndarray]

SURFACE_AGREEMENT_SCORES: Catalogue[SurfaceAgreementScore] = Catalogue("surface agreement score")


@SURFACE_AGREEMENT_SCORES.add(
    unit="1", higher_is="better", source="Nikolov et al. 2021, arXiv:1809.04430", label="pairwise NSD"
)
def mean_pairwise_surface_dice(surfaces: PairwiseSurfaceDice) -> Float[np.ndarray, " s"]:
    """Share of the surface on which two members agree within the tolerance: mean over all pairs of members.

    From 0 (nowhere) to 1 (everywhere). NaN for a single member, and if no member has the structure.
    """
    known = ~np.isnan(surfaces.values)
    undefined = np.full(len(surfaces.structures), math.nan)
    total = np.where(known, surfaces.values, 0).sum(axis=1)
    return np.divide(total, known.sum(axis=1), out=undefined, where=known.any(axis=1))


@SURFACE_AGREEMENT_SCORES.add(
    unit="1", higher_is="better", source="smallest NSD of a pair of members", label="lowest pairwise NSD"
)
def lowest_pairwise_surface_dice(surfaces: PairwiseSurfaceDice) -> Float[np.ndarray, " s"]:
    """Normalized surface Dice of the two members whose surfaces agree least. NaN as the mean."""
    return np.fmin.reduce(surfaces.values, axis=1, initial=math.nan)


def _unpacked(bits: np.ndarray, shape: tuple[int, int, int]) -> Bool[np.ndarray, "i j k"]:
    return np.unpackbits(bits, count=math.prod(shape)).reshape(shape).astype(bool)
