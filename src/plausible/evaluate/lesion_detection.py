"""Are the lesions found? Components of the predicted mask against those of the reference.

Which voxels make one lesion is told (6, 18 or 26 neighbours), and so is when two lesions match; both stand in `region`:

- "lesions_26:any_overlap": they share a voxel. One component may find several lesions, and several may find one.
- "lesions_26:iou_0.5": their IoU is at least 0.5; each lesion has one partner at most. Above 0.5 partners are unique;
  at 0.5 and below they are those that make most pairs, and of these the ones with the largest sum of IoU.

An empty reference has no sensitivity and an empty prediction no precision (NaN); their false positives are counted all
the same. The lesions of all cases together (`pool`) give the micro average, means over cases the macro average.

Sources: Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z (matching and the four scores).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64, Integer
from scipy.optimize import linear_sum_assignment

from plausible.aggregate import connected_components
from plausible.core import Catalogue, Entry, Members, Score, walk
from plausible.evaluate.bootstrap import Estimate, bootstrap_units
from plausible.evaluate.case import ENSEMBLE
from plausible.evaluate.references import reference_kind
from plausible.measure import VoxelStatistics, mean_probability

SOURCE = "Maier-Hein et al. 2024, doi:10.1038/s41592-023-02151-z"


@dataclass(frozen=True, slots=True)
class LesionDetection:
    """Lesions of one case and structure, or of many.

    Attributes:
        n_reference: lesions of the reference.
        n_predicted: lesions of the prediction.
        n_found: lesions of the reference that match one of the prediction.
        n_true: lesions of the prediction that match one of the reference.
        n_cases: cases that were counted.
    """

    n_reference: int
    n_predicted: int
    n_found: int
    n_true: int
    n_cases: int = 1

    def pool(self, *others: "LesionDetection") -> "LesionDetection":
        """Return the lesions of this and other cases together."""
        parts = (self, *others)
        return LesionDetection(
            sum(one.n_reference for one in parts),
            sum(one.n_predicted for one in parts),
            sum(one.n_found for one in parts),
            sum(one.n_true for one in parts),
            sum(one.n_cases for one in parts),
        )


def lesion_detection(
    prediction: Bool[np.ndarray, "i j k"],
    reference: Bool[np.ndarray, "i j k"],
    *,
    connectivity: int,
    min_iou: float | None = None,
) -> LesionDetection:
    """Match the lesions of two masks.

    Args:
        prediction: mask of a structure.
        reference: the true mask.
        connectivity: neighbours that make one lesion: 6 (faces), 18 (edges) or 26 (corners).
        min_iou: IoU from which two lesions match, one to one; None matches whatever shares a voxel.

    Raises:
        ValueError: another connectivity, or an IoU that is not above 0 and at most 1.
    """
    check_iou(min_iou)
    ours = connected_components(prediction, connectivity=connectivity)
    theirs = connected_components(reference, connectivity=connectivity)
    n, m = len(theirs.voxels), len(ours.voxels)
    both = prediction & reference
    pairs = (theirs.labels[both].astype(np.int64) - 1) * max(m, 1) + ours.labels[both] - 1
    touching, shared = np.unique(pairs, return_counts=True)
    lesion, component = np.divmod(touching, max(m, 1))
    if min_iou is not None:
        iou = shared / (theirs.voxels[lesion] + ours.voxels[component] - shared)
        matched = _partners(lesion, component, iou, (n, m), min_iou)
        return LesionDetection(n, m, matched, matched)
    return LesionDetection(n, m, len(np.unique(lesion)), len(np.unique(component)))


def check_iou(min_iou: float | None) -> None:
    """Refuse an IoU that cannot be a threshold.

    Raises:
        ValueError: it is not above 0 and at most 1.
    """
    if min_iou is not None and not 0 < min_iou <= 1:
        raise ValueError(f"the IoU from which lesions match must be above 0 and at most 1, got {min_iou}")


LesionDetectionScore: TypeAlias = Callable[[LesionDetection], float]

LESION_DETECTION_SCORES: Catalogue[LesionDetectionScore] = Catalogue("lesion detection score")


@LESION_DETECTION_SCORES.add(unit="1", higher_is="better", source=SOURCE)
def lesion_sensitivity(lesions: LesionDetection) -> float:
    """Share of the reference's lesions that are found, 0 to 1; NaN if the reference has none."""
    return lesions.n_found / lesions.n_reference if lesions.n_reference else math.nan


