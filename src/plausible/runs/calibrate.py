"""Calibrate on a study with references: what can be promised for new patients, written to calibration.json."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from plausible.calibrate import (
    Calibration,
    ExchangeabilityLamp,
    Novelty,
    ProbabilityCalibrator,
    VoxelSample,
    fit_failure_flag,
    fit_interval,
    fit_lamp,
    fit_margin,
    fit_novelty,
    fit_probabilities,
    fit_quantile_interval,
    fit_risk_control,
    loss_curve,
    sample_voxels,
)
from plausible.core import Case, InvalidInput, Score, Study, provenance, select
from plausible.io import case_inputs
from plausible.io.atomic import write_json
from plausible.runs.calibrate_settings import CalibrateSettings, FailureRule
from plausible.runs.calibration import Calibrations
from plausible.runs.calibration_case import REFERENCE, SEGMENTED, CalibrationCase, calibration_case
from plausible.runs.calibration_features import FEATURES, novelty_rows
from plausible.runs.layout import CURVES_JSON, read_json, told
from plausible.runs.settings import EvaluateSettings
from plausible.runs.walk import OnCase, Walked, walk_cases


def measure_cases(
    study: Study,
    folder: Path,
    *,
    scoring: EvaluateSettings,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> tuple[list[CalibrationCase], Walked]:
    """Measure every case with a reference and keep its curves in a folder; what is there already is kept.

    Raises:
        ValueError: no case has a reference.
    """
    chosen = study.only([case.subject for case in study if case.load_raters is not None])
    if not len(chosen):
        raise ValueError(f"{study.name}: no case has a reference; give --references REF with a label map per case")
    measured: dict[str, CalibrationCase] = {}

    def run(case: Case) -> bool:
        path = folder / case.subject / CURVES_JSON
        key = provenance("calibrate", settings=asdict(scoring), inputs=case_inputs(case)).key
        before = None if overwrite else read_json(path)
        if before is not None and before.get("key") == key:
            measured[case.subject] = CalibrationCase.from_dict(before)
            return False
        measured[case.subject] = calibration_case(case, scoring=scoring, key=key)
        write_json(path, measured[case.subject].to_dict())
        return True

    walked = walk_cases(chosen, folder, stage="calibrate", run=run, on_case=on_case)
    return [measured[subject] for subject in sorted(measured)], walked


def sample_cases(
    study: Study, cases: Sequence[CalibrationCase], settings: CalibrateSettings, *, on_case: OnCase | None = None
) -> list[VoxelSample]:
    """Draw the voxels of the measured cases that post-hoc calibration is fitted on; none if it is not asked for.

    They are kept in memory only, and drawn again when the settings change.

    Raises:
        InvalidInput: what the readers of members and references find.
    """
    if settings.probabilities == "none":
        return []
    samples = []
    for number, measured in enumerate(cases, start=1):
        case = study.case(measured.subject)
        raters = case.raters()
        assert raters is not None, f"{case.subject} was measured against its reference"
        samples.append(sample_voxels(case.members(), raters, seed=settings.seed, n_voxels=settings.probability_voxels))
        if on_case:
            on_case(case.subject, number, len(cases), "ok")
    return samples


def calibrate(
    cases: Sequence[CalibrationCase],
    settings: CalibrateSettings,
    *,
    today: date,
    samples: Sequence[VoxelSample] = (),
) -> Calibrations:
    """Fit everything that was asked for; what cannot be promised is listed with its reason.

    Args:
        cases: what was measured of each case.
        settings: what is to be promised.
        today: day of the calibration.
        samples: voxels of the same cases, for post-hoc calibration.

    Raises:
        InvalidInput: E401 or E403, nothing at all can be promised.
    """
    structures = list(dict.fromkeys(one.structure for case in cases for one in case.counts))
    common = {"population": settings.population, "date": today.isoformat()}
    records, refused = list[Calibration](), list[dict[str, Any]]()
    first: InvalidInput | None = None
    for what, fit in _fits(cases, structures, settings, common):
        try:
            records.append(fit())
        except InvalidInput as error:
            first = first or error
            refused.append({"what": what, **error.problem.to_dict()})
    promises = [one for one in records if not isinstance(one, ExchangeabilityLamp | Novelty)]
    if first and not promises and not samples:
        raise first
    made = provenance(
        f"calibrate {told(asdict(settings))}",
        settings=asdict(settings),
        inputs={case.subject: case.key for case in cases},
    )
    calibrator = _probabilities(samples, settings, today) if samples else None
    return Calibrations(tuple(records), tuple(refused), made.to_dict(), calibrator)


def _fits(
    cases: Sequence[CalibrationCase], structures: Sequence[str], settings: CalibrateSettings, common: dict[str, Any]
) -> list[tuple[str, Callable[[], Calibration]]]:
    rows = [row for case in cases for row in case.rows]
    fits: list[tuple[str, Callable[[], Calibration]]] = []
    for structure in structures:
        of = [row for row in rows if row.structure == structure]
        fits.append((f"volume interval of {structure}", partial(_interval, of, settings, common)))
        fits.append((f"margin of {structure}", partial(_margin, cases, structure, settings, common)))
        fits.append((f"voxel set of {structure}", partial(_set, cases, structure, settings, common)))
        for rule in settings.failures:
            fits.append((f"failure flag of {structure}", partial(_flag, of, rule, settings, common)))
        fits.append((f"novelty of {structure}", partial(_novelty, of, settings, common)))
    for rule in settings.failures:
        fits.append(("failure flag of the whole case", partial(_case_flag, rows, rule, settings, common)))
    agreed = select(rows, measure=settings.score, structure="")
    lamp = partial(fit_lamp, agreed, alpha=settings.lamp_alpha, seed=settings.seed, **common)
    return [*fits, ("exchangeability lamp", lamp)]


def _probabilities(samples: Sequence[VoxelSample], settings: CalibrateSettings, today: date) -> ProbabilityCalibrator:
    return fit_probabilities(
        samples,
        method=settings.probabilities,
        edges_mm=settings.band_edge_mm,
        population=settings.population,
        date=today.isoformat(),
    )


def _interval(rows: Sequence[Score], settings: CalibrateSettings, common: dict[str, Any]) -> Calibration:
    references = select(rows, measure=REFERENCE)
    shared: dict[str, Any] = {"alpha": settings.alpha, "tails": settings.tails, "valid_range": (0.0, float("inf"))}
    if settings.volume == "quantiles":
        low, high = (select(rows, measure=f"volume_interval_{end}") for end in ("low", "high"))
        return fit_quantile_interval(low, high, references, **shared, **common)
    spreads = select(rows, measure="volume_sd") if settings.volume == "normalized" else None
    predictions = select(rows, measure=SEGMENTED)
    floor = settings.spread_floor_ml
    return fit_interval(predictions, references, spreads=spreads, spread_floor=floor, **shared, **common)


def _margin(
    cases: Sequence[CalibrationCase], structure: str, settings: CalibrateSettings, common: dict[str, Any]
) -> Calibration:
    curves = [one for case in cases for one in case.margins if one.structure == structure]
    share = settings.margin_share
    return fit_margin(curves, alpha=settings.alpha, share=share, sides="outer", absent=settings.absent, **common)


def _set(
    cases: Sequence[CalibrationCase], structure: str, settings: CalibrateSettings, common: dict[str, Any]
) -> Calibration:
    counts = [one for case in cases for one in case.counts if one.structure == structure]
    curves = [loss_curve(one, loss="false_negative_rate") for one in counts]
    return fit_risk_control(curves, alpha=settings.missed, absent=settings.absent, **common)


def _flag(rows: Sequence[Score], rule: FailureRule, settings: CalibrateSettings, common: dict[str, Any]) -> Calibration:
    qualities = [row for row in rows if row.measure == rule.measure and row.against]
    if not qualities:
        known = sorted({row.measure for row in rows if row.against and row.higher_is != "neither"})
        raise ValueError(
            f"--failure {rule.measure}: no such score against the references; there are {', '.join(known)}"
        )
    return fit_failure_flag(
        select(rows, measure=settings.score),
        qualities,
        limit=rule.limit,
        alpha=settings.alpha,
        delta=settings.delta,
        absent=settings.absent,
        **common,
    )


def _case_flag(
    rows: Sequence[Score], rule: FailureRule, settings: CalibrateSettings, common: dict[str, Any]
) -> Calibration:
    """A case fails if any of its structures does; it is ordered by its own score, the mean over structures."""
    own = [row for row in rows if row.measure == settings.score and not row.structure]
    qualities = [row for row in rows if row.measure == rule.measure and row.against and row.structure]
    return _flag([*own, *worst_structure(qualities)], rule, settings, common)


def worst_structure(rows: Sequence[Score]) -> list[Score]:
    """Worst of each subject's structures, NaN left out; as rows of the whole case."""
    found: dict[str, Score] = {}
    for row in rows:
        sign = -1 if row.higher_is == "worse" else 1
        before = found.get(row.subject)
        if before is None or math.isnan(before.value) or sign * row.value < sign * before.value:
            found[row.subject] = row
    return [replace(row, structure="") for row in found.values()]


def _novelty(rows: Sequence[Score], settings: CalibrateSettings, common: dict[str, Any]) -> Calibration:
    found = novelty_rows(rows, rows[0].structure, volume=SEGMENTED)
    features = [select(found, measure=name) for name in (SEGMENTED, *FEATURES)]
    return fit_novelty(features, alpha=settings.lamp_alpha, **common)
