"""Names of structures, made unique within a file."""

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from plausible.core import Problem, standard_name
from plausible.io.dicom.datasets import caution


def unique_names(names: Mapping[int, str], *, path: Path | None = None) -> tuple[dict[int, str], list[Problem]]:
    """Return a name of its own for each ROI: the second of two alike is called `name_2`.

    Names are alike if they differ by case, spaces, underscores or hyphens only: files and tables mix such names up.
    """
    called, problems, seen = dict[int, str](), list[Problem](), dict[str, int]()
    taken = {_folded(name) for name in names.values()}
    for number, written in names.items():
        name = written or f"ROI_{number}"
        first = seen.setdefault(_folded(name), number)
        if first != number:
            name = _free(name, taken)
            taken.add(_folded(name))
            problems.append(_alike(path, number, written, first, names[first], name))
        called[number] = name
    return called, problems


def numbers_of(name: str, written: Mapping[int, str]) -> list[int]:
    """ROIs of a name as it is written; else those of its TG-263 name. One is meant, none is missing, more are alike."""
    exact = [number for number, told in written.items() if told == name]
    meant = standard_name(name) or name
    return exact or [number for number, told in written.items() if standard_name(told) == meant]


def _free(name: str, taken: set[str]) -> str:
    n = 2
    while _folded(f"{name}_{n}") in taken:
        n += 1
    return f"{name}_{n}"


def _alike(path: Path | None, number: int, name: str, first: int, other: str, called: str) -> Problem:
    return caution(
        "E613",
        path=path,
        found=f"ROI {number} {name!r} and ROI {first} {other!r}; ROI {number} is called {called!r} here",
        expected="names that differ by more than case, spaces and signs",
        fix="rename one of them in the planning system",
    )


def _folded(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", name).casefold())
