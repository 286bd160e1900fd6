"""The folder of a training: whose it is, whether it is the same training, and whether it is finished."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import plausible
from plausible.core import InvalidInput, Problem
from plausible.io.atomic import remove_leftovers
from plausible.train.cases import Surveys
from plausible.train.model import ModelInfo, read_model, unusable_model

START = "training.json"
"""Written before the first step, removed when `model.json` is there."""


def request_of(asked: Mapping[str, Any], surveys: Surveys) -> dict[str, Any]:
    """Everything that decides the weights, as plain JSON values."""
    without = {name: value for name, value in asked.items() if name != "checkpoint_every"}
    first = surveys.first.split
    split = {"train": list(first.train), "validation": list(first.validation)}
    request = {**without, "split": split, "data": surveys.hashes, "version": plausible.__version__}
    plain: dict[str, Any] = json.loads(json.dumps(request))
    return plain


def check_folder(output: Path) -> None:
    """Refuse a folder that holds something else; clear away what a killed run left half-written.

    Raises:
        InvalidInput: E502.
    """
    if not output.exists():
        return
    remove_leftovers(output)
    ours = (output / "model.json").exists() or (output / START).exists()
    if not output.is_dir() or (any(output.iterdir()) and not ours):
        raise unusable_model(output, "files that no training of plausible wrote")


def finished_model(output: Path, request: Mapping[str, Any]) -> ModelInfo | None:
    """Return the finished model of the same training, or None if it is not finished.

    Raises:
        InvalidInput: E503, it was trained otherwise; E502, weights are missing.
    """
    if not (output / "model.json").exists():
        return None
    info = read_model(output)
    before = {**info.provenance["settings"], "data": info.provenance["inputs"]}
    check_same(output, before, request)
    missing = [record.id for record in info.members if not (output / record.weights).exists()]
    if missing:
        raise unusable_model(output, f"no weights of {', '.join(missing)}")
    return info


def check_same(output: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue a training with other settings or data.

    Raises:
        InvalidInput: E503, naming what differs.
    """
    differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if not differing:
        return
    found = "; ".join(f"{name} {_short(before.get(name))}, now {_short(now.get(name))}" for name in differing)
    raise InvalidInput(
        Problem(
            code="E503",
            file=output.name,
            found=f"trained with {found}",
            expected="the same settings, cases and version, so that the training can be continued",
            fix="use the settings of before, or train into another folder (-o)",
        )
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."
