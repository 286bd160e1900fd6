"""Apply a calibration to an assessed case: promised intervals, margins and flags replace the members' own."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from plausible.calibrate import FailureFlag, FlagDecision, NoveltyReading, SetThreshold
from plausible.core import InvalidInput, Problem, ScalarMap, Score, select
from plausible.report import CaseReport, Interval, StructureSummary, Verdict
from plausible.runs.assess_case import PROBABILITY, Assessment
from plausible.runs.calibration import Calibrations
from plausible.runs.calibration_case import SEGMENTED, segmented_volumes
from plausible.runs.calibration_features import novelty_rows

PREDICTED_FAILURE = "predicted_failure"
UNLIKE = "unlike_calibration"
CONFORMAL_SET = "conformal_set"
CALIBRATED_PROBABILITY = "calibrated_probability"


def calibrated_maps(found: Assessment, calibrations: Calibrations) -> tuple[ScalarMap, ...]:
    """Maps that a calibration adds: the voxel sets that it promises, and the calibrated mean probability.

    Raises:
        InvalidInput: E402, a patient of the calibration set.
    """
    maps = (conformal_sets(found, calibrations), calibrated_probability(found, calibrations))
    return tuple(one for one in maps if one is not None)


def calibrated_probability(found: Assessment, calibrations: Calibrations) -> ScalarMap | None:
    """Mean probability after post-hoc calibration; None if there is none.

    Raises:
        InvalidInput: E402, a patient it was fitted on; E103, it was fitted on other classes.
    """
    calibrator = calibrations.probabilities
    if calibrator is None:
        return None
    calibrator.check_unseen(found.members.subject)
    raw = next(one for one in found.maps if one.name == PROBABILITY)
    if raw.frames != calibrator.names:
        raise InvalidInput(
            Problem(
                code="E103",
                subject=found.members.subject,
                found=f"members with the channels {', '.join(raw.frames)}",
                expected=f"those of the calibration: {', '.join(calibrator.names)}",
                fix="calibrate on members of the same classes",
            )
        )
    definition = (
        f"{calibrator.statement} (record {calibrations.sha256[:12]}). Sets, margins, flags and the bands of the page "
        "refer to probability.nii.gz, which is not calibrated"
    )
    values = calibrator.transform(raw.values, spacing_mm=raw.geometry.spacing_mm)
    return ScalarMap(CALIBRATED_PROBABILITY, values, raw.geometry, raw.unit, (0.0, 1.0), definition, raw.frames)


def conformal_sets(found: Assessment, calibrations: Calibrations) -> ScalarMap | None:
    """Voxel set of each structure that risk control gives, 1 inside; None if none was calibrated.

    Raises:
        InvalidInput: E402, a patient of the calibration set.
    """
    probability = next(one for one in found.maps if one.name == PROBABILITY)
    kept: list[tuple[str, SetThreshold]] = []
    for structure in found.volumes.structures:
        threshold = calibrations.set_threshold(structure)
        if threshold is not None:
            kept.append((structure, threshold))
    if not kept:
        return None
    subject = found.members.subject
    values = [one.apply(probability.frame(structure), subject=subject) for structure, one in kept]
    return ScalarMap(
        CONFORMAL_SET,
        np.stack(values).astype(np.float32),
        probability.geometry,
        "1",
        (0.0, 1.0),
        " ".join(one.guarantee.statement for _, one in kept),
        tuple(structure for structure, _ in kept),
    )


def calibrated(report: CaseReport, found: Assessment, calibrations: Calibrations) -> CaseReport:
    """Return a report with what the calibration promises for this patient.

    Raises:
        InvalidInput: E402, a patient of the calibration set.
    """
    rows = [*found.rows, *segmented_volumes(found, report.subject)]
    decisions = {s.name: _decisions(rows, s.name, calibrations) for s in report.structures}
    whole = {"": _decisions(rows, "", calibrations)}
    novelty = {s.name: _novelty(rows, s.name, calibrations) for s in report.structures}
    structures = tuple(
        _structure(one, rows, decisions[one.name], novelty[one.name], calibrations) for one in report.structures
    )
    unlike = [reading.reason for reading in novelty.values() if reading and reading.unlike]
    warnings = [f"Unlike the calibration patients, so its promises are in doubt: {reason}." for reason in unlike]
    return replace(
        report,
        structures=structures,
        verdict=_verdict(report.verdict, decisions | whole, unlike=[n for n, r in novelty.items() if r and r.unlike]),
        calibration=calibrations.summary,
        warnings=(*report.warnings, *warnings),
        methods="\n".join([report.methods, *calibrations.statements]),
    )


def _structure(
    structure: StructureSummary,
    rows: Sequence[Score],
    decisions: Sequence[tuple[FailureFlag, FlagDecision]],
    novelty: NoveltyReading | None,
    calibrations: Calibrations,
) -> StructureSummary:
    margin, threshold = calibrations.margin(structure.name), calibrations.set_threshold(structure.name)
    flags = list(structure.flags)
    if any(decision.flagged for _, decision in decisions):
        flags.append(PREDICTED_FAILURE)
    if novelty is not None and novelty.unlike:
        flags.append(UNLIKE)
    return replace(
        structure,
        volume_ml=_volume(structure, rows, calibrations),
        outer_margin_mm=margin.outer_mm if margin else None,
        set_threshold=threshold.threshold if threshold else None,
        flags=tuple(flags),
    )


def _volume(structure: StructureSummary, rows: Sequence[Score], calibrations: Calibrations) -> Interval:
    record = calibrations.interval(structure.name)
    if record is None:
        return structure.volume_ml
    of = [row for row in rows if row.structure == structure.name]
    (prediction,) = select(of, measure=record.measure)
    upper = select(of, measure="volume_interval_high")[0] if record.from_quantiles else None
    spread = select(of, measure="volume_sd")[0] if record.normalized else None
    interval = record.apply(prediction, upper=upper, spread=spread)
    n = record.guarantee.n_patients
    meaning = f"holds the reference's volume in {100 * interval.level:g} % of patients, calibrated on {n}"
    return Interval(
        value=structure.volume_ml.value,
        low=interval.low,
        high=interval.high,
        level=interval.level,
        n=n,
        meaning=meaning,
    )


def _decisions(
    rows: Sequence[Score], structure: str, calibrations: Calibrations
) -> list[tuple[FailureFlag, FlagDecision]]:
    decided = []
    for flag in calibrations.flags(structure):
        (row,) = select(rows, measure=flag.measure, structure=structure, against="")
        decided.append((flag, flag.apply(row)))
    return decided


def _novelty(rows: Sequence[Score], structure: str, calibrations: Calibrations) -> NoveltyReading | None:
    record = calibrations.novelty(structure)
    return None if record is None else record.apply(novelty_rows(rows, structure, volume=SEGMENTED))


def _verdict(
    plain: Verdict, decisions: dict[str, list[tuple[FailureFlag, FlagDecision]]], *, unlike: Sequence[str]
) -> Verdict:
    """Failure flags decide; without any the verdict stays what it was."""
    every = [(name, flag, decision) for name, pairs in decisions.items() for flag, decision in pairs]
    if not every:
        return plain
    flagged = [(name, flag, decision) for name, flag, decision in every if decision.flagged]
    telling = [one for one in every if np.isfinite(one[2].threshold)]
    name, flag, decision = (flagged or telling or every)[0]
    doubt = f" {', '.join(unlike)}: unlike the calibration patients." if unlike else ""
    promise = (
        f"Of cases that are not flagged, at most {100 * flag.guarantee.alpha:g} % fail ({flag.failure}), with "
        f"confidence {100 * (1 - (flag.guarantee.delta or 0)):g} %."
    )
    reason = f"{decision.reason[:1].upper()}{decision.reason[1:]}." if flagged else "No structure is flagged."
    return Verdict(
        state="review" if flagged or unlike else "pass",
        reason=f"{reason} {promise}{doubt}",
        measure=flag.measure,
        value=decision.value if np.isfinite(decision.value) else None,
        limit=decision.threshold if np.isfinite(decision.threshold) else None,
        structure=name,
    )
