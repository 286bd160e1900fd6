"""Figures of the case page as inline SVG: the profile along z, the members' volumes, the colour legend."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from plausible.report.drawing import Axis, bottom_axis, chart, left_axis, points, tag
from plausible.report.model import SliceProfile, StructureSummary
from plausible.report.pictures import COLOURS
from plausible.report.text import known, number, percent

WIDTH = 560.0
LEFT, RIGHT = 46.0, 548.0


def profile_chart(profile: SliceProfile, *, colour: str, worst: int | None) -> Markup:
    """Uncertain area in every slice as bars, the structure's own area below; a click goes to the slice."""
    uncertain, area = _finite(profile.uncertain_area_cm2), _finite(profile.area_cm2)
    n = max(len(uncertain), 1)
    across = Axis(-0.5, n - 0.5, LEFT, RIGHT)
    up = Axis(0.0, max(*uncertain, 1e-3) * 1.05, 104.0, 20.0)
    own = Axis(0.0, max(*area, 1e-3), 146.0, 116.0)
    label = f"{profile.structure}: uncertain area per slice, largest {number(max(uncertain), 2)} cm² in slice {worst}"
    return chart(
        left_axis(up, x=LEFT, right=RIGHT, title="uncertain area, cm²", about=3),
        _bars(across, up, uncertain, colour),
        tag("path", d=_silhouette(across, own, area), class_="silhouette"),
        tag("text", "area", x=LEFT - 6, y=134, text_anchor="end"),
        tag("text", f"{number(max(area), 2)} cm²", x=RIGHT, y=114, text_anchor="end"),
        bottom_axis(across, y=148.0, title=f"slice (voxel index {'ijk'[profile.axis]})", about=8),
        _marker(across, worst),
        tag("line", x1=-9, x2=-9, y1=16, y2=148, class_="here"),
        _targets(across, n),
        width=WIDTH,
        height=184.0,
        label=label,
        class_="chart profile",
    )


def volume_chart(structure: StructureSummary, *, colour: str) -> Markup:
    """Each member's volume as a dot, the interval as a bar, the reported value and the reference as marks."""
    members = [v for v in structure.member_volumes_ml if math.isfinite(v)]
    interval = structure.volume_ml
    every = [*members, interval.low, interval.high, interval.value, structure.reference_volume_ml]
    finite = [v for v in every if known(v)]
    if not finite:
        return Markup("")
    margin = max(0.12 * (max(finite) - min(finite)), 0.02 * max(finite), 1e-3)
    across = Axis(max(min(finite) - margin, 0.0), max(finite) + margin, LEFT, RIGHT)
    label = f"{structure.name}: volumes of {len(members)} members, {number(min(finite))} to {number(max(finite))} ml"
    return chart(
        bottom_axis(across, y=62.0, title="volume, ml", about=6, top=8.0),
        _interval(across, interval.low, interval.high, colour),
        *(_dot(across(v), y, f"{number(v)} ml", colour) for v, y in _stacked(across, members)),
        _tick(across, interval.value, "reported volume"),
        _diamond(across, structure.reference_volume_ml),
        width=WIDTH,
        height=98.0,
        label=label,
    )


def share_bar(expected: float | None, mutual: float | None, *, top: float) -> Markup:
    """Expected entropy and mutual information end to end, on a scale from 0 to `top`."""
    if not (known(expected) and known(mutual) and top > 0):
        return Markup("")
    across = Axis(0.0, top, 0.0, 200.0)
    first = min(max(across(expected), 0.0), 200.0)
    second = min(max(across(expected + mutual), first), 200.0)
    return chart(
        tag("rect", x=0, y=2, width=200, height=10, class_="track"),
        tag("rect", x=0, y=2, width=first, height=10, class_="expected"),
        tag("rect", x=first, y=2, width=second - first, height=10, class_="mutual"),
        width=200.0,
        height=14.0,
        label=f"expected entropy {number(expected)}, mutual information {number(mutual)}",
    )


def gradient() -> str:
    """CSS of the colour scale, low to high."""
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in COLOURS.tolist())
    return f"linear-gradient(to right, {stops})"


def interval_meaning(structures: Sequence[StructureSummary]) -> list[str]:
    """Return what the intervals of the volumes mean, each wording once."""
    told = (
        f"{s.volume_ml.meaning} (level {percent(s.volume_ml.level)}, n = {s.volume_ml.n})"
        if s.volume_ml.level is not None
        else s.volume_ml.meaning
        for s in structures
        if s.volume_ml.meaning
    )
    return list(dict.fromkeys(told))


def _finite(values: Sequence[float]) -> list[float]:
    return [v if math.isfinite(v) else 0.0 for v in values] or [0.0]


def _bars(across: Axis, up: Axis, values: Sequence[float], colour: str) -> Markup:
    width = max(across(1) - across(0), 0.5)
    gap = 1.0 if width > 4 else 0.0
    bars = [
        tag("rect", x=across(n - 0.5) + gap / 2, y=up(v), width=width - gap, height=up(0) - up(v))
        for n, v in enumerate(values)
        if v > 0
    ]
    return tag("g", *bars, fill=colour, class_="bars")


def _silhouette(across: Axis, up: Axis, values: Sequence[float]) -> str:
    xs = [across(n + side) for n in range(len(values)) for side in (-0.5, 0.5)]
    ys = [up(v) for v in values for _ in (0, 1)]
    return f"M{across.start} {up(0)}L{points(xs, ys)} {across.stop},{up(0)}z"


def _marker(across: Axis, worst: int | None) -> Markup:
    if worst is None:
        return Markup("")
    x = across(worst)
    return tag("path", tag("title", f"worst slice {worst}"), d=f"M{x - 4:.1f} 8h8l-4 7z", class_="worst-mark")


def _targets(across: Axis, n: int) -> Markup:
    width = across(1) - across(0)
    return tag(
        "g",
        *(tag("rect", x=across(k - 0.5), y=8, width=width, height=140, data_slice=k) for k in range(n)),
        class_="targets",
    )


def _interval(across: Axis, low: float | None, high: float | None, colour: str) -> Markup:
    if not (known(low) and known(high)):
        return Markup("")
    return tag("rect", x=across(low), y=26, width=max(across(high) - across(low), 1.5), height=16, rx=3, fill=colour,
               class_="interval")  # fmt: skip


def _stacked(across: Axis, values: Sequence[float]) -> list[tuple[float, float]]:
    """Members with nearly the same volume sit above each other."""
    placed: list[tuple[float, float]] = []
    for value in sorted(values):
        near = sum(1 for other, _ in placed if abs(across(other) - across(value)) < 9)
        placed.append((value, 34.0 + (-1) ** near * 5 * ((near + 1) // 2)))
    return placed


def _dot(x: float, y: float, label: str, colour: str) -> Markup:
    return tag("circle", tag("title", label), cx=x, cy=y, r=4, fill=colour, class_="dot")


def _tick(across: Axis, value: float | None, label: str) -> Markup:
    if not known(value):
        return Markup("")
    return tag("line", tag("title", f"{label} {number(value)} ml"), x1=across(value), x2=across(value), y1=20, y2=48,
               class_="value-mark")  # fmt: skip


def _diamond(across: Axis, value: float | None) -> Markup:
    if not known(value):
        return Markup("")
    x = across(value)
    return tag(
        "path", tag("title", f"reference {number(value)} ml"), d=f"M{x:.1f} 8l5 6l-5 6l-5 -6z", class_="reference"
    )
