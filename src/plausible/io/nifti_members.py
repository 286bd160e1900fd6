"""Plain NIfTI members: label maps, probabilities or logits, and folders with one file per structure.

What a file does not say is told, never guessed from its values: whether floats are labels, probabilities or logits,
what the last axis of a 4-D file is, and whether structures exclude each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float32

from plausible.core import (
    Classes,
    Geometry,
    InvalidInput,
    MemberInfo,
    MemberSource,
    Problem,
    as_probabilities,
    check_labels,
)
from plausible.core.problems import locating
from plausible.io.activation import Values, activate, sigmoid
from plausible.io.nifti import as_labels, read_geometry, read_part

LastAxis: TypeAlias = Literal["class", "member"]


@dataclass(frozen=True, slots=True)
class Told:
    """What a user says about files that do not say it themselves.

    Attributes:
        values: what the numbers are; None: integers are labels, floats are refused.
        last_axis: what the fourth axis of a file counts; None: four axes are refused.
    """

    values: Values | None = None
    last_axis: LastAxis | None = None


@dataclass(frozen=True, slots=True, eq=False)
class LabelFileSource:
    """A label map in a file."""

    path: Path
    info: MemberInfo
    classes: Classes
    frame: int | None = None
    hard: bool = True

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of the label map as probabilities 0 and 1.

        Raises:
            InvalidInput: E303, a value without a name; E305.
        """
        with locating(member=self.info.id, file=self.path.name):
            values = as_labels(read_part(self.path, start, stop, axis=axis, frame=self.frame), self.path)
            check_labels(values, classes=self.classes)
            return self.classes.encode(values)


@dataclass(frozen=True, slots=True, eq=False)
class SoftFileSource:
    """Probabilities or logits in a file: one map of the only structure, or a last axis that counts the classes."""

    path: Path
    info: MemberInfo
    classes: Classes
    values: Values
    frame: int | None = None
    hard: bool = False

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of the probabilities.

        Raises:
            InvalidInput: E301, E302, E305, E308 or E309.
        """
        with locating(member=self.info.id, file=self.path.name):
            part = read_part(self.path, start, stop, axis=axis, frame=self.frame)
            part = part.reshape(part.shape[:3] if part.shape[3:] in {(), (1,)} else part.shape)
            values = part[np.newaxis] if part.ndim == 3 else np.moveaxis(part, -1, 0)
            values = values.astype(np.float32, copy=False)
            if part.ndim == 3:
                values = _both(values, classes=self.classes, values_are=self.values)
            elif self.values == "logits":
                values = activate(values, classes=self.classes)
            return as_probabilities(values, classes=self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class StructureSource:
    """One file per structure, in the order of the classes' structures: masks, or a probability each.

    Exclusive structures leave the rest to the background; masks that overlap then sum to more than one (E301).
    """

    paths: tuple[Path, ...]
    info: MemberInfo
    classes: Classes
    values: Values
    hard: bool

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Part of all structures.

        Raises:
            InvalidInput: E301, E302, E303, E305 or E309.
        """
        with locating(member=self.info.id, file=self.paths[0].parent.name):
            parts = [self._part(path, start, stop, axis=axis) for path in self.paths]
            if self.classes.exclusive:
                parts = [np.maximum(0, 1 - np.sum(parts, axis=0, dtype=np.float32)), *parts]
            return as_probabilities(np.stack(parts), classes=self.classes)

    def _part(self, path: Path, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "i j k"]:
        values = read_part(path, start, stop, axis=axis)
        if self.hard:
            return np.asarray(as_labels(values, path) != 0, dtype=np.float32)
        values = values.astype(np.float32, copy=False)
        return sigmoid(values) if self.values == "logits" else values


