"""`plausible assess`: from members to maps, rows, verdicts and pages."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.dose_options import Constraints, DoseCalibration, Doses
from plausible.cli.options import DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet, Seed, refuse_without
from plausible.cli.outcome import guarded
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.runs.dose_settings import DoseSettings
from plausible.runs.settings import AssessSettings, EvaluateSettings

EXAMPLE = "plausible assess -i MEMBERS -o OUT --images imagesTs --review-below 0.85"


@takes(StudyOptions, AssessSettings, EvaluateSettings, DoseSettings, shared=("lesion_connectivity",))
def assess(
    members: Annotated[Path, typer.Option("-i", "--members", help="Folder with a folder per member, or study.toml.")],
    output: Output,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="What plausible calibrate made; its intervals and flags are used."),
    ] = None,
    learned: Annotated[
        Path | None,
        typer.Option("--learned", help="What plausible learn made; its thresholds and mixture are used."),
    ] = None,
    doses: Doses = None,
    constraints: Constraints = None,
    dose_calibration: DoseCalibration = None,
    fail_on_flag: Annotated[bool, typer.Option("--fail-on-flag", help="End with 10 if a case is flagged.")] = False,
    num_parts: NumParts = 1,
    part_id: PartId = 0,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: AssessSettings,
    scoring: EvaluateSettings,
    judging: DoseSettings,
) -> None:
    """Measure the uncertainty of every case: maps, rows, a verdict and a page; with references, scores too.

    With --dose the page shows what the members do to the dose, as plausible dose does.

    A run that was killed is run again with the same line and continues.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.cli.results import finish_run, show_study
        from plausible.runs.assess import assess_study
        from plausible.runs.calibration import adopt_calibration
        from plausible.runs.dose import dose_study, plan_doses
        from plausible.runs.dose_calibration import DOSE_CALIBRATION_JSON
        from plausible.runs.evaluate import evaluate_study, referenced
        from plausible.runs.learned import read_learned
        from plausible.runs.record import write_run

        refuse_without("--dose", doses, {"--constraints": constraints, "--dose-calibration": dose_calibration})
        whole = options.study(members)
        plan = plan_doses(whole, doses, constraints) if doses else None
        study = whole.part(part_id, num_parts=num_parts)
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        adopted = adopt_calibration(calibration, output)
        learnt = read_learned(learned) if learned else None
        with case_progress("assess", quiet=quiet) as progress:
            walks = [
                assess_study(
                    study,
                    output,
                    settings=settings,
                    calibrations=adopted,
                    learned=learnt,
                    overwrite=overwrite,
                    on_case=progress,
                )
            ]
        good = study.only([*walks[0].done, *walks[0].kept])
        told = asdict(settings)
        if referenced(good):
            told |= asdict(scoring)
            with case_progress("evaluate", quiet=quiet) as progress:
                walks += [evaluate_study(good, output, settings=scoring, overwrite=overwrite, on_case=progress)]
        if plan:
            told |= asdict(judging)
            study = replace(study, problems=(*study.problems, *plan.problems))
            held = adopt_calibration(dose_calibration, output, name=DOSE_CALIBRATION_JSON)
            with case_progress("dose", quiet=quiet) as progress:
                walks += [
                    dose_study(
                        good, output, plan, settings=judging, calibrations=held, overwrite=overwrite, on_case=progress
                    )
                ]
        write_run(output, "assess", told, walks, study=study, num_parts=num_parts, part_id=part_id)
        finish_run(
            output,
            study,
            walks,
            whole=num_parts == 1,
            seed=seed,
            quiet=quiet,
            as_json=as_json,
            fail_on_flag=fail_on_flag,
        )

    guarded(run, as_json=as_json)
