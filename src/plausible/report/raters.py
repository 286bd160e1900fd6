"""The page of a study of raters: how far they agree, structure by structure, and the others as a model."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from plausible.core import Problem
from plausible.core.provenance import INTENDED_USE, SCHEMA_VERSION
from plausible.evaluate.rater_study import RaterLine
from plausible.report.interval_chart import interval_chart
from plausible.report.model import Interval
from plausible.report.page import made_by, render
from plausible.report.panels import Content, Panels
from plausible.report.text import words

CHARTED = ("dice", "normalized_surface_dice", "hausdorff_distance_95", "dissensus_share")
N_CHARTED = 25
"""Structures in one figure at most."""


@dataclass(frozen=True, slots=True, eq=False)
class RatersReport:
    """What the page shows.

    Attributes:
        alone: cases in which no structure was drawn by two raters.
        kinds: what is compared with what, by the name that lines have for it.
        whole: the name that stands for all structures.
    """

    name: str
    lines: Sequence[RaterLine]
    alone: tuple[str, ...]
    failures: tuple[Problem, ...]
    kinds: Mapping[str, str]
    whole: str
    provenance: Mapping[str, Any]
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION

    @property
    def structures(self) -> list[str]:
        """Structures, in their order, without the line over all."""
        return [name for name in dict.fromkeys(line.structure for line in self.lines) if name != self.whole]


PANELS: Panels[RatersReport] = Panels("raters")


def raters_page(report: RatersReport) -> str:
    """Return the study as a self-contained HTML page."""
    return render("raters", PANELS, report, scripts=("tables.js",), report=report)


def rater_charts(report: RatersReport) -> Iterator[tuple[str, Markup]]:
    """Yield a figure per measure with a name for its file: structures below each other, a mark per comparison."""
    for measure in CHARTED:
        rows: dict[str, dict[str, Interval]] = {}
        shown = [*report.structures[:N_CHARTED], *([report.whole] if len(report.structures) > 1 else [])]
        unit = ""
        for line in report.lines:
            if line.measure.partition(" ")[0] == measure and line.structure in shown and math.isfinite(line.value):
                rows.setdefault(line.structure, {})[report.kinds[line.compared]] = as_interval(line)
                unit = f" ({line.unit})" if line.unit != "1" else ""
        if rows:
            yield measure, interval_chart(dict(sorted(rows.items(), key=lambda item: shown.index(item[0]))),
                                          title=words(measure) + unit)  # fmt: skip


def as_interval(line: RaterLine) -> Interval:
    """Value and interval of a line."""
    return Interval(value=line.value, low=line.low, high=line.high, level=line.level, n=line.n)


@PANELS.add(title="Summary", shows="How many cases, and over which patients intervals are drawn.")
def summary(report: RatersReport) -> Content:
    """Return the counts."""
    n_cases = max((line.n_cases for line in report.lines if line.structure == report.whole), default=0)
    n_patients = max((line.n for line in report.lines if line.structure == report.whole), default=0)
    return {"report": report, "n_cases": n_cases, "n_patients": n_patients, "made": made_by(report.provenance)}


@PANELS.add(
    title="Agreement",
    shows="Mean over cases with the interval over patients. What a model can be asked for at most is what one rater "
    "reaches against another.",
    good="Marks close together: the consensus and the others stand for each rater.",
    bad="The others pooled far above one rater against another: the consensus is smoother than any person draws, and a "
    "model that is compared with it looks better than people do.",
    do="Put the line 'each rater against each other' beside every figure of a model on these data.",
)
def agreement(report: RatersReport) -> Content:
    """Return the figures."""
    return {"figures": list(rater_charts(report))}


@PANELS.add(title="Raters", shows="What tells the raters apart: volumes and, by STAPLE, what each finds and adds.")
def raters(report: RatersReport) -> Content:
    """Return the lines that describe one rater; left out if there are none."""
    lines = [line for line in report.lines if line.rater and line.structure == report.whole]
    lines += [line for line in report.lines if line.rater and line.structure != report.whole]
    return {"lines": lines, "ratio": math.exp} if lines else None


@PANELS.add(title="All numbers", shows="Every line of summary.csv that is no single rater's.")
def numbers(report: RatersReport) -> Content:
    """Return the table."""
    return {"lines": [line for line in report.lines if not line.rater], "kinds": report.kinds}
