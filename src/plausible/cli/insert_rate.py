"""The rate of inserted dropout, chosen before `plausible predict` predicts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from plausible.cli.progress import case_progress
from plausible.io import read_members_json
from plausible.runs.insert_rate import ChosenRate, Opened, choose_insert_rate, tuning_study
from plausible.sample import Sampling


def choose(
    opened: Opened, images: Path, labels: Path, sampling: Sampling, output: Path, *, quiet: bool
) -> dict[str, Any]:
    """Choose the rate, or take it from what an earlier run of the same line wrote down; return what is written down.

    Raises:
        InvalidInput: E106 or E108, images or label maps are missing; E505, dropout cannot be inserted.
    """
    study = tuning_study(images, labels, opened(replace(sampling, sampler=())))
    before = read_members_json(output).get("insert_rate") if (output / "members.json").exists() else None
    with case_progress("dropout rate", quiet=quiet) as progress:
        chosen = choose_insert_rate(
            opened,
            study,
            sampling=sampling,
            before=ChosenRate.from_dict(before) if before else None,
            on_rate=lambda rate, n, total: progress(f"{rate:g}", n, total),
        )
    if not chosen.helps:
        text = (
            f"note: no rate explains these cases better than the model without dropout; {chosen.rate:g} comes closest"
        )
        typer.echo(text, err=True)
    return chosen.to_dict()
