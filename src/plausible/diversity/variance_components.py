"""Where does the variance between members come from: the data they saw, the network, the rater, the seed?

Random-effects analysis of variance of a balanced crossed grid, solved by the method of moments: mean squares minus what
other sources put into them. The highest interaction and the residual are one where cells hold one member. Estimates may
come out below 0, which says that a component is small against its error: they are given as they are, and so are means
over voxels and subjects, which stay unbiased. Who wants shares clips at 0 at the very end.

A component is a variance: in units of probability², or ml². Intervals over subjects say how it varies between subjects;
they do not say how it would be with other folds or seeds than those few.

Sources: Searle, Casella and McCulloch 1992, chapter 4. Its use on segmentations is unpublished.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Float, Float64

RESIDUAL = "residual"


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Variance by source; one value per thing that was measured (a voxel, a volume).

    Attributes:
        names: sources, their interactions ("fold × seed"), and the residual.
        values: variance of each, as estimated, so that it may be below 0.
        mean_squares: of each.
        degrees_of_freedom: of each.
    """

    names: tuple[str, ...]
    values: Float64[np.ndarray, "e *n"]
    mean_squares: Float64[np.ndarray, "e *n"]
    degrees_of_freedom: tuple[int, ...]


def variance_components(
    values: Float[np.ndarray, "..."], factors: Sequence[str], *, residual: Sequence[str] = ()
) -> Components:
    """Split the variance of a balanced grid by source.

    Args:
        values: an axis per source, one for the repeats of a cell, then those of what was measured.
        factors: names of the sources.
        residual: sources that the residual holds, for its name.

    Returns:
        Components of all sources, interactions, and the residual.

    Raises:
        ValueError: a source with one level, whose variance is undefined; or one source without repeats.
    """
    levels, repeats = values.shape[: len(factors)], values.shape[len(factors)]
    if min(levels) < 2:
        short = [name for name, n in zip(factors, levels, strict=True) if n < 2]
        raise ValueError(f"variance by {', '.join(short)} is undefined: one level")
    if len(factors) == 1 and repeats < 2:
        raise ValueError("one source needs repeats: its levels cannot be told from the residual")
    y = np.asarray(values, np.float64)
    effects = [subset for size in range(1, len(factors) + 1) for subset in combinations(range(len(factors)), size)]
    squares = [_mean_square(y, effect, len(factors)) for effect in effects]
    degrees = [int(np.prod([levels[f] - 1 for f in effect])) for effect in effects]
    if repeats > 1:
        squares.append(_within(y, len(factors)))
        degrees.append(int(np.prod(levels)) * (repeats - 1))
    found = _solved(effects, squares, levels, repeats)
    names = [" × ".join(factors[f] for f in effect) for effect in effects[: len(found) - 1]]
    return Components(
        (*names, _residual_name(factors, residual, repeats)), np.stack(found), np.stack(squares), tuple(degrees)
    )


def _mean_square(y: np.ndarray, effect: tuple[int, ...], n_factors: int) -> np.ndarray:
    """Mean square of an effect: what the means of its cells hold beyond those of smaller effects."""
    apart = y
    for axis in range(n_factors + 1):
        mean = apart.mean(axis=axis, keepdims=True)
        apart = apart - mean if axis in effect else mean
    per_cell = int(np.prod([n for axis, n in enumerate(y.shape[: n_factors + 1]) if axis not in effect]))
    degrees = int(np.prod([y.shape[axis] - 1 for axis in effect]))
    return np.asarray(per_cell * (apart**2).sum(axis=tuple(range(n_factors + 1))) / degrees)


def _within(y: np.ndarray, n_factors: int) -> np.ndarray:
    """Mean square of the repeats around the mean of their cell."""
    return np.asarray(y.var(axis=n_factors, ddof=1).mean(axis=tuple(range(n_factors))))


def _solved(
    effects: Sequence[tuple[int, ...]], squares: Sequence[np.ndarray], levels: Sequence[int], repeats: int
) -> list[np.ndarray]:
    """Components from mean squares, the largest interactions first; the last is the residual."""
    residual = squares[-1]
    own = effects if repeats > 1 else effects[:-1]
    found: dict[tuple[int, ...], np.ndarray] = {}
    for effect in sorted(own, key=len, reverse=True):
        rest = residual.copy()
        for other, component in found.items():
            if set(effect) < set(other):
                rest = rest + _per_level(other, levels, repeats) * component
        place = effects.index(effect)
        found[effect] = np.asarray((squares[place] - rest) / _per_level(effect, levels, repeats))
    return [*(found[effect] for effect in own), residual]


def _per_level(effect: tuple[int, ...], levels: Sequence[int], repeats: int) -> int:
    """Members that share a level of an effect."""
    return repeats * int(np.prod([n for f, n in enumerate(levels) if f not in effect]))


def _residual_name(factors: Sequence[str], residual: Sequence[str], repeats: int) -> str:
    held = [" = ".join(residual)] if residual else []
    if repeats == 1:
        held = [" × ".join(factors), *held]
    return f"{RESIDUAL} ({' and '.join(held)})" if held else RESIDUAL
