"""What a patient's members span: their mean and principal components in log-odds, and the masks within reach λ.

With log-odds x_m of M members at every voxel, their mean μ and modes a_k = Σ_m u_mk (x_m - μ) / √(M - 1), where u_k are
the K leading eigenvectors of the members' centred Gram matrix, the set of reach λ holds the masks

    {μ + Σ_k b_k a_k > 0}, |b_k| ≤ λ.

λ = 1 is one standard deviation of the members along each mode. Sets grow with λ, for any number of members from two
on: M members have at most M - 1 modes, and what none of them varies on is in no mask, however large λ. Nothing is
assumed of the members; what the set holds is learnt from patients (`fit_sample_set`).

- The union of the masks is {μ + λ Σ_k |a_k| > 0}, what all share {μ - λ Σ_k |a_k| > 0}: exact, not by search.
- The best mask is looked for among those along the 3^K - 1 directions b ∈ {-1, 0, 1}^K at every λ of a grid. The set
  that is promised to hold a good mask consists of these.

The Gram matrix is that of the probabilities, which vary at contours, not of log-odds, which vary most where all
members agree. Everything is confined to the box of voxels to which some member gives `FLOOR` or more. The log-odds of
a structure are those of present against absent, so λ = 0 is the mean of log-odds above 0, which may differ from the
most probable of several classes by a few voxels. Members are walked slab by slab, three times; one slab of all members
is in memory, and per patient a few short curves are kept.

Source: Viti et al. 2026, arXiv:2505.14113 (CONSIGN: a box on principal components of samples; there for the whole label
map by argmax and with search, here per structure, in closed form).
"""

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer
from scipy.special import logit

from plausible.calibrate.counts import check_comparable
from plausible.core import Box, Members, slabs
from plausible.measure import PROBABILITY_FLOOR, default_slab_voxels

FLOOR = 0.001
"""Voxels that no member gives this probability are left out."""


def reach_grid(*, largest: float = 1000.0, first: float = 0.05, ratio: float = 1.05) -> Float[np.ndarray, " g"]:
    """Reaches on which curves are kept: 0, then from `first` to `largest` in steps of 5 %."""
    n = math.floor(math.log(largest / first) / math.log(ratio)) + 1
    return np.concatenate([[0.0], first * ratio ** np.arange(n)])


@dataclass(frozen=True, slots=True, eq=False)
class MemberModes:
    """Mean and modes of the log-odds of a structure, in a box or a slab of it.

    Attributes:
        mean: μ.
        modes: a_k, largest first.
        box: where in the image.
        shape: of the image.
        shares: part of the members' variance (of probabilities) that each mode has.
    """

    mean: Float32[np.ndarray, "i j k"]
    modes: Float32[np.ndarray, "m i j k"]
    box: Box
    shape: tuple[int, int, int]
    shares: tuple[float, ...]

    def outer(self, reach: float) -> Bool[np.ndarray, "..."]:
        """Union of the masks within reach, on the image's grid; the whole image for an infinite reach."""
        if math.isinf(reach):
            return np.ones(self.shape, dtype=bool)
        return self._placed(_mask(self.mean, np.abs(self.modes).sum(axis=0), reach))

    def inner(self, reach: float) -> Bool[np.ndarray, "..."]:
        """What all masks within reach share; nothing for an infinite reach."""
        if math.isinf(reach):
            return np.zeros(self.shape, dtype=bool)
        return self._placed(_mask(self.mean, -np.abs(self.modes).sum(axis=0), reach))

    def mask(self, signs: tuple[int, ...], reach: float) -> Bool[np.ndarray, "..."]:
        """Outermost mask along a direction."""
        return self._placed(_mask(self.mean, _along(self.modes, signs), reach))

    def _placed(self, inside: np.ndarray) -> np.ndarray:
        whole = np.zeros(self.shape, dtype=bool)
        whole[self.box] = inside
        return whole


@dataclass(frozen=True, slots=True, eq=False)
class SampleSetCurve:
    """What the sets of one patient and structure hold, by reach.

    Attributes:
        n_components: K, or fewer if there are fewer members.
        reaches: ascending from 0.
        covered: share of the reference inside the union; NaN without reference.
        best_dice: largest Dice of a mask of the set with the reference; NaN without reference.
        outer_ml: volume of the union.
        inner_ml: volume of what all masks share.
    """

    subject: str
    structure: str
    n_components: int
    reaches: Float[np.ndarray, " g"]
    covered: Float[np.ndarray, " g"]
    best_dice: Float[np.ndarray, " g"]
    outer_ml: Float[np.ndarray, " g"]
    inner_ml: Float[np.ndarray, " g"]


def member_modes(members: Members, structure: str, *, n_components: int) -> MemberModes | None:
    """Mean and modes of the members; None if no member gives the structure anywhere.

    Raises:
        ValueError: fewer than two members, no component, or a structure that they do not have.
    """
    found = _Span.of(members, structure, n_components)
    return (
        None if found is None else found.within(found.box[members.slab_axis].start, found.box[members.slab_axis].stop)
    )


