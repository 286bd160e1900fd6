"""What couples members that are trained at once: their probabilities on a set of voxels, and a term for each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float

from plausible.train.diversity_objectives import DiversityAt
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.job import EnsembleJob
from plausible.train.network import to_probabilities
from plausible.train.plan import Plan

Term: TypeAlias = Callable[..., torch.Tensor]
"""`term(probabilities m n c, weight=...)` returns one number a member."""


@dataclass(frozen=True, slots=True)
class Coupling:
    """A term on voxels.

    Attributes:
        reach: how many voxels from a boundary count as near, along each axis.
    """

    term: Term
    weight: float
    at: DiversityAt
    reach: tuple[int, int, int]
    exclusive: bool

    @classmethod
    def of(cls, job: EnsembleJob) -> "Coupling":
        """Return the coupling that a training asks for."""
        first, asked = job.members[0], job.diversity
        reach = reach_of(first.plan, asked)
        return cls(asked.objective.load(), asked.weight, asked.at, reach, first.classes.exclusive)

    def __call__(self, logits: Sequence[torch.Tensor], masks: torch.Tensor | None) -> Float[torch.Tensor, " m"]:
        """Term of every member from their logits `b c x y z`; 0 where no voxel is meant.

        Args:
            logits: of every member; where there are several heads, `b h c x y z`, the finest counts.
            masks: structures `b c x y z`; None takes those of the mean prediction.
        """
        found = [to_probabilities(finest(one), exclusive=self.exclusive) for one in logits]
        places = self._places(found, masks)
        if not bool(places.any()):
            return torch.zeros(len(found), device=places.device)
        return self.term(torch.stack([p.movedim(1, -1)[places] for p in found]), weight=self.weight)

    def _places(self, probabilities: Sequence[torch.Tensor], masks: torch.Tensor | None) -> torch.Tensor:
        if self.at == "all":
            return torch.ones_like(probabilities[0][:, 0], dtype=torch.bool)
        if masks is None:
            masks = segmentation(torch.stack([p.detach() for p in probabilities]).mean(dim=0), exclusive=self.exclusive)
        return boundary_band(masks, reach=self.reach)


def reach_of(plan: Plan, asked: DiversitySettings) -> tuple[int, int, int]:
    """Voxels along each axis that are as far as the band is wide."""
    i, j, k = (max(1, round(asked.boundary_mm / spacing)) for spacing in plan.spacing_mm)
    return i, j, k


def finest(logits: torch.Tensor) -> torch.Tensor:
    """Logits of the finest of several heads."""
    return logits[:, 0] if logits.ndim == 6 else logits


def segmentation(
    probabilities: Float[torch.Tensor, "b c x y z"], *, exclusive: bool
) -> Float[torch.Tensor, "b c x y z"]:
    """Masks: the likeliest of exclusive classes, or every region above one half."""
    if not exclusive:
        return (probabilities > 0.5).float()
    likeliest = torch.nn.functional.one_hot(probabilities.argmax(dim=1), probabilities.shape[1])
    return likeliest.movedim(-1, 1).float()


def boundary_band(
    masks: Float[torch.Tensor, "b c x y z"], *, reach: tuple[int, int, int]
) -> Bool[torch.Tensor, "b x y z"]:
    """Voxels with both sides of a boundary within reach, in a box around them."""
    outer, inner = masks, -masks
    for axis, steps in enumerate(reach):
        size, room = [1, 1, 1], [0, 0, 0]
        size[axis], room[axis] = 2 * steps + 1, steps
        outer, inner = (torch.nn.functional.max_pool3d(m, tuple(size), 1, tuple(room)) for m in (outer, inner))
    return (outer != -inner).any(dim=1)
