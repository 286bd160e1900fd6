"""The page of a validation study: a panel per task, a figure per dataset and score, a table of the aggregations."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from plausible.aggregate import AggregationSettings, chosen_reductions
from plausible.core import Problem
from plausible.core.provenance import INTENDED_USE, SCHEMA_VERSION
from plausible.report.interval_chart import interval_chart
from plausible.report.model import Interval
from plausible.report.page import made_by, render
from plausible.report.panels import Content, Panel, Panels, Reading
from plausible.report.text import words
from plausible.validate import TASKS, Line

AGREEMENT = "mean_pairwise_dice"
"""Shown beside the maps of a study, as what published comparisons found best."""
CROSSED = ("out_of_distribution", "entanglement")
"""Tasks that compare the sets of cases, and so have no figure of each."""


@dataclass(frozen=True, slots=True, eq=False)
class ValidationReport:
    """What the page shows.

    Attributes:
        measures: maps that were judged.
        aggregations: how they became numbers; the first one stands for each map in the figures.
    """

    name: str
    measures: tuple[str, ...]
    aggregations: tuple[str, ...]
    lines: tuple[Line, ...]
    failures: tuple[Problem, ...]
    provenance: Mapping[str, Any]
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION

    @property
    def first_aggregation(self) -> str:
        """What stands for each map in the figures, as lines call it: a region or a reduction alone is filled up."""
        for region, names in chosen_reductions(self.aggregations[:1], AggregationSettings()).items():
            return f"{region}:{names[0]}"
        return ""

    @property
    def data(self) -> list[str]:
        """Datasets, in their order."""
        return list(dict.fromkeys(line.data for line in self.lines))

    @property
    def models(self) -> list[str]:
        """Models, in their order."""
        return list(dict.fromkeys(line.model for line in self.lines))


@dataclass(frozen=True, slots=True, eq=False)
class Figure:
    """One figure: a score of a task on one dataset."""

    name: str
    title: str
    picture: Markup


def validation_page(report: ValidationReport) -> str:
    """Return a study as a self-contained HTML page.

    Raises:
        ValueError: a study without lines.
    """
    if not report.lines:
        told = "; ".join(f"{one.code} {one.found}" for one in report.failures[:3])
        raise ValueError(f"{report.name}: nothing to show, every model failed: {told}")
    return render("validation", _panels(), report, scripts=("tables.js",), report=report)


def charts(report: ValidationReport) -> Iterator[tuple[str, Markup]]:
    """Yield every figure with a name for its file."""
    for entry in TASKS:
        for figure in figures(report, entry.name):
            yield figure.name, figure.picture


def figures(report: ValidationReport, task: str) -> list[Figure]:
    """Return the figures of a task: of each dataset and every score that has intervals."""
    found: dict[tuple[str, str, str], dict[str, dict[str, Line]]] = {}
    for line in report.lines:
        if line.task != task or not _charted(line, report):
            continue
        where = line.cases if line.measure else line.aggregation
        series = line.measure or line.cases
        if line.measure and line.score == "mean" and line.aggregation:
            where = f"{line.cases}, {line.aggregation}"
        found.setdefault((line.data, line.score, where), {}).setdefault(line.model, {})[series] = line
    return [_figure(task, key, rows) for key, rows in found.items()]


def _charted(line: Line, report: ValidationReport) -> bool:
    """Whether a line is drawn: it has an interval, and stands for its map or for the prediction."""
    if not (math.isfinite(line.low) and math.isfinite(line.value)):
        return False
    if line.cases == "all" and line.task not in CROSSED:
        return False
    if not line.measure:
        return True
    if line.measure == AGREEMENT:
        return True
    region, _, reduction = report.first_aggregation.partition(":")
    told_region, _, told = line.aggregation.partition(":")
    first = bool(region) and told_region.startswith(region) and told.startswith(reduction)  # both may carry a setting
    own = first or line.aggregation in ("", "whole_image", "raters_differ", "raters_agree")
    return own and (line.measure in report.measures or line.measure == "rater_entropy" or " and " in line.measure)


def _figure(task: str, key: tuple[str, str, str], rows: dict[str, dict[str, Line]]) -> Figure:
    data, score, where = key
    first = next(iter(next(iter(rows.values())).values()))
    unit = f" ({first.unit})" if first.unit not in ("1", "risk") else ""
    better = {"better": " · higher is better", "worse": " · lower is better", "neither": ""}[first.higher_is]
    title = f"{words(data)}: {words(score)}{unit}" + (f", {words(where)}" if where else "")
    told = {model: {series: _interval(line) for series, line in found.items()} for model, found in rows.items()}
    name = "-".join(part.replace(", ", "-").replace(":", "-") for part in (task, data, score, where) if part)
    return Figure(name, title + better, interval_chart(told, title=words(score) + unit))


def _interval(line: Line) -> Interval:
    left_out = f"{line.n_undefined} cases undefined" if line.n_undefined else ""
    return Interval(value=line.value, low=line.low, high=line.high, level=line.level, n=line.n, meaning=left_out)


def _table(report: ValidationReport, task: str) -> list[dict[str, Any]]:
    """Every measure and aggregation (rows) by model (columns), for the scores of a task that have intervals."""
    rows: dict[tuple[str, ...], dict[str, Line]] = {}
    for line in report.lines:
        if line.task == task and math.isfinite(line.low):
            key = line.data, line.score, line.cases, line.measure, line.aggregation
            rows.setdefault(key, {})[line.model] = line
    names = ("data", "score", "cases", "measure", "aggregation")
    return [{**dict(zip(names, key, strict=True)), "cells": cells} for key, cells in rows.items()]


def _panels() -> Panels[ValidationReport]:
    """One panel per task of the catalogue, so that a new task is shown without another line."""
    panels: Panels[ValidationReport] = Panels("validation")

    @panels.add(
        title="Summary", shows="What was judged: datasets, models, maps, and how maps became one number a case."
    )
    def summary(report: ValidationReport) -> Content:
        return {"report": report, "made": made_by(report.provenance)}

    for entry in TASKS:
        panels.append(
            Panel(
                entry.name,
                words(entry.name).capitalize(),
                _task(entry.name),
                "validation/task.html.j2",
                Reading(entry.summary),
                needs="what the task asks for: raters, shifted images or several members",
            )
        )

    @panels.add(title="Failures", shows="What could not be done, and what mends it.")
    def failures(report: ValidationReport) -> Content:
        return {"failures": report.failures} if report.failures else None

    return panels


def _task(name: str) -> Callable[[ValidationReport], Content]:
    def content(report: ValidationReport) -> Content:
        found = figures(report, name)
        rows = _table(report, name)
        return {"figures": found, "rows": rows, "models": report.models} if found or rows else None

    return content
