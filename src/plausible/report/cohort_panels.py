"""Panels of the cohort page, from the summary to the methods."""

import base64
import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plausible.report.cohort_charts import page_link, reliability_chart, risk_coverage_chart, strip
from plausible.report.dose_panels import N_LINES, WORDS, certainty, constraint_lines, requirement
from plausible.report.model import CohortLine, CohortReport
from plausible.report.page import made_by
from plausible.report.panels import Content, Panels
from plausible.report.text import known

PASS_UP_TO = 0.05
"""Share of the members above which a constraint that the segmentation passes is counted as open."""

COLUMNS = (
    "subject", "structure", "state", "agreement", "volume_ml", "volume_low_ml", "volume_high_ml", "volume_cv",
    "worst_slice", "flags",
)  # fmt: skip


KINDS = {
    "ensemble": "ensemble",
    "human": "human",
    "single_member": "single member",
    "ensemble_minus_single_member": "difference",
}
"""Columns of the table of scores, in order, and what they are called there."""


@dataclass(frozen=True, slots=True, eq=False)
class CohortView:
    """What the panels read: the report, the lines in order of triage, and how much of them the page shows."""

    report: CohortReport
    lines: tuple[CohortLine, ...]
    n_shown: int
    links: bool
    note: str

    @property
    def structures(self) -> list[str]:
        """Names of the structures, in the order of the report."""
        return list(dict.fromkeys(line.structure for line in self.report.lines))


COHORT_PANELS: Panels[CohortView] = Panels("cohort")


def triage_order(lines: Sequence[CohortLine]) -> tuple[CohortLine, ...]:
    """Least agreed first; lines without agreement (absent in all members, or a single member) come last."""

    def key(line: CohortLine) -> tuple[float, str, str]:
        return (line.agreement if known(line.agreement) else math.inf, line.subject, line.structure)

    return tuple(sorted(lines, key=key))


@COHORT_PANELS.add(title="Summary", shows="How many cases there are, and how many need a look.")
def summary(view: CohortView) -> Content:
    """Return the counts."""
    states = {line.subject: "pass" for line in view.lines}
    states |= {line.subject: "cannot_tell" for line in view.lines if line.state == "cannot_tell"}
    n_unclear = sum(state == "cannot_tell" for state in states.values())
    return {"report": view.report, "n_unclear": n_unclear, "n_failed": len(view.report.failures), "n_done": len(states)}


@COHORT_PANELS.add(
    title="Triage",
    shows="One line per case and structure, the least agreed first. Work from the top.",
    good="High agreement; the lines at the top differ little from the rest.",
    bad="A few lines far below all others, or one structure that fills the top.",
    do="Open the case at its worst slice. If one structure fills the top, look at its training data.",
    needs="at least one case that could be assessed",
)
def triage(view: CohortView) -> Content:
    """Return the table of all lines, or of the least agreed where all do not fit."""
    if not view.lines:
        return None
    measures = list(dict.fromkeys(name for line in view.lines for name in line.reference))
    shown = [
        {"line": line, "page": page_link(line.page), "slice": page_link(line.page, slice_index=line.worst_slice)}
        for line in view.lines[: view.n_shown]
    ]
    return {
        "shown": shown,
        "measures": measures,
        "structures": view.structures,
        "n_all": len(view.lines),
        "note": view.note,
        "csv": csv_address(view.lines[: view.n_shown], measures),
        "level": view.lines[0].volume_ml.level,
    }


@COHORT_PANELS.add(
    title="Dose constraints",
    shows="Constraints that the members leave open, worst first: whether the plan is acceptable hangs on the contour.",
    good="Few lines, and none that the segmentation passes.",
    bad="A constraint that the segmentation passes and many members violate.",
    do="Open the case at the slice named, review it, and judge the plan again.",
    needs="a dose (plausible dose, or plausible assess --dose)",
)
def constraints(view: CohortView) -> Content:
    """Return the constraints that are not settled."""
    every = view.report.constraints
    if not every:
        return None
    waiting = constraint_lines(every)
    turned = [one for one in every if one.nominal_violates is False and one.probability > PASS_UP_TO]
    return {
        "n_all": len(every),
        "n_cases": len({one.subject for one in every}),
        "counts": {word: sum(one.verdict == word for one in every) for word in WORDS},
        "n_turned": len(turned),
        "pass_up_to": PASS_UP_TO,
        "shown": [
            (one, page_link(one.page), page_link(one.page, slice_index=one.review_slice)) for one in waiting[:N_LINES]
        ],
        "n_hidden": max(len(waiting) - N_LINES, 0),
        "words": WORDS,
        "requirement": requirement,
        "certainty": certainty,
    }


@COHORT_PANELS.add(
    title="Workload",
    shows="How many cases to review, and how often the others fail: each threshold of a failure flag, measured on the "
    "calibration patients.",
    good="A certified threshold that sends few cases to review.",
    bad="Certified only where nearly all cases are reviewed, or nowhere: the score does not tell failures apart.",
    do="Move the slider. A threshold chosen here, after seeing the numbers, is not the promised one; to change the "
    "promise, calibrate again with another alpha.",
    needs="a calibration with --failure (plausible calibrate), given to plausible assess --calibration",
)
def workload(view: CohortView) -> Content:
    """Return one table of thresholds per failure flag."""
    return {"flags": view.report.workload} if view.report.workload else None


