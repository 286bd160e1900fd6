"""What a validation study keeps of a test image: rows of the members, scores of their mean, voxels by each map."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plausible.aggregate import AggregationSettings, chosen_reductions
from plausible.core import LabelMap, Members, ScalarMap, Score, collect
from plausible.evaluate import ENSEMBLE, ambiguity_rows, check_comparable, evaluate_case, rater_entropy
from plausible.measure import VoxelStatistics
from plausible.runs.assess_case import PROBABILITY, Assessment, assess_members
from plausible.runs.evaluation import row_from_dict
from plausible.runs.settings import AssessSettings
from plausible.validate import UncertaintyLevels
from plausible.validate.separation import AGREE, DIFFER, DISTANCE, NAT, RATER_ENTROPY


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseSettings:
    """What is measured of a test image.

    Attributes:
        measures: maps that are judged.
        aggregations: how they become numbers.
        tolerance_mm: of the normalized surface Dice against references.
        agreement_tolerance_mm: of the one between members; None leaves it out.
    """

    measures: tuple[str, ...]
    aggregations: tuple[str, ...]
    tolerance_mm: float
    agreement_tolerance_mm: float | None


@dataclass(frozen=True, slots=True, eq=False)
class CaseValues:
    """Everything that tasks read of one test image.

    Attributes:
        rows: of the members (no `against`), and of their mean against each rater.
        levels: voxels by the value of each map, and how many are labelled right; every rater counts.
    """

    rows: tuple[Score, ...]
    levels: Mapping[str, UncertaintyLevels]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "levels": {
                name: {"upper": one.upper, "count": one.count.tolist(), "correct": one.correct.tolist()}
                for name, one in self.levels.items()
            },
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "CaseValues":
        """Read what `to_dict` wrote.

        Raises:
            KeyError, TypeError: it is something else.
        """
        return cls(
            tuple(map(row_from_dict, content["rows"])),
            {
                name: UncertaintyLevels(
                    one["upper"], np.asarray(one["count"], dtype=np.int64), np.asarray(one["correct"], dtype=np.int64)
                )
                for name, one in content["levels"].items()
            },
        )


def case_values(members: Members, raters: Members, settings: CaseSettings, *, subject: str) -> CaseValues:
    """Measure one test image.

    Args:
        members: the predictions.
        raters: the references, on the same grid and with the same classes.
        settings: what is measured.
        subject: name for the rows.

    Raises:
        InvalidInput: what the readers of members and references find; E103, other classes or another order of them;
            E201 or E202, different grids.
    """
    check_comparable(members, raters)
    found = assess_members(
        members,
        AssessSettings(
            maps=settings.measures,
            aggregations=settings.aggregations,
            agreement_tolerance_mm=settings.agreement_tolerance_mm,
        ),
    )
    maps = {one.name: one for one in found.maps}
    judged = [maps[name] for name in settings.measures]
    rows = [row for row in found.rows if row.measure not in maps or _asked(row, settings)]
    rows += _accuracy(maps[PROBABILITY], raters, tolerance_mm=settings.tolerance_mm, subject=subject)
    if len(raters) > 1:
        rows += ambiguity_rows(members, raters, subject=subject)
        rows += _separation(judged, raters, subject=subject)
    return CaseValues(tuple(rows), {one.name: _levels(one, found, raters) for one in judged})


def _asked(row: Score, settings: CaseSettings) -> bool:
    """Whether a row is of a map and an aggregation that the study names; names of rows may end with a setting."""
    asked = chosen_reductions(settings.aggregations, AggregationSettings())
    return row.measure in settings.measures and any(
        row.region.startswith(region) and any(row.reduction.startswith(name) for name in names)
        for region, names in asked.items()
    )


def _accuracy(mean: ScalarMap, raters: Members, *, tolerance_mm: float, subject: str) -> list[Score]:
    """Scores of the mean of the members against each rater."""
    pooled = Members.from_arrays([mean.values], geometry=mean.geometry, classes=raters.classes, subject=subject)
    scored = evaluate_case(pooled, raters, tolerance_mm=tolerance_mm, subject=subject)
    return [row for row in scored.rows if row.reduction == ENSEMBLE]


def _separation(maps: Sequence[ScalarMap], raters: Members, *, subject: str) -> Iterator[Score]:
    """Mean of each map, and of the raters' entropy, where raters differ and where they agree; and how far apart."""
    entropy = rater_entropy(collect(raters, VoxelStatistics)[VoxelStatistics])
    differ = entropy > 0
    against = f"{len(raters)}_raters"
    fitting = [one for one in maps if one.values.shape == entropy.shape]
    told = {RATER_ENTROPY: (entropy, NAT), **{one.name: (one.values, one.unit) for one in fitting}}
    for name, (values, unit) in told.items():
        named = {"subject": subject, "unit": unit, "against": against}
        for region, where in ((DIFFER, differ), (AGREE, ~differ)):
            yield _row(name, values[where], region=region, reduction="mean", **named)
        if name != RATER_ENTROPY and unit == NAT:
            yield _row(DISTANCE, np.abs(values - entropy).ravel(), region="whole_image", reduction=name, **named)


def _row(
    measure: str, values: np.ndarray, *, subject: str, unit: str, region: str, reduction: str, against: str
) -> Score:
    known = values[~np.isnan(values)]
    return Score(
        subject=subject,
        measure=measure,
        value=float(known.mean(dtype=np.float64)) if known.size else float("nan"),
        unit=unit,
        higher_is="neither",
        n=int(known.size),
        region=region,
        reduction=reduction,
        against=against,
    )


def _levels(one: ScalarMap, found: Assessment, raters: Members) -> UncertaintyLevels:
    """Voxels by the value of a map; a voxel counts once for each rater."""
    parts = [
        UncertaintyLevels.of(one.values, _right(one, found.segmentation, rater.probabilities), upper=one.valid_range[1])
        for rater in raters
    ]
    return parts[0].merge(*parts[1:])


def _right(one: ScalarMap, segmentation: LabelMap, truth: np.ndarray) -> np.ndarray:
    """Whether each voxel is labelled as by the rater, in each frame of the map."""
    predicted = segmentation.classes.encode(segmentation.values)
    if len(one.frames) == 1:
        return np.asarray((predicted == truth).all(axis=0, keepdims=True))
    return np.asarray(predicted[-len(one.frames) :] == truth[-len(one.frames) :])
