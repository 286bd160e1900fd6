"""Names of structures: made unique within a file, and turned to the nomenclature of AAPM TG-263 where they are known.

Source of the nomenclature: Mayo et al. 2018, doi:10.1016/j.ijrobp.2017.12.013. The aliases are common spellings of
planning systems and public data sets, `tg263_aliases.toml`; a name that is not listed has no standard name.
"""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path

from plausible.core import Problem
from plausible.io.dicom.datasets import caution

_SIDES = {"l": "_L", "left": "_L", "lt": "_L", "r": "_R", "right": "_R", "rt": "_R"}


def standard_name(name: str) -> str | None:
    """Return the TG-263 name of a structure, e.g. "RightParotid" is Parotid_R; None if it is not known.

    Case, spaces and signs do not count; a side may stand in front or at the end.
    """
    return _standard().get(_plain(name))


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


def _plain(name: str) -> str:
    """A name without case, accents and signs, its words joined; a leading side comes last."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", plain)
    words = [word.lower() for word in words]
    if len(words) > 1 and words[0] in _SIDES:
        words = [*words[1:], words[0]]
    if len(words) > 1 and words[-1] in _SIDES:
        words[-1] = _SIDES[words[-1]].lower()
    return "".join(words)


@cache
def _standard() -> dict[str, str]:
    table = tomllib.loads(resources.files("plausible.io.dicom").joinpath("tg263_aliases.toml").read_text("utf-8"))
    return {
        _plain(alias + side): standard + side
        for kind, sides in (("single", ("",)), ("paired", ("_L", "_R")))
        for standard, aliases in table[kind].items()
        for alias in (standard, *aliases)
        for side in sides
    }
