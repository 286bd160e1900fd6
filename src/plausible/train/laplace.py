"""Last-layer Laplace: a Gaussian around the trained last layer from the curvature of the loss; a member is one draw.

    Σ = (w H + λ I)⁻¹,   H: Gauss-Newton matrix of the cross-entropy over all training voxels (`curvature`)

in closed form, from one pass over the prepared training cases without augmentation; all weights before the last layer
stay where training left them, and so does the mean. λ is the precision of the prior, w the weight of the likelihood:
the voxels of an image are worth fewer observations than they are many. Both are chosen from a small grid around the
closed form of w: by the negative log-likelihood of the pooled prediction on the validation cases, or without such cases
λ by the marginal likelihood and w as the closed form has it. What was chosen is kept beside the weights.

The mean need not be the posterior's mode: training may have had another loss (Dice), and stopped early.

Source: Daxberger et al. 2021, arXiv:2106.14806; Kristiadi et al. 2020, arXiv:2002.10118.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float

from plausible.train.cache import load_case
from plausible.train.curvature import Curvature, probabilities_of
from plausible.train.hooks import Function, Functions, Kept, Method, Training, Weights
from plausible.train.job import MemberJob
from plausible.train.last_layer import Observed, last_layer_of, matrix_of, observe, put_matrix
from plausible.train.network import Network, build_network, load_weights
from plausible.train.settings import TrainingSettings

FACTOR, PRIOR, WEIGHT = "covariance_factor", "prior_precision", "likelihood_weight"
PRIOR_PRECISIONS = (0.1, 1.0, 10.0, 100.0, 1000.0)
WEIGHT_FACTORS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Weights of the likelihood that are tried, relative to the closed form."""

DRAWS, VOXELS_PER_CASE = 16, 2000
"""Draws that are pooled, and voxels of a case, for the likelihood on validation cases."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """Gaussian of the last layer's weights around their trained values; the covariance is factor · factorᵀ."""

    factor: Float[torch.Tensor, "p p"]
    prior_precision: float
    likelihood_weight: float


def posterior(
    hessian: Float[torch.Tensor, "p p"], *, prior_precision: float, likelihood_weight: float = 1.0
) -> Posterior:
    """Invert the curvature."""
    values, vectors = torch.linalg.eigh(hessian)
    precision = likelihood_weight * values.clamp(min=0) + prior_precision
    return Posterior(vectors / precision.sqrt(), prior_precision, likelihood_weight)


def log_evidence(
    hessian: Float[torch.Tensor, "p p"], mean: Float[torch.Tensor, "c f"], *, prior_precision: float, weight: float
) -> float:
    """Return the log marginal likelihood in nats, but for what the prior precision does not change (MacKay 1992)."""
    values = torch.linalg.eigvalsh(hessian).clamp(min=0)
    occam = torch.log1p(weight * values / prior_precision).sum()
    return -float(prior_precision * mean.double().square().sum() + occam) / 2


def pooled_nll(
    validation: Sequence[Observed], found: Posterior, *, shape: tuple[int, ...], exclusive: bool, seed: int
) -> float:
    """Negative log-likelihood of a voxel under the mean probability of some draws, in nats."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(found.factor.shape[0], DRAWS, generator=generator, dtype=torch.float64)
    changes = (found.factor @ noise.to(found.factor.device)).T.reshape(DRAWS, *shape).float()
    total, voxels = 0.0, 0.0
    for seen in validation:
        pooled = torch.zeros_like(seen.logits)
        for change in changes:
            pooled += probabilities_of(seen.logits + seen.features @ change.T, exclusive=exclusive) / DRAWS
        told = _log_likelihood(pooled.clamp(1e-7, 1 - 1e-7), seen.targets, exclusive=exclusive)
        total, voxels = total - float(told @ seen.share), voxels + float(seen.share.sum())
    return total / voxels


def _log_likelihood(p: torch.Tensor, targets: torch.Tensor, *, exclusive: bool) -> torch.Tensor:
    right = (targets * p.log()).sum(dim=1)
    return right if exclusive else right + ((1 - targets) * (1 - p).log()).sum(dim=1)


def choose(
    told: Curvature, mean: Float[torch.Tensor, "c f"], validation: Sequence[Observed], *, exclusive: bool, seed: int
) -> Posterior:
    """Choose prior precision and likelihood's weight: on validation voxels, or by the marginal likelihood."""
    weight = told.likelihood_weight()
    if not validation:
        best = max(PRIOR_PRECISIONS, key=lambda p: log_evidence(told.hessian, mean, prior_precision=p, weight=weight))
        return posterior(told.hessian, prior_precision=best, likelihood_weight=weight)
    tried = (
        posterior(told.hessian, prior_precision=precision, likelihood_weight=min(1.0, weight * factor))
        for factor in WEIGHT_FACTORS
        for precision in PRIOR_PRECISIONS
    )
    shape = tuple(mean.shape)
    return min(tried, key=lambda p: pooled_nll(validation, p, shape=shape, exclusive=exclusive, seed=seed))


