"""Both pages in headless Chromium, opened from disk: no error, no request, and the keys work."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plausible.report import cohort_page
from tests.report.browsing import Opened, chromium, open_in
from tests.report.conftest import page_of
from tests.report.examples import cohort, drawn, hippocampus

pytestmark = pytest.mark.browser

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "hippocampus"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with a case page and a cohort page; the case is real where the data are there."""
    out = tmp_path_factory.mktemp("out")
    case = hippocampus(REAL.parent, "hippocampus_178", limit=0.93) if REAL.is_dir() else drawn()
    (out / "case_000").mkdir()
    (out / "case_000" / "case.html").write_text(page_of(case), encoding="utf-8")
    (out / "case_001").mkdir()
    (out / "case_001" / "case.html").write_text(page_of(drawn()), encoding="utf-8")
    (out / "cohort.html").write_text(cohort_page(cohort(500)), encoding="utf-8")
    return out


@pytest.fixture
def open_page(browser, folder: Path):
    contexts = []

    def opened(name: str, **settings: object) -> Opened:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **settings)
        contexts.append(context)
        path, sign, place = name.partition("#")
        return open_in(context, folder / path, place=sign + place)

    yield opened
    for context in contexts:
        context.close()


def number(page) -> int:
    return int(page.text_content("#slice-number"))


def test_the_case_page_opens_without_errors_or_requests(open_page) -> None:
    opened = open_page("case_000/case.html")
    page = opened.page
    assert page.is_visible("#viewer")
    assert page.text_content(".verdict .word") == "Review"
    assert page.evaluate("document.getElementById('base').href.baseVal").startswith("data:image/webp")
    box = page.locator("#stage").bounding_box()
    assert min(box["width"], box["height"]) >= 480
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    opened.check_quiet()


def test_keys_change_the_slice(open_page) -> None:
    opened = open_page("case_000/case.html")
    page = opened.page
    start = number(page)
    worst = [int(x) for x in page.locator("#worst button").all_text_contents()]
    assert start == worst[0]
    for key, expected in (
        ("k", start + 1),
        ("j", start),
        ("ArrowRight", start + 1),
        ("ArrowLeft", start),
        ("]", worst[1]),
        ("[", worst[0]),
        ("[", worst[-1]),
    ):
        page.keyboard.press(key)
        assert number(page) == expected, key
    page.evaluate("document.getElementById('stage').focus({preventScroll: true})")
    before, scrolled = number(page), page.evaluate("scrollY")
    page.keyboard.press("ArrowUp")
    assert number(page) == before + 1
    assert page.evaluate("scrollY") == scrolled
    opened.check_quiet()


def test_pictures_and_contours_follow_the_slice(open_page) -> None:
    page = open_page("case_000/case.html").page
    shown = "[document.getElementById('base').href.baseVal, document.querySelector('#picture .contours').innerHTML]"
    before = page.evaluate(shown)
    page.keyboard.press("k")
    after = page.evaluate(shown)
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_keys_toggle_structures_bands_map_and_reference(open_page) -> None:
    opened = open_page("case_000/case.html")
    page = opened.page
    page.keyboard.press("]")
    visible = "(s) => getComputedStyle(document.querySelector(s)).display !== 'none'"
    for key, selector in (
        ("b", "#picture .p05"),
        ("r", "#picture .reference"),
        ("1", "#picture .contours g:nth-child(1)"),
    ):
        assert page.evaluate(visible, selector), key
        page.keyboard.press(key)
        assert not page.evaluate(visible, selector), key
        page.keyboard.press(key)
        assert page.evaluate(visible, selector), key
    assert page.evaluate(visible, "#picture .p50")
    maps, legends = [], []
    for _ in range(3):
        maps.append(page.evaluate("document.getElementById('overlay').getAttribute('href')"))
        legends.append(page.is_visible("#legend"))
        page.keyboard.press("u")
    assert maps[0].startswith("data:image/webp")
    assert maps[1].startswith("data:image/webp")
    assert maps[0] != maps[1]
    assert maps[2] is None
    assert legends == [True, True, False]
    opened.check_quiet()


