"""What the members of a heterogeneous ensemble differ in: a small grid of networks, widths and losses.

Errors of different architectures agree less than those of different seeds (Gontijo-Lopes et al. 2022,
arXiv:2110.12899). Members differ by recipe **and** by seed; grid, patch and training cases stay the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from plausible.train.settings import TrainingSettings

Recipe: TypeAlias = Mapping[str, Any]

RECIPES: tuple[Recipe, ...] = (
    {},
    {"architecture": "residual_dynunet"},
    {"architecture": "segresnet", "loss": "dice_focal"},
    {"loss": "tversky", "width_factor": 1.25},
    {"architecture": "residual_dynunet", "loss": "dice_focal", "width_factor": 0.75},
)
"""Changes to the settings of member 0, 1, ...; further members start again from the first.

Recipes that learn far more slowly than the first were taken out on validation cases: the residual UNet (Dice 0.40 after
300 steps on the hippocampus, where the others have 0.82 to 0.87) and cross-entropy alone (0.82).
"""

AUGMENTATION = ("rotation_deg", "scale", "noise", "brightness", "gamma")
ALLOWED = (
    *("architecture", "loss", "width", "width_factor", "learning_rate", "weight_decay", "deep_supervision", "method"),
    *AUGMENTATION,
)


def with_recipe(settings: TrainingSettings, recipe: Recipe) -> TrainingSettings:
    """Return settings changed by a recipe; `width_factor` multiplies the width.

    Raises:
        ValueError: a recipe changes what members must share, or a value is none of the settings'.
    """
    unknown = sorted(set(recipe) - set(ALLOWED))
    if unknown:
        raise ValueError(f"a recipe may change {', '.join(ALLOWED)}, not {', '.join(unknown)}")
    changed: dict[str, Any] = {name: value for name, value in recipe.items() if name != "width_factor"}
    width = round(changed.get("width", settings.width) * recipe.get("width_factor", 1))
    return replace(settings, **{**changed, "width": width})


def recipes_for(members: int, recipes: Sequence[Recipe] = RECIPES) -> tuple[Recipe, ...]:
    """Return one recipe per member."""
    if not recipes:
        raise ValueError("a heterogeneous ensemble needs at least one recipe")
    return tuple(recipes[m % len(recipes)] for m in range(members))
