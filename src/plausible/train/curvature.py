"""Curvature of the loss in the weights of a linear model, and how many observations its voxels are worth.

For logits η = W φ the generalised Gauss-Newton matrix of the cross-entropy equals its Hessian in W:

    H = Σ over voxels of (diag(p) - p pᵀ) ⊗ φ φᵀ  for a softmax,   diag(p (1 - p)) ⊗ φ φᵀ  for sigmoids

Voxels of one image are not independent, and H as it is would claim that they were. The score of a case, Σ (p - y) ⊗ φ
over its voxels, tells how much: were they independent, the sum J of the scores' outer products over cases would equal
H. The likelihood is therefore raised to the power r / tr(H⁻¹ J), r being the rank (magnitude adjustment of a composite
likelihood: Ribatet, Cooley & Davison 2012, arXiv:0911.5357).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

import torch
from jaxtyping import Float

from plausible.train.last_layer import Observed

FLAT = 1e-6
"""Eigenvalues of H below this share of the largest are directions that the voxels say nothing about."""


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """What the voxels of some cases say about the weights; weights are counted logit by logit.

    Attributes:
        hessian: Hessian of the summed cross-entropy.
        scores: sum of the outer products of the cases' gradients.
        total: sum of the cases' gradients; not 0, for the weights were trained with Dice too.
        cases: number of cases.
    """

    hessian: Float[torch.Tensor, "p p"]
    scores: Float[torch.Tensor, "p p"]
    total: Float[torch.Tensor, " p"]
    cases: int = 1

    @classmethod
    def of(cls, windows: Iterable[Observed], *, exclusive: bool) -> "Curvature":
        """Curvature of one case, from its windows, of which one is in memory at a time."""
        told = ((gauss_newton(w, exclusive=exclusive), gradient(w, exclusive=exclusive)) for w in windows)
        hessian, score = reduce(lambda a, b: (a[0] + b[0], a[1] + b[1]), told)
        return cls(hessian, torch.outer(score, score), score)

    def merge(self, other: "Curvature") -> "Curvature":
        """Curvature of both sets of cases."""
        return Curvature(
            self.hessian + other.hessian,
            self.scores + other.scores,
            self.total + other.total,
            self.cases + other.cases,
        )

    @property
    def spread(self) -> Float[torch.Tensor, "p p"]:
        """Scores about their mean, as if it were known: J of so many cases."""
        if self.cases == 1:
            return self.scores
        about = self.scores - torch.outer(self.total, self.total) / self.cases
        return about * self.cases / (self.cases - 1)

    def likelihood_weight(self) -> float:
        """Power of the likelihood that makes up for voxels that depend on each other, at most 1."""
        values, vectors = torch.linalg.eigh(self.hessian)
        told = values > FLAT * values[-1]
        along = ((vectors.T @ self.spread) * vectors.T).sum(dim=1)
        return min(1.0, float(told.sum() / (along[told] / values[told]).sum()))


def probabilities_of(logits: Float[torch.Tensor, "... c"], *, exclusive: bool) -> Float[torch.Tensor, "... c"]:
    """Softmax over the last axis, or a sigmoid of each."""
    return torch.softmax(logits, dim=-1) if exclusive else torch.sigmoid(logits)


def gauss_newton(seen: Observed, *, exclusive: bool) -> Float[torch.Tensor, "p p"]:
    """Hessian of the summed cross-entropy, in float64."""
    p = probabilities_of(seen.logits, exclusive=exclusive)
    classes, features = p.shape[1], seen.features.shape[1]
    hessian = torch.zeros(classes, features, classes, features, dtype=torch.float64, device=p.device)
    for a in range(classes):
        for b in range(a + 1) if exclusive else (a,):
            spread = p[:, a] * ((1.0 if a == b else 0.0) - p[:, b]) if exclusive else p[:, a] * (1 - p[:, a])
            block = (seen.features * (spread * seen.share)[:, None]).T @ seen.features
            hessian[a, :, b], hessian[b, :, a] = block.double(), block.T.double()
    return hessian.reshape(classes * features, classes * features)


def gradient(seen: Observed, *, exclusive: bool) -> Float[torch.Tensor, " p"]:
    """Gradient of the summed cross-entropy, in float64."""
    residual = (probabilities_of(seen.logits, exclusive=exclusive) - seen.targets) * seen.share[:, None]
    return (residual.T @ seen.features).double().flatten()
