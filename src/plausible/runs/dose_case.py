"""The dose to one case: DVHs of all members, metrics, constraints, complications, and which boundary matters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from plausible.core import Dose, Geometry, Members, ScalarMap, Score
from plausible.dose import (
    Constraint,
    ConstraintSet,
    DoseMetric,
    DoseSensitivity,
    MemberDvhs,
    constraint_risk,
    dose_on_grid,
    dose_sensitivity,
    member_dvhs,
    metric_spread,
    parse_metric,
    risk_row,
    sensitivity_rows,
    spread_rows,
)
from plausible.dose.sensitivity import MEAN_DOSE
from plausible.report.dose_model import StructureDose
from plausible.runs.dose_record import NOTHING, structure_dose
from plausible.runs.dose_settings import DoseSettings

DOSE_MAP, AWARE_MAP = "planned_dose", "dose_aware_uncertainty"
Box = tuple[slice, slice, slice]
Cut = tuple[Box, np.ndarray]


@dataclass(frozen=True, slots=True, eq=False)
class DoseFound:
    """What is known of the dose to a case.

    Attributes:
        structures: as dose.json holds them.
        maps: the dose at the segmentations' voxels, and the dose-aware uncertainty.
        rows: for scores.csv.
        outside: share of each structure beyond the dose grid, of those that reach there.
    """

    structures: tuple[StructureDose, ...]
    maps: tuple[ScalarMap, ...]
    rows: tuple[Score, ...]
    outside: Mapping[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class StructureMasks:
    """One structure in its box: the segmentation and every member."""

    box: Box
    segmentation: Bool[np.ndarray, "i j k"]
    members: tuple[Bool[np.ndarray, "i j k"], ...]


def assess_dose(
    members: Members,
    dose: Dose,
    constraints: ConstraintSet,
    settings: DoseSettings,
    *,
    raters: Members | None = None,
) -> DoseFound:
    """Judge the dose to every structure of a case.

    Args:
        members: the plausible segmentations; read three times.
        dose: on its own grid.
        constraints: what must hold.
        settings: how it is judged.
        raters: references, whose own metrics stand beside the members'.
    """
    dvhs = member_dvhs(members, dose, interpolation=settings.dose_interpolation)
    theirs = member_dvhs(raters, dose, interpolation=settings.dose_interpolation) if raters else {}
    on_grid = dose_on_grid(dose, members.geometry, interpolation=settings.dose_interpolation)
    masks = structure_masks(members)
    aware = np.zeros(members.geometry.shape, dtype=np.float32)
    structures, rows = list[StructureDose](), list[Score]()
    for name, of_members in dvhs.items():
        asked = asked_metrics(name, constraints, settings)
        sensitivity = _sensitivity(name, masks.get(name), on_grid, of_members, tuple(asked.values()), members.geometry)
        if sensitivity is not None:
            box = masks[name].box
            aware[box] = np.maximum(aware[box], sensitivity.contrast_gy)
        offset = masks[name].box[members.geometry.axial_axis].start if name in masks else 0
        found = structure_dose(
            of_members, theirs.get(name), asked, constraints, settings, sensitivity=sensitivity, offset=offset
        )
        structures.append(found)
        rows += _rows(members.subject, name, of_members, asked, constraints, settings, sensitivity)
    return DoseFound(tuple(structures), _maps(on_grid, aware, members.geometry), tuple(rows), _outside(dvhs))


def asked_metrics(structure: str, constraints: ConstraintSet, settings: DoseSettings) -> dict[str, DoseMetric]:
    """Metrics of a structure by their text: those of all structures, then those of its constraints."""
    own = [one.dose_metric for one in constraints.of(structure)]
    return {one.text: one for one in (parse_metric(MEAN_DOSE), *settings.metrics, *own)}


def structure_masks(members: Members) -> dict[str, StructureMasks]:
    """Masks of every structure that any member has, cut to the box around it: one byte a voxel and member."""
    found: dict[str, list[Cut]] = {name: [] for name in members.classes.structures}
    mean: Float32[np.ndarray, "c i j k"] | None = None
    for n, member in enumerate(members):
        for name, mask in zip(found, members.classes.masks(member.probabilities), strict=True):
            found[name].append(_cut(mask))
        if mean is None:
            mean = member.probabilities.astype(np.float32, copy=True)
        else:
            mean += (member.probabilities - mean) / np.float32(n + 1)
    assert mean is not None, "member_dvhs has refused a case without members"
    nominal = dict(zip(found, map(_cut, members.classes.masks(mean)), strict=True))
    return {name: _together(nominal[name], cuts) for name, cuts in found.items() if any(cut[1].size for cut in cuts)}


def _cut(mask: Bool[np.ndarray, "i j k"]) -> Cut:
    """Box around a mask, and the mask in it; both empty where it is."""
    places = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(places[0]):
        return (slice(0, 0), slice(0, 0), slice(0, 0)), np.zeros((0, 0, 0), dtype=bool)
    i, j, k = (slice(int(place[0]), int(place[-1]) + 1) for place in places)
    return (i, j, k), mask[i, j, k].copy()


def _together(nominal: Cut, members: Sequence[Cut]) -> StructureMasks:
    """Masks in the box around all of them."""
    boxes = [box for box, mask in (nominal, *members) if mask.size]
    i, j, k = (slice(min(box[a].start for box in boxes), max(box[a].stop for box in boxes)) for a in range(3))
    placed = [_placed(cut, (i, j, k)) for cut in (nominal, *members)]
    return StructureMasks((i, j, k), placed[0], tuple(placed[1:]))


def _placed(cut: Cut, box: Box) -> Bool[np.ndarray, "i j k"]:
    whole = np.zeros([side.stop - side.start for side in box], dtype=bool)
    inner, mask = cut
    if mask.size:
        whole[tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, box, strict=True))] = mask
    return whole


def _sensitivity(
    name: str,
    masks: StructureMasks | None,
    on_grid: Float32[np.ndarray, "i j k"],
    dvhs: MemberDvhs,
    metrics: tuple[DoseMetric, ...],
    geometry: Geometry,
) -> DoseSensitivity | None:
    if masks is None or not masks.segmentation.any() or not dvhs.nominal.inside_ml:
        return None
    return dose_sensitivity(
        (mask.astype(np.float32) for mask in masks.members),
        masks.segmentation.astype(np.float32),
        np.ascontiguousarray(on_grid[masks.box]),
        nominal=dvhs.nominal,
        metrics=metrics,
        axis=geometry.axial_axis,
        structure=name,
    )


def _rows(
    subject: str,
    name: str,
    dvhs: MemberDvhs,
    asked: Mapping[str, DoseMetric],
    constraints: ConstraintSet,
    settings: DoseSettings,
    sensitivity: DoseSensitivity | None,
) -> Iterator[Score]:
    for metric in asked.values():
        yield from spread_rows(metric_spread(dvhs.values(metric)), metric, subject=subject, structure=name)
    for one in constraints.of(name):
        yield _risk_row(one, dvhs, settings, subject, name)
    if sensitivity is not None:
        yield from sensitivity_rows(sensitivity, subject=subject)


def _risk_row(one: Constraint, dvhs: MemberDvhs, settings: DoseSettings, subject: str, name: str) -> Score:
    risk = constraint_risk(dvhs.values(one.dose_metric), one, settings=settings.risk)
    return risk_row(risk, one, subject=subject, structure=name)


def _maps(
    on_grid: Float32[np.ndarray, "i j k"], aware: Float32[np.ndarray, "i j k"], geometry: Geometry
) -> tuple[ScalarMap, ...]:
    """Return the dose where it is known (0 elsewhere) and the dose-aware uncertainty, each as one frame."""
    return (
        ScalarMap(
            DOSE_MAP,
            np.nan_to_num(on_grid)[np.newaxis],
            geometry,
            "Gy",
            (0.0, float("inf")),
            "dose at the centres of the segmentation's voxels; 0 beyond the dose grid",
        ),
        ScalarMap(
            AWARE_MAP,
            aware[np.newaxis],
            geometry,
            "Gy",
            (0.0, float("inf")),
            "abs(D - mean dose of the structure) x share of members that differ from the segmentation here; the "
            "structure where it is largest",
        ),
    )


def _outside(dvhs: Mapping[str, MemberDvhs]) -> dict[str, float]:
    shares = {name: _share(one) for name, one in dvhs.items()}
    return {name: share for name, share in shares.items() if share > NOTHING}


def _share(one: MemberDvhs) -> float:
    total = one.nominal.total_volume_ml
    return one.nominal.outside_ml / total if total else 0.0
