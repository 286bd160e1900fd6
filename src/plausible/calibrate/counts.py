"""One case against its reference at every threshold of the mean probability: two counts per threshold, no voxels.

The set at threshold t is {p̄ ≥ t}. Voxels are sorted into the grid's bins slab by slab, by which side of the reference
they lie on, so that counts are exact at the grid and memory depends neither on image size nor on the number of cases.

The grid is even in log-odds, because the thresholds that matter lie close to 0 and 1: nearly all voxels of a confident
network do. Its first point, 0, gives the whole image, its last, infinity, the empty set.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Integer
from scipy.special import expit

from plausible.core import InvalidInput, Member, Members, Problem, walk
from plausible.measure import VoxelStatistics, default_slab_voxels, mean_probability

N_THRESHOLDS = 1004
LARGEST_LOG_ODDS = 10.0


def log_odds_grid(n: int = N_THRESHOLDS) -> Float[np.ndarray, " t"]:
    """Thresholds from 0 (whole image) over 4.5e-5 ... 0.5 ... 1 - 4.5e-5 and 1 to infinity (empty set).

    Values are rounded to float32, as probabilities are, so that p ≥ t is decided alike everywhere. An odd n leaves
    0.5 out.
    """
    inner = expit(np.linspace(-LARGEST_LOG_ODDS, LARGEST_LOG_ODDS, n - 3)).astype(np.float32)
    return np.concatenate([[0.0], inner.astype(np.float64), [1.0, np.inf]])


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdCounts:
    """Voxels of {p̄ ≥ t} inside and outside the reference of one structure, for every threshold. Slabs add.

    Attributes:
        subject: the patient.
        structure: organ or target.
        thresholds: ascending, from 0 to infinity.
        inside: voxels of the set that the reference marks.
        outside: voxels of the set that it does not mark.
        voxel_volume_ml: volume of one voxel.
    """

    subject: str
    structure: str
    thresholds: Float[np.ndarray, " t"]
    inside: Integer[np.ndarray, " t"]
    outside: Integer[np.ndarray, " t"]
    voxel_volume_ml: float

    @classmethod
    def of(
        cls,
        probability: Float[np.ndarray, "i j k"],
        reference: Bool[np.ndarray, "i j k"],
        *,
        thresholds: Float[np.ndarray, " t"],
        voxel_volume_ml: float,
        subject: str = "",
        structure: str = "",
    ) -> "ThresholdCounts":
        """Count one structure in an image or a slab of it.

        Raises:
            ValueError: thresholds that do not ascend from 0 to infinity.
        """
        if thresholds[0] != 0 or not np.isinf(thresholds[-1]) or (np.diff(thresholds) <= 0).any():
            raise ValueError("thresholds must ascend from 0 (whole image) to infinity (empty set)")
        edges = thresholds[1:-1].astype(np.float32)
        n_bins = len(edges) + 1
        above = probability >= edges[0]
        place = np.searchsorted(edges, probability[above], side="right")
        place[~reference[above]] += n_bins
        counts = np.bincount(place, minlength=2 * n_bins).reshape(2, n_bins)
        at_least = counts[:, ::-1].cumsum(axis=1)[:, ::-1]
        at_least[:, 0] = np.count_nonzero(reference), np.count_nonzero(~reference)
        inside, outside = np.pad(at_least, ((0, 0), (0, 1)))
        return cls(subject, structure, thresholds, inside, outside, voxel_volume_ml)

    def join(self, *others: "ThresholdCounts") -> "ThresholdCounts":
        """Return the counts over this and further slabs of the same image."""
        parts = (self, *others)
        inside = np.sum([part.inside for part in parts], axis=0)
        return replace(self, inside=inside, outside=np.sum([part.outside for part in parts], axis=0))

    @property
    def n_reference(self) -> int:
        """Voxels of the reference; 0 if the structure is absent."""
        return int(self.inside[0])


def threshold_counts(
    members: Members,
    reference: Members,
    *,
    thresholds: Float[np.ndarray, " t"] | None = None,
    slab_voxels: int | None = None,
) -> tuple[ThresholdCounts, ...]:
    """Count every structure of one case in one walk over its members.

    Args:
        members: the predictions; their mean probability is thresholded.
        reference: one rater, with the same classes and on the same grid.
        thresholds: the grid, the same for all cases; `log_odds_grid()` if None.
        slab_voxels: work in slabs of about this many voxels; None lets the kind of file decide.

    Raises:
        InvalidInput: E201 or E202, the reference lies on another grid; E103, it has other classes.
        ValueError: no members, or not exactly one reference.
    """
    _check(members, reference)
    grid = log_odds_grid() if thresholds is None else thresholds
    aligned = replace(reference, slab_axis=members.slab_axis)
    slabs = slab_voxels or default_slab_voxels(members)
    whole: tuple[ThresholdCounts, ...] = ()
    for (start, stop), collected in walk(members, VoxelStatistics, slab_voxels=slabs):
        mean = np.asarray(mean_probability(collected[VoxelStatistics]), dtype=np.float32)
        (truth,) = aligned.slab(start, stop)
        part = _structures(mean, truth, grid, members.subject)
        whole = tuple(a.join(b) for a, b in zip(whole, part, strict=True)) if whole else part
    return whole


def same_grid(curves: Sequence[Float[np.ndarray, " t"]], *, what: str) -> Float[np.ndarray, " t"]:
    """Return the grid that all curves share.

    Raises:
        ValueError: they lie on different grids.
    """
    first = curves[0]
    if any(len(other) != len(first) or (other != first).any() for other in curves[1:]):
        raise ValueError(f"curves of different {what}: measure all cases on one grid")
    return first


def _structures(
    mean: Float32[np.ndarray, "c i j k"], truth: Member, grid: Float[np.ndarray, " t"], subject: str
) -> tuple[ThresholdCounts, ...]:
    masks = truth.classes.masks(truth.probabilities)
    return tuple(
        ThresholdCounts.of(
            mean[truth.classes.channel(structure)],
            mask,
            thresholds=grid,
            voxel_volume_ml=truth.geometry.voxel_volume_ml,
            subject=subject,
            structure=structure,
        )
        for structure, mask in zip(truth.classes.structures, masks, strict=True)
    )


def _check(members: Members, reference: Members) -> None:
    if len(reference) != 1:
        raise ValueError(f"{members.subject}: one reference is needed, got {len(reference)}; select a rater")
    check_comparable(members, reference)


def check_comparable(members: Members, reference: Members) -> None:
    """Refuse a reference on another grid or with other classes than the members.

    Raises:
        InvalidInput: E201 or E202, another grid; E103, other classes.
    """
    reference.geometry.check_matches(
        members.geometry, this="the reference", that="the members", subject=members.subject
    )
    ours, theirs = members.classes, reference.classes
    if (ours.names, ours.exclusive) != (theirs.names, theirs.exclusive):
        raise InvalidInput(
            Problem(
                code="E103",
                subject=members.subject,
                found=f"a reference with the channels {', '.join(theirs.names)}",
                expected=f"those of the members: {', '.join(ours.names)}",
                fix="name the classes of both alike (dataset.json, study.toml [classes])",
            )
        )
