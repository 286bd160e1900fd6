"""Repulsion in function space: members push each other away where their predictions are alike.

    step of f_i = ∇ log p(f_i | D) - Σ_j ∇_i k(f_i, f_j) / Σ_j k(f_i, f_j),   k(f, g) = exp(-‖f - g‖² / h)

Written as a loss: weight · log Σ_j k(f_i, f_j), with f_j held fixed. f are a member's probabilities on the voxels told,
‖·‖² is the mean over them, and h the median of the squared distances between members, divided by log(M + 1); M members
that lie equally far apart have k = 1/(M + 1). The diagonal is no distance and is left out of the median, which the
authors' code does not do.

The gradient of members at the very same place is 0: it is their random start that separates them.

Source: D'Angelo & Fortuin 2021, arXiv:2106.11642 (WGD).
"""

import math

import torch
from jaxtyping import Float


def function_repulsion(probabilities: Float[torch.Tensor, "m n c"], *, weight: float) -> Float[torch.Tensor, " m"]:
    """Weight times the log of the summed kernel of every member; 0 (the kernel with itself) for a single member."""
    distances = squared_distances(probabilities.flatten(1))
    return weight * log_kernel(distances, bandwidth=median_bandwidth(distances))


def squared_distances(functions: Float[torch.Tensor, "m d"]) -> Float[torch.Tensor, "m m"]:
    """Mean squared difference between each member and every other one; the others are held fixed."""
    fixed = functions.detach()
    return torch.stack([(functions - other).square().mean(dim=1) for other in fixed], dim=1)


def log_kernel(distances: Float[torch.Tensor, "m m"], *, bandwidth: float) -> Float[torch.Tensor, " m"]:
    """Log Σ_j exp(-distance / bandwidth) of every member, itself among them."""
    return torch.logsumexp(-distances / bandwidth, dim=1)


def median_bandwidth(distances: Float[torch.Tensor, "m m"]) -> float:
    """Median distance between members over log(M + 1); 1 where there is none to speak of."""
    m = len(distances)
    apart = distances.detach()[~torch.eye(m, dtype=torch.bool, device=distances.device)]
    middle = float(apart.quantile(0.5)) if m > 1 else 0.0
    return middle / math.log(m + 1) if middle > SMALLEST else 1.0


SMALLEST = 1e-12
"""Mean squared difference of probabilities below which members are the same."""

TERM = function_repulsion
