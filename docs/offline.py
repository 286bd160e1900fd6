"""The site asks nobody but its own server: the build fails if a page would load something from elsewhere."""

from collections.abc import Iterable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
LOADING_LINKS = {"stylesheet", "preconnect", "dns-prefetch", "preload", "modulepreload", "icon"}


class _Loads(HTMLParser):
    """Addresses on other servers that a browser asks for while it opens a page; links to follow are none."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        address = told.get(LOADING.get(tag, ""), "")
        if tag == "link" and LOADING_LINKS & set(told.get("rel", "").split()):
            address = told.get("href", "")
        if address.startswith(("http:", "https:", "//")):
            self.found.append(address)


def loaded_from_elsewhere(html: str) -> list[str]:
    """Addresses on other servers that a page loads."""
    reader = _Loads()
    reader.feed(html)
    return reader.found


def on_post_build(config: Any) -> None:
    """Refuse a site with a page that loads something from another server.

    Raises:
        PluginError: names the pages and the addresses.
    """
    _refuse(Path(config.site_dir).rglob("*.html"))


def _refuse(pages: Iterable[Path]) -> None:
    found = {page.name: loaded_from_elsewhere(page.read_text(encoding="utf-8")) for page in pages}
    faults = [f"{name} loads {address}" for name, addresses in sorted(found.items()) for address in addresses]
    if faults:
        raise PluginError("\n".join(faults))
