"""From panels to one self-contained page: template, style and script are package data and go inside."""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from plausible.report import text
from plausible.report.panels import Panels

View = TypeVar("View")


def render(kind: str, panels: Panels[View], view: View, *, scripts: tuple[str, ...], **values: Any) -> str:
    """Fill the page of a kind; panels without data say what they need, or are left out.

    Args:
        kind: "case" or "cohort".
        panels: what the page consists of.
        view: what the panels read.
        scripts: package files that go into the page, in order.
        values: further values for the page's own template.
    """
    environment = _environment()
    shown = []
    for panel in panels:
        content = panel.function(view)
        if content is None and not panel.needs:
            continue
        body = "" if content is None else environment.get_template(panel.template).render(**content)
        shown.append({"panel": panel, "body": Markup(body)})
    return environment.get_template(f"{kind}.html.j2").render(
        panels=shown,
        style=Markup(_package_text("style.css")),
        scripts=[Markup(_package_text(name)) for name in scripts],
        **values,
    )


def svg_file(picture: Markup) -> str:
    """Return a figure of a page as the text of a file of its own, with the page's style, that any viewer shows."""
    start, inside = str(picture).split(">", 1)
    style = f"{_package_text('style.css')}svg{{background:var(--card)}}"
    return f'{start} xmlns="http://www.w3.org/2000/svg"><style><![CDATA[{style}]]></style>{inside}\n'


def script_json(value: Mapping[str, Any]) -> Markup:
    """JSON that can stand inside a script element, whatever text it holds."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for sign in "<>&":
        written = written.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(written)


def made_by(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What a page lists of a provenance record; settings and inputs have a place of their own."""
    listed = {**provenance, **(provenance.get("extra") or {})}
    return {key: value for key, value in listed.items() if key not in ("settings", "inputs", "extra")}


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(str(files("plausible.report") / "templates")),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": text.number, "fixed": text.fixed, "percent_of": text.percent, "words": text.words}
    environment.tests["known"] = text.known
    return environment


@cache
def _package_text(name: str) -> str:
    return (files("plausible.report") / "templates" / name).read_text(encoding="utf-8")
