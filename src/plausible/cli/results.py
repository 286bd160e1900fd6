"""What assess, evaluate and demo share: the pages, the tables, and the last lines on the screen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from plausible.cli.outcome import finish, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.core import Problem, Study
from plausible.evaluate import ENSEMBLE
from plausible.report import CohortLine, CohortReport
from plausible.report.dose_panels import constraint_lines, requirement
from plausible.runs.cohort import flagged, lines_of, read_cases, write_cohort
from plausible.runs.layout import COHORT_PAGE, FAILURES, case_folders
from plausible.runs.report import draw_pages
from plausible.runs.walk import Walked

N_TRIAGE = 5
N_OPEN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What the last lines on the screen tell of a run.

    Attributes:
        walks: what the stages did.
        failures: everything that could not be done.
        warnings: what stopped nothing.
        lines: one per case and structure; of the whole study, or of this part.
        cohort: the pages' numbers of the whole study; None for a part.
    """

    output: Path
    study: Study
    walks: Sequence[Walked]
    failures: Sequence[Problem]
    warnings: Sequence[Problem]
    lines: Sequence[CohortLine]
    cohort: CohortReport | None

    @property
    def from_before(self) -> list[str]:
        """Cases on the cohort's page that this run does not have."""
        own = {case.subject for case in self.study}
        failed = self.cohort.failures if self.cohort else ()
        shown = [line.subject for line in self.lines] + [one.subject for one in failed]
        return [subject for subject in dict.fromkeys(shown) if subject not in own]


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
    done = draw_run(output, study, walks, whole=whole, seed=seed, quiet=quiet)
    end_run(done, as_json=as_json, fail_on_flag=fail_on_flag)


def draw_run(output: Path, study: Study, walks: Sequence[Walked], *, whole: bool, seed: int, quiet: bool) -> Finished:
    """Draw pages and tables; arguments as `finish_run`."""
    subjects = None if whole else [case.subject for case in study]
    with case_progress("page", quiet=quiet) as progress:
        drawn = draw_pages(output, subjects=subjects, on_case=progress)
    cohort = write_cohort(output, study=study.name, seed=seed) if whole and any(case_folders(output)) else None
    warned = [*study.problems, *(problem for walked in walks for problem in walked.warnings), *_of(drawn, "warning")]
    failures = [*(problem for walked in walks for problem in walked.failures), *_of(drawn, "error")]
    return Finished(
        output=output,
        study=study,
        walks=walks,
        failures=failures,
        warnings=[problem for problem in dict.fromkeys(warned) if problem not in failures],
        lines=cohort.lines if cohort else lines_of(read_cases(output, subjects=subjects)),
        cohort=cohort,
    )


def end_run(done: Finished, *, as_json: bool, fail_on_flag: bool = False) -> NoReturn:
    """Say where to look, and end with the right code; arguments as `finish_run`."""
    _say_json(done) if as_json else _say(done)
    finish(
        failures=len(done.failures),
        done=done.walks[0].n_good,
        flagged=len(flagged(done.lines)),
        fail_on_flag=fail_on_flag,
    )


def show_study(study: Study, output: Path, *, as_json: bool) -> None:
    """Say which cases a run would do."""
    cases = [case.subject for case in study]
    if as_json:
        problems = [problem.to_dict() for problem in study.problems]
        say_json({"study": study.name, "cases": cases, "output": str(output), "problems": problems})
        return
    warn(*study.problems)
    say(f"{study.name}: {counted(len(study))}, {', '.join(study.classes.structures)}; would write to {output}")


def counted(n: int, what: str = "case") -> str:
    """Write a number of things: 1 case, 2 cases."""
    return f"{n} {what}" + ("" if n == 1 else "s")


def _of(problems: Sequence[Problem], severity: str) -> list[Problem]:
    return [problem for problem in problems if problem.severity == severity]


def _say_json(done: Finished) -> None:
    say_json(
        {
            "output": str(done.output),
            "new": list(done.walks[0].done),
            "kept": list(done.walks[0].kept),
            "failures": [problem.to_dict() for problem in done.failures],
            "problems": [problem.to_dict() for problem in done.warnings],
            "flagged": list(flagged(done.lines)),
            "from_before": done.from_before,
            **_constraints_told(done.cohort),
            "cohort": str(done.output / COHORT_PAGE) if done.cohort else None,
        }
    )


def _say(done: Finished) -> None:
    warn(*done.failures, *done.warnings)
    first, failed = done.walks[0], len({problem.subject for problem in done.failures})
    told = f"{counted(len(first.done))} done, {len(first.kept)} kept from before, {failed} failed"
    say(f"{told}, {len(flagged(done.lines))} flagged" if done.lines else told)
    _say_triage(done.lines)
    if done.cohort:
        _say_scores(done.cohort)
        _say_constraints(done.cohort)
    if done.from_before:
        say(f"on the page too, from earlier runs into this folder: {', '.join(done.from_before)}")
    if done.cohort is None:
        say(f"when all parts are done: plausible report -i {done.output}")
        return
    if done.failures:
        say(f"failures: {done.output / FAILURES}")
    say(f"open {done.output / COHORT_PAGE}")


def _say_triage(lines: Sequence[CohortLine]) -> None:
    ordered = sorted((line for line in lines if line.agreement is not None), key=lambda line: line.agreement or 0)
    if ordered:
        say("least agreed (mean pairwise Dice of the members):")
    for line in ordered[:N_TRIAGE]:
        where = "" if line.worst_slice is None else f"slice {line.worst_slice}"
        say(f"  {line.agreement:.3f}  {line.subject}  {line.structure}  {where}  {line.state.replace('_', ' ')}")


def _constraints_told(cohort: CohortReport | None) -> dict[str, object]:
    """How the constraints of all cases stand, where there is a dose."""
    if cohort is None or not cohort.constraints:
        return {}
    counted = Counter(one.verdict for one in cohort.constraints)
    return {"constraints": {word: counted[word] for word in ("pass", "fail", "undecided", "cannot_tell")}}


def _say_constraints(cohort: CohortReport) -> None:
    """Say how the constraints stand, and which the members leave undecided, worst first."""
    if not cohort.constraints:
        return
    counted = Counter(one.verdict for one in cohort.constraints)
    said = ", ".join(f"{n} {verdict.replace('_', ' ')}" for verdict, n in counted.most_common())
    say(f"{len(cohort.constraints)} constraints: {said}")
    undecided = [one for one in constraint_lines(cohort.constraints) if one.verdict == "undecided"]
    for one in undecided[:N_OPEN]:
        share = f"P(violation) {100 * one.probability:.0f} % [{100 * one.low:.0f}, {100 * one.high:.0f}]"
        at = "" if one.review_slice is None else f"  slice {one.review_slice}"
        say(f"  {share}  {one.subject}  {one.structure}  {requirement(one)}, segmentation {one.nominal:.1f}{at}")


def _say_scores(cohort: CohortReport) -> None:
    shown = [row for row in cohort.summary if row["measure"] == "dice" and row["of"] == ENSEMBLE]
    if shown:
        say("Dice of the members' mean, over cases:")
    for row in shown:
        interval = f" [{row['low']:.3f}, {row['high']:.3f}]" if row["n"] > 1 else ""
        against = f"  against {row['against']}" if len({one["against"] for one in shown}) > 1 else ""
        say(f"  {row['mean']:.3f}{interval}  {row['structure']}  n {row['n']}{against}")
