"""`plausible evaluate`: members and their mean against one reference or several."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet, Seed
from plausible.cli.outcome import guarded
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.runs.settings import EvaluateSettings

EXAMPLE = "plausible evaluate -i MEMBERS --references labelsTs -o OUT --tolerance-mm 1"


@takes(StudyOptions, EvaluateSettings)
def evaluate(
    members: Annotated[Path, typer.Option("-i", "--members", help="Folder with a folder per member, or study.toml.")],
    output: Output,
    num_parts: NumParts = 1,
    part_id: PartId = 0,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: EvaluateSettings,
) -> None:
    """Score members and their mean against references: overlap, surfaces, calibration, risk against coverage.

    OUT may hold an assessment; its pages then show the scores too.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.cli.results import finish_run, show_study
        from plausible.runs.evaluate import evaluate_study, referenced
        from plausible.runs.record import write_run

        whole = options.study(members)
        if not referenced(whole):
            raise ValueError(f"{whole.name}: no case has a reference; give --references REF with a label map per case")
        study = whole.only(referenced(whole)).part(part_id, num_parts=num_parts)
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        with case_progress("evaluate", quiet=quiet) as progress:
            scored = evaluate_study(study, output, settings=settings, overwrite=overwrite, on_case=progress)
        write_run(output, "evaluate", asdict(settings), [scored], study=study, num_parts=num_parts, part_id=part_id)
        finish_run(output, study, [scored], whole=num_parts == 1, seed=seed, quiet=quiet, as_json=as_json)

    guarded(run, as_json=as_json)
