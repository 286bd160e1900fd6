"""Everything about a study that follows from its cases' folders: cohort.json, its page, and the two tables."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from plausible.core import InvalidInput, Problem, Score
from plausible.evaluate import (
    DIFFERENCE,
    ENSEMBLE,
    HUMAN,
    SINGLE_MEMBER,
    CohortEvaluation,
    Estimate,
    ReliabilityCurve,
    SelectiveRisk,
    SummaryLine,
    evaluate_cohort,
)
from plausible.io import write_failures, write_rows
from plausible.io.atomic import write_text
from plausible.report import (
    CaseReport,
    CohortLine,
    CohortReport,
    Failure,
    Interval,
    Reliability,
    RiskCoverageCurve,
    State,
    StructureSummary,
    cohort_page,
    to_json,
)
from plausible.report.dose_model import CaseDose
from plausible.runs.calibration import CALIBRATION_JSON, Calibrations, read_calibration
from plausible.runs.dose_tables import cohort_lines, read_dose_result, write_dose_tables
from plausible.runs.evaluation import EvaluatedCase, row_from_dict
from plausible.runs.layout import (
    CASE_JSON,
    CASE_PAGE,
    COHORT_JSON,
    COHORT_PAGE,
    FAILURES,
    SCORES,
    case_folders,
    read_failure,
)
from plausible.runs.pages import read_case, read_evaluation
from plausible.runs.record import read_run
from plausible.runs.workload import workloads

SUMMARY_KINDS = (ENSEMBLE, SINGLE_MEMBER, DIFFERENCE, HUMAN)
"""What a line of the summary is about, on the cohort's page."""

SUMMARY_MEASURES = (
    "dice",
    "normalized_surface_dice",
    "hausdorff_distance_95",
    "absolute_volume_difference_ml",
    "negative_log_likelihood",
    "brier_score",
    "expected_calibration_error",
    "lesion_sensitivity",
    "lesion_precision",
    "lesion_f1",
    "lesion_false_positives",
)
"""Measures whose means the cohort's page shows; scores.csv holds all."""

MAX_MB = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class CaseResults:
    """What lies in the folder of one case."""

    subject: str
    report: CaseReport | None
    evaluated: EvaluatedCase | None
    failure: tuple[str, Problem] | None
    dose: CaseDose | None = None

    @property
    def rows(self) -> list[Score]:
        """Every row of the case, those of the assessment once."""
        scored = self.evaluated.rows if self.evaluated else ()
        of_dose = [row_from_dict(row) for row in self.dose.scores] if self.dose else []
        if self.report is None:
            return [*scored, *of_dose]
        own = [row for row in map(row_from_dict, self.report.scores) if not row.against]
        return [*own, *of_dose, *(row for row in scored if row.against)]


def write_cohort(output: Path, *, study: str = "", seed: int = 0, max_mb: float = MAX_MB) -> CohortReport:
    """Write cohort.json, cohort.html, scores.csv and failures.csv from the folders of the cases.

    Args:
        output: folder of the results.
        study: name of the study; what run.json says if empty.
        seed: of the bootstrap.
        max_mb: budget of the page.

    Raises:
        ValueError: there is no case in the folder.
    """
    cases = list(read_cases(output))
    if not cases:
        raise ValueError(f"{output.name}: no case to report; run plausible assess first")
    made = read_run(output)
    name = study or str(made.get("extra", {}).get("study") or output.name)
    report = cohort_report(cases, study=name, seed=seed, provenance=made)
    copy = output / CALIBRATION_JSON
    if copy.is_file():
        report = _watched(report, cases, read_calibration(copy))
    doses = [case.dose for case in cases if case.dose]
    report = replace(report, constraints=tuple(cohort_lines(output, doses)))
    write_dose_tables(output, doses)
    write_rows(output / SCORES, [row for case in cases for row in case.rows])
    write_failures(output / FAILURES, [case.failure for case in cases if case.failure])
    write_text(output / COHORT_JSON, to_json(report))
    write_text(output / COHORT_PAGE, cohort_page(report, max_mb=max_mb))
    return report


def read_cases(output: Path, *, subjects: Collection[str] | None = None) -> Iterator[CaseResults]:
    """Read the folders of all cases, or of these subjects; one whose files are damaged counts as failed."""
    for folder in case_folders(output):
        if subjects is not None and folder.name not in subjects:
            continue
        try:
            report = read_case(folder) if (folder / CASE_JSON).is_file() else None
            evaluated, dose = read_evaluation(folder), read_dose_result(folder)
            yield CaseResults(folder.name, report, evaluated, read_failure(folder), dose)
        except InvalidInput as error:
            yield CaseResults(folder.name, None, None, ("report", replace(error.problem, subject=folder.name)))


def cohort_report(cases: Sequence[CaseResults], *, study: str, seed: int, provenance: dict[str, Any]) -> CohortReport:
    """Return what cohort.json holds of these cases."""
    done = [case for case in cases if case.report is not None]
    lines = lines_of(cases)
    rows = [row for case in cases for row in case.rows]
    scored = [case for case in cases if case.evaluated is not None]
    bins = [one for case in scored if case.evaluated for one in case.evaluated.reliability]
    found = evaluate_cohort(rows, bins, seed=seed) if scored else None
    return CohortReport(
        study=study,
        n_cases=len(cases),
        n_flagged=len(flagged(lines)),
        lines=lines,
        failures=tuple(_failure(case.failure) for case in cases if case.failure),
        provenance=provenance,
        ensemble=next((case.report.ensemble for case in done if case.report), ""),
        summary=tuple(_summary(found)),
        reliability=tuple(map(_reliability, found.reliability if found else ())),
        risk_coverage=tuple(map(_risk_coverage, found.risk_coverage if found else ())),
        methods=_methods(done, n_scored=len(scored), seed=seed),
        warnings=tuple(_warnings(cases, n_scored=len(scored))),
    )


