"""`plausible report`: pages and tables from results on disk."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from plausible.cli.options import DryRun, Json, Quiet, Seed
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.core import Problem
from plausible.report import CohortReport, schema
from plausible.runs.cohort import MAX_MB as COHORT_MB
from plausible.runs.cohort import flagged, write_cohort
from plausible.runs.confidence_settings import JudgingSettings
from plausible.runs.detection import DETECTION, write_detection
from plausible.runs.layout import COHORT_PAGE, case_folders
from plausible.runs.pages import MAX_MB
from plausible.runs.record import read_run
from plausible.runs.report import draw_pages

EXAMPLE = "plausible report -i OUT"


@takes(JudgingSettings)
def report(
    results: Annotated[
        Path | None, typer.Option("-i", "--results", help="Folder that assess or evaluate wrote.")
    ] = None,
    max_mb: Annotated[float, typer.Option(min=0.2, help="Budget of a case page in MB.")] = MAX_MB,
    cohort_mb: Annotated[float, typer.Option(min=0.1, help="Budget of the cohort page in MB.")] = COHORT_MB,
    show_schema: Annotated[
        Literal["case", "cohort", "dose"] | None,
        typer.Option("--schema", help="Print the JSON schema, and nothing else."),
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    judging: JudgingSettings,
) -> None:
    """Draw the pages of a study again, and merge the parts of a run that was shared out.

    Parts of plausible evaluate get their detection.csv here, with --failure and --ood; one that is there is kept unless
    one of these is told.
    """

    def run() -> None:
        if show_schema:
            say(json.dumps(schema(show_schema), indent=2))
            return
        if results is None or not results.is_dir():
            raise ValueError(
                f"no folder {results or ''}; give one that plausible assess wrote: plausible report -i OUT"
            )
        if not any(case_folders(results)):
            raise ValueError(f"no results in {results}; plausible assess -i MEMBERS -o OUT makes them")
        if dry_run:
            _show_cases([folder.name for folder in case_folders(results)], as_json=as_json)
            return
        with case_progress("page", quiet=quiet) as progress:
            drawn = draw_pages(results, max_mb=max_mb, overwrite=True, on_case=progress)
        made = write_cohort(results, seed=seed, max_mb=cohort_mb)
        if str(read_run(results).get("command", "")).startswith("evaluate") and (
            judging != JudgingSettings() or not (results / DETECTION).exists()
        ):
            write_detection(results, limits=judging.limits, outside=judging.outside(), seed=seed)
        _show(made, drawn, results, as_json=as_json)
        failed = sum(problem.severity == "error" for problem in drawn)
        finish(failures=failed, done=made.n_cases - failed)

    guarded(run, as_json=as_json)


def _show_cases(cases: list[str], *, as_json: bool) -> None:
    if as_json:
        say_json({"cases": cases})
    else:
        say(f"would draw the pages of {len(cases)}: {', '.join(cases)}")


def _show(made: CohortReport, drawn: Sequence[Problem], results: Path, *, as_json: bool) -> None:
    if as_json:
        problems = {kind: [p.to_dict() for p in drawn if p.severity == kind] for kind in ("error", "warning")}
        shown = {"cases": made.n_cases, "flagged": list(flagged(made.lines)), "failed": len(made.failures)}
        say_json({**shown, "failures": problems["error"], "problems": problems["warning"]})
        return
    warn(*drawn)
    say(f"{made.n_cases} cases, {made.n_flagged} flagged, {len(made.failures)} failed")
    say(f"open {results / COHORT_PAGE}")
