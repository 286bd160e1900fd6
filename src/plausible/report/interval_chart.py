"""One value with its interval per row and series, rows below each other: models, structures, whatever is compared."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from plausible.report.drawing import Axis, bottom_axis, chart, tag
from plausible.report.model import Interval
from plausible.report.text import known, number, words

WIDTH, LEFT, STEP = 560.0, 168.0, 13.0
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#7f7f7f", "#e69f00")
"""Colours that people with colour blindness tell apart (Okabe and Ito); shapes tell series apart as well."""


def interval_chart(rows: Mapping[str, Mapping[str, Interval]], *, title: str) -> Markup:
    """Rows below each other, in each one mark per series with its interval.

    Args:
        rows: the values of each row by series; at least one of them defined.
        title: of the axis, with the unit.
    """
    series = list(dict.fromkeys(name for found in rows.values() for name in found))
    ends = [v for found in rows.values() for line in found.values() for v in (line.value, line.low, line.high)]
    defined = [v for v in ends if known(v)]
    low, high = min(defined), max(defined)
    margin = max((high - low) * 0.06, abs(high) * 0.01, 1e-3)
    across = Axis(low - margin, high + margin, LEFT, WIDTH - 14.0)
    height = STEP * (len(series) + 1)
    top = 16.0 * len(series) + 12
    bottom = top + height * len(rows)
    return chart(
        *_legend(series),
        bottom_axis(across, y=bottom, title=title, top=top),
        *(part for place, (name, found) in enumerate(rows.items())
          for part in _row(name, found, series, across, top + place * height, height)),
        width=WIDTH,
        height=bottom + 40,
        label=f"{title}: " + "; ".join(_spoken(name, found) for name, found in rows.items()),
    )  # fmt: skip


def _legend(series: Sequence[str]) -> list[Markup]:
    return [
        tag("g", _mark(place, LEFT + 6, 10.0 + 16 * place, ""),
            tag("text", words(name) or "all", x=LEFT + 16, y=14 + 16 * place))
        for place, name in enumerate(series)
    ]  # fmt: skip


def _row(
    name: str, found: Mapping[str, Interval], series: Sequence[str], across: Axis, top: float, height: float
) -> list[Markup]:
    parts = [tag("text", words(name), x=LEFT - 10, y=top + height / 2 + 4, text_anchor="end", class_="row-name")]
    for place, one in enumerate(series):
        line = found.get(one)
        if line is None or not known(line.value):
            continue
        y = top + STEP * (place + 1)
        if known(line.low) and known(line.high):
            parts.append(tag("line", x1=across(line.low), x2=across(line.high), y1=y, y2=y,
                             stroke=_colour(place), stroke_width=2, stroke_opacity=0.55))  # fmt: skip
        parts.append(_mark(place, across(line.value), y, f"{words(name)}, {words(one)}: {_told(line)}"))
    return parts


def _mark(place: int, x: float, y: float, told: str) -> Markup:
    title, colour = (tag("title", told) if told else Markup("")), _colour(place)
    if place % 3 == 1:
        return tag("rect", title, x=x - 3.6, y=y - 3.6, width=7.2, height=7.2, fill=colour)
    if place % 3 == 2:
        shape = f"{x:.1f},{y - 4.6:.1f} {x + 4.6:.1f},{y + 3.8:.1f} {x - 4.6:.1f},{y + 3.8:.1f}"
        return tag("polygon", title, points=shape, fill=colour)
    return tag("circle", title, cx=x, cy=y, r=4, fill=colour)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _told(line: Interval) -> str:
    interval = f" ({number(line.low)} to {number(line.high)})" if known(line.low) else ""
    return ", ".join(filter(None, (f"{number(line.value)}{interval}", f"n = {line.n}", line.meaning)))


def _spoken(name: str, found: Mapping[str, Interval]) -> str:
    return f"{words(name)} " + ", ".join(f"{words(one)} {number(line.value)}" for one, line in found.items())