def sample_set_curve(
    members: Members,
    reference: Members,
    structure: str,
    *,
    n_components: int = 2,
    reaches: Float[np.ndarray, " g"] | None = None,
) -> SampleSetCurve:
    """Measure the sets of one structure of one patient against its reference.

    Args:
        members: the predictions, two or more.
        reference: one rater, with the same classes and on the same grid.
        structure: organ or target.
        n_components: K; directions grow as 3^K.
        reaches: the grid, the same for all patients; `reach_grid()` if None.

    Raises:
        InvalidInput: E201 or E202, the reference lies on another grid; E103, it has other classes.
        ValueError: fewer than two members, no component, or not exactly one reference.
    """
    if len(reference) != 1:
        raise ValueError(f"{members.subject}: one reference is needed, got {len(reference)}; select a rater")
    check_comparable(members, reference)
    grid = reach_grid() if reaches is None else reaches
    span = _Span.of(members, structure, n_components)
    counts = _Counts.none(len(grid), min(n_components, len(members) - 1))
    n_reference = 0
    aligned = replace(reference, slab_axis=members.slab_axis)
    for start, stop in slabs(members, slab_voxels=default_slab_voxels(members)):
        (truth,) = aligned.slab(start, stop)
        mask = truth.classes.masks(truth.probabilities)[truth.classes.structures.index(structure)]
        n_reference += int(np.count_nonzero(mask))
        if span is not None and (part := span.overlap(start, stop)):
            inside = list(span.box)
            inside[members.slab_axis] = slice(part[0] - start, part[1] - start)
            counts.add(span.within(*part), mask[tuple(inside)], grid)
    return counts.curve(members, structure, grid, n_reference)


def directions(n_components: int) -> list[tuple[int, ...]]:
    """Directions along which masks are looked at: all of {-1, 0, 1}^K but 0."""
    return [signs for signs in itertools.product((0, 1, -1), repeat=n_components) if any(signs)]


