"""`plausible export`: results to DICOM, NIfTI and BIDS."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Quiet
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.records import takes
from plausible.runs.export_settings import TARGETS, ExportSettings

if TYPE_CHECKING:
    from plausible.runs.export import Exported

EXAMPLE = "plausible export -i OUT --case ID --image-series CT -o DIR --to rtstruct --to seg"


@takes(ExportSettings)
def export(
    results: Annotated[Path, typer.Option("-i", "--results", help="Folder that plausible assess wrote.")],
    output: Output,
    to: Annotated[list[str], typer.Option("--to", help=f"{', '.join(TARGETS)}; several times for several.")],
    image_series: Annotated[
        Path | None,
        typer.Option(
            "--image-series",
            help="Folder of the case's DICOM series; a folder with one per case; or a table case,series.",
        ),
    ] = None,
    case: Annotated[str | None, typer.Option("--case", help="Only this case.")] = None,
    series_uid: Annotated[
        str | None, typer.Option("--series-uid", help="SeriesInstanceUID, where a folder holds several series.")
    ] = None,
    uid_map: Annotated[
        Path | None,
        typer.Option("--uid-map", help="With --deidentify: file of replaced identifiers, kept for later exports."),
    ] = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    settings: ExportSettings,
) -> None:
    """Write results for planning systems, viewers and other programs. Research use only.

    DICOM objects go beside the series that the case was made from: contours (rtstruct: the nominal one, and lines of 5,
    50 and 95 % probability), masks and probabilities (seg, seg-fractional), maps (parametric-map, experimental) and
    doses (rtdose). Patient data goes into these objects only; the series is not changed.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.io.dicom.uids import UidMap
        from plausible.runs.export import export_cases, series_of

        if uid_map and not settings.deidentify:
            raise ValueError("--uid-map belongs to --deidentify")
        cases, lost = series_of(results, image_series, case=case)
        if dry_run:
            _plan(list(cases), to, output, as_json=as_json)
            return
        uids = UidMap.read(uid_map) if uid_map else UidMap()
        with case_progress("export", quiet=quiet) as progress:
            done = export_cases(
                cases, results, output, to=to, settings=settings, series_uid=series_uid, uids=uids, on_case=progress
            )
        if uid_map:
            uids.write(uid_map)
        warn(*lost, *done.failures, *done.warnings)
        _show(done, output, as_json=as_json)
        finish(failures=len(lost) + len(done.failures), done=len(done.done))

    guarded(run, as_json=as_json)


def _plan(cases: list[str], to: list[str], output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"cases": cases, "to": to, "output": str(output)})
    else:
        say(f"would export {', '.join(cases) or 'no case'} to {', '.join(to)} in {output}")


def _show(done: "Exported", output: Path, *, as_json: bool) -> None:
    if as_json:
        failed = [problem.to_dict() for problem in done.failures]
        warned = [problem.to_dict() for problem in done.warnings]
        say_json({"cases": done.done, "failures": failed, "problems": warned, "output": str(output)})
        return
    for subject, files in done.done.items():
        say(f"{subject}: {len(files)} files in {output / subject}")
