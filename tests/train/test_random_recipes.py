"""Recipes drawn at random: repeatable, inside the ranges told, and trained as a heterogeneous ensemble."""

import json
from dataclasses import fields

import numpy as np
import pytest
from typer.testing import CliRunner

from plausible.cli.main import app
from plausible.train import TrainingSettings, random_recipes, train_ensemble
from plausible.train.random_recipes import DEFAULTS, LEARNING_RATE, LOSSES, STRENGTH, WEIGHT_DECAY, WIDTH_FACTOR
from plausible.train.recipes import AUGMENTATION, with_recipe
from tests.train.conftest import SPLIT
from tests.train.datasets import TINY

MANY = random_recipes(400, seed=3)[1:]


def test_the_same_seed_draws_the_same_and_more_of_them_begin_alike():
    assert random_recipes(5, seed=3) == random_recipes(9, seed=3)[:5]
    assert random_recipes(5, seed=3)[1:] != random_recipes(5, seed=4)[1:]
    assert random_recipes(1, seed=3) == ({},)
    with pytest.raises(ValueError, match="at least one"):
        random_recipes(0, seed=3)


@pytest.mark.parametrize(
    ("name", "ends"),
    [("learning_rate", LEARNING_RATE), ("weight_decay", WEIGHT_DECAY), ("width_factor", WIDTH_FACTOR)],
)
def test_values_fill_their_range(name, ends):
    drawn = np.array([recipe[name] for recipe in MANY])
    assert ends[0] * 0.99 <= drawn.min() < drawn.max() <= ends[1] * 1.01
    middle = np.sqrt(ends[0] * ends[1]) if name != "width_factor" else np.mean(ends)
    assert 0.4 < (drawn < middle).mean() < 0.6


def test_every_loss_is_drawn_and_augmentation_keeps_its_proportions():
    assert {recipe["loss"] for recipe in MANY} == set(LOSSES)
    assert {f.name: f.default for f in fields(TrainingSettings) if f.name in AUGMENTATION} == DEFAULTS
    for recipe in MANY[:20]:
        strengths = [recipe[name] / DEFAULTS[name] for name in AUGMENTATION]
        assert max(strengths) - min(strengths) < 0.01
        assert STRENGTH[0] - 0.01 <= strengths[0] <= STRENGTH[1] + 0.01


def test_every_recipe_makes_settings():
    changed = [with_recipe(TINY, recipe) for recipe in MANY[:20]]
    assert all(settings.iterations == TINY.iterations and settings.patch == TINY.patch for settings in changed)


def test_recipes_times_seeds_are_a_heterogeneous_ensemble(dataset, tmp_path):
    recipes = random_recipes(2, seed=0)
    told = {"ensemble": "heterogeneous", "members": 4, "recipes": recipes, "settings": TINY, "split": SPLIT}
    done = train_ensemble(dataset, tmp_path / "m", threads=1, **told)
    assert done.info.ensemble == "heterogeneous ensemble of 4"
    rates = [record.training_settings.learning_rate for record in done.info.members]
    assert rates == [TINY.learning_rate, recipes[1]["learning_rate"]] * 2
    assert [record.seed for record in done.info.members] == [0, 1, 2, 3]


def test_the_command_draws_recipes_for_a_heterogeneous_ensemble_only(dataset, tmp_path):
    line = ["train", dataset, "-o", tmp_path / "m", "--members", 4, "--random-recipes", 2, "--dry-run", "--json"]
    found = CliRunner().invoke(app, [str(part) for part in [*line, "--ensemble", "heterogeneous"]])
    assert found.exit_code == 0, found.output
    networks = [member["network"] for member in json.loads(found.output)["members"]]
    assert networks[0] == networks[2] != networks[1] == networks[3]
    found = CliRunner().invoke(app, [str(part) for part in line])
    assert found.exit_code == 2
    assert "of --ensemble heterogeneous" in found.output
