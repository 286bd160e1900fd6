"""Contours against the image they were drawn on: off their slices, outside, with gaps, or crossing themselves.

Nothing is moved: each contour is used at its own position, and the report says what was found.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from plausible.contours import reach_mm
from plausible.core import Contours, Geometry, Problem
from plausible.io.dicom.loop_shape import area_inside, crosses_itself_by, signed_area
from plausible.io.dicom.rtstruct import StructureSet

HALF = 0.5
"""Of a slice: so far a contour may lie off the slice it names, and the first and last slice reach."""
CROSSING = 0.01
"""Share of signed and even-odd area apart from which a loop is said to cross itself."""
SAME_PLANE = 0.25
"""Of a slice: contours nearer than this lie in one plane."""


def check_contours(
    structures: StructureSet, grid: Geometry, *, instance_uids: Sequence[str] = ()
) -> tuple[Problem, ...]:
    """Return what is doubtful about each structure on this grid, as warnings (E614).

    Args:
        structures: the contours.
        grid: of the image they were drawn on, whatever the order and direction of its axes.
        instance_uids: SOP instance of each slice k, where it is known: a contour may lie off the slice it names.
    """
    return tuple(
        _problem(structures.file, contours.name, found)
        for contours in structures.contours
        for found in _Doubts.of(contours, structures.drawn_on.get(contours.number, ()), grid, instance_uids).told()
    )


@dataclass(slots=True)
class _Doubts:
    """What was counted while walking over the loops of a structure; positions in slices, areas in pixels."""

    n_slices: int
    planes: list[float] = field(default_factory=list)
    slanted: int = 0
    off: list[float] = field(default_factory=list)
    crossing: list[float] = field(default_factory=list)
    area: float = 0.0
    lost: float = 0.0

    @staticmethod
    def of(contours: Contours, drawn_on: Sequence[str], grid: Geometry, instance_uids: Sequence[str]) -> "_Doubts":
        loops = [grid.to_places(loop.points_mm) for loop in contours.loops]
        order = _slices_last(contours, grid)
        shape = grid.shape[order[0]], grid.shape[order[1]], grid.shape[order[2]]
        found = _Doubts(shape[2])
        slices = {uid: k for k, uid in enumerate(instance_uids) if uid}
        for places, uid in zip(loops, drawn_on or [""] * len(loops), strict=True):
            found.add(places[:, order], slices.get(uid), shape)
        return found

    def add(self, index: np.ndarray, drawn_on: int | None, shape: tuple[int, int, int]) -> None:
        """Look at one loop, in voxel coordinates."""
        k, flat = float(index[:, 2].mean()), index[:, :2]
        self.planes.append(k)
        self.slanted += bool(np.ptp(index[:, 2]) > HALF)
        if drawn_on is not None and abs(k - drawn_on) > HALF:
            self.off.append(abs(k - drawn_on))
        if (share := crosses_itself_by(flat)) > CROSSING:
            self.crossing.append(share)
        area = abs(signed_area(flat))
        inside = -HALF <= k <= self.n_slices - HALF
        kept = area_inside(flat, (-HALF, -HALF), (shape[0] - HALF, shape[1] - HALF)) if inside else 0.0
        self.area += area
        self.lost += area - kept

    def told(self) -> list[str]:
        """Say what is doubtful."""
        found = []
        if self.slanted:
            found.append(f"{self.slanted} loops are not parallel to the slices")
        if self.off:
            found.append(f"{len(self.off)} contours lie up to {max(self.off):.2g} slices off the slice they name; "
                         "they are kept where they lie")  # fmt: skip
        if self.area > 0 and self.lost > 1e-6 * self.area:
            found.append(f"{_percent(self.lost / self.area)} of the drawn area lies outside the image")
        if self.crossing:
            found.append(f"{len(self.crossing)} loops cross themselves: signed and even-odd area differ by up to "
                         f"{100 * max(self.crossing):.0f} %; the signed area counts")  # fmt: skip
        return [*found, *self._gaps()]

    def _gaps(self) -> list[str]:
        planes = np.unique(np.array(self.planes))
        apart = np.diff(planes)
        steps = np.round(apart[apart > SAME_PLANE]).astype(int)
        if len(steps) == 0 or steps.max() < 2:
            return []
        if steps.min() == steps.max():
            return [f"drawn on every {_th(int(steps[0]))} slice only; the contours stand for thicker slabs"]
        gaps = steps[steps >= 2] - 1
        how = "a gap of" if len(gaps) == 1 else f"{len(gaps)} gaps of up to"
        return [f"{how} {_slices(int(gaps.max()))} between its parts; what lies there stays empty"]


def _slices_last(contours: Contours, grid: Geometry) -> list[int]:
    """Axes of the grid, that along which loops reach least far behind the others."""
    reach = reach_mm(contours.loops, grid) / np.array(grid.spacing_mm)
    across = int(np.argmin(reach)) if reach.min() < reach[2] - HALF else 2
    return [axis for axis in range(3) if axis != across] + [across]


def _slices(n: int) -> str:
    return "1 slice" if n == 1 else f"{n} slices"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def _th(n: int) -> str:
    return {2: "2nd", 3: "3rd"}.get(n, f"{n}th")


def _problem(file: str, name: str, found: str) -> Problem:
    return Problem(
        code="E614",
        file=file,
        severity="warning",
        found=f"{name}: {found}",
        expected="closed loops that do not cross themselves, on neighbouring slices of the image",
        fix="look at the structure in the planning system; draw the slices that are named again",
    )
