"""How numbers and names are written on the pages."""

import math
from typing import TypeGuard

DASH = "–"


def known(value: float | int | None) -> TypeGuard[float]:
    """Whether there is a number, and it is finite."""
    return value is not None and math.isfinite(value)


def number(value: float | int | None, digits: int = 3) -> str:
    """Write a number with so many significant digits; a dash if it is undefined."""
    if not known(value):
        return DASH
    if value == 0:
        return "0"
    if abs(value) < 10 ** (-digits - 1):
        return f"{value:.1e}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(decimals, 6)}f}".replace("-", "−")


def fixed(value: float | int | None, decimals: int = 2) -> str:
    """Write a number with so many decimals; a dash if it is undefined."""
    if not known(value):
        return DASH
    return f"{value:.{decimals}f}".replace("-", "−")


def percent(value: float | int | None, decimals: int = 0) -> str:
    """Write a fraction as percent; a dash if it is undefined."""
    return f"{100 * value:.{decimals}f} %" if known(value) else DASH


def words(name: str) -> str:
    """Write a catalogue's name for people; short names of the field keep their capitals."""
    known = {
        "dice": "Dice",
        "hd95": "HD95",
        "nsd": "NSD",
        "ece": "ECE",
        "nll": "NLL",
        "aurc": "AURC",
        "cv": "CV",
        "ml": "ml",
        "mm": "mm",
        "brier": "Brier",
        "staple": "STAPLE",
        "f1": "F1",
        "hausdorff": "Hausdorff",
    }
    parts = name.split("_")
    return " ".join(known.get(part, part) for part in parts)


def ticks(low: float | int, high: float | int, *, about: int = 5) -> list[float]:
    """Round numbers from low to high for an axis."""
    if not high > low:
        return [float(low)]
    rough = (high - low) / about
    size = 10 ** math.floor(math.log10(rough))
    step = size * next(k for k in (1, 2, 2.5, 5, 10) if k * size >= rough)
    first = math.ceil(low / step - 1e-9)
    return [float(round(n * step, 10)) for n in range(first, math.floor(high / step + 1e-9) + 1)]
