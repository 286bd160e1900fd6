"""Every example of README and documentation runs.

A page is read from top to bottom in one empty folder, as a reader would: its ```python blocks each in a namespace of
their own, its ```console lines that begin with `$ plausible` through the program; a comment says the exit code if it
is not 0 (`# ends with 10`). What is fenced as ```bash is shown only.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner

from tests.docs.blocks import ROOT, Block, blocks, pages

DEMO = "$ plausible demo -o demo"


def cases() -> list[object]:
    """Pages with examples; those that begin with the demonstration are slow."""
    found = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        if any(True for _ in blocks(text)):
            marks = [pytest.mark.slow, pytest.mark.timeout(300)] if DEMO in text else []
            found.append(pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks))
    return found


def run_python(block: Block, page: Path) -> None:
    exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), {"__name__": "example"})


def run_console(block: Block, page: Path) -> None:
    from plausible.cli.main import app

    for command in block.commands:
        expected = re.search(r"# ends with (\d+)$", command)
        done = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
        seen = f"{page.name}:{block.line}: {command}\n{done.output}\n{done.exception!r}"
        assert done.exit_code == (int(expected[1]) if expected else 0), seen


RUN = {"python": run_python, "console": run_console}


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration, made once for all processes of a test run; where a page makes it again, it is kept."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "demo.lock"), pytest.MonkeyPatch.context() as patched:
        patched.chdir(shared)
        run_console(Block("console", DEMO, 0), Path("demo"))
    return shared / "demo"


@pytest.mark.parametrize("page", cases())
def test_the_examples_of_a_page_run(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    text = page.read_text(encoding="utf-8")
    if DEMO in text:
        shutil.copytree(request.getfixturevalue("demo"), tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    for block in blocks(text):
        RUN[block.kind](block, page)


def test_examples_are_found_with_their_lines() -> None:
    shown = "```bash\nplausible train X\n```\n"
    run = "  ```console\n  $ plausible a \\\n    -b\n  said\n  ```\n"
    first, second = blocks("# A\n\n```python\na = 1\n```\n" + shown + run)
    assert (first.kind, first.text, first.line) == ("python", "a = 1", 4)
    assert [shlex.split(command) for command in second.commands] == [["plausible", "a", "-b"]]
