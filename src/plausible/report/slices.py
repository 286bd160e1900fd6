"""The slice viewer's content: pictures and contours of every slice, made to fit a budget of bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from plausible.aggregate.tracing import Level, mask_contours, probability_contours
from plausible.core import Image, LabelMap, ScalarMap
from plausible.report.contours import svg_path
from plausible.report.pictures import Overlay, Window, grey_picture, overlay_picture, overlays_of, windows_of
from plausible.report.plane import AxialView

LOWEST = 0.05
ONLY_WORST = 10**6


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a case goes into its page; `note` says what was left out."""

    quality: int
    max_side: int
    margin: int | None = None  # slices kept on either side of a structure; None keeps all
    extras: bool = True  # further windows and maps besides the first ones
    every: int = 1
    lost: str = ""

    @property
    def note(self) -> str:
        """What the page has to say about this plan; empty if nothing was left out."""
        kept = f"slices further than {self.margin} from every structure are left out" if self.margin is not None else ""
        return ", ".join(part for part in (kept, self.lost) if part)


PLANS = (
    Plan(70, 1024),
    Plan(60, 512),
    Plan(60, 512, margin=20),
    Plan(60, 512, margin=8),
    Plan(60, 512, margin=3),
    Plan(45, 448, margin=3, lost="pictures are coarser than the image"),
    Plan(35, 320, margin=3, extras=False, lost="pictures are coarser, only the first window and map are shown"),
    Plan(30, 256, 3, False, 3, "of the others every third is shown, coarsely, with the first window and map"),
    Plan(20, 192, 3, False, ONLY_WORST, "of the others those to look at first are shown, coarsely"),
)


