"""What the raters of a dataset tell without any model: agreement, consensus, and the others as a model.

```
OUT/  raters.json  summary.csv  scores.csv  failures.csv  raters.html  agreement.svg  CASE/raters.json
```
A case whose file names the same version, inputs and settings is kept.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TypeAlias

import numpy as np

from plausible.core import Classes, Geometry, InvalidInput, MemberInfo, Members, Problem, Score, provenance
from plausible.evaluate import Estimate, bootstrap_weighted, weighted_aurc
from plausible.evaluate.cohort_summary import mean_defined, mean_estimate
from plausible.evaluate.rater_study import CONSENSUS_OF_ALL, OTHERS, RaterLine, rater_rows
from plausible.io import hash_files, write_failures, write_rows
from plausible.io.atomic import plain_json, write_json, write_text
from plausible.io.rater_datasets import Marks, RaterCase, RaterDataset
from plausible.io.rows import write_table
from plausible.report.page import svg_file
from plausible.report.raters import RatersReport, rater_charts, raters_page
from plausible.runs.evaluation import row_from_dict
from plausible.runs.layout import FAILURES, SCORES, made_before, make_folder
from plausible.runs.walk import OnCase

CASE, RESULT, SUMMARY, PAGE = "raters.json", "raters.json", "summary.csv", "raters.html"
BETWEEN = "between raters"
KINDS = {
    BETWEEN: "each rater against each other",
    "consensus_majority": "each rater against the majority of the others",
    "consensus_staple": "each rater against STAPLE of the others",
    OTHERS: "the others pooled, as a model, against the one left out",
    CONSENSUS_OF_ALL: "the consensus of all",
}
"""What is compared with what, as the tables call it."""
ALL = "all structures"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatersSettings:
    """How raters are compared.

    Attributes:
        tolerance_mm: tolerance of the normalized surface Dice.
        margin_mm: how far around all contours of a structure the image is looked at; the background in it counts in
            calibration and STAPLE.
        resamples: draws of each interval.
    """

    tolerance_mm: float = 2.0
    margin_mm: float = 10.0
    resamples: int = 10_000

    def __post_init__(self) -> None:
        if not (self.tolerance_mm >= 0 and self.margin_mm > 0 and self.resamples >= 100):
            raise ValueError(
                "tolerance_mm must be at least 0, margin_mm above 0 and resamples at least 100, got "
                f"{self.tolerance_mm}, {self.margin_mm} and {self.resamples}"
            )


COLUMNS = tuple(f.name for f in fields(RaterLine))


@dataclass(frozen=True, slots=True)
class RatersCompared:
    """The summary of a dataset, the cases it rests on, and what could not be done."""

    lines: tuple[RaterLine, ...]
    done: tuple[str, ...]
    kept: tuple[str, ...]
    alone: tuple[str, ...]
    failures: tuple[Problem, ...]


_Key: TypeAlias = tuple[str, str, str, str]
"""Structure, what is compared, measure and rater."""


def compare_raters(
    dataset: RaterDataset,
    output: Path,
    *,
    settings: RatersSettings | None = None,
    patients: Mapping[str, str] | None = None,
    seed: int = 0,
    on_case: OnCase | None = None,
) -> RatersCompared:
    """Compare the raters of every case and summarise over patients.

    Args:
        dataset: cases with their raters.
        output: folder of the results.
        settings: how raters are compared.
        patients: patient of each case, in place of what the dataset tells.
        seed: of the intervals.
        on_case: called after each case with its name, number, number of cases and result.

    Raises:
        UnfitEnvironment: E903, results cannot be written.
    """
    chosen = settings or RatersSettings()
    make_folder(output)
    rows: dict[str, list[Score]] = {}
    done, kept, failures = list[str](), list[str](), list[Problem]()
    for number, case in enumerate(dataset.cases, start=1):
        try:
            rows[case.subject], was_there = _rows_of(case, output / case.subject / CASE, chosen)
            (kept if was_there else done).append(case.subject)
            result = "kept" if was_there else "ok"
        except InvalidInput as error:
            failures.append(error.problem)
            result = error.problem.code
        if on_case:
            on_case(case.subject, number, len(dataset.cases), result)
    owner = {case.subject: (patients or {}).get(case.subject, case.patient) for case in dataset.cases}
    lines = tuple(_summary(rows, owner, chosen, seed)) if any(rows.values()) else ()
    alone = tuple(subject for subject, found in rows.items() if not found)
    compared = RatersCompared(lines, tuple(done), tuple(kept), alone, tuple(failures))
    _write(dataset, compared, rows, chosen, output, seed=seed)
    return compared


def _rows_of(case: RaterCase, path: Path, settings: RatersSettings) -> tuple[list[Score], bool]:
    told = {key: value for key, value in asdict(settings).items() if key != "resamples"}
    made = provenance("raters", settings={**told, "told": case.told}, inputs=hash_files(case.files))
    known = made_before(path, made.key)
    if known:
        return [row_from_dict(row) for row in known["rows"]], True
    grid, drawn = case.load()
    rows = [row for members in structures_of(grid, drawn, case.subject, margin_mm=settings.margin_mm)
            for row in rater_rows(members, tolerance_mm=settings.tolerance_mm, subject=case.subject)]  # fmt: skip
    raters = {rater: sorted(marks) for rater, marks in drawn.items()}
    told_rows = [row.to_dict() for row in rows]
    write_json(path, {"subject": case.subject, "drawn": raters, "rows": told_rows, "provenance": made.to_dict()})
    return rows, False


def structures_of(grid: Geometry, drawn: Mapping[str, Marks], subject: str, *, margin_mm: float) -> Iterator[Members]:
    """Yield, for each structure that two raters or more have drawn, those raters, cropped to its surroundings."""
    names = dict.fromkeys(name for marks in drawn.values() for name in marks)
    for name in names:
        masks = {rater: marks[name] for rater, marks in drawn.items() if name in marks}
        if len(masks) < 2:
            continue
        box = _surroundings(np.logical_or.reduce(list(masks.values())), grid, margin_mm)
        cropped = grid
        for axis, (start, stop) in enumerate(box):
            cropped = cropped.slab(start, stop, axis=axis)
        inside = tuple(slice(start, stop) for start, stop in box)
        yield Members.from_labels(
            [mask[inside].astype(np.uint8) for mask in masks.values()],
            geometry=cropped,
            classes=Classes.exclusive_of({"background": 0, name: 1}),
            subject=subject,
            infos=[MemberInfo(id=rater, kind="rater", rater=rater) for rater in masks],
        )


def _surroundings(mask: np.ndarray, grid: Geometry, margin_mm: float) -> list[tuple[int, int]]:
    box = []
    for axis, (spacing, size) in enumerate(zip(grid.spacing_mm, grid.shape, strict=True)):
        present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        margin = math.ceil(margin_mm / spacing - 1e-6)
        box.append((max(0, int(present[0]) - margin), min(size, int(present[-1]) + 1 + margin)))
    return box


def _summary(
    rows: Mapping[str, Sequence[Score]], owner: Mapping[str, str], settings: RatersSettings, seed: int
) -> Iterator[RaterLine]:
    """Mean over cases of each measure, per structure and over all; patients are drawn.

    A case's pairs are averaged first, then its structures, so that a structure that more raters drew weighs no more.
    """
    groups: dict[_Key, dict[str, list[float]]] = {}
    units: dict[str, str] = {}
    for subject, found in rows.items():
        for row in found:
            compared = _compared(row)
            each = row.reduction.removeprefix("rater:") if row.measure in PER_RATER else ""
            key = row.structure, compared, _measure(row), each
            groups.setdefault(key, {}).setdefault(subject, []).append(row.value)
            units[_measure(row)] = row.unit
    means = {key: {subject: mean_defined(told) for subject, told in cases.items()} for key, cases in groups.items()}
    for (structure, compared, measure, rater), values in {**means, **_over_structures(means)}.items():
        estimate = mean_estimate(list(values.values()), seed=seed, n_resamples=settings.resamples,
                                 patients=[owner[s] for s in values])  # fmt: skip
        yield _line(structure, compared, measure, rater, units[measure], estimate, len(values))
    yield from _ranking(rows, owner, settings, seed)


def _over_structures(means: Mapping[_Key, Mapping[str, float]]) -> dict[_Key, dict[str, float]]:
    """Mean over the structures of each case."""
    found: dict[_Key, dict[str, list[float]]] = {}
    for (_, compared, measure, rater), cases in means.items():
        of_all = found.setdefault((ALL, compared, measure, rater), {})
        for subject, value in cases.items():
            of_all.setdefault(subject, []).append(value)
    return {key: {subject: mean_defined(told) for subject, told in cases.items()} for key, cases in found.items()}


PER_RATER = ("log_volume_ratio_to_others", "staple_sensitivity", "staple_specificity")
"""Measures that describe one rater and are not averaged over raters."""


def _measure(row: Score) -> str:
    return row.measure + (f" ({row.region})" if row.measure == "normalized_surface_dice" else "")


def _compared(row: Score) -> str:
    if row.reduction in (OTHERS, CONSENSUS_OF_ALL):
        return row.reduction
    return row.against.partition(":")[0] if row.against.startswith("consensus_") else BETWEEN


def _ranking(
    rows: Mapping[str, Sequence[Score]], owner: Mapping[str, str], settings: RatersSettings, seed: int
) -> Iterator[RaterLine]:
    """AURC over cases: does the agreement of the others tell how well they find the rater left out?"""
    pairs: dict[str, list[tuple[str, float, float]]] = {}
    for subject, found in rows.items():
        told: dict[tuple[str, str], dict[str, float]] = {}
        for row in found:
            if row.reduction == OTHERS and row.measure in ("dice", "mean_pairwise_dice"):
                told.setdefault((row.structure, row.against), {})[row.measure] = row.value
        for (structure, _), one in told.items():
            for name in (structure, ALL):
                pairs.setdefault(name, []).append((subject, one["mean_pairwise_dice"], 1 - one["dice"]))
    for structure, found_pairs in pairs.items():
        confidence, risk = (np.array([pair[place] for pair in found_pairs]) for place in (1, 2))
        patients = [owner[subject] for subject, _, _ in found_pairs]
        known = {p for p, c, r in zip(patients, confidence, risk, strict=True) if not math.isnan(c + r)}
        if len(known) > 1:
            n_cases = len({subject for subject, _, _ in found_pairs})
            area = bootstrap_weighted(
                weighted_aurc, confidence, risk, seed=seed, clusters=patients, n_resamples=settings.resamples
            )
            yield _line(structure, OTHERS, "area_under_risk_coverage", "", "risk", area, n_cases)


def _line(
    structure: str, compared: str, measure: str, rater: str, unit: str, found: Estimate, n_cases: int
) -> RaterLine:
    return RaterLine(
        structure=structure,
        compared=compared,
        measure=measure,
        rater=rater,
        value=found.value,
        low=found.low,
        high=found.high,
        level=found.level,
        unit=unit,
        n=found.n,
        n_cases=n_cases,
        n_undefined=found.n_undefined,
    )


def _write(
    dataset: RaterDataset,
    compared: RatersCompared,
    rows: Mapping[str, Sequence[Score]],
    settings: RatersSettings,
    output: Path,
    *,
    seed: int,
) -> None:
    made = provenance("raters", settings={**asdict(settings), "seed": seed}, inputs={}).to_dict()
    write_rows(output / SCORES, [row for found in rows.values() for row in found])
    write_failures(output / FAILURES, [("raters", problem) for problem in compared.failures])
    write_table(output / SUMMARY, COLUMNS, (asdict(line) for line in compared.lines))
    plain = [plain_json(asdict(line)) for line in compared.lines]
    write_json(
        output / RESULT,
        {"dataset": dataset.name, "n_cases": len(rows), "alone": compared.alone, "lines": plain, "provenance": made},
    )
    if not compared.lines:
        return
    report = RatersReport(dataset.name, compared.lines, compared.alone, compared.failures, KINDS, ALL, made)
    for name, picture in rater_charts(report):
        write_text(output / f"{name}.svg", svg_file(picture))
    write_text(output / PAGE, raters_page(report))


def headline(lines: Collection[RaterLine]) -> list[RaterLine]:
    """Lines that a terminal shows: Dice and surface Dice of every comparison, over all structures."""
    shown = ("dice", "normalized_surface_dice", "hausdorff_distance_95")
    return [line for line in lines if line.structure == ALL and line.measure.partition(" ")[0] in shown]
