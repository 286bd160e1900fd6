"""`plausible train`: an ensemble from an nnU-Net raw dataset."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from plausible.cli.options import Device, DryRun, Json, Output, Quiet, Seed
from plausible.cli.outcome import guarded, say, say_json, warn
from plausible.cli.progress import training_progress
from plausible.cli.records import takes
from plausible.core import InvalidInput, Problem
from plausible.train import (
    RECIPES,
    DiversitySettings,
    EnsembleKind,
    Recipe,
    Split,
    Trained,
    TrainingSettings,
    plan_training,
    random_recipes,
    train_ensemble,
)

Told = TypeVar("Told")

EXAMPLE = "plausible train Dataset004_Hippocampus -o MODEL --members 5 --workers 2"


@takes(TrainingSettings, DiversitySettings)
def train(
    dataset: Annotated[Path, typer.Argument(help="nnU-Net raw dataset: dataset.json, imagesTr, labelsTr.")],
    output: Output,
    members: Annotated[int, typer.Option(min=1, help="How many members.")] = 5,
    ensemble: Annotated[
        EnsembleKind,
        typer.Option(
            help="deep: same cases, a seed each. cv: each leaves out another fold. rater: every seed with every "
            "rater's labels. heterogeneous: same cases, a seed and a recipe each."
        ),
    ] = "deep",
    raters: Annotated[
        list[str] | None,
        typer.Option("--rater", help="A rater with labels in labelsTr_NAME; none takes all (rater ensemble)."),
    ] = None,
    recipes: Annotated[
        Path | None,
        typer.Option(help='JSON: [{"architecture": "segresnet"}, {"loss": "ce", "width": 24}, ...], one per member.'),
    ] = None,
    unlabelled: Annotated[
        Path | None, typer.Option(help="Folder of images without labels, on which members are made to differ.")
    ] = None,
    random: Annotated[
        int,
        typer.Option("--random-recipes", min=0, help="Draw so many recipes by seed instead (heterogeneous ensemble)."),
    ] = 0,
    split: Annotated[
        Path | None, typer.Option(help='JSON: {"train": [CASE, ...], "validation": [CASE, ...]}; else by seed.')
    ] = None,
    validation_fraction: Annotated[
        float, typer.Option(min=0.0, max=0.9, help="Share of the cases kept for validation; 0 for none.")
    ] = 0.2,
    seed: Seed = 0,
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=1, help="Members trained at the same time.")] = 1,
    threads: Annotated[int, typer.Option(min=0, help="Threads of each worker; 0 shares the cores out.")] = 0,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    settings: TrainingSettings,
    differing: DiversitySettings,
) -> None:
    """Train the members of an ensemble: nnU-Net's preprocessing, MONAI's networks, and a method for each of them.

    A run that was killed is run again with the same line, continues, and ends with the same result.
    """

    def run() -> None:
        told = _read_split(split) if split else None
        shared: dict[str, Any] = {
            "members": members,
            "ensemble": ensemble,
            "settings": settings,
            "raters": raters or (),
            "recipes": _recipes(recipes, random, ensemble=ensemble, seed=seed),
            "diversity": differing,
            "unlabelled": unlabelled,
            "split": told,
            "validation_fraction": validation_fraction,
            "seed": seed,
        }
        if dry_run:
            _show_plan(plan_training(dataset, **shared), as_json=as_json)
            return
        with training_progress(quiet=quiet) as progress:
            done = train_ensemble(
                dataset, output, device=device, workers=workers, threads=threads, on_progress=progress, **shared
            )
        _show(done, output, as_json=as_json)

    guarded(run, as_json=as_json)


def _recipes(path: Path | None, drawn: int, *, ensemble: EnsembleKind, seed: int) -> tuple[Recipe, ...]:
    if drawn and (path or ensemble != "heterogeneous"):
        raise ValueError("--random-recipes is of --ensemble heterogeneous, and stands for --recipes")
    return _read_recipes(path) if path else random_recipes(drawn, seed=seed) if drawn else RECIPES


def _read_recipes(path: Path) -> tuple[Recipe, ...]:
    def parse(content: Any) -> tuple[Recipe, ...]:
        if not isinstance(content, list) or not all(isinstance(recipe, dict) for recipe in content):
            raise TypeError("not a list of objects")
        return tuple(content)

    return _read(path, parse, option="recipes", example='[{"architecture": "segresnet"}, {"loss": "ce", "width": 24}]')


def _read_split(path: Path) -> Split:
    def parse(content: Any) -> Split:
        train, validation = content["train"], content.get("validation", [])
        if not (isinstance(train, list) and isinstance(validation, list)):
            raise TypeError("train and validation must be lists of cases")
        return Split(tuple(train), tuple(validation))

    return _read(path, parse, option="split", example='{"train": ["case_1", ...], "validation": ["case_2", ...]}')


def _read(path: Path, parse: Callable[[Any], Told], *, option: str, example: str) -> Told:
    """Read a JSON file that an option names; whatever is wrong with it becomes one problem."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            Problem(
                code="E501",
                file=path.name,
                found=f"{type(error).__name__}: {str(error)[:200]}",
                expected=example,
                fix=f"correct the {option}, or leave --{option} out",
            )
        ) from error


def _show_plan(planned: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        say_json(planned)
        return
    for name, value in planned.items():
        say(f"{name:12} {json.dumps(value, default=str) if isinstance(value, dict) else value}")


def _show(done: Trained, output: Path, *, as_json: bool) -> None:
    info = done.info
    if as_json:
        members = [
            {"id": r.id, "seed": r.seed, "fold": r.fold, "validation_dice": r.validation_dice, "minutes": r.minutes}
            for r in info.members
        ]
        left_out = [problem.to_dict() for problem in done.left_out]
        say_json(
            {"ensemble": info.ensemble, "was_finished": done.was_finished, "members": members, "left_out": left_out}
        )
        return
    warn(*done.left_out)
    say(f"{info.ensemble}" + (" (finished before)" if done.was_finished else ""))
    for record in info.members:
        dice = "-" if record.validation_dice is None else f"{record.validation_dice:.4f}"
        made = f"{record.architecture}  seed {record.seed}" + (f", rater {record.rater}" if record.rater else "")
        say(f"  {record.id:10} {made}  validation Dice {dice}  {record.minutes:.1f} min")
    say(f"next: plausible predict {output} -i IMAGES -o MEMBERS")