def fit(job: MemberJob, training: Training, weights: dict[str, torch.Tensor]) -> Sequence[Kept]:
    """Fit the Gaussian to the trained weights; it is kept beside them under the layer's name, and its time counts."""
    began, worked = time.monotonic(), time.process_time()
    network = build_network(job.plan, channels=job.channels, outputs=len(job.classes.names), seed=0).to(job.device)
    load_weights(network, weights)
    layer = last_layer_of(network, torch.zeros(1, job.channels, *job.plan.patch, device=job.device))
    found = _fitted(network, layer, job)
    numbers = {PRIOR: found.prior_precision, WEIGHT: found.likelihood_weight}
    kept = {f"{layer}.{name}": torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}
    training.seconds += time.monotonic() - began
    training.cpu_seconds += time.process_time() - worked
    return [Kept({**weights, **kept, f"{layer}.{FACTOR}": found.factor})]


def _fitted(network: Network, layer: str, job: MemberJob) -> Posterior:
    told = reduce(Curvature.merge, (_told(network, layer, subject, job) for subject in job.split.train))
    validation = [part for subject in job.split.validation for part in _sampled(network, layer, subject, job)]
    mean = matrix_of(network.get_submodule(layer))
    return choose(told, mean, validation, exclusive=job.classes.exclusive, seed=job.split.seed)


def _told(network: Network, layer: str, subject: str, job: MemberJob) -> Curvature:
    windows = observe(network, layer, load_case(job.cache, subject), job)
    return Curvature.of(windows, exclusive=job.classes.exclusive)


def _sampled(network: Network, layer: str, subject: str, job: MemberJob) -> list[Observed]:
    case = load_case(job.cache, subject)
    stride = max(1, case.labels.size // VOXELS_PER_CASE)
    return [window.every(stride) for window in observe(network, layer, case, job)]


@dataclass(frozen=True, slots=True)
class LaplaceFunctions:
    """Draws of the last layer, which are put into the network in place."""

    network: Network
    layer: str
    mean: Float[torch.Tensor, "c f"]
    factor: Float[torch.Tensor, "p p"]

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Fix the last layer for the whole image; None takes it as it was trained."""
        put_matrix(self.network.get_submodule(self.layer), self.mean if seed is None else self.matrix(seed))
        network = self.network.eval()
        return lambda windows, places: network(windows)

    def matrix(self, seed: int) -> Float[torch.Tensor, "c f"]:
        """Draw the layer's weights by seed; every device draws the same."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(len(self.factor), generator=generator, dtype=self.factor.dtype)
        change = self.factor @ noise.to(self.factor.device)
        return self.mean + change.reshape(self.mean.shape).to(self.mean.dtype)


def laplace_functions(network: Network, weights: Weights, settings: TrainingSettings) -> Functions:
    """Take weights and Gaussian as they were kept.

    Raises:
        ValueError: they do not fit the network, or there is no Gaussian among them.
    """
    layers = [name.removesuffix(f".{FACTOR}") for name in weights if name.endswith(f".{FACTOR}")]
    if len(layers) != 1:
        raise ValueError("these weights hold no Gaussian of a last layer")
    extra = {f"{layers[0]}.{name}" for name in (FACTOR, PRIOR, WEIGHT)}
    load_weights(network, {name: tensor for name, tensor in weights.items() if name not in extra})
    mean = matrix_of(network.get_submodule(layers[0]))
    return LaplaceFunctions(network, layers[0], mean, weights[f"{layers[0]}.{FACTOR}"].to(mean.device))


METHOD = Method(finish=fit, functions=laplace_functions)
