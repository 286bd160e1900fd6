"""Members: the plausible segmentations of one image, whatever made them. Raters are members too.

A set of members is lazy and can be walked again and again; one member is in memory at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Integer, Num

from plausible.core.classes import Classes
from plausible.core.geometry import Geometry
from plausible.core.problems import InvalidInput, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """Where a member comes from. Labels such as "deep ensemble" are derived from this, never typed in."""

    id: str
    kind: str = "unknown"  # "seed", "fold", "rater", "dropout", "tta", "checkpoint", ... or "unknown"
    seed: int | None = None
    fold: int | None = None
    rater: str = ""
    architecture: str = ""
    checkpoint: str = ""  # SHA-256 of the weights
    source: str = ""  # file or folder it was read from, relative to the study


@runtime_checkable
class MemberSource(Protocol):
    """What can be read as one member: a file, a store or an array."""

    @property
    def info(self) -> MemberInfo:
        """Where the member comes from."""
        ...

    @property
    def hard(self) -> bool:
        """Whether the member is a label map (probabilities 0 or 1)."""
        ...

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        """Probabilities `c i j k` (float32) of the voxels from `start` up to `stop` along an axis."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One plausible segmentation, or a slab of it, in memory.

    Attributes:
        probabilities: `c i j k`, float32; 0 or 1 for a label map.
        geometry: grid of these voxels.
        classes: what the channels mean.
        info: where it comes from.
        hard: whether it is a label map.
    """

    probabilities: Float32[np.ndarray, "c i j k"]
    geometry: Geometry
    classes: Classes
    info: MemberInfo
    hard: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """The members of one image: a grid, its classes and one source per member, read one at a time.

    Iterating yields a `Member` each; iterating again reads again.

    Attributes:
        sliceable: whether reading a slab costs about its share of the whole (arrays, the store) rather than a full
            read of the file (npz, compressed NIfTI).
        slab_axis: voxel axis along which slabs are cheapest to read.
    """

    geometry: Geometry
    classes: Classes
    sources: tuple[MemberSource, ...]
    subject: str = ""
    sliceable: bool = False
    slab_axis: int = 0

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[Member]:
        return self.slab(0, self.geometry.shape[self.slab_axis])

    @property
    def infos(self) -> tuple[MemberInfo, ...]:
        """Where each member comes from, in order."""
        return tuple(source.info for source in self.sources)

    def slab(self, start: int, stop: int) -> Iterator[Member]:
        """Yield the part of every member from `start` up to `stop` along `slab_axis`."""
        geometry = self.geometry.slab(start, stop, axis=self.slab_axis)
        for source in self.sources:
            values = source.read(start, stop, axis=self.slab_axis)
            if values.shape != (len(self.classes.names), *geometry.shape):
                raise InvalidInput(self._misfit(source, values.shape, geometry))
            yield Member(values, geometry, self.classes, source.info, source.hard)

    def select(self, ids: Sequence[str]) -> "Members":
        """Return only the members of these names, in this order."""
        by_id = {source.info.id: source for source in self.sources}
        return replace(self, sources=tuple(by_id[name] for name in ids))

    def _misfit(self, source: MemberSource, shape: tuple[int, ...], geometry: Geometry) -> Problem:
        return Problem(
            code="E202" if shape[0] == len(self.classes.names) else "E308",
            subject=self.subject,
            member=source.info.id,
            file=source.info.source,
            found=f"an array of shape {shape}",
            expected=f"{len(self.classes.names)} channels ({', '.join(self.classes.names)}) on a {geometry.shape} grid",
            fix="plausible inspect shows grid and classes of every member; export this one again on the image's grid",
        )

    @classmethod
    def from_arrays(
        cls,
        arrays: "Sequence[Num[np.ndarray, 'c i j k']] | Num[np.ndarray, 'm c i j k']",
        *,
        geometry: Geometry,
        classes: Classes,
        subject: str = "",
        infos: Sequence[MemberInfo] = (),
    ) -> "Members":
        """Members from probabilities in memory (numpy, or anything that numpy can view such as CPU torch tensors).

        Raises:
            InvalidInput: E302 or E309, values outside 0 to 1 or not finite.
        """
        infos = infos or [MemberInfo(id=f"member_{m}") for m in range(len(arrays))]
        sources = []
        for array, info in zip(arrays, infos, strict=True):
            check_probabilities(np.asarray(array), classes=classes, subject=subject, member=info.id)
            sources.append(ArraySource(np.asarray(array), info))
        return cls(geometry, classes, tuple(sources), subject, sliceable=True)

    @classmethod
    def from_labels(
        cls,
        label_maps: "Sequence[Integer[np.ndarray, 'i j k']]",
        *,
        geometry: Geometry,
        classes: Classes,
        subject: str = "",
        infos: Sequence[MemberInfo] = (),
    ) -> "Members":
        """Members from label maps in memory, e.g. one per rater.

        Raises:
            InvalidInput: E303, a value that no class has.
        """
        infos = infos or [MemberInfo(id=f"member_{m}") for m in range(len(label_maps))]
        sources = []
        for values, info in zip(label_maps, infos, strict=True):
            check_labels(np.asarray(values), classes=classes, subject=subject, member=info.id)
            sources.append(LabelSource(np.asarray(values), classes, info))
        return cls(geometry, classes, tuple(sources), subject, sliceable=True)


@dataclass(frozen=True, slots=True, eq=False)
class ArraySource:
    """Probabilities in memory."""

    array: Num[np.ndarray, "c i j k"]
    info: MemberInfo
    hard: bool = False

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of the array; a view where it is float32 already."""
        return np.asarray(take(self.array, start, stop, axis=axis + 1), dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class LabelSource:
    """A label map in memory."""

    values: Integer[np.ndarray, "i j k"]
    classes: Classes
    info: MemberInfo
    hard: bool = True

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of the label map as probabilities 0 and 1."""
        return self.classes.encode(take(self.values, start, stop, axis=axis))


def take(array: np.ndarray, start: int, stop: int, *, axis: int) -> np.ndarray:
    """View of the entries from `start` up to `stop` along an axis."""
    return array[(slice(None),) * axis + (slice(start, stop),)]


def check_probabilities(
    array: np.ndarray,
    *,
    classes: Classes,
    subject: str = "",
    member: str = "",
    file: str = "",
    sum_tolerance: float = 1e-2,
) -> None:
    """Refuse what cannot be probabilities of these classes.

    Raises:
        InvalidInput: E309 not finite, E302 outside 0 to 1, E301 exclusive classes that do not sum to one,
            E308 another number of channels than classes.
    """
    where = {"subject": subject, "member": member, "file": file}
    if array.ndim != 4 or array.shape[0] != len(classes.names):
        raise InvalidInput(
            Problem(
                code="E308",
                found=f"an array of shape {array.shape}",
                expected=f"c i j k with {len(classes.names)} channels: {', '.join(classes.names)}",
                fix="name the classes of this prediction (dataset.json, study.toml [classes]) as its network has them",
                **where,
            )
        )
    low, high = float(array.min()), float(array.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InvalidInput(
            Problem(
                code="E309",
                found=f"{int(np.count_nonzero(~np.isfinite(array)))} values that are NaN or infinite",
                expected="finite probabilities",
                fix="predict this case again; a network that gives NaN met an overflow (try float32) or a NaN image",
                **where,
            )
        )
    if low < -1e-4 or high > 1 + 1e-4:
        raise InvalidInput(
            Problem(
                code="E302",
                found=f"values from {low:.4g} to {high:.4g}"
                + (": these look like logits" if low < -0.5 or high > 2 else ""),
                expected="probabilities from 0 to 1",
                fix='save probabilities, or say values = "logits" for this member in study.toml (or --values logits)',
                **where,
            )
        )
    if classes.exclusive:
        off = float(np.abs(array.sum(axis=0, dtype=np.float32) - 1).max())
        if off > sum_tolerance:
            raise InvalidInput(
                Problem(
                    code="E301",
                    found=f"exclusive classes whose probabilities sum to 1 only within {off:.3g}",
                    expected=f"a sum of 1 within {sum_tolerance:g} at every voxel",
                    fix="if the channels overlap, say so: exclusive = false in study.toml [classes]",
                    **where,
                )
            )


def check_labels(values: np.ndarray, *, classes: Classes, subject: str = "", member: str = "", file: str = "") -> None:
    """Refuse label values that no class has.

    Raises:
        InvalidInput: E303.
    """
    unknown = sorted({int(v) for v in np.unique(values)} - classes.label_values())
    if unknown:
        named = ", ".join(f"{labels[0]} {name}" for name, labels in zip(classes.names, classes.labels, strict=True))
        raise InvalidInput(
            Problem(
                code="E303",
                subject=subject,
                member=member,
                file=file,
                found=f"label {', '.join(map(str, unknown))} in {int(np.isin(values, unknown).sum())} voxels",
                expected=f"only {named}",
                fix="name the value in dataset.json (or study.toml [classes]), or correct the label map",
            )
        )
