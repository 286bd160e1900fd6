"""What calibration keeps of one case: rows and two short curves per structure, never voxels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from plausible.calibrate import MarginCurve, ThresholdCounts, margin_curve, threshold_counts
from plausible.core import Case, Member, Members, Score
from plausible.evaluate import ENSEMBLE, evaluate_case
from plausible.measure import default_slab_voxels
from plausible.runs.assess_case import Assessment, assess_members, volume_ml
from plausible.runs.settings import AssessSettings, EvaluateSettings

SEGMENTED = "segmented_volume"
"""Volume of the written segmentation; the members' own volumes are rows of `aggregate`."""

REFERENCE = "reference_volume"


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationCase:
    """One case of a calibration set.

    Attributes:
        rows: what assessment and evaluation say of the case.
        counts: per structure, voxels inside and outside the reference at every threshold of the mean probability.
        margins: per structure, the share of the reference that margins around the segmentation hold.
        key: hash of version, inputs and settings.
    """

    subject: str
    rows: tuple[Score, ...]
    counts: tuple[ThresholdCounts, ...]
    margins: tuple[MarginCurve, ...]
    key: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "subject": self.subject,
            "key": self.key,
            "rows": [row.to_dict() for row in self.rows],
            "thresholds": _numbers(self.counts[0].thresholds) if self.counts else [],
            "counts": [
                {
                    "structure": one.structure,
                    "voxel_volume_ml": one.voxel_volume_ml,
                    "inside": one.inside.tolist(),
                    "outside": one.outside.tolist(),
                }
                for one in self.counts
            ],
            "margins_mm": _numbers(self.margins[0].margins_mm) if self.margins else [],
            "margins": [
                {"structure": one.structure, "covered": _numbers(one.covered), "spilled": _numbers(one.spilled)}
                for one in self.margins
            ],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "CalibrationCase":
        """Read what `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        subject, thresholds = str(content["subject"]), _array(content["thresholds"])
        counts = [
            ThresholdCounts(
                subject=subject,
                structure=one["structure"],
                thresholds=thresholds,
                inside=np.asarray(one["inside"], dtype=np.int64),
                outside=np.asarray(one["outside"], dtype=np.int64),
                voxel_volume_ml=float(one["voxel_volume_ml"]),
            )
            for one in content["counts"]
        ]
        grid = _array(content["margins_mm"])
        margins = [
            MarginCurve(subject, one["structure"], grid, _array(one["covered"]), _array(one["spilled"]))
            for one in content["margins"]
        ]
        rows = tuple(Score(**{**row, "value": _number(row["value"])}) for row in content["rows"])
        return cls(subject, rows, tuple(counts), tuple(margins), str(content["key"]))


def calibration_case(case: Case, *, scoring: EvaluateSettings, key: str) -> CalibrationCase:
    """Measure one case of a calibration set against its first reference.

    Raises:
        InvalidInput: what the readers of members and reference find.
    """
    members, raters = case.members(), case.raters()
    assert raters is not None, f"{case.subject} was chosen for its reference"
    one = replace(raters, sources=raters.sources[:1])
    found = assess_members(members, AssessSettings())
    scored = evaluate_case(
        members,
        one,
        tolerance_mm=scoring.tolerance_mm,
        slab_voxels=default_slab_voxels(members),
        subject=case.subject,
    )
    (truth,) = one
    rows = [
        *(row for row in found.rows if row.reduction in KEPT_REDUCTIONS),
        *(row for row in scored.rows if row.reduction == ENSEMBLE),
        *segmented_volumes(found, case.subject),
        *_reference_volumes(truth, one, case.subject),
    ]
    counts = threshold_counts(members, one)
    return CalibrationCase(case.subject, tuple(rows), counts, _margins(found, truth, case.subject), key)


KEPT_REDUCTIONS = ("", "mean", f"middle_{100 * AssessSettings().interval_level:g}")
"""Numbers of a case, means over a region, and the interval of the members' volumes."""


def segmented_volumes(found: Assessment, subject: str) -> list[Score]:
    """Volume of each structure of the written segmentation, as rows."""
    volumes = [volume_ml(mask, found.members.geometry) for mask in found.masks.predicted]
    return _volume_rows(SEGMENTED, found.volumes.structures, volumes, subject, n=len(found.members))


def _reference_volumes(truth: Member, raters: Members, subject: str) -> list[Score]:
    masks = raters.classes.masks(truth.probabilities)
    volumes = [volume_ml(mask, raters.geometry) for mask in masks]
    return _volume_rows(REFERENCE, raters.classes.structures, volumes, subject, n=1, against=truth.info.id)


def _volume_rows(
    measure: str, structures: Sequence[str], volumes: Sequence[float], subject: str, *, n: int, against: str = ""
) -> list[Score]:
    return [
        Score(
            subject=subject,
            structure=structure,
            measure=measure,
            value=value,
            unit="ml",
            higher_is="neither",
            n=n,
            against=against,
        )
        for structure, value in zip(structures, volumes, strict=True)
    ]


def _margins(found: Assessment, truth: Member, subject: str) -> tuple[MarginCurve, ...]:
    classes = found.members.classes
    pairs = zip(classes.structures, found.masks.predicted, classes.masks(truth.probabilities), strict=True)
    spacing = found.members.geometry.spacing_mm
    return tuple(
        margin_curve(prediction, reference, spacing_mm=spacing, subject=subject, structure=structure)
        for structure, prediction, reference in pairs
    )


def _numbers(values: np.ndarray) -> list[float | str]:
    """Numbers as JSON has them: infinity and NaN as text."""
    return [value if np.isfinite(value) else str(value) for value in values.tolist()]


def _array(values: Sequence[float | str]) -> np.ndarray:
    return np.array([float(value) for value in values], dtype=np.float64)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
