"""One segmentation out of many: what do the members, or the raters, say together?

A pool is a `Member` again, so that whatever takes members takes it too. Soft pools (linear, weighted, logarithmic)
average probabilities; hard ones (majority, STAPLE, shape-based average, medoid) begin with each member's mask, the most
probable class or p > 0.5 for overlapping regions, and give probabilities 0 and 1, STAPLE's excepted.

Pool first and calibrate then: an average of calibrated members is underconfident itself (Ranjan and Gneiting 2010;
Rahaman and Thiery 2021, arXiv:2007.08792).

Two masks that are both empty agree in full here: a decision must be able to say that a structure is absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Float32

from plausible.aggregate.agreement import PairwiseOverlap, pairwise_dice
from plausible.core import Catalogue, Classes, Member, MemberInfo, Members, collect
from plausible.measure import PROBABILITY_FLOOR, VoteCounts, VoxelStatistics, mean_probability

Pool: TypeAlias = Callable[..., Member]

POOLS: Catalogue[Pool] = Catalogue("pool")

Ties: TypeAlias = Literal["background", "foreground"]
"""Where a voxel goes that as many members put into a structure as leave it out."""


@POOLS.add(unit="1", higher_is="neither", source="Stone 1961, doi:10.1214/aoms/1177704873")
def linear_pool(members: Members, *, slab_voxels: int | None = None) -> Member:
    """Mean of the members' probabilities.

    p̄ = (1/M) Σ_m p_m, the distribution with the smallest mean KL(p_m ‖ q).
    """
    mean = mean_probability(collect(members, VoxelStatistics, slab_voxels=slab_voxels)[VoxelStatistics])
    return as_pool(mean, members, "linear_pool")


@POOLS.add(unit="1", higher_is="neither", source="Stone 1961, doi:10.1214/aoms/1177704873")
def weighted_pool(members: Members, *, weights: Mapping[str, float]) -> Member:
    """Weighted mean of the members' probabilities: Σ_m w_m p_m, streamed member by member.

    Args:
        members: the plausible segmentations.
        weights: by name of the member; at least 0 and together 1. `stacking_weights` learns them on held-out cases.

    Raises:
        ValueError: a member without a weight, a weight without a member, a negative one, or a sum that is not 1.
    """
    check_weights(weights, members)
    pooled = np.zeros((len(members.classes.names), *members.geometry.shape), np.float32)
    for member in members:
        pooled += np.float32(weights[member.info.id]) * member.probabilities
    return as_pool(np.clip(pooled, 0, 1), members, "weighted_pool")


@POOLS.add(unit="1", higher_is="neither", source="Genest and Zidek 1986, doi:10.1214/ss/1177013825")
def logarithmic_pool(
    members: Members, *, weights: Mapping[str, float] | None = None, floor: float = PROBABILITY_FLOOR
) -> Member:
    """Normalised geometric mean of the members' probabilities (a mean of logits).

    g ∝ Π_m p_m^w_m, the distribution with the smallest mean KL(q ‖ p_m); per region for overlapping regions. Sharper
    than the linear pool: one member's 0 all but vetoes a class, whatever the others say.

    Args:
        members: the plausible segmentations.
        weights: by name of the member; at least 0 and together 1. None weighs all alike.
        floor: smallest probability inside the logarithm, so that contradicting vetoes leave a distribution.

    Raises:
        ValueError: weights as in `weighted_pool`, or a floor that is not between 0 and 1.
    """
    if not 0 < floor < 1:
        raise ValueError(f"floor must lie between 0 and 1, got {floor}")
    shares = weights or {info.id: 1 / len(members) for info in members.infos}
    check_weights(shares, members)
    total = np.zeros((len(members.classes.names), *members.geometry.shape), np.float32)
    for member in members:
        p = np.maximum(member.probabilities, np.float32(floor))
        logs = np.log(p)
        if not members.classes.exclusive:
            logs -= np.log(np.maximum(1 - member.probabilities, np.float32(floor)))
        total += np.float32(shares[member.info.id]) * logs
    return as_pool(_normalised(total, exclusive=members.classes.exclusive), members, "logarithmic_pool")


@POOLS.add(unit="1", higher_is="neither", source="majority vote")
def majority_vote(members: Members, *, ties: Ties, slab_voxels: int | None = None) -> Member:
    """What most members say at each voxel.

    Exclusive classes: the class with most votes, the background one of them; of two structures with as many votes, the
    first one. Overlapping regions: what more than half of the members mark.

    Args:
        members: the plausible segmentations.
        ties: where a voxel goes whose best structure has as many votes as the background (regions: exactly half).
            With an even number of members it decides the volume; published code breaks ties towards the lower label,
            the background, without saying so.
        slab_voxels: work in slabs of about this many voxels.
    """
    counts = collect(members, VoteCounts, slab_voxels=slab_voxels)[VoteCounts]
    votes = counts.votes.astype(np.int32)
    if not members.classes.exclusive:
        against = counts.n_members - votes
        masks = votes > against if ties == "background" else votes >= against
        return as_hard_pool(masks, members, "majority_vote")
    background = counts.n_members - votes.sum(axis=0)
    best = votes.max(axis=0)
    wins = best > background if ties == "background" else (best >= background) & (best > 0)
    first = votes.argmax(axis=0)
    masks = np.stack([wins & (first == s) for s in range(len(votes))])
    return as_hard_pool(masks, members, "majority_vote")


@POOLS.add(unit="1", higher_is="neither", source="Kaufman and Rousseeuw 1987 (medoid); here by Dice")
def medoid(members: Members, *, slab_voxels: int | None = None) -> Member:
    """The member that is most like all others: always a segmentation that somebody made.

    Its name stands in `info.id`. See `medoid_of`.
    """
    overlap = collect(members, PairwiseOverlap, slab_voxels=slab_voxels)[PairwiseOverlap]
    return next(iter(members.select([medoid_of(overlap)])))


def medoid_of(overlap: PairwiseOverlap) -> str:
    """Name of the member with the largest sum of Dice to all members, mean over the structures; the first of equals.

    argmax_i Σ_j Σ_s Dice_s(i, j). Members that both lack a structure agree on it in full (Dice 1).
    """
    agreement = np.nan_to_num(pairwise_dice(overlap), nan=1.0).sum(axis=(0, 2))
    return overlap.members[int(np.argmax(agreement.round(12)))]


def check_weights(weights: Mapping[str, float], members: Members) -> None:
    """Refuse weights that are not one share per member.

    Raises:
        ValueError: a member without a weight, a weight without a member, a negative one, or a sum that is not 1.
    """
    ids = {info.id for info in members.infos}
    if set(weights) != ids:
        raise ValueError(f"need one weight per member: {', '.join(sorted(ids))}; got {', '.join(sorted(weights))}")
    if min(weights.values()) < 0 or abs(sum(weights.values()) - 1) > 1e-6:
        raise ValueError(f"weights must be at least 0 and sum to 1, got {dict(weights)}")


def as_pool(p: Float[np.ndarray, "c i j k"], members: Members, name: str) -> Member:
    """Return pooled probabilities as a member."""
    info = MemberInfo(id=name, kind="pool", method=name)
    return Member(p.astype(np.float32, copy=False), members.geometry, members.classes, info)


def as_hard_pool(masks: Bool[np.ndarray, "s i j k"], members: Members, name: str) -> Member:
    """Return pooled masks as a member; what no structure has is background."""
    return replace(as_pool(channels_of(masks, members.classes), members, name), hard=True)


def channels_of(foreground: np.ndarray, classes: Classes) -> Float32[np.ndarray, "c i j k"]:
    """Channels of masks or probabilities of the structures: exclusive classes get a background, the rest up to 1."""
    p = foreground.astype(np.float32)
    if not classes.exclusive:
        return p
    total = p.sum(axis=0)
    p /= np.maximum(total, 1)
    return np.concatenate([np.maximum(1 - total, 0)[np.newaxis], p])


def _normalised(logs: Float32[np.ndarray, "c i j k"], *, exclusive: bool) -> Float32[np.ndarray, "c i j k"]:
    """Probabilities from mean logarithms (exclusive classes) or mean logits (regions)."""
    if not exclusive:
        return 1 / (1 + np.exp(-logs))
    odds = np.exp(logs - logs.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0))
