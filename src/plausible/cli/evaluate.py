"""`plausible evaluate`: members and their mean against one reference or several."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.compare import compare as compare_folders
from plausible.cli.options import DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet, Seed
from plausible.cli.outcome import guarded
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.runs.compare_settings import CompareSettings
from plausible.runs.confidence_settings import JudgingSettings
from plausible.runs.settings import EvaluateSettings

EXAMPLE = "plausible evaluate -i MEMBERS --references labelsTs -o OUT --tolerance-mm 1"


@takes(StudyOptions, EvaluateSettings, JudgingSettings, CompareSettings)
def evaluate(
    output: Output,
    members: Annotated[
        Path | None, typer.Option("-i", "--members", help="Folder with a folder per member, or study.toml.")
    ] = None,
    compare: Annotated[
        list[str] | None,
        typer.Option(
            "--compare",
            metavar="RESULTS",
            help="Compare the results of methods over the same cases instead: --compare A B, folders or NAME=FOLDER.",
        ),
    ] = None,
    others: Annotated[
        list[str] | None, typer.Argument(metavar="[RESULTS ...]", help="With --compare, further results.")
    ] = None,
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
    judging: JudgingSettings,
    comparing: CompareSettings,
) -> None:
    """Score members and their mean against references: overlap, surfaces, calibration, risk against coverage.

    Raters are scored against each other too. OUT may hold an assessment; its pages then show the scores. detection.csv
    says which numbers find bad cases. With --compare A B nothing is scored: what is there of several methods is
    compared, line by line.
    """

    def run() -> None:
        if compare:
            told = [*compare, *(others or ())]
            compare_folders(told, output, settings=comparing, seed=seed, as_json=as_json, dry_run=dry_run)
            return
        if members is None or others:
            raise ValueError("give the members with -i MEMBERS, or results to compare with --compare A B")

        from plausible.cli.progress import case_progress
        from plausible.cli.results import finish_run, show_study
        from plausible.runs.detection import write_detection
        from plausible.runs.evaluate import evaluate_study, referenced
        from plausible.runs.record import write_run

        whole = options.study(members)
        if not referenced(whole):
            raise ValueError(f"{whole.name}: no case has a reference; give --references REF with a label map per case")
        outside = judging.outside()
        study = whole.only(referenced(whole)).part(part_id, num_parts=num_parts)
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        with case_progress("evaluate", quiet=quiet) as progress:
            scored = evaluate_study(study, output, settings=settings, overwrite=overwrite, on_case=progress)
        write_run(output, "evaluate", asdict(settings), [scored], study=study, num_parts=num_parts, part_id=part_id)
        if num_parts == 1:
            write_detection(output, limits=judging.limits, outside=outside, seed=seed)
        finish_run(output, study, [scored], whole=num_parts == 1, seed=seed, quiet=quiet, as_json=as_json)

    guarded(run, as_json=as_json)
