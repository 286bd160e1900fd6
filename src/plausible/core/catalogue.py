"""Catalogues: each family of methods lists its functions with unit, direction and source.

Command-line choices, tables in the docs, report columns and law tests are all read from here, so that a new
method is one decorated function.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from plausible.core.classes import Classes
from plausible.core.scores import Direction

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Entry(Generic[Function]):
    """One method: its function and what a reader must know about the number.

    Attributes:
        reads: the statistic the function reads, where the family has several.
        label: short name for people, as tables and pages show it.
        upper: largest possible value, given the classes; None where there is no bound or it does not depend on them.
    """

    name: str
    function: Function
    unit: str
    higher_is: Direction
    source: str
    label: str
    reads: type | None = None
    upper: Callable[[Classes], float] | None = None

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


class Catalogue(Generic[Function]):
    """The methods of one family by name, in the order in which they were written."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[Function]] = {}

    def add(
        self,
        *,
        unit: str,
        higher_is: Direction,
        source: str,
        label: str = "",
        reads: type | None = None,
        upper: Callable[[Classes], float] | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function under its own name.

        Raises:
            ValueError: the name is taken, or the function has no docstring.
        """

        def register(function: Function) -> Function:
            name = function.__name__
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            if not function.__doc__:
                raise ValueError(f"{self.kind} {name!r} needs a docstring")
            shown = label or name.replace("_", " ")
            self._entries[name] = Entry(name, function, unit, higher_is, source, shown, reads, upper)
            return function

        return register

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all entries."""
        return tuple(self._entries)

    def __getitem__(self, name: str) -> Entry[Function]:
        if name not in self._entries:
            raise ValueError(f"no {self.kind} {name!r}; there are: {', '.join(self._entries)}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[Function]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
