"""Members that are made to differ from each other: which ensembles can be, what it costs in memory, who trains them."""

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from plausible.train.diversity_objectives import How
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.job import EnsembleJob
from plausible.train.methods import METHODS
from plausible.train.plan import Plan
from plausible.train.settings import EnsembleKind, TrainingSettings
from plausible.train.workers import Progress

TRAINERS: Mapping[How, tuple[str, str]] = {
    "together": ("plausible.train.together", "train_together"),
    "in sequence": ("plausible.train.in_sequence", "train_in_sequence"),
    "last layers": ("plausible.train.last_layers", "train_last_layers"),
}
"""File and function that train the members."""

ENSEMBLES: Mapping[How, tuple[EnsembleKind, ...]] = {
    "together": ("deep", "heterogeneous"),
    "in sequence": ("deep", "cv", "rater"),
    "last layers": ("deep",),
}
"""Ensembles that an objective can be used with: one batch for all needs the same cases and labels, pairs of layers
need the same network, and last layers share one."""


def check_diversity(diversity: DiversitySettings, *, ensemble: EnsembleKind, members: int, methods: set[str]) -> None:
    """Refuse what cannot be trained so.

    Raises:
        ValueError: the objective does not go with this ensemble or with how a network is trained.
    """
    if not diversity.used:
        return
    name, how = diversity.diversity, diversity.objective.how
    if members < 2:
        raise ValueError(f"{name} needs at least two members")
    if ensemble not in ENSEMBLES[how]:
        raise ValueError(f"{name} goes with --ensemble {', '.join(ENSEMBLES[how])}, not with {ensemble}")
    unfit = sorted(name for name in methods if (name != "plain" if how == "last layers" else METHODS[name].own_loss))
    if unfit:
        raise ValueError(f"{name} cannot be used with --method {', '.join(unfit)}")


def check_in_step(diversity: DiversitySettings, settings: TrainingSettings) -> None:
    """Refuse validations on the way where members are trained in step.

    Raises:
        ValueError: they are asked for.
    """
    if diversity.used and diversity.objective.how != "in sequence" and settings.validate_every:
        raise ValueError(f"{diversity.diversity} trains all members in step: leave validate_every and patience off")


def train_coupled(job: EnsembleJob, *, on_progress: Progress | None) -> None:
    """Train the members in this process."""
    module, function = TRAINERS[job.diversity.objective.how]
    train = getattr(import_module(module), function)
    train(job, on_progress=on_progress or (lambda member, iteration, total, loss: None))


def planned(diversity: DiversitySettings, plans: Sequence[Plan], settings: TrainingSettings) -> dict[str, Any]:
    """Say what is asked, how members are trained, and about how much memory it takes."""
    if not diversity.used:
        return {}
    how = diversity.objective.how
    at_once = plans if how == "together" else plans[:1]
    passes = 2 if how == "together" and diversity.images != "training" and diversity.weight else 1
    needed = sum(memory_gb(plan, batch=settings.batch * passes) for plan in at_once)
    return {**diversity.asked, "trained": how, "memory_gb": round(needed, 2)}


def memory_gb(plan: Plan, *, batch: int) -> float:
    """About how much memory the training of one network takes, in GB (10⁹ bytes), without torch itself.

    Weights four times in float32 (themselves, gradients, AdamW's two), and of each convolution of a U-Net (two on the
    way down, two on the way up) outputs, norm and activation.
    """
    share, weights, activations, before = 1.0, 0, 0.0, len(plan.channels)
    for stride, kernel, filters in zip(plan.strides, plan.kernels, plan.filters, strict=True):
        share /= math.prod(stride)
        weights += math.prod(kernel) * filters * (before + CONVOLUTIONS * filters)
        activations += math.prod(plan.patch) * share * filters * CONVOLUTIONS * KEPT_OF_EACH
        before = filters
    return (16 * weights + 4 * batch * activations) / 1e9


CONVOLUTIONS, KEPT_OF_EACH = 4, 3
