"""`plausible calibrate`: from members and references to what can be promised for new patients."""

from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plausible.cli.options import DryRun, Json, Overwrite, Quiet
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions
from plausible.runs.calibrate_settings import CalibrateSettings
from plausible.runs.settings import EvaluateSettings

if TYPE_CHECKING:
    from plausible.runs.calibration import Calibrations

EXAMPLE = 'plausible calibrate -i MEMBERS --references labelsCal -o cal.json --population "site A" --failure "dice<0.8"'


SCORING = ("tolerance_mm",)
"""Settings of the scores that a calibration reads; each patient's raters count one by one."""


@takes(
    StudyOptions,
    CalibrateSettings,
    EvaluateSettings,
    leave_out=tuple(f.name for f in fields(EvaluateSettings) if f.name not in SCORING),
)
def calibrate(
    members: Annotated[Path, typer.Option("-i", "--members", help="Folder with a folder per member, or study.toml.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The calibration, a .json file.")],
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: CalibrateSettings,
    scoring: EvaluateSettings,
) -> None:
    """Find what can be promised for new patients: volume intervals, margins in mm, voxel sets, failure flags.

    Each patient counts once. Use patients that no member was trained on. The curves of each case are kept beside the
    output (OUTPUT.cases), so that other settings take no time.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.cli.results import show_study
        from plausible.runs.calibrate import calibrate as fit
        from plausible.runs.calibrate import measure_cases, sample_cases
        from plausible.runs.calibration import write_calibration

        study = options.study(members)
        if dry_run:
            show_study(study, output, as_json=as_json)
            return
        folder = output.with_name(output.name + ".cases")
        with case_progress("calibrate", quiet=quiet) as progress:
            cases, walked = measure_cases(study, folder, scoring=scoring, overwrite=overwrite, on_case=progress)
        for problem in () if as_json else walked.failures:
            warn(problem)
        with case_progress("draw voxels", quiet=quiet or settings.probabilities == "none") as progress:
            samples = sample_cases(study, cases, settings, on_case=progress)
        made = fit(cases, settings, today=date.today(), samples=samples)
        write_calibration(output, made)
        if as_json:
            say_json(made.to_dict())
        else:
            _show(made, output, n=len(cases))
        finish(failures=len(walked.failures), done=walked.n_good)

    guarded(run, as_json=as_json)


def _show(made: "Calibrations", output: Path, *, n: int) -> None:
    say(f"{n} patients, {len(made.records)} promises:")
    for statement in made.statements:
        say(f"- {statement}")
    for one in made.refused:
        say(f"! no {one['what']}: {one['code']} {one['found']}; {one['fix']}")
    say(f"next: plausible assess -i NEW_MEMBERS -o OUT --calibration {output}")
