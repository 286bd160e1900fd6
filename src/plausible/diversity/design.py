"""What the members of a set were varied in: a crossed grid of sources such as fold × seed, and what is outside of it.

Variance can be told apart by source only where sources were varied on purpose, each level of one with each level of
the others. This is read from what made the members, or from a table. Then

- a source with one level says nothing: its share is undefined, never zero;
- a source that has another level for every member (seeds that never repeat, weights) is what remains: the residual;
- two sources that always change together cannot be told apart and are one;
- a grid with gaps is reduced to the largest one without, and what was left out is said.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, combinations, product

from plausible.core import InvalidInput, MemberInfo, Problem

FACTORS = ("architecture", "method", "fold", "rater", "view", "seed", "checkpoint", "draw")
"""Sources that are read from what made a member, in this order."""
MAX_FACTORS = 3
MAX_LEVELS = 12
"""More levels of a source, in a grid with gaps, are not searched for the largest balanced part."""

Levels = Mapping[str, str]
"""Level of each source for one member; an empty text where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceDesign:
    """A balanced grid of members.

    Attributes:
        factors: sources that are crossed, each name with those that always change with it ("architecture = method").
        levels: levels of each.
        cells: members in order of the levels, the last source fastest, then the repeats of a cell.
        n_repeats: members per cell.
        residual: sources whose levels differ from member to member, which the residual holds; empty if none is known.
        undefined: sources with one level: nothing can be said of them.
        left_out: members outside the grid.
    """

    factors: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...]
    cells: tuple[str, ...]
    n_repeats: int
    residual: tuple[str, ...]
    undefined: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Levels of each source, then repeats."""
        return (*map(len, self.levels), self.n_repeats)

    @property
    def told(self) -> str:
        """The design in words."""
        grid = " × ".join(f"{name} ({len(found)})" for name, found in zip(self.factors, self.levels, strict=True))
        repeats = f", {self.n_repeats} repeats each" if self.n_repeats > 1 else ""
        within = f", {' = '.join(self.residual)} within" if self.residual else ""
        return grid + repeats + within


def levels_of(infos: Sequence[MemberInfo]) -> dict[str, dict[str, str]]:
    """Return the levels that are known of each member from what made it."""
    found = {}
    for info in infos:
        told = asdict(info)
        found[info.id] = {name: "" if told[name] is None else str(told[name]) for name in FACTORS}
    return found


def design_of(levels: Mapping[str, Levels], *, only: Sequence[str] = ()) -> SourceDesign:
    """Find the balanced grid that members form.

    Args:
        levels: of each member; every one with the same sources.
        only: sources to look at; all if empty.

    Raises:
        InvalidInput: E410, no source varies, or there is nothing that repeats or crosses; E409, no balanced part.
        ValueError: a source that the members do not have.
    """
    names = list(next(iter(levels.values()), {}))
    unknown = [name for name in only if name not in names]
    if unknown:
        raise ValueError(f"no source {', '.join(unknown)}; there are: {', '.join(names)}")
    table = {name: [levels[member][name] for member in levels] for name in (only or names)}
    known = {name: column for name, column in table.items() if all(column)}
    undefined = tuple(name for name, column in known.items() if len(set(column)) == 1)
    varied = {name: column for name, column in known.items() if len(set(column)) > 1}
    residual = tuple(name for name, column in varied.items() if len(set(column)) == len(column))
    crossed = _merged({name: column for name, column in varied.items() if name not in residual})
    crossed, nested = _without_nested(crossed)
    if not crossed or len(crossed) > MAX_FACTORS:
        raise InvalidInput(_no_grid(levels, tuple(crossed), residual))
    kept = _largest_balanced(list(levels), list(crossed.values()))
    if kept is None:
        raise InvalidInput(_unbalanced(tuple(crossed), list(crossed.values())))
    found, repeats, cells = kept
    return SourceDesign(
        factors=tuple(crossed),
        levels=found,
        cells=cells,
        n_repeats=repeats,
        residual=(*nested, *residual),
        undefined=undefined,
        left_out=tuple(member for member in levels if member not in cells),
    )


def _merged(columns: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Sources that always change together, as one."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for name, column in columns.items():
        order = {level: n for n, level in enumerate(dict.fromkeys(column))}
        groups.setdefault(tuple(order[level] for level in column), []).append(name)
    return {" = ".join(names): list(columns[names[0]]) for names in groups.values()}


def _without_nested(columns: dict[str, list[str]]) -> tuple[dict[str, list[str]], tuple[str, ...]]:
    """Take out sources each of whose levels occurs in one cell of the others only: they are nested there."""
    nested = []
    for name in list(columns):
        others = [column for other, column in columns.items() if other != name]
        if others:
            cells = list(zip(*others, strict=True))
            within = {level: {c for c, one in zip(cells, columns[name], strict=True) if one == level}
                      for level in columns[name]}  # fmt: skip
            finer = len(within) > max(len(set(column)) for column in others)
            if finer and all(len(found) == 1 for found in within.values()):
                nested.append(name)
                columns = {other: column for other, column in columns.items() if other != name}
    return columns, tuple(nested)


def _largest_balanced(
    members: Sequence[str], columns: Sequence[Sequence[str]]
) -> tuple[tuple[tuple[str, ...], ...], int, tuple[str, ...]] | None:
    """Levels, repeats and members of the largest grid without gaps; None if there is none."""
    cell_of = list(zip(*columns, strict=True))
    counts = Counter(cell_of)
    levels = [sorted(set(column), key=_natural) for column in columns]
    best: tuple[int, tuple[tuple[str, ...], ...], int] | None = None
    for chosen in _grids(levels, counts):
        repeats = min(counts[cell] for cell in product(*chosen))
        size = repeats * math.prod(map(len, chosen))
        if (len(chosen) > 1 or repeats > 1) and (best is None or size > best[0]):
            best = (size, chosen, repeats)
    if best is None:
        return None
    _, chosen, repeats = best
    by_cell: dict[tuple[str, ...], list[str]] = {}
    for member, cell in zip(members, cell_of, strict=True):
        by_cell.setdefault(cell, []).append(member)
    return chosen, repeats, tuple(chain.from_iterable(by_cell[cell][:repeats] for cell in product(*chosen)))


def _grids(
    levels: Sequence[Sequence[str]], counts: Mapping[tuple[str, ...], int]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Choices of two levels or more of each source without an empty cell; the whole grid alone where it has none."""
    whole = tuple(tuple(one) for one in levels)
    if len({counts.get(cell, 0) for cell in product(*whole)}) == 1:
        yield whole
        return
    if max(map(len, levels)) > MAX_LEVELS:
        return
    *first, last = levels
    for chosen in product(*(_subsets(one) for one in first)):
        held = sorted(
            ((min(counts.get((*cell, level), 0) for cell in product(*chosen)), level) for level in last),
            key=lambda pair: -pair[0],
        )
        for n in range(2, len(held) + 1):
            if held[n - 1][0] > 0:
                kept = {level for _, level in held[:n]}
                yield (*chosen, tuple(level for level in last if level in kept))


