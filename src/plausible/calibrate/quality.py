"""How good will this case be? Predicted quality, e.g. Dice, from scores that need no reference, with an interval.

A regression is learnt on one part of the patients, the interval on the other part, never both on the same: a fit looks
better on its own patients than on new ones. The prediction is a row like any other, so that it can be bounded, ranked,
or used as the score of a failure flag (calibrated, again, on other patients).

A regression is only as good as the failures it has seen: under a shift, learnt scores lose more than pairwise Dice.

Sources: Papadopoulos et al. 2002 (split conformal regression); Barlow and Brunk 1972 (isotonic regression).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from scipy import optimize

from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, about, percent, record
from plausible.calibrate.intervals import ANY_VALUE, CalibratedInterval, Tails, tail_distances
from plausible.calibrate.patients import of_rows
from plausible.core import Direction, InvalidInput, Problem, Score

Regression: TypeAlias = Literal["linear", "isotonic"]


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class QualityPrediction(Calibration):
    """A regression from scores to quality, and how far beside it the true quality may lie.

    Attributes:
        features: measures that are read, in order.
        quality: measure that is predicted.
        regression: "linear" with `coefficients` (constant first), or "isotonic" with the steps `knots` to `levels`.
        below: distance of the lower end of the interval below the prediction.
        above: distance of the upper end above it.
        valid_range: values that the quality can take.
        n_learnt: patients the regression was learnt on; `guarantee.n_patients` are the others.
    """

    features: tuple[str, ...]
    quality: str
    unit: str
    higher_is: Direction
    regression: Regression
    coefficients: tuple[float, ...]
    knots: tuple[float, ...]
    levels: tuple[float, ...]
    below: float
    above: float
    valid_range: tuple[float, float]
    n_learnt: int

    def apply(self, rows: Sequence[Score]) -> tuple[Score, CalibratedInterval]:
        """Return the predicted quality of a new patient as a row, and its interval.

        Args:
            rows: one per feature, of one patient, in any order.

        Raises:
            InvalidInput: E402, a patient of the calibration set.
            ValueError: a feature is missing, or comes twice.
        """
        subject = rows[0].subject
        self.guarantee.check_unseen(subject)
        table = {row.measure: row.value for row in rows if row.subject == subject}
        if table.keys() != set(self.features) or len(rows) != len(self.features):
            raise ValueError(f"{subject}: needs one row of each of {', '.join(self.features)}, got {', '.join(table)}")
        values = np.array([[table[name]] for name in self.features])
        value = float(_clip(_predict(values, self.coefficients, self.knots, self.levels), self.valid_range)[0])
        predicted = Score(
            subject=subject,
            structure=self.guarantee.structure,
            measure=f"predicted_{self.quality}",
            value=value,
            unit=self.unit,
            higher_is=self.higher_is,
            n=self.n_learnt,
        )
        low, high = _clip(np.array([value - self.below, value + self.above]), self.valid_range).tolist()
        interval = CalibratedInterval(
            subject=subject,
            structure=self.guarantee.structure,
            measure=self.quality,
            unit=self.unit,
            low=low,
            high=high,
            level=1 - self.guarantee.alpha,
        )
        return predicted, interval


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Papadopoulos et al. 2002, doi:10.1007/3-540-36755-1_29",
    label="quality prediction",
)  # fmt: skip
def fit_quality(
    features: Sequence[Sequence[Score]],
    qualities: Sequence[Score],
    *,
    alpha: float,
    seed: int,
    population: str,
    date: str,
    regression: Regression = "linear",
    learn_share: float = 0.5,
    tails: Tails = "separate",
    valid_range: tuple[float, float] = ANY_VALUE,
) -> QualityPrediction:
    """Learn to predict quality from scores on one part of the patients, and its interval on the other part.

    Args:
        features: for each score, the rows of all patients.
        qualities: what is predicted, e.g. Dice against the reference.
        alpha: share of patients whose true quality may lie outside its interval.
        seed: of the draw of the patients to learn on.
        population: which patients these are, in words.
        date: day of the calibration.
        regression: "linear" for any number of features; "isotonic" for one, in the direction its rows say.
        learn_share: share of the patients to learn on.
        tails: as `fit_interval`.
        valid_range: values that the quality can take, e.g. (0, 1).

    Raises:
        InvalidInput: E401, too few patients to learn on, or for the interval.
        ValueError: isotonic with several features or without direction; rows that do not match.
    """
    patients = of_rows(*features, qualities)
    learn = _drawn(patients.n, learn_share, seed)
    table, quality = patients.values[:-1], patients.values[-1]
    if learn.sum() < len(table) + 2:
        raise _too_few_to_learn(int(learn.sum()), len(table))
    coefficients, knots, levels = _learn(table[:, learn], quality[learn], regression, features, qualities[0])
    predicted = _clip(_predict(table[:, ~learn], coefficients, knots, levels), valid_range)
    below, above = tail_distances(predicted - quality[~learn], quality[~learn] - predicted, alpha, tails=tails)
    first = qualities[0]
    guarantee = patients.promise(
        f"{about(first.structure, first.measure)} lies in its predicted interval with probability at least "
        f"{percent(1 - alpha)}, on average over calibration sets",
        method=f"conformal {regression} regression",
        alpha=alpha,
        population=population,
        date=date,
        structure=first.structure,
        absent="exclude" if patients.excluded else None,
        n_patients=int((~learn).sum()),
    )
    return QualityPrediction(
        guarantee=guarantee,
        features=tuple(rows[0].measure for rows in features),
        quality=first.measure,
        unit=first.unit,
        higher_is=first.higher_is,
        regression=regression,
        coefficients=coefficients,
        knots=knots,
        levels=levels,
        below=float(below),
        above=float(above),
        valid_range=valid_range,
        n_learnt=int(learn.sum()),
    )


def _learn(
    table: Float[np.ndarray, "d n"],
    quality: Float[np.ndarray, " n"],
    regression: Regression,
    features: Sequence[Sequence[Score]],
    target: Score,
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    if regression == "linear":
        design = np.vstack([np.ones(table.shape[1]), table])
        return tuple(np.linalg.lstsq(design.T, quality, rcond=None)[0].tolist()), (), ()
    directions = features[0][0].higher_is, target.higher_is
    if len(table) > 1 or "neither" in directions:
        raise ValueError("isotonic regression needs one feature, and both rows must say whether higher is better")
    order = np.argsort(table[0], kind="stable")
    increasing = directions[0] == directions[1]
    fitted = optimize.isotonic_regression(quality[order], increasing=increasing).x
    knots, place = np.unique(table[0][order], return_inverse=True)
    levels = np.bincount(place, weights=fitted) / np.bincount(place)
    return (), tuple(knots.tolist()), tuple(levels.tolist())


def _predict(
    table: Float[np.ndarray, "d n"],
    coefficients: Sequence[float],
    knots: Sequence[float],
    levels: Sequence[float],
) -> Float[np.ndarray, " n"]:
    if knots:
        return np.asarray(np.interp(table[0], knots, levels))
    return np.asarray(coefficients[0] + np.array(coefficients[1:]) @ table)


def _drawn(n: int, share: float, seed: int) -> np.ndarray:
    """Which patients to learn on: a random part, whatever their names."""
    learn = np.zeros(n, dtype=bool)
    learn[np.random.default_rng(seed).permutation(n)[: round(share * n)]] = True
    return learn


def _clip(values: Float[np.ndarray, " n"], valid_range: tuple[float, float]) -> Float[np.ndarray, " n"]:
    return np.asarray(np.clip(values, *valid_range))


def _too_few_to_learn(n: int, n_features: int) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E401",
            found=f"{n} patients to learn {n_features} features on",
            expected=f"at least {n_features + 2}",
            fix="add patients, use fewer features, or learn on a larger share of the patients",
        )
    )
