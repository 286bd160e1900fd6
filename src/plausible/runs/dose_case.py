"""The dose to one case: DVHs of all members, metrics, constraints, complications, and which boundary matters."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from plausible.core import Dose, Geometry, Members, ScalarMap, Score
from plausible.dose import (
    Constraint,
    ConstraintSet,
    DoseMetric,
    DoseSensitivity,
    MemberDvhs,
    all_drawn,
    constraint_risk,
    coverage_map,
    dose_on_grid,
    dose_sensitivity,
    member_dvhs,
    parse_metric,
    relative_curves,
    risk_row,
    sensitivity_rows,
    spread_rows,
)
from plausible.dose.sensitivity import MEAN_DOSE
from plausible.report.dose_model import StructureDose
from plausible.runs.dose_record import NOTHING, structure_dose
from plausible.runs.dose_settings import DoseSettings

COVERAGE_COLUMNS = ("structure", "dose_gy", "volume_percent", "probability")
COVERAGE_GY, COVERAGE_SHARES = 1.0, np.linspace(0.05, 1.0, 20)
DOSE_MAP, AWARE_MAP = "planned_dose", "dose_aware_uncertainty"


@dataclass(frozen=True, slots=True, eq=False)
class DoseFound:
    """What is known of the dose to a case.

    Attributes:
        structures: as dose.json holds them.
        maps: the dose at the segmentations' voxels, and the dose-aware uncertainty.
        rows: for scores.csv.
        outside: share of each structure beyond the dose grid, of those that reach there.
        coverage: lines of the dose-volume coverage maps.
    """

    structures: tuple[StructureDose, ...]
    maps: tuple[ScalarMap, ...]
    rows: tuple[Score, ...]
    outside: Mapping[str, float]
    coverage: tuple[dict[str, object], ...]


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
        members: the plausible segmentations; read twice.
        dose: on its own grid.
        constraints: what must hold.
        settings: how it is judged.
        raters: references, whose own metrics stand beside the members'.
    """
    drawn = all_drawn(members) and (raters is None or all_drawn(raters))
    soft = not any(source.hard for source in members.sources)  # cut below the voxel: contours may stand beside them
    dvhs = member_dvhs(members, dose, interpolation=settings.dose_interpolation, drawn=drawn)
    theirs = member_dvhs(raters, dose, interpolation=settings.dose_interpolation, drawn=drawn or soft) if raters else {}
    on_grid = dose_on_grid(dose, members.geometry, interpolation=settings.dose_interpolation)
    aware = np.zeros(members.geometry.shape, dtype=np.float32)
    structures, rows = list[StructureDose](), list[Score]()
    for name, of_members in dvhs.items():
        asked = asked_metrics(name, constraints, settings)
        sensitivity = _sensitivity(on_grid, of_members, tuple(asked.values()), members.geometry)
        box = of_members.box
        if sensitivity is not None:
            aware[box] = np.maximum(aware[box], sensitivity.contrast_gy)
        offset = box[members.geometry.axial_axis].start
        found = structure_dose(
            of_members, theirs.get(name), asked, constraints, settings, sensitivity=sensitivity, offset=offset
        )
        structures.append(found)
        rows += _rows(members.subject, name, of_members, asked, constraints, settings, sensitivity)
    maps = _maps(on_grid, aware, members.geometry)
    return DoseFound(tuple(structures), maps, tuple(rows), _outside(dvhs), tuple(_coverage(dvhs)))


def _coverage(dvhs: Mapping[str, MemberDvhs]) -> Iterator[dict[str, object]]:
    """Share of the members in which at least a share of each structure receives each dose, on a coarse grid."""
    for name, one in dvhs.items():
        having = [dvh for dvh in one.dvhs if dvh.total_volume_ml > 0]
        if not having:
            continue
        highest = max((float(dvh.dose_gy[-1]) for dvh in having if len(dvh.dose_gy)), default=0.0)
        dose_gy = np.arange(0.0, highest + COVERAGE_GY, COVERAGE_GY)
        found = coverage_map(relative_curves(having, dose_gy), COVERAGE_SHARES)
        for share, row in zip(COVERAGE_SHARES, found, strict=True):
            for gy, probability in zip(dose_gy, row, strict=True):
                volume = round(100 * float(share), 6)
                yield dict(zip(COVERAGE_COLUMNS, (name, float(gy), volume, float(probability)), strict=True))


def asked_metrics(structure: str, constraints: ConstraintSet, settings: DoseSettings) -> dict[str, DoseMetric]:
    """Metrics of a structure by their text: those of all structures, then those of its constraints."""
    own = [one.dose_metric for one in constraints.of(structure)]
    return {one.text: one for one in (parse_metric(MEAN_DOSE), *settings.metrics, *own)}


def _sensitivity(
    on_grid: Float32[np.ndarray, "i j k"], dvhs: MemberDvhs, metrics: tuple[DoseMetric, ...], geometry: Geometry
) -> DoseSensitivity | None:
    if not dvhs.segmentation.any() or not dvhs.nominal.inside_ml:
        return None
    return dose_sensitivity(
        (mask.astype(np.float32) for mask in dvhs.masks()),
        dvhs.segmentation.astype(np.float32),
        np.ascontiguousarray(on_grid[dvhs.box]),
        nominal=dvhs.nominal,
        metrics=metrics,
        axis=geometry.axial_axis,
        structure=dvhs.structure,
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
        yield from spread_rows(dvhs.spread(metric), metric, subject=subject, structure=name)
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
