"""`plausible validate`: a declared grid of models, measures, aggregations and tasks, run and judged."""

from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Quiet
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.progress import case_progress, training_progress

EXAMPLE = "plausible validate study.toml -o OUT"


def validate(
    study: Annotated[Path, typer.Argument(help="TOML file: data, trainings, models, measures, aggregations, tasks.")],
    output: Output,
    folder: Annotated[
        list[str] | None,
        typer.Option(
            "--folder",
            metavar="WHAT=DIR",
            help="Where a dataset or model lies on this machine: data.NAME=DIR or models.NAME=DIR; several times.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("-device", "--device", help="auto (CUDA where there is one), cpu, cuda, cuda:1, ...")
    ] = "auto",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Members trained at the same time.")] = 1,
    threads: Annotated[
        int, typer.Option("--threads", min=0, help="Threads of each worker; 0 shares the cores out.")
    ] = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Judge prediction models, measures of uncertainty and aggregations by what they are for, as ValUES does.

    Data are made, models trained and test images predicted where that is declared; then every task is judged, and one
    table, its figures and a page are written. A run that was killed continues; a changed study makes anew what changed.
    """

    def run() -> None:
        from plausible.runs.validate import PAGE, TABLE, Watching, planned, validate_study
        from plausible.runs.validation_toml import read_validation_study

        declared = read_validation_study(study, folders=_folders(folder or []))
        if dry_run:
            _show([*planned(declared)], declared.tasks, output, as_json=as_json)
            return
        with case_progress("validate", quiet=quiet) as cases, training_progress(quiet=quiet) as training:
            done = validate_study(
                declared,
                output,
                device=device,
                workers=workers,
                threads=threads,
                watching=Watching(step=lambda text: say(text, quiet=quiet or as_json), training=training, case=cases),
            )
        if as_json:
            failed = [problem.to_dict() for problem in done.failures]
            say_json({"lines": len(done.lines), "failures": failed, "output": str(output)})
        else:
            warn(*done.failures)
            say(f"{len(done.lines)} lines in {output / TABLE}, page {output / PAGE}")
        finish(failures=len(done.failures), done=len(done.lines))

    guarded(run, as_json=as_json)


def _folders(told: list[str]) -> dict[str, Path]:
    pairs = [one.partition("=") for one in told]
    if not all(equals and folder for _, equals, folder in pairs):
        raise ValueError(f"--folder takes WHAT=DIR, such as data.hippocampus=Dataset004, got {', '.join(told)}")
    return {what: Path(folder) for what, _, folder in pairs}


def _show(arms: list[tuple[str, str, str]], tasks: tuple[str, ...], output: Path, *, as_json: bool) -> None:
    if as_json:
        named = [dict(zip(("data", "model", "training"), arm, strict=True)) for arm in arms]
        say_json({"arms": named, "tasks": tasks, "output": str(output)})
        return
    for data, model, training in arms:
        say(f"{data}: {model}" + (f" (trains {training})" if training else ""))
    say(f"would judge {len(arms)} models on their data by {', '.join(tasks)} into {output}")