def open_nifti(
    path: Path, *, info: MemberInfo, classes: Classes, told: Told
) -> tuple[tuple[MemberSource, ...], Geometry]:
    """Read the header of a file with one member, or with several along its last axis.

    Raises:
        InvalidInput: E307 a fourth axis that was not told, E312 floats that were not told, E308 another number of
            channels than classes, E205 more than four axes, E204, E305.
    """
    geometry, shape, integer = read_geometry(path)
    frames = shape[3:] if shape[3:] != (1,) else ()
    _check_axes(frames, shape, path, told)
    values = told.values or ("labels" if integer else None)
    if values is None:
        raise InvalidInput(_untold_values(path))
    if frames and told.last_axis == "member":
        infos = [replace(info, id=f"{info.id}_{n}") for n in range(frames[0])]
        return tuple(_one(path, i, classes, values, frame=n) for n, i in enumerate(infos)), geometry
    if frames:
        _check_channels(frames[0], path, classes)
        soft: Values = "probabilities" if values == "labels" else values
        return (SoftFileSource(path, info, classes, soft, hard=values == "labels"),), geometry
    return (_one(path, info, classes, values),), geometry


def open_structures(
    files: Mapping[str, Path], *, info: MemberInfo, classes: Classes, told: Told
) -> tuple[StructureSource, Geometry]:
    """Read the headers of a folder with one file per structure; files that no class names are left aside.

    Raises:
        InvalidInput: E308 a structure without a file, E201 or E202 files on different grids, E312, E204, E305.
    """
    lacking = [name for name in classes.structures if name not in files]
    if lacking:
        raise InvalidInput(_lacking(lacking, files))
    paths = tuple(files[name] for name in classes.structures)
    geometry, _, integer = read_geometry(paths[0])
    for path in paths[1:]:
        other, _, whole = read_geometry(path)
        integer = integer and whole
        other.check_matches(geometry, this=path.name, that=paths[0].name, file=path.name)
    values = told.values or ("labels" if integer else None)
    if values is None:
        raise InvalidInput(_untold_values(paths[0]))
    return StructureSource(paths, info, classes, values, hard=values == "labels"), geometry


def _one(path: Path, info: MemberInfo, classes: Classes, values: Values, *, frame: int | None = None) -> MemberSource:
    if values == "labels":
        return LabelFileSource(path, info, classes, frame)
    _check_channels(1, path, classes, single=True)
    return SoftFileSource(path, info, classes, values, frame)


def _both(values: np.ndarray, *, classes: Classes, values_are: Values) -> Float32[np.ndarray, "c i j k"]:
    foreground = sigmoid(values) if values_are == "logits" else values
    return np.concatenate([1 - foreground, foreground]) if classes.exclusive else foreground


def _check_axes(frames: tuple[int, ...], shape: tuple[int, ...], path: Path, told: Told) -> None:
    if len(frames) > 1:
        raise InvalidInput(
            Problem(
                code="E205",
                file=path.name,
                found=f"{len(shape)} axes, shape {shape}",
                expected="three voxel axes, and at most one more",
                fix="save one file per member, or classes along the fourth axis",
            )
        )
    if frames and told.last_axis is None:
        raise InvalidInput(
            Problem(
                code="E307",
                file=path.name,
                found=f"a fourth axis of {frames[0]}",
                expected="to be told whether it counts classes or members",
                fix='last_axis = "class" or last_axis = "member" in study.toml (--last-axis class)',
            )
        )


def _check_channels(found: int, path: Path, classes: Classes, *, single: bool = False) -> None:
    expected = len(classes.structures) if single else len(classes.names)
    if found == expected:
        return
    raise InvalidInput(
        Problem(
            code="E308",
            file=path.name,
            found="one map" if single else f"{found} maps along the last axis",
            expected=f"one for each of {', '.join(classes.structures if single else classes.names)}",
            fix="save all classes along a fourth axis, or name the classes of this prediction in study.toml [classes]",
        )
    )


def _lacking(lacking: list[str], files: Mapping[str, Path]) -> Problem:
    return Problem(
        code="E308",
        found=f"no file for {', '.join(lacking)}; there are: {', '.join(sorted(files)) or 'none'}",
        expected="one file per structure in every case and member",
        fix="write an empty mask where a structure is absent, or name only the structures you want in [classes] "
        "of study.toml",
    )


def _untold_values(path: Path) -> Problem:
    return Problem(
        code="E312",
        file=path.name,
        found="floating-point values (or integers with a scale)",
        expected="to be told whether they are labels, probabilities or logits",
        fix='values = "probabilities" (or "labels", "logits") in study.toml (--values probabilities)',
    )
