"""The command in model.json can be typed as it stands, and asks for the same training."""

import json
import shlex
from dataclasses import replace

from typer.testing import CliRunner

from plausible.cli.main import app
from plausible.train import plan_training
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY, write_dataset


def test_the_recorded_command_asks_for_the_same_training(trained, dataset, tmp_path) -> None:
    result, _ = trained
    verb, *options = shlex.split(result.info.provenance["command"])
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": SPLIT.train, "validation": SPLIT.validation}))
    line = [verb, str(dataset), "-o", str(tmp_path / "m"), "--split", str(split), "--dry-run", "--json", *options]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    again = plan_training(dataset, members=2, settings=TINY, split=SPLIT)
    assert json.loads(done.stdout) == json.loads(json.dumps(again))
    assert "None" not in options


def test_switches_and_lists_are_typed_as_the_verb_takes_them(tmp_path) -> None:
    from plausible.train import train_ensemble

    settings = replace(TINY, iterations=1, flip_axes=(0, 2), deep_supervision=True)
    folder = write_dataset(tmp_path / "Dataset001_balls")
    info = train_ensemble(folder, tmp_path / "m", members=1, settings=settings, split=SPLIT, threads=1).info
    command = info.provenance["command"]
    for part in ("--patch 8 12 8", "--flip-axes 0 --flip-axes 2", " --deep-supervision"):
        assert part in command
