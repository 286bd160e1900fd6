"""Do the new cases look like the calibration set? A lamp that says when the promises are in doubt.

Every promise of this family needs new patients who could have been calibration patients. Two watches over a score that
needs no reference (pairwise Dice, mean entropy, predicted volume), each at half of α:

- drift of a batch: a two-sample test of new against calibration scores (Kolmogorov and Smirnov). Testing the conformal
  p-values of several new cases for uniformity as if they were independent cries wolf: they share one calibration set.
- a martingale over the cases in the order in which they come: each gets a p-value among all before it; those are
  independent and uniform while nothing changes. The martingale bets against that. It exceeds 1/α with probability at
  most α, however long one watches.

A lamp that stays dark is no proof: it sees only what its score sees. Unlike the calibration set is not the same as
wrong, and like it is not the same as right: the failure flag is another lamp.

Sources: Vovk, Nouretdinov and Gammerman 2003; Vovk et al. 2021, arXiv:2102.10439 (simple jumper); Ville 1939.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import stats

from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, about, percent, record
from plausible.calibrate.patients import check_unique, of_rows
from plausible.calibrate.rank import check_level
from plausible.core import Catalogue, Score


@dataclass(frozen=True, slots=True, kw_only=True)
class LampReading:
    """What the lamp says after a series of new cases.

    Attributes:
        in_doubt: whether the new cases look unlike the calibration set.
        reason: why, in one sentence.
        drift_p_value: of the two-sample test over all new cases.
        martingale: the largest value so far; 1/α and more is an alarm. Computed as a power of ten.
        path: log10 of the martingale after each case.
        first_alarm: the case at which the martingale rang; empty if it did not.
        n_new: new cases with a defined score.
    """

    in_doubt: bool
    reason: str
    drift_p_value: float
    martingale: float
    path: tuple[float, ...]
    first_alarm: str
    n_new: int


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeabilityLamp(Calibration):
    """Scores of the calibration patients, with which new ones are compared.

    Attributes:
        measure: the score.
        scores: of each calibration patient.
        bet: how the martingale bets, one of `MARTINGALES`.
        seed: breaks ties between equal scores.
    """

    measure: str
    scores: tuple[float, ...]
    bet: str
    seed: int

    def apply(self, rows: Sequence[Score]) -> LampReading:
        """Compare new cases, in the order in which they came, with the calibration set.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: no rows, a patient twice, or rows of another measure or structure.
        """
        if {(row.measure, row.structure) for row in rows} != {(self.measure, self.guarantee.structure)}:
            raise ValueError(f"the lamp watches {self.measure} of {self.guarantee.structure!r}")
        check_unique([row.subject for row in rows])
        for row in rows:
            self.guarantee.check_unseen(row.subject)
        seen = [row for row in rows if not np.isnan(row.value)]
        scores, new = np.array(self.scores), np.array([row.value for row in seen], dtype=np.float64)
        drift = float(stats.ks_2samp(scores, new).pvalue) if seen else 1.0
        path = MARTINGALES[self.bet].function(online_p_values(scores, new, seed=self.seed))
        limit = np.log10(2 / self.guarantee.alpha)
        rang = np.flatnonzero(path >= limit)
        in_doubt = bool(len(rang)) or drift <= self.guarantee.alpha / 2
        return LampReading(
            in_doubt=in_doubt,
            reason=_reason(self.measure, len(seen), drift, path, in_doubt),
            drift_p_value=drift,
            martingale=float(10 ** min(path.max(initial=0.0), 300.0)),
            path=tuple(path.tolist()),
            first_alarm=seen[rang[0]].subject if len(rang) else "",
            n_new=len(seen),
        )


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Vovk et al. 2021, arXiv:2102.10439", label="exchangeability lamp"
)
def fit_lamp(
    rows: Sequence[Score], *, alpha: float, seed: int, population: str, date: str, bet: str = "simple_jumper"
) -> ExchangeabilityLamp:
    """Lamp that watches whether new cases look like the calibration patients.

    Args:
        rows: a score of each calibration patient that needs no reference.
        alpha: probability of an alarm, at any time, while nothing has changed.
        seed: breaks ties between equal scores.
        population: which patients these are, in words.
        date: day of the calibration.
        bet: one of `MARTINGALES`.

    Raises:
        ValueError: a patient twice, rows of several structures or measures, or no such bet.
    """
    check_level(alpha, name="alpha")
    MARTINGALES[bet]
    patients = of_rows(rows)
    first = rows[0]
    return ExchangeabilityLamp(
        guarantee=patients.promise(
            f"while new cases come from the same population, the lamp over {about(first.structure, first.measure)} "
            f"lights with probability at most {percent(alpha)} for one batch and however long the series is watched",
            method="conformal test martingale and two-sample test",
            alpha=alpha,
            population=population,
            date=date,
            structure=first.structure,
            absent="exclude" if patients.excluded else None,
        ),
        measure=first.measure,
        scores=tuple(patients.values[0].tolist()),
        bet=bet,
        seed=seed,
    )


def conformal_p_values(
    scores: Float[np.ndarray, "*repeats n"], new: Float[np.ndarray, "*repeats m"]
) -> Float[np.ndarray, "*repeats m"]:
    """Share of calibration patients (and the case itself) with a score at least as high: (1 + #{s ≥ new}) / (n + 1).

    Each is at most t with probability t or less; those of several new cases are not independent of each other.
    """
    as_high = (scores[..., np.newaxis, :] >= new[..., np.newaxis]).sum(axis=-1)
    return np.asarray((1 + as_high) / (scores.shape[-1] + 1))


def online_p_values(
    scores: Float[np.ndarray, "*repeats n"], new: Float[np.ndarray, "*repeats m"], *, seed: int
) -> Float[np.ndarray, "*repeats m"]:
    """p-value of each new case among all before it, ties broken at random.

    Independent of each other and uniform as long as nothing changes.
    """
    n, m = scores.shape[-1], new.shape[-1]
    every = np.concatenate([scores, new], axis=-1)
    tie = np.random.default_rng(seed).random(new.shape)
    p = np.empty(new.shape)
    for turn in range(m):
        before, current = every[..., : n + turn], new[..., turn, np.newaxis]
        higher, equal = (before > current).sum(axis=-1), (before == current).sum(axis=-1) + 1
        p[..., turn] = (higher + tie[..., turn] * equal) / (n + turn + 1)
    return p


Martingale: TypeAlias = Callable[[np.ndarray], np.ndarray]

MARTINGALES: Catalogue[Martingale] = Catalogue("martingale")


@MARTINGALES.add(unit="log10", higher_is="worse", source="Vovk et al. 2021, arXiv:2102.10439")
def simple_jumper(p_values: Float[np.ndarray, "*repeats m"]) -> Float[np.ndarray, "*repeats m"]:
    """log10 of the capital of three gamblers on high, low and no change, who swap 1 % of it at each step."""
    stakes, jump = np.array([-1.0, 0.0, 1.0]), 0.01
    capital = np.full((*p_values.shape[:-1], 3), 1 / 3)
    log = np.zeros(p_values.shape[:-1])
    path = np.empty(p_values.shape)
    for turn in range(p_values.shape[-1]):
        capital = (1 - jump) * capital + jump / 3 * capital.sum(axis=-1, keepdims=True)
        capital = capital * (1 + stakes * (p_values[..., turn, np.newaxis] - 0.5))
        total = capital.sum(axis=-1)
        log = log + np.log10(total)
        capital = capital / total[..., np.newaxis]
        path[..., turn] = log
    return path


@MARTINGALES.add(unit="log10", higher_is="worse", source="Vovk, Nouretdinov and Gammerman 2003")
def power_mixture(p_values: Float[np.ndarray, "*repeats m"]) -> Float[np.ndarray, "*repeats m"]:
    """log10 of the mean over ε of Π ε p^(ε-1): bets on small p-values, that is on scores higher than before."""
    powers = np.linspace(0.05, 1.0, 20)[:, np.newaxis]
    logs = np.log(np.maximum(p_values, np.finfo(float).tiny))[..., np.newaxis, :]
    capital = (np.log(powers) + (powers - 1) * logs).cumsum(axis=-1)
    return np.asarray((np.logaddexp.reduce(capital, axis=-2) - np.log(len(powers))) / np.log(10))


def _reason(measure: str, n: int, drift: float, path: np.ndarray, in_doubt: bool) -> str:
    numbers = f"drift p = {drift:.2g}, martingale {10 ** min(path.max(initial=0.0), 300.0):.3g}"
    verdict = "do not look like" if in_doubt else "give no sign that they are unlike"
    return f"by {about('', measure)}, {n} new cases {verdict} the calibration set ({numbers})"
