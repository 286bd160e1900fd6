"""Changes of intensities, in the prepared image's own units (after a z-score: standard deviations).

Nothing moves, so there is nothing to undo. They are those of training: gamma and contrast within its ranges, and its
brightness and noise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

GAMMAS = (0.8, 1.25)
SHIFTS = (0.2, -0.2)
CONTRASTS = (0.8, 1.25)
NOISE_SD = 0.1
N_NOISES = 24


@dataclass(frozen=True, slots=True)
class Shade:
    """A change of intensities.

    Attributes:
        name: e.g. "gamma_0.8", "noise_0_1" (seed and number).
        apply: changes the prepared image `n x y z`; every channel alike.
    """

    name: str
    apply: Callable[[np.ndarray], np.ndarray]


def shades(seed: int) -> tuple[Shade, ...]:
    """Gamma, brightness, contrast and noise in turn, then more noise; the noise's seeds come from this one."""
    pairs = [
        (_gamma(gamma), _brightness(shift), _contrast(factor), _noise(seed, n))
        for n, (gamma, shift, factor) in enumerate(zip(GAMMAS, SHIFTS, CONTRASTS, strict=True))
    ]
    noises = [_noise(seed, n) for n in range(len(pairs), N_NOISES)]
    return tuple([shade for pair in pairs for shade in pair] + noises)


def _gamma(gamma: float) -> Shade:
    return Shade(f"gamma_{gamma:g}", lambda values: np.stack([gamma_corrected(one, gamma) for one in values]))


def gamma_corrected(values: Float32[np.ndarray, "x y z"], gamma: float) -> Float32[np.ndarray, "x y z"]:
    """Intensities scaled to 0 to 1, to the power of gamma, then back to the mean and deviation they had."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        return values
    mean, sd = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    bent = ((values - np.float32(low)) / np.float32(high - low)).clip(0, 1)
    np.power(bent, np.float32(gamma), out=bent)
    bent -= np.float32(bent.mean(dtype=np.float64))
    bent *= np.float32(sd / bent.std(dtype=np.float64))
    bent += np.float32(mean)
    return bent


def _brightness(shift: float) -> Shade:
    return Shade(f"brightness_{shift:g}", lambda values: values + np.float32(shift))


def _contrast(factor: float) -> Shade:
    def apply(values: np.ndarray) -> np.ndarray:
        mean = values.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
        changed: np.ndarray = mean + np.float32(factor) * (values - mean)
        return changed

    return Shade(f"contrast_{factor:g}", apply)


def _noise(seed: int, n: int) -> Shade:
    def apply(values: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng([seed, n]).standard_normal(values.shape, dtype=np.float32)
        noise *= np.float32(NOISE_SD)
        noise += values
        return noise

    return Shade(f"noise_{seed}_{n + 1}", apply)
