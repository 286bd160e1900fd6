"""fiducio's calibrators (github.com/fiducio-ai/Fiducio, Apache-2.0) on the same voxels, where fiducio is installed.

fiducio takes neither weights nor soft targets: voxels are drawn again, with replacement and with probability equal to
their weight, and the label of each from its raters' shares. Its target is then the same as that of
`fit_probabilities`, up to the noise of the draw, which falls with `n_draws`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from plausible.calibrate.subsample import VoxelSample
from plausible.core import missing_extra

N_DRAWS = 200_000


@dataclass(frozen=True, slots=True, eq=False)
class FiducioTransform:
    """A fitted calibrator of fiducio for probabilities `c i j k` of exclusive classes.

    Attributes:
        calibrator: of fiducio; its own `save` writes it to a file.
    """

    calibrator: Any

    def transform(self, probabilities: Float[np.ndarray, "c i j k"]) -> Float32[np.ndarray, "c i j k"]:
        """Return calibrated probabilities."""
        found = self.calibrator.transform(np.ascontiguousarray(probabilities)[np.newaxis])
        return np.asarray(found, dtype=np.float32)[0]


def fit_fiducio(
    samples: Sequence[VoxelSample], *, calibrator: str, seed: int, n_draws: int = N_DRAWS
) -> FiducioTransform:
    """Fit a calibrator of fiducio by its name there, e.g. "TemperatureScaling", "CDC" or "CMSop".

    Raises:
        UnfitEnvironment: E901, fiducio is not installed.
        ValueError: overlapping regions, no samples, or a name that fiducio does not know.
    """
    if not samples or not samples[0].classes.exclusive:
        raise ValueError("fiducio calibrates exclusive classes; there are no samples of such here")
    fiducio = _fiducio()
    kind = getattr(fiducio, calibrator, None)
    if not isinstance(kind, type):
        raise ValueError(f"fiducio has no calibrator {calibrator!r}")
    probabilities, labels = resampled(samples, n_draws=n_draws, seed=seed)
    made = kind(input_type="probs")
    made.fit(probabilities.T[np.newaxis], labels[np.newaxis])
    return FiducioTransform(made)


def resampled(samples: Sequence[VoxelSample], *, n_draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Voxels drawn by weight (`n c`) and a label for each, drawn from its raters' shares."""
    rng = np.random.default_rng(seed)
    weights = np.concatenate([sample.weights for sample in samples]) / len(samples)
    chosen = rng.choice(len(weights), n_draws, p=weights / weights.sum())
    probabilities = np.concatenate([sample.probabilities for sample in samples])[chosen]
    shares = np.concatenate([sample.targets for sample in samples])[chosen].astype(np.float64).cumsum(axis=1)
    labels = (rng.random(n_draws)[:, np.newaxis] * shares[:, -1:] >= shares).sum(axis=1)
    return probabilities, labels


def _fiducio() -> Any:
    try:
        import fiducio
    except ImportError as error:
        raise missing_extra("fiducio", extra="calibrate") from error
    return fiducio
