"""The record of a run: run.json says what was done, with which settings, to how many cases."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plausible.core import Study, provenance
from plausible.io.atomic import write_json
from plausible.runs.layout import RUN, read_json, run_json, told
from plausible.runs.walk import Walked


def write_run(
    output: Path,
    verb: str,
    settings: Mapping[str, Any],
    walks: Sequence[Walked],
    *,
    study: Study,
    num_parts: int = 1,
    part_id: int = 0,
) -> None:
    """Write run.json (or run.K.json for a part): version, command, settings, study, and how the cases went.

    A run that found everything done leaves the record of the run that did it.

    Args:
        output: folder of the results.
        verb: what was done.
        settings: with which settings.
        walks: how the cases went in each stage, the first one first.
        study: name of the study and what its members are.
        num_parts: how many runs share the study.
        part_id: which of them this one is.
    """
    made = provenance(
        f"{verb} {told(settings)}".strip(),
        settings=settings,
        inputs={},
        study=study.name,
        ensemble=study.ensemble,
        cases={
            "new": len(walks[0].done),
            "kept": len(walks[0].kept),
            "failed": len({problem.subject for walked in walks for problem in walked.failures}),
        },
        part=f"{part_id} of {num_parts}",
    )
    path = output / run_json(num_parts=num_parts, part_id=part_id)
    before = read_json(path) or {}
    if any(walked.changed for walked in walks) or (before.get("key"), before.get("command")) != (
        made.key,
        made.command,
    ):
        write_json(path, made.to_dict())
    for other in output.glob(RUN):
        if (num_parts == 1) != (other.name == "run.json"):
            other.unlink(missing_ok=True)


def read_run(output: Path) -> dict[str, Any]:
    """Read the record of the last run; nothing if there is none."""
    found = [content for path in sorted(output.glob(RUN)) if (content := read_json(path))]
    return max(found, key=lambda content: str(content.get("created", "")), default={})
