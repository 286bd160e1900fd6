"""The hard decision of one segmentation at every voxel, in few bytes: labels, or one bit per overlapping region."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer, UInt8, UInt64

from plausible.core import Box, Classes, Member
from plausible.measure.layout import Order, channels, memory_order

WORD = 8
"""Regions per word."""


@dataclass(frozen=True, slots=True, eq=False)
class HardMap:
    """Which structures each voxel belongs to.

    Attributes:
        words: exclusive classes have one, the channel; overlapping regions one bit each, eight to a word.
        n_structures: without the background.
        exclusive: whether the only word holds channels.
    """

    words: Integer[np.ndarray, "w i j k"]
    n_structures: int
    exclusive: bool

    @classmethod
    def of(cls, member: Member) -> "HardMap":
        """Decide for the most probable class, or for p > 0.5 of overlapping regions; equals go to the first class."""
        n, p = len(member.classes.structures), member.probabilities
        if member.classes.exclusive:
            return cls(labels_of(p)[np.newaxis], n, exclusive=True)
        masks = p > 0.5
        words = [_bits_of(masks[start : start + WORD]) for start in range(0, n, WORD)]
        return cls(np.stack(words), n, exclusive=False)

    def join(self, *others: "HardMap", axis: int) -> "HardMap":
        """Return the decisions in this and further slabs, one after the other along an axis."""
        words = np.concatenate([part.words for part in (self, *others)], axis=axis + 1)
        return HardMap(words, self.n_structures, self.exclusive)

    def slab(self, start: int, stop: int, *, axis: int) -> "HardMap":
        """Return a part, which shares its memory with the whole."""
        words = self.words[(slice(None),) * (axis + 1) + (slice(start, stop),)]
        return HardMap(words, self.n_structures, self.exclusive)

    def mask(self, structure: int, *, box: Box | None = None) -> Bool[np.ndarray, "i j k"]:
        """Mask of one structure by its place, in a box or everywhere."""
        words = self.words if box is None else self.words[(slice(None), *box)]
        if self.exclusive:
            return np.asarray(words[0] == structure + 1)
        return (words[structure // WORD] >> np.uint8(structure % WORD) & 1).view(np.bool_)

    def bits(self) -> UInt64[np.ndarray, "s w"]:
        """One bit per voxel and structure, in C order, as `plausible.aggregate.agreement.bits_of` packs them."""
        if self.exclusive:
            return packed_labels(self.words[0], self.n_structures).view(np.uint64)
        return pack_masks(np.stack([self.mask(s) for s in range(self.n_structures)]))

    def boxes(self) -> list[Box | None]:
        """Smallest box around each structure; None where it is empty."""
        from plausible.aggregate.hard_kernels import write_boxes

        shape = self.words.shape[1:]
        found = np.empty((-(-self.n_structures // WORD) * WORD, 2, 3), np.int64)
        found[:, 0], found[:, 1] = max(shape), 0
        for n, word in enumerate(self.words):
            part = found if self.exclusive else found[n * WORD : (n + 1) * WORD]
            write_boxes(np.ascontiguousarray(word), not self.exclusive, part)
        return [_box(low, high) for low, high in found[: self.n_structures].tolist()]


def labels_of(p: np.ndarray) -> Integer[np.ndarray, "i j k"]:
    """Most probable channel of exclusive classes; equals go to the first. In the order of the probabilities."""
    from plausible.aggregate.hard_kernels import write_labels

    order = memory_order(p)
    flat, stride = channels(p, order)
    labels = np.empty(p[0].size, np.uint8 if len(p) <= 256 else np.uint16)
    write_labels(flat, stride, len(p), labels)
    return in_order(labels, order, p.shape[1:])


def channel_sums(p: np.ndarray) -> Float64[np.ndarray, " c"]:
    """Sum of every channel, in float64."""
    from plausible.aggregate.hard_kernels import add_channels

    sums = np.zeros(len(p))
    add_channels(*channels(p, memory_order(p)), sums)
    return sums


def packed_labels(labels: Integer[np.ndarray, "i j k"], n_structures: int) -> UInt8[np.ndarray, "s b"]:
    """One bit per voxel in C order, as `np.packbits` of the masks of the labels from 1 gives, in whole words of 64."""
    from plausible.aggregate.hard_kernels import pack_labels

    bits = np.zeros((n_structures, -(-labels.size // 64) * 8), np.uint8)
    pack_labels(np.ascontiguousarray(labels).ravel(), bits)
    return bits


def pack_masks(masks: Bool[np.ndarray, "s i j k"]) -> UInt64[np.ndarray, "s w"]:
    """One bit per voxel, filled up with zeros to whole words of 64."""
    packed = np.packbits(masks.reshape(len(masks), -1), axis=1)
    return np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)


def in_order(flat: np.ndarray, order: Order, shape: tuple[int, ...]) -> np.ndarray:
    """View values of voxels that follow in some order of the axes as `i j k`."""
    axes = [axis - 1 for axis in order[1:]]
    return np.asarray(flat.reshape([shape[axis] for axis in axes]).transpose(np.argsort(axes)))


def is_one_hot(classes: Classes, p: np.ndarray) -> bool:
    """Whether every voxel belongs to one class in full."""
    return bool(classes.exclusive and ((p == 0) | (p == 1)).all() and (p.sum(axis=0) == 1).all())


def _bits_of(masks: np.ndarray) -> UInt8[np.ndarray, "i j k"]:
    word = np.zeros(masks.shape[1:], np.uint8)
    for bit, mask in enumerate(masks):
        word |= mask.view(np.uint8) << np.uint8(bit)
    return word


def _box(low: list[int], high: list[int]) -> Box | None:
    if high[0] <= low[0]:
        return None
    i, j, k = (slice(a, b) for a, b in zip(low, high, strict=True))
    return i, j, k
