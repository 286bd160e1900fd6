"""`plausible doctor`: is this machine fit?"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import Json
from plausible.cli.outcome import DONE, ENVIRONMENT, say, say_json
from plausible.runs.doctor import examine

EXAMPLE = "plausible doctor"


def doctor(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder that results would be written to.")] = Path(),
    as_json: Json = False,
) -> None:
    """Check Python, packages, memory, accelerator, output folder and disk; ends with 5 if something is missing."""
    findings = examine(output)
    if as_json:
        say_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            say(f"{finding.status:5} {finding.name:17} {finding.found}")
            if finding.status != "ok":
                say(f"{'':23} fix: {finding.fix}")
    raise typer.Exit(ENVIRONMENT if any(finding.status == "fail" for finding in findings) else DONE)
