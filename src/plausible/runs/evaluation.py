"""What evaluation.json holds of a case: its rows, the bins that a cohort pools, and the reference's volumes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plausible.core import Score
from plausible.evaluate import ENSEMBLE, CaseReliability, ReliabilityBins, of_primary


@dataclass(frozen=True, slots=True, eq=False)
class EvaluatedCase:
    """One case against its references.

    Attributes:
        rows: scores of members, ensemble and raters against each reference, and what needs none: agreement and volumes.
        reliability: bins of each segmentation.
        reference_ml: volume of each structure, mean over the raters.
        references: files of the first rater, relative to the run's folder.
        key: hash of version, inputs and settings.
    """

    subject: str
    rows: tuple[Score, ...]
    reliability: tuple[CaseReliability, ...]
    reference_ml: Mapping[str, float]
    references: tuple[str, ...]
    provenance: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "subject": self.subject,
            "rows": [row.to_dict() for row in self.rows],
            "reliability": [_bins_to_dict(one) for one in self.reliability],
            "reference_ml": dict(self.reference_ml),
            "references": list(self.references),
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "EvaluatedCase":
        """Read what `to_dict` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(
            content["subject"],
            tuple(row_from_dict(row) for row in content["rows"]),
            tuple(_bins_from_dict(content["subject"], one) for one in content["reliability"]),
            content["reference_ml"],
            tuple(content["references"]),
            content["provenance"],
        )

    def headline(self, structure: str) -> dict[str, float | None]:
        """Scores of the ensemble that a table of structures shows, against the first choice of reference."""
        found: dict[str, list[float]] = {}
        for row in of_primary(self.rows):
            wanted = row.structure == structure and row.reduction == ENSEMBLE and row.measure in HEADLINES
            if wanted:
                found.setdefault(_column(row), []).append(row.value)
        return {name: _mean(values) for name, values in found.items()}


HEADLINES: Mapping[str, str] = {
    "dice": "dice",
    "normalized_surface_dice": "nsd",
    "hausdorff_distance_95": "hd95_mm",
}
"""Scores shown per structure, by the name of their column; a tolerance is added to it."""


def _column(row: Score) -> str:
    return HEADLINES[row.measure] + row.region.removeprefix("tolerance")


def _mean(values: Sequence[float]) -> float | None:
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else None


def row_from_dict(content: Mapping[str, Any]) -> Score:
    """Read what `Score.to_dict` wrote."""
    return Score(**{**content, "value": float("nan") if content["value"] is None else content["value"]})


def _bins_to_dict(one: CaseReliability) -> dict[str, Any]:
    return {
        "structure": one.structure,
        "region": one.region,
        "reduction": one.reduction,
        "against": one.against,
        "count": one.bins.count.tolist(),
        "confidence_sum": one.bins.confidence_sum.tolist(),
        "correct_sum": one.bins.correct_sum.tolist(),
    }


def _bins_from_dict(subject: str, content: Mapping[str, Any]) -> CaseReliability:
    bins = ReliabilityBins(
        np.asarray(content["count"], dtype=np.int64),
        np.asarray(content["confidence_sum"], dtype=np.float64),
        np.asarray(content["correct_sum"], dtype=np.float64),
    )
    where = (content["structure"], content["region"], content["reduction"], content["against"])
    return CaseReliability(subject, *where, bins)
