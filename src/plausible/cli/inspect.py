"""`plausible inspect`: what is in this folder, does it fit, and what mends it."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import Json
from plausible.cli.outcome import DONE, INVALID, guarded, say, say_json
from plausible.cli.records import takes
from plausible.cli.study_options import StudyOptions

EXAMPLE = "plausible inspect -i MEMBERS --images imagesTs --references labelsTs"


@takes(StudyOptions, leave_out=("name",))
def inspect(
    folder: Annotated[
        Path,
        typer.Option("-i", "--input", help="Members, a study.toml, an nnU-Net raw dataset, images, DICOM, or a model."),
    ],
    deep: Annotated[bool, typer.Option("--deep", help="Read the voxels too, not only headers.")] = False,
    keep_phi: Annotated[
        bool, typer.Option("--keep-phi", help="DICOM: name files as they are called, though that may name a patient.")
    ] = False,
    as_json: Json = False,
    *,
    options: StudyOptions,
) -> None:
    """Say what was recognised, which member has which case, the memory needed, and how to mend each problem.

    Ends with 4 if anything would stop a case.
    """

    def run() -> None:
        from plausible.runs.inspect import inspect as look
        from plausible.runs.inspect_dicom import holds_dicom, inspect_dicom

        study = options.images or options.references  # members in DICOM then
        dicom = not study and holds_dicom(folder)
        found = (
            inspect_dicom(folder, deep=deep, keep_phi=keep_phi) if dicom else look(folder, deep=deep, **options.told())
        )
        if as_json:
            say_json(found.to_dict())
        else:
            say(found.text(width=shutil.get_terminal_size((100, 24)).columns))
        stops = any(problem.severity == "error" for problem in found.problems)
        raise typer.Exit(INVALID if stops else DONE)

    guarded(run, as_json=as_json)