@COHORT_PANELS.add(
    title="Distribution",
    shows="Each dot is a case: agreement and volume per structure. Squares are cases to review.",
    good="One cluster.",
    bad="Single dots far from the rest, on either axis.",
    do="Open those cases: an unusual volume at high agreement is a mistake that all members share.",
)
def distribution(view: CohortView) -> Content:
    """Return a strip of agreement and one of volume per structure."""
    rows = []
    for name in view.structures:
        lines = [line for line in view.lines if line.structure == name]
        agreed = strip(lines, value=lambda x: x.agreement, title="agreement, mean pairwise Dice", links=view.links)
        volume = strip(lines, value=lambda x: x.volume_ml.value, title="volume, ml", links=view.links)
        rows.append((name, agreed, volume))
    return {"rows": rows[:40], "n_hidden": max(len(rows) - 40, 0)} if rows else None


@COHORT_PANELS.add(
    title="Scores",
    shows="Mean scores against references, with intervals over cases: of the ensemble, of a single member, how they "
    "differ, and what raters reach among themselves (human).",
    good="The ensemble's probabilities score better than a single member's (NLL, Brier, ECE lower), and its overlap is "
    "near that of the raters.",
    bad="No difference: the members are copies of each other, or nearly.",
    do="Read the intervals; with few cases the means say little.",
    needs="references (plausible evaluate, or plausible assess --references)",
)
def scores(view: CohortView) -> Content:
    """Return one row per measure, structure, region and choice of reference, with a column per kind of segmentation."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    where = ("measure", "structure", "region", "against")
    for line in view.report.summary:
        place = {name: str(line.get(name, "")) for name in where}
        what = str(line.get("of") or "ensemble")
        told = {name: line.get(name, "") for name in ("unit", "n", "n_undefined")}
        row = rows.setdefault(tuple(place.values()), {**place, "cells": {}, **told})
        row["cells"][what] = line
    shown = {name: title for name, title in KINDS.items() if any(name in row["cells"] for row in rows.values())}
    several = len({row["against"] for row in rows.values()}) > 1
    return {"rows": list(rows.values()), "columns": shown, "several": several} if rows else None


@COHORT_PANELS.add(
    title="Reliability",
    shows="How often voxels of a given confidence are right, with a band over cases.",
    good="On the diagonal, within the band.",
    bad="Below the diagonal: overconfident. A wide band: too few cases.",
    do="Calibrate before reading probabilities as frequencies.",
    needs="references (plausible evaluate, or plausible assess --references)",
)
def reliability(view: CohortView) -> Content:
    """Return one reliability diagram per class."""
    charts = [(one, reliability_chart(one)) for one in view.report.reliability]
    return {"charts": charts} if charts else None


@COHORT_PANELS.add(
    title="Risk and coverage",
    shows="Mean risk of the cases that are kept when the least confident ones are sent to review.",
    good="Near 0 up to high coverage, rising only at the right.",
    bad="Level at the mean risk of all cases: the score does not rank failures.",
    do="Choose another score to order cases by.",
    needs="references (plausible evaluate, or plausible assess --references)",
)
def risk_coverage(view: CohortView) -> Content:
    """Return one curve per structure and score."""
    charts = [(one, risk_coverage_chart(one)) for one in view.report.risk_coverage]
    return {"charts": charts} if charts else None


@COHORT_PANELS.add(title="Failures", shows="Cases that could not be done, and what mends each.")
def failures(view: CohortView) -> Content:
    """Return the list of failures; left out if there are none."""
    return {"failures": view.report.failures} if view.report.failures else None


@COHORT_PANELS.add(title="About", shows="What made these numbers.")
def about(view: CohortView) -> Content:
    """Return methods and provenance."""
    provenance = view.report.provenance
    settings, inputs = (provenance.get(name) or {} for name in ("settings", "inputs"))
    return {"report": view.report, "made": made_by(provenance), "settings": settings, "n_inputs": len(inputs)}


def csv_address(lines: Sequence[CohortLine], measures: Sequence[str]) -> str:
    """Data URI of the table as CSV (UTF-8 with a mark that Excel understands)."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([*COLUMNS, *measures])
    for line in lines:
        volume = line.volume_ml
        cells = [line.subject, line.structure, line.state, line.agreement, volume.value, volume.low, volume.high]
        cells += [line.volume_cv, line.worst_slice, " ".join(line.flags), *(line.reference.get(m) for m in measures)]
        writer.writerow([_cell(cell) for cell in cells])
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(written.getvalue().encode("utf-8-sig")).decode(
        "ascii"
    )


def _cell(value: object) -> str:
    """Text of a cell; text that a spreadsheet would run as a formula gets an apostrophe."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"'{value}" if str(value).startswith(("=", "+", "-", "@")) else str(value)
