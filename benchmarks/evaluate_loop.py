"""The numbers of `plausible evaluate`, as scripts compute them: numpy and scipy, one pair after the other.

Nothing is shared: every pair of segmentations is cut out, binned and measured afresh, members lie stacked in memory.
Definitions are those of `plausible` (surface elements weighted by area, bins closed on the left, ties to the class
that comes first), so that the two can be compared number by number. For exclusive classes; raters are label maps.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import correlate, distance_transform_edt
from scipy.optimize import linear_sum_assignment

from plausible.evaluate.surface import element_areas_mm2

FLOOR = 1 / 131070
KERNEL = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]])[::-1, ::-1, ::-1]

Key = tuple[str, str, str, str, str]
"""Measure, structure, region, reduction, against."""


@dataclass(frozen=True)
class Setting:
    structures: Sequence[str]
    spacing_mm: tuple[float, float, float]
    tolerance_mm: float = 2.0
    n_bins: int = 15
    margin_mm: float = 10.0
    cropped: bool = True
    """Whether surfaces are measured in the box around both masks, or in the whole image."""

    @property
    def voxel_ml(self) -> float:
        return math.prod(self.spacing_mm) / 1000


def evaluate_with_loops(members: np.ndarray, raters: np.ndarray, setting: Setting) -> dict[Key, float]:
    """All rows of one case: `members` are `m c i j k`, `raters` label maps `r i j k` that hold places of channels."""
    found: dict[Key, float] = {}
    predictions = {f"member:member_{m}": p for m, p in enumerate(members)}
    predictions["ensemble"] = members.mean(axis=0)
    for reduction, p in predictions.items():
        for r, truth in enumerate(raters):
            named = (reduction, f"rater_{r}")
            found |= masks_compared(most_probable(p), truth, setting, named)
            found |= calibration(p, truth, setting, named)
    for r, s in np.ndindex(len(raters), len(raters)):
        if r != s:
            found |= masks_compared(raters[r], raters[s], setting, (f"rater:rater_{r}", f"rater_{s}"))
    found |= agreement(members, setting)
    return found | ambiguity(members, raters, setting)


def masks_compared(
    prediction: np.ndarray, reference: np.ndarray, setting: Setting, named: tuple[str, str]
) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for label, structure in enumerate(setting.structures, start=1):
        ours, theirs = prediction == label, reference == label
        for measure, value in overlap_scores(ours, theirs, setting).items():
            found[measure, structure, "", *named] = value
        for measure, value in surface_scores(ours, theirs, setting).items():
            region = f"tolerance_{setting.tolerance_mm:g}_mm" if measure == "normalized_surface_dice" else ""
            found[measure, structure, region, *named] = value
    return found


def most_probable(p: np.ndarray) -> np.ndarray:
    return p.argmax(axis=0).astype(np.uint8)


def overlap_scores(ours: np.ndarray, theirs: np.ndarray, setting: Setting) -> dict[str, float]:
    shared, a, b = (int(mask.sum()) for mask in (ours & theirs, ours, theirs))
    apart = (a - b) * setting.voxel_ml if a + b else math.nan
    relative = ratio(a - b, b)
    return {
        "dice": ratio(2 * shared, a + b),
        "iou": ratio(shared, a + b - shared),
        "sensitivity": ratio(shared, b),
        "precision": ratio(shared, a),
        "volume_difference_ml": apart,
        "absolute_volume_difference_ml": abs(apart),
        "relative_volume_difference": relative,
        "absolute_relative_volume_difference": abs(relative),
    }


def ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def surface_scores(ours: np.ndarray, theirs: np.ndarray, setting: Setting) -> dict[str, float]:
    if not ours.any() or not theirs.any():
        near = math.nan if ours.any() == theirs.any() else 0.0
        lost = ("hausdorff_distance", "hausdorff_distance_95", "average_symmetric_surface_distance")
        return {"normalized_surface_dice": near, **dict.fromkeys(lost, math.nan)}
    if setting.cropped:
        box = box_around(ours | theirs)
        ours, theirs = ours[box], theirs[box]
    areas = element_areas_mm2(setting.spacing_mm)
    codes = [correlate(np.pad(m, 1).astype(np.uint8), KERNEL, mode="constant", origin=-1) for m in (ours, theirs)]
    edges = [(code != 0) & (code != 255) for code in codes]
    to_edge = [distance_transform_edt(~edge, sampling=setting.spacing_mm) for edge in edges]
    sides = []
    for mine, other in ((0, 1), (1, 0)):
        distance, area = to_edge[other][edges[mine]], areas[codes[mine][edges[mine]]]
        order = np.argsort(distance)
        sides.append((distance[order], area[order]))
    total = sum(area.sum() for _, area in sides)
    near = sum(area[distance <= setting.tolerance_mm + 1e-4].sum() for distance, area in sides)
    return {
        "normalized_surface_dice": float(near / total),
        "hausdorff_distance": float(max(distance[-1] for distance, _ in sides)),
        "hausdorff_distance_95": max(weighted_95(distance, area) for distance, area in sides),
        "average_symmetric_surface_distance": float(sum(distance @ area for distance, area in sides) / total),
    }


def weighted_95(distance: np.ndarray, area: np.ndarray) -> float:
    reached = np.cumsum(area)
    return float(distance[np.searchsorted(reached, 0.95 * reached[-1] * (1 - 1e-12))])


def box_around(mask: np.ndarray, margin: Sequence[int] = (0, 0, 0)) -> tuple[slice, ...]:
    sides = []
    for axis, extra in enumerate(margin):
        present = np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis})))
        sides.append(slice(max(0, int(present[0]) - extra), int(present[-1]) + 1 + extra))
    return tuple(sides)


def calibration(p: np.ndarray, truth: np.ndarray, setting: Setting, named: tuple[str, str]) -> dict[Key, float]:
    margin = [math.ceil(setting.margin_mm / spacing - 1e-6) for spacing in setting.spacing_mm]
    box = box_around(truth > 0, margin)
    regions = {"whole_image": (p, truth), "reference_box": (p[(slice(None), *box)], truth[box])}
    return {
        (measure, "", region, *named): value
        for region, (inside, true) in regions.items()
        for measure, value in calibration_scores(inside, true, setting.n_bins).items()
    }


def calibration_scores(p: np.ndarray, truth: np.ndarray, n_bins: int) -> dict[str, float]:
    confidence = p.max(axis=0).ravel()
    right = (p.argmax(axis=0) == truth).ravel()
    place = np.digitize(confidence, (np.arange(1, n_bins) / n_bins).astype(np.float32))
    gaps, shares = [], []
    for b in range(n_bins):
        inside = place == b
        if inside.any():
            gaps.append(abs(confidence[inside].mean(dtype=np.float64) - right[inside].mean()))
            shares.append(inside.mean())
    one_hot = np.arange(len(p))[:, np.newaxis, np.newaxis, np.newaxis] == truth
    true_p = np.take_along_axis(p, truth[np.newaxis].astype(np.int64), axis=0)
    return {
        "expected_calibration_error": float(np.dot(gaps, shares)),
        "uniform_calibration_error": float(np.mean(gaps)),
        "maximum_calibration_error": float(np.max(gaps)),
        "brier_score": float(np.square(p - one_hot).sum(axis=0).mean(dtype=np.float64)),
        "negative_log_likelihood": float(-np.log(np.clip(true_p, FLOOR, 1)).mean(dtype=np.float64)),
    }


def agreement(members: np.ndarray, setting: Setting) -> dict[Key, float]:
    """Volumes of the members, and Dice of every two of them."""
    found: dict[Key, float] = {}
    labels = [most_probable(p) for p in members]
    for label, structure in enumerate(setting.structures, start=1):
        masks = [each == label for each in labels]
        ml = np.array([mask.sum() for mask in masks]) * setting.voxel_ml
        soft = np.array([p[label].sum(dtype=np.float64) for p in members]) * setting.voxel_ml
        dices = [pair_score(a, b, by="dice") for n, a in enumerate(masks) for b in masks[n + 1 :]]
        numbers = {
            "volume_mean": ml.mean(),
            "volume_sd": ml.std(ddof=1),
            "volume_cv": ml.std(ddof=1) / ml.mean(),
            "expected_volume": soft.mean(),
            "mean_pairwise_dice": np.nanmean(dices),
            "lowest_pairwise_dice": np.nanmin(dices),
        }
        found |= {(measure, structure, "", "", ""): float(value) for measure, value in numbers.items()}
    return found


def ambiguity(members: np.ndarray, raters: np.ndarray, setting: Setting) -> dict[Key, float]:
    """Distances of two sets, volumes as a forecast, and correlation of maps, per structure and together."""
    found: dict[Key, float] = {}
    labels = [*raters, *(most_probable(p) for p in members)]
    n, n_raters = len(labels), len(raters)
    tables = {by: np.empty((len(setting.structures), n, n)) for by in ("dice", "iou")}
    for s in range(len(setting.structures)):
        masks = [each == s + 1 for each in labels]
        for a, b in itertools.combinations_with_replacement(range(n), 2):
            for by, table in tables.items():
                table[s, a, b] = table[s, b, a] = pair_score(masks[a], masks[b], by=by)
    named = (f"{len(members)}_members", f"{n_raters}_raters")
    for place, structure in (*enumerate(setting.structures), (None, "")):
        mean = {by: nan_mean(table) if place is None else table[place] for by, table in tables.items()}
        for measure, value in set_scores(mean, n_raters).items():
            found[measure, structure, "", *named] = value
    for s, structure in enumerate(setting.structures, start=1):
        ml = np.array([(each == s).sum() for each in labels]) * setting.voxel_ml
        found["volume_crps", structure, "", *named] = mean_crps(ml[n_raters:], ml[:n_raters])
    return found | correlations(members, raters, setting, named[1])


def pair_score(a: np.ndarray, b: np.ndarray, *, by: str) -> float:
    shared, both = int((a & b).sum()), int(a.sum()) + int(b.sum())
    return ratio(2 * shared, both) if by == "dice" else ratio(shared, both - shared)


def nan_mean(table: np.ndarray) -> np.ndarray:
    """Mean over the structures that at least one of the two has; 1 for two segmentations without any."""
    present = ~np.isnan(table)
    total, number = np.where(present, table, 0).sum(axis=0), present.sum(axis=0)
    return np.divide(total, number, out=np.ones(number.shape), where=number > 0)


def set_scores(similar: dict[str, np.ndarray], n_raters: int) -> dict[str, float]:
    found = {}
    for by, table in similar.items():
        apart = 1 - np.nan_to_num(table, nan=1.0)
        for name, own in (("v", True), ("u", False)):
            parts = [apart[:n_raters, :n_raters], apart[n_raters:, n_raters:]]
            within = [part.sum() / (len(part) ** 2 if own else len(part) * (len(part) - 1)) for part in parts]
            across = apart[:n_raters, n_raters:].mean()
            found[f"generalized_energy_distance_{by}_{name}"] = float(2 * across - sum(within))
    between = np.nan_to_num(similar["iou"], nan=1.0)[:n_raters, n_raters:]
    times = math.lcm(*between.shape)
    tiled = np.tile(between, (times // between.shape[0], times // between.shape[1]))
    found["hungarian_matched_iou"] = float(tiled[linear_sum_assignment(tiled, maximize=True)].mean())
    return found


def mean_crps(forecast: np.ndarray, drawn: np.ndarray) -> float:
    spread = np.abs(forecast[:, np.newaxis] - forecast).mean() / 2
    return float(np.mean([np.abs(forecast - one).mean() - spread for one in drawn]))


def correlations(members: np.ndarray, raters: np.ndarray, setting: Setting, against: str) -> dict[Key, float]:
    """Pearson correlation of maps of the members' uncertainty with the entropy of the raters' labels."""
    found: dict[Key, float] = {}
    channels = np.arange(members.shape[1])[:, np.newaxis, np.newaxis, np.newaxis]
    shares = np.mean([channels == rater for rater in raters], axis=0, dtype=np.float32)
    for structure, maps, disagreement in questions(members, shares, setting):
        for name, uncertain in maps.items():
            r = float(np.corrcoef(uncertain.ravel(), disagreement.ravel())[0, 1])
            key = ("normalized_cross_correlation", structure, "whole_image", name, f"{against}:rater_entropy")
            found[key] = r
    return found


def questions(
    members: np.ndarray, shares: np.ndarray, setting: Setting
) -> Iterator[tuple[str, dict[str, np.ndarray], np.ndarray]]:
    yield "", uncertainty(members), entropy(shares)
    for s, structure in enumerate(setting.structures, start=1):
        yes_no = np.stack([1 - members[:, s], members[:, s]], axis=1)
        yield structure, uncertainty(yes_no), entropy(np.stack([1 - shares[s], shares[s]]))


def uncertainty(members: np.ndarray) -> dict[str, np.ndarray]:
    total = entropy(members.mean(axis=0))
    expected = np.mean([entropy(p) for p in members], axis=0)
    return {"predictive_entropy": total, "expected_entropy": expected, "mutual_information": total - expected}


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.maximum(p, np.float32(1e-38)))).sum(axis=0)
