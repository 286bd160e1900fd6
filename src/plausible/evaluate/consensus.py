"""Where all raters agree and where they do not: scores that do not punish a model for what raters dispute.

Per structure an image falls into three parts: consensus foreground (every rater marks it), consensus background (no
rater does) and dissensus, the rest. Counts and sums per part; slabs add.

Sources: Riera-Marín et al. 2025 (CURVAS 2024), arXiv:2505.08685.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from plausible.core import Catalogue


@dataclass(frozen=True, slots=True)
class RaterConsensus:
    """One structure of one prediction by what the raters agree on.

    Attributes:
        foreground: voxels that every rater marks.
        background: voxels that no rater marks.
        dissensus: voxels that some raters mark.
        found: voxels of the consensus foreground in the predicted mask.
        added: voxels of the consensus background in the predicted mask.
        foreground_sum: sum of the predicted probability over the consensus foreground.
        background_sum: sum of the predicted probability over the consensus background.
    """

    foreground: int
    background: int
    dissensus: int
    found: int
    added: int
    foreground_sum: float
    background_sum: float

    @classmethod
    def of(
        cls,
        probability: Float[np.ndarray, "i j k"],
        mask: Bool[np.ndarray, "i j k"],
        raters: Sequence[Bool[np.ndarray, "i j k"]],
    ) -> "RaterConsensus":
        """Return the counts of one structure in an image or a slab."""
        every, some = np.logical_and.reduce(raters), np.logical_or.reduce(raters)
        n_every, n_some = int(np.count_nonzero(every)), int(np.count_nonzero(some))
        return cls(
            n_every,
            every.size - n_some,
            n_some - n_every,
            int(np.count_nonzero(mask & every)),
            int(np.count_nonzero(mask & ~some)),
            float(probability[every].sum(dtype=np.float64)),
            float(probability[~some].sum(dtype=np.float64)),
        )

    def join(self, *others: "RaterConsensus") -> "RaterConsensus":
        """Return the counts in the voxels of this and further slabs."""
        parts = (self, *others)
        return RaterConsensus(
            sum(part.foreground for part in parts),
            sum(part.background for part in parts),
            sum(part.dissensus for part in parts),
            sum(part.found for part in parts),
            sum(part.added for part in parts),
            sum(part.foreground_sum for part in parts),
            sum(part.background_sum for part in parts),
        )


ConsensusScore: TypeAlias = Callable[[RaterConsensus], float]

RATER_CONSENSUS_SCORES: Catalogue[ConsensusScore] = Catalogue("rater consensus score")

SOURCE = "Riera-Marín et al. 2025 (CURVAS), arXiv:2505.08685"


@RATER_CONSENSUS_SCORES.add(unit="1", higher_is="better", source=SOURCE, label="Dice outside dissensus")
def dice_outside_dissensus(consensus: RaterConsensus) -> float:
    """Dice of the prediction with the consensus foreground, where raters agree; the disputed voxels do not count.

    2 TP / (2 TP + FP + FN) over consensus foreground and background, from 0 to 1. NaN if both are empty there.
    """
    predicted = consensus.found + consensus.added
    both = predicted + consensus.foreground
    return 2 * consensus.found / both if both else math.nan


@RATER_CONSENSUS_SCORES.add(unit="1", higher_is="better", source=SOURCE, label="confidence in consensus")
def consensus_confidence(consensus: RaterConsensus) -> float:
    """How sure the model is where raters agree: mean over the two parts of what it gives to the right answer.

    ((1 - mean p in consensus background) + mean p in consensus foreground) / 2, from 0 to 1; the model that says 0.5
    everywhere gives 0.5. NaN if a part is empty.
    """
    if not consensus.foreground or not consensus.background:
        return math.nan
    present = consensus.foreground_sum / consensus.foreground
    return (1 - consensus.background_sum / consensus.background + present) / 2


@RATER_CONSENSUS_SCORES.add(unit="1", higher_is="neither", source=SOURCE, label="share disputed")
def dissensus_share(consensus: RaterConsensus) -> float:
    """Share that raters dispute of all that any of them marks, 0 to 1. NaN if nobody has the structure."""
    marked = consensus.foreground + consensus.dissensus
    return consensus.dissensus / marked if marked else math.nan
