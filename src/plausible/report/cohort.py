"""The page of a study: which cases and structures to look at first, and how far the numbers can be trusted."""

from plausible.report.cohort_panels import COHORT_PANELS, CohortView, triage_order
from plausible.report.model import CohortReport
from plausible.report.page import render


def cohort_page(report: CohortReport, *, max_mb: float = 3.0) -> str:
    """Return a study as a self-contained HTML page.

    Where all lines do not fit, the page shows the least agreed ones and says how many; cohort.json holds all.

    Args:
        report: the numbers, as in cohort.json; nothing is computed here.
        max_mb: budget in MB (10^6 bytes).

    Raises:
        ValueError: a study without cases.
    """
    if not report.n_cases:
        raise ValueError(f"{report.study}: no case to report; check the input folder with `plausible inspect`")
    lines = triage_order(report.lines)
    budget, page, n_shown, links = max_mb * 1e6, "", len(lines), True
    while True:
        note = (
            f"To keep this page below {max_mb:.3g} MB, the {n_shown} least agreed of {len(lines)} lines are shown; "
            "cohort.json holds all."
            if n_shown < len(lines)
            else ""
        )
        view = CohortView(report, lines, n_shown, links, note)
        page = render("cohort", COHORT_PANELS, view, scripts=("tables.js", "cohort.js"), report=report)
        if len(page.encode()) <= budget or n_shown <= 20:
            return page
        n_shown, links = (n_shown, False) if links else (max(n_shown // 2, 20), False)