@dataclass(frozen=True, slots=True, eq=False)
class SliceSource:
    """Everything that can be drawn of a case, on one grid.

    Attributes:
        worst: slices to look at first; they stay in the page whatever the budget.
        occupied: which slices hold any structure.
    """

    view: AxialView
    image: Image | None
    windows: tuple[Window, ...]
    overlays: tuple[Overlay, ...]
    probability: ScalarMap
    reference: LabelMap | None
    structures: tuple[str, ...]
    levels: tuple[Level, ...]
    hard: bool
    worst: tuple[int, ...]
    occupied: Bool[np.ndarray, "n"]
    zoom: tuple[float, float, float, float]

    def indices(self, plan: Plan) -> list[int]:
        """Slices that a plan shows."""
        wanted = np.flatnonzero(_near(self.occupied, plan.margin))
        kept = set() if plan.every == ONLY_WORST else {int(n) for n in wanted[:: plan.every]}
        return sorted(kept | set(self.worst)) or [self.view.n_slices // 2]

    def draw(self, index: int, plan: Plan) -> dict[str, Any]:
        """Pictures and paths of one slice."""
        return {
            "index": index,
            "mm": round(self.view.position_mm(index), 1),
            "bases": self._bases(index, plan),
            "overlays": self._overlays(index, plan),
            "contours": [self._contours(name, index) for name in self.structures],
            "reference": [self._reference(name, index) for name in self.structures] if self.reference else [],
        }

    @property
    def precision(self) -> int:
        """Steps per voxel of the contours: 0.1 voxel, finer where few voxels fill the screen."""
        return 10 if max(self.view.size) > 160 else 50

    def _bases(self, index: int, plan: Plan) -> list[str]:
        if self.image is None:
            return []
        return [
            grey_picture(
                self.view.slices(self.image.values[window.channel])[index],
                window,
                quality=plan.quality,
                max_side=plan.max_side,
            )
            for window in self.windows[: None if plan.extras else 1]
        ]

    def _overlays(self, index: int, plan: Plan) -> list[str]:
        return [
            overlay_picture(
                self.view.slices(one.values)[index], one, quality=max(plan.quality - 10, 10), max_side=plan.max_side
            )
            for one in self.overlays[: None if plan.extras else 1]
        ]

    def _contours(self, name: str, index: int) -> list[str]:
        plane = self.view.slices(self.probability.frame(name))[index]
        traced = probability_contours(plane, self.levels, hard=self.hard)
        return [svg_path(lines, precision=self.precision) for lines in traced]

    def _reference(self, name: str, index: int) -> str:
        assert self.reference is not None
        classes = self.reference.classes
        plane = self.view.slices(self.reference.values)[index]
        mask = np.isin(plane, classes.labels[classes.channel(name)])
        return svg_path(mask_contours(mask), precision=self.precision)


def slice_source(
    *,
    image: Image | None,
    probability: ScalarMap,
    segmentation: LabelMap,
    maps: Sequence[ScalarMap],
    reference: LabelMap | None,
    structures: Sequence[str],
    levels: tuple[Level, ...],
    hard: bool,
    worst: Sequence[int],
    subject: str,
) -> SliceSource:
    """Check that all lies on one grid, and find the slices and the part of them that structures take up.

    Raises:
        InvalidInput: E201 or E202, something lies on another grid.
    """
    geometry = segmentation.geometry
    others = [
        ("image", image),
        ("reference", reference),
        ("mean probability", probability),
        *((m.name, m) for m in maps),
    ]
    for name, other in others:
        if other is not None:
            other.geometry.check_matches(geometry, this=name, that="the segmentation", subject=subject)
    view = AxialView.of(geometry)
    shown = _shown(view, probability, structures, reference)
    return SliceSource(
        view=view,
        image=image,
        windows=windows_of(image),
        overlays=overlays_of(tuple(maps)),
        probability=probability,
        reference=reference,
        structures=tuple(structures),
        levels=levels,
        hard=hard,
        worst=tuple(n for n in worst if 0 <= n < view.n_slices),
        occupied=np.asarray(shown.any(axis=(1, 2))),
        zoom=_zoom(np.asarray(shown.any(axis=0))),
    )


def size_estimate(source: SliceSource, plan: Plan, *, n_samples: int = 5) -> float:
    """Bytes that a plan will take, from a few of its slices."""
    indices = source.indices(plan)
    chosen = [indices[n] for n in np.unique(np.linspace(0, len(indices) - 1, n_samples).astype(int))]
    return sum(_bytes(source.draw(n, plan)) for n in chosen) / len(chosen) * len(indices)


def viewer_data(source: SliceSource, plan: Plan, *, colours: Sequence[str]) -> dict[str, Any]:
    """Everything the viewer's script needs, as plain JSON values."""
    windows = source.windows[: None if plan.extras else 1]
    overlays = source.overlays[: None if plan.extras else 1]
    return {
        "width": source.view.size[0],
        "height": source.view.size[1],
        "pixel_mm": list(source.view.pixel_mm),
        "precision": source.precision,
        "total": source.view.n_slices,
        "axis": "ijk"[source.view.axis],
        "towards_head": source.view.towards_head,
        "zoom": list(source.zoom),
        "windows": [window.label for window in windows],
        "overlays": [_legend(one) for one in overlays],
        "structures": [{"name": n, "colour": c} for n, c in zip(source.structures, colours, strict=True)],
        "levels": [{"key": level.key, "label": level.label} for level in source.levels],
        "has_reference": source.reference is not None,
        "worst": list(source.worst),
        "slices": [source.draw(index, plan) for index in source.indices(plan)],
    }


def _legend(one: Overlay) -> dict[str, Any]:
    return {
        "label": one.label,
        "unit": one.unit,
        "low": one.low,
        "high": one.high,
        "bounded": one.bounded,
        "definition": one.definition,
    }


def _bytes(drawn: Mapping[str, Any]) -> int:
    pictures = sum(len(text) for text in (*drawn["bases"], *drawn["overlays"], *drawn["reference"]))
    return pictures + sum(len(path) for paths in drawn["contours"] for path in paths) + 200


def _shown(
    view: AxialView, probability: ScalarMap, structures: Sequence[str], reference: LabelMap | None
) -> Bool[np.ndarray, "n rows columns"]:
    shown = np.zeros((view.n_slices, view.size[1], view.size[0]), dtype=bool)
    for name in structures:
        shown |= view.slices(probability.frame(name) >= LOWEST)
        if reference is not None:
            shown |= view.slices(reference.mask(name))
    return shown


def _near(occupied: Bool[np.ndarray, "n"], margin: int | None) -> Bool[np.ndarray, "n"]:
    if margin is None:
        return np.ones_like(occupied)
    return np.convolve(occupied, np.ones(2 * margin + 1))[margin : margin + len(occupied)] > 0


def _zoom(occupied: Bool[np.ndarray, "rows columns"]) -> tuple[float, float, float, float]:
    """Left, top, width and height (voxels) of the part with structures and a margin around it."""
    height, width = occupied.shape
    rows, columns = np.flatnonzero(occupied.any(axis=1)), np.flatnonzero(occupied.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, float(width), float(height)
    margin = 0.12 * max(rows[-1] - rows[0], columns[-1] - columns[0]) + 3
    left, top = max(columns[0] - margin, 0), max(rows[0] - margin, 0)
    right, bottom = min(columns[-1] + 1 + margin, width), min(rows[-1] + 1 + margin, height)
    return float(left), float(top), float(right - left), float(bottom - top)
