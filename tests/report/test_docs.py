from pathlib import Path

from plausible.report import CASE_PANELS, COHORT_PANELS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods" / "report.md"


def test_every_panel_of_the_case_page_is_described() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for panel in CASE_PANELS:
        assert f"| {panel.title} |" in text


def test_every_figure_says_what_it_shows_and_what_to_do() -> None:
    for panel in (*CASE_PANELS, *COHORT_PANELS):
        assert panel.reading.shows
        assert bool(panel.reading.good) == bool(panel.reading.bad) == bool(panel.reading.do)
