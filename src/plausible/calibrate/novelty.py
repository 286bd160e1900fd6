"""Is this patient unlike the calibration patients? A distance between vectors of scores, with an exact p-value.

Scores of a patient (volumes, entropies, agreement of the members, intensities: whatever rows there are) form a vector.
The new patient joins the n calibration patients, every one of the n + 1 is given its distance from the others, and the
p-value is the share with a distance at least as large. Nothing is estimated on one part and tested on another, so it is
exact for any n: a patient like the others is called unlike with probability at most α.

Kept apart from the failure flag: out of distribution is not wrong, and wrong is mostly not out of distribution.

Sources: Mahalanobis 1936; Vovk, Gammerman and Shafer 2005 (full conformal p-values); González et al. 2022,
doi:10.1016/j.media.2022.102596 (distances for segmentation networks).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, percent, record
from plausible.calibrate.patients import of_rows
from plausible.calibrate.rank import conformal_rank
from plausible.core import Catalogue, Score

Distance: TypeAlias = Callable[[np.ndarray], np.ndarray]

DISTANCES: Catalogue[Distance] = Catalogue("distance")


@DISTANCES.add(unit="1", higher_is="worse", source="Mahalanobis 1936")
def mahalanobis(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Distance of each patient from the mean of all, in standard deviations of all.

    The covariance is shrunk by 5 % towards its diagonal, so that scores which say the same can be used together.
    """
    apart = vectors - vectors.mean(axis=0)
    covariance = apart.T @ apart / len(vectors)
    diagonal = np.diag(np.maximum(np.diag(covariance), 1e-12))
    shrunk = 0.95 * covariance + 0.05 * diagonal
    return np.sqrt(np.einsum("nd,nd->n", apart, np.linalg.solve(shrunk, apart.T).T))


@DISTANCES.add(unit="1", higher_is="worse", source="Ramaswamy et al. 2000, doi:10.1145/335191.335437")
def nearest_neighbours(vectors: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """Mean distance of each patient to its five nearest others, scores standardised.

    Finds what lies between clusters, where the mean of all patients may lie too.
    """
    spread = vectors.std(axis=0)
    scaled = vectors / np.where(spread > 0, spread, 1)
    apart = np.linalg.norm(scaled[:, np.newaxis] - scaled[np.newaxis], axis=-1)
    np.fill_diagonal(apart, np.inf)
    k = min(5, len(vectors) - 1)
    return np.asarray(np.partition(apart, k - 1, axis=1)[:, :k].mean(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class NoveltyReading:
    """How unlike the calibration patients one patient is.

    Attributes:
        unlike: whether the p-value is at most α, or a score is undefined.
        distance: from the others.
        p_value: share of patients, this one included, that are as far away or further.
    """

    subject: str
    unlike: bool
    distance: float
    p_value: float
    reason: str


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class Novelty(Calibration):
    """Score vectors of the calibration patients.

    Attributes:
        features: measures, in order.
        vectors: one per calibration patient.
        distance: one of `DISTANCES`.
    """

    features: tuple[str, ...]
    vectors: tuple[tuple[float, ...], ...]
    distance: str

    def apply(self, rows: Sequence[Score]) -> NoveltyReading:
        """Compare a new patient with the calibration patients.

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
        vector = np.array([table[name] for name in self.features])
        undefined = [name for name, value in table.items() if np.isnan(value)]
        if undefined:
            reason = f"{', '.join(undefined)} is undefined"
            return NoveltyReading(subject=subject, unlike=True, distance=np.inf, p_value=0.0, reason=reason)
        distances = DISTANCES[self.distance].function(np.vstack([np.array(self.vectors), vector]))
        p_value = float((distances >= distances[-1] * (1 - 1e-9)).mean())
        unlike = p_value <= self.guarantee.alpha
        return NoveltyReading(
            subject=subject,
            unlike=unlike,
            distance=float(distances[-1]),
            p_value=p_value,
            reason=f"{percent(round(p_value, 4))} of patients, this one included, lie as far from the others by "
            f"{', '.join(self.features)}",
        )


@CALIBRATIONS.add(unit="1", higher_is="neither", source="Vovk, Gammerman and Shafer 2005", label="novelty")
def fit_novelty(
    features: Sequence[Sequence[Score]],
    *,
    alpha: float,
    population: str,
    date: str,
    distance: str = "mahalanobis",
) -> Novelty:
    """Keep the score vectors of the calibration patients, to tell patients who are unlike them.

    Args:
        features: for each score, the rows of all calibration patients.
        alpha: probability that a patient like them is called unlike.
        population: which patients these are, in words.
        date: day of the calibration.
        distance: one of `DISTANCES`.

    Raises:
        InvalidInput: E401, so few patients that none could ever be called unlike.
        ValueError: rows that do not match, or no such distance.
    """
    DISTANCES[distance]
    patients = of_rows(*features)
    conformal_rank(patients.n, alpha)
    return Novelty(
        guarantee=patients.promise(
            f"a patient like these is called unlike them with probability at most {percent(alpha)}",
            method=f"conformal p-value of the {distance.replace('_', ' ')} distance",
            alpha=alpha,
            population=population,
            date=date,
            structure=features[0][0].structure,
            absent="exclude" if patients.excluded else None,
        ),
        features=tuple(rows[0].measure for rows in features),
        vectors=tuple(tuple(vector) for vector in patients.values.T.tolist()),
        distance=distance,
    )
