"""The examples of a page: what is fenced as ```python, and the `$ plausible` lines of what is fenced as ```console."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>python|console)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE
)


@dataclass(frozen=True)
class Block:
    """One example, and the line of the page that it begins on."""

    kind: str
    text: str
    line: int

    @property
    def commands(self) -> list[str]:
        """What a person would type, without the prompt; a line that ends with a backslash goes on."""
        joined = self.text.replace("\\\n", " ")
        return [line.strip()[2:] for line in joined.splitlines() if line.strip().startswith("$ plausible")]


def pages() -> list[Path]:
    """README and every page of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """Examples of a page, in order."""
    for found in FENCE.finditer(text):
        lines = found["text"].splitlines()
        inner = "\n".join(line.removeprefix(found["indent"]) for line in lines)
        yield Block(found["kind"], inner, text[: found.start()].count("\n") + 2)
