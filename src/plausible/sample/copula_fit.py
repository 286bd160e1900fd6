"""How far the copula's field must reach: its correlation length, from cases with several raters or members.

Volumes of raters spread more the further their disagreement reaches. Under the copula the variance of a volume is a sum
over pairs of voxels,

    Var V = (voxel volume)² Σ_v Σ_w [Φ₂(Φ⁻¹(p_v), Φ⁻¹(p_w); c ρ(v, w)) − p_v p_w],   ρ = exp(-d² / (2 ℓ²)),

with Φ₂ the bivariate normal distribution function and c the coherence. It grows with ℓ, so one ℓ fits the observed
variance, pooled over cases. c is fitted first, from the variance of single voxels (the pairs v = w); hard masks have 1.

Source: unpublished; the covariance of thresholded Gaussians by Plackett's integral, at p = 1/2 Sheppard's arcsine.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq
from scipy.special import ndtri

from plausible.core import Geometry, InvalidInput, Members, Problem

NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
LEAST = 1e-7
"""Voxels nearer to 0 or 1 than this vary too little to count."""
CHUNK = 2**15
DISAGREEING_CASES = "at least one case whose raters or members differ in this structure"


@dataclass(frozen=True, slots=True, eq=False)
class VolumeSpread:
    """What one case tells of one structure.

    Attributes:
        thresholds: Φ⁻¹ of the mean probability at each voxel that is neither surely inside nor outside.
        positions_mm: where these voxels are.
        volume_variance: variance of the volume over raters or members, in voxels².
        voxel_variance: variance at single voxels, summed.
        voxel_volume_ml: volume of a voxel.
    """

    thresholds: Float[np.ndarray, "n"]
    positions_mm: Float[np.ndarray, "n 3"]
    volume_variance: float
    voxel_variance: float
    voxel_volume_ml: float

    @classmethod
    def of(cls, members: Members, *, structure: str) -> "VolumeSpread":
        """Spread over raters or members around their own mean; variances divide by their number, as the mean asks for.

        Volumes of soft members are sums of probabilities.

        Raises:
            ValueError: a single rater or member, or no structure of this name.
        """
        if len(members) < 2:
            raise ValueError(f"{members.subject or 'a case'}: spread needs at least two raters or members")
        channel = members.classes.channel(structure)
        total, squares = np.zeros(members.geometry.shape), np.zeros(members.geometry.shape)
        volumes = []
        for member in members:
            values = member.probabilities[channel].astype(np.float64)
            total, squares = total + values, squares + values**2
            volumes.append(values.sum())
        mean = total / len(members)
        voxels = squares / len(members) - mean**2
        thresholds, positions_mm = uncertain_voxels(mean, members.geometry)
        volume_ml = members.geometry.voxel_volume_ml
        return cls(thresholds, positions_mm, float(np.var(volumes)), float(voxels.sum()), volume_ml)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopulaFit:
    """Correlation length that explains the spread of volumes.

    Attributes:
        correlation_mm: 0 if volumes spread no more than independent voxels do, inf if more than any length explains.
        coherence: share of the field's variance that is smooth; 1 for hard masks.
        observed_sd_ml: root mean square of the volumes' standard deviation over cases.
        independent_sd_ml: the same for independent voxels.
        n_cases: cases that had anything uncertain.
    """

    correlation_mm: float
    coherence: float
    observed_sd_ml: float
    independent_sd_ml: float
    n_cases: int


def fit_correlation_length(spreads: Sequence[VolumeSpread], *, n_pairs: int = 200_000, seed: int = 0) -> CopulaFit:
    """Correlation length of the copula whose volumes spread as those of raters or members, pooled over cases.

    Args:
        spreads: what each case tells; few raters are balanced by many cases.
        n_pairs: pairs of voxels drawn to stand for all, shared out to the cases.
        seed: of that drawing.

    Raises:
        InvalidInput: E401, no case in which anybody disagrees.
    """
    useful = [one for one in spreads if one.voxel_variance > 0 and len(one.thresholds) > 1]
    if not useful:
        found = f"{len(spreads)} cases without any disagreement"
        fix = "give cases with several raters or members, or another structure"
        raise InvalidInput(Problem(code="E401", found=found, expected=DISAGREEING_CASES, fix=fix))
    scale = [one.voxel_volume_ml**2 for one in useful]
    observed = math.fsum(s * one.volume_variance for s, one in zip(scale, useful, strict=True))
    single = math.fsum(s * one.voxel_variance for s, one in zip(scale, useful, strict=True))
    coherence = _fitted_coherence(useful, scale, single)
    random = np.random.default_rng(seed)
    pairs = [_Pairs.of(one, n_pairs=max(n_pairs // len(useful), 1000), random=random) for one in useful]

    def excess(correlation_mm: float) -> float:
        modelled = [
            s * pair.covariance(correlation_mm, coherence=coherence) for s, pair in zip(scale, pairs, strict=True)
        ]
        return single + math.fsum(modelled) - observed

    n = len(useful)
    return CopulaFit(
        correlation_mm=_root_of(excess, spreads=useful),
        coherence=coherence,
        observed_sd_ml=math.sqrt(observed / n),
        independent_sd_ml=math.sqrt(single / n),
        n_cases=n,
    )


def volume_variance_ml2(
    probability: Float[np.ndarray, "i j k"],
    geometry: Geometry,
    *,
    correlation_mm: float,
    coherence: float = 1.0,
    n_pairs: int = 200_000,
    seed: int = 0,
) -> float:
    """Variance of the volume of one structure over draws of the copula, in ml²; exact up to `n_pairs` pairs of voxels.

    More pairs are represented by so many drawn at random.
    """
    thresholds, positions_mm = uncertain_voxels(probability, geometry)
    spread = VolumeSpread(thresholds, positions_mm, 0.0, 0.0, geometry.voxel_volume_ml)
    pairs = _Pairs.of(spread, n_pairs=n_pairs, random=np.random.default_rng(seed))
    total = _single(thresholds, coherence) + pairs.covariance(correlation_mm, coherence=coherence)
    return total * geometry.voxel_volume_ml**2


def threshold_covariance(
    a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"], rho: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """Covariance of 1[X < a] and 1[Y < b] for standard normal X and Y with correlation rho from 0 to 1.

    Φ₂(a, b; ρ) − Φ(a) Φ(b) = (1/2π) ∫₀^{arcsin ρ} exp(−(a² − 2ab sin θ + b²) / (2 cos² θ)) dθ; at a = b = 0 it is
    arcsin(ρ) / 2π (Sheppard), at ρ = 1 it is min(p, q) − pq.

    Source: Plackett 1954, Biometrika 41:351 (integral over the correlation).
    """
    half = np.arcsin(rho) / 2
    total = np.zeros(len(half))
    for node, weight in zip(NODES, WEIGHTS, strict=True):
        sine = np.sin(half * (1 + node))
        # a² − 2ab s + b² = (a − b)² + 2ab (1 − s), written so that nothing cancels near s = 1
        total += weight * np.exp(-((a - b) ** 2 / (2 * (1 - sine**2)) + a * b / (1 + sine)))
    return half * total / (2 * np.pi)


def uncertain_voxels(
    probability: Float[np.ndarray, "i j k"], geometry: Geometry
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n 3"]]:
    """Thresholds Φ⁻¹(p) and positions in mm of the voxels whose probability is neither 0 nor 1."""
    open_ = (probability > LEAST) & (probability < 1 - LEAST)
    positions_mm = np.argwhere(open_) * np.asarray(geometry.spacing_mm)
    return ndtri(probability[open_].astype(np.float64)), positions_mm


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Pairs of different voxels that stand for all pairs of a case; `each` is how many one stands for."""

    a: Float[np.ndarray, "n"]
    b: Float[np.ndarray, "n"]
    squared_mm: Float[np.ndarray, "n"]
    each: float

    @classmethod
    def of(cls, spread: VolumeSpread, *, n_pairs: int, random: np.random.Generator) -> "_Pairs":
        n = len(spread.thresholds)
        if n * (n - 1) // 2 <= n_pairs:
            first, second = np.triu_indices(n, k=1)
        else:
            first = random.integers(0, n, n_pairs)
            second = (first + random.integers(1, n, n_pairs)) % n
        apart = spread.positions_mm[first] - spread.positions_mm[second]
        a, b = spread.thresholds[first], spread.thresholds[second]
        return cls(a, b, (apart**2).sum(axis=1), n * (n - 1) / max(len(first), 1))

    def covariance(self, correlation_mm: float, *, coherence: float) -> float:
        """Sum of the covariances of all pairs of different voxels."""
        if correlation_mm == 0:
            return 0.0
        rho = coherence * np.exp(-self.squared_mm / (2 * correlation_mm**2))
        near = np.flatnonzero(rho > 1e-9)
        parts = [near[start : start + CHUNK] for start in range(0, len(near), CHUNK)]
        return self.each * math.fsum(float(threshold_covariance(self.a[n], self.b[n], rho[n]).sum()) for n in parts)


def _fitted_coherence(spreads: Sequence[VolumeSpread], scale: Sequence[float], observed: float) -> float:
    def excess(coherence: float) -> float:
        own = [s * _single(one.thresholds, coherence) for s, one in zip(scale, spreads, strict=True)]
        return math.fsum(own) - observed

    return 1.0 if excess(1.0) <= 1e-3 * observed else float(brentq(excess, 0.0, 1.0, xtol=1e-4))


def _root_of(excess: Callable[[float], float], *, spreads: Sequence[VolumeSpread]) -> float:
    if excess(0.0) >= 0:
        return 0.0
    longest = 10 * max(float(np.linalg.norm(np.ptp(one.positions_mm, axis=0))) for one in spreads)
    if excess(longest) <= 0:
        return math.inf
    return float(brentq(excess, 0.0, longest, rtol=1e-3, xtol=1e-3))


def _single(thresholds: Float[np.ndarray, "n"], coherence: float) -> float:
    """Variance of single voxels, summed."""
    return float(threshold_covariance(thresholds, thresholds, np.full(len(thresholds), coherence)).sum())
