"""The contourings of a case that plans are made on: its members, or a reference with smooth noise on its surfaces."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

from plausible.core import Case, Classes, Geometry, InvalidInput, Problem, collect
from plausible.dose.plan import Contouring, Region
from plausible.measure import VoxelStatistics, mean_probability
from plausible.runs.replan_settings import NoiseSettings
from plausible.sample.copula import GaussianField

REFERENCE = "reference"
TISSUE_HU = -300.0
"""The body is what is denser than this and hangs together, with what it encloses."""
REACH_SD = 5.0
"""Noise moves a surface no further than so many standard deviations."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The contourings of a case, the reference first, and what the reference is."""

    contourings: tuple[Contouring, ...]
    reference: str


def contourings_of(
    case: Case,
    *,
    noise: NoiseSettings,
    fixed: Mapping[str, Bool[np.ndarray, "i j k"]],
    geometry: Geometry,
    vary_fixed: bool = False,
    body: Bool[np.ndarray, "i j k"] | None = None,
) -> Drawn:
    """Contourings of a case: reference and members, or reference and noise on it.

    Args:
        case: with members, a reference, or both.
        noise: how contours are made of the reference; with 0 mm the members are taken.
        fixed: structures that members do not have, such as targets, the same in all contourings.
        geometry: grid of the body and of these structures.
        vary_fixed: put noise on these as well.
        body: the patient, which noise does not leave; a planner cuts targets there too.

    Raises:
        InvalidInput: E654, there is nothing to plan on, or several raters, of which one must be chosen; E201 or E202,
            another grid.
    """
    known, grid, reference = _reference(case)
    grid.check_matches(geometry, this="the segmentation", that="the image or the fixed structures",
                       subject=case.subject)  # fmt: skip
    told = dict(fixed)
    if noise.noise_mm > 0:
        moving = {**known, **told} if vary_fixed else known
        still = {} if vary_fixed else told
        drawn = list(noisy_contourings(moving, still, geometry, noise, subject=case.subject, body=body))
        return Drawn((_contouring(REFERENCE, {**known, **told}, geometry), *drawn), reference)
    if case.load_members is None:
        raise _nothing(case.subject)
    plausible = [
        _contouring(member.info.id, {**_masks(member.classes, member.probabilities), **told}, geometry)
        for member in case.members()
    ]
    return Drawn((_contouring(REFERENCE, {**known, **told}, geometry), *plausible), reference)


def noisy_contourings(
    moving: Mapping[str, Bool[np.ndarray, "i j k"]],
    still: Mapping[str, Bool[np.ndarray, "i j k"]],
    geometry: Geometry,
    noise: NoiseSettings,
    *,
    subject: str = "",
    body: Bool[np.ndarray, "i j k"] | None = None,
) -> Iterator[Contouring]:
    """Yield contourings whose surfaces are moved by noise; a draw depends on its number, the subject and the name."""
    regions = {name: Region.of(mask, geometry) for name, mask in {**still, **moving}.items()}
    fields = {name: _Surface.of(moving[name], geometry, noise, body) for name in moving}
    for draw in range(noise.draws):
        drawn = {
            name: surface.moved(np.random.default_rng([noise.noise_seed, _number(subject), _number(name), draw]))
            for name, surface in fields.items()
        }
        yield Contouring(f"draw_{draw}", {**regions, **drawn})


@dataclass(frozen=True, slots=True, eq=False)
class _Surface:
    """Signed distance to a structure's surface in a box that holds all it can become, and the field's law there."""

    distance_mm: np.ndarray
    geometry: Geometry
    law: GaussianField
    noise_mm: float
    allowed: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray, geometry: Geometry, noise: NoiseSettings, body: np.ndarray | None) -> "_Surface":
        cut, bounds = geometry, []
        for axis, spacing in enumerate(geometry.spacing_mm):
            present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
            first, last = (int(present[0]), int(present[-1])) if len(present) else (0, 0)
            margin = int(np.ceil(REACH_SD * noise.noise_mm / spacing)) + 1
            start, stop = max(0, first - margin), min(mask.shape[axis], last + 1 + margin)
            bounds.append(slice(start, stop))
            cut = cut.slab(start, stop, axis=axis)
        law = GaussianField.of(cut, correlation_mm=noise.noise_correlation_mm)
        inside = mask[tuple(bounds)]
        allowed = np.ones_like(inside) if body is None else body[tuple(bounds)] | inside
        return cls(signed_distance_mm(inside, cut), cut, law, noise.noise_mm, allowed)

    def moved(self, random: np.random.Generator) -> Region:
        shift = np.clip(self.law.draw(random), -REACH_SD, REACH_SD) * np.float32(self.noise_mm)
        return Region.of((self.distance_mm + shift > 0) & self.allowed, self.geometry)


