"""Weights on the way through one training: when they are collected, and how the learning rate comes and goes.

Cyclic cosine: within each of `keep` equally long cycles the rate falls from its peak to nothing,
rate = peak/2 · (1 + cos π t), t from 0 to 1 (Loshchilov & Hutter 2017, arXiv:1608.03983; Huang et al. 2017,
arXiv:1704.00109). The first cycle begins with a rise over `warmup` of its length, as a new network needs.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import torch

from plausible.train.hooks import Kept, Training, one_cycle
from plausible.train.network import weights_of
from plausible.train.settings import TrainingSettings


def collected_at(settings: TrainingSettings, n: int) -> tuple[int, ...]:
    """Return n iterations, equally spaced after `keep_from` of the training; the last one ends it.

    Raises:
        ValueError: there are fewer iterations than that.
    """
    first = int(settings.keep_from * settings.iterations)
    span = settings.iterations - first
    if span < n:
        raise ValueError(
            f"{settings.method} collects weights {n} times, and only {span} of {settings.iterations} iterations come "
            f"after keep_from={settings.keep_from}; collect fewer, or train longer"
        )
    return tuple(first + span * k // n for k in range(1, n + 1))


def cycle_ends(settings: TrainingSettings) -> tuple[int, ...]:
    """Return the last iteration of every cycle.

    Raises:
        ValueError: there are more cycles than iterations.
    """
    if settings.iterations < settings.keep:
        raise ValueError(f"{settings.keep} cycles need as many iterations, there are {settings.iterations}")
    return tuple(settings.iterations * k // settings.keep for k in range(1, settings.keep + 1))


def place_in_cycle(settings: TrainingSettings, iteration: int) -> tuple[int, float]:
    """Return the cycle of the step after so many iterations, and how far it is through it, from 0 up to 1."""
    ends = cycle_ends(settings)
    cycle = min(bisect_right(ends, iteration), len(ends) - 1)
    start = ends[cycle - 1] if cycle else 0
    return cycle, min((iteration - start) / (ends[cycle] - start), 1.0)


def cyclic_share(settings: TrainingSettings, iteration: int) -> float:
    """Return the learning rate of the step after so many iterations, relative to the peak."""
    cycle, through = place_in_cycle(settings, iteration)
    if cycle == 0 and through < settings.warmup:
        return _rising(iteration, settings.warmup * cycle_ends(settings)[0])
    return (1 + math.cos(math.pi * through)) / 2


def held_share(settings: TrainingSettings, iteration: int) -> float:
    """Return the relative rate of a schedule that falls to `constant_rate` at `keep_from`, and stays there."""
    rise, first = settings.warmup * settings.iterations, int(settings.keep_from * settings.iterations)
    if iteration < min(rise, first):
        return _rising(iteration, rise)
    if iteration >= first:
        return settings.constant_rate
    fallen = (1 + math.cos(math.pi * (iteration - rise) / (first - rise))) / 2
    return settings.constant_rate + (1 - settings.constant_rate) * fallen


def _rising(iteration: int, rise: float) -> float:
    return (iteration + 1) / (math.ceil(rise) + 1)


def one_whole_cycle(optimiser: Any, settings: TrainingSettings) -> Any:
    """Return the plain network's schedule, for a training that is not stopped early."""
    _check_whole(settings)
    collected_at(settings, settings.keep)
    return one_cycle(optimiser, settings)


def cyclic_cosine(optimiser: Any, settings: TrainingSettings) -> Any:
    """Return as many cosine cycles as sets of weights are kept."""
    _check_whole(settings)
    cycle_ends(settings)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda iteration: cyclic_share(settings, iteration))


def held(optimiser: Any, settings: TrainingSettings) -> Any:
    """Return a schedule that ends with a constant rate, from which weights are collected."""
    _check_whole(settings)
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda iteration: held_share(settings, iteration))


def _check_whole(settings: TrainingSettings) -> None:
    if settings.patience:
        raise ValueError(f"{settings.method} collects weights until the end; it cannot stop early (patience)")


def remember(training: Training, ends: Sequence[int], *, averaged: bool = True) -> None:
    """Copy the weights (their average, where one is asked for) if this iteration is one of those told."""
    if training.iteration in ends:
        average = {name: tensor.clone() for name, tensor in training.average.items()} if averaged else {}
        training.memory[f"after_{training.iteration}"] = average or weights_of(training.network)


def remembered(training: Training, ends: Sequence[int], *, name: str) -> list[Kept]:
    """Return what was copied, as "name_1", "name_2", ..."""
    return [Kept(training.memory[f"after_{end}"], f"{name}_{n}", end) for n, end in enumerate(ends, start=1)]
