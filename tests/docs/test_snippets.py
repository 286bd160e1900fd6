"""Every example of README and documentation runs.

A page is read from top to bottom in one empty folder, as a reader would: its ```python blocks each in a namespace of
their own, its ```console lines that begin with `$ plausible` through the program; a comment says the exit code if it
is not 0 (`# ends with 10`). What is fenced as ```bash is shown only.
"""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.docs.blocks import ROOT, Block, blocks, pages

WITH_EXAMPLES = [page for page in pages() if any(True for _ in blocks(page.read_text(encoding="utf-8")))]


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


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(page.read_text(encoding="utf-8")):
        RUN[block.kind](block, page)


def test_examples_are_found_with_their_lines() -> None:
    shown = "```bash\nplausible train X\n```\n"
    run = "  ```console\n  $ plausible a \\\n    -b\n  said\n  ```\n"
    first, second = blocks("# A\n\n```python\na = 1\n```\n" + shown + run)
    assert (first.kind, first.text, first.line) == ("python", "a = 1", 4)
    assert [shlex.split(command) for command in second.commands] == [["plausible", "a", "-b"]]
