"""Settings of the diversity among members, in one frozen record that is written into the model where it is used."""

import math
from dataclasses import dataclass
from typing import Any

from plausible.train.diversity_objectives import (
    DIVERSITY_OBJECTIVES,
    DiversityAt,
    DiversityImages,
    DiversityName,
    DiversityObjective,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversitySettings:
    """How members are made to differ, beyond their seeds, data and recipes.

    Attributes:
        diversity: objective that makes members differ; "none" trains each for itself.
        diversity_weight: weight of the objective; 0 switches it off, below 0 pulls members together (negative
            correlation), None takes the objective's.
        diversity_at: voxels on which members are to differ: near a boundary, or all.
        boundary_mm: how near to a boundary, along each axis.
        diversity_images: images on which members are to differ: those trained on, the same with artefacts or with
            their parts shuffled, or images of --unlabelled.
        last_layer_iterations: optimiser steps of repulsive last layers, after those of the network.
    """

    diversity: DiversityName = "none"
    diversity_weight: float | None = None
    diversity_at: DiversityAt | None = None
    boundary_mm: float = 5.0
    diversity_images: DiversityImages | None = None
    last_layer_iterations: int = 200

    def __post_init__(self) -> None:
        weight = self.diversity_weight
        if weight is not None and not math.isfinite(weight):
            raise ValueError(f"diversity_weight must be a number, got {weight}")
        if weight is not None and weight < 0 and self.diversity != "negative_correlation":
            raise ValueError(f"diversity_weight below 0 is of negative_correlation only, got {weight}")
        if self.boundary_mm <= 0 or self.last_layer_iterations < 1:
            raise ValueError("boundary_mm must be above 0 and last_layer_iterations at least 1")
        if self.diversity == "none" and (weight, self.diversity_at, self.diversity_images) != (None, None, None):
            raise ValueError("these settings need an objective (--diversity)")
        if self.diversity == "last_layer_repulsion" and self.diversity_images == "training":
            raise ValueError(
                "last layers repel each other on shifted, shuffled or unlabelled images, never on training"
            )
        if self.diversity == "orthogonal_filters" and (self.diversity_at or self.diversity_images):
            raise ValueError("orthogonal filters are a matter of weights: no voxels and no images")

    @property
    def used(self) -> bool:
        """Whether members are made to differ."""
        return self.diversity != "none"

    @property
    def objective(self) -> DiversityObjective:
        """The objective in the table."""
        return DIVERSITY_OBJECTIVES[self.diversity]

    @property
    def weight(self) -> float:
        """Weight of the objective."""
        return self.objective.weight if self.diversity_weight is None else self.diversity_weight

    @property
    def at(self) -> DiversityAt:
        """Voxels on which members are to differ."""
        return self.diversity_at or self.objective.at

    @property
    def images(self) -> DiversityImages:
        """Images on which members are to differ."""
        return self.diversity_images or self.objective.images

    @property
    def asked(self) -> dict[str, Any]:
        """What decides the members, defaults filled in and nothing that has no say; empty where it is not used."""
        if not self.used:
            return {}
        told: dict[str, Any] = {"diversity": self.diversity, "diversity_weight": self.weight}
        if self.objective.how == "in sequence":
            return told
        told |= {"diversity_at": self.at, "diversity_images": self.images}
        told |= {"boundary_mm": self.boundary_mm} if self.at == "boundary" else {}
        steps = {"last_layer_iterations": self.last_layer_iterations}
        return {**told, **steps} if self.objective.how == "last layers" else told