def _watched(report: CohortReport, cases: Sequence[CaseResults], calibrations: Calibrations) -> CohortReport:
    """Add what the cases were calibrated with, and whether they look like the calibration patients together."""
    lamp, warnings = calibrations.lamp, list(report.warnings)
    if lamp is not None:
        new = rows_of_new(cases)
        agreed = [row for row in new if row.measure == lamp.measure and not row.structure]
        reading = lamp.apply(agreed) if agreed else None
        if reading is not None and reading.in_doubt:
            warnings.append(f"These cases do not look like the calibration patients: {reading.reason}.")
    return replace(
        report,
        calibration=calibrations.summary,
        warnings=tuple(warnings),
        workload=tuple(workloads(rows_of_new(cases), calibrations)),
    )


def rows_of_new(cases: Sequence[CaseResults]) -> list[Score]:
    """Rows, without those against references, of the cases that the calibration was applied to."""
    applied = [case for case in cases if case.report and case.report.calibration]
    return [row for case in applied for row in case.rows if not row.against]


def lines_of(cases: Iterable[CaseResults]) -> tuple[CohortLine, ...]:
    """One line per case and structure."""
    return tuple(line for case in cases for line in _lines(case))


def flagged(lines: Iterable[CohortLine]) -> tuple[str, ...]:
    """Cases of which a structure is flagged."""
    return tuple(dict.fromkeys(line.subject for line in lines if line.flags))


def _lines(case: CaseResults) -> Iterator[CohortLine]:
    if case.report is None:
        return
    for one in case.report.structures:
        yield CohortLine(
            subject=case.subject,
            structure=one.name,
            state=_state(case.report, one),
            agreement=one.agreement,
            volume_ml=one.volume_ml,
            volume_cv=one.volume_cv,
            worst_slice=one.worst_slice,
            flags=one.flags,
            page=f"{case.subject}/{CASE_PAGE}",
            reference=one.reference,
        )


def _state(report: CaseReport, structure: StructureSummary) -> State:
    """A line is in review for its own flag, not for its neighbour's; without agreement or a limit nobody can tell."""
    if structure.flags:
        return "review"
    if structure.agreement is None or report.verdict.state == "cannot_tell":
        return "cannot_tell"
    return "pass" if report.verdict.state == "pass" or report.verdict.limit is not None else "cannot_tell"


def _summary(found: CohortEvaluation | None) -> Iterator[dict[str, Any]]:
    for line in found.summary if found else ():
        if line.measure in SUMMARY_MEASURES and line.reduction in SUMMARY_KINDS:
            yield _summary_row(line)


def _summary_row(line: SummaryLine) -> dict[str, Any]:
    return {
        "measure": line.measure,
        "structure": line.structure,
        "region": line.region,
        "of": line.reduction,
        "against": line.against,
        "mean": line.mean,
        "low": line.low,
        "high": line.high,
        "level": line.level,
        "n": line.n,
        "n_undefined": line.n_undefined,
        "unit": line.unit,
    }


def _reliability(curve: ReliabilityCurve) -> Reliability:
    return Reliability(
        name=f"{curve.name}, {curve.region.replace('_', ' ')}",
        confidence=curve.confidence,
        accuracy=curve.accuracy,
        low=curve.low,
        high=curve.high,
        share=curve.share,
        n_subjects=curve.n_subjects,
        ece=_interval(curve.ece),
    )


def _risk_coverage(curve: SelectiveRisk) -> RiskCoverageCurve:
    return RiskCoverageCurve(
        structure=curve.structure,
        score=curve.score,
        risk=curve.risk,
        coverage=curve.coverage,
        selective_risk=curve.selective_risk,
        aurc=_interval(curve.aurc),
        aurc_optimal=curve.aurc_optimal,
        mean_risk=curve.mean_risk,
    )


def _interval(estimate: Estimate) -> Interval:
    return Interval(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        n=estimate.n,
        meaning="BCa bootstrap over subjects",
    )


def _failure(failed: tuple[str, Problem]) -> Failure:
    stage, problem = failed
    return Failure(
        subject=problem.subject,
        stage=stage,
        code=problem.code,
        message=f"{problem.title}: {problem.found}; expected {problem.expected}",
        fix=problem.fix,
    )


def _methods(done: Sequence[CaseResults], *, n_scored: int, seed: int) -> str:
    text = "Lines are ordered by the mean Dice over all pairs of members. "
    text += done[0].report.methods if done and done[0].report else ""
    if n_scored:
        text += (
            f" {n_scored} cases were scored against references; values of several raters were averaged per subject. "
            f"Intervals are 95 % BCa bootstrap intervals over subjects (10 000 draws, seed {seed}). Risk is 1 - Dice."
        )
    return text


def _warnings(cases: Sequence[CaseResults], *, n_scored: int) -> Iterator[str]:
    n_failed = sum(case.failure is not None for case in cases)
    if n_failed:
        yield f"{n_failed} of {len(cases)} cases could not be done; they are listed below."
    if 0 < n_scored < 20:
        yield f"Only {n_scored} cases have a reference: read the intervals, not the means."
    settings = {case.report.provenance.get("command", "") for case in cases if case.report}
    if len(settings) > 1:
        yield "Cases were assessed with different settings: " + "; ".join(sorted(settings))
