"""`plausible select`: choose members of a pool on some cases, and judge them on others."""

import json
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Quiet, Seed
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.runs.select_settings import SelectSettings, split_cases

EXAMPLE = "plausible select MEMBERS --references labelsTr -o OUT --rule greedy --members 5"


@takes(StudyOptions, SelectSettings)
def select(
    pool: Annotated[
        Path, typer.Argument(metavar="MEMBERS", help="Folder with a folder per member of the pool, or study.toml.")
    ],
    output: Output,
    selection_cases: Annotated[
        str | None, typer.Option("--selection-cases", help="Cases to choose on: FILE.json, or FILE.json:ROLE.")
    ] = None,
    test_cases: Annotated[
        str | None, typer.Option("--test-cases", help="Cases to judge on, likewise; else all the others.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table subject,patient; else each case its own.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: SelectSettings,
) -> None:
    """Choose a few members of a pool, and say whether they are better than what one would take otherwise.

    They are chosen on the selection cases and judged on the test cases: accepted, rejected or undecided, with reasons.
    Without lists of cases half of the patients are for choosing. OUT/RULE.toml is a study with the chosen members only.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.io.rows import read_patients
        from plausible.io.study import find_study
        from plausible.runs.evaluate import referenced
        from plausible.runs.select_members import plain, select_of_study
        from plausible.runs.select_text import lines_of

        study = options.study(pool)
        told = {"selection": _listed(selection_cases), "test": _listed(test_cases)}
        owners = read_patients(patients) if patients else None
        if dry_run:
            subjects = referenced(study)
            own = {one: (owners or {}).get(one, one) for one in subjects}
            first, second = split_cases(subjects, own, seed=seed, **told)
            _plan(study.name, first, second, output, as_json=as_json)
            return
        with case_progress("select", quiet=quiet) as progress:
            found = select_of_study(
                study,
                output,
                settings=settings,
                selection_cases=told["selection"],
                test_cases=told["test"],
                patients=owners,
                folders=find_study(pool, **options.told()),
                seed=seed,
                on_case=progress,
            )
        warn(*study.problems, *found.failures)
        if as_json:
            say_json({"study": study.name, **plain(found), "output": str(output)})
        else:
            for line in lines_of(found):
                say(line)
        finish(failures=len(found.failures), done=len(found.selection_cases) + len(found.test_cases))

    guarded(run, as_json=as_json)


def _listed(told: str | None) -> tuple[str, ...] | None:
    """Cases of a JSON list, or of one list of a JSON object."""
    if told is None:
        return None
    name, _, role = told.partition(":") if not Path(told).is_file() else (told, "", "")
    try:
        content = json.loads(Path(name).read_text(encoding="utf-8"))
        found = content[role] if role else content
        if not isinstance(found, list):
            raise ValueError("no list of cases; name one of its lists after a colon")
        return tuple(str(one) for one in found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"cases {Path(name).name}: {type(error).__name__}: {error}; need a JSON list, or FILE:ROLE"
        ) from (error)


def _plan(name: str, first: tuple[str, ...], second: tuple[str, ...], output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"study": name, "selection_cases": first, "test_cases": second, "output": str(output)})
    else:
        say(f"{name}: would choose on {len(first)} cases and judge on {len(second)}, into {output}")
