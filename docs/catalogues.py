"""Tables of every catalogue in the code, put into the documentation while it is built."""

import importlib
import pkgutil
import re
from typing import Any

import plausible
from plausible.core import Catalogue, Entry
from plausible.train import DIVERSITY_OBJECTIVES, METHODS

MARK = "<!-- catalogues -->"
METHODS_MARK = "<!-- training methods -->"
OBJECTIVES_MARK = "<!-- diversity objectives -->"
LEFT_OUT = tuple(f"plausible.{name}" for name in ("__main__", "cli", "runs", "sample", "train"))
"""These hold no catalogue; the first runs the program, the last two load torch."""
HEAD = "| name | unit | higher is | what it is | source |\n|---|---|---|---|---|\n"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks on a page by the tables."""
    markdown = markdown.replace(METHODS_MARK, methods_table()) if METHODS_MARK in markdown else markdown
    markdown = markdown.replace(OBJECTIVES_MARK, objectives_table()) if OBJECTIVES_MARK in markdown else markdown
    return markdown.replace(MARK, "\n".join(map(table, catalogues()))) if MARK in markdown else markdown


def catalogues() -> list[Catalogue]:
    """Every catalogue of the package once, by the package whose functions it lists."""
    names = sorted(module.name for module in pkgutil.walk_packages(plausible.__path__, "plausible."))
    modules = [importlib.import_module(name) for name in names if not name.startswith(LEFT_OUT)]
    found = {id(value): value for module in modules for value in vars(module).values() if isinstance(value, Catalogue)}
    return sorted((c for c in found.values() if len(c)), key=lambda c: (home(c), c.kind))


def methods_table() -> str:
    """Every way to train a network, with the command that asks for it."""
    head = "| method | `--method` | members of one network | what it is | source |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| {method.label} | `{name}` | {'as many as are drawn' if method.stochastic else 'the weights that are kept'} "
        f"| {method.summary} | {linked(method.source)} |\n"
        for name, method in METHODS.items()
    )


def objectives_table() -> str:
    """Every objective that makes members differ, with the command that asks for it."""
    head = (
        "| objective | `--diversity` | trained | weight, default | what it is | source |\n|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {objective.label} | `{name}` | {objective.how} | {objective.symbol}, {objective.weight:g} "
        f"| {objective.summary.replace('|', '&#124;')} | {linked(objective.source)} |\n"
        for name, objective in DIVERSITY_OBJECTIVES.items()
    )


def home(catalogue: Catalogue) -> str:
    """Package whose functions a catalogue lists."""
    return ".".join(next(iter(catalogue)).function.__module__.split(".")[:2])


def table(catalogue: Catalogue) -> str:
    """Heading and table of one catalogue."""
    title = catalogue.kind[0].upper() + catalogue.kind[1:] + ("es" if catalogue.kind.endswith("s") else "s")
    return f"## {title}\n\nIn `{home(catalogue)}`.\n\n{HEAD}" + "".join(map(row, catalogue))


def row(entry: Entry) -> str:
    """One method as a line of a table; the name that people see stands below its own where the two differ."""
    name = f"`{entry.name}`" + (f"<br>{entry.label}" if entry.label != entry.name.replace("_", " ") else "")
    summary = entry.summary.replace("|", "\\|")
    return f"| {name} | {entry.unit} | {entry.higher_is} | {summary} | {linked(entry.source)} |\n"


def linked(source: str) -> str:
    """Source with links for the arXiv and DOI numbers in it."""
    source = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", source)
    return re.sub(r"doi:(10\.[^\s,;]+)", r"[doi](https://doi.org/\1)", source)
