"""Cyclical SGLD: snapshots with Langevin noise in the cold part of each cycle, one sample at the end of each.

The hot part of a cycle looks for a mode, the cold part samples around it (Zhang et al. 2020, arXiv:1902.03932). The
optimiser stays AdamW, so that network, rate and budget are those of every other method; the noise therefore carries
AdamW's preconditioner, as in preconditioned SGLD (Li et al. 2016, arXiv:1512.07666):

    θ ← θ - rate · G g,   then   θ ← θ + sqrt(2 · rate · temperature / n · G) · N(0, 1),   G = 1 / (sqrt(v) + ε)

with the gradient g of the mean loss and AdamW's mean square v of it. As the rate goes to nothing, the weights are drawn
from exp(-n · loss / temperature), n being the voxels of all training images as in Bayes by Backprop. With `loss="ce"`
and temperature 1 that is the posterior of independent voxels.

In the cold part AdamW has no momentum and v is frozen. Both are needed: momentum answers ten steps late, and a v that
follows the weights samples another distribution unless its divergence is added, which Li et al. leave out (a Gaussian's
variance comes out 10 to 20 % too large by either).

What is approximate: the gradient is that of a batch, whose own noise comes on top; the decoupled weight decay is the
prior, with a precision that depends on G; gradients are clipped; and a short cold part does not forget where it began.
"""

from collections.abc import Sequence
from typing import Any

import torch

from plausible.train.bayes_by_backprop import observations
from plausible.train.hooks import Kept, Method, Training
from plausible.train.job import MemberJob
from plausible.train.settings import TrainingSettings
from plausible.train.trajectory import cycle_ends, cyclic_cosine, cyclic_share, place_in_cycle, remember, remembered

COLD_PART = 0.25
"""Share of each cycle, at its end, in which noise is added."""

MOMENTUM, FROZEN = 0.9, "mean_squares"


def schedule(optimiser: Any, settings: TrainingSettings) -> Any:
    """Return one cosine cycle for each sample."""
    return cyclic_cosine(optimiser, settings)


def step_and_collect(training: Training, job: MemberJob) -> None:
    """Add noise in the cold part of a cycle; copy the weights at its end."""
    settings, step = job.settings, training.iteration - 1
    if is_cold(settings, step):
        temperature = settings.temperature / observations(job)
        freeze_preconditioner(training.optimiser, training.memory)
        add_noise(training.optimiser, share=cyclic_share(settings, step), temperature=temperature)
    else:
        training.memory.pop(FROZEN, None)
    set_momentum(training.optimiser, 0.0 if is_cold(settings, training.iteration) else MOMENTUM)
    remember(training, cycle_ends(settings), averaged=False)


def is_cold(settings: TrainingSettings, step: int) -> bool:
    """Say whether noise is added to the step after so many iterations."""
    return settings.temperature > 0 and place_in_cycle(settings, step)[1] >= 1 - COLD_PART


def set_momentum(optimiser: torch.optim.AdamW, momentum: float) -> None:
    """Let the steps from now on follow the gradient's running mean, or with 0 the gradient itself."""
    for group in optimiser.param_groups:
        group["betas"] = (momentum, group["betas"][1])


def freeze_preconditioner(optimiser: torch.optim.AdamW, memory: dict[str, Any]) -> None:
    """Put back the mean squares of the gradient as they were when this was first called with this memory."""
    states = list(optimiser.state.values())
    frozen = memory.setdefault(FROZEN, [state["exp_avg_sq"].clone() for state in states])
    for state, mean_square in zip(states, frozen, strict=True):
        state["exp_avg_sq"].copy_(mean_square)


def add_noise(optimiser: torch.optim.AdamW, *, share: float, temperature: float) -> None:
    """Move every parameter by the Langevin noise of the step that AdamW has just made.

    Args:
        optimiser: with the mean squares of the gradient in its state.
        share: learning rate of that step, relative to the peak of each group.
        temperature: of the mean loss, that is of the posterior divided by the number of observations.
    """
    with torch.no_grad():
        for group in optimiser.param_groups:
            for parameter in group["params"]:
                state = optimiser.state[parameter]
                if state:
                    mean_square = state["exp_avg_sq"] / (1 - group["betas"][1] ** float(state["step"]))
                    variance = 2 * group["initial_lr"] * share * temperature / (mean_square.sqrt() + group["eps"])
                    noise = torch.randn(parameter.shape).to(parameter.device)
                    parameter.addcmul_(variance.sqrt(), noise)


def keep(job: MemberJob, training: Training, weights: dict[str, torch.Tensor]) -> Sequence[Kept]:
    """Return the sample of every cycle."""
    return remembered(training, cycle_ends(job.settings), name="sample")


METHOD = Method(schedule=schedule, after_step=step_and_collect, finish=keep)
