"""`plausible learn`: thresholds of maps and a mixture of aggregates, from in-distribution cases."""

from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, Quiet
from plausible.cli.outcome import guarded, say, say_json
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.runs.learned import Learned, LearnSettings

EXAMPLE = "plausible learn OUT_VALIDATION -o learned.json"


@takes(LearnSettings)
def learn(
    assessed: Annotated[Path, typer.Argument(help="Results of plausible assess for in-distribution cases.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="What was learnt, a .json file.")],
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    settings: LearnSettings,
) -> None:
    """Learn what aggregations need to know: from which value on a voxel is uncertain, and which numbers are usual.

    Maps are read one by one and never stacked. plausible assess --learned uses the file for other cases.
    """

    def run() -> None:
        from plausible.runs.layout import CASE_JSON, case_folders
        from plausible.runs.learned import learn as learn_from
        from plausible.runs.learned import write_learned

        if dry_run:
            names = [folder.name for folder in case_folders(assessed) if (folder / CASE_JSON).is_file()]
            _plan(names, output, as_json=as_json)
            return
        with case_progress("learn", quiet=quiet) as progress:
            found = learn_from(assessed, settings=settings, on_case=progress)
        write_learned(output, found)
        if as_json:
            say_json(found.to_dict())
        else:
            _show(found, output)

    guarded(run, as_json=as_json)


def _plan(names: list[str], output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"cases": names, "output": str(output)})
    else:
        say(f"would learn from {len(names)} cases and write {output}")


def _show(found: Learned, output: Path) -> None:
    say(f"{len(found.subjects)} cases, {100 * found.background_share:.1f} % of the image without a structure")
    for name, value in found.thresholds.items():
        say(f"- {name}: uncertain from {value:.4g}")
    if found.mixture:
        n = len(found.mixture.mixture.weights)
        say(f"- meta_aggregator: {len(found.mixture.keys)} aggregates, {n} component{'s' if n > 1 else ''}")
    else:
        say(f"! no meta_aggregator: {found.refused}")
    say(f"next: plausible assess -i NEW_MEMBERS -o OUT --learned {output}")
