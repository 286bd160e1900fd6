"""How far could a mean over subjects be off? Bootstrap intervals whose unit is the patient.

Subjects are drawn with replacement; several images or lesions of one patient are drawn together (`clusters`). The
interval is bias-corrected and accelerated (BCa). NaN are left out and counted. If every draw gives one value the
interval has no width.

Source: Efron 1987, doi:10.1080/01621459.1987.10478410.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Integer, Num
from scipy.special import ndtr, ndtri

from plausible.core import InvalidInput, Problem, Score

N_RESAMPLES = 10_000
BLOCK = 200_000
"""Draws in memory at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A value over subjects with its interval.

    Attributes:
        n: subjects (or clusters of them) it rests on.
        n_undefined: values left out because they are NaN.
    """

    value: float
    low: float
    high: float
    level: float
    n: int
    n_undefined: int = 0


OfUnits: TypeAlias = Callable[[Integer[np.ndarray, "r u"]], Float[np.ndarray, " r"]]
"""A statistic of drawn units: one row of unit numbers in, one value out."""


def bootstrap_mean(
    values: Num[np.ndarray, " s"],
    *,
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Estimate:
    """Mean over subjects with its interval.

    Args:
        values: one per subject; NaN are left out.
        seed: of the draws.
        clusters: who each value belongs to, where a patient has several; None if each value is a subject.
        n_resamples: how many draws.
        level: share of the interval.

    Raises:
        InvalidInput: E401, fewer than two subjects.
    """
    values = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    unit = unit_numbers(known, clusters)
    sums, counts = np.bincount(unit, weights=values[known]), np.bincount(unit).astype(np.float64)
    if (counts == 1).all():

        def mean(drawn: Integer[np.ndarray, "r u"]) -> Float[np.ndarray, " r"]:
            return np.asarray(sums[drawn].mean(axis=1))
    else:

        def mean(drawn: Integer[np.ndarray, "r u"]) -> Float[np.ndarray, " r"]:
            return np.asarray(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))

    n_undefined = int((~known).sum())
    return bootstrap_units(
        mean, n_units=len(sums), seed=seed, n_resamples=n_resamples, level=level, n_undefined=n_undefined
    )


def bootstrap_statistic(
    statistic: Callable[..., float],
    *columns: Num[np.ndarray, " s"],
    seed: int,
    clusters: Sequence[Hashable] | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = 0.95,
) -> Estimate:
    """Any number made of subjects with its interval, e.g. an AURC from a column of confidences and one of risks.

    Subjects with a NaN in any column are left out. Draws for which the statistic is NaN do not count.

    Args:
        statistic: takes the columns, each with the drawn subjects, and returns one number.
        *columns: one value per subject each.
        seed: of the draws.
        clusters: who each subject belongs to; None if each is one of its own.
        n_resamples: how many draws.
        level: share of the interval.

    Raises:
        InvalidInput: E401, fewer than two subjects.
        ValueError: columns of different length.
    """
    table, unit, n_undefined = defined_columns(columns, clusters)
    n_units = int(unit.max(initial=-1)) + 1
    members = [np.flatnonzero(unit == number) for number in range(n_units)]

    def each(drawn: Integer[np.ndarray, "r u"]) -> Float[np.ndarray, " r"]:
        rows = drawn if n_units == len(unit) else [np.concatenate([members[u] for u in row]) for row in drawn]
        return np.array([statistic(*table[:, row]) for row in rows], dtype=np.float64)

    return bootstrap_units(
        each, n_units=n_units, seed=seed, n_resamples=n_resamples, level=level, n_undefined=n_undefined
    )


def defined_columns(
    columns: Sequence[Num[np.ndarray, " s"]], clusters: Sequence[Hashable] | None
) -> tuple[Float[np.ndarray, "c k"], Integer[np.ndarray, " k"], int]:
    """Return the subjects that are defined in every column, the number of the unit of each, and how many are not.

    Raises:
        ValueError: columns of different length.
    """
    table = np.stack([np.asarray(column, dtype=np.float64) for column in columns])
    known = np.asarray(~np.isnan(table).any(axis=0))
    return table[:, known], unit_numbers(known, clusters), int((~known).sum())


def paired_difference(
    first: Sequence[Score], second: Sequence[Score], *, seed: int, n_resamples: int = N_RESAMPLES, level: float = 0.95
) -> Estimate:
    """Mean of first minus second over the subjects that both score, with its interval.

    Rows are paired by subject, structure and reference; a subject's pairs are drawn together. Pairs with a NaN, and
    rows without a partner, are left out and counted.

    Raises:
        InvalidInput: E401, fewer than two subjects in common.
        ValueError: a subject is scored twice for one structure and reference, or measures differ.
    """
    if len({row.measure for row in (*first, *second)}) > 1:
        raise ValueError("only rows of one measure can be compared")
    ours, theirs = _by_pair(first), _by_pair(second)
    pairs = sorted(ours.keys() | theirs.keys())
    apart = [ours.get(pair, np.nan) - theirs.get(pair, np.nan) for pair in pairs]
    subjects = [subject for subject, _, _ in pairs]
    return bootstrap_mean(np.array(apart), seed=seed, clusters=subjects, n_resamples=n_resamples, level=level)


def bootstrap_units(
    statistic: OfUnits, *, n_units: int, seed: int, n_resamples: int, level: float, n_undefined: int = 0
) -> Estimate:
    """Interval of a statistic of numbered units, which takes many draws at once.

    Raises:
        InvalidInput: E401, fewer than two units.
    """
    n = n_units
    if n < 2:
        raise InvalidInput(
            Problem(
                code="E401",
                found=f"{n} subject{'' if n == 1 else 's'} with a defined value ({n_undefined} undefined)",
                expected="at least 2 subjects for an interval",
                fix="add subjects, or read the rows of the single cases instead",
            )
        )
    value = float(statistic(np.arange(n)[np.newaxis])[0])
    draws = np.concatenate([statistic(block) for block in _draws(n, seed, n_resamples)])
    draws = draws[~np.isnan(draws)]
    low, high = (value, value)
    if len(draws) and float(np.ptp(draws)) > 0:
        left_out = np.concatenate([statistic(block) for block in _jackknife(n)])
        low, high = np.quantile(draws, _corrected_levels(value, draws, left_out[~np.isnan(left_out)], level))
    return Estimate(value=value, low=float(low), high=float(high), level=level, n=n, n_undefined=n_undefined)


def _by_pair(rows: Sequence[Score]) -> dict[tuple[str, str, str], float]:
    table = {(row.subject, row.structure, row.against): row.value for row in rows}
    if len(table) < len(rows):
        raise ValueError("a subject is scored twice for one structure and reference: select one region and reduction")
    return table


def unit_numbers(known: Bool[np.ndarray, " s"], clusters: Sequence[Hashable] | None) -> Integer[np.ndarray, " k"]:
    """Number of the unit that each known value belongs to, from 0 in the order in which units come."""
    if clusters is None:
        return np.arange(int(known.sum()))
    if len(clusters) != len(known):
        raise ValueError(f"{len(clusters)} clusters for {len(known)} values")
    numbers: dict[Hashable, int] = {}
    kept = [cluster for cluster, ok in zip(clusters, known, strict=True) if ok]
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in kept], dtype=np.int64)


def _corrected_levels(value: float, draws: np.ndarray, left_out: np.ndarray, level: float) -> Float[np.ndarray, "2"]:
    """Levels of the draws at which the interval ends."""
    share = (np.count_nonzero(draws < value) + np.count_nonzero(draws <= value)) / (2 * len(draws))
    bias = ndtri(np.clip(share, 0.5 / len(draws), 1 - 0.5 / len(draws)))
    apart = left_out.mean() - left_out
    spread = float((apart**2).sum())
    skew = float((apart**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    z = bias + ndtri(np.array([(1 - level) / 2, (1 + level) / 2]))
    return np.asarray(ndtr(bias + z / (1 - skew * z)))


def _draws(n: int, seed: int, n_resamples: int) -> Iterator[Integer[np.ndarray, "r u"]]:
    rng = np.random.default_rng(seed)
    step = max(1, BLOCK // n)
    for start in range(0, n_resamples, step):
        yield rng.integers(0, n, (min(step, n_resamples - start), n))


def _jackknife(n: int) -> Iterator[Integer[np.ndarray, "r u"]]:
    """All units but one, for each one in turn."""
    others = np.arange(n - 1)[np.newaxis]
    step = max(1, BLOCK // n)
    for start in range(0, n, step):
        yield others + (others >= np.arange(start, min(start + step, n))[:, np.newaxis])
