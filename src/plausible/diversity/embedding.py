"""A map of the members: near each other where they decide alike. Classical scaling of a matrix of distances."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """Places of the members in the plane.

    Attributes:
        places: one row per member; the first column is the direction in which members differ most.
        stress: how far distances on the map are from those measured, 0 (exact) to about 1: √(Σ(d - d̂)² / Σd²).
    """

    places: Float[np.ndarray, "m 2"]
    stress: float


def embed(distances: Float[np.ndarray, "m m"]) -> Embedding:
    """Lay members out in the plane by classical multidimensional scaling.

    Eigenvectors of -J D² J / 2 (J centres); what is left of a distance beyond two directions is lost, and the stress
    says how much. A turned or mirrored map is the same map: the sign is fixed so that the first member is not negative.

    Args:
        distances: symmetric, zero on the diagonal, such as the disagreement of any two members.

    Raises:
        ValueError: not square and symmetric, or undefined distances.

    Source: Torgerson 1952, doi:10.1007/BF02288916; stress of Kruskal 1964, doi:10.1007/BF02289565.
    """
    d = np.asarray(distances, np.float64)
    if d.shape != d.T.shape or not np.isfinite(d).all() or not np.allclose(d, d.T, atol=1e-9):
        raise ValueError("distances must be a symmetric matrix of defined values")
    centre = np.eye(len(d)) - 1 / len(d)
    values, vectors = np.linalg.eigh(-0.5 * centre @ d**2 @ centre)
    order = np.argsort(values)[::-1][:2]
    places = np.zeros((len(d), 2))
    found = vectors[:, order] * np.sqrt(np.maximum(values[order], 0))
    signs = np.where(found[np.argmax(np.abs(found) > 1e-12, axis=0), range(found.shape[1])] < 0, -1.0, 1.0)
    places[:, : found.shape[1]] = found * signs
    shown = np.linalg.norm(places[:, np.newaxis] - places[np.newaxis], axis=2)
    total = float((d**2).sum())
    return Embedding(places, float(np.sqrt(((d - shown) ** 2).sum() / total)) if total > 0 else 0.0)
