"""`plausible raters`: how far the raters of a dataset agree, and how good the others are as a model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Quiet, Seed
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.evaluate.rater_study import RaterLine
from plausible.runs.raters import PAGE, RatersSettings, compare_raters, headline

EXAMPLE = "plausible raters Dataset301_Toy3b -o OUT --part Ts"


@takes(RatersSettings)
def raters(
    dataset: Annotated[Path, typer.Argument(help="Folder with labelsTr_NAME, labelsTr_raters or raters_bitsTr.")],
    output: Output,
    part: Annotated[str, typer.Option("--part", help="Tr or Ts: training or test cases.")] = "Tr",
    split: Annotated[
        Path | None, typer.Option("--split", help="JSON with lists of cases; take those of --role only.")
    ] = None,
    role: Annotated[str, typer.Option("--role", help="Which list of --split.")] = "dev",
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table subject,patient; else cases.json, or each case its own.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    settings: RatersSettings,
) -> None:
    """Compare the raters of a dataset without any model: agreement, consensus, and the others as a model.

    What one rater reaches against another is the ceiling for a model on these data.
    """

    def run() -> None:
        from plausible.io.rater_datasets import read_rater_dataset
        from plausible.io.rows import read_patients

        found = read_rater_dataset(dataset, part=part, subjects=_of_role(split, role) if split else ())
        if dry_run:
            _plan(found.name, [case.subject for case in found.cases], output, as_json=as_json)
            return
        told = read_patients(patients) if patients else None
        with case_progress("raters", quiet=quiet) as progress:
            done = compare_raters(found, output, settings=settings, patients=told, seed=seed, on_case=progress)
        warn(*done.failures)
        if as_json:
            lines = [_plain(line) for line in headline(done.lines)]
            say_json({"dataset": found.name, "cases": len(found.cases), "lines": lines, "output": str(output)})
        else:
            _show(headline(done.lines), output)
        finish(failures=len(done.failures), done=len(done.done) + len(done.kept))

    guarded(run, as_json=as_json)


def _of_role(path: Path, role: str) -> tuple[str, ...]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return tuple(str(one) for one in told[role])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f'--split {path.name}: {type(error).__name__}: {error}; need {{"{role}": [...]}}') from error


def _plan(name: str, subjects: list[str], output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"dataset": name, "cases": subjects, "output": str(output)})
    else:
        say(f"{name}: would compare the raters of {len(subjects)} cases into {output}")


def _plain(line: RaterLine) -> dict[str, object]:
    return {"compared": line.compared, "measure": line.measure, "value": line.value, "low": line.low,
            "high": line.high, "n": line.n}  # fmt: skip


def _show(lines: list[RaterLine], output: Path) -> None:
    from plausible.report.text import number, words

    for line in lines:
        interval = f"({number(line.low)} to {number(line.high)})"
        say(f"{words(line.measure):44} {words(line.compared):20} {number(line.value):>7} {interval:20} n {line.n}")
    say(f"page: {output / PAGE}")
