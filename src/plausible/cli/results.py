"""What assess, evaluate and report share: the pages, the tables, and the last lines on the screen."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from plausible.cli.outcome import finish, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.core import Problem, Study
from plausible.report import CohortReport
from plausible.runs.assess import Walked
from plausible.runs.cohort import write_cohort
from plausible.runs.layout import COHORT_PAGE, FAILURES, case_folders
from plausible.runs.report import draw_pages

N_TRIAGE = 5


def finish_run(
    output: Path,
    study: Study,
    walks: Sequence[Walked],
    *,
    whole: bool,
    seed: int,
    quiet: bool,
    as_json: bool,
    fail_on_flag: bool = False,
) -> NoReturn:
    """Draw pages and tables, say where to look, and end with the right code.

    Args:
        output: folder of the results.
        study: the cases of this run, with the problems found on the way to them.
        walks: what the stages did.
        whole: all cases are done by this run; otherwise the pages of the study wait for `plausible report`.
        seed: of the bootstrap.
        quiet: no progress.
        as_json: one JSON object instead of text.
        fail_on_flag: end with 10 if a case is flagged.
    """
    failures = [problem for walked in walks for problem in walked.failures]
    if not as_json:
        for problem in (*study.problems, *failures):
            warn(problem)
    with case_progress("page", quiet=quiet) as progress:
        failures += draw_pages(output, on_case=progress)
    report = write_cohort(output, study=study.name, seed=seed) if whole and any(case_folders(output)) else None
    if as_json:
        say_json(_summary(output, walks, failures, study.problems, report))
    else:
        _say_summary(output, walks, failures, report)
    finish(
        failures=len(failures),
        done=walks[0].n_good,
        flagged=report.n_flagged if report else 0,
        fail_on_flag=fail_on_flag,
    )


def show_study(study: Study, output: Path, *, as_json: bool) -> None:
    """Say which cases a run would do."""
    cases = [case.subject for case in study]
    if as_json:
        problems = [problem.to_dict() for problem in study.problems]
        say_json({"study": study.name, "cases": cases, "output": output.name, "problems": problems})
        return
    for problem in study.problems:
        warn(problem)
    say(f"{study.name}: {len(study)} cases, {', '.join(study.classes.structures)}; would write to {output}")


def _summary(
    output: Path,
    walks: Sequence[Walked],
    failures: Sequence[Problem],
    problems: Sequence[Problem],
    report: CohortReport | None,
) -> dict[str, object]:
    return {
        "output": str(output),
        "new": list(walks[0].done),
        "kept": list(walks[0].kept),
        "failures": [problem.to_dict() for problem in failures],
        "problems": [problem.to_dict() for problem in problems],
        "n_flagged": report.n_flagged if report else None,
        "cohort": str(output / COHORT_PAGE) if report else None,
    }


def _say_summary(
    output: Path, walks: Sequence[Walked], failures: Sequence[Problem], report: CohortReport | None
) -> None:
    say(f"{len(walks[0].done)} cases done, {len(walks[0].kept)} kept from before, {len(failures)} failed")
    if report is None:
        say(f"when all parts are done: plausible report -i {output}")
        return
    ordered = sorted(
        (line for line in report.lines if line.agreement is not None), key=lambda line: line.agreement or 0
    )
    if ordered:
        say("least agreed (mean pairwise Dice of the members):")
    for line in ordered[:N_TRIAGE]:
        say(f"  {line.agreement:.3f}  {line.subject}  {line.structure}  slice {line.worst_slice}  {line.state}")
    if failures:
        say(f"failures: {output / FAILURES}")
    say(f"open {output / COHORT_PAGE}")
