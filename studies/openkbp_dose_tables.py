"""Tables of the study of OpenKBP's dose: intervals, bands, constraints, rank correlations, and the raters beside."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from plausible.calibrate import IntervalCalibration
from plausible.core import Score
from plausible.evaluate import Estimate, bootstrap_mean, bootstrap_statistic
from plausible.report.dose_model import CaseDose, MetricDose, StructureDose
from plausible.report.text import known
from plausible.runs.dose_calibrated import calibrated_case
from plausible.runs.dose_calibration import DoseCalibrateSettings, calibrate_doses

CLINICAL = {
    "Brainstem": "D0.1cc[Gy]",
    "SpinalCord": "D0.1cc[Gy]",
    "RightParotid": "Mean[Gy]",
    "LeftParotid": "Mean[Gy]",
    "Mandible": "D0.1cc[Gy]",
}
"""The metric of each organ's plan criterion (open-kbp-opt)."""

TODAY = date(2026, 11, 25)
SETTINGS = DoseCalibrateSettings(population="OpenKBP, oropharynx, planned dose", alpha=0.1, missed=0.05)


def tables(cases: Sequence[CaseDose], scores: Sequence[Score], *, repeats: int, seed: int) -> str:
    """All tables of the held-out patients, as Markdown."""
    splits = list(_splits(len(cases), repeats=repeats, seed=seed))
    calibrated = [_on_other_half(cases, test) for test in splits]
    return "\n\n".join(
        [
            f"**Segmentation**, {len(cases)} held-out patients.\n\n{_segmentation(scores, seed)}",
            f"**Intervals of 90 %** around the clinical metric (Gy).\n\n{_intervals(cases, calibrated)}",
            f"**Bands of 90 % for the whole DVH.**\n\n{_bands(cases, calibrated)}",
            f"**Constraints.**\n\n{_constraints(cases, calibrated)}",
            f"**Rank correlation with the true error of the clinical metric.**\n\n{_ranks(cases, scores, seed)}",
        ]
    )


