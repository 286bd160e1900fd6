"""What a training method may change: each hook has the plain network's behaviour as its default.

A method is a `Method` with the hooks it needs. Training calls them in this order: `outputs` and `trainable` make the
module whose parameters are trained, `schedule` its learning rate, `objective` the loss of a step, `after_step` what is
collected on the way, `finish` what is kept. Prediction calls `functions` with what was kept.

**A function is one member for a whole image.** `Functions.draw` fixes everything that is random (mask, weights, noise)
before the first window is seen, and every window goes through the same function.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch

from plausible.train.job import MemberJob
from plausible.train.network import Loss, Network, autocast, load_weights, supervised_loss
from plausible.train.settings import TrainingSettings

Weights: TypeAlias = Mapping[str, torch.Tensor]
Place: TypeAlias = tuple[slice, slice, slice]
"""Where a window lies in the padded image."""

Function: TypeAlias = Callable[[torch.Tensor, Sequence[Place]], torch.Tensor]
"""From windows `b n x y z` and the place of each of them to logits `b c x y z`."""


@runtime_checkable
class Functions(Protocol):
    """What was learnt, from which functions are drawn."""

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Draw one function for an image of this (padded) shape; None gives the point prediction.

        The function is valid until the next draw: networks may be changed in place.
        """
        ...


@dataclass(slots=True)
class Training:
    """A training under way.

    Attributes:
        network: the module that is trained.
        average: exponential moving average of its parameters, where one is asked for.
        memory: what the method collects; it is kept in checkpoints, so it holds tensors, numbers and lists of them.
        best: parameters at the best validation, where stopping early is asked for.
    """

    network: Network
    optimiser: Any
    schedule: Any
    average: dict[str, torch.Tensor]
    memory: dict[str, Any] = field(default_factory=dict)
    iteration: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best_dice: float = -1.0
    best_iteration: int = 0
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Step:
    """One optimiser step as an objective sees it: images `b n x y z`, targets `b c x y z`, and how far training is."""

    images: torch.Tensor
    targets: torch.Tensor
    loss: Loss
    job: MemberJob
    iteration: int

    def forward(self, network: Network, images: torch.Tensor | None = None) -> torch.Tensor:
        """Outputs of a network on the images, in the precision of the training."""
        with autocast(self.job.settings.precision, device=self.job.device):
            outputs: torch.Tensor = network(self.images if images is None else images)
        return outputs

    def supervised(self, logits: torch.Tensor) -> torch.Tensor:
        """Loss of logits against the targets."""
        return supervised_loss(self.loss, logits, self.targets)


@dataclass(frozen=True, slots=True)
class Kept:
    """Weights that are kept of a training, and what tells them from others of the same training.

    Attributes:
        weights: float32 is stored in the settings' type of weights, float64 as it is.
        name: e.g. "checkpoint_3"; empty where a training keeps one set.
        iterations: optimiser steps behind them; 0 for all of the training's.
    """

    weights: dict[str, torch.Tensor]
    name: str = ""
    iterations: int = 0


@dataclass(frozen=True, slots=True)
class OneFunction:
    """A network without chance: every draw is the same function."""

    network: Network

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Return the network in evaluation mode."""
        network = self.network.eval()
        return lambda windows, places: network(windows)


def unchanged(network: Network, settings: TrainingSettings) -> Network:
    """Train the network as it is."""
    return network


def one_per_class(n_classes: int, settings: TrainingSettings) -> int:
    """One output channel per class."""
    return n_classes


def all_parameters(network: Network, settings: TrainingSettings) -> Iterable[Any]:
    """Return every parameter, each with AdamW's weight decay."""
    parameters: Iterable[Any] = network.parameters()
    return parameters


def one_cycle(optimiser: Any, settings: TrainingSettings) -> Any:
    """Rise to the peak learning rate of each group of parameters, then fall to nothing along a cosine."""
    return torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [group["lr"] for group in optimiser.param_groups],
        total_steps=settings.iterations + 1,
        pct_start=settings.warmup,
        cycle_momentum=False,
    )


def supervised(network: Network, step: Step) -> torch.Tensor:
    """Return the loss of the network's logits against the targets."""
    return step.supervised(step.forward(network))


def collect_nothing(training: Training, job: MemberJob) -> None:
    """Collect nothing on the way."""


def keep_parameters(job: MemberJob, training: Training, weights: dict[str, torch.Tensor]) -> Sequence[Kept]:
    """Keep the trained parameters (the average or the best of them where that is asked for)."""
    return [Kept(weights)]


def one_function(network: Network, weights: Weights, settings: TrainingSettings) -> Functions:
    """Put the weights into the network; there is nothing to draw."""
    load_weights(network, weights)
    return OneFunction(network)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Hooks of a training method.

    Attributes:
        outputs: output channels of the network, from the number of classes.
        trainable: the module whose parameters are trained, around the network.
        parameters: what the optimiser is given.
        schedule: learning rate; stepped after every iteration.
        objective: loss of one step.
        after_step: called after every optimiser step, with `training.iteration` counting it.
        finish: what is kept at the end; stored in the settings' type of weights.
        functions: what is drawn from, given a network as it was built and what was kept.
        preview: the same from the parameters in training; validations on the way use its point prediction.
    """

    outputs: Callable[[int, TrainingSettings], int] = one_per_class
    trainable: Callable[[Network, TrainingSettings], Network] = unchanged
    parameters: Callable[[Network, TrainingSettings], Iterable[Any]] = all_parameters
    schedule: Callable[[Any, TrainingSettings], Any] = one_cycle
    objective: Callable[[Network, Step], torch.Tensor] = supervised
    after_step: Callable[[Training, MemberJob], None] = collect_nothing
    finish: Callable[[MemberJob, Training, dict[str, torch.Tensor]], Sequence[Kept]] = keep_parameters
    functions: Callable[[Network, Weights, TrainingSettings], Functions] = one_function
    preview: Callable[[Network, Weights, TrainingSettings], Functions] = one_function
