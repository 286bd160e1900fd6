"""Negative correlation learning: members are rewarded for lying away from the mean prediction.

    loss of member m = ℓ(p_m, y) - λ ‖p_m - p̄‖²

With the squared error as ℓ (`--loss brier`) on the same voxels, the mean over members of this loss is

    λ = 0:  the mean squared error of the members, each for itself
    λ = 1:  the squared error of the mean prediction, as (1/M) Σ ‖p_m - y‖² - (1/M) Σ ‖p_m - p̄‖² = ‖p̄ - y‖²
    λ < 0:  members are pulled towards their mean

Above 1 nothing holds the members back. Gradients flow through p̄; the sum over members has the same gradient without,
as the deviations from a mean sum to 0.

Source: Liu & Yao 1999, doi:10.1016/S0893-6080(99)00073-8; Brown et al. 2005; Buschjäger et al. 2020, arXiv:2011.02952.
"""

import torch
from jaxtyping import Float


def negative_correlation(probabilities: Float[torch.Tensor, "m n c"], *, weight: float) -> Float[torch.Tensor, " m"]:
    """-λ ‖p_m - p̄‖² of every member, mean over voxels; 0 for a single member."""
    away = probabilities - probabilities.mean(dim=0)
    return -weight * away.square().sum(dim=-1).mean(dim=-1)


TERM = negative_correlation
