"""Pages in headless Chromium, opened from disk, with everything that they say and ask for."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


@dataclass
class Opened:
    """A page, with everything it said and asked for."""

    page: object
    address: str
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def check_quiet(self) -> None:
        assert self.said == []
        assert [x for x in self.asked if not x.startswith("data:")] == [self.address]


@contextmanager
def chromium() -> Iterator[object]:
    """Start Debian's Chromium, or skip the test where there is none."""
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if binary is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        started = running.chromium.launch(executable_path=binary, args=list(ARGUMENTS))
        yield started
        started.close()


def open_in(context, path: Path, *, place: str = "") -> Opened:
    """Open a file at a place within it, and take down its messages and requests."""
    page = context.new_page()
    opened = Opened(page, path.as_uri())
    page.on("console", lambda message: opened.said.append(message.text))
    page.on("pageerror", lambda error: opened.said.append(str(error)))
    page.on("request", lambda request: opened.asked.append(request.url.partition("#")[0]))
    page.goto(path.as_uri() + place)
    return opened
