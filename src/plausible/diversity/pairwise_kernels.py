"""The arithmetic that runs once per pair of members and voxel, compiled: bits that differ, divergences.

Import this module where it is needed, not before: it loads numba. Kernels run in one thread and release Python's lock.
"""

from typing import Any

import numpy as np
from numba import float32, float64, int64, njit, types, uint64, void

from plausible.core.compiled import compiled

BITS = types.Array(uint64, 3, "C", readonly=True)
FLAGS = types.Array(uint64, 2, "C", readonly=True)
SOFT = types.Array(float32, 3, "C", readonly=True)
BLOCK = 512
"""Words that are looked at together, so that those of all members stay in the nearest caches."""


@njit(inline="always")
def _ones(word: Any) -> Any:
    """Bits of a word that are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled(void(BITS, int64[:, ::1]))
def add_different(bits: Any, differ: Any) -> None:
    """Add, for every two members, the voxels in which any of their bits (member, structure, word) differs."""
    n_members, n_structures, n_words = bits.shape
    apart = np.empty(BLOCK, np.uint64)
    for start in range(0, n_words, BLOCK):
        size = min(BLOCK, n_words - start)
        for a in range(n_members):
            for b in range(a + 1, n_members):
                for v in range(size):
                    apart[v] = bits[a, 0, start + v] ^ bits[b, 0, start + v]
                for s in range(1, n_structures):
                    for v in range(size):
                        apart[v] |= bits[a, s, start + v] ^ bits[b, s, start + v]
                found = 0
                for v in range(size):
                    found += _ones(apart[v])
                differ[a, b] += found
                differ[b, a] += found


@compiled(void(FLAGS, int64[:, ::1]))
def add_shared(flags: Any, both: Any) -> None:
    """Add, for every two members, the voxels flagged for both (member, word); the diagonal has those of one."""
    n_members, n_words = flags.shape
    for start in range(0, n_words, BLOCK):
        size = min(BLOCK, n_words - start)
        for a in range(n_members):
            for b in range(a, n_members):
                found = 0
                for v in range(size):
                    found += _ones(flags[a, start + v] & flags[b, start + v])
                both[a, b] += found
                if b > a:
                    both[b, a] += found


@compiled(void(SOFT, float64[:, ::1]))
def add_mixed_entropy(p: Any, found: Any) -> None:
    """Add, for every two members, the entropy of the mean of their probabilities (member, class, voxel), in nats."""
    n_members, n_classes, n = p.shape
    for a in range(n_members):
        for b in range(a, n_members):
            sum_of = 0.0
            for c in range(n_classes):
                for v in range(n):
                    middle = 0.5 * (np.float64(p[a, c, v]) + np.float64(p[b, c, v]))
                    if middle > 0.0:
                        sum_of -= middle * np.log(middle)
            found[a, b] += sum_of
            if b > a:
                found[b, a] += sum_of
