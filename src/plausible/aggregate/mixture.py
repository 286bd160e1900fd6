"""A Gaussian mixture, fitted by expectation and maximisation; the number of components by BIC.

Small and of full covariance, for tables of some dozens to thousands of cases.

Sources: Dempster, Laird and Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x (EM); Schwarz 1978,
doi:10.1214/aos/1176344136 (BIC); Arthur and Vassilvitskii 2007 (k-means++, the start).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import logsumexp

RIDGE = 1e-6
"""Added to the diagonal of every covariance, in the unit of the standardised table."""

N_STARTS = 5
MAX_STEPS = 500
TOLERANCE = 1e-6
"""Rise of the mean log likelihood below which a fit is done."""


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture:
    """Weighted sum of normal distributions.

    Attributes:
        weights: share of each component; they sum to 1.
        means: centre of each component.
        covariances: spread of each component.
    """

    weights: Float[np.ndarray, " k"]
    means: Float[np.ndarray, "k d"]
    covariances: Float[np.ndarray, "k d d"]

    @property
    def n_parameters(self) -> int:
        """Free parameters: weights, means and covariances."""
        k, d = self.means.shape
        return k - 1 + k * d + k * d * (d + 1) // 2

    def log_density(self, table: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        """Natural logarithm of the density at each row."""
        return np.asarray(logsumexp(self._joint(table), axis=1))

    def bic(self, table: Float[np.ndarray, "n d"]) -> float:
        """Bayesian information criterion of a table: (free parameters) log n - 2 Σ log density; lower is better."""
        return self.n_parameters * math.log(len(table)) - 2 * float(self.log_density(table).sum())

    def _joint(self, table: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Logarithm of weight times density, per component."""
        joint = np.empty((len(table), len(self.weights)))
        for place, (weight, mean, covariance) in enumerate(
            zip(self.weights, self.means, self.covariances, strict=True)
        ):
            root = np.linalg.cholesky(covariance)
            apart = np.linalg.solve(root, (table - mean).T)
            scale = np.log(np.diagonal(root)).sum() + len(mean) / 2 * math.log(2 * math.pi)
            joint[:, place] = np.log(weight) - scale - (apart**2).sum(axis=0) / 2
        return joint


def fit_mixture(
    table: Float[np.ndarray, "n d"], *, seed: int, n_components: Sequence[int] = (1, 2, 3, 4, 5)
) -> GaussianMixture:
    """Fit mixtures of several sizes and return the one with the lowest BIC.

    Sizes for which the table has too few rows (less than d + 1 per component) are left out.

    Raises:
        ValueError: too few rows for any size.
    """
    n, d = table.shape
    possible = [k for k in n_components if n >= k * (d + 1)]
    if not possible:
        raise ValueError(f"{n} cases are too few for {d} numbers each: at least {min(n_components) * (d + 1)}")
    rng = np.random.default_rng(seed)
    fits = [_fit(table, k, rng) for k in possible for _ in range(N_STARTS if k > 1 else 1)]
    return min(fits, key=lambda fitted: fitted.bic(table))


def _fit(table: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator) -> GaussianMixture:
    mixture = _maximise(table, _start(table, k, rng))
    before = -math.inf
    for _ in range(MAX_STEPS):
        joint = mixture._joint(table)
        density = logsumexp(joint, axis=1)
        reached = float(density.mean())
        if reached - before < TOLERANCE:
            break
        before = reached
        mixture = _maximise(table, np.exp(joint - density[:, np.newaxis]))
    return mixture


def _start(table: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator) -> Float[np.ndarray, "n k"]:
    """Membership of each row in the nearest of k rows, drawn far from each other (k-means++)."""
    chosen = [int(rng.integers(len(table)))]
    while len(chosen) < k:
        nearest = ((table[:, np.newaxis] - table[chosen]) ** 2).sum(axis=2).min(axis=1)
        far = nearest.sum()
        chosen.append(int(rng.choice(len(table), p=nearest / far if far else None)))
    closest = ((table[:, np.newaxis] - table[chosen]) ** 2).sum(axis=2).argmin(axis=1)
    return np.eye(k)[closest]


def _maximise(table: Float[np.ndarray, "n d"], membership: Float[np.ndarray, "n k"]) -> GaussianMixture:
    mass = membership.sum(axis=0) + 10 * np.finfo(float).eps
    means = membership.T @ table / mass[:, np.newaxis]
    covariances = []
    for place, mean in enumerate(means):
        apart = table - mean
        spread = (membership[:, place, np.newaxis] * apart).T @ apart / mass[place]
        covariances.append(spread + RIDGE * np.eye(len(mean)))
    return GaussianMixture(mass / mass.sum(), means, np.array(covariances))
