"""`plausible draw`: plausible masks from the soft predictions of any tool."""

from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet, Seed
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.core import Study
from plausible.io.store import StoredAs
from plausible.runs.draw import Drawn, describe, draw_study
from plausible.sample.copula import CopulaSettings

EXAMPLE = "plausible draw -i PREDICTIONS -o MEMBERS --correlation-mm 5"


@takes(StudyOptions, CopulaSettings, leave_out=("images", "references", "name"))
def draw(
    predictions: Annotated[
        Path, typer.Option("-i", "--predictions", help="Folder of soft predictions, or study.toml.")
    ],
    output: Output,
    samples: Annotated[int, typer.Option(min=1, help="Masks drawn of each case.")] = 10,
    stored_as: Annotated[StoredAs, typer.Option(help="Type of the probabilities in the store.")] = "uint16",
    num_parts: NumParts = 1,
    part_id: PartId = 0,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: CopulaSettings,
) -> None:
    """Draw plausible masks from mean probabilities: coherent contours where a tool saves only soft maps.

    The mean of the members is drawn from where there are several. A run that was killed continues with the same line.
    """

    def run() -> None:
        study = options.study(predictions).part(part_id, num_parts=num_parts)
        if dry_run:
            _show_cases(study, output, describe(samples, settings), as_json=as_json)
            return
        with case_progress("draw", quiet=quiet) as progress:
            done = draw_study(
                study,
                output,
                samples=samples,
                seed=seed,
                settings=settings,
                stored_as=stored_as,
                overwrite=overwrite,
                on_case=progress,
            )
        _show(done, describe(samples, settings), output, as_json=as_json)
        finish(failures=len(done.failures), done=len(done.written))

    guarded(run, as_json=as_json)


def _show_cases(study: Study, output: Path, ensemble: str, *, as_json: bool) -> None:
    cases = [case.subject for case in study]
    if as_json:
        say_json({"ensemble": ensemble, "cases": cases, "output": str(output)})
    else:
        say(f"{len(cases)} cases; would write {ensemble} each to {output}")


def _show(done: Drawn, ensemble: str, output: Path, *, as_json: bool) -> None:
    written, kept = sum(n for _, n in done.written), sum(n for _, n in done.kept)
    if as_json:
        failures, warned = ([one.to_dict() for one in problems] for problems in (done.failures, done.warnings))
        say_json({"ensemble": ensemble, "written": written, "kept": kept, "failures": failures, "problems": warned})
        return
    warn(*done.failures, *done.warnings)
    say(f"{ensemble}: {written} masks drawn, {kept} kept from before, {len(done.failures)} cases failed")
    say(f"next: plausible assess -i {output} -o OUT --images IMAGES")
