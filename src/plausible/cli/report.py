"""`plausible report`: pages and tables from results on disk."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from plausible.cli.options import Json, Quiet, Seed
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.report import schema
from plausible.runs.cohort import MAX_MB as COHORT_MB
from plausible.runs.cohort import write_cohort
from plausible.runs.layout import COHORT_PAGE
from plausible.runs.pages import MAX_MB
from plausible.runs.report import draw_pages

EXAMPLE = "plausible report -i OUT"


def report(
    results: Annotated[
        Path | None, typer.Option("-i", "--results", help="Folder that assess or evaluate wrote.")
    ] = None,
    max_mb: Annotated[float, typer.Option(min=0.2, help="Budget of a case page in MB.")] = MAX_MB,
    cohort_mb: Annotated[float, typer.Option(min=0.1, help="Budget of the cohort page in MB.")] = COHORT_MB,
    show_schema: Annotated[
        Literal["case", "cohort"] | None, typer.Option("--schema", help="Print the JSON schema, and nothing else.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw the pages of a study again, and merge the parts of a run that was shared out."""

    def run() -> None:
        if show_schema:
            say(json.dumps(schema(show_schema), indent=2))
            return
        if results is None or not results.is_dir():
            raise ValueError(
                f"no folder {results or ''}; give one that plausible assess wrote: plausible report -i OUT"
            )
        with case_progress("page", quiet=quiet) as progress:
            problems = draw_pages(results, max_mb=max_mb, overwrite=True, on_case=progress)
        made = write_cohort(results, seed=seed, max_mb=cohort_mb)
        if as_json:
            failures = [problem.to_dict() for problem in problems]
            say_json({"cases": made.n_cases, "flagged": made.n_flagged, "failures": failures})
        else:
            for problem in problems:
                warn(problem)
            say(f"{made.n_cases} cases, {made.n_flagged} flagged, {len(made.failures)} failed")
            say(f"open {results / COHORT_PAGE}")
        finish(failures=len(problems), done=made.n_cases - len(problems))

    guarded(run, as_json=as_json)
