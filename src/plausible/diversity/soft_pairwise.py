"""The probabilities of all members in the voxels of a set, side by side, and the divergences of every two members.

Losses that are taken apart and variance by source are read from the same walk. Of each member only the voxels of the
set are kept, as float32; in slabs where members can be read in slabs. What visits them adds up what it needs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64

from plausible.core import Members, slabs
from plausible.diversity.decisions import ALL
from plausible.diversity.decomposition import floored_logarithms
from plausible.diversity.pairwise import SoftPairs
from plausible.diversity.voxel_sets import VoxelSet, unpacked

BLOCK = 1 << 15
"""Voxels that are worked on together."""
SLAB_VALUES = 1 << 24
"""Probabilities of all members that a slab holds at most, about; 64 MiB."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some voxels with the probabilities of all members.

    Attributes:
        p: probabilities by member, channel and voxel.
        inside: whether a voxel is in the set of each structure, then of all together.
        voxels: place of each voxel in the image, in C order.
    """

    p: Float32[np.ndarray, "m c n"]
    inside: Bool[np.ndarray, "s n"]
    voxels: Int64[np.ndarray, " n"]


def chunks(members: Members, voxels: VoxelSet) -> Iterator[Chunk]:
    """Yield the voxels of a set with the probabilities of all members, block after block."""
    shape = members.geometry.shape
    inside = np.stack([unpacked(bits, shape) for bits in voxels.bits])
    number = np.arange(inside[0].size, dtype=np.int64).reshape(shape)
    per_voxel = len(members) * len(members.classes.names)
    step = max(1, SLAB_VALUES // per_voxel) if members.sliceable else None
    for start, stop in slabs(members, slab_voxels=step):
        part = (slice(None),) * members.slab_axis + (slice(start, stop),)
        here = inside[(slice(None), *part)]
        kept = np.asarray(here.any(axis=0))
        if not kept.any():
            continue
        p = np.stack([one.probabilities[:, kept] for one in members.slab(start, stop)])
        yield from _blocks(Chunk(p, here[:, kept], number[part][kept]))


def _blocks(chunk: Chunk) -> Iterator[Chunk]:
    for start in range(0, len(chunk.voxels), BLOCK):
        part = slice(start, start + BLOCK)
        yield Chunk(np.ascontiguousarray(chunk.p[:, :, part]), chunk.inside[:, part], chunk.voxels[part])


def of_structure(
    p: Float[np.ndarray, "m c n"], structure: str, structures: Sequence[str], *, exclusive: bool
) -> Float[np.ndarray, "m k n"]:
    """Probabilities of a structure and of all else; of every class where they are about all structures together."""
    if structure == ALL:
        return p
    channel = p[:, structures.index(structure) + int(exclusive)]
    return np.ascontiguousarray(np.stack([1 - channel, channel], axis=1))


@dataclass(slots=True)
class SoftSums:
    """Adds up the divergences of every two members of one structure.

    Attributes:
        members: names.
        exclusive: whether channels are classes of one distribution; else each is one of its own, and they are added.
    """

    members: tuple[str, ...]
    exclusive: bool = True
    n: int = 0
    kl: Float64[np.ndarray, "m m"] = field(init=False)
    js: Float64[np.ndarray, "m m"] = field(init=False)

    def __post_init__(self) -> None:
        self.kl, self.js = np.zeros((2, len(self.members), len(self.members)))

    def add(self, p: Float32[np.ndarray, "m c n"]) -> None:
        """Add voxels."""
        self.n += p.shape[2]
        for one in [p] if self.exclusive else [np.stack([1 - c, c], axis=1) for c in np.moveaxis(p, 1, 0)]:
            kl, js = divergences(np.ascontiguousarray(one))
            self.kl += kl
            self.js += js

    def found(self) -> SoftPairs:
        """Return the sums."""
        return SoftPairs(self.members, np.full(self.kl.shape, float(self.n)), self.kl, self.js)


def divergences(p: Float32[np.ndarray, "m c n"]) -> tuple[Float64[np.ndarray, "m m"], Float64[np.ndarray, "m m"]]:
    """Sums over voxels of the Kullback-Leibler and the Jensen-Shannon divergence of every two members, in nats."""
    from plausible.diversity.pairwise_kernels import add_mixed_entropy

    logs = floored_logarithms(p).reshape(len(p), -1)
    cross = np.exp(logs) @ logs.T
    kl = np.maximum(np.diagonal(cross)[:, np.newaxis] - cross, 0)
    mixed = np.zeros(kl.shape)
    add_mixed_entropy(p, mixed)
    own = np.diagonal(mixed)
    js = np.maximum(mixed - (own[:, np.newaxis] + own[np.newaxis]) / 2, 0)
    np.fill_diagonal(kl, 0)
    np.fill_diagonal(js, 0)
    return kl, js
