"""The closed loop over a study: plans on plausible contours of every case, and what a fixed dose would have said.

```
OUT/  replan.json  replan.csv  failures.csv  replan.html  closed_loop.svg  CASE/replan.json  CASE/replan/plan_N.npz
      CASE/replanned_dose_mean.nii.gz, replanned_dose_sd.nii.gz: of the members' plans, on the dose grid
```
A case whose file names the same version, inputs and settings is kept; within a case, so is every finished plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import Case, Geometry, InvalidInput, Problem, Study, provenance, standard_name
from plausible.dose.plan import (
    HEAD_AND_NECK,
    BeamSettings,
    Contouring,
    PlanGoal,
    PlanMatrix,
    SearchSettings,
    disagreement,
    fit_names,
    targets_of,
)
from plausible.io import case_inputs, hash_files, write_failures
from plausible.io.atomic import write_json, write_text
from plausible.io.rows import write_table
from plausible.report.page import svg_file
from plausible.report.replan import LOOP_COLUMNS, LoopLine, LoopReport, loop_chart, loop_page
from plausible.runs.layout import FAILURES, made_before, make_folder
from plausible.runs.replan_case import OnPlan, loop_case
from plausible.runs.replan_contours import body_of, contourings_of
from plausible.runs.replan_doses import PLANS, REPLAN_JSON, REPLANNED, write_statistics
from plausible.runs.replan_fixed import BODY_MASK, FixedStructures
from plausible.runs.replan_patient import Patient, Size, size_of
from plausible.runs.replan_record import loop_record, matrices_of, plain
from plausible.runs.replan_settings import NoiseSettings, ReplanSettings
from plausible.runs.walk import OnCase, attempted

CASE = RESULT = REPLAN_JSON
TABLE, PAGE, CHART = "replan.csv", "replan.html", "closed_loop.svg"
CAVEATS = (
    "Research plans of fluence only: no sequencing, no set-up error, beams at fixed angles; not for treatment.",
    "Each plan is normalised on its own target, which takes part of the effect on that target's coverage away.",
    "A dose grid of 5 mm blurs small organs; 3 mm suits cord and optic structures.",
    "A correlation over a dozen contourings of one patient tells a direction, not a number.",
)
"""Said beside every result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replan:
    """Everything a run of the closed loop is told."""

    settings: ReplanSettings = field(default_factory=ReplanSettings)
    beams: BeamSettings = field(default_factory=BeamSettings)
    search: SearchSettings = field(default_factory=SearchSettings)
    noise: NoiseSettings = field(default_factory=NoiseSettings)
    goals: tuple[PlanGoal, ...] = HEAD_AND_NECK
    vary_fixed: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Replanned:
    """What a run did: a line per case and metric, what could not be done, and what was warned of."""

    lines: tuple[LoopLine, ...]
    done: tuple[str, ...]
    kept: tuple[str, ...]
    failures: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


def replan_study(
    study: Study,
    output: Path,
    *,
    replan: Replan | None = None,
    fixed: FixedStructures | None = None,
    on_case: OnCase | None = None,
    on_plan: OnPlan | None = None,
) -> Replanned:
    """Close the loop for every case; one that cannot be done is listed and stops nobody.

    Args:
        study: cases with members, or with a reference that noise is put on; with CTs.
        output: folder of the results.
        replan: all settings.
        fixed: structures that members do not have, such as targets and the body.
        on_case: called after each case with its name, number, number of cases and result.
        on_plan: called after each plan.

    Raises:
        UnfitEnvironment: E650 or E901, pyRadPlan is not there or does not work; E903, results cannot be written.
    """
    told = replan or Replan()
    make_folder(output)
    lines, done, kept = list[LoopLine](), list[str](), list[str]()
    failures, warned = list[Problem](), list[Problem]()
    matrices: dict[str, tuple[PlanMatrix, ...]] = {}

    def once(case: Case) -> tuple[tuple[PlanMatrix, ...], bool]:
        record, was_there = replan_case(case, output / case.subject, replan=told, fixed=fixed, on_plan=on_plan)
        return matrices_of(record), was_there

    cases = {case.subject: case for case in study}
    for one in attempted(cases, once, on_case=on_case, said=lambda made: "kept" if made[1] else "ok"):
        warned += one.warnings
        if one.failure:
            failures.append(one.failure)
        if one.found:
            matrices[one.subject], was_there = one.found
            (kept if was_there else done).append(one.subject)
            lines += [_line(one.subject, matrix) for matrix in matrices[one.subject]]
    found = Replanned(tuple(lines), tuple(done), tuple(kept), tuple(failures), tuple(warned))
    _write(study.name, found, matrices, told, output)
    return found


