"""Whether the planes of a series form a volume: what is wrong is said with file and value, never averaged away."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from plausible.core import InvalidInput, Problem
from plausible.io.dicom.datasets import caution, decoded, file_label, refusal
from plausible.io.dicom.planes import Plane

SAME_PLACE_MM = 0.01
"""Planes nearer than this lie at one position."""
JITTER_MM = 0.05
JITTER_SHARE = 0.01
"""Positions may stray from an even grid by the larger of both, as rounding in headers does."""
STRAIGHT = 1e-3
"""Sideways step from slice to slice, as a share of the step, up to which slices count as stacked straight."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Planes in order along their normal.

    Attributes:
        planes: ascending.
        at_mm: position of each along the normal.
        step_mm: median distance of neighbours; 0 for a single plane.
        sideways_mm: in-plane shift from one plane to the next, along rows and columns (a tilted gantry).
    """

    planes: tuple[Plane, ...]
    at_mm: np.ndarray
    step_mm: float
    sideways_mm: np.ndarray

    @property
    def tolerance_mm(self) -> float:
        """How far positions may stray from an even grid."""
        return max(JITTER_MM, JITTER_SHARE * self.step_mm)

    @property
    def even(self) -> bool:
        """Whether all positions lie on one even grid."""
        return bool(np.abs(self.strays_mm()).max() <= self.tolerance_mm)

    def strays_mm(self) -> np.ndarray:
        """Distance of each position from the even grid of the median step."""
        ideal = self.step_mm * np.arange(len(self.planes))
        return (self.at_mm - ideal) - np.median(self.at_mm - ideal)

    @property
    def tilted(self) -> bool:
        """Whether planes drift sideways: their stack is sheared."""
        step, drift = float(np.linalg.norm(self.sideways_mm)), (len(self.planes) - 1) * self.sideways_mm
        return step > STRAIGHT * self.step_mm and float(np.linalg.norm(drift)) > JITTER_MM


def stacked(planes: Sequence[Plane]) -> Stack:
    """Sort planes of one orientation along their normal."""
    normal = planes[0].normal
    at = np.array([float(plane.origin_mm @ normal) for plane in planes])
    order = np.argsort(at, kind="stable")
    planes, at = tuple(planes[int(n)] for n in order), at[order]
    step = float(np.median(np.diff(at))) if len(planes) > 1 else 0.0
    axes = np.stack([planes[0].orientation[:3], planes[0].orientation[3:]])
    shift = axes @ (planes[-1].origin_mm - planes[0].origin_mm)
    length = at[-1] - at[0]
    sideways = shift * (step / length) if length > 0 else np.zeros(2)
    return Stack(planes, at, step, sideways)


def without_copies(stack: Stack) -> tuple[Stack, list[Problem]]:
    """Drop planes at one position whose pixels are the same.

    Raises:
        InvalidInput: E606, two different planes at one position (phases, or two reconstructions).
    """
    kept, problems = [0], list[Problem]()
    for n in range(1, len(stack.planes)):
        first, second = stack.planes[kept[-1]], stack.planes[n]
        if stack.at_mm[n] - stack.at_mm[kept[-1]] > SAME_PLACE_MM:
            kept.append(n)
        elif _same_pixels(first, second):
            problems.append(_copy(first, second, stack.at_mm[n]))
        else:
            raise _two_at_one_place(first, second, stack.at_mm[n])
    return (stacked([stack.planes[n] for n in kept]) if problems else stack), problems


def _same_pixels(first: Plane, second: Plane) -> bool:
    scaled = (first.slope, first.intercept) == (second.slope, second.intercept)
    in_place = float(np.abs(first.origin_mm - second.origin_mm).max()) <= SAME_PLACE_MM
    return scaled and in_place and bool(np.array_equal(_pixels(first), _pixels(second)))


def _pixels(plane: Plane) -> np.ndarray:
    return decoded(plane.path, frame=plane.frame)


def _named(plane: Plane) -> str:
    return file_label(plane.path) + ("" if plane.frame is None else f" frame {plane.frame + 1}")


def _copy(first: Plane, second: Plane, at: float) -> Problem:
    return caution(
        "E606",
        path=second.path,
        found=f"the same pixels as {_named(first)} at {at:.2f} mm along the normal; left out",
        expected="one slice at each position",
        fix="remove the copy from the folder",
    )


def _two_at_one_place(first: Plane, second: Plane, at: float) -> InvalidInput:
    return refusal(
        "E606",
        path=second.path,
        found=f"{_named(first)} and {_named(second)} lie at {at:.2f} mm along the normal with different pixels or "
        "in-plane positions",
        expected="one slice at each position",
        fix="keep one phase or reconstruction in the folder (AcquisitionNumber, TemporalPositionIdentifier and "
        "ConvolutionKernel tell them apart)",
    )


def check_straight(stack: Stack) -> None:
    """Refuse slices that are not stacked along their normal.

    Raises:
        InvalidInput: E605, a tilted gantry (the tilt in degrees), or slices that are shifted irregularly.
    """
    if stack.tilted:
        degrees = np.degrees(np.arctan2(np.linalg.norm(stack.sideways_mm), stack.step_mm))
        raise _sheared(stack, f"slices shift sideways by {np.linalg.norm(stack.sideways_mm):.3g} mm each: "
                              f"a gantry tilt of {degrees:.1f}°")  # fmt: skip
    first, axes = stack.planes[0], np.stack([stack.planes[0].orientation[:3], stack.planes[0].orientation[3:]])
    for plane in stack.planes:
        off = float(np.linalg.norm(axes @ (plane.origin_mm - first.origin_mm)))
        if off > max(JITTER_MM, STRAIGHT * (stack.at_mm[-1] - stack.at_mm[0])):
            raise refusal(
                "E605",
                path=plane.path,
                found=f"a slice {off:.3g} mm beside the others in its plane",
                expected="slices stacked straight along their normal",
                fix="export the series again; its positions are damaged or it holds two series",
            )


def _sheared(stack: Stack, found: str) -> InvalidInput:
    return refusal(
        "E605",
        path=stack.planes[0].path,
        found=found,
        expected="slices stacked straight along their normal",
        fix="resample the sheared volume with --accept tilted_gantry (in Python resample_tilt=True; it is reported), "
        "or reconstruct the series without tilt",
    )


def gaps(stack: Stack) -> list[tuple[int, int]]:
    """Where slices are missing: number of the slice before each gap, and how many are missing."""
    found = []
    for n, distance in enumerate(np.diff(stack.at_mm)):
        times = round(float(distance) / stack.step_mm)
        if times >= 2 and abs(distance - times * stack.step_mm) <= times * stack.tolerance_mm:
            found.append((n, times - 1))
    return found


def check_even(stack: Stack) -> None:
    """Refuse a stack with gaps or uneven distances.

    Raises:
        InvalidInput: E603, slices missing (between which); E604, uneven distances.
    """
    if len(stack.planes) < 2 or stack.even:
        return
    missing = gaps(stack)
    if missing and evened(stack, missing):
        raise refusal(
            "E603",
            path=stack.planes[missing[0][0]].path,
            found="; ".join(_gap(stack, n, count) for n, count in missing),
            expected=f"a slice every {stack.step_mm:.4g} mm",
            fix=_mend_gap(missing),
        )
    distances = np.diff(stack.at_mm)
    n = int(np.argmax(np.abs(distances - stack.step_mm)))
    raise refusal(
        "E604",
        path=stack.planes[n].path,
        found=f"distances of {distances.min():.4g} to {distances.max():.4g} mm, median {stack.step_mm:.4g} mm; after "
        f"{_named(stack.planes[n])} at {stack.at_mm[n]:.2f} mm it is {distances[n]:.4g} mm",
        expected=f"even distances within {stack.tolerance_mm:.3g} mm",
        fix="resample to even slices with --accept uneven_slices (in Python resample_uneven=True; it is reported), "
        "or export the series again",
    )


def evened(stack: Stack, missing: Sequence[tuple[int, int]]) -> bool:
    """Whether all is even once the missing slices are counted."""
    index = np.arange(len(stack.planes))
    for n, count in missing:
        index[n + 1 :] += count
    rest = stack.at_mm - stack.step_mm * index
    return bool(np.abs(rest - np.median(rest)).max() <= stack.tolerance_mm)


def _gap(stack: Stack, n: int, count: int) -> str:
    before, after = stack.planes[n], stack.planes[n + 1]
    slices = "1 slice is" if count == 1 else f"{count} slices are"
    return (
        f"{slices} missing between {_named(before)} ({stack.at_mm[n]:.2f} mm) and {_named(after)} "
        f"({stack.at_mm[n + 1]:.2f} mm)"
    )


def _mend_gap(missing: Sequence[tuple[int, int]]) -> str:
    again = "copy or export the whole series again"
    if all(count == 1 for _, count in missing):
        how = "--accept missing_slices (in Python fill_missing=True; it is reported)"
        return f"{again}, or interpolate the missing slice with {how}"
    return f"{again}; more than one slice in a row is not interpolated"
