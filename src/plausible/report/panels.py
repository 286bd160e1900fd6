"""Panels: each part of a page is one function that reads the view and returns what its template shows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

View = TypeVar("View")
Content: TypeAlias = Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read a figure: what it shows, what good and bad look like, and what to do then."""

    shows: str
    good: str = ""
    bad: str = ""
    do: str = ""


@dataclass(frozen=True, slots=True)
class Panel(Generic[View]):
    """One part of a page.

    Attributes:
        function: returns the template's values, or None if the data are missing.
        needs: what would fill the panel; without it an empty panel is left out.
        template: file under `templates`.
    """

    name: str
    title: str
    function: Callable[[View], Content]
    template: str
    reading: Reading
    needs: str = ""


class Panels(Generic[View]):
    """The panels of one kind of page, in the order in which they were written."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._panels: dict[str, Panel[View]] = {}

    def add(
        self, *, title: str, shows: str, good: str = "", bad: str = "", do: str = "", needs: str = ""
    ) -> Callable[[Callable[[View], Content]], Callable[[View], Content]]:
        """Register the decorated function; its template is `templates/<kind>/<name>.html.j2`.

        Raises:
            ValueError: the name is taken.
        """

        def register(function: Callable[[View], Content]) -> Callable[[View], Content]:
            name = function.__name__
            template = f"{self.kind}/{name}.html.j2"
            self.append(Panel(name, title, function, template, Reading(shows, good, bad, do), needs))
            return function

        return register

    def append(self, panel: Panel[View]) -> None:
        """Register a panel that was made of something else, such as an entry of a catalogue.

        Raises:
            ValueError: the name is taken.
        """
        if panel.name in self._panels:
            raise ValueError(f"{self.kind} panel {panel.name!r} is registered twice")
        self._panels[panel.name] = panel

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all panels."""
        return tuple(self._panels)

    def __iter__(self) -> Iterator[Panel[View]]:
        return iter(self._panels.values())
