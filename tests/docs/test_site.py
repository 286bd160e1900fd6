"""What is put into the documentation while it is built, and what the site may not load."""

import importlib.util
from types import ModuleType

import pytest

from plausible.cli.main import VERBS
from plausible.cli.outcome import EXIT_CODES
from plausible.evaluate import OVERLAP_SCORES
from plausible.measure import VOXEL_MEASURES
from plausible.train import DIVERSITY_OBJECTIVES
from tests.docs.blocks import ROOT


def script(name: str) -> ModuleType:
    found = importlib.util.spec_from_file_location(f"docs_{name}", ROOT / "docs" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_method_has_its_line_with_unit_and_source() -> None:
    text = script("catalogues").on_page_markdown("<!-- catalogues -->", page=None)
    for entry in (*VOXEL_MEASURES, *OVERLAP_SCORES):
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{entry.name}`")]
        assert f"| {entry.unit} | {entry.higher_is} |" in line
        assert line.count(" | ") == text.splitlines()[4].count(" | ")


def test_every_verb_and_exit_code_is_on_the_page() -> None:
    text = script("verbs").on_page_markdown("<!-- exit codes --><!-- verbs -->", page=None)
    for name in VERBS:
        assert f"Usage: plausible {name} " in text
    assert text.count("Example: plausible ") == len(VERBS)
    assert {f"| {code} |" for code in EXIT_CODES} <= {line[: line.find("|", 1) + 1] for line in text.splitlines()}


def test_every_objective_of_diversity_has_its_line() -> None:
    text = script("catalogues").on_page_markdown("<!-- diversity objectives -->", page=None)
    lines = text.splitlines()
    assert len(lines) == 2 + len(DIVERSITY_OBJECTIVES)
    for name, line in zip(DIVERSITY_OBJECTIVES, lines[2:], strict=True):
        assert f"| `{name}` |" in line
        assert line.count(" | ") == lines[0].count(" | ")


def test_other_pages_stay_as_they_are() -> None:
    for name in ("catalogues", "verbs"):
        assert script(name).on_page_markdown("# Any", page=None) == "# Any"


def test_sources_become_links() -> None:
    linked = script("catalogues").linked("A 2018, arXiv:1710.07283; B 1999, doi:10.1109/34.232073, p. 3")
    assert "[arXiv:1710.07283](https://arxiv.org/abs/1710.07283)" in linked
    assert "(https://doi.org/10.1109/34.232073), p. 3" in linked


@pytest.mark.parametrize(
    ("html", "loads"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link rel="preconnect" href="//fonts.example">', ["//fonts.example"]),
        ('<img src="https://badge.example/b.svg">', ["https://badge.example/b.svg"]),
        ('<a href="https://doi.org/10.1/2">paper</a><link rel="next" href="https://x.example/">', []),
        ('<script src="assets/x.js"></script><link rel="stylesheet" href="../a.css">', []),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_seen(html: str, loads: list[str]) -> None:
    assert script("offline").loaded_from_elsewhere(html) == loads


def test_a_site_that_loads_from_elsewhere_is_refused(tmp_path) -> None:
    from mkdocs.exceptions import PluginError

    (tmp_path / "fine.html").write_text("<p>x</p>")
    offline = script("offline")
    offline._refuse(tmp_path.glob("*.html"))
    (tmp_path / "page.html").write_text('<script src="https://cdn.example/x.js"></script>')
    with pytest.raises(PluginError, match=r"page\.html loads https://cdn\.example"):
        offline._refuse(tmp_path.glob("*.html"))
