"""Options of plans that dose and replan share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

FixedMasks: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--fixed-structures",
        help="FOLDER/CASE/NAME.nii.gz, or FOLDER/CASE in DICOM: targets, and body, that members lack.",
    ),
]
Goals: TypeAlias = Annotated[
    Path | None, typer.Option("--goals", help="TOML of what plans are asked for; head-and-neck without it.")
]
