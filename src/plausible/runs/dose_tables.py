"""doses.csv and constraints.csv: every metric and every constraint of all cases, from their dose.json."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from plausible.io.rows import write_table
from plausible.report.dose_model import CaseDose
from plausible.report.model import ConstraintLine
from plausible.report.schema import dose_from_json
from plausible.runs.layout import CASE_JSON, CASE_PAGE, DOSE_JSON, case_folders

DOSES, CONSTRAINTS = "doses.csv", "constraints.csv"

DOSE_COLUMNS = (
    "subject", "structure", "tg263", "metric", "unit", "nominal", "median", "mean", "sd", "low_50", "high_50",
    "low_90", "high_90", "method_90", "n", "n_undefined", "first_order_sd", "review_slice", "review_share",
    "outside_share", "dvh_method", "flags", "reference", "reference_value", "covered",
)  # fmt: skip
CONSTRAINT_COLUMNS = (
    "subject", "structure", "tg263", "metric", "unit", "operator", "limit", "acceptable", "priority", "verdict", "sure",
    "close", "probability", "low", "high", "level", "interval", "k", "n", "n_undefined", "k_acceptable", "nominal",
    "nominal_violates", "reference", "reference_violates", "review_slice", "checked", "source",
)  # fmt: skip


def read_dose_result(folder: Path) -> CaseDose | None:
    """Read dose.json of a case; None where its dose was not judged.

    Raises:
        InvalidInput: E305, the file is damaged or of another version.
    """
    from plausible.runs.pages import damaged

    path = folder / DOSE_JSON
    try:
        return dose_from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def read_dose_results(output: Path) -> list[CaseDose]:
    """Read dose.json of every case of a run.

    Raises:
        InvalidInput: E305, a file is damaged or of another version.
        ValueError: there is none.
    """
    found = [one for folder in case_folders(output) if (one := read_dose_result(folder)) is not None]
    if not found:
        raise ValueError(f"{output.name}: no case has a dose.json; run plausible dose --references first")
    return found


def write_dose_tables(output: Path, doses: Sequence[CaseDose]) -> None:
    """Write both tables; nothing if no case has a dose."""
    if doses:
        write_table(output / DOSES, DOSE_COLUMNS, (line for one in doses for line in _metric_lines(one)))
        write_table(
            output / CONSTRAINTS, CONSTRAINT_COLUMNS, (line for one in doses for line in _constraint_lines(one))
        )


def cohort_lines(output: Path, doses: Sequence[CaseDose]) -> Iterator[ConstraintLine]:
    """Every constraint of every case, as the cohort's page lists them."""
    for one in doses:
        page = f"{one.subject}/{CASE_PAGE}" if (output / one.subject / CASE_JSON).is_file() else ""
        for structure in one.structures:
            reviews = {metric.metric: metric.review for metric in structure.metrics}
            for line in structure.constraints:
                review = reviews.get(line.metric)
                yield ConstraintLine(
                    subject=one.subject,
                    structure=structure.name,
                    text=line.text,
                    unit=line.unit,
                    verdict=line.verdict,
                    sure=line.sure,
                    nominal=line.nominal,
                    nominal_violates=line.nominal_violates,
                    close=line.close,
                    probability=line.probability,
                    low=line.low,
                    high=line.high,
                    k=line.k,
                    n=line.n,
                    priority=line.priority,
                    checked=line.checked,
                    review_slice=review.slice_index if review else None,
                    page=page,
                )


def _metric_lines(one: CaseDose) -> Iterator[dict[str, Any]]:
    """One line per metric, and one per reference where there are several."""
    for structure in one.structures:
        for metric in structure.metrics:
            review = metric.review
            line = {
                **{name: getattr(metric, name) for name in ("metric", "unit", "nominal", "median", "mean", "sd")},
                **{name: getattr(metric, name) for name in ("method_90", "n", "n_undefined")},
                "subject": one.subject,
                "structure": structure.name,
                "tg263": structure.standard_name,
                "low_50": metric.interval_50[0],
                "high_50": metric.interval_50[1],
                "low_90": metric.interval_90[0],
                "high_90": metric.interval_90[1],
                "first_order_sd": review.sd if review else "",
                "review_slice": review.slice_index if review and review.slice_index is not None else "",
                "review_share": review.share if review else "",
                "outside_share": structure.outside_share,
                "dvh_method": structure.dvh_method,
                "flags": "; ".join(metric.flags),
            }
            low, high = metric.interval_90
            yield from (
                {**line, "reference": rater, "reference_value": value, "covered": _inside(value, low, high)}
                for rater, value in metric.reference.items()
            )
            if not metric.reference:
                yield {**line, "reference": "", "reference_value": "", "covered": ""}


def _constraint_lines(one: CaseDose) -> Iterator[dict[str, Any]]:
    for structure in one.structures:
        reviews = {metric.metric: metric.review for metric in structure.metrics}
        for line in structure.constraints:
            review = reviews.get(line.metric)
            written = {
                **{name: getattr(line, name) for name in CONSTRAINT_COLUMNS if hasattr(line, name)},
                "subject": one.subject,
                "structure": structure.name,
                "tg263": structure.standard_name,
                "acceptable": "" if line.acceptable is None else line.acceptable,
                "priority": "" if line.priority is None else line.priority,
                "k_acceptable": "" if line.k_acceptable is None else line.k_acceptable,
                "review_slice": review.slice_index if review and review.slice_index is not None else "",
                "sure": _yes(line.sure),
                "close": _yes(line.close),
                "checked": _yes(line.checked),
                "nominal_violates": _yes(line.nominal_violates),
            }
            yield from (
                {**written, "reference": rater, "reference_violates": _yes(broken)}
                for rater, broken in line.reference_violates.items()
            )
            if not line.reference_violates:
                yield {**written, "reference": "", "reference_violates": ""}


def _inside(value: float, low: float, high: float) -> str:
    return _yes(low <= value <= high) if math.isfinite(low) and math.isfinite(value) else ""


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"
