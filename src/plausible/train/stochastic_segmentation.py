"""Stochastic segmentation network: a Gaussian over the logits of a whole image; a member is one draw of them.

η ~ N(μ, P Pᵀ + D): the network gives every voxel and class a mean μ, `rank` factors P and a variance D. A factor
reaches over the whole image, so that its one number z moves far voxels together; D moves each voxel alone. The loss of
a patch is the likelihood of its whole segmentation, integrated over draws, and is divided by the number of voxels:

    loss = -1/V · log (1/S) Σ_s Π over voxels of p(y | η_s)

The probability of a segmentation as a whole rewards draws that are right everywhere at once, which a loss voxel by
voxel cannot. Half of the draws lie opposite to the others, as in the authors' code.

**Where the background is certain** the loss does not hold the covariance back, and it grows without end; the authors'
code sets it to 0 outside a mask of the organ. There is no such mask here: P and log D are bounded instead.

**The mean comes first.** The best of a few draws decides the likelihood of a patch, which says little as long as the
mean is wrong everywhere: from the start, the mean had a Dice of 0.01 after 150 iterations. Training therefore begins
with the loss of the mean, which keeps half of its weight to the end: the likelihood alone left probabilities too sure.
That is not in the paper.

Source: Monteiro et al. 2020, arXiv:2006.06015.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from plausible.train.hooks import Function, Functions, Method, Place, Step, Weights
from plausible.train.network import Network, load_weights
from plausible.train.settings import TrainingSettings
from plausible.train.voxel_noise import voxel_noise

WARM_UP, MEAN_WEIGHT = 0.5, 0.5
"""Share of the iterations in which the likelihood comes in, from nothing to all of it, while the loss of the mean
(`settings.loss`) falls from all of it to this weight."""
FIRST_FACTOR, LARGEST_FACTOR = 0.1, 10.0
"""Size of the factors where the network's outputs are about 1, as they are at first, and their bound."""
LOG_VARIANCE = (-4.0, 5.0)
"""log D where the network says 0, and how far it can go from there."""


@dataclass(frozen=True, slots=True)
class LogitGaussian:
    """Gaussian over the logits of patches: mean `b c x y z`, factors `b r c x y z`, standard deviations `b c x y z`."""

    mean: torch.Tensor
    factors: torch.Tensor
    deviations: torch.Tensor

    @classmethod
    def of(cls, outputs: torch.Tensor, *, rank: int) -> "LogitGaussian":
        """Read a network's outputs `b (2 + r) c x y z`: means, log variances, factors."""
        read = outputs.float().unflatten(1, (rank + 2, -1))
        middle, reach = LOG_VARIANCE
        return cls(
            mean=read[:, 0],
            factors=_bounded(FIRST_FACTOR * read[:, 2:], LARGEST_FACTOR) / math.sqrt(rank),
            deviations=torch.exp((middle + _bounded(read[:, 1], reach)) / 2),
        )

    def draw(self, numbers: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Logits of draws `b s c x y z`, from standard normal numbers `b s r` and noise `b s c x y z`."""
        together = torch.einsum("bsr,brcxyz->bscxyz", numbers, self.factors)
        return self.mean[:, None] + together + self.deviations[:, None] * noise


def channels_of_gaussian(n_classes: int, settings: TrainingSettings) -> int:
    """Mean, variance and factors of every class.

    Raises:
        ValueError: deep supervision is asked for.
    """
    if settings.deep_supervision:
        raise ValueError(
            "a stochastic segmentation network has one Gaussian, on the finest level: leave deep_supervision off"
        )
    return n_classes * (settings.rank + 2)


def negative_log_likelihood(network: Network, step: Step) -> torch.Tensor:
    """Loss of the batch: the segmentation's likelihood over draws, per voxel, and the loss of the mean."""
    settings, exclusive = step.job.settings, step.job.classes.exclusive
    gaussian = LogitGaussian.of(step.forward(network), rank=settings.rank)
    share = min(1.0, step.iteration / (WARM_UP * settings.iterations))
    integrated = integrated_loss(gaussian, step.targets, draws=settings.loss_samples, exclusive=exclusive)
    return share * integrated + (1 - share * (1 - MEAN_WEIGHT)) * step.supervised(gaussian.mean)


def integrated_loss(gaussian: LogitGaussian, targets: torch.Tensor, *, draws: int, exclusive: bool) -> torch.Tensor:
    """-log of the mean over draws of the likelihood of each patch, divided by its voxels; mean over patches."""
    batch, rank = gaussian.factors.shape[:2]
    numbers = _antithetic((batch, draws, rank), gaussian.mean.device)
    noise = _antithetic((batch, draws, *gaussian.mean.shape[1:]), gaussian.mean.device)
    found = log_likelihood(gaussian.draw(numbers, noise), targets, exclusive=exclusive)
    integrated = torch.logsumexp(found, dim=1) - math.log(draws)
    return -integrated.mean() / math.prod(targets.shape[2:])


def log_likelihood(logits: torch.Tensor, targets: torch.Tensor, *, exclusive: bool) -> torch.Tensor:
    """Log-likelihood `b s` of whole patches under logits `b s c x y z`: a sum over voxels, and over regions."""
    told = targets[:, None].expand_as(logits)
    if exclusive:
        each = torch.log_softmax(logits, dim=2) * told
    else:
        each = -torch.nn.functional.binary_cross_entropy_with_logits(logits, told, reduction="none")
    return each.flatten(2).sum(dim=2)


@dataclass(frozen=True, slots=True)
class LogitFunctions:
    """Draws of the logits of an image."""

    network: Network
    rank: int

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Fix the numbers of the factors and every voxel's noise for the whole image; None takes the mean."""
        network = self.network.eval()
        numbers = None if seed is None else torch.randn(self.rank, generator=torch.Generator().manual_seed(seed))

        def logits(windows: torch.Tensor, places: Sequence[Place]) -> torch.Tensor:
            outputs = network(windows)
            with torch.autocast(windows.device.type, enabled=False):
                gaussian = LogitGaussian.of(outputs, rank=self.rank)
                if seed is None or numbers is None:
                    return gaussian.mean
                channels, device = gaussian.mean.shape[1], windows.device
                noise = [voxel_noise(seed, place, shape=shape, channels=channels, device=device) for place in places]
                together = numbers.to(device).expand(len(places), 1, -1)
                return gaussian.draw(together, torch.stack(noise)[:, None])[:, 0]

        return logits


def logit_functions(network: Network, weights: Weights, settings: TrainingSettings) -> Functions:
    """Put the weights into the network."""
    load_weights(network, weights)
    return LogitFunctions(network, settings.rank)


METHOD = Method(
    outputs=channels_of_gaussian,
    objective=negative_log_likelihood,
    functions=logit_functions,
    preview=logit_functions,
)


def _bounded(values: torch.Tensor, bound: float) -> torch.Tensor:
    """Pass small values as they are, and none beyond the bound."""
    return bound * torch.tanh(values / bound)


def _antithetic(shape: Sequence[int], device: torch.device) -> torch.Tensor:
    """Standard normal numbers `b s ...`, the second half of s opposite to the first."""
    batch, draws, *rest = shape
    half = torch.randn(batch, (draws + 1) // 2, *rest)
    return torch.cat([half, -half], dim=1)[:, :draws].to(device)
