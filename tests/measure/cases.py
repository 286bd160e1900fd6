"""Members to measure: soft, confident, alike or hard, of exclusive classes, overlapping regions or a single region."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from plausible.core import ArraySource, Classes, Entry, Geometry, Member, MemberInfo, Members, collect

SHAPE = (5, 7, 11)
KINDS = {
    "classes": Classes.exclusive_of({"background": 0, "liver": 1, "kidney": 2, "spleen": 5}),
    "two classes": Classes.exclusive_of({"background": 0, "liver": 1}),
    "regions": Classes.overlapping_of({"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}),
    "one region": Classes.overlapping_of({"whole": [1]}),
}
SHARPNESS = {"soft": 1.0, "confident": 12.0, "alike": 1.0, "hard": np.inf}


@dataclass(frozen=True)
class Example:
    """The members of one small image, and what they are."""

    stack: np.ndarray
    classes: Classes

    @property
    def members(self) -> Members:
        return members_of(self.stack, self.classes)


def random_stack(
    classes: Classes,
    *,
    n_members: int,
    seed: int,
    shape: tuple[int, int, int] = SHAPE,
    sharpness: str = "soft",
) -> np.ndarray:
    """Probabilities `m c i j k` in float32."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_members, len(classes.names), *shape))
    if sharpness == "hard":
        best = logits == logits.max(axis=1, keepdims=True) if classes.exclusive else logits > 0
        return best.astype(np.float32)
    if sharpness == "alike":
        logits = logits[0] + 1e-4 * logits
    logits *= SHARPNESS[sharpness]
    if not classes.exclusive:
        return (1 / (1 + np.exp(-logits))).astype(np.float32)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32)


@st.composite
def examples(draw: st.DrawFn, *, min_members: int = 2, sharpness: str | None = None) -> Example:
    classes = KINDS[draw(st.sampled_from(list(KINDS)))]
    shape = draw(st.sampled_from([SHAPE, (1, 1, 1), (3, 1, 260)]))
    sharp = sharpness or draw(st.sampled_from(list(SHARPNESS)))
    n_members = draw(st.integers(min_members, 5))
    seed = draw(st.integers(0, 2**16))
    return Example(random_stack(classes, n_members=n_members, seed=seed, shape=shape, sharpness=sharp), classes)


def grid(shape: tuple[int, ...]) -> Geometry:
    return Geometry((shape[0], shape[1], shape[2]), np.diag([0.7, 1.1, 3.0, 1.0]))


def members_of(arrays: np.ndarray | list[np.ndarray], classes: Classes, *, slab_axis: int = 0) -> Members:
    """Members as they are, not checked and not clipped."""
    sources = tuple(ArraySource(array, MemberInfo(id=f"m{n}")) for n, array in enumerate(arrays))
    return Members(grid(arrays[0].shape[1:]), classes, sources, "s1", sliceable=True, slab_axis=slab_axis)


def member_of(array: np.ndarray, classes: Classes) -> Member:
    return next(iter(members_of([array], classes)))


def read(entry: Entry, members: Members, **walking) -> np.ndarray:
    """One measure of members."""
    assert entry.reads is not None
    return entry.function(collect(members, entry.reads, **walking)[entry.reads])