def _subsets(levels: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return chain.from_iterable(combinations(levels, n) for n in range(len(levels), 1, -1))


def _natural(level: str) -> tuple[int, float, str]:
    """Numbers by value, then texts."""
    try:
        return 0, float(level), level
    except ValueError:
        return 1, 0.0, level


def _no_grid(levels: Mapping[str, Levels], crossed: tuple[str, ...], residual: tuple[str, ...]) -> Problem:
    found = f"{len(levels)} members, in which {', '.join(residual) or 'no source'} differs from each to each"
    if crossed:
        found = f"{len(crossed)} sources that vary: {', '.join(crossed)}"
    return Problem(
        code="E410",
        found=found,
        expected="one to three sources, each with two levels or more that several members share",
        fix="train a grid (plausible train with the same --seed for every fold, network or rater), and tell sources "
        "with --design design.csv (member, and a column per source)",
    )


def _unbalanced(names: tuple[str, ...], columns: Sequence[Sequence[str]]) -> Problem:
    counts = Counter(zip(*columns, strict=True))
    return Problem(
        code="E409",
        found=f"{len(counts)} cells of {' × '.join(names)}, {min(counts.values())} to {max(counts.values())} each",
        expected="a part of two levels or more of each source in which every cell has as many members",
        fix="train what is missing, or name fewer sources in --design",
    )
