"""The picture of a case page in README: `make demo`, then `python docs/picture.py`."""

import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

CASE = Path("plausible_demo/results/hippocampus_261/case.html")
PICTURE = Path(__file__).parent / "images" / "case.webp"
SIZE = {"width": 1280, "height": 1480}


def screenshot(page: Path) -> bytes:
    """Top of a page as a PNG, from headless Chromium."""
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        shown = browser.new_page(viewport=SIZE)
        shown.goto(page.resolve().as_uri())
        taken = shown.screenshot()
        browser.close()
    return taken


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(screenshot(CASE))).convert("RGB").save(PICTURE, quality=80, method=6)
