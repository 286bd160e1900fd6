"""The decisions of all members of one image, one bit a voxel and structure, and what two of them have in common.

Reading keeps one member in memory at a time; 20 members of 256 × 256 × 128 voxels and 5 structures are 105 MB of bits.
All counts over pairs are made from the bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64, UInt64

from plausible.aggregate.agreement import bits_of
from plausible.core import Classes, Geometry, InvalidInput, Members, Problem
from plausible.diversity.pairwise import DecisionPairs, ErrorGroup, ErrorPairs, MaskPairs, SurfacePairs
from plausible.diversity.voxel_sets import unpacked
from plausible.evaluate.surface import ROUNDING_MM, DistanceField, Surface

ALL = ""
"""Structure of what is about all of them together."""


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """Masks of the members, and where each structure is.

    Attributes:
        members: names.
        bits: masks, by member and structure, one bit a voxel in C order.
    """

    members: tuple[str, ...]
    bits: UInt64[np.ndarray, "m s w"]
    geometry: Geometry
    classes: Classes

    @classmethod
    def of(cls, members: Members) -> "Decisions":
        """Read the members, one at a time.

        Raises:
            InvalidInput: E104, fewer than two.
        """
        if len(members) < 2:
            raise InvalidInput(_alone(members))
        return cls._read(members)

    @classmethod
    def of_references(cls, references: Members, members: Members) -> "Decisions":
        """Read the references, which must lie on the members' grid and have their structures.

        Raises:
            InvalidInput: E201 or E202, another grid.
            ValueError: other structures.
        """
        members.geometry.check_matches(references.geometry, this="members", that="reference", subject=members.subject)
        if members.classes.structures != references.classes.structures:
            raise ValueError(
                f"references have {', '.join(references.classes.structures)}; "
                f"members have {', '.join(members.classes.structures)}"
            )
        return cls._read(references)

    @classmethod
    def _read(cls, members: Members) -> "Decisions":
        bits: np.ndarray | None = None
        for m, member in enumerate(members):
            one = bits_of(member)
            if bits is None:
                bits = np.empty((len(members), *one.shape), np.uint64)
            bits[m] = one
            del member
        assert bits is not None, "there is a member"
        names = tuple(info.id for info in members.infos)
        return cls(names, bits, members.geometry, members.classes)

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the structures, then the empty name for all together where there are several."""
        own = self.classes.structures
        return (*own, ALL) if len(own) > 1 else own

    def place(self, structure: str) -> slice:
        """Which masks a structure is made of."""
        if structure == ALL:
            return slice(0, self.bits.shape[1])
        n = self.classes.structures.index(structure)
        return slice(n, n + 1)

    def n_classes(self, structure: str) -> float:
        """Decisions there are for a voxel: yes and no, or one of the classes; NaN for overlapping regions together."""
        if structure != ALL:
            return 2.0
        return float(len(self.classes.names)) if self.classes.exclusive else float("nan")


def decision_pairs(decisions: Decisions, structure: str, inside: UInt64[np.ndarray, " w"]) -> DecisionPairs:
    """Count the voxels of a set in which two members decide differently."""
    bits, n = _inside(decisions.bits[:, decisions.place(structure)], inside)
    return DecisionPairs(
        decisions.members,
        np.full(2 * (len(bits),), float(n)),
        _different(bits).astype(np.float64),
        decisions.n_classes(structure),
    )


