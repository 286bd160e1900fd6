"""Members: the plausible segmentations of one image, whatever made them. Raters are members too.

A set of members is lazy and can be walked again and again; one member is in memory at a time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Integer, Num

from plausible.core.checks import as_probabilities, check_labels
from plausible.core.classes import Classes
from plausible.core.contours import Contours
from plausible.core.frame import FrameOfReference
from plausible.core.geometry import Geometry
from plausible.core.problems import InvalidInput, Problem, locating


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """Where a member comes from. Labels such as "deep ensemble" are derived from this, never typed in."""

    id: str
    kind: str = "unknown"  # "seed", "fold", "rater", "draw", "view", "checkpoint", ... or "unknown"
    seed: int | None = None
    fold: int | None = None
    rater: str = ""
    architecture: str = ""
    checkpoint: str = ""  # SHA-256 of the weights
    method: str = ""  # how its network was trained or drawn from, e.g. "mc_dropout", "swag"
    draw: int | None = None  # which function was drawn from one network
    view: str = ""  # view of the image it was predicted from, e.g. "flip_x"
    source: str = ""  # file or folder it was read from, relative to the study


@runtime_checkable
class SupportsArray(Protocol):
    """What numpy can view as an array, such as a torch tensor on the CPU."""

    def __array__(self, dtype: Any = None) -> np.ndarray:
        """Return the values as a numpy array."""
        ...


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
        """Probabilities `c i j k` (float32) of the voxels from `start` up to `stop` along an axis.

        Several threads may read different slabs at a time.
        """
        ...


@runtime_checkable
class DrawnSource(Protocol):
    """A source whose masks are made from contours, and which keeps them."""

    @property
    def contours(self) -> Sequence[Contours]:
        """Contours of each structure, in the order of the classes."""
        ...


@runtime_checkable
class FramedSource(MemberSource, Protocol):
    """A source that says whose coordinates it has: DICOM."""

    @property
    def frame_of_reference(self) -> FrameOfReference:
        """Patient and frame of reference."""
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

    def __post_init__(self) -> None:
        ids = [source.info.id for source in self.sources]
        if len(set(ids)) < len(ids):
            raise ValueError(f"{self.subject or 'members'}: each member needs a name of its own: {', '.join(ids)}")

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
            yield self._read(source, start, stop, geometry)  # no name holds it while the next one is read

    def select(self, ids: Sequence[str]) -> "Members":
        """Return only the members of these names, in this order.

        Raises:
            ValueError: a name that no member has.
        """
        by_id = {source.info.id: source for source in self.sources}
        unknown = [name for name in ids if name not in by_id]
        if unknown:
            raise ValueError(f"no member {', '.join(unknown)}; there are: {', '.join(by_id)}")
        return replace(self, sources=tuple(by_id[name] for name in ids))

    def group_by(self, name: str) -> dict[Any, "Members"]:
        """Return the members by what made them, e.g. by "rater", "fold", "architecture" or "view", in their order.

        Raises:
            ValueError: no such field of `MemberInfo`.
        """
        if name not in {field.name for field in fields(MemberInfo)}:
            raise ValueError(f"members have no {name!r}; there are: {', '.join(f.name for f in fields(MemberInfo))}")
        groups: dict[Any, list[str]] = {}
        for info in self.infos:
            groups.setdefault(getattr(info, name), []).append(info.id)
        return {value: self.select(ids) for value, ids in groups.items()}

    def _read(self, source: MemberSource, start: int, stop: int, geometry: Geometry) -> Member:
        values = source.read(start, stop, axis=self.slab_axis)
        if values.shape != (len(self.classes.names), *geometry.shape):
            raise InvalidInput(self._misfit(source, values.shape, geometry))
        return Member(values, geometry, self.classes, source.info, source.hard)

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
        arrays: Sequence[SupportsArray] | SupportsArray,
        *,
        geometry: Geometry,
        classes: Classes,
        subject: str = "",
        infos: Sequence[MemberInfo] = (),
    ) -> "Members":
        """Members from probabilities `c i j k` in memory: numpy, or what numpy can view such as CPU torch tensors.

        One array per member, or one array `m c i j k`.

        Raises:
            InvalidInput: E302 or E309, values outside 0 to 1 or not finite; E301, E308, see `check_probabilities`;
                E202, another grid.
        """
        values = _each(arrays)
        sources = []
        for array, info in zip(values, infos or _numbered(len(values)), strict=True):
            with locating(subject=subject, member=info.id):
                sources.append(ArraySource(as_probabilities(array, classes=classes), info))
                _check_shape(array.shape[1:], geometry)
        return cls(geometry, classes, tuple(sources), subject, sliceable=True)

    @classmethod
    def from_labels(
        cls,
        label_maps: Sequence[SupportsArray] | SupportsArray,
        *,
        geometry: Geometry,
        classes: Classes,
        subject: str = "",
        infos: Sequence[MemberInfo] = (),
    ) -> "Members":
        """Members from label maps `i j k` in memory, e.g. one per rater.

        Raises:
            InvalidInput: E303, a value that no class has; E202, another grid.
        """
        values = _each(label_maps)
        sources = []
        for label_map, info in zip(values, infos or _numbered(len(values)), strict=True):
            with locating(subject=subject, member=info.id):
                _check_shape(label_map.shape, geometry)
                check_labels(label_map, classes=classes)
            sources.append(LabelSource(label_map, classes, info))
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


def _each(arrays: Sequence[SupportsArray] | SupportsArray) -> list[np.ndarray]:
    return list(np.asarray(arrays)) if isinstance(arrays, SupportsArray) else [np.asarray(array) for array in arrays]


def _numbered(n_members: int) -> list[MemberInfo]:
    return [MemberInfo(id=f"member_{m}") for m in range(n_members)]


def _check_shape(shape: tuple[int, ...], geometry: Geometry) -> None:
    if shape != geometry.shape:
        raise InvalidInput(
            Problem(
                code="E202",
                found=f"an array with voxel axes {shape}",
                expected=f"the grid's {geometry.shape}, in the file's own axes i j k",
                fix="transpose or resample the array to the grid (SimpleITK's arrays are k j i)",
            )
        )


def take(array: np.ndarray, start: int, stop: int, *, axis: int) -> np.ndarray:
    """View of the entries from `start` up to `stop` along an axis."""
    return array[(slice(None),) * axis + (slice(start, stop),)]
