"""Small pieces of SVG: elements with escaped attributes, and axes that turn numbers into places."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from plausible.report.text import fixed, ticks


def tag(name: str, *children: str, **attributes: object) -> Markup:
    """One element; attribute names take a hyphen for an underscore, `class_` stands for class, None is left out."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{written}>{inside}</{name}>")


def chart(*children: str, width: float | int, height: float | int, label: str, class_: str = "chart") -> Markup:
    """Return a whole figure with its description for those who cannot see it."""
    return tag(
        "svg",
        tag("title", label),
        *children,
        viewBox=Markup(f"0 0 {_short(width)} {_short(height)}"),
        role="img",
        aria_label=label,
        class_=class_,
        style=f"max-width:{_short(width)}px",
    )


@dataclass(frozen=True, slots=True)
class Axis:
    """A straight scale from data to places on the page."""

    low: float | int
    high: float | int
    start: float | int
    stop: float | int

    def __call__(self, value: float | int) -> float:
        """Place of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.stop - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round numbers along the axis."""
        return ticks(self.low, self.high, about=about)


def points(xs: Sequence[float], ys: Sequence[float]) -> str:
    """Return the points of a line."""
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in zip(xs, ys, strict=True))


def bottom_axis(axis: Axis, *, y: float | int, title: str, about: int = 5, top: float | int | None = None) -> Markup:
    """Ticks and title of a horizontal axis, with grid lines up to `top`."""
    decimals = decimals_of(axis.ticks(about))
    parts: list[Markup] = []
    for value in axis.ticks(about):
        x = axis(value)
        parts.append(tag("line", x1=x, x2=x, y1=y if top is None else top, y2=y + 4, class_="grid"))
        parts.append(tag("text", fixed(value, decimals), x=x, y=y + 16, text_anchor="middle"))
    middle = (axis.start + axis.stop) / 2
    return Markup("").join([*parts, tag("text", title, x=middle, y=y + 33, text_anchor="middle", class_="axis-title")])


def left_axis(axis: Axis, *, x: float | int, right: float | int, title: str, about: int = 4) -> Markup:
    """Ticks and title of a vertical axis, with grid lines up to `right`."""
    decimals = decimals_of(axis.ticks(about))
    parts: list[Markup] = []
    for value in axis.ticks(about):
        y = axis(value)
        parts.append(tag("line", x1=x, x2=right, y1=y, y2=y, class_="grid"))
        parts.append(tag("text", fixed(value, decimals), x=x - 6, y=y + 4, text_anchor="end"))
    parts.append(tag("text", title, x=0, y=min(axis.start, axis.stop) - 10, class_="axis-title"))
    return Markup("").join(parts)


def decimals_of(values: Sequence[float]) -> int:
    """Decimals that tell neighbouring ticks apart."""
    return next((d for d in range(6) if all(abs(round(v, d) - v) < 1e-9 for v in values)), 6)


def _short(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return value
