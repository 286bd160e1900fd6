"""nnU-Net's saved probabilities: one prediction folder is one member.

`CASE.npz` holds the probabilities with axes `c z y x` under the key `probabilities`; version 1 wrote `softmax`, left
its crop in and is refused. They are turned to the axes of the segmentation beside it, `CASE.nii.gz`, which nnU-Net made
from the same probabilities, and the turn is proven: nnU-Net's label rule must give that segmentation at every voxel.
`CASE.pkl` is never opened.
"""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import nibabel as nib
import numpy as np
from jaxtyping import Float, Float32, Integer

from plausible.core import (
    Classes,
    Geometry,
    InvalidInput,
    MemberInfo,
    Problem,
    as_probabilities,
    check_labels,
    check_range,
)
from plausible.core.members import take
from plausible.core.problems import ProblemWarning, locating
from plausible.io.activation import Values, activate
from plausible.io.nifti import ENDINGS, read_geometry, read_labels
from plausible.io.npz import ArrayHeader, read_array, read_channels, read_header

KEYS = ("probabilities",)
VERSION_1 = "softmax"
"""Key of nnU-Net version 1."""
PREDICT_AGAIN = "nnUNetv2_predict -i IMAGES -o MEMBER -d DATASET -c CONFIGURATION -f FOLD --save_probabilities"
POSTPROCESSED_SHARE = 0.05
"""Share of foreground voxels that may differ: postprocessing removes small components from the segmentation only."""

Turn: TypeAlias = Literal["none", "ras"]
"""Whether the array has the file's voxel axes, or lies in RAS as nnU-Net's reorienting readers leave it."""

Channels: TypeAlias = Callable[[], Iterator[np.ndarray]]
"""Gives the channels anew each time it is called."""


