"""Several aggregates as one number: how unlike the in-distribution cases is this one?

A Gaussian mixture of many aggregates (mean, QFR, edges ...), fitted on cases of the training distribution only. A case
scores minus the log density of its aggregates, in standardised units: high where their combination was never seen. It
needs many more cases than aggregates.

Source: Guarino et al. 2026, arXiv:2603.29941 (GMM-All).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.aggregate.mixture import GaussianMixture, fit_mixture
from plausible.core import Score

NAME = "meta_aggregator"
Key: TypeAlias = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True, eq=False)
class MetaAggregator:
    """A mixture over standardised aggregates.

    Attributes:
        keys: which rows it reads: structure, measure, region, reduction and against, as `Score.key` has them.
        centre: mean of each over the in-distribution cases.
        scale: standard deviation of each over them.
        mixture: distribution of the standardised rows.
        n_cases: cases it was fitted on.
    """

    keys: tuple[Key, ...]
    centre: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    mixture: GaussianMixture
    n_cases: int

    def surprise(self, rows: Iterable[Score]) -> list[Score]:
        """Minus the log density of each subject's aggregates, in nat; the higher, the less it is like the others.

        Returns:
            One row per subject, n = cases that the mixture was fitted on; NaN where an aggregate is not defined.
        """
        table = _table(rows, self.keys)
        found = []
        for subject, values in table.items():
            known = not np.isnan(values).any()
            standard = (values - self.centre) / self.scale
            value = -float(self.mixture.log_density(standard[np.newaxis])[0]) if known else math.nan
            found.append(
                Score(subject=subject, measure=NAME, value=value, unit="nat", higher_is="worse", n=self.n_cases)
            )
        return found


def fit_meta_aggregator(
    rows: Iterable[Score], keys: Sequence[Key], *, seed: int, n_components: Sequence[int] = (1, 2, 3, 4, 5)
) -> MetaAggregator:
    """Fit on the rows of in-distribution cases; cases of which an aggregate is not defined are left out.

    Args:
        rows: of all cases.
        keys: aggregates to combine, as `Score.key` names them.
        seed: of the starts of the fit.
        n_components: sizes of the mixture to choose from by BIC.

    Raises:
        ValueError: too few cases for the number of aggregates, or an aggregate that is the same in all of them.
    """
    table = np.array([values for values in _table(rows, tuple(keys)).values() if not np.isnan(values).any()])
    if len(table) < len(keys) + 1:
        raise ValueError(f"{len(table)} cases with every aggregate are too few for {len(keys)} aggregates")
    centre, scale = table.mean(axis=0), table.std(axis=0)
    constant = scale <= 1e-12 * np.abs(centre)
    if constant.any():
        same = keys[int(np.argmax(constant))]
        raise ValueError(f"the aggregate {' '.join(filter(None, same))} is the same in all cases: leave it out")
    mixture = fit_mixture((table - centre) / scale, seed=seed, n_components=n_components)
    return MetaAggregator(tuple(keys), centre, scale, mixture, len(table))


def _table(rows: Iterable[Score], keys: tuple[Key, ...]) -> Mapping[str, Float[np.ndarray, " d"]]:
    """Aggregates of each subject, NaN where it has no such row."""
    places = {key: place for place, key in enumerate(keys)}
    table: dict[str, np.ndarray] = {}
    for row in rows:
        values = table.setdefault(row.subject, np.full(len(keys), np.nan))
        if row.key in places:
            values[places[row.key]] = row.value
    return table
