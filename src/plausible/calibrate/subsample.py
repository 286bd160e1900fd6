"""Few voxels of a case that stand for all of them: drawn by distance to a boundary, weighted by 1 / probability drawn.

Nearly all voxels of an image are easy and far from any boundary; what a calibrator learns, it learns near boundaries.
Voxels are sorted into strata by their distance in mm to the nearest boundary, predicted or drawn by any rater: on the
boundary (0 mm), up to 5 mm, up to 20 mm, beyond. Each stratum gives the same number of voxels, drawn without
replacement, or all it has. A voxel's weight is the number of voxels it stands for over all voxels of the image, so
that a weighted sum estimates the mean over all voxels of the patient without bias (Horvitz and Thompson 1952).

The draw depends on the seed and the patient's name, not on the order or number of cases. Members are walked slab by
slab, twice; what stays in memory is one label map per rater and one map of distances of one case, and the sample.

A voxel lies on a boundary if one of its six neighbours has another label; its distance is then 0. All other distances
are those between voxel centres in mm, whatever the spacing.

Sources: Horvitz and Thompson 1952, doi:10.1080/01621459.1952.10483446; bands of distance as in Zeevi et al. 2025,
arXiv:2506.16589.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import edt
import numpy as np
from jaxtyping import Bool, Float, Float32, Integer, Shaped

from plausible.calibrate.counts import check_comparable
from plausible.calibrate.margins import ROUNDING_MM
from plausible.core import Classes, Members, content_key, sha256_of, walk
from plausible.measure import VoxelStatistics, default_slab_voxels, mean_probability

STRATA_MM = (0.0, 5.0, 20.0)
N_VOXELS = 10_000

Of: TypeAlias = Literal["mean", "members"]
"""Whose probabilities: the mean of the members, or each member's own."""

Layers: TypeAlias = Shaped[np.ndarray, "l i j k"]
"""What has boundaries: one map of channel numbers for exclusive classes, one mask per overlapping region."""


@dataclass(frozen=True, slots=True, eq=False)
class VoxelSample:
    """Voxels of one patient with what was predicted, what is true, and how much of the image they stand for.

    Attributes:
        subject: the patient.
        classes: what the channels mean.
        of: whose probabilities; with "members" each voxel comes once per member.
        probabilities: of the channels.
        targets: share of the raters who gave the voxel to each channel; 0 or 1 for one rater.
        weights: share of the patient's image that the voxel stands for; they sum to one.
        distances_mm: to the predicted boundary, for exclusive classes in one column, otherwise one per region.
        n_image: voxels of the image.
        seed: of the draw.
    """

    subject: str
    classes: Classes
    of: Of
    probabilities: Float32[np.ndarray, "n c"]
    targets: Float32[np.ndarray, "n c"]
    weights: Float[np.ndarray, " n"]
    distances_mm: Float32[np.ndarray, "n l"]
    n_image: int
    seed: int

    @property
    def key(self) -> str:
        """SHA-256 of the sample."""
        arrays = (self.probabilities, self.targets, self.weights)
        return content_key({"subject": self.subject, "sha256": [sha256_of(array.tobytes()) for array in arrays]})


def sample_voxels(
    members: Members, raters: Members, *, seed: int, n_voxels: int = N_VOXELS, of: Of = "mean"
) -> VoxelSample:
    """Draw the voxels of one case.

    Args:
        members: the predictions.
        raters: one reference or several; their mean is the target.
        seed: of the draw.
        n_voxels: how many voxels, shared by the strata.
        of: whose probabilities are kept.

    Raises:
        InvalidInput: E201 or E202, a reference lies on another grid; E103, it has other classes.
        ValueError: no members or raters, or fewer voxels than strata.
    """
    if not len(raters) or n_voxels <= len(STRATA_MM):
        raise ValueError(f"{members.subject}: {len(raters)} raters and {n_voxels} voxels; one and four are needed")
    check_comparable(members, raters)
    aligned = replace(raters, slab_axis=members.slab_axis)
    predicted, drawn = _layers_of_case(members, aligned)
    near = np.logical_or.reduce([_edges(layer) for layers in (predicted, *drawn) for layer in layers])
    strata = band_of(_distance(near, members.geometry.spacing_mm), [edge + 2 * ROUNDING_MM for edge in STRATA_MM])
    del drawn, near
    rng = np.random.default_rng([seed, zlib.crc32(members.subject.encode())])
    places, weights = draw(strata, n_voxels=n_voxels, rng=rng)
    spacing = members.geometry.spacing_mm
    far = [boundary_distance_mm(layer, spacing_mm=spacing).ravel()[places] for layer in predicted]
    del predicted, strata
    probabilities, targets = _gather(members, aligned, places, of)
    repeats = len(members) if of == "members" else 1
    return VoxelSample(
        subject=members.subject,
        classes=members.classes,
        of=of,
        probabilities=probabilities,
        targets=np.tile(targets, (repeats, 1)),
        weights=np.tile(weights / repeats, repeats),
        distances_mm=np.tile(np.stack(far, axis=1), (repeats, 1)),
        n_image=members.geometry.n_voxels,
        seed=seed,
    )


