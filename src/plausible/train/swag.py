"""SWAG: a Gaussian fitted to the weights on the way through the last part of training; a member is one draw of it.

After `keep_from` of the training the learning rate stays constant, and weights are collected at regular intervals:
their running mean, their variance, and the last `rank` deviations from the mean as it then was. A draw is

    θ = mean + sd · z₁ / √2 + D z₂ / √(2 (K - 1)),   z₁, z₂ ~ N(0, 1),   K columns in D,

with covariance ½ diag(sd²) + ½ D Dᵀ / (K - 1). None of our networks has batch statistics, so that a draw needs no pass
over the training cases to renew them. With several seeds (`members`) this is MultiSWAG.

Source: Maddox et al. 2019, arXiv:1902.02476.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from plausible.train.hooks import Function, Functions, Kept, Method, Training, Weights
from plausible.train.job import MemberJob
from plausible.train.network import Network, load_weights, weights_of
from plausible.train.settings import TrainingSettings
from plausible.train.trajectory import collected_at, held

COLLECTIONS = 3
"""Times that weights are collected, relative to the rank; the variance is that of all of them."""

UNIT = 2.0**-10
"""Unit of deviations as they are stored: in float16 the small ones would lose digits."""


def schedule(optimiser: Any, settings: TrainingSettings) -> Any:
    """Return a schedule that ends with a constant rate.

    Raises:
        ValueError: a rank below 2, which has no covariance; too few iterations to collect from.
    """
    if settings.rank < 2:
        raise ValueError(f"rank must be at least 2 for SWAG, got {settings.rank}")
    moments_at(settings)
    return held(optimiser, settings)


def moments_at(settings: TrainingSettings) -> tuple[int, ...]:
    """Return the iterations after which weights are collected."""
    return collected_at(settings, COLLECTIONS * settings.rank)


def collect(training: Training, job: MemberJob) -> None:
    """Add the weights to the moments where that is due."""
    if training.iteration in moments_at(job.settings):
        add_to_moments(training.memory, weights_of(training.network), rank=job.settings.rank)


def add_to_moments(memory: dict[str, Any], weights: Weights, *, rank: int) -> None:
    """Update number, mean, sum of squared deviations, and the last `rank` deviations (Welford 1962)."""
    n = memory["n"] = memory.get("n", 0) + 1
    for name, value in weights.items():
        kept = memory.setdefault(name, [torch.zeros_like(value), torch.zeros_like(value), []])
        mean, squares, deviations = kept
        change = value - mean
        mean += change / n
        squares += change * (value - mean)
        kept[2] = [*deviations, value - mean][-rank:]


def gaussian_of(memory: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return mean, standard deviations and deviations by name, in the units in which they are stored."""
    found = {}
    for name, (mean, squares, deviations) in ((name, kept) for name, kept in memory.items() if name != "n"):
        found[f"mean.{name}"] = mean
        found[f"sd.{name}"] = (squares / memory["n"]).clamp(min=0).sqrt() / UNIT
        found[f"deviations.{name}"] = torch.stack(deviations) / UNIT
    return found


def keep(job: MemberJob, training: Training, weights: dict[str, torch.Tensor]) -> Sequence[Kept]:
    """Return the Gaussian."""
    return [Kept(gaussian_of(training.memory))]


@dataclass(frozen=True, slots=True)
class SwagFunctions:
    """Draws of all weights at once, which are put into the network in place."""

    network: Network
    mean: Weights
    sd: Weights  # in units of UNIT, as stored
    deviations: Weights

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Fix all weights for the whole image; None takes their mean."""
        load_weights(self.network, self.mean if seed is None else self.weights(seed))
        network = self.network.eval()
        return lambda windows, places: network(windows)

    def weights(self, seed: int) -> dict[str, torch.Tensor]:
        """Draw weights by seed; every device draws the same."""
        generator = torch.Generator().manual_seed(seed)
        columns = next(iter(self.deviations.values())).shape[0]
        shared = torch.randn(columns, generator=generator) / math.sqrt(2 * (columns - 1))
        drawn = {}
        for name, mean in self.mean.items():
            own = torch.randn(mean.shape, generator=generator) / math.sqrt(2)
            along = torch.tensordot(shared.to(mean.device), self.deviations[name].float(), dims=1)
            drawn[name] = mean.float() + UNIT * (self.sd[name].float() * own.to(mean.device) + along)
        return drawn


def swag_functions(network: Network, weights: Weights, settings: TrainingSettings) -> Functions:
    """Take the Gaussian as it was kept.

    Raises:
        ValueError: its names or shapes are not those of the network.
    """
    mean, sd, deviations = (_part(weights, part) for part in ("mean", "sd", "deviations"))
    load_weights(network, mean)
    return SwagFunctions(network, mean, sd, deviations)


def _part(weights: Weights, part: str) -> dict[str, torch.Tensor]:
    start = f"{part}."
    return {name.removeprefix(start): v for name, v in weights.items() if name.startswith(start)}


METHOD = Method(schedule=schedule, after_step=collect, finish=keep, functions=swag_functions)
