"""Options of the dose that dose and assess share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Doses: TypeAlias = Annotated[
    Path | None,
    typer.Option("--dose", help="Folder of the doses: CASE.nii.gz in Gy, CASE.dcm (RTDOSE), or folders CASE of it."),
]
DoseCalibration: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--dose-calibration",
        help="What plausible calibrate-dose made; its intervals, bands and rules are used.",
    ),
]
Constraints: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--constraints",
        help="TOML file, or published ones: head_and_neck (default), openkbp, thorax, abdomen, pelvis.",
    ),
]