def draw(
    strata: Integer[np.ndarray, "i j k"], *, n_voxels: int, rng: np.random.Generator
) -> tuple[Integer[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Draw flat indices, the same number from each stratum, with the share of the image that each stands for."""
    quota = n_voxels // (len(STRATA_MM) + 1)
    places, weights = [], []
    for number in range(len(STRATA_MM) + 1):
        inside = np.flatnonzero(strata == number)
        chosen = inside if len(inside) <= quota else inside[rng.choice(len(inside), quota, replace=False)]
        places.append(chosen)
        weights.append(np.full(len(chosen), len(inside) / max(len(chosen), 1) / strata.size))
    found = np.concatenate(places)
    order = np.argsort(found)
    return found[order], np.concatenate(weights)[order]


def layers_of(probabilities: Float[np.ndarray, "c i j k"], *, exclusive: bool) -> Layers:
    """Map of the most probable channel, or the mask {p > 0.5} of each overlapping region."""
    if not exclusive:
        return np.asarray(probabilities > 0.5)
    kind = np.uint8 if len(probabilities) <= 256 else np.uint16
    return probabilities.argmax(axis=0)[np.newaxis].astype(kind)


def boundary_distance_mm(
    layer: Shaped[np.ndarray, "i j k"], *, spacing_mm: Sequence[float]
) -> Float32[np.ndarray, "i j k"]:
    """Distance in mm from each voxel to the nearest one that lies on a boundary; infinite without a boundary."""
    return _distance(_edges(layer), spacing_mm)


def band_of(distances_mm: Float[np.ndarray, "*any"], edges_mm: Sequence[float]) -> Integer[np.ndarray, "*any"]:
    """Number of the band that a distance lies in; a band begins at its edge, and rounding does not decide."""
    edges = np.asarray(edges_mm, dtype=np.float64) - ROUNDING_MM
    return np.searchsorted(edges, distances_mm, side="right").astype(np.uint8)


def _distance(edges: Bool[np.ndarray, "i j k"], spacing_mm: Sequence[float]) -> Float32[np.ndarray, "i j k"]:
    if not edges.any():
        return np.full(edges.shape, np.inf, dtype=np.float32)
    return np.asarray(edt.edt(~edges, anisotropy=tuple(spacing_mm), black_border=False))


def _edges(layer: Shaped[np.ndarray, "i j k"]) -> Bool[np.ndarray, "i j k"]:
    """Voxels with a face neighbour of another label, on both sides."""
    found = np.zeros(layer.shape, dtype=bool)
    for axis in range(3):
        one, next_one = (np.moveaxis(array, axis, 0) for array in (layer, found))
        different = one[1:] != one[:-1]
        next_one[1:] |= different
        next_one[:-1] |= different
    return found


def _means(members: Members) -> Iterator[tuple[tuple[int, int], Float32[np.ndarray, "c i j k"]]]:
    for bounds, collected in walk(members, VoxelStatistics, slab_voxels=default_slab_voxels(members)):
        yield bounds, np.asarray(mean_probability(collected[VoxelStatistics]), dtype=np.float32)


def _layers_of_case(members: Members, raters: Members) -> tuple[Layers, list[Layers]]:
    """Layers of the mean prediction and of each rater, joined from slabs."""
    exclusive, axis = members.classes.exclusive, members.slab_axis + 1
    ours, theirs = list[Layers](), [list[Layers]() for _ in range(len(raters))]
    for (start, stop), mean in _means(members):
        ours.append(layers_of(mean, exclusive=exclusive))
        for kept, rater in zip(theirs, raters.slab(start, stop), strict=True):
            kept.append(layers_of(rater.probabilities, exclusive=exclusive))
    return np.concatenate(ours, axis=axis), [np.concatenate(parts, axis=axis) for parts in theirs]


def _gather(
    members: Members, raters: Members, places: Integer[np.ndarray, " n"], of: Of
) -> tuple[Float32[np.ndarray, "k c"], Float32[np.ndarray, "n c"]]:
    """Probabilities (one block of rows per member, or one for their mean) and targets at the places, slab by slab."""
    axis, n_channels = members.slab_axis, len(members.classes.names)
    where = np.unravel_index(places, members.geometry.shape)
    blocks = len(members) if of == "members" else 1
    probabilities = np.empty((blocks, len(places), n_channels), dtype=np.float32)
    targets = np.zeros((len(places), n_channels), dtype=np.float32)
    for (start, stop), mean in _means(members):
        rows = np.flatnonzero((where[axis] >= start) & (where[axis] < stop))
        inside = (index[rows] - (start if a == axis else 0) for a, index in enumerate(where))
        local: tuple[Any, ...] = (slice(None), *inside)
        arrays = [mean] if of == "mean" else (member.probabilities for member in members.slab(start, stop))
        for block, array in enumerate(arrays):
            probabilities[block, rows] = array[local].T
        for rater in raters.slab(start, stop):
            targets[rows] += rater.probabilities[local].T
    return probabilities.reshape(-1, n_channels), targets / len(raters)
