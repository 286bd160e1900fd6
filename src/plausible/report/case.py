"""The page of one case: what to do, which structure, which slice, and everything behind it."""

from collections.abc import Sequence

from plausible.aggregate.tracing import levels_of
from plausible.core import Image, LabelMap, ScalarMap
from plausible.report.case_panels import CASE_PANELS, CaseView, colours_of, worst_slices
from plausible.report.dose_model import CaseDose
from plausible.report.model import CaseReport
from plausible.report.page import render
from plausible.report.slices import PLANS, SliceSource, size_estimate, slice_source, viewer_data

REST_BYTES = 150_000
"""Style, script and the other panels of a case of ordinary size."""


def case_page(
    report: CaseReport,
    *,
    image: Image | None,
    probability: ScalarMap,
    segmentation: LabelMap,
    maps: Sequence[ScalarMap],
    reference: LabelMap | None = None,
    dose: CaseDose | None = None,
    max_mb: float = 8.0,
) -> str:
    """Return one case as a self-contained HTML page.

    Pictures get coarser and slices far from structures are left out until the page fits; the page says so.

    Args:
        report: the numbers, as in case.json; nothing is computed here.
        image: what lies behind the contours.
        probability: mean probability, a frame per class or structure.
        segmentation: label map of the mean probability.
        maps: maps to lay over the image; the first one is shown at first.
        reference: contours to compare with.
        dose: the dose, as in dose.json; its maps are among `maps`.
        max_mb: budget in MB (10^6 bytes).

    Raises:
        InvalidInput: E201 or E202, something lies on another grid than the segmentation.
    """
    source = slice_source(
        image=image,
        probability=probability,
        segmentation=segmentation,
        maps=maps,
        reference=reference,
        structures=[structure.name for structure in report.structures],
        levels=levels_of(hard=report.hard_members, n_members=max(len(report.members), 1)),
        hard=report.hard_members,
        worst=worst_slices(report, dose),
        subject=report.subject,
    )
    return _fitted(report, source, dose, budget=max_mb * 1e6)


def _fitted(report: CaseReport, source: SliceSource, dose: CaseDose | None, *, budget: float) -> str:
    page = ""
    for plan in PLANS:
        if plan is not PLANS[-1] and size_estimate(source, plan) > budget - REST_BYTES:
            continue
        note = f"To keep this page below {budget / 1e6:.3g} MB, {plan.note}." if plan.note else ""
        data = viewer_data(source, plan, colours=colours_of(report))
        view = CaseView(report, data, note, dose)
        page = render("case", CASE_PANELS, view, scripts=("tables.js", "viewer.js"), report=report)
        if len(page.encode()) <= budget:
            break
    return page
