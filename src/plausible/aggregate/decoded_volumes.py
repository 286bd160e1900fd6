"""How large is a structure? The volume to expect, beside the volumes of the masks that decoding gives.

The expected volume is the sum of the probabilities. A threshold at 0.5 or the most probable class is smaller where the
model is unsure, the Dice-optimal mask larger than that; only the expected volume is right on average if the
probabilities are (Nordström et al. 2022, arXiv:2206.06484).
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.aggregate.decoding import dice_optimal, most_probable
from plausible.core import Catalogue, Member, Score

DecodedVolume: TypeAlias = Callable[[Member], np.ndarray]

DECODED_VOLUMES: Catalogue[DecodedVolume] = Catalogue("decoded volume")


@DECODED_VOLUMES.add(unit="ml", higher_is="neither", source="expectation of a sum")
def probability_volume(pooled: Member) -> Float[np.ndarray, " s"]:
    """Volume to expect: sum of the probability times the volume of a voxel, in ml."""
    p = pooled.probabilities[1:] if pooled.classes.exclusive else pooled.probabilities
    return p.sum(axis=(1, 2, 3), dtype=np.float64) * pooled.geometry.voxel_volume_ml


@DECODED_VOLUMES.add(unit="ml", higher_is="neither", source="Nordström et al. 2022, arXiv:2206.06484")
def thresholded_volume(pooled: Member) -> Float[np.ndarray, " s"]:
    """Volume of the most probable class, or of p > 0.5 for overlapping regions, in ml."""
    return most_probable(pooled).sum(axis=(1, 2, 3)) * pooled.geometry.voxel_volume_ml


@DECODED_VOLUMES.add(unit="ml", higher_is="neither", source="Nordström et al. 2022, arXiv:2206.06484")
def dice_optimal_volume(pooled: Member) -> Float[np.ndarray, " s"]:
    """Volume of the mask with the largest expected Dice, in ml; at least that of p > 0.5 for independent voxels."""
    return dice_optimal(pooled).sum(axis=(1, 2, 3)) * pooled.geometry.voxel_volume_ml


def decoded_volume_rows(pooled: Member, *, subject: str) -> list[Score]:
    """Expected, thresholded and Dice-optimal volume of each structure, side by side; n counts voxels of the image."""
    return [
        Score(
            subject=subject,
            structure=structure,
            measure=entry.name,
            reduction=pooled.info.id,
            value=float(value),
            unit=entry.unit,
            higher_is=entry.higher_is,
            n=pooled.geometry.n_voxels,
        )
        for entry in DECODED_VOLUMES
        for structure, value in zip(pooled.classes.structures, entry.function(pooled), strict=True)
    ]
