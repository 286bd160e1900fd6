"""Problems: every code is raised somewhere and explained somewhere, and a message says where, what and how to mend."""

import json
import re
from pathlib import Path

import pytest

from plausible.core import PROBLEMS, InvalidInput, Problem, missing_extra
from plausible.core.problems import located, locating

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [path for path in (ROOT / "src").rglob("*.py") if path.name != "problems.py"]
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (E\d{3}) [^\n]*\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture(scope="module")
def raised() -> set[str]:
    return {code for path in SOURCES for code in re.findall(r'"(E\d{3})"', path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_is_raised_somewhere(code: str, raised: set[str]) -> None:
    assert code in raised


def test_no_code_is_raised_that_is_not_listed(raised: set[str]) -> None:
    assert raised <= set(PROBLEMS)


@pytest.mark.parametrize("code", PROBLEMS)
def test_every_code_is_explained_with_its_title_and_what_mends_it(code: str) -> None:
    assert f"### {code} {PROBLEMS[code]}\n" in PAGE
    assert "**Mend it.**" in SECTIONS[code]


def test_the_page_explains_no_other_code_and_keeps_their_order() -> None:
    assert list(SECTIONS) == sorted(PROBLEMS)


def problem(**changed: str) -> Problem:
    told = {"code": "E202", "found": "5×7×9 voxels", "expected": "5×7×11", "fix": "export it again", **changed}
    return Problem(**told)


def test_a_message_says_where_what_was_found_and_what_mends_it() -> None:
    text = str(problem(subject="s17", member="rater 2", file="s17.nii.gz"))
    assert text.splitlines() == [
        "E202 grid differs: shape: s17, rater 2, s17.nii.gz",
        "  found     5×7×9 voxels",
        "  expected  5×7×11",
        "  fix       export it again",
    ]
    assert str(problem()).splitlines()[0] == "E202 grid differs: shape"


def test_a_record_is_plain_json_with_its_page() -> None:
    told = json.loads(json.dumps(problem(subject="s1").to_dict()))
    assert (told["title"], told["url"], told["severity"]) == ("grid differs: shape", "errors/E202", "error")
    assert set(told) == {"code", "title", "subject", "member", "file", "found", "expected", "fix", "severity", "url"}


def test_an_unknown_code_has_no_title() -> None:
    with pytest.raises(KeyError):
        str(problem(code="E999"))


def test_places_are_filled_in_from_outside_and_never_overwritten() -> None:
    outside, inside = locating(subject="s1", member="m0"), locating(file="inner.npz", member="m7")
    with pytest.raises(InvalidInput) as caught, outside, inside:
        raise InvalidInput(problem())
    told = caught.value.problem
    assert (told.subject, told.member, told.file) == ("s1", "m7", "inner.npz")
    assert located(problem(subject="a"), subject="b").subject == "a"


def test_what_caused_a_problem_is_kept() -> None:
    def read() -> None:
        try:
            raise EOFError("cut off")
        except EOFError as error:
            raise InvalidInput(problem()) from error

    with pytest.raises(InvalidInput) as caught, locating(subject="s1"):
        read()
    assert isinstance(caught.value.__cause__, EOFError)


def test_a_missing_package_is_told_with_the_command_that_installs_it() -> None:
    error = missing_extra("pydicom", extra="dicom")
    assert error.problem.code == "E901"
    assert 'pip install "plausible[dicom]"' in str(error)
