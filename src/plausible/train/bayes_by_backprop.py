"""Bayes by Backprop: a Gaussian over every weight, fitted by the evidence lower bound; a member is one draw of all.

The bound of the data set is E_q[Σ over voxels of -log p(y | w)] + KL(q ‖ p). A step sees the mean loss of a voxel, so
everything is divided by the number of observations n, the voxels of all training images on the network's grid:

    loss of a step = E_q[mean loss of its voxels] + kl_weight · KL / n

Voxels next to each other do not tell as much as so many observations. If one in k voxels counts, n is divided by k,
which is `kl_weight=k`; below 1 the posterior is colder than Bayes' rule. The mean loss is a negative log-likelihood
with `loss="ce"`; with Dice in it, q is the Gibbs posterior of that loss.

The gradient's noise is lowered by the draws: of every two patches of a batch, the second takes the weights that lie
opposite to those of the first (ε and -ε). It costs no further pass.

Source: Blundell et al. 2015, arXiv:1505.05424 (their minibatch weights sum to one over an epoch; so do these).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from plausible.train.cache import load_case
from plausible.train.gaussian_weights import GaussianWeights, Noise
from plausible.train.hooks import Function, Functions, Method, Step, Weights
from plausible.train.job import MemberJob
from plausible.train.network import Network, load_weights
from plausible.train.settings import TrainingSettings

SPREAD_RATE = 10.0
"""Learning rate of ρ, relative to that of the means: AdamW moves ρ by its rate a step, and it has some units to go."""


def with_gaussian_weights(network: Network, settings: TrainingSettings) -> Network:
    """Give every weight a Gaussian around what it was built with."""
    return GaussianWeights(network, initial_sd=settings.initial_sd)


def parameter_groups(network: Network, settings: TrainingSettings) -> Iterable[Any]:
    """Return means, ρ, and the rest; the prior takes the place of weight decay, but for the rest."""
    means = network.means()
    rest = [parameter for name, parameter in network.mean.named_parameters() if name not in means]
    rate = settings.learning_rate
    return [
        {"params": list(means.values()), "weight_decay": 0.0, "lr": rate},
        {"params": list(network.rho.parameters()), "weight_decay": 0.0, "lr": SPREAD_RATE * rate},
        {"params": rest, "lr": rate},
    ]


def negative_elbo(network: Network, step: Step) -> torch.Tensor:
    """Loss of the batch with drawn weights, plus the batch's share of the KL divergence."""
    settings = step.job.settings
    n = observations(step.job)
    loss = step.supervised(drawn_outputs(network, step))
    return loss + settings.kl_weight / n * network.kl_divergence(prior_sd=settings.prior_sd)


def drawn_outputs(network: Network, step: Step) -> torch.Tensor:
    """Outputs of every patch with weights of its own, opposite within each pair of patches."""
    noises = antithetic(network, len(step.images))
    outputs = [
        step.forward(lambda patch, noise=noise: network(patch, noise), patch)
        for patch, noise in zip(step.images.split(1), noises, strict=True)
    ]
    return torch.cat(outputs)


def antithetic(network: GaussianWeights, n: int) -> Iterator[Noise]:
    """Yield n draws of noise, every second one opposite to the one before."""
    noise: Noise = {}
    for draw in range(n):
        noise = {name: -values for name, values in noise.items()} if draw % 2 else network.noise()
        yield noise


def observations(job: MemberJob) -> int:
    """What the mean loss is a mean over: voxels of the training images on the network's grid, of regions one each."""
    answers = 1 if job.classes.exclusive else len(job.classes.names)
    return answers * _voxels(job.cache, job.split.train)


@lru_cache(maxsize=8)
def _voxels(cache: Path, subjects: tuple[str, ...]) -> int:
    return sum(load_case(cache, subject).labels.size for subject in subjects)


@dataclass(frozen=True, slots=True)
class GaussianFunctions:
    """Draws of all weights at once, which are put into the network in place."""

    network: Network
    means: Weights
    standard_deviations: Weights

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Fix all weights for the whole image; None takes their means."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        parameters = dict(self.network.named_parameters())
        with torch.no_grad():
            for name, mean in self.means.items():
                parameters[name].copy_(mean)
                if generator:
                    noise = torch.randn(mean.shape, generator=generator).to(mean.device)
                    parameters[name].addcmul_(self.standard_deviations[name], noise)
        network = self.network.eval()
        return lambda windows, places: network(windows)


def gaussian_functions(network: Network, weights: Weights, settings: TrainingSettings) -> Functions:
    """Take means and ρ as they were kept."""
    gaussian = GaussianWeights(network, initial_sd=settings.initial_sd).to(next(network.parameters()).device)
    load_weights(gaussian, weights)
    means = {name: mean.detach().clone() for name, mean in gaussian.means().items()}
    spread = {name: sd.detach() for name, sd in gaussian.standard_deviations().items()}
    return GaussianFunctions(network, means, spread)


METHOD = Method(
    trainable=with_gaussian_weights,
    parameters=parameter_groups,
    objective=negative_elbo,
    functions=gaussian_functions,
    preview=gaussian_functions,
)