@dataclass(slots=True)
class Proof:
    """What the first read of a member found out, kept for the later ones."""

    turn: Turn | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class NnunetSource:
    """One member of one case: an npz with the segmentation beside it.

    Attributes:
        path: the npz.
        sibling: the segmentation made from it.
        geometry: grid of the segmentation.
        turns: turns that the shape allows, the one that plans.json suggests first.
        values: "probabilities", or "logits" if told so.
        proof: filled by the first read.
    """

    path: Path
    sibling: Path
    info: MemberInfo
    classes: Classes
    geometry: Geometry
    turns: tuple[Turn, ...]
    values: Values = "probabilities"
    hard: bool = False
    proof: Proof = field(default_factory=Proof)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Warnings of the proof; empty before the first read."""
        return self.proof.problems

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Probabilities of a slab; the whole member costs one read, a slab a pass with one channel in memory.

        Raises:
            InvalidInput: E203 the array does not belong to the segmentation, E301, E302, E305, E309.
        """
        with locating(member=self.info.id, file=self.path.name):
            if (start, stop) == (0, self.geometry.shape[axis]):
                values = self._whole()
            else:
                self._prove(self._channels)
                slab = [take(channel, start, stop, axis=axis).astype(np.float32) for channel in self._turned_channels()]
                values = np.stack(slab)
            values = activate(values, classes=self.classes) if self.values == "logits" else values
            return as_probabilities(values, classes=self.classes)

    def _whole(self) -> Float32[np.ndarray, "c i j k"]:
        array = _in_voxel_axes(read_array(self.path, keys=KEYS))
        self._prove(lambda: self._in_range(array))
        if self.proof.turn == "ras":
            array = np.stack([from_ras(channel, self.geometry.affine) for channel in array])
        return array.astype(np.float32, copy=False)

    def _channels(self) -> Iterator[np.ndarray]:
        for channel in self._in_range(read_channels(self.path, keys=KEYS)):
            yield _in_voxel_axes(channel[np.newaxis])[0]

    def _in_range(self, channels: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass channels on; what cannot be a probability is told before the proof fails because of it."""
        for channel in channels:
            if self.values == "probabilities":
                check_range(channel)
            yield channel

    def _turned_channels(self) -> Iterator[np.ndarray]:
        for channel in self._channels():
            yield from_ras(channel, self.geometry.affine) if self.proof.turn == "ras" else channel

    def _prove(self, channels: Channels) -> None:
        if self.proof.turn is not None:
            return
        labels, _ = read_labels(self.sibling)
        check_labels(labels, classes=self.classes, file=self.sibling.name)
        shares = {}
        for turn in self.turns:
            turned = (from_ras(c, self.geometry.affine) if turn == "ras" else c for c in channels())
            shares[turn] = share_differing(turned, labels, classes=self.classes, values=self.values)
            if shares[turn] == 0:
                break
        best = min(shares, key=lambda turn: shares[turn])
        if shares[best] > POSTPROCESSED_SHARE:
            raise InvalidInput(self._stranger(shares[best]))
        if shares[best] > 0:
            problem = self._stranger(shares[best], severity="warning")
            self.proof.problems = (problem,)
            warnings.warn(ProblemWarning(problem), stacklevel=4)
        self.proof.turn = best

    def _stranger(self, share: float, *, severity: str = "error") -> Problem:
        postprocessed = severity == "warning"
        return Problem(
            code="E203",
            member=self.info.id,
            file=self.path.name,
            severity=severity,
            found=f"the label rule differs from {self.sibling.name} in {share:.2%} of the foreground"
            + ("; postprocessing removes components so" if postprocessed else ", whichever way the axes are turned"),
            expected="the same label at every voxel",
            fix="nothing, if the segmentation was postprocessed; the members are the probabilities before it"
            if postprocessed
            else f"{PREDICT_AGAIN} (both files from one run)",
        )


def open_nnunet(
    path: Path, *, info: MemberInfo, classes: Classes, values: Values | None = None
) -> tuple[NnunetSource, Geometry]:
    """Read headers only: the array's shape, the segmentation's grid, and which turns fit.

    Raises:
        InvalidInput: E203 no segmentation beside the npz, E202 another grid or version 1, E308 another number of
            channels, E304 regions without an order, E204, E305.
    """
    sibling = _sibling(path)
    geometry, _, _ = read_geometry(sibling)
    header = read_header(path, keys=(*KEYS, VERSION_1))
    if header.key == VERSION_1:
        raise InvalidInput(_version_1(path, header, geometry))
    if len(header.shape) not in (3, 4) or header.shape[0] != len(classes.names):
        raise InvalidInput(_other_channels(path, header, classes))
    if not classes.exclusive:
        classes.label_order()  # without it no segmentation can prove the axes
    turns = _turns(header, geometry, reorienting=_reorients(path.parent))
    if not turns:
        raise InvalidInput(_other_grid(path, header, sibling, geometry))
    soft: Values = "logits" if values == "logits" else "probabilities"
    return NnunetSource(path, sibling, info, classes, geometry, turns, soft), geometry


def share_differing(
    channels: Iterable[Float[np.ndarray, "i j k"]],
    labels: Integer[np.ndarray, "i j k"],
    *,
    classes: Classes,
    values: Values = "probabilities",
) -> float:
    """Share of foreground voxels (of either) at which the label rule does not give the segmentation.

    Exclusive classes agree where no class is more probable than the segmentation's; regions agree where writing them in
    order, where p > 0.5, gives the segmentation. Ties and halves that rounding to float16 made do not count.
    """
    rule = _differs_exclusive if classes.exclusive else _differs_regions
    differs = rule(channels, labels, classes=classes, threshold=0.0 if values == "logits" else 0.5)
    wrong = int(np.count_nonzero(differs))
    return wrong / max(1, int(np.count_nonzero(differs | (labels != 0))))


def from_ras(array: Float[np.ndarray, "i j k"], affine: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "a b c"]:
    """Turn an array that lies in RAS to the voxel axes of an affine."""
    turned: np.ndarray = nib.orientations.apply_orientation(array, _turn_from_ras(affine))
    return turned


def _differs_exclusive(
    channels: Iterable[np.ndarray], labels: np.ndarray, *, classes: Classes, threshold: float
) -> np.ndarray:
    top = np.full(labels.shape, -np.inf, dtype=np.float32)
    own = np.full(labels.shape, -np.inf, dtype=np.float32)
    for channel, (value,) in zip(channels, classes.labels, strict=True):
        np.fmax(top, channel, out=top)
        np.copyto(own, channel, where=labels == value)
    return np.asarray(own < top)


def _differs_regions(
    channels: Iterable[np.ndarray], labels: np.ndarray, *, classes: Classes, threshold: float
) -> np.ndarray:
    above, rounded = np.zeros_like(labels), np.zeros_like(labels)
    for channel, value in zip(channels, classes.label_order(), strict=True):
        above[channel > threshold] = value
        rounded[channel >= threshold if channel.dtype == np.float16 else channel > threshold] = value
    return np.asarray((above != labels) & (rounded != labels))


def _in_voxel_axes(array: np.ndarray) -> np.ndarray:
    """Turn `c z y x` (or 2-D: `c y x`) to `c i j k`."""
    return (array[:, np.newaxis] if array.ndim == 3 else array).transpose(0, 3, 2, 1)


def _turns(header: ArrayHeader, geometry: Geometry, *, reorienting: bool) -> tuple[Turn, ...]:
    plain = (1, *header.shape[1:])[-3:][::-1]
    turned = [0, 0, 0]
    for size, axis in zip(plain, _turn_from_ras(geometry.affine)[:, 0], strict=True):
        turned[int(axis)] = size
    shapes: dict[Turn, tuple[int, ...]] = {"none": plain, "ras": tuple(turned)}
    order: tuple[Turn, ...] = ("ras", "none") if reorienting else ("none", "ras")
    return tuple(turn for turn in order if shapes[turn] == geometry.shape)


def _turn_from_ras(affine: np.ndarray) -> np.ndarray:
    """Nibabel's table from RAS to the axes of an affine: per RAS axis its new place, and whether it flips."""
    ras = nib.orientations.axcodes2ornt("RAS")
    turn: np.ndarray = nib.orientations.ornt_transform(ras, nib.orientations.io_orientation(affine))
    return turn


def _reorients(folder: Path) -> bool:
    try:
        plans = json.loads((folder / "plans.json").read_text(encoding="utf-8"))
        return "WithReorient" in str(plans.get("image_reader_writer", ""))
    except (OSError, ValueError, AttributeError):
        return False


def _sibling(path: Path) -> Path:
    for ending in ENDINGS:
        sibling = path.with_name(path.stem + ending)
        if sibling.exists():
            return sibling
    raise InvalidInput(
        Problem(
            code="E203",
            file=path.name,
            found=f"no {path.stem}.nii.gz beside the probabilities",
            expected="the segmentation that nnU-Net wrote with them: it holds the grid and proves the axes",
            fix="keep both files of nnUNetv2_predict --save_probabilities together (2-D pictures: convert to NIfTI)",
        )
    )


def _other_channels(path: Path, header: ArrayHeader, classes: Classes) -> Problem:
    return Problem(
        code="E308",
        file=path.name,
        found=f"an array of shape {header.shape}",
        expected=f"{len(classes.names)} channels: {', '.join(classes.names)}",
        fix="put the dataset.json of this network into the folder; for TotalSegmentator read its organ files instead",
    )


def _version_1(path: Path, header: ArrayHeader, geometry: Geometry) -> Problem:
    return Problem(
        code="E202",
        file=path.name,
        found=f"the key softmax of nnU-Net version 1, which leaves its crop in: shape {header.shape} (c z y x)",
        expected=f"probabilities of version 2 on the {'×'.join(map(str, geometry.shape))} grid",
        fix=PREDICT_AGAIN,
    )


def _other_grid(path: Path, header: ArrayHeader, sibling: Path, geometry: Geometry) -> Problem:
    return Problem(
        code="E202",
        file=path.name,
        found=f"probabilities of shape {header.shape} (c z y x)",
        expected=f"the {'×'.join(map(str, geometry.shape))} grid of {sibling.name}",
        fix=PREDICT_AGAIN,
    )
