"""`plausible evaluate`: members and their mean against one reference or several."""

from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet, Seed
from plausible.cli.outcome import guarded
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.cli.results import finish_run, show_study
from plausible.cli.study_options import StudyOptions
from plausible.runs.evaluate import evaluate_study
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
        study = options.study(members).part(part_id, num_parts=num_parts)
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        with case_progress("evaluate", quiet=quiet) as progress:
            scored = evaluate_study(study, output, settings=settings, overwrite=overwrite, on_case=progress)
        finish_run(output, study, [scored], whole=num_parts == 1, seed=seed, quiet=quiet, as_json=as_json)

    guarded(run, as_json=as_json)
