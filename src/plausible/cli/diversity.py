"""`plausible diversity`: how different the members of a study are, and where that comes from."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Overwrite, Quiet, Seed
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.runs.diversity_settings import DiversitySettings

if TYPE_CHECKING:
    from plausible.diversity.summary import DiversityLine

EXAMPLE = "plausible diversity MEMBERS --references labelsTs -o OUT"


@takes(StudyOptions, DiversitySettings)
def diversity(
    members: Annotated[Path, typer.Argument(help="Folder with a folder per member, or study.toml.")],
    output: Output,
    design: Annotated[
        Path | None,
        typer.Option(
            "--design", help="Table member,SOURCE,...: what each member was varied in, such as fold and seed."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Model folder of these members: compares networks inside; wants --images."),
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table subject,patient; else each case its own.")
    ] = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: DiversitySettings,
) -> None:
    """Compare members two at a time: how often they differ, whether they err together, and what that comes from.

    Nothing here is good or bad alone: members that are worse differ more. With --references errors are compared, and
    losses taken apart. Members of a grid, such as the same seeds in every fold, are split into sources of variance.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.cli.results import show_study
        from plausible.io.rows import read_patients
        from plausible.runs.diversity import diversity_of_study, headline
        from plausible.runs.diversity_case import read_design
        from plausible.runs.diversity_inside import inside_matrices

        study = options.study(members)
        levels = read_design(design) if design else None
        owners = read_patients(patients) if patients else None
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        inside = inside_matrices(model, study, seed=seed) if model else ()
        with case_progress("diversity", quiet=quiet) as progress:
            found = diversity_of_study(
                study,
                output,
                settings=settings,
                design=levels,
                patients=owners,
                inside=inside,
                seed=seed,
                overwrite=overwrite,
                on_case=progress,
            )
        warn(*study.problems, *found.walked.warnings, *found.walked.failures)
        shown = headline(found.lines)
        if as_json:
            lines = [_plain(line) for line in shown]
            say_json({"study": study.name, "cases": found.walked.n_good, "lines": lines, "output": str(output)})
        else:
            _show(shown, output, n_good=found.walked.n_good)
        finish(failures=len(found.walked.failures), done=found.walked.n_good)

    guarded(run, as_json=as_json)


def _show(lines: Sequence["DiversityLine"], output: Path, *, n_good: int) -> None:
    from plausible.report.diversity import label_of
    from plausible.report.text import known, number
    from plausible.runs.diversity import PAGE

    for line in lines:
        interval = f"({number(line.low)} to {number(line.high)})" if known(line.low) else ""
        name = line.structure or "all structures"
        say(f"{name:20} {label_of(line.measure):28} {number(line.value):>8} {interval:22} n {line.n}")
    if n_good:
        say(f"page: {output / PAGE}")


def _plain(line: "DiversityLine") -> dict[str, object]:
    return {"structure": line.structure, "measure": line.measure, "value": line.value, "low": line.low,
            "high": line.high, "n": line.n}  # fmt: skip
