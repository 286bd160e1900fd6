"""Recipes drawn at random, for hyper-deep ensembles: recipes x seeds, of which the best set is chosen afterwards.

A heterogeneous ensemble of drawn recipes with several seeds each is the pool; the members are then chosen greedily on
cases that none of them was trained on. What is drawn changes how a network learns, never what members must share: grid,
patch and training cases.

Source: Wenzel et al. 2020, arXiv:2006.13570, who draw regularisation; the ranges are ours.
"""

from collections.abc import Mapping

import numpy as np

from plausible.train.recipes import AUGMENTATION, Recipe
from plausible.train.settings import TrainingSettings

LEARNING_RATE = (7e-4, 4e-3)
WEIGHT_DECAY = (1e-3, 1e-1)
WIDTH_FACTOR = (0.75, 1.25)
STRENGTH = (0.5, 1.5)
"""Strength of the augmentation relative to the defaults."""

LOSSES = ("dice_ce", "dice_focal", "tversky")
"""Those that learn as fast as the first; cross-entropy alone does not."""

DEFAULTS: Mapping[str, float] = {name: getattr(TrainingSettings(), name) for name in AUGMENTATION}
"""Augmentation that a strength of 1 stands for."""


def random_recipes(n: int, *, seed: int) -> tuple[Recipe, ...]:
    """Draw recipes; the first is the settings as they are, so that a plain member is always in the pool.

    Learning rate and weight decay are drawn evenly on a logarithmic scale, width and the strength of the augmentation
    evenly, the loss among three. The same seed gives the same recipes, and more of them the same first ones.

    Raises:
        ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"at least one recipe must be drawn, got {n}")
    return ({}, *(_drawn(np.random.default_rng([seed, number])) for number in range(1, n)))


def _drawn(rng: np.random.Generator) -> Recipe:
    strength = float(rng.uniform(*STRENGTH))
    return {
        "learning_rate": _on_log_scale(rng, LEARNING_RATE),
        "weight_decay": _on_log_scale(rng, WEIGHT_DECAY),
        "width_factor": round(float(rng.uniform(*WIDTH_FACTOR)), 3),
        "loss": LOSSES[int(rng.integers(len(LOSSES)))],
        **{name: round(strength * DEFAULTS[name], 4) for name in AUGMENTATION},
    }


def _on_log_scale(rng: np.random.Generator, ends: tuple[float, float]) -> float:
    low, high = np.log(ends)
    return float(f"{np.exp(rng.uniform(low, high)):.3g}")
