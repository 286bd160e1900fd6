"""Figures of diversity: matrices of members as heat maps, members in the plane, accuracy against disagreement."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from plausible.diversity.embedding import Embedding
from plausible.diversity.fort_plane import FortPlane, independent_errors, lower_limit, upper_limit
from plausible.diversity.summary import MeasuredMatrix
from plausible.report.drawing import Axis, bottom_axis, chart, left_axis, points, tag
from plausible.report.interval_chart import COLOURS
from plausible.report.text import known, number

CELL, LABEL = 22.0, 110.0
NAME, LINE = 70.0, 12.0
"""Width and height of a name beside a dot."""
N_LABELLED = 40
"""Members in a heat map at most; what is left out is in matrices.csv."""
LIGHT, DARK = (247, 251, 255), (8, 48, 107)


def heat_map(matrix: MeasuredMatrix, *, title: str) -> Markup:
    """Members by members: darker is larger. The diagonal compares a member with itself and is left blank."""
    names = matrix.members[:N_LABELLED]
    values = matrix.values[: len(names), : len(names)].copy()
    np.fill_diagonal(values, np.nan)
    defined = values[np.isfinite(values)]
    low, high = (float(defined.min()), float(defined.max())) if defined.size else (0.0, 0.0)
    side = CELL * len(names)
    cells = [_cell(names, values, i, j, (low, high)) for i in range(len(names)) for j in range(len(names)) if i != j]
    labels = [
        tag("text", f"{_short(name)}  {n + 1}", x=LABEL - 6, y=CELL * (n + 0.5) + 4, text_anchor="end")
        for n, name in enumerate(names)
    ]
    numbers = [
        tag("text", str(n + 1), x=LABEL + CELL * (n + 0.5), y=side + 14, text_anchor="middle")
        for n in range(len(names))
    ]
    scale = tag(
        "text", f"from {number(low)} (light) to {number(high)} (dark) {_unit(matrix.unit)}", x=LABEL, y=side + 32
    )
    height = side + 42
    return chart(*cells, *labels, *numbers, scale, width=max(LABEL + side + 4, 330), height=height, label=title)


def _cell(names: Sequence[str], values: np.ndarray, i: int, j: int, ends: tuple[float, float]) -> Markup:
    value, (low, high) = float(values[i, j]), ends
    share = (value - low) / (high - low) if known(value) and high > low else 0.0
    colour = (
        "none"
        if not known(value)
        else "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(LIGHT, DARK, strict=True))
    )
    return tag("rect", tag("title", f"{names[i]}, {names[j]}: {number(value)}"), x=LABEL + CELL * j, y=CELL * i,
               width=CELL - 1, height=CELL - 1, fill=colour)  # fmt: skip


def member_map(found: Embedding, members: Sequence[str]) -> Markup:
    """Members in the plane, near each other where they decide alike; one scale for both directions."""
    width, height, margin = 460.0, 340.0, 34.0
    x, y = found.places.T
    reach = max(float(np.ptp(x)) / (width - 2 * margin - 60), float(np.ptp(y)) / (height - 2 * margin), 1e-9)
    places = [
        (margin + (a - float(x.min())) / reach, margin + (b - float(y.min())) / reach)
        for a, b in zip(x, y, strict=True)
    ]
    marks = _marks([(*place, name, name) for place, name in zip(places, members, strict=True)])
    bar = _bar_of(reach, height)
    told = f"map of {len(members)} members by disagreement, stress {number(found.stress)}"
    return chart(*marks, *bar, width=width, height=height + 26, label=told)


def _marks(points_of: Sequence[tuple[float, float, str, str]]) -> list[Markup]:
    """A dot and a name at each place; names that would lie on each other move down."""
    placed: list[tuple[float, float]] = []
    found = []
    for x, y, name, told in sorted(points_of, key=lambda one: (one[1], one[0])):
        beside = y + 4
        while any(abs(x - a) < NAME and abs(beside - b) < LINE for a, b in placed):
            beside += 1
        placed.append((x, beside))
        dot = tag("circle", tag("title", told), cx=x, cy=y, r=4.5, fill=COLOURS[0])
        found.append(tag("g", dot, tag("text", _short(name), x=x + 8, y=beside)))
    return found


def _bar_of(reach: float, height: float) -> list[Markup]:
    """A bar that says how much disagreement a length is."""
    length = 10 ** np.floor(np.log10(reach * 120))
    length = next(k * length for k in (5, 2, 1) if k * length <= reach * 120)
    end = 34 + length / reach
    return [
        tag("line", x1=34, x2=end, y1=height + 8, y2=height + 8, stroke="currentColor", stroke_width=2),
        tag("text", f"disagreement {float(length):g}", x=end + 8, y=height + 12),
    ]


def plane_chart(plane: FortPlane) -> Markup:
    """Members by accuracy and normalised disagreement, with the curve of independent errors and the limits."""
    known_ones = [n for n, value in enumerate(plane.disagreement) if known(float(value))]
    accuracy = plane.accuracy[known_ones]
    low = min(float(accuracy.min()), plane.base_accuracy)
    margin = max(0.15 * (plane.base_accuracy - low), 0.02 * (1 - low), 1e-4)
    left, right = max(0.0, low - margin), min(1 - 1e-6, plane.base_accuracy + margin)
    top = 2.1
    if plane.disagreement[known_ones].max() > top:
        top = float(plane.disagreement[known_ones].max()) * 1.05
    across, up = Axis(left, right, 44.0, 500.0), Axis(0.0, top, 300.0, 24.0)
    a = np.linspace(left, right, 60)
    curves = [("largest possible", upper_limit(a, base_accuracy=plane.base_accuracy), "2 4"),
              ("least possible", lower_limit(a, base_accuracy=plane.base_accuracy), "2 4")]  # fmt: skip
    if known(plane.n_classes):
        found = independent_errors(a, base_accuracy=plane.base_accuracy, n_classes=plane.n_classes)
        curves.insert(0, ("independent errors", found, ""))
    lines = [_curve(across, up, a, values, dash, name) for name, values, dash in curves]
    marks = _marks([
        (across(float(plane.accuracy[n])), up(float(plane.disagreement[n])), plane.members[n],
         f"{plane.members[n]}: accuracy {number(float(plane.accuracy[n]), 4)}, "
         f"normalised disagreement {number(float(plane.disagreement[n]))}")
        for n in known_ones
    ])  # fmt: skip
    return chart(
        left_axis(up, x=44.0, right=500.0, title="disagreement with the reference member / error rate"),
        bottom_axis(across, y=300.0, title="accuracy in the voxel set", top=24.0),
        *lines,
        *marks,
        width=560.0,
        height=344.0,
        label=f"accuracy and normalised disagreement of members with {plane.base}",
    )


def _curve(across: Axis, up: Axis, a: np.ndarray, values: np.ndarray, dash: str, name: str) -> Markup:
    kept = np.isfinite(values) & (values <= up.high)
    if not kept.any():
        return Markup("")
    xs, ys = [across(float(v)) for v in a[kept]], [up(float(v)) for v in values[kept]]
    return tag(
        "g",
        tag("polyline", points=points(xs, ys), fill="none", stroke="currentColor", stroke_width=1.3,
            stroke_dasharray=dash or None, stroke_opacity=0.7),
        tag("text", name, x=xs[0] + 4, y=ys[0] + (14 if not dash else -5)),
    )  # fmt: skip


def share_bars(rows: Sequence[tuple[str, Sequence[tuple[str, float]]]]) -> Markup:
    """Variance by source as shares of a bar, a bar per structure."""
    sources = list(dict.fromkeys(name for _, parts in rows for name, _ in parts))
    left, width, height = 150.0, 560.0, 24.0
    top = 18.0 * len(sources) + 8
    legend = [
        tag("g", tag("rect", x=left, y=18 * n, width=11, height=11, fill=COLOURS[n % len(COLOURS)]),
            tag("text", name, x=left + 18, y=18 * n + 10))
        for n, name in enumerate(sources)
    ]  # fmt: skip
    bars = []
    for place, (name, parts) in enumerate(rows):
        y, total, start = top + height * place, sum(value for _, value in parts), left
        bars.append(tag("text", name, x=left - 8, y=y + 14, text_anchor="end"))
        for source, value in parts:
            length = (width - left - 10) * (value / total if total else 0)
            told = tag("title", f"{name}, {source}: {100 * value / total if total else 0:.0f} %")
            colour = COLOURS[sources.index(source) % len(COLOURS)]
            bars.append(tag("rect", told, x=start, y=y, width=length, height=height - 7, fill=colour))
            start += length
    return chart(*legend, *bars, width=width, height=top + height * len(rows) + 4, label="variance by source")


def _short(name: str) -> str:
    return name if len(name) <= 17 else name[:8] + "…" + name[-8:]


def _unit(unit: str) -> str:
    return "" if unit == "1" else unit
