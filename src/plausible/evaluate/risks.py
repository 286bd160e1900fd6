"""How bad is the segmentation of a case, as one number that is higher for worse? What confidences are judged by.

Each is made of one score of the ensemble, against the first choice of reference. A missed structure has no distance:
HD95 leaves such cases out and counts them; read it beside 1 - Dice.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from plausible.core import Catalogue, Score
from plausible.evaluate.case import ENSEMBLE
from plausible.evaluate.references import primary_kind, reference_kind

Risk: TypeAlias = Callable[[float], float]

RISKS: Catalogue[Risk] = Catalogue("risk")
RISK_MEASURES: Mapping[str, str] = {
    "dice_loss": "dice",
    "surface_dice_loss": "normalized_surface_dice",
    "hausdorff_distance_95": "hausdorff_distance_95",
    "absolute_volume_error": "absolute_volume_difference_ml",
}
"""Score of the ensemble that each risk is made of."""


@RISKS.add(unit="1", higher_is="worse", source="1 - Dice", label="1 - Dice")
def dice_loss(value: float) -> float:
    """1 - Dice, from 0 to 1."""
    return 1 - value


@RISKS.add(unit="1", higher_is="worse", source="1 - NSD", label="1 - NSD")
def surface_dice_loss(value: float) -> float:
    """1 - normalized surface Dice, from 0 to 1, at the tolerance of the evaluation."""
    return 1 - value


@RISKS.add(unit="mm", higher_is="worse", source="Huttenlocher et al. 1993", label="HD95")
def hausdorff_distance_95(value: float) -> float:
    """95 % Hausdorff distance in mm; undefined where a structure is missed, so that such cases are left out."""
    return value


@RISKS.add(unit="ml", higher_is="worse", source="absolute difference", label="volume error")
def absolute_volume_error(value: float) -> float:
    """Absolute difference of the volumes in ml."""
    return value


@dataclass(frozen=True, slots=True, eq=False)
class CaseRisks:
    """Scores of the ensemble that risks are made of, a case's raters averaged.

    Attributes:
        values: by structure and measure, of each subject.
        against: choice of reference that they were taken against.
    """

    values: Mapping[tuple[str, str], Mapping[str, float]]
    against: str

    @classmethod
    def of(cls, rows: Sequence[Score]) -> "CaseRisks":
        """Read the scores of all cases."""
        scored = [row for row in rows if row.against]
        first = primary_kind(scored)
        found: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        for row in scored:
            known = row.measure in RISK_MEASURES.values() and row.reduction == ENSEMBLE
            if known and reference_kind(row.against) == first:
                found[row.structure, row.measure][row.subject].append(row.value)
        means = {key: {subject: _mean(values) for subject, values in table.items()} for key, table in found.items()}
        return cls(means, first)

    def risks(self, name: str, *, structure: str) -> dict[str, float]:
        """Risk of each subject; for the structure "" the mean over its structures."""
        scores = self._scores(structure, RISK_MEASURES[name])
        return {subject: RISKS[name].function(value) for subject, value in scores.items()}

    def _scores(self, structure: str, measure: str) -> Mapping[str, float]:
        if structure:
            return self.values.get((structure, measure), {})
        found: dict[str, list[float]] = defaultdict(list)
        for (_, own), table in self.values.items():
            if own == measure:
                for subject, value in table.items():
                    found[subject].append(value)
        return {subject: _mean(values) for subject, values in found.items()}


def _mean(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return math.fsum(defined) / len(defined) if defined else math.nan
