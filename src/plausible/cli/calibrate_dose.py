"""`plausible calibrate-dose`: from patients whose dose was judged against a reference to promises for new patients."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plausible.cli.options import DryRun, Json
from plausible.cli.outcome import finish, guarded, say, say_json
from plausible.cli.records import takes
from plausible.runs.dose_calibration import DoseCalibrateSettings

if TYPE_CHECKING:
    from plausible.runs.calibration import Calibrations

EXAMPLE = 'plausible calibrate-dose OUT -o dose_cal.json --population "site A, oropharynx, 70 Gy" --alpha 0.2'


@takes(DoseCalibrateSettings)
def calibrate_dose(
    results: Annotated[Path, typer.Argument(help="What plausible dose --references wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The calibration, a .json file.")],
    as_json: Json = False,
    dry_run: DryRun = False,
    *,
    settings: DoseCalibrateSettings,
) -> None:
    """Find what can be promised of the dose of new patients: intervals of metrics, bands of DVHs, constraints met.

    Each patient counts once. Use patients that no member was trained on and whose dose plausible dose judged with
    --references. Then: plausible dose --dose-calibration FILE.
    """

    def run() -> None:
        from plausible.runs.calibration import write_calibration
        from plausible.runs.dose_calibration import calibrate_doses
        from plausible.runs.dose_tables import read_dose_results

        cases = read_dose_results(results)
        if dry_run:
            names = [case.subject for case in cases]
            if as_json:
                say_json({"patients": names, "output": str(output)})
            else:
                say(f"would calibrate on {len(names)} patients into {output}")
            return
        made = calibrate_doses(cases, settings, today=date.today())
        write_calibration(output, made)
        if as_json:
            say_json(made.to_dict())
        else:
            _show(made, output, n=len(cases))
        finish(failures=0, done=len(cases))

    guarded(run, as_json=as_json)


def _show(made: "Calibrations", output: Path, *, n: int) -> None:
    say(f"{n} patients, {len(made.records)} promises:")
    for statement in made.statements:
        say(f"- {statement}")
    for one in made.refused:
        say(f"! no {one['what']}: {one['code']} {one['found']}; {one['fix']}")
    say(f"next: plausible dose -i NEW_MEMBERS --dose DOSES -o OUT --dose-calibration {output}")
