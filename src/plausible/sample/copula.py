"""Plausible masks from a mean probability alone: a smooth random field decides, so that neighbouring voxels agree.

A tool that saves only soft maps says at each voxel how likely the structure is, and not which voxels go together. The
copula adds that: z is a Gaussian random field with mean 0, variance 1 and correlation

    corr(z(v), z(w)) = exp(-d² / (2 ℓ²)),   d the distance of v and w in mm, ℓ = `correlation_mm`

and a draw is y(v) = 1[Φ(z(v)) < p(v)]. Each voxel keeps its probability exactly; ℓ is the distance at which the
correlation of the field has fallen to exp(-1/2) = 0.61. ℓ = 0 makes voxels independent: no plausible contour, and the
variance of a volume then vanishes as 1/N (negative control). ℓ = inf is one random number for the whole image.

The correlation is a product over the axes, so a field is white noise times the square root of one correlation matrix
per axis. Nothing is periodic and nothing padded: variance and correlation are exact up to the border, at any spacing.

Source: unpublished.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Float32
from scipy.special import ndtr, ndtri

from plausible.core import Geometry, InvalidInput, Member, MemberInfo, Problem
from plausible.core.problems import located

METHOD = "gaussian_field_copula"
BLOCK = 2**15
"""Columns that are multiplied at a time, so that a field needs no second copy of itself."""
BELOW_ONE = np.nextafter(np.float32(1), np.float32(0))
"""Φ(z) in float32 may round to 1; a voxel of probability 1 must stay inside."""

FieldsOf: TypeAlias = Literal["own", "shared"]
Decide: TypeAlias = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class CopulaSettings:
    """How masks are drawn from a mean probability.

    Attributes:
        correlation_mm: distance in mm at which the correlation of the field has fallen to exp(-1/2). 0 makes voxels
            independent, inf moves the whole image together.
        coherence: share of the field's variance that is smooth. 1 draws hard masks; below 1 a draw is the probability
            that is left when only the smooth part is known, a soft member. Their mean is the mean probability again.
        fields: own gives each structure a field of its own; shared takes one for all, so that structures inside each
            other stay inside each other. By default own for exclusive classes, shared for overlapping regions.
    """

    correlation_mm: float = 5.0
    coherence: float = 1.0
    fields: FieldsOf | None = None

    def __post_init__(self) -> None:
        if not self.correlation_mm >= 0:
            raise ValueError(f"correlation_mm must be at least 0, got {self.correlation_mm}")
        if not 0 < self.coherence <= 1:
            raise ValueError(f"coherence must lie above 0 and up to 1, got {self.coherence}")

    def fields_for(self, *, exclusive: bool) -> FieldsOf:
        """Whether structures have a field each or share one."""
        return self.fields or ("own" if exclusive else "shared")


@dataclass(frozen=True, slots=True, eq=False)
class GaussianField:
    """Law of a Gaussian random field on a grid: mean 0, variance 1, a Gaussian correlation in mm.

    Attributes:
        roots: per axis a square root of the correlation matrix, rows of length one; None if voxels are independent.
    """

    shape: tuple[int, int, int]
    roots: tuple[Float32[np.ndarray, "_ _"] | None, ...]

    @classmethod
    def of(cls, geometry: Geometry, *, correlation_mm: float) -> "GaussianField":
        """Law on this grid; the spacing of each axis counts."""
        pairs = zip(geometry.shape, geometry.spacing_mm, strict=True)
        return cls(
            geometry.shape,
            tuple(_root(n, spacing / correlation_mm if correlation_mm else np.inf) for n, spacing in pairs),
        )

    def draw(self, random: np.random.Generator) -> Float32[np.ndarray, "i j k"]:
        """One field. Memory: the field, and a few per cent of it."""
        values = random.standard_normal(self.shape, dtype=np.float32)
        along_i, along_j, along_k = self.roots
        for plane in values:
            if along_j is not None:
                plane[...] = along_j @ plane
            if along_k is not None:
                plane[...] = plane @ along_k.T
        if along_i is not None:
            columns = values.reshape(self.shape[0], -1)
            for start in range(0, columns.shape[1], BLOCK):
                columns[:, start : start + BLOCK] = along_i @ columns[:, start : start + BLOCK]
        return values


def draw_members(
    mean: Member, *, draws: Sequence[int], seed: int, settings: CopulaSettings | None = None, subject: str = ""
) -> Iterator[Member]:
    """Yield plausible segmentations of a mean probability, one in memory at a time.

    Exclusive classes with a field each: the last structure takes a voxel with its probability, the one before it with
    its probability among those that are left, and so on; what nobody took is background. With one field for all, the
    interval from 0 to 1 is cut in the order of the channels, the last structure innermost. Either way each class has
    its probability exactly at each voxel.

    Args:
        mean: the mean probability of one image. Where it is 0 or 1, all draws agree with it.
        draws: numbers of the draws; a draw depends on its number, the seed and the subject, and on no other draw.
        seed: of everything random.
        settings: correlation length and what else the law has.
        subject: name of the case; two cases get different fields.

    Raises:
        InvalidInput: E315, the prediction is a label map: there is nothing to sample.
    """
    chosen = settings or CopulaSettings()
    box = uncertain_box(mean.probabilities)
    if mean.hard:
        raise InvalidInput(located(nothing_to_sample(), subject=subject))
    certain = np.asarray(mean.probabilities >= 0.5, dtype=np.float32)
    grid = Geometry(certain[0][box].shape, mean.geometry.affine)
    law = GaussianField.of(grid, correlation_mm=chosen.correlation_mm)
    inside = mean.probabilities[(slice(None), *box)]
    fields = chosen.fields_for(exclusive=mean.classes.exclusive)
    for draw in draws:
        values = certain.copy()
        decide = _decision(law, chosen.coherence, fields, entropy=[seed, _number(subject), draw])
        values[(slice(None), *box)] = _segmentation(inside, decide, exclusive=mean.classes.exclusive, fields=fields)
        info = MemberInfo(id=f"draw_{draw}", kind="draw", method=METHOD, draw=draw, seed=seed)
        yield Member(values, mean.geometry, mean.classes, info, hard=chosen.coherence == 1)


def nothing_to_sample() -> Problem:
    """Return the problem of a prediction that leaves nothing open."""
    return Problem(
        code="E315",
        found="a label map: every voxel is 0 or 1",
        expected="probabilities, as nnUNetv2_predict --save_probabilities writes them",
        fix="predict again and save probabilities, or assess several label maps as members (plausible assess)",
    )


def uncertain_box(probabilities: Float32[np.ndarray, "c i j k"]) -> tuple[slice, slice, slice]:
    """Smallest box that holds every voxel with a probability between 0 and 1; one voxel if there is none."""
    unsure = ((probabilities > 0) & (probabilities < 1)).any(axis=0)
    if not unsure.any():
        return slice(1), slice(1), slice(1)
    spans = [np.flatnonzero(np.any(unsure, axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    i, j, k = (slice(int(span[0]), int(span[-1]) + 1) for span in spans)
    return i, j, k


def conditional_probability(
    p: Float[np.ndarray, "*shape"], z: Float[np.ndarray, "*shape"], *, coherence: float
) -> Float32[np.ndarray, "*shape"]:
    """Probability of each voxel once the smooth part z of the field is known; 0 or 1 if all of it is smooth.

    Φ((Φ⁻¹(p) − √w z) / √(1 − w)) with w the coherence; its mean over z is p.
    """
    if coherence == 1:
        return np.asarray(np.minimum(ndtr(z), BELOW_ONE) < p, dtype=np.float32)
    scaled = ndtri(p)
    scaled -= np.float32(np.sqrt(coherence)) * z
    scaled /= np.float32(np.sqrt(1 - coherence))
    return np.asarray(ndtr(scaled), dtype=np.float32)


def _root(n: int, step: float) -> Float32[np.ndarray, "n n"] | None:
    """Symmetric square root of the correlation matrix of n voxels that are `step` correlation lengths apart."""
    if np.exp(-(step**2) / 2) < np.finfo(np.float32).eps:
        return None
    lags = np.arange(n)[:, None] - np.arange(n)
    values, vectors = np.linalg.eigh(np.exp(-((lags * step) ** 2) / 2))
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return np.asarray(root / np.linalg.norm(root, axis=1, keepdims=True), dtype=np.float32)


def _decision(law: GaussianField, coherence: float, fields: FieldsOf, *, entropy: Sequence[int]) -> Decide:
    def field(number: int) -> np.ndarray:
        return law.draw(np.random.default_rng([*entropy, number]))

    shared = field(0) if fields == "shared" else None

    def decide(p: np.ndarray, structure: int) -> np.ndarray:
        z = field(structure) if shared is None else shared
        return conditional_probability(p, z, coherence=coherence)

    return decide


def _segmentation(p: np.ndarray, decide: Decide, *, exclusive: bool, fields: FieldsOf) -> np.ndarray:
    if not exclusive:
        return np.stack([decide(channel, c) for c, channel in enumerate(p)])
    return _nested(p, decide) if fields == "shared" else _one_after_another(p, decide)


def _one_after_another(p: np.ndarray, decide: Decide) -> np.ndarray:
    """Classes by stick breaking, from the last to the first; the background takes what is left."""
    drawn = np.empty(p.shape, dtype=np.float32)
    free, left = np.ones(p.shape[1:], dtype=np.float32), p.sum(axis=0)
    for c in range(len(p) - 1, 0, -1):
        among_left = np.divide(p[c], left, out=np.zeros_like(left), where=left > 0)
        drawn[c] = free * decide(np.minimum(among_left, 1), c)
        free -= drawn[c]
        left -= p[c]
    drawn[0] = free
    return drawn


def _nested(p: np.ndarray, decide: Decide) -> np.ndarray:
    """Classes as an ordered partition: {class ≥ c} shrinks with c, by one field."""
    drawn, total, above = np.empty(p.shape, dtype=np.float32), p.sum(axis=0), np.zeros_like(p[0])
    inner = np.zeros_like(above)
    for c in range(len(p) - 1, 0, -1):
        above += p[c]
        outer = decide(np.minimum(above / total, 1), c)
        drawn[c] = outer - inner
        inner = outer
    drawn[0] = 1 - inner
    return drawn


def _number(subject: str) -> int:
    return int.from_bytes(hashlib.sha256(subject.encode()).digest()[:8], "little")
