"""`plausible simulate`: toy images with known uncertainty, written as a dataset."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Overwrite, Quiet, Seed
from plausible.cli.outcome import guarded, say, say_json
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.runs.simulate import SPLIT_JSON, Simulated, SimulateSettings, planned, simulate_dataset
from plausible.simulate import TOY_CASES

EXAMPLE = "plausible simulate 3b -o Dataset301_Toy3b --share 0.2"
Toy = Enum("Toy", {f"case_{name}": name for name in TOY_CASES}, type=str)  # type: ignore[misc]


@takes(SimulateSettings)
def simulate(
    case: Annotated[Toy, typer.Argument(help="1, 2, 3a, 3b as in ValUES; factorial crosses blur and shift.")],
    output: Output,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    settings: SimulateSettings,
) -> None:
    """Write toy images whose aleatoric and epistemic uncertainty is known, as an nnU-Net raw dataset with its truth.

    The same line writes the same bytes.
    """

    def run() -> None:
        if dry_run:
            _show_plan(planned(case.value, settings=settings), output, as_json=as_json)
            return
        with case_progress("simulate", quiet=quiet) as progress:
            done = simulate_dataset(
                case.value, output, seed=seed, settings=settings, overwrite=overwrite, on_case=progress
            )
        _show(done, output, as_json=as_json)

    guarded(run, as_json=as_json)


def _show_plan(split: dict[str, list[str]], output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"split": split, "output": str(output)})
    else:
        say(f"would write {_counted(split)} to {output}")


def _show(done: Simulated, output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"split": done.split, "raters": done.raters, "was_there": done.was_there, "output": str(output)})
        return
    raters = f", {len(done.raters)} raters" if done.raters else ""
    say(f"{_counted(done.split)}{raters}" + (" (there before)" if done.was_there else ""))
    say(f"next: plausible train {output} -o MODEL --split {output / SPLIT_JSON}")


def _counted(split: dict[str, list[str]]) -> str:
    return ", ".join(f"{len(cases)} {role}" for role, cases in split.items() if cases) + " images"