def _splits(n: int, *, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """Numbers of the test patients: a random half, again and again."""
    rng = np.random.default_rng(seed)
    for _ in range(repeats):
        yield rng.permutation(n)[: n // 2]


def _on_other_half(cases: Sequence[CaseDose], test: np.ndarray) -> list[CaseDose]:
    """Test patients with what was calibrated on all others."""
    held_out = set(test.tolist())
    found = calibrate_doses([one for n, one in enumerate(cases) if n not in held_out], SETTINGS, today=TODAY)
    return [calibrated_case(cases[n], found) for n in sorted(held_out)]


def _of(case: CaseDose, organ: str) -> tuple[StructureDose, MetricDose]:
    structure = next(one for one in case.structures if one.name == organ)
    return structure, next(m for m in structure.metrics if m.metric == CLINICAL[organ])


def _reference(metric: MetricDose) -> float:
    (value,) = metric.reference.values()
    return math.nan if value is None else float(value)


def _segmentation(scores: Sequence[Score], seed: int) -> str:
    lines = ["| organ | Dice of the ensemble (95 % interval) | n |", "|---|---|---|"]
    for organ in CLINICAL:
        values = [
            row.value
            for row in scores
            if row.measure == "dice" and row.structure == organ and row.against and row.reduction == "ensemble"
        ]
        lines.append(f"| {organ} | {_told(bootstrap_mean(np.array(values), seed=seed))} | {len(values)} |")
    return "\n".join(lines)


def _intervals(cases: Sequence[CaseDose], calibrated: Sequence[Sequence[CaseDose]]) -> str:
    head = "| organ, metric | n | median error | members: covered, width | calibrated: covered, width |"
    lines = [head, "|---|---|---|---|---|"]
    for organ, metric in CLINICAL.items():
        found = [_of(case, organ)[1] for case in cases]
        there = [m for m in found if known(m.nominal) and math.isfinite(_reference(m))]
        errors = [abs(float(m.nominal or 0) - _reference(m)) for m in there]
        plain = [_held(m.interval_90, _reference(m)) for m in there if known(m.interval_90[0])]
        after = [
            _held(m.calibrated, _reference(m))
            for half in calibrated
            for m in (_of(case, organ)[1] for case in half)
            if m.calibrated is not None and math.isfinite(_reference(m))
        ]
        cells = [f"{organ}, {metric}", str(len(there)), f"{np.median(errors):.2f}", _covered(plain), _covered(after)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _held(interval: Any, value: float) -> tuple[bool, float]:
    low, high = float(interval[0]), float(interval[1])
    return low <= value <= high, high - low


def _covered(found: Sequence[tuple[bool, float]], *, width_first: bool = False) -> str:
    """Share of the intervals that hold the value, and their mean width."""
    if not found:
        return "-"
    held, widths = zip(*found, strict=True)
    told = f"{100 * float(np.mean(held)):.0f} %", f"{float(np.mean(widths)):.1f}"
    return ", ".join(reversed(told) if width_first else told)


def _bands(cases: Sequence[CaseDose], calibrated: Sequence[Sequence[CaseDose]]) -> str:
    lines = [
        "| organ | members' pointwise band holds the curve | calibrated band | its mean width |",
        "|---|---|---|---|",
    ]
    for organ in CLINICAL:
        plain = [held for case in cases for held, _ in _curve(case, organ, "low_90", "high_90")]
        after = [
            one
            for half in calibrated
            for case in half
            for one in _curve(case, organ, "low_calibrated", "high_calibrated")
        ]
        width = np.mean([width for _, width in after]) if after else math.nan
        cells = [_percent(plain), _percent([held for held, _ in after]), f"{100 * width:.1f} points"]
        lines.append(f"| {organ} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _curve(case: CaseDose, organ: str, low: str, high: str) -> Iterator[tuple[bool, float]]:
    """Whether the reference's whole curve lies in a band, and the mean width from 1 Gy to the hottest dose."""
    curves = _of(case, organ)[0].curves
    if curves is None or not curves.reference or not getattr(curves, low) or not known(getattr(curves, low)[0]):
        return
    (reference,) = curves.reference.values()
    ends = [np.array(getattr(curves, name), dtype=float) for name in (low, high)]
    true = np.array(reference, dtype=float)
    dose = np.array(curves.dose_gy)
    inside = (dose >= 1) & (dose <= (case.maximum_gy or 0))
    held = (ends[0][inside] - 1e-4 <= true[inside]) & (true[inside] <= ends[1][inside] + 1e-4)
    yield bool(held.all()), float((ends[1] - ends[0])[inside].mean())


def _percent(held: Sequence[bool]) -> str:
    return f"{100 * float(np.mean(held)):.0f} % of {len(held)}" if held else "-"


def _constraints(cases: Sequence[CaseDose], calibrated: Sequence[Sequence[CaseDose]]) -> str:
    lines = [
        "| constraint | n | violated | undecided | missed: segmentation, members | false alarms: the same |"
        " calibrated rule: missed, passes |",
        "|---|---|---|---|---|---|---|",
    ]
    for organ in CLINICAL:
        found = [(one, _violated(one)) for case in cases for one in _of(case, organ)[0].constraints]
        known = [(one, true) for one, true in found if true is not None and one.verdict != "cannot_tell"]
        if not known:
            continue
        missed = [sum(true and not one.nominal_violates for one, true in known),
                  sum(true and one.verdict == "pass" for one, true in known)]  # fmt: skip
        alarms = [sum(not true and one.nominal_violates for one, true in known),
                  sum(not true and one.verdict == "fail" for one, true in known)]  # fmt: skip
        rule = [
            (bool(one.calibrated_pass and _violated(one)), bool(one.calibrated_pass))
            for half in calibrated
            for case in half
            for one in _of(case, organ)[0].constraints
            if one.calibrated_pass is not None and _violated(one) is not None
        ]
        after = (
            f"{100 * np.mean([m for m, _ in rule]):.1f} %, {100 * np.mean([p for _, p in rule]):.0f} %" if rule else "-"
        )
        undecided = sum(one.verdict == "undecided" for one, _ in known)
        cells = [f"{organ} {known[0][0].text}", len(known), sum(bool(true) for _, true in known), undecided,
                 f"{missed[0]}, {missed[1]}", f"{alarms[0]}, {alarms[1]}", after]  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _violated(constraint: Any) -> bool | None:
    return next(iter(constraint.reference_violates.values()), None)


def _ranks(cases: Sequence[CaseDose], scores: Sequence[Score], seed: int) -> str:
    """Spearman over patients within each organ, averaged over organs; bootstrap over patients."""
    order = {case.subject: n for n, case in enumerate(cases)}
    errors = np.array([[_error(_of(case, organ)[1]) for organ in CLINICAL] for case in cases])
    unsure: dict[str, np.ndarray] = {
        "SD of the metric between members": _column(cases, lambda s, m: m.sd),
        "first-order SD of the metric": _column(cases, lambda s, m: m.review.sd if m.review else None),
        "dose-aware uncertainty": _column(cases, lambda s, m: s.uncertainty_gy),
        **{name: _rows(scores, order, **told) for name, told in ROWS.items()},
    }
    lines = ["| score | Spearman with abs(error), mean over organs (95 % interval) | "
             + " | ".join(CLINICAL) + " |", "|" + "---|" * (2 + len(CLINICAL))]  # fmt: skip
    for name, values in unsure.items():
        found = bootstrap_statistic(
            lambda drawn, values=values: _mean_rank(errors[drawn.astype(int)], values[drawn.astype(int)]),
            np.arange(len(cases), dtype=float),
            seed=seed,
            n_resamples=2000,
        )
        each = [f"{_spearman(errors[:, k], values[:, k]):.2f}" for k in range(len(CLINICAL))]
        lines.append(f"| {name} | {_told(found, digits=2)} | " + " | ".join(each) + " |")
    return "\n".join(lines)


ROWS: Mapping[str, Mapping[str, Any]] = {
    "1 - pairwise Dice": {"measure": "mean_pairwise_dice", "sign": -1},
    "predictive entropy, mean of the segmentation": {
        "measure": "predictive_entropy", "region": "predicted_structure", "reduction": "mean", "sign": 1,
    },
    "CV of the volume": {"measure": "volume_cv", "sign": 1},
}  # fmt: skip
"""Scores that know nothing of the dose; more is less sure."""


def _column(cases: Sequence[CaseDose], read: Callable[[StructureDose, MetricDose], float | None]) -> np.ndarray:
    found = [[read(*_of(case, organ)) for organ in CLINICAL] for case in cases]
    return np.array([[math.nan if value is None else value for value in row] for row in found])


def _rows(scores: Sequence[Score], order: Mapping[str, int], *, sign: int, **wanted: str) -> np.ndarray:
    found = np.full((len(order), len(CLINICAL)), math.nan)
    organs = list(CLINICAL)
    for row in scores:
        fits = not row.against and row.structure in organs and all(getattr(row, k) == v for k, v in wanted.items())
        if fits and row.subject in order:
            found[order[row.subject], organs.index(row.structure)] = sign * row.value
    return found


def _error(metric: MetricDose) -> float:
    return math.nan if metric.nominal is None else abs(metric.nominal - _reference(metric))


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or len(set(a[known])) < 2 or len(set(b[known])) < 2:
        return math.nan
    return float(spearmanr(a[known], b[known]).statistic)


def _mean_rank(errors: np.ndarray, values: np.ndarray) -> float:
    return float(np.nanmean([_spearman(errors[:, k], values[:, k]) for k in range(errors.shape[1])]))


def ambiguity_table(
    cases: Sequence[CaseDose], calibration: Sequence[CaseDose], *, raters: Sequence[str], seed: int
) -> str:
    """Human spread of the clinical metric beside the model's interval."""
    found = calibrate_doses(calibration, SETTINGS, today=TODAY)
    lines = [
        f"**Raters beside the model**, {len(cases)} patients with {len(raters)} raters (Gy).",
        "",
        "| organ, metric | n | SD between raters (95 % interval) | SD between members | range of the raters | width of "
        "the members' interval, raters inside | width of the calibrated interval, raters inside |",
        "|---|---|---|---|---|---|---|",
    ]
    for organ, metric in CLINICAL.items():
        record = found.about(IntervalCalibration, organ, measure=metric)
        pairs = [(_of(case, organ)[1], _of(calibrated_case(case, found), organ)[1]) for case in cases]
        known = [(m, c, theirs) for m, c in pairs if len(theirs := _values(m)) == len(raters) and c.calibrated]
        if not known or record is None:
            continue
        sd = bootstrap_mean(np.array([np.std(theirs, ddof=1) for _, _, theirs in known]), seed=seed)
        ranges = np.mean([max(theirs) - min(theirs) for _, _, theirs in known])
        plain = [_held(m.interval_90, value) for m, _, theirs in known for value in theirs]
        after = [_held(c.calibrated, value) for _, c, theirs in known for value in theirs]
        members = np.mean([float(m.sd or 0) for m, _, _ in known])
        cells = [f"{organ}, {metric}", str(len(known)), _told(sd, digits=2), f"{members:.2f}", f"{ranges:.1f}",
                 _covered(plain, width_first=True), _covered(after, width_first=True)]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _values(metric: MetricDose) -> list[float]:
    return [float(value) for value in metric.reference.values() if value is not None and math.isfinite(value)]


def _told(found: Estimate, *, digits: int = 3) -> str:
    return f"{found.value:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"