@LESION_DETECTION_SCORES.add(unit="1", higher_is="better", source=SOURCE)
def lesion_precision(lesions: LesionDetection) -> float:
    """Share of the predicted lesions that are true, 0 to 1; NaN if none is predicted."""
    return lesions.n_true / lesions.n_predicted if lesions.n_predicted else math.nan


@LESION_DETECTION_SCORES.add(unit="1", higher_is="better", source=SOURCE, label="lesion F1")
def lesion_f1(lesions: LesionDetection) -> float:
    """(found + true) / (lesions of both), 0 to 1: 2 TP / (2 TP + FP + FN) where lesions match one to one.

    0 if only one side has lesions; NaN if neither has.
    """
    n = lesions.n_reference + lesions.n_predicted
    return (lesions.n_found + lesions.n_true) / n if n else math.nan


@LESION_DETECTION_SCORES.add(unit="lesions", higher_is="worse", source=SOURCE)
def lesion_false_positives(lesions: LesionDetection) -> float:
    """Predicted lesions without a match, per case; 0 if none is predicted, whatever the reference has."""
    return (lesions.n_predicted - lesions.n_true) / lesions.n_cases


def lesion_detection_rows(
    members: Members,
    references: Members,
    *,
    connectivity: int,
    min_iou: float | None = None,
    subject: str = "",
    slab_voxels: int | None = None,
) -> list[Score]:
    """Match the lesions of the members' mean with those of every reference, structure by structure.

    Args:
        members: the predictions; one is in memory at a time.
        references: on the same grid and with the same classes.
        connectivity: neighbours that make one lesion: 6, 18 or 26.
        min_iou: IoU from which two lesions match; None matches whatever shares a voxel.
        subject: name for the rows; the members' own if empty.
        slab_voxels: pool the members in slabs of about this many voxels.

    Returns:
        Rows; n counts the lesions that the score divides by, for false positives those predicted.

    Raises:
        InvalidInput: E201 or E202, references on another grid.
        ValueError: as in `lesion_detection`.
    """
    references.geometry.check_matches(
        members.geometry, this="the reference", that="the members", subject=members.subject
    )
    masks = _masks_of_mean(members, slab_voxels)
    region = matching_rule(connectivity, min_iou)
    rows: list[Score] = []
    for reference in references:
        truths = reference.classes.masks(reference.probabilities)
        for structure, mask, truth in zip(members.classes.structures, masks, truths, strict=True):
            found = lesion_detection(mask, truth, connectivity=connectivity, min_iou=min_iou)
            named = {
                "subject": subject or members.subject,
                "structure": structure,
                "region": region,
                "reduction": ENSEMBLE,
                "against": reference.info.id,
            }
            rows += _rows(found, named)
    return rows


def matching_rule(connectivity: int, min_iou: float | None) -> str:
    """Name of what makes a lesion and when two match, as rows carry it in `region`."""
    return f"lesions_{connectivity}:" + ("any_overlap" if min_iou is None else f"iou_{min_iou:g}")


