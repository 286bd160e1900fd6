"""Names of structures and their bands in the 16 characters that planning systems take, each different from all others.

A band begins with z, as AAPM TG-263 wants it for what is not to be evaluated, and ends with its level, as in
`zParotid_L_p05`. What does not fit is taken out of the structure's name, in front of its side, never off the level.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence

LENGTH = 16
"""Longest name that planning systems keep whole."""
MARK = "z"


def roi_names(structures: Sequence[str], suffixes: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return a name for each structure (with suffix "") and for each of its bands.

    Names differ by more than upper and lower case. All bands of one structure have one base.

    Args:
        structures: different names.
        suffixes: of the bands, such as "_p05".
    """
    room = LENGTH - len(MARK) - max((len(suffix) for suffix in suffixes), default=0)
    found: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for structure in structures:
        for base in _bases(_plain(structure), room):
            names = {"": _fitted(base, LENGTH)}
            names |= {suffix: f"{MARK}{_fitted(base, room)}{suffix}" for suffix in suffixes}
            folded = {name.lower() for name in names.values()}
            if not folded & taken and len(folded) == len(names):
                break
        taken |= folded
        found |= {(structure, suffix): name for suffix, name in names.items()}
    return found


def _bases(name: str, room: int) -> Iterator[str]:
    """Yield the name itself, then shorter ones with a number that is not cut off."""
    yield name
    stem, side = _parted(name)
    for n in range(2, 10_000):
        yield f"{stem[: room - len(str(n)) - len(side)]}{n}{side}"


def _fitted(name: str, length: int) -> str:
    """Cut a name to a length, in front of its side."""
    stem, side = _parted(name)
    return name if len(name) <= length else stem[: length - len(side)].rstrip("_") + side


def _parted(name: str) -> tuple[str, str]:
    side = name[-2:] if name[-2:].upper() in {"_L", "_R"} else ""
    return name.removesuffix(side), side


def _plain(name: str) -> str:
    """Letters, digits, underscore, hyphen and dot of ASCII; accents are dropped, anything else is an underscore."""
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    kept = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in letters.strip())
    return kept or "ROI"


def renamed(structures: Sequence[str], standard: Mapping[str, str | None]) -> dict[str, str]:
    """Return the standard name of each structure where it has one that no other claims, else its own."""
    claimed = [standard.get(one) or one for one in structures]
    return {one: name if claimed.count(name) == 1 else one for one, name in zip(structures, claimed, strict=True)}