def replan_case(
    case: Case,
    folder: Path,
    *,
    replan: Replan | None = None,
    fixed: FixedStructures | None = None,
    on_plan: OnPlan | None = None,
) -> tuple[dict[str, Any], bool]:
    """Close the loop for one case; return its record and whether it was there already.

    Raises:
        InvalidInput: E651, no target; E652, no outline of the patient; E654, no contours; E201 or E202, other grids.
        UnfitEnvironment: E650 or E901, pyRadPlan is not there or does not work; E903, results cannot be written.
    """
    told = replan or Replan()
    others = hash_files(fixed.files_of(case.subject)) if fixed else {}
    made = provenance("replan", settings=told.to_dict(), inputs={**case_inputs(case), **others})
    known = made_before(folder / CASE, made.key)
    if known and all((folder / name).is_file() for name in known.get("maps", [""])):
        return known, True
    for name in (CASE, *(f"{one}.nii.gz" for one in REPLANNED)):
        (folder / name).unlink(missing_ok=True)
    patient, reference, left_out = _patient(case, told, fixed)
    goals = fit_names(told.goals, list(patient.contourings[0].regions))
    drawn = [name for name, region in patient.contourings[0].regions.items() if region.mask.any()]
    asked = told.settings.asked(goals, drawn)
    found = loop_case(patient, folder / PLANS, goals, asked, settings=told.settings, beams=told.beams,
                      search=told.search, on_plan=on_plan)  # fmt: skip
    record = {
        "subject": case.subject,
        "reference": reference,
        "left_out": left_out,
        "normalise": told.search.normalise,
        "maps": list(write_statistics(folder, found.doses)),
        "caveats": list(CAVEATS),
        **loop_record(found, patient),
        "provenance": made.to_dict(),
    }
    write_json(folder / CASE, record)
    return record, False


def estimate_case(case: Case, *, replan: Replan | None = None, fixed: FixedStructures | None = None) -> Size:
    """Beamlets, non-zeros and memory of a case, from geometry alone.

    Raises:
        InvalidInput: as `replan_case`.
    """
    told = replan or Replan()
    patient, _, _ = _patient(case, told, fixed)
    goals = fit_names(told.goals, list(patient.contourings[0].regions))
    return size_of(patient, goals, told.settings, told.beams, told.search)


def _patient(case: Case, told: Replan, fixed: FixedStructures | None) -> tuple[Patient, str, list[str]]:
    image = case.image()

    def wanted(names: Sequence[str]) -> list[str]:
        return _lacking(names, case.classes.structures, told.goals)

    masks, grid = dict[str, np.ndarray](), None
    if fixed:
        on = image.geometry if image else None
        masks, grid = fixed.read(case.subject, on=on, frame=case.frame(), wanted=wanted)
    if image is not None and grid is not None:
        image.geometry.check_matches(grid, this="the image", that="the fixed structures", subject=case.subject)
    geometry = image.geometry if image is not None else grid
    values = None if image is None else image.values[0].astype(np.float32)
    body = masks.pop(BODY_MASK) if BODY_MASK in masks else _outline(values, geometry, case.subject)
    assert geometry is not None  # an outline has come from one of them
    drawn = contourings_of(
        case, noise=told.noise, fixed=masks, geometry=geometry, vary_fixed=told.vary_fixed, body=body
    )
    whole = [each for each in drawn.contourings if _has_target(each, told.goals)]
    if not whole or whole[0] is not drawn.contourings[0]:
        whole = list(drawn.contourings)  # the reference has none: what plans says so
    left_out = [each.id for each in drawn.contourings if each not in whole]
    return Patient(case.subject, tuple(whole), body, values, geometry), drawn.reference, left_out


def _lacking(names: Sequence[str], known: Sequence[str], goals: Sequence[PlanGoal]) -> list[str]:
    """Structures with a goal that the members do not have, by their names of TG-263."""
    has = {standard_name(name) or name for name in known}
    asked = {goal.structure for goal in fit_names(goals, names)}
    return [name for name in names if name in asked and (standard_name(name) or name) not in has]


def _outline(values: np.ndarray | None, geometry: Geometry | None, subject: str) -> np.ndarray:
    if values is None or geometry is None:
        raise InvalidInput(
            Problem(
                code="E652",
                subject=subject,
                found="neither an image nor a mask of the body",
                expected="a CT, or a mask body.nii.gz among the fixed structures",
                fix="give CTs with --images",
            )
        )
    return body_of(values, geometry, subject=subject)


def _has_target(contours: Contouring, goals: Sequence[PlanGoal]) -> bool:
    names = [goal.structure for goal in targets_of(fit_names(goals, list(contours.regions)))]
    return bool(names) and bool(contours.regions[names[0]].mask.any())


def _line(subject: str, matrix: PlanMatrix) -> LoopLine:
    return LoopLine(subject=subject, structure=matrix.structure, metric=matrix.metric, **asdict(disagreement(matrix)))


def _write(
    name: str, found: Replanned, matrices: Mapping[str, Sequence[PlanMatrix]], told: Replan, output: Path
) -> None:
    made = provenance("replan", settings=told.to_dict(), inputs={}).to_dict()
    write_failures(output / FAILURES, [("replan", problem) for problem in found.failures])
    write_table(output / TABLE, LOOP_COLUMNS, (line.row() for line in found.lines))
    lines = [{key: plain(value) for key, value in line.row().items()} for line in found.lines]
    write_json(output / RESULT, {"study": name, "cases": list(matrices), "lines": lines, "caveats": list(CAVEATS),
                                 "provenance": made})  # fmt: skip
    if found.lines:
        report = LoopReport(name, found.lines, matrices, found.failures, CAVEATS, made)
        write_text(output / CHART, svg_file(loop_chart(report)))
        write_text(output / PAGE, loop_page(report))