def detections_of(rows: Iterable[Score]) -> dict[tuple[str, str, str, str], dict[str, list[LesionDetection]]]:
    """Read the counts back from rows: by structure, matching rule, reduction and choice of reference, of each case."""
    values: dict[tuple[str, ...], dict[str, Score]] = {}
    for row in rows:
        if row.measure in LESION_DETECTION_SCORES:
            key = (row.structure, row.region, row.reduction, row.subject, row.against)
            values.setdefault(key, {})[row.measure] = row
    found: dict[tuple[str, str, str, str], dict[str, list[LesionDetection]]] = {}
    for (structure, region, reduction, subject, against), of_case in values.items():
        if len(of_case) == len(LESION_DETECTION_SCORES):
            by_subject = found.setdefault((structure, region, reduction, reference_kind(against)), {})
            by_subject.setdefault(subject, []).append(_counts(of_case))
    return found


def pooled_scores(
    rows: Iterable[Score], *, seed: int, n_resamples: int, level: float
) -> Iterator[tuple[tuple[str, str, str, str], Entry[LesionDetectionScore], Estimate]]:
    """Yield each score of the lesions of all cases together, with its interval over cases.

    Args:
        rows: of all cases; a case's lesions are counted once per reference.
        seed: of the draws.
        n_resamples: draws per interval.
        level: share of the intervals.

    Returns:
        Structure, matching rule, reduction and choice of reference; the score; the estimate.
    """
    for place, by_subject in detections_of(rows).items():
        table = np.array([astuple(first.pool(*rest)) for first, *rest in by_subject.values()], dtype=np.int64)
        for entry in LESION_DETECTION_SCORES:
            yield place, entry, _estimate(table, entry.function, seed=seed, n_resamples=n_resamples, level=level)


def _estimate(
    table: Int64[np.ndarray, "s 5"], score: LesionDetectionScore, *, seed: int, n_resamples: int, level: float
) -> Estimate:
    def of_units(drawn: Integer[np.ndarray, "r u"]) -> Float64[np.ndarray, " r"]:
        return np.array([score(LesionDetection(*counts)) for counts in table[drawn].sum(axis=1).tolist()])

    if len(table) > 1:
        return bootstrap_units(of_units, n_units=len(table), seed=seed, n_resamples=n_resamples, level=level)
    value = score(LesionDetection(*table[0].tolist()))
    return Estimate(value=value, low=math.nan, high=math.nan, level=level, n=len(table))


def _counts(rows: dict[str, Score]) -> LesionDetection:
    sensitivity, false = rows[lesion_sensitivity.__name__], rows[lesion_false_positives.__name__]
    n_found = round(sensitivity.value * sensitivity.n) if sensitivity.n else 0
    return LesionDetection(sensitivity.n, false.n, n_found, false.n - round(false.value))


def _partners(
    lesion: np.ndarray, component: np.ndarray, iou: np.ndarray, shape: tuple[int, int], min_iou: float
) -> int:
    """How many pairs of an IoU of at least this there are, each lesion in one at most."""
    enough = iou >= min_iou - 1e-12
    if min_iou > 0.5 or not enough.any():
        return int(enough.sum())
    weight = np.zeros(shape)
    weight[lesion[enough], component[enough]] = 1 + iou[enough] / (2 * max(shape))
    chosen = linear_sum_assignment(weight, maximize=True)
    return int(np.count_nonzero(weight[chosen]))


def _masks_of_mean(members: Members, slab_voxels: int | None) -> Sequence[Bool[np.ndarray, "i j k"]]:
    parts = [
        members.classes.masks(mean_probability(collected[VoxelStatistics]))
        for _, collected in walk(members, VoxelStatistics, slab_voxels=slab_voxels)
    ]
    return list(np.concatenate(parts, axis=members.slab_axis + 1))


def _rows(found: LesionDetection, named: dict[str, str]) -> Iterator[Score]:
    n_of = {
        lesion_sensitivity.__name__: found.n_reference,
        lesion_f1.__name__: found.n_reference + found.n_predicted,
    }
    for entry in LESION_DETECTION_SCORES:
        yield Score(
            measure=entry.name,
            value=entry.function(found),
            unit=entry.unit,
            higher_is=entry.higher_is,
            n=n_of.get(entry.name, found.n_predicted),
            **named,
        )
