"""The record of a run: run.json says what was done, with which settings, to how many cases."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plausible.core import provenance
from plausible.io.atomic import write_json
from plausible.runs.assess import Walked
from plausible.runs.layout import run_json, told


def write_run(
    output: Path, verb: str, settings: Mapping[str, Any], walked: Walked, *, num_parts: int = 1, part_id: int = 0
) -> None:
    """Write run.json (or run.K.json for a part): version, command, settings, and how the cases went."""
    made = provenance(
        f"{verb} {told(settings)}".strip(),
        settings=settings,
        inputs={},
        cases={"new": len(walked.done), "kept": len(walked.kept), "failed": len(walked.failures)},
        part=f"{part_id} of {num_parts}",
    )
    write_json(output / run_json(num_parts=num_parts, part_id=part_id), made.to_dict())
