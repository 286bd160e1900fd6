"""The page of the closed loop: what planning on a plausible contour does, and what a fixed dose would have said."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from markupsafe import Markup

from plausible.core import Problem
from plausible.core.provenance import INTENDED_USE, SCHEMA_VERSION
from plausible.dose.plan import Disagreement, PlanMatrix
from plausible.report.drawing import Axis, chart, tag
from plausible.report.interval_chart import COLOURS
from plausible.report.page import made_by, render
from plausible.report.panels import Content, Panels
from plausible.report.text import fixed

SIDE, GAP, ACROSS, HEAD = 150.0, 46.0, 3, 34.0
N_MATRICES = 60
"""Matrices that a page shows in full at most; the files have all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLine(Disagreement):
    """One metric of one case: the fixed-dose and the closed-loop view of its contours.

    It inherits because it is a `Disagreement` with its place, and tables list the fields of both side by side.
    """

    subject: str
    structure: str
    metric: str

    def row(self) -> dict[str, Any]:
        """Columns of a table, the place first."""
        return {name: getattr(self, name) for name in LOOP_COLUMNS}


LOOP_COLUMNS = ("subject", "structure", "metric", *(one.name for one in fields(Disagreement)))


@dataclass(frozen=True, slots=True, eq=False)
class LoopReport:
    """What the page shows: lines and matrices of all cases, what failed, and what must be said beside the numbers."""

    name: str
    lines: Sequence[LoopLine]
    matrices: Mapping[str, Sequence[PlanMatrix]]
    failures: Sequence[Problem]
    caveats: Sequence[str]
    provenance: Mapping[str, Any]
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION


PANELS: Panels[LoopReport] = Panels("replan")


def loop_page(report: LoopReport) -> str:
    """Return the study as a self-contained HTML page."""
    return render("replan", PANELS, report, scripts=("tables.js",), report=report)


def loop_chart(report: LoopReport) -> Markup:
    """One field per metric: change under a fixed dose to the right, in the closed loop upwards, a dot per contouring.

    Dots in the grey fields say the opposite: what a fixed dose calls better is worse in the loop, or the reverse.
    """
    found: dict[tuple[str, str], list[tuple[str, PlanMatrix]]] = {}
    for subject, matrices in report.matrices.items():
        for one in matrices:
            if np.isfinite(one.fixed - one.nominal).any() and np.isfinite(one.loss).any():
                found.setdefault((one.structure, one.metric), []).append((subject, one))
    colour = {subject: COLOURS[n % len(COLOURS)] for n, subject in enumerate(report.matrices)}
    top = HEAD + 16 * math.ceil(len(colour) / 3)
    rows = math.ceil(len(found) / ACROSS)
    fields = [
        _field(name, ours, colour, GAP + (n % ACROSS) * (SIDE + GAP), top + (n // ACROSS) * (SIDE + GAP + 12))
        for n, (name, ours) in enumerate(found.items())
    ]
    legend = [
        tag("g", tag("circle", cx=GAP + 190 * (n % 3), cy=10.0 + 16 * (n // 3), r=3.5, fill=shown),
            tag("text", subject, x=GAP + 8 + 190 * (n % 3), y=14.0 + 16 * (n // 3)))
        for n, (subject, shown) in enumerate(colour.items())
    ]  # fmt: skip
    return chart(
        *legend,
        *fields,
        width=GAP + ACROSS * (SIDE + GAP),
        height=top + rows * (SIDE + GAP + 12),
        label="Change of each metric under a fixed dose against its change in the closed loop: " + _spoken(report),
    )


def _field(
    name: tuple[str, str], ours: Sequence[tuple[str, PlanMatrix]], colour: Mapping[str, str], left: float, top: float
) -> Markup:
    reach = max(float(np.nanmax(np.abs(np.concatenate([one.fixed - one.nominal, one.loss])))) for _, one in ours)
    reach = max(reach * 1.1, 0.05)
    right, up = Axis(-reach, reach, left, left + SIDE), Axis(-reach, reach, top + SIDE, top)
    half = SIDE / 2
    parts = [
        tag("rect", x=left, y=top, width=half, height=half, fill="#888", fill_opacity=0.12),
        tag("rect", x=left + half, y=top + half, width=half, height=half, fill="#888", fill_opacity=0.12),
        tag("rect", x=left, y=top, width=SIDE, height=SIDE, fill="none", stroke="#888", stroke_width=0.8),
        tag("line", x1=left, x2=left + SIDE, y1=up(0.0), y2=up(0.0), class_="grid"),
        tag("line", x1=right(0.0), x2=right(0.0), y1=top, y2=top + SIDE, class_="grid"),
        tag("text", f"{name[0]} {name[1]}", x=left, y=top - 6, class_="axis-title"),
        tag("text", f"fixed dose ±{fixed(reach, 1)}", x=left + half, y=top + SIDE + 14, text_anchor="middle"),
        tag("text", "closed loop", x=left - 6, y=top + half, text_anchor="middle",
            transform=Markup(f"rotate(-90 {left - 6:.1f} {top + half:.1f})")),
    ]  # fmt: skip
    for subject, one in ours:
        for told, x, y in zip(one.ids[1:], one.fixed - one.nominal, one.loss, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                spoken = tag("title", f"{subject}, {told}: fixed {fixed(float(x))}, loop {fixed(float(y))}")
                parts.append(
                    tag("circle", spoken, cx=right(float(x)), cy=up(float(y)), r=2.8, fill=colour[subject],
                        fill_opacity=0.8)
                )  # fmt: skip
    return tag("g", *parts)


def _spoken(report: LoopReport) -> str:
    return "; ".join(
        f"{line.subject} {line.structure} {line.metric} correlation {fixed(line.correlation)}" for line in report.lines
    )


@PANELS.add(
    title="Summary", shows="Of how many patients and contourings, how dose was computed, and what to bear in mind."
)
def summary(report: LoopReport) -> Content:
    """Return counts and caveats."""
    return {"report": report, "n": max(line.n for line in report.lines), "made": made_by(report.provenance),
            "settings": report.provenance["settings"]}  # fmt: skip


@PANELS.add(
    title="Fixed dose against closed loop",
    shows="Each dot is a plausible contouring: to the right what it receives from the plan on the reference (fixed "
    "dose), upwards what the reference receives from a plan made on it (closed loop), both as changes.",
    good="Dots along the rising diagonal: a fixed dose ranks the contours as the loop does.",
    bad="Dots in the grey fields: a fixed dose calls a contour bad that yields a good plan, or one good that yields a "
    "miss.",
    do="Judge contours, models and samplers by the closed loop; judge a plan that is made by the fixed dose.",
)
def comparison(report: LoopReport) -> Content:
    """Return the figure and the table."""
    return {"figure": loop_chart(report), "lines": report.lines}


@PANELS.add(
    title="Matrices",
    shows="Rows are plans, columns the contouring they are read on. First row: fixed dose. First column: closed loop. "
    "Diagonal: what the planner of that contour believes.",
)
def matrices(report: LoopReport) -> Content:
    """Return the matrices, the first of them where there are many."""
    found = [(subject, one) for subject, ours in report.matrices.items() for one in ours]
    return {"matrices": found[:N_MATRICES], "n_left": max(0, len(found) - N_MATRICES)}
