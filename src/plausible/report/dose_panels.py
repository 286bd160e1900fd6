"""What the dose panel of a case and the table of constraints of a study show."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from plausible.report.dose_charts import dvh_chart
from plausible.report.dose_model import CaseDose, ConstraintDose, StructureDose
from plausible.report.model import ConstraintLine
from plausible.report.panels import Content
from plausible.report.text import known

WORDS = {
    "pass": ("Pass", "✓", "pass"),
    "fail": ("Fail", "✕", "review"),
    "undecided": ("Undecided", "?", "review"),
    "cannot_tell": ("Cannot tell", "–", "cannot_tell"),
}
"""Word, sign and tone of each verdict."""

RANK = {"undecided": 0, "fail": 1, "cannot_tell": 2, "pass": 3}
N_LINES = 200
ENOUGH = 20
"""From so many members on a verdict is not called one of few members."""


def dose_content(dose: CaseDose, viewer: Mapping[str, Any], colours: Mapping[str, str]) -> Content:
    """Return what the dose panel shows: constraints, figures, numbers, and one slice with the dose.

    Args:
        dose: as in dose.json.
        viewer: content of the slice viewer.
        colours: of the structures by name.
    """
    lines = [(s, one) for s in dose.structures for one in s.constraints]
    charts = [(s, dvh_chart(s, colour=colours.get(s.name, "#56b4e9"))) for s in dose.structures]
    sources = list(dict.fromkeys((one.source, one.checked) for _, one in lines))
    return {
        "dose": dose,
        "lines": sorted(lines, key=_urgency),
        "words": WORDS,
        "counts": {word: sum(one.verdict == word for _, one in lines) for word in WORDS},
        "unchecked": any(not one.checked for _, one in lines),
        "unsure": any(certainty(one) == "few members" for _, one in lines),
        "requirement": requirement,
        "certainty": certainty,
        "sources": sources,
        "level": next(iter(_levels(dose)), None),
        "missed": next((one.missed_at_most for _, one in lines if one.missed_at_most is not None), None),
        "charts": [(s, figure, colours.get(s.name, "#56b4e9")) for s, figure in charts if figure],
        "raters": list(dose.raters),
        "slice": dose_slice(dose, viewer),
        "viewer": viewer,
        "methods": list(dict.fromkeys(s.curves.method_90 for s in dose.structures if s.curves)),
    }


def _levels(dose: CaseDose) -> list[float]:
    """Levels of the calibrated intervals and bands of a case."""
    metrics = [m.calibrated_level for s in dose.structures for m in s.metrics]
    curves = [s.curves.calibrated_level for s in dose.structures if s.curves]
    return [level for level in (*metrics, *curves) if level is not None]


def requirement(one: ConstraintDose | ConstraintLine) -> str:
    """What must hold, as people write it: "D2% < 45 Gy"."""
    metric, operator, limit = one.text.rsplit(" ", 2)
    sign = {"<=": "≤", ">=": "≥"}.get(operator, operator)
    return f"{metric.removesuffix(f'[{one.unit}]')} {sign} {limit} {one.unit}"


def certainty(one: ConstraintDose | ConstraintLine) -> str:
    """What a reader must know beside the verdict; empty if nothing."""
    if one.verdict in ("undecided", "cannot_tell"):
        return ""
    if one.close:
        return "close to the limit"
    return "few members" if not one.sure and one.n < ENOUGH else ""


def dose_slice(dose: CaseDose, viewer: Mapping[str, Any]) -> Content:
    """Return the slice where members disagree most about the dose, with the dose laid over it."""
    overlay = next((n for n, one in enumerate(viewer["overlays"]) if one["label"] == "planned dose"), None)
    wanted = review_slices(dose)
    shown = {one["index"]: one for one in viewer["slices"]}
    found = next((n for n in wanted if n in shown), None)
    if found is None:
        return None
    names = [s.name for s in dose.structures if s.review_slice == found]
    picture = shown[found]["overlays"][overlay] if overlay is not None else ""
    legend = viewer["overlays"][overlay] if overlay is not None else None
    return {"one": shown[found], "picture": picture, "legend": legend, "names": names}


def review_slices(dose: CaseDose) -> tuple[int, ...]:
    """Slices whose review would settle most of the dose, the structure with an open constraint first."""
    ordered = sorted(dose.structures, key=_openness)
    return tuple(dict.fromkeys(s.review_slice for s in ordered if s.review_slice is not None))


def constraint_lines(lines: Sequence[ConstraintLine]) -> tuple[ConstraintLine, ...]:
    """Constraints that are not settled, worst first: undecided ones by how near to a coin toss, then close ones."""
    waiting = [one for one in lines if one.verdict == "undecided" or one.close]
    return tuple(sorted(waiting, key=_doubt))


def _doubt(one: ConstraintLine) -> tuple[int, float, int, str, str, str]:
    distance = abs(one.probability - 0.5) if known(one.probability) else math.inf
    place = (one.subject, one.structure, one.text)
    return (RANK[one.verdict], round(distance, 9), one.priority or 9, *place)


def _urgency(pair: tuple[StructureDose, ConstraintDose]) -> tuple[int, float, int]:
    one = pair[1]
    distance = abs(one.probability - 0.5) if known(one.probability) else math.inf
    return RANK[one.verdict], round(distance, 9), one.priority or 9


def _openness(structure: StructureDose) -> tuple[int, float]:
    still_open = any(one.verdict == "undecided" for one in structure.constraints)
    return (0 if still_open else 1, -structure.uncertainty_gy if known(structure.uncertainty_gy) else math.inf)
