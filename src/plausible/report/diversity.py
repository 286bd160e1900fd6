"""The page of a study of diversity: how different members are, on what voxels, whether that helps, and its sources."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from plausible.core import Problem
from plausible.core.provenance import INTENDED_USE, SCHEMA_VERSION
from plausible.diversity.case import MeasuredPart
from plausible.diversity.case_components import PROBABILITY, VOLUME
from plausible.diversity.decomposition import DECOMPOSITIONS
from plausible.diversity.embedding import embed
from plausible.diversity.fort_plane import FortPlane, fort_plane
from plausible.diversity.losses import REPEATED
from plausible.diversity.pairwise import ErrorPairs
from plausible.diversity.pairwise_measures import DIVERSITY_MEASURES, GROUP_MEASURES
from plausible.diversity.summary import POOLED, DiversityLine, MeasuredMatrix
from plausible.report.diversity_charts import N_LABELLED, heat_map, member_map, plane_chart, share_bars
from plausible.report.page import made_by, render
from plausible.report.panels import Content, Panels
from plausible.report.text import words

ALL = "all structures"
DRAWN = ("disagreement", "dice_distance", "surface_dice_distance", "error_consistency")
"""Measures whose matrices are drawn; matrices.csv has all."""
DISTANCES = ("disagreement", "dice_distance")
"""Measures a map of the members is drawn from: the first that is there."""
N_FIGURES = 24


@dataclass(frozen=True, slots=True, eq=False)
class DiversityReport:
    """What the page shows.

    Attributes:
        ensemble: what the members are together; empty where that is not known.
        lines: every measure over subjects.
        matrices: every measure of two members, from pooled counts.
        parts: the pooled counts.
        designs: what is told of the sources, and in how many cases.
    """

    name: str
    ensemble: str
    lines: Sequence[DiversityLine]
    matrices: Sequence[MeasuredMatrix]
    parts: Sequence[MeasuredPart]
    designs: Mapping[str, int]
    failures: tuple[Problem, ...]
    provenance: Mapping[str, Any]
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the members."""
        return tuple(dict.fromkeys(name for one in self.matrices for name in one.members))


PANELS: Panels[DiversityReport] = Panels("diversity")


def diversity_page(report: DiversityReport) -> str:
    """Return the study as a self-contained HTML page."""
    return render("diversity", PANELS, report, scripts=("tables.js",), report=report)


@PANELS.add(title="Summary", shows="How many cases and members, and what the members were varied in.")
def summary(report: DiversityReport) -> Content:
    """Return the counts and the designs."""
    n_cases = sum(report.designs.values())
    n_patients = max((line.n for line in report.lines), default=0)
    regions = sorted({part.region for part in report.parts})
    made = made_by(report.provenance)
    return {"report": report, "n_cases": n_cases, "n_patients": n_patients, "regions": regions, "made": made}


@PANELS.add(
    title="How different",
    shows="Every measure with its interval over patients: from counts pooled over subjects, so that each voxel "
    "weighs the same. Means of subjects, where each subject does, are below.",
    good="Errors that are little consistent (κ near 0) and few of them silent: disagreement shows where members err.",
    bad="A high silent share of errors: members are wrong together, and no uncertainty from them can show it.",
    do="Read it beside the accuracy. Members that differ more because they are worse are no gain.",
)
def measures(report: DiversityReport) -> Content:
    """Return a row per measure with a cell per structure, and every line."""
    shown = [*DIVERSITY_MEASURES.names, *GROUP_MEASURES.names]
    lines = sorted((one for one in report.lines if one.measure in shown), key=lambda one: shown.index(one.measure))
    structures = list(dict.fromkeys(sorted((one.structure for one in lines), key=lambda name: name != "")))
    rows: dict[tuple[str, str], dict[str, DiversityLine]] = {}
    for one in lines:
        if one.pooling == POOLED:
            rows.setdefault((one.measure, one.region), {})[one.structure] = one
    table = [
        (label_of(measure), region, [cells.get(s) for s in structures]) for (measure, region), cells in rows.items()
    ]
    labelled = [(label_of(one.measure), one) for one in lines]
    return {"structures": [name or ALL for name in structures], "rows": table, "lines": labelled, "whole": ALL}


@PANELS.add(
    title="Between members",
    shows="Every two members, from pooled counts. Row and column are members in the same order; darker is larger.",
    good="Even.",
    bad="Blocks are families of members. A row apart from all others is a member to look at alone.",
    do="Open the table for the numbers; matrices.csv has every matrix of every subject.",
)
def matrices(report: DiversityReport) -> Content:
    """Return a figure and a table per matrix, those about all structures first."""
    drawn = [one for one in report.matrices if one.measure in DRAWN or one.measure not in DIVERSITY_MEASURES]
    ordered = sorted(drawn, key=lambda one: one.structure != "")
    shown = [(one, _title(one), heat_map(one, title=_title(one))) for one in ordered[:N_FIGURES]]
    return {"shown": shown, "n_more": len(report.matrices) - len(shown), "n_labelled": N_LABELLED} if shown else None


