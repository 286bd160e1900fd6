"""Run a validation study: data, trainings, predictions, one file per test image, then the table and the page.

```
OUT/  table.csv  validation.json  validation.html  plots/*.svg
      data/  models/  members/  artefacts/     what is made on the way; kept between runs
      cases/DATA/MODEL-KEY/CASE.json           what tasks read of one test image
      tables/DATA/MODEL-KEY.json               the lines of one model on one dataset
```
Everything is keyed by content: a run that was killed continues, a changed study makes anew what changed.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import plausible
from plausible.core import Case, InvalidInput, Problem, content_key, provenance
from plausible.io import hash_files
from plausible.io.atomic import plain_json, write_json, write_text
from plausible.io.rows import write_table
from plausible.report.page import svg_file
from plausible.report.validation import ValidationReport, charts, validation_page
from plausible.runs.layout import made_before, make_folder
from plausible.runs.validation_case import CaseValues, case_values
from plausible.runs.validation_data import HeldOut, PreparedData, prepare_data
from plausible.runs.validation_models import Progress, model_key, predicted, train_model
from plausible.runs.validation_toml import ToldModel, ValidationStudy, without_folders
from plausible.validate import LINE_COLUMNS, TASKS, Arm, Judged, Line, lines_of

TABLE, RESULT, PAGE, PLOTS = "table.csv", "validation.json", "validation.html", "plots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """Who is told how far a run is.

    Attributes:
        step: called with what begins, e.g. "train deep on case_1".
        training: called with member, iteration, number of iterations, loss.
        case: called with case, its number, number of cases.
    """

    step: Callable[[str], None] = lambda _: None
    training: Progress | None = None
    case: Callable[[str, int, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Validated:
    """The table of a study, and what could not be done."""

    lines: tuple[Line, ...]
    failures: tuple[Problem, ...]


def validate_study(
    study: ValidationStudy,
    output: Path,
    *,
    device: str = "auto",
    workers: int = 1,
    threads: int = 0,
    watching: Watching | None = None,
) -> Validated:
    """Run a study and write its table, plots and page; a model or case that cannot be done stops nobody.

    Args:
        study: what is declared.
        output: folder of the study.
        device: of trainings and predictions.
        workers: members trained at the same time.
        threads: of each worker; 0 shares the cores out.
        watching: who is told how far it is.

    Raises:
        InvalidInput: a dataset cannot be read (E108, E110, E311).
        UnfitEnvironment: E901, torch is missing; E903, OUT cannot be written to.
    """
    make_folder(output)
    told = watching or Watching()
    lines, failures = list[Line](), list[Problem]()
    for data_told in study.data.values():
        told.step(f"data {data_told.name}")
        data = prepare_data(data_told, output, seed=study.seed)
        for model in study.models_for(data.name):
            try:
                if model.training:
                    told.step(f"train {model.training} on {data.name}")
                    train_model(
                        study.trainings[model.training], data, output, device=device, workers=workers, threads=threads,
                        on_progress=told.training,
                    )  # fmt: skip
                told.step(f"test {model.name} on {data.name}")
                arm, failed = _tested(study, data, model, output, device=device, watching=told)
                failures += failed
                lines += _table(study, arm, output, key=model_key(model, study))
            except InvalidInput as error:
                failures.append(error.problem)
    write_results(study, lines, failures, output)
    return Validated(tuple(lines), tuple(failures))


def _tested(
    study: ValidationStudy, data: PreparedData, model: ToldModel, output: Path, *, device: str, watching: Watching
) -> tuple[Arm, list[Problem]]:
    """Score every test image of a model; what is there from the same inputs is read."""
    there, failed = predicted(model, study, data, output, device=device)
    cases, without = {case.subject: case for case in there}, {problem.subject for problem in failed}
    folder = output / "cases" / data.name / f"{model.name}-{model_key(model, study)}"
    found, failures = list[Judged](), list(failed)
    for number, one in enumerate(data.held_out, start=1):
        if one.subject in without:
            continue
        try:
            values = _values(study, data, one, cases.get(one.subject), folder / f"{one.subject}.json")
            found.append(Judged(one.subject, one.patient, one.shifted, one.ambiguous, values.rows, values.levels))
        except InvalidInput as error:
            failures.append(error.problem)
        if watching.case:
            watching.case(one.subject, number, len(data.held_out))
    arm = Arm(data.name, model.name, tuple(found), study.measures, study.seed, study.resamples)
    return arm, failures


def _values(study: ValidationStudy, data: PreparedData, one: HeldOut, case: Case | None, path: Path) -> CaseValues:
    if case is None:
        raise InvalidInput(
            Problem(
                code="E102",
                subject=one.subject,
                found="no members",
                expected="members of every test image",
                fix="predict this case too, or take it out of the split",
            )
        )
    told = {**asdict(study.case_settings), "classes": asdict(data.classes)}
    made = provenance("validate", settings=told, inputs=hash_files({**one.files, **case.files}))
    known = made_before(path, made.key)
    if known:
        return CaseValues.from_dict(known)
    values = case_values(case.members(), one.raters(data.classes), study.case_settings, subject=one.subject)
    write_json(path, {"subject": one.subject, **values.to_dict(), "provenance": made.to_dict()})
    return values


def _table(study: ValidationStudy, arm: Arm, output: Path, *, key: str) -> list[Line]:
    """Lines of every task; read where the same cases and settings made them before."""
    if not arm.cases:
        return []
    rows = [(c.subject, c.patient, c.shifted, c.ambiguous, [row.to_dict() for row in c.rows]) for c in arm.cases]
    levels = [[(name, one.count.tolist(), one.correct.tolist()) for name, one in c.levels.items()] for c in arm.cases]
    made = content_key([plausible.__version__, study.tasks, study.seed, study.resamples, study.measures, rows, levels])
    path = output / "tables" / arm.data / f"{arm.model}-{key}.json"
    known = made_before(path, made)
    if known:
        return [_line(told) for told in known["lines"]]
    lines = [line for name in study.tasks for line in lines_of(TASKS[name].function(arm))]
    write_json(path, {"provenance": {"key": made}, "lines": [plain_json(asdict(line)) for line in lines]})
    return lines


def _line(told: dict[str, Any]) -> Line:
    read: dict[str, Any] = {key: math.nan if value is None else value for key, value in told.items()}
    return Line(**read)


def write_results(study: ValidationStudy, lines: Sequence[Line], failures: Sequence[Problem], output: Path) -> None:
    """Write table, JSON, plots and page from the lines."""
    made = provenance("validate", settings=without_folders(asdict(study)), inputs={}).to_dict()
    report = ValidationReport(study.name, study.measures, study.aggregations, tuple(lines), tuple(failures), made)
    write_table(output / TABLE, LINE_COLUMNS, (asdict(line) for line in lines))
    write_json(
        output / RESULT,
        {
            "study": study.name,
            "lines": [plain_json(asdict(line)) for line in lines],
            "failures": [problem.to_dict() for problem in failures],
            "provenance": made,
        },
    )
    drawn = dict(charts(report))
    for old in (output / PLOTS).glob("*.svg"):
        if old.stem not in drawn:
            old.unlink()
    for name, picture in drawn.items():
        write_text(output / PLOTS / f"{name}.svg", svg_file(picture))
    if lines:
        write_text(output / PAGE, validation_page(report))


def planned(study: ValidationStudy) -> Iterator[tuple[str, str, str]]:
    """Every model of every dataset, and the training that it needs."""
    for data in study.data.values():
        for model in study.models_for(data.name):
            yield data.name, model.name, model.training