@dataclass(frozen=True, slots=True, eq=False)
class _Span:
    """Where the members are and how they are combined into modes.

    Attributes:
        vectors: u_k in columns.
    """

    members: Members
    channel: int
    box: Box
    vectors: Float[np.ndarray, "m k"]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, members: Members, structure: str, n_components: int) -> "_Span | None":
        if len(members) < 2 or n_components < 1:
            raise ValueError(
                f"{members.subject}: two members and one component are needed, got {len(members)} and {n_components}"
            )
        if structure not in members.classes.structures:
            raise ValueError(f"no structure {structure!r}; there are: {', '.join(members.classes.structures)}")
        channel = members.classes.channel(structure)
        box = _box(members, channel)
        if box is None:
            return None
        gram = np.zeros((len(members), len(members)))
        bare = cls(members, channel, box, np.eye(len(members)), ())
        for start, stop in slabs(members, slab_voxels=default_slab_voxels(members)):
            if part := bare.overlap(start, stop):
                values = bare.read(*part).reshape(len(members), -1).astype(np.float64)
                centred = values - values.mean(axis=0)
                gram += centred @ centred.T
        variances, vectors = np.linalg.eigh(gram)
        order = np.argsort(variances)[::-1][: min(n_components, len(members) - 1)]
        total = float(variances.sum())
        shares = tuple(float(max(v, 0)) / total if total else 0.0 for v in variances[order])
        return cls(members, channel, box, vectors[:, order], shares)

    def overlap(self, start: int, stop: int) -> tuple[int, int] | None:
        """Part of a slab that lies in the box."""
        side = self.box[self.members.slab_axis]
        first, last = max(start, side.start), min(stop, side.stop)
        return (first, last) if first < last else None

    def read(self, start: int, stop: int) -> Float32[np.ndarray, "m i j k"]:
        """Probabilities of all members in a slab of the box."""
        inside = list(self.box)
        inside[self.members.slab_axis] = slice(None)
        place = tuple(inside)
        return np.stack([member.probabilities[self.channel][place] for member in self.members.slab(start, stop)])

    def within(self, start: int, stop: int) -> MemberModes:
        """Mean and modes in a slab of the box."""
        p = np.clip(self.read(start, stop), PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
        odds = logit(p)
        mean = odds.mean(axis=0)
        odds -= mean
        scaled = (self.vectors.T / math.sqrt(len(odds) - 1)).astype(np.float32)
        modes = np.tensordot(scaled, odds, axes=1)
        box = list(self.box)
        box[self.members.slab_axis] = slice(start, stop)
        return MemberModes(mean, modes, (box[0], box[1], box[2]), self.members.geometry.shape, self.shares)


def _box(members: Members, channel: int) -> Box | None:
    """Box of the voxels to which some member gives enough."""
    axis = members.slab_axis
    seen = [np.zeros(n, dtype=bool) for n in members.geometry.shape]
    for start, stop in slabs(members, slab_voxels=default_slab_voxels(members)):
        for member in members.slab(start, stop):
            enough = member.probabilities[channel] >= FLOOR
            for side in range(3):
                along = enough.any(axis=tuple({0, 1, 2} - {side}))
                seen[side][slice(start, stop) if side == axis else slice(None)] |= along
    if not seen[0].any():
        return None
    ends = [(int(np.flatnonzero(one)[0]), int(np.flatnonzero(one)[-1]) + 1) for one in seen]
    return slice(*ends[0]), slice(*ends[1]), slice(*ends[2])


@dataclass(frozen=True, slots=True, eq=False)
class _Counts:
    """Voxels of the masks by reach, summed over slabs: of the union, of what is shared, and along each direction."""

    outer: Integer[np.ndarray, "2 g"]
    inner: Integer[np.ndarray, "2 g"]
    along: Integer[np.ndarray, "d 2 g"]
    ways: list[tuple[int, ...]]

    @classmethod
    def none(cls, n_reaches: int, n_components: int) -> "_Counts":
        ways = directions(n_components)
        empty = np.zeros((2, n_reaches), dtype=np.int64)
        return cls(empty, empty.copy(), np.zeros((len(ways), 2, n_reaches), dtype=np.int64), ways)

    def add(self, modes: MemberModes, reference: Bool[np.ndarray, "i j k"], grid: Float[np.ndarray, " g"]) -> None:
        spread = np.abs(modes.modes).sum(axis=0)
        self.outer[:] += _held(modes.mean, spread, reference, grid)
        self.inner[:] += _held(modes.mean, -spread, reference, grid)
        for number, signs in enumerate(self.ways):
            self.along[number] += _held(modes.mean, _along(modes.modes, signs), reference, grid)

    def curve(
        self, members: Members, structure: str, grid: Float[np.ndarray, " g"], n_reference: int
    ) -> SampleSetCurve:
        voxel_ml = members.geometry.voxel_volume_ml
        undefined = np.full(len(grid), math.nan)
        best = undefined
        if n_reference:
            dice = 2 * self.along[:, 1] / (self.along[:, 0] + n_reference)
            best = np.maximum.accumulate(dice.max(axis=0, initial=0.0))
        return SampleSetCurve(
            subject=members.subject,
            structure=structure,
            n_components=len(self.ways[0]),
            reaches=grid,
            covered=self.outer[1] / n_reference if n_reference else undefined,
            best_dice=best,
            outer_ml=self.outer[0] * voxel_ml,
            inner_ml=self.inner[0] * voxel_ml,
        )


def _along(modes: Float32[np.ndarray, "m i j k"], signs: tuple[int, ...]) -> Float32[np.ndarray, "i j k"]:
    return np.tensordot(np.asarray(signs, dtype=np.float32), modes, axes=1)


def _mask(mean: np.ndarray, slope: np.ndarray, reach: float) -> Bool[np.ndarray, "i j k"]:
    """Voxels of {mean + reach · slope > 0}, decided by where they turn, as in `_held`."""
    at = _turn(mean, slope)
    return np.where(slope > 0, (mean > 0) | (reach > at), (mean > 0) & (reach < at))


def _turn(mean: np.ndarray, slope: np.ndarray) -> Float[np.ndarray, "*any"]:
    """Reach at which a voxel turns; infinite where it never does."""
    turns = ((mean > 0) != (slope > 0)) & (slope != 0)
    found = np.full(mean.shape, np.inf)
    return np.divide(-mean, slope, out=found, where=turns, dtype=np.float64)


def _held(
    mean: Float32[np.ndarray, "i j k"],
    slope: Float32[np.ndarray, "i j k"],
    reference: Bool[np.ndarray, "i j k"],
    grid: Float[np.ndarray, " g"],
) -> Integer[np.ndarray, "2 g"]:
    """Voxels of {mean + λ slope > 0}, and those of the reference among them, for every λ; each voxel turns once."""
    place = _turn(mean, slope)
    turns = np.isfinite(place)
    at, rises, true = place[turns], slope[turns] > 0, reference[turns]
    first = np.where(rises, np.searchsorted(grid, at, side="right"), np.searchsorted(grid, at, side="left"))
    found = np.empty((2, len(grid)), dtype=np.int64)
    for row, chosen in enumerate((np.ones_like(true), true)):
        on = np.bincount(first[rises & chosen], minlength=len(grid) + 1)[: len(grid)]
        off = np.bincount(first[~rises & chosen], minlength=len(grid) + 1)[: len(grid)]
        start = np.count_nonzero(mean > 0) if row == 0 else np.count_nonzero((mean > 0) & reference)
        found[row] = start + np.cumsum(on) - np.cumsum(off)
    return found