def signed_distance_mm(mask: Bool[np.ndarray, "i j k"], geometry: Geometry) -> Float32[np.ndarray, "i j k"]:
    """Distance of each voxel's centre to the surface of the voxels of a mask, inside positive; in mm.

    The surface is that of the voxels: from the centre of a voxel to its neighbour's near face.
    """
    if not mask.any():
        return np.full(mask.shape, -np.inf, dtype=np.float32)
    inside, outside = (_to_face(side, geometry.spacing_mm) for side in (mask, ~mask))
    return np.where(mask, inside, -outside).astype(np.float32)


def body_of(image_hu: np.ndarray, geometry: Geometry, *, subject: str = "") -> Bool[np.ndarray, "i j k"]:
    """The patient in a CT: the largest connected part denser than air, filled slice by slice.

    Raises:
        InvalidInput: E652, nothing is.
    """
    parts, n_parts = ndimage.label(image_hu > TISSUE_HU)
    if not n_parts:
        raise InvalidInput(
            Problem(
                code="E652",
                subject=subject,
                found=f"no voxel above {TISSUE_HU:g} HU in the image",
                expected="a CT in Hounsfield units",
                fix="give CTs with --images, or a mask body.nii.gz among the fixed structures",
            )
        )
    largest = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    return np.stack(
        [ndimage.binary_fill_holes(one) for one in np.moveaxis(largest, geometry.axial_axis, 0)],
        axis=geometry.axial_axis,
    )


def _to_face(mask: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
    """Distance from each voxel of a mask to the nearest face of a voxel outside."""
    distance, nearest = ndimage.distance_transform_edt(mask, sampling=spacing_mm, return_indices=True)
    steps = np.abs(nearest - np.indices(mask.shape)) * np.reshape(spacing_mm, (3, 1, 1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = (np.reshape(spacing_mm, (3, 1, 1, 1)) / 2 * distance / steps).min(axis=0)
    return np.where(mask, distance - half, 0)


def _reference(case: Case) -> tuple[dict[str, np.ndarray], Geometry, str]:
    """Masks of the reference, its grid, and what it is."""
    raters = case.raters()
    if raters is not None and len(raters) > 1:
        names = ", ".join(info.id for info in raters.infos)
        raise InvalidInput(
            Problem(
                code="E654",
                subject=case.subject,
                found=f"several references: {names}",
                expected="one, to plan on",
                fix="give the folder of the one to plan on with --references",
            )
        )
    if raters is not None:
        only = next(iter(raters))
        return _masks(only.classes, only.probabilities), raters.geometry, f"the reference {only.info.id}"
    if case.load_members is None:
        raise _nothing(case.subject)
    members = case.members()
    mean = mean_probability(collect(members, VoxelStatistics)[VoxelStatistics])
    return _masks(members.classes, mean), members.geometry, "the members' mean probability"


def _masks(classes: Classes, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(classes.structures, classes.masks(probabilities), strict=True))


def _contouring(name: str, masks: Mapping[str, np.ndarray], geometry: Geometry) -> Contouring:
    return Contouring(name, {structure: Region.of(mask, geometry) for structure, mask in masks.items()})


def _nothing(subject: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E654",
            subject=subject,
            found="neither members nor a reference with noise on it",
            expected="members, or a reference and --noise-mm above 0",
            fix="give members, or add --references LABELS --noise-mm 2",
        )
    )


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