def error_counts(
    decisions: Decisions, reference: UInt64[np.ndarray, "s w"], structure: str, inside: UInt64[np.ndarray, " w"]
) -> tuple[ErrorPairs, ErrorGroup]:
    """Count the errors of every two members, and of all together, in the voxels of a set."""
    from plausible.diversity.pairwise_kernels import add_shared

    place = decisions.place(structure)
    bits, n = _inside(decisions.bits[:, place], inside)
    truth, _ = _inside(reference[np.newaxis, place], inside)
    wrong = np.ascontiguousarray(np.bitwise_or.reduce(bits ^ truth, axis=1))
    both, differ = np.zeros(2 * (len(bits),), np.int64), _different(bits)
    add_shared(wrong, both)
    alike = ~np.bitwise_or.reduce(np.bitwise_or.reduce(bits ^ bits[:1], axis=1), axis=0)
    silent = int(np.bitwise_count(np.bitwise_and.reduce(wrong, axis=0) & alike).sum())
    each = np.diagonal(both).astype(np.float64)
    pairs = ErrorPairs(
        decisions.members,
        np.full(both.shape, float(n)),
        np.repeat(each[:, np.newaxis], len(each), axis=1),
        both.astype(np.float64),
        differ.astype(np.float64),
        decisions.n_classes(structure),
    )
    m = len(each)
    group = ErrorGroup(*(np.array(float(v)) for v in (n, silent, each.mean(), differ.sum() / (m * (m - 1)))))
    return pairs, group


def mask_pairs(decisions: Decisions, structure: str) -> MaskPairs:
    """Count the voxels of the masks of one structure, and those that two members share."""
    from plausible.diversity.pairwise_kernels import add_shared

    flags = np.ascontiguousarray(decisions.bits[:, decisions.place(structure)][:, 0])
    shared = np.zeros(2 * (len(flags),), np.int64)
    add_shared(flags, shared)
    sizes = np.repeat(np.diagonal(shared)[:, np.newaxis], len(flags), axis=1)
    return MaskPairs(decisions.members, sizes.astype(np.float64), shared.astype(np.float64))


def surface_pairs(decisions: Decisions, structure: str, *, tolerance_mm: float) -> SurfacePairs:
    """Compare the surfaces of every two members: one distance field per member, whatever the number of pairs.

    The numbers are those of `plausible.evaluate.normalized_surface_dice`.
    """
    spacing = decisions.geometry.spacing_mm
    masks = (unpacked(one[0], decisions.geometry.shape) for one in decisions.bits[:, decisions.place(structure)])
    surfaces = [Surface.of(mask, spacing_mm=spacing) for mask in masks]
    areas = np.array([surface.areas_mm2.sum() for surface in surfaces])
    near = np.array([list(_near_areas(surface, surfaces, tolerance_mm)) for surface in surfaces])
    both = areas[:, np.newaxis] + areas[np.newaxis]
    nsd = np.divide(near + near.T, both, out=np.zeros(both.shape), where=both > 0)
    np.fill_diagonal(nsd, areas > 0)
    return SurfacePairs(decisions.members, (both > 0).astype(np.float64), np.minimum(nsd, 1), tolerance_mm)


def _near_areas(surface: Surface, others: list[Surface], tolerance_mm: float) -> Iterator[float]:
    """Area of each other surface that lies within the tolerance of this one."""
    field = DistanceField.around(surface, others)
    for other in others:
        if field.distance_mm is None or not len(other.places):
            yield 0.0
            continue
        distances = field.distance_mm[tuple((other.places - field.start).T)]
        yield float(other.areas_mm2[distances <= tolerance_mm + ROUNDING_MM].sum())


def _inside(
    bits: UInt64[np.ndarray, "m s w"], inside: UInt64[np.ndarray, " w"]
) -> tuple[UInt64[np.ndarray, "m s v"], int]:
    """Bits of the voxels of a set, words without any left out; and how many voxels these are."""
    kept = np.flatnonzero(inside)
    return np.ascontiguousarray(bits[:, :, kept] & inside[kept]), int(np.bitwise_count(inside).sum())


def _different(bits: UInt64[np.ndarray, "m s w"]) -> Int64[np.ndarray, "m m"]:
    from plausible.diversity.pairwise_kernels import add_different

    differ = np.zeros(2 * (len(bits),), np.int64)
    add_different(bits, differ)
    return differ


def _alone(members: Members) -> Problem:
    return Problem(
        code="E104",
        subject=members.subject,
        found=f"{len(members)} member{'' if len(members) == 1 else 's'}",
        expected="two or more: diversity is between members",
        fix="predict with more members, or give the folder that holds them all (plausible inspect shows it)",
    )
