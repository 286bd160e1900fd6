"""What the study of the conformal family reads: one structure of every patient, and random splits of the patients."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plausible.calibrate import LossCurve, MarginCurve, ThresholdCounts, loss_curve
from plausible.core import Score
from plausible.runs.calibration_case import CalibrationCase
from plausible.runs.calibration_features import REGION

NUMBERS = ("", "ensemble", "middle_90")
"""Reductions of the rows that are one number of a structure: of the case, against the reference, of the members."""


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """One structure of every patient, each looked up by the patient's name.

    Attributes:
        rows: by measure and subject; entropies are means inside the predicted structure.
        counts: voxels inside and outside the reference at every threshold.
        missed: share of the reference missed at every threshold.
        margins: share of the reference inside every margin.
    """

    structure: str
    subjects: tuple[str, ...]
    rows: Mapping[str, Mapping[str, Score]]
    counts: Mapping[str, ThresholdCounts]
    missed: Mapping[str, LossCurve]
    margins: Mapping[str, MarginCurve]

    def column(self, measure: str, subjects: Sequence[str]) -> list[Score]:
        """Rows of a measure, one per subject."""
        return [self.rows[measure][subject] for subject in subjects]

    def values(self, measure: str, subjects: Sequence[str]) -> np.ndarray:
        """Numbers of a measure, one per subject."""
        return np.array([row.value for row in self.column(measure, subjects)])


@dataclass(frozen=True, slots=True)
class Split:
    """Patients to calibrate on, and patients to test."""

    calibration: tuple[str, ...]
    test: tuple[str, ...]
    seed: int


def cohorts(cases: Sequence[CalibrationCase]) -> list[Cohort]:
    """Return the structures of the measured cases."""
    structures = list(dict.fromkeys(one.structure for case in cases for one in case.counts))
    return [_cohort(structure, cases) for structure in structures]


def random_splits(subjects: Sequence[str], *, n_calibration: int, repeats: int, seed: int) -> list[Split]:
    """Draw the calibration patients again and again; all others are test patients.

    Raises:
        ValueError: nobody would be left to calibrate on or to test.
    """
    if not 0 < n_calibration < len(subjects):
        raise ValueError(f"{n_calibration} calibration patients of {len(subjects)} leave nobody on one side")
    rng = np.random.default_rng(seed)
    splits = []
    for number in range(repeats):
        drawn = [subjects[place] for place in rng.permutation(len(subjects))]
        splits.append(Split(tuple(drawn[:n_calibration]), tuple(drawn[n_calibration:]), number))
    return splits


def _cohort(structure: str, cases: Sequence[CalibrationCase]) -> Cohort:
    counts = {case.subject: one for case in cases for one in case.counts if one.structure == structure}
    rows: dict[str, dict[str, Score]] = {}
    for row in (row for case in cases for row in case.rows if row.structure == structure):
        inside = row.region == REGION and row.reduction == "mean"
        if inside or (not row.region and row.reduction in NUMBERS):
            rows.setdefault(row.measure, {})[row.subject] = row
    return Cohort(
        structure=structure,
        subjects=tuple(sorted(counts)),
        rows=rows,
        counts=counts,
        missed={subject: loss_curve(one, loss="false_negative_rate") for subject, one in counts.items()},
        margins={case.subject: one for case in cases for one in case.margins if one.structure == structure},
    )
