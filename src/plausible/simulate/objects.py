"""One bright object in a dark image: a ball or a cube, sharp or blurred, and how bright it is at any distance.

Lengths are in voxels of 1 mm. The clean copy has the blurred object in closed form, without grid and without borders.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq
from scipy.special import erf

Kind: TypeAlias = Literal["ball", "cube"]
LEVEL = 0.1
"""Brightness from which on a voxel belongs to the object for the most generous rater."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyObject:
    """Where an object lies, how large it is and how bright.

    Attributes:
        kind: ball or cube.
        edge: its extent along each axis, in voxels.
        offset: its first voxel along each axis; below 0 it reaches over the border.
        grey: its brightness.
    """

    kind: Kind
    edge: int
    offset: tuple[int, int, int]
    grey: float = 1.0

    @property
    def radius(self) -> float:
        """Distance from the centre to the centres of the outermost voxels."""
        return (self.edge - 1) / 2

    @property
    def half(self) -> float:
        """Radius of the ball, or half the edge of the cube, whose volume is that of the drawn voxels."""
        return self.radius if self.kind == "ball" else self.edge / 2

    @property
    def centre(self) -> tuple[float, float, float]:
        """Its centre, in voxels."""
        i, j, k = (start + self.radius for start in self.offset)
        return i, j, k

    def distance(self, size: int) -> Float64[np.ndarray, "i j k"]:
        """Distance of every voxel from the centre: Euclidean for a ball, the largest of the three for a cube."""
        i, j, k = (np.abs(np.arange(size, dtype=np.float64) - middle) for middle in self.centre)
        if self.kind == "cube":
            return np.maximum(np.maximum(i[:, None, None], j[:, None]), k)
        return np.sqrt(i[:, None, None] ** 2 + j[:, None] ** 2 + k**2)

    def drawn(self, size: int) -> Float64[np.ndarray, "i j k"]:
        """The sharp object on a grid."""
        return np.where(self.distance(size) <= self.radius, self.grey, 0.0)

    def blurred(self, size: int, *, sigma: float) -> Float64[np.ndarray, "i j k"]:
        """The object blurred by a Gaussian, in closed form."""
        if self.kind == "ball":
            return self.grey * ball_profile(self.distance(size), radius=self.radius, sigma=sigma)
        axes = [np.arange(size, dtype=np.float64) - middle for middle in self.centre]
        i, j, k = (edge_profile(axis, half=self.half, sigma=sigma) for axis in axes)
        return self.grey * i[:, None, None] * j[:, None] * k

    def reach(self, *, sigma: float) -> float:
        """Distance from the centre, along an axis, at which the blurred object has fallen to `LEVEL`.

        Raises:
            ValueError: it is nowhere so bright.
        """

        def above(distance: float) -> float:
            at = np.array([distance])
            if self.kind == "ball":
                value = ball_profile(at, radius=self.radius, sigma=sigma)
            else:
                value = edge_profile(at, half=self.half, sigma=sigma) * self._middle(sigma) ** 2
            return float(self.grey * value[0]) - LEVEL

        if sigma == 0:
            return self.radius
        if above(0.0) <= 0:
            raise ValueError(
                f"a {self.kind} of {self.edge} voxels blurred by {sigma:g} is nowhere brighter than {LEVEL}"
            )
        return float(brentq(above, 0.0, self.radius + 10 * sigma))

    def _middle(self, sigma: float) -> float:
        return float(edge_profile(np.zeros(1), half=self.half, sigma=sigma)[0])


def edge_profile(x: Float64[np.ndarray, "*n"], *, half: float, sigma: float) -> Float64[np.ndarray, "*n"]:
    """Gaussian blur of the interval from −half to half."""
    scale = np.sqrt(2) * sigma
    return (erf((half - x) / scale) + erf((half + x) / scale)) / 2


def ball_profile(r: Float64[np.ndarray, "*n"], *, radius: float, sigma: float) -> Float64[np.ndarray, "*n"]:
    """Gaussian blur of a ball, at distance r from its centre.

    ½[erf((R − r)/√2σ) + erf((R + r)/√2σ)] − σ/(r√2π) [exp(−(R − r)²/2σ²) − exp(−(R + r)²/2σ²)]; towards r = 0 the
    second term becomes √(2/π) (R/σ) exp(−R²/2σ²).
    """
    near = r < 1e-3 * sigma
    safe = np.where(near, 1.0, r)
    falls = np.exp(-((radius - r) ** 2) / (2 * sigma**2)) - np.exp(-((radius + r) ** 2) / (2 * sigma**2))
    middle = np.sqrt(2 / np.pi) * radius / sigma * np.exp(-(radius**2) / (2 * sigma**2))
    shell = np.where(near, middle, sigma / (safe * np.sqrt(2 * np.pi)) * falls)
    return np.maximum(edge_profile(r, half=radius, sigma=sigma) - shell, 0.0)  # far away both round to nothing