def test_zoom_shows_the_part_with_structures(open_page) -> None:
    page = open_page("case_001/case.html").page
    assert page.get_attribute("#picture", "viewBox") == "0 0 40 48"
    page.keyboard.press("z")
    left, top, width, height = map(float, page.get_attribute("#picture", "viewBox").split())
    assert left > 0
    assert left + width < 40
    assert top + height <= 48


def test_help_wheel_slider_and_clicks(open_page) -> None:
    opened = open_page("case_000/case.html")
    page = opened.page
    page.keyboard.press("?")
    assert page.is_visible("#help")
    here = number(page)
    page.keyboard.press("k")
    assert number(page) == here, "keys belong to the dialog while it is open"
    page.keyboard.press("Escape")
    page.hover("#stage")
    page.mouse.wheel(0, -120)
    page.wait_for_function(f"Number(document.getElementById('slice-number').textContent) === {here + 1}")
    page.locator("#slice-range").fill("3")
    assert number(page) == 3
    page.locator(".profile .targets [data-slice='12']").first.click()
    assert number(page) == 12
    last = page.locator("#structures .go").last
    last.click()
    assert number(page) == int(last.get_attribute("data-slice"))
    opened.check_quiet()


def test_an_address_leads_to_its_slice(open_page) -> None:
    assert number(open_page("case_000/case.html#slice-9").page) == 9


def test_tables_sort_by_number(open_page) -> None:
    page = open_page("cohort.html").page
    page.click("#triage-table .sort >> text=Volume CV")
    values = [float(x.strip(" %")) for x in page.locator("#triage-table tbody td:nth-child(6)").all_text_contents()]
    assert values == sorted(values)
    page.click("#triage-table .sort >> text=Volume CV")
    values = [float(x.strip(" %")) for x in page.locator("#triage-table tbody td:nth-child(6)").all_text_contents()]
    assert values == sorted(values, reverse=True)


def test_the_cohort_page_filters_and_leads_to_the_case(open_page) -> None:
    opened = open_page("cohort.html")
    page = opened.page
    rows = page.locator("#triage-table tbody tr:visible")
    assert rows.count() == 1000
    page.keyboard.press("/")
    page.keyboard.type("case_000")
    assert rows.count() == 2
    assert page.text_content("#count") == "2 of 1000 lines"
    page.select_option("#by-structure", "posterior")
    assert rows.count() == 1
    opened.check_quiet()
    page.click("#triage-table tbody tr:visible th a")
    assert page.is_visible("#viewer")


def test_five_hundred_cases_open_in_two_seconds(open_page, folder: Path) -> None:
    took = []
    for _ in range(3):  # the best of three, since other work on the machine only slows it down
        started = time.perf_counter()
        opened = open_page("cohort.html")
        opened.page.wait_for_function("document.querySelectorAll('#triage-table .sort').length > 0")
        took.append(time.perf_counter() - started)
    assert min(took) < 2
    assert (folder / "cohort.html").stat().st_size <= 3e6


def test_without_a_script_both_pages_can_be_read(open_page) -> None:
    case = open_page("case_000/case.html", java_script_enabled=False).page
    assert not case.locator("#viewer").is_visible()
    assert case.locator(".contact figure").first.is_visible()
    assert case.locator("#structures tbody tr").count() == 2
    listed = open_page("cohort.html", java_script_enabled=False).page
    assert listed.locator("#triage-table tbody tr").count() == 1000
    assert not listed.locator("#find").is_visible()


def test_focus_can_be_seen_and_everything_is_named(open_page) -> None:
    page = open_page("case_000/case.html").page
    assert page.get_attribute("html", "lang") == "en"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus("#help-button")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    unnamed = page.evaluate(
        """[...document.querySelectorAll('input, select, button, svg[role=img]')]
            .filter((e) => !e.getAttribute('aria-label') && !e.textContent.trim() && !(e.labels && e.labels.length))
            .map((e) => e.outerHTML)"""
    )
    assert unnamed == []


def test_printing_leaves_the_static_parts(open_page) -> None:
    page = open_page("case_000/case.html").page
    page.emulate_media(media="print")
    assert not page.locator("#viewer").is_visible()
    assert page.locator(".contact figure").first.is_visible()
    assert page.locator("#volumes").is_visible()
    assert page.locator(".banner").is_visible()
