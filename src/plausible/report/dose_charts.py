"""The figure of a DVH as inline SVG: bands, median, segmentation, references, and where the limits lie."""

import math
from collections.abc import Sequence

from markupsafe import Markup

from plausible.report.dose_model import ConstraintDose, DvhCurves, StructureDose
from plausible.report.drawing import Axis, bottom_axis, chart, left_axis, points, tag
from plausible.report.text import number

WIDTH, HEIGHT = 430.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 420.0, 24.0, 250.0
FLAT = 0.0005


def dvh_chart(structure: StructureDose, *, colour: str) -> Markup:
    """Share of the structure that receives at least each dose, in percent."""
    curves = structure.curves
    if curves is None:
        return Markup("")
    across, up = Axis(0.0, _top(structure, curves), LEFT, RIGHT), Axis(0.0, 100.0, BOTTOM, TOP)
    return chart(
        left_axis(up, x=LEFT, right=RIGHT, title="volume, %"),
        bottom_axis(across, y=BOTTOM, title="dose, Gy", about=7, top=TOP),
        _band(curves, curves.low_90, curves.high_90, across, up, colour, "dvh-90"),
        _band(curves, curves.low_50, curves.high_50, across, up, colour, "dvh-50"),
        *(_line(curves, end, across, up, class_="dvh-calibrated") for end in _calibrated(curves)),
        _line(curves, curves.median, across, up, stroke=colour, class_="dvh-median"),
        _line(curves, curves.nominal, across, up, class_="dvh-nominal"),
        *(_line(curves, one, across, up, class_="dvh-reference") for one in curves.reference.values()),
        *(_limit(one, across, up) for one in structure.constraints),
        width=WIDTH,
        height=HEIGHT,
        label=f"{structure.name}: DVH of the segmentation and bands of {structure.n} members",
        class_="chart dvh",
    )


def _calibrated(curves: DvhCurves) -> tuple[Sequence[float], ...]:
    """Both ends of the band that holds the whole true curve, where there is one."""
    return (curves.low_calibrated, curves.high_calibrated) if curves.low_calibrated else ()


def _top(structure: StructureDose, curves: DvhCurves) -> float:
    """End of the dose axis: where the hottest curve has ended, and every limit is in sight."""
    every = (curves.nominal, curves.high_90, curves.median, *curves.reference.values())
    hottest = [
        dose
        for curve in every
        for dose, share in zip(curves.dose_gy, curve, strict=True)
        if math.isfinite(share) and share > FLAT
    ]
    limits = [one.at_dose_gy for one in structure.constraints if math.isfinite(one.at_dose_gy)]
    return 1.04 * max([*hottest, *limits, 1.0])


def _band(
    curves: DvhCurves,
    low: Sequence[float],
    high: Sequence[float],
    across: Axis,
    up: Axis,
    colour: str,
    class_: str,
) -> Markup:
    shown = [
        (across(d), up(100 * a), up(100 * b))
        for d, a, b in zip(curves.dose_gy, low, high, strict=True)
        if math.isfinite(a) and math.isfinite(b) and d <= across.high
    ]
    if not shown:
        return Markup("")
    xs = [x for x, _, _ in shown] + [x for x, _, _ in reversed(shown)]
    ys = [a for _, a, _ in shown] + [b for _, _, b in reversed(shown)]
    return tag("polygon", points=points(xs, ys), fill=colour, class_=class_)


def _line(curves: DvhCurves, curve: Sequence[float], across: Axis, up: Axis, **drawn: str) -> Markup:
    shown = [
        (across(d), up(100 * share))
        for d, share in zip(curves.dose_gy, curve, strict=True)
        if math.isfinite(share) and d <= across.high
    ]
    if not shown:
        return Markup("")
    return tag("polyline", points=points([x for x, _ in shown], [y for _, y in shown]), **drawn)


def _limit(one: ConstraintDose, across: Axis, up: Axis) -> Markup:
    """A limit: a triangle on the forbidden side of a point of the curve; at the axis for a mean dose."""
    if not math.isfinite(one.at_dose_gy):
        return Markup("")
    x = across(one.at_dose_gy)
    y = up(100 * one.at_share) if math.isfinite(one.at_share) else BOTTOM - 5.0
    shape = f"M{x:.1f} {y:.1f}l8 -4.5v9z" if one.operator in ("<", "<=") else f"M{x:.1f} {y:.1f}l-8 -4.5v9z"
    told = f"{one.text} {one.unit}: {one.verdict.replace('_', ' ')}, P(violation) {number(one.probability, 2)}"
    return tag("path", tag("title", told), d=shape, class_=f"dvh-limit {one.verdict}")
