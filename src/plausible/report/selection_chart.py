"""Scores against the number of members, one small chart per score, with what rules chose as marks."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from plausible.diversity import POOL_SCORES, ScoreCurve
from plausible.report.drawing import Axis, bottom_axis, chart, left_axis, points, tag
from plausible.report.interval_chart import COLOURS
from plausible.report.text import known, number, words

WIDTH, HEIGHT, LEFT, TOP = 300.0, 210.0, 56.0, 40.0

Marks = Mapping[str, tuple[int, Mapping[str, float]]]
"""By name of a rule, how many members it chose and their scores."""


def curves_chart(curves: Sequence[ScoreCurve], marks: Marks) -> Markup:
    """Return one figure: a chart per score, the band of subsets drawn by lot, and a mark per rule."""
    legend = [
        tag("g", tag("circle", cx=12, cy=10 + 16 * n, r=4, fill=COLOURS[n % len(COLOURS)]),
            tag("text", words(name), x=22, y=14 + 16 * n))
        for n, name in enumerate(marks)
    ]  # fmt: skip
    top = 16.0 * len(marks) + 16
    rows = -(-len(curves) // 2)
    parts = [
        tag("g", *_one(curve, marks), transform=f"translate({WIDTH * (n % 2):.0f} {top + HEIGHT * (n // 2):.0f})")
        for n, curve in enumerate(curves)
    ]
    return chart(*legend, *parts, width=2 * WIDTH, height=top + HEIGHT * rows, label=_spoken(curves))


def _one(curve: ScoreCurve, marks: Marks) -> list[Markup]:
    told = [(n, scores[curve.score], place) for place, (n, scores) in enumerate(marks.values())]
    told = [one for one in told if known(one[1])]
    ends = [v for v in (*curve.low.tolist(), *curve.high.tolist(), *(value for _, value, _ in told)) if known(v)]
    if not ends:
        return []
    margin = (max(ends) - min(ends)) * 0.06 or abs(max(ends)) * 0.05 or 1e-3
    across = Axis(1, max(*curve.sizes, 2), LEFT, WIDTH - 16)
    up = Axis(min(ends) - margin, max(ends) + margin, HEIGHT - 50, TOP - 10)
    xs = [across(size) for size in curve.sizes]
    low, high = ([up(v) for v in column.tolist()] for column in (curve.low, curve.high))
    entry = POOL_SCORES[curve.score]
    unit = f" ({entry.unit})" if entry.unit not in ("1", "risk") else ""
    return [
        left_axis(up, x=LEFT, right=WIDTH - 16, title=entry.label + unit),
        bottom_axis(across, y=HEIGHT - 50, title="members"),
        tag("polygon", points=points([*xs, *xs[::-1]], [*low, *high[::-1]]), fill="#0072b2", opacity=0.15),
        tag("polyline", points=points(xs, [up(v) for v in curve.values.tolist()]), fill="none", stroke="#0072b2"),
        *(
            tag("circle", cx=across(n), cy=up(value), r=4, fill=COLOURS[place % len(COLOURS)])
            for n, value, place in told
        ),
    ]


def _spoken(curves: Sequence[ScoreCurve]) -> str:
    parts = [f"{words(curve.score)} {number(curve.values[0])} with {curve.sizes[0]}, {number(curve.values[-1])} with "
             f"{curve.sizes[-1]} members" for curve in curves]  # fmt: skip
    return "Scores against the number of members: " + "; ".join(parts)
