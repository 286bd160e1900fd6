"""Figures of the cohort page as inline SVG: strips of cases, reliability, risk against coverage."""

import math
from collections.abc import Callable, Sequence
from urllib.parse import quote

from markupsafe import Markup

from plausible.report.drawing import Axis, bottom_axis, chart, left_axis, points, tag
from plausible.report.model import CohortLine, Reliability, RiskCoverageCurve
from plausible.report.text import fixed, number

WIDTH = 560.0
DOT = 3.2
SIDE = 340.0


def strip(
    lines: Sequence[CohortLine], *, value: Callable[[CohortLine], float | None], title: str, links: bool
) -> Markup:
    """One dot per case; dots of the same place are stacked, flagged ones are squares. A dot leads to its page."""
    known = [(v, line) for line in lines if (v := value(line)) is not None and math.isfinite(v)]
    if not known:
        return Markup("")
    low, high = min(v for v, _ in known), max(v for v, _ in known)
    margin = max((high - low) * 0.04, abs(high) * 0.01, 1e-3)
    across = Axis(low - margin, high + margin, 12.0, WIDTH - 12.0)
    columns: dict[int, list[CohortLine]] = {}
    for v, line in known:
        columns.setdefault(round(across(v) / (2 * DOT)), []).append(line)
    tallest = max(len(column) for column in columns.values())
    step = min(2 * DOT + 0.6, 110 / tallest)
    height = 22 + tallest * step
    dots = [
        _dot(column * 2 * DOT, height - 6 - row * step, line, value(line), links=links)
        for column, cases in columns.items()
        for row, line in enumerate(cases)
    ]
    label = f"{title} of {len(known)} cases, {number(low)} to {number(high)}"
    return chart(
        bottom_axis(across, y=height, title=title, about=6), *dots, width=WIDTH, height=height + 38, label=label
    )


def reliability_chart(one: Reliability) -> Markup:
    """Accuracy against confidence with its band, the diagonal, and the share of voxels per bin below."""
    across, up = Axis(0.0, 1.0, 46.0, SIDE - 8.0), Axis(0.0, 1.0, SIDE - 70.0, 22.0)
    bins = [
        (c, a, low, high)
        for c, a, low, high in zip(one.confidence, one.accuracy, one.low, one.high, strict=True)
        if math.isfinite(c) and math.isfinite(a)
    ]
    banded = [b for b in bins if math.isfinite(b[2]) and math.isfinite(b[3])]
    band = [
        *((across(c), up(low)) for c, _, low, _ in banded),
        *((across(c), up(h)) for c, _, _, h in reversed(banded)),
    ]
    xs, ys = [across(b[0]) for b in bins], [up(b[1]) for b in bins]
    share = Axis(0.0, max((s for s in one.share if math.isfinite(s)), default=1.0) or 1.0, SIDE - 18.0, SIDE - 48.0)
    return chart(
        left_axis(up, x=46.0, right=SIDE - 8, title="accuracy"),
        bottom_axis(across, y=SIDE - 12, title="confidence", top=22.0),
        tag("line", x1=across(0), y1=up(0), x2=across(1), y2=up(1), class_="ideal"),
        tag("polygon", points=points([x for x, _ in band], [y for _, y in band]), class_="band") if banded else "",
        tag("polyline", points=points(xs, ys), class_="curve"),
        *(tag("circle", _told(f"confidence {fixed(b[0], 3)}, accuracy {fixed(b[1], 3)}"), cx=x, cy=y, r=3.5,
              class_="curve-dot") for b, x, y in zip(bins, xs, ys, strict=True)),
        *_shares(one, across, share),
        tag("text", "share", x=40, y=SIDE - 20, text_anchor="end"),
        width=SIDE,
        height=SIDE + 28,
        label=f"reliability of {one.name}: expected calibration error {number(one.ece.value)}",
    )  # fmt: skip


def risk_coverage_chart(one: RiskCoverageCurve) -> Markup:
    """Mean risk of the cases kept at each coverage, against the mean risk of all."""
    risks = [r for r in one.selective_risk if math.isfinite(r)]
    top = max([*risks, one.mean_risk if math.isfinite(one.mean_risk) else 0.0, 1e-3]) * 1.15
    across, up = Axis(0.0, 1.0, 52.0, SIDE + 60.0), Axis(0.0, top, SIDE - 70.0, 22.0)
    kept = [(c, r) for c, r in zip(one.coverage, one.selective_risk, strict=True) if math.isfinite(r)]
    mean: list[Markup] = []
    if math.isfinite(one.mean_risk):
        y = up(one.mean_risk)
        mean = [
            tag("line", x1=across(0), x2=across(1), y1=y, y2=y, class_="ideal"),
            tag("text", f"all cases {number(one.mean_risk)}", x=across(0) + 6, y=y - 6),
        ]
    return chart(
        left_axis(up, x=52.0, right=SIDE + 60, title=f"mean risk of the cases kept ({one.risk})"),
        bottom_axis(across, y=SIDE - 70, title="coverage: share of cases kept, most confident first"),
        *mean,
        tag("polyline", points=points([across(c) for c, _ in kept], [up(r) for _, r in kept]), class_="curve"),
        width=SIDE + 70,
        height=SIDE - 30,
        label=f"risk against coverage, ordered by {one.score}: area {number(one.aurc.value)}",
    )


def page_link(path: str, *, slice_index: int | None = None) -> str:
    """Relative link to one of our own pages; empty for anything that could lead elsewhere."""
    if not path or ":" in path or path.startswith(("/", "\\")):
        return ""
    return quote(path, safe="/") + ("" if slice_index is None else f"#slice-{slice_index}")


def _dot(x: float, y: float | int, line: CohortLine, value: float | None, *, links: bool) -> Markup:
    told = _told(f"{line.subject} {number(value)}") if links else ""
    if line.state == "review":
        mark = tag("rect", told, x=x - DOT, y=y - DOT, width=2 * DOT, height=2 * DOT, class_="case-dot review")
    else:
        state = "case-dot" if line.state == "pass" else "case-dot cannot_tell"
        mark = tag("circle", told, cx=x, cy=y, r=DOT, class_=state)
    address = page_link(line.page) if links else ""
    return tag("a", mark, href=address, tabindex=-1) if address else mark


def _shares(one: Reliability, across: Axis, up: Axis) -> list[Markup]:
    return [
        tag("rect", _told(f"{fixed(100 * s, 1)} % of voxels"), x=across(c) - 4, width=8, y=up(s), height=up(0) - up(s),
            class_="share")
        for c, s in zip(one.confidence, one.share, strict=True)
        if math.isfinite(c) and math.isfinite(s)
    ]  # fmt: skip


def _told(text: str) -> Markup:
    return tag("title", text)
