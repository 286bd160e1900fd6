"""Maps from stated to calibrated probabilities, and how they are fitted: affine in the log of the probabilities.

A question has k ≥ 2 answers with probabilities p. Its calibrated probabilities are softmax(W log p + b):

| method | W | b | answers stay in order |
|---|---|---|---|
| temperature | I / T | 0 | yes |
| vector | diagonal | any | no |
| dirichlet | any | any | no |

Exclusive classes are one question. An overlapping region is a question of its own with the answers absent and
present; temperature is then Platt's slope without offset, vector is beta calibration (Kull et al. 2017).

Fitted by the smallest weighted negative log-likelihood -Σ_v w_v Σ_c t_vc log q_vc with targets t that may be shares of
raters. It is convex in (W, b), so the identity can never be better; its gradient is exact. A small pull towards the
identity (ridge) keeps W and b finite where the voxels leave them open.

Sources: Guo et al. 2017, arXiv:1706.04599 (temperature, vector); Kull et al. 2019, arXiv:1910.12656 (Dirichlet); Kull,
Silva Filho and Flach 2017, doi:10.1214/17-EJS1338SI (beta).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.special import log_softmax, logsumexp, softmax

from plausible.core import Catalogue
from plausible.measure import PROBABILITY_FLOOR

RIDGE = 1e-6
"""Weight of the squared distance from the identity, against a negative log-likelihood in nat per unit of weight."""

TEMPERATURES = (0.05, 20.0)
"""Temperatures outside are no answer but a sign of voxels that are all right or all wrong."""


@dataclass(frozen=True, slots=True)
class LogMap:
    """softmax(W log p + b).

    Attributes:
        weight: W, row by row.
        bias: b.
    """

    weight: tuple[tuple[float, ...], ...]
    bias: tuple[float, ...]

    @classmethod
    def identity(cls, k: int) -> "LogMap":
        """Return the map that changes nothing."""
        return cls.of(np.eye(k), np.zeros(k))

    @classmethod
    def of(cls, weight: np.ndarray, bias: np.ndarray) -> "LogMap":
        """Return the map of two arrays."""
        return cls(tuple(tuple(row) for row in weight.tolist()), tuple(bias.tolist()))

    @property
    def temperature(self) -> float:
        """T, of a map that is I / T."""
        return 1 / self.weight[0][0]

    def transform(self, probabilities: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
        """Return the calibrated probabilities."""
        return softmax(log_floored(probabilities) @ np.array(self.weight).T + np.array(self.bias), axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Voxels of one question, ready to be fitted on.

    Attributes:
        logs: log p.
        targets: shares of raters, which sum to one.
        weights: which sum to one.
        ridge: pull towards the identity.
    """

    logs: Float[np.ndarray, "n k"]
    targets: Float[np.ndarray, "n k"]
    weights: Float[np.ndarray, " n"]
    ridge: float = RIDGE

    @property
    def k(self) -> int:
        """How many answers there are."""
        return self.logs.shape[1]

    def nll(self, fitted: LogMap) -> float:
        """Weighted negative log-likelihood in nat under a map."""
        scores = self.logs @ np.array(fitted.weight).T + np.array(fitted.bias)
        return float(-(self.weights @ (self.targets * log_softmax(scores, axis=1)).sum(axis=1)))


Fitted: TypeAlias = Callable[[Answers], LogMap]

PROBABILITY_CALIBRATIONS: Catalogue[Fitted] = Catalogue("probability calibration")


@PROBABILITY_CALIBRATIONS.add(unit="1", higher_is="neither", source="Guo et al. 2017, arXiv:1706.04599")
def temperature(answers: Answers) -> LogMap:
    """One number for all answers: softmax(log p / T). The most probable answer stays the most probable."""
    eye = np.eye(answers.k)
    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0])]
    return _fit(answers, eye.reshape(1, -1), with_bias=False, bounds=bounds)


@PROBABILITY_CALIBRATIONS.add(unit="1", higher_is="neither", source="Guo et al. 2017, arXiv:1706.04599")
def vector(answers: Answers) -> LogMap:
    """A slope and an offset for each answer: softmax(w_c log p_c + b_c). May change the most probable answer."""
    k = answers.k
    return _fit(answers, np.eye(k * k)[:: k + 1], with_bias=True)


@PROBABILITY_CALIBRATIONS.add(unit="1", higher_is="neither", source="Kull et al. 2019, arXiv:1910.12656")
def dirichlet(answers: Answers) -> LogMap:
    """Every answer weighs in every other: softmax(W log p + b). May change the most probable answer."""
    return _fit(answers, np.eye(answers.k**2), with_bias=True)


def log_floored(probabilities: np.ndarray) -> Float[np.ndarray, "..."]:
    """Logarithm of probabilities that are at least half a step of the member store."""
    return np.log(np.maximum(probabilities.astype(np.float64), PROBABILITY_FLOOR))


def _fit(
    answers: Answers,
    basis: Float[np.ndarray, "f kk"],
    *,
    with_bias: bool,
    bounds: Sequence[tuple[float, float]] | None = None,
) -> LogMap:
    """Smallest negative log-likelihood over W in the span of a basis, and b if wanted."""
    k, n_free = answers.k, len(basis)
    start = np.concatenate([np.linalg.lstsq(basis.T, np.eye(k).ravel())[0], np.zeros(k if with_bias else 0)])

    def split(free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (free[:n_free] @ basis).reshape(k, k), free[n_free:] if with_bias else np.zeros(k)

    def loss(free: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = split(free)
        value, by_weight, by_bias = _loss(answers, weight, bias)
        pull = free - start
        gradient = np.concatenate([basis @ by_weight.ravel(), by_bias if with_bias else np.zeros(0)])
        return value + answers.ridge * float(pull @ pull), gradient + 2 * answers.ridge * pull

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-9})
    fitted, identity = LogMap.of(*split(found.x)), LogMap.identity(k)
    return fitted if answers.nll(fitted) <= answers.nll(identity) else identity


def _loss(answers: Answers, weight: np.ndarray, bias: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Negative log-likelihood, and its derivatives by W and b."""
    scores = answers.logs @ weight.T + bias
    total = logsumexp(scores, axis=1, keepdims=True)
    value = float(answers.weights @ (total[:, 0] - (answers.targets * scores).sum(axis=1)))
    slope = (np.exp(scores - total) - answers.targets) * answers.weights[:, np.newaxis]
    return value, slope.T @ answers.logs, slope.sum(axis=0)