@PANELS.add(
    title="Diversity and accuracy",
    shows="Each member beside the most accurate one: its accuracy, and their disagreement as a multiple of its errors.",
    good="Members near the curve of independent errors, not far to the left of the reference member.",
    bad="Members near the lower limit: copies of the reference member with additional errors.",
    do="Prefer members that are high at the same accuracy.",
    needs="references (--references LABELS)",
)
def accuracy(report: DiversityReport) -> Content:
    """Return a figure per structure."""
    counted = [(part.structure or ALL, part.counts) for part in report.parts]
    planes = [(name, fort_plane(counts)) for name, counts in counted if isinstance(counts, ErrorPairs)]
    shown: list[tuple[str, FortPlane, Markup]] = [
        (name, plane, plane_chart(plane)) for name, plane in planes if np.isfinite(plane.disagreement).any()
    ]
    return {"shown": shown[:N_FIGURES]} if shown else None


@PANELS.add(
    title="Map of members",
    shows="Members near each other decide alike: classical scaling of their disagreement.",
    good="Members spread in all directions.",
    bad="Clusters: the ensemble has fewer opinions than members.",
    do="The stress says how much of the distances the map cannot show; above 0.2, trust the matrices only.",
    needs="three members or more",
)
def places(report: DiversityReport) -> Content:
    """Return a map per structure."""
    chosen = next((name for name in DISTANCES if any(one.measure == name for one in report.matrices)), "")
    found = []
    for one in report.matrices:
        if one.measure == chosen and len(one.members) > 2 and np.isfinite(one.values).all():
            embedded = embed(one.values)
            found.append((one.structure or ALL, embedded.stress, member_map(embedded, one.members)))
    return {"shown": found[:N_FIGURES]} if found else None


@PANELS.add(
    title="What the mean gains",
    shows="Loss of the pool = mean loss of a member − diversity; with trainings that repeat, bias + variance − "
    "diversity. Means of subjects. The identity is exact.",
    good="Diversity is a large part of the members' loss.",
    bad="Diversity near 0: one member would do as well. Or large because members are bad: look at the pool's own loss.",
    do="Compare the pool's loss of two ensembles; diversity alone decides nothing.",
    needs="references (--references LABELS)",
)
def losses(report: DiversityReport) -> Content:
    """Return a row per loss and structure."""
    found: dict[tuple[str, str], dict[str, DiversityLine]] = {}
    for line in report.lines:
        if line.measure in DECOMPOSITIONS or line.measure in REPEATED:
            found.setdefault((line.measure, line.structure), {})[line.reduction] = line
    pools = [(label_of(m), s or ALL, parts) for (m, s), parts in found.items() if m in DECOMPOSITIONS]
    repeated = [(words(m), s or ALL, parts) for (m, s), parts in found.items() if m in REPEATED]
    return {"pools": pools, "repeated": repeated} if pools else None


@PANELS.add(
    title="Sources of variance",
    shows="Variance between members by what made them differ: of the probability (mean over the voxel set) and of the "
    "volume. Means of subjects with the interval over patients.",
    good="What is varied on purpose carries the variance.",
    bad="Nearly all is residual: folds, networks or raters add little to what a seed does.",
    do="Spend further trainings on the source with the largest share. Intervals do not cover other folds or seeds: "
    "with few levels a component is uncertain by far more.",
    needs="members of a grid such as the same seeds in every fold (or a table, --design design.csv)",
)
def sources(report: DiversityReport) -> Content:
    """Return shares and numbers per structure."""
    found: dict[tuple[str, str], list[DiversityLine]] = {}
    for line in report.lines:
        if line.measure in (PROBABILITY, VOLUME):
            found.setdefault((line.measure, line.structure), []).append(line)
    if not found:
        return None
    tables = [
        (words(measure), structure, [(one, share) for one, share in _with_shares(of_one)])
        for (measure, structure), of_one in found.items()
    ]
    figures = []
    for measure in (PROBABILITY, VOLUME):
        bars = [(s, [(one.reduction, _clipped(one)) for one in of_one if np.isfinite(one.value)])
                for (m, s), of_one in found.items() if m == measure]  # fmt: skip
        if bars:
            figures.append((words(measure), share_bars(bars)))
    return {"figures": figures, "tables": tables}


def label_of(measure: str) -> str:
    """Name of a measure for people."""
    for catalogue in (DIVERSITY_MEASURES, GROUP_MEASURES, DECOMPOSITIONS):
        if measure in catalogue:
            return catalogue[measure].label
    return words(measure)


def _with_shares(lines: Sequence[DiversityLine]) -> Iterator[tuple[DiversityLine, float]]:
    """Each component with its share of what is above 0."""
    total = sum(_clipped(line) for line in lines if np.isfinite(line.value))
    for line in lines:
        yield line, _clipped(line) / total if np.isfinite(line.value) and total > 0 else float("nan")


def _clipped(line: DiversityLine) -> float:
    """Component, 0 where the estimate is below."""
    return max(line.value, 0.0)


def _title(one: MeasuredMatrix) -> str:
    unit = "" if one.unit == "1" else f" ({one.unit})"
    return f"{label_of(one.measure)}{unit}, {one.structure or ALL}"
