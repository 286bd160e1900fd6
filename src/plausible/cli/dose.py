"""`plausible dose`: what the plausible contours do to the dose-volume histogram and to the constraints of a plan."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.dose_options import Constraints, DoseCalibration, Doses
from plausible.cli.options import DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet, Seed, refuse_without
from plausible.cli.outcome import guarded
from plausible.cli.records import takes
from plausible.cli.replan_options import FixedMasks, Goals
from plausible.cli.study_options import StudyOptions
from plausible.runs.dose_settings import DoseSettings

EXAMPLE = "plausible dose -i MEMBERS --dose doses -o OUT --constraints head_and_neck"


@takes(StudyOptions, DoseSettings)
def dose(
    members: Annotated[Path, typer.Option("-i", "--members", help="Folder with a folder per member, or study.toml.")],
    output: Output,
    doses: Doses = None,
    constraints: Constraints = None,
    dose_calibration: DoseCalibration = None,
    replan: Annotated[
        bool, typer.Option("--replan", help="Also plan on every member, as plausible replan does, into OUT/replan.")
    ] = False,
    fixed_structures: FixedMasks = None,
    goals: Goals = None,
    num_parts: NumParts = 1,
    part_id: PartId = 0,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: DoseSettings,
) -> None:
    """Say what each structure receives if any member is the true contour, and which constraints that leaves open.

    The dose is fixed; nothing is planned again, unless --replan asks for it. Members of plausible draw are members like
    any others. OUT may hold an assessment; its pages then show the dose. A run that was killed is run again with the
    same line and continues.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.cli.results import draw_run, end_run, show_study
        from plausible.runs.calibration import adopt_calibration
        from plausible.runs.dose import dose_study, plan_doses
        from plausible.runs.dose_calibration import DOSE_CALIBRATION_JSON
        from plausible.runs.record import write_run
        from plausible.runs.replan import Replan, replan_study
        from plausible.runs.replan_fixed import checked
        from plausible.runs.replan_goals import read_goals

        if doses is None:
            raise ValueError("give the doses: --dose FOLDER with CASE.nii.gz in Gy or CASE.dcm (RTDOSE)")
        refuse_without("--replan", replan, {"--goals": goals, "--fixed-structures": fixed_structures})
        loop, fixed = Replan(goals=read_goals(goals)), checked(fixed_structures)
        whole = options.study(members)
        plan = plan_doses(whole, doses, constraints)
        having = replace(whole, problems=(*whole.problems, *plan.problems)).only(tuple(plan.doses))
        study = having.part(part_id, num_parts=num_parts)
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        adopted = adopt_calibration(dose_calibration, output, name=DOSE_CALIBRATION_JSON)
        with case_progress("dose", quiet=quiet) as progress:
            walked = dose_study(
                study, output, plan, settings=settings, calibrations=adopted, overwrite=overwrite, on_case=progress
            )
        write_run(output, "dose", asdict(settings), [walked], study=study, num_parts=num_parts, part_id=part_id)
        done = draw_run(output, study, [walked], whole=num_parts == 1, seed=seed, quiet=quiet)
        if replan:  # once pages and tables are there, whatever it finds
            with case_progress("replan", quiet=quiet) as progress:
                looped = replan_study(study, output / "replan", replan=loop, fixed=fixed, on_plan=progress)
            done = replace(
                done,
                failures=[*done.failures, *looped.failures],
                warnings=list(dict.fromkeys((*done.warnings, *looped.warnings))),
            )
        end_run(done, as_json=as_json)

    guarded(run, as_json=as_json)
