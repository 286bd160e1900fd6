"""A pool of members, read before any choice: what the scores of any few of them together need.

Of each case is kept what the scores of a weighted mean of members need: the probabilities on a voxel set, and sums. The
set is every voxel that any member of the pool or any rater marks, and what lies within a margin of it; it is the same
for all subsets, so that they can be compared, and no voxel outside can ever be marked by a mean of members.

With w the shares of the members (0 for those left out), Brier score and volume CRPS are quadratic forms in w, so that a
subset costs a few multiplications whatever the size of the image; the log loss needs one pass over the voxel set, the
area under risk and coverage a mask per case (`pool_scores`). With several raters scores are means over the raters.

Sources: Krogh and Vedelsby 1995 (a mean's squared error as a quadratic form); Gneiting and Raftery 2007,
doi:10.1198/016214506000001437 (CRPS).
"""

import math
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Float32, Float64, UInt8

from plausible.aggregate import MemberVolumes, PairwiseOverlap, pairwise_dice
from plausible.aggregate.regions import grown
from plausible.core import InvalidInput, Members, Problem, collect
from plausible.measure import VoteCounts

MARGIN_MM = 5.0
"""How far around what anybody marks the background counts."""

Weights: TypeAlias = Float64[np.ndarray, " m"]
"""Share of each member of the pool; they sum to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class QuadraticForm:
    """A score that is constant + linear · w + w · quadratic · w in the shares w of the members."""

    constant: float
    linear: Float64[np.ndarray, " m"]
    quadratic: Float64[np.ndarray, "m m"]

    def __call__(self, weights: Weights) -> float:
        """Return the score of these shares."""
        return float(self.constant + weights @ self.linear + weights @ self.quadratic @ weights)

    def at(self, places: Sequence[int]) -> "QuadraticForm":
        """Return the form of only these members."""
        return QuadraticForm(self.constant, self.linear[list(places)], self.quadratic[np.ix_(places, places)])


@dataclass(frozen=True, slots=True, eq=False)
class PoolCase:
    """What is kept of one case of the pool.

    Attributes:
        members: names of the members, in the order of the first axes.
        structures: organs and targets.
        probabilities: of every member on the voxel set.
        hard: decision of every member: the channel of exclusive classes, or 0 and 1 per region (q of them).
        truth: decision of every rater, likewise.
        likelihood: probability that each member gave to what a rater says, once per voxel (region) and answer given.
        answers: share of the raters who gave that answer; sums to voxels times regions.
        dice: Dice of every two members, on the whole image.
        volumes_ml, raters_ml: volume of each mask, on the whole image.
        brier: Brier score of a mean of members, on the voxel set.
        crps: CRPS of the members' volumes, mean over raters and structures, in ml.
        n_voxels: voxels of the set; more than are kept if it was sampled.
    """

    subject: str
    members: tuple[str, ...]
    structures: tuple[str, ...]
    probabilities: Float32[np.ndarray, "m c v"]
    hard: UInt8[np.ndarray, "m q v"]
    truth: UInt8[np.ndarray, "r q v"]
    likelihood: Float32[np.ndarray, "m n"]
    answers: Float32[np.ndarray, " n"]
    dice: Float[np.ndarray, "s m m"]
    volumes_ml: Float[np.ndarray, "m s"]
    raters_ml: Float[np.ndarray, "r s"]
    brier: QuadraticForm
    crps: QuadraticForm
    n_voxels: int

    @property
    def exclusive(self) -> bool:
        """Whether a voxel belongs to one class only."""
        return self.hard.shape[1] != self.probabilities.shape[1]

    def mean(self, weights: Weights) -> Float32[np.ndarray, "c v"]:
        """Probabilities of the weighted mean."""
        used = np.flatnonzero(weights)
        return np.asarray(np.tensordot(weights[used].astype(np.float32), self.probabilities[used], 1))

    def select(self, ids: Sequence[str]) -> "PoolCase":
        """Return the case with only these members, in this order, on the same voxel set."""
        at = [self.members.index(one) for one in ids]
        return replace(
            self,
            members=tuple(ids),
            probabilities=self.probabilities[at],
            hard=self.hard[at],
            likelihood=self.likelihood[at],
            dice=self.dice[:, at][:, :, at],
            volumes_ml=self.volumes_ml[at],
            brier=self.brier.at(at),
            crps=self.crps.at(at),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Cases that the same members have predicted.

    Raises:
        InvalidInput: E415, a case with other members; E416, no case.
    """

    cases: tuple[PoolCase, ...]

    def __post_init__(self) -> None:
        if not self.cases:
            raise InvalidInput(_no_cases())
        for case in self.cases:
            if case.members != self.members:
                raise InvalidInput(_other_members(case, self.members))

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members."""
        return self.cases[0].members

    @property
    def subjects(self) -> tuple[str, ...]:
        """Names of the cases."""
        return tuple(case.subject for case in self.cases)

    def only(self, subjects: Collection[str]) -> "Pool":
        """Return the pool on only these cases.

        Raises:
            InvalidInput: E416, none of them is there.
        """
        return Pool(tuple(case for case in self.cases if case.subject in subjects))

    def select(self, ids: Sequence[str]) -> "Pool":
        """Return only these members, in this order; the pool itself if these are its members."""
        return self if tuple(ids) == self.members else Pool(tuple(case.select(ids) for case in self.cases))

    def equal(self, ids: Sequence[str]) -> Weights:
        """Shares of members that count alike; a member named twice counts twice."""
        weights = np.zeros(len(self.members))
        for one in ids:
            weights[self.members.index(one)] += 1 / len(ids)
        return weights


def pool_case(
    members: Members, raters: Members, *, margin_mm: float = MARGIN_MM, max_voxels: int | None = None, seed: int = 0
) -> PoolCase:
    """Read a case once over for its voxel set and once for its probabilities.

    Args:
        members: all of the pool.
        raters: the references.
        margin_mm: how far around what anybody marks the background counts.
        max_voxels: keep a random sample of the voxel set if it has more; log loss, Brier score, Dice and silent
            failures are then estimates from it. Volumes and agreement stay exact.
        seed: of the sample.
    """
    found = collect(members, PairwiseOverlap, MemberVolumes, VoteCounts)
    drawn = collect(raters, MemberVolumes, VoteCounts)
    marked = np.asarray(np.concatenate([found[VoteCounts].votes, drawn[VoteCounts].votes]).any(axis=0))
    places = np.flatnonzero(grown(marked, margin_mm=margin_mm, spacing_mm=members.geometry.spacing_mm))
    n_voxels = len(places)
    if max_voxels is not None and n_voxels > max_voxels:
        rng = np.random.default_rng([seed, zlib.crc32(members.subject.encode())])
        places = np.sort(rng.choice(places, max_voxels, replace=False))
    p, y = _values(members, places), _values(raters, places)
    exclusive = members.classes.exclusive
    share = y.mean(axis=0, dtype=np.float32)
    likelihood, answers = _likelihood(p, share, exclusive=exclusive)
    volumes, drawn_ml = found[MemberVolumes].volumes_ml, drawn[MemberVolumes].volumes_ml
    return PoolCase(
        subject=members.subject,
        members=tuple(info.id for info in members.infos),
        structures=members.classes.structures,
        probabilities=p,
        hard=decided(p, exclusive=exclusive),
        truth=decided(y, exclusive=exclusive),
        likelihood=likelihood,
        answers=answers,
        dice=pairwise_dice(found[PairwiseOverlap]),
        volumes_ml=volumes,
        raters_ml=drawn_ml,
        brier=brier_form(p, share, exclusive=exclusive),
        crps=crps_form(volumes, drawn_ml),
        n_voxels=n_voxels,
    )


def brier_form(p: Float32[np.ndarray, "m c v"], share: Float32[np.ndarray, "c v"], *, exclusive: bool) -> QuadraticForm:
    """Brier score of a weighted mean: E_r Σ_c (Σ_m w_m p_m - y_r)², mean over voxels; a region counts as two classes.

    NaN without voxels.
    """
    m, c, v = p.shape
    scale = 1 / v if exclusive and v else 2 / (c * v) if v else math.nan
    flat, target = p.reshape(m, c * v).astype(np.float64), share.ravel().astype(np.float64)
    return QuadraticForm(float(target.sum()) * scale, -2 * scale * (flat @ target), scale * (flat @ flat.T))


def crps_form(members_ml: Float[np.ndarray, "m s"], raters_ml: Float[np.ndarray, "r s"]) -> QuadraticForm:
    """CRPS of weighted volumes: E_r Σ_m w_m |x_m - y_r| - ½ ΣΣ w_m w_k |x_m - x_k|, mean over structures, in ml."""
    apart = np.abs(members_ml[:, np.newaxis] - raters_ml).mean(axis=(1, 2))
    spread = np.abs(members_ml[:, np.newaxis] - members_ml).mean(axis=2)
    return QuadraticForm(0.0, apart, -spread / 2)


def _values(members: Members, places: np.ndarray) -> Float32[np.ndarray, "m c v"]:
    n_classes = len(members.classes.names)
    return np.stack([member.probabilities.reshape(n_classes, -1)[:, places] for member in members])


def decided(p: Float32[np.ndarray, "m c v"], *, exclusive: bool) -> UInt8[np.ndarray, "m q v"]:
    """Most probable channel of exclusive classes, or 1 where p > 0.5 for each region."""
    return p.argmax(axis=1)[:, np.newaxis].astype(np.uint8) if exclusive else (p > 0.5).astype(np.uint8)


def _likelihood(
    p: Float32[np.ndarray, "m c v"], share: Float32[np.ndarray, "c v"], *, exclusive: bool
) -> tuple[Float32[np.ndarray, "m n"], Float32[np.ndarray, " n"]]:
    said = share > 0
    if exclusive:
        return p[:, said], share[said]
    against = share < 1
    return (
        np.concatenate([p[:, said], 1 - p[:, against]], axis=1),
        np.concatenate([share[said], 1 - share[against]]),
    )


def _no_cases() -> Problem:
    return Problem(
        code="E416",
        found="no case that has members and a reference",
        expected="at least one case to select on, and others to judge on",
        fix="give --references, and lists of cases that are there",
    )


def _other_members(case: PoolCase, members: Sequence[str]) -> Problem:
    return Problem(
        code="E415",
        subject=case.subject,
        found=f"members {', '.join(case.members)}",
        expected=f"those of the other cases: {', '.join(members)}",
        fix="predict the missing members (plausible predict), or leave this case out",
    )
