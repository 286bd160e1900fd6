"""Probabilities of one function on a whole prepared image: windows with Gaussian weights."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from plausible.train.hooks import Function, Place
from plausible.train.network import autocast, to_probabilities
from plausible.train.settings import Precision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.inferers.utils import sliding_window_inference


def padded_shape(image: Float32[np.ndarray, "n x y z"], patch: tuple[int, int, int]) -> tuple[int, int, int]:
    """Shape of the image after padding to at least one window."""
    i, j, k = (max(size, edge) for size, edge in zip(image.shape[1:], patch, strict=True))
    return i, j, k


def window_probabilities(
    function: Function,
    image: Float32[np.ndarray, "n x y z"],
    patch: tuple[int, int, int],
    *,
    exclusive: bool,
    device: str,
    precision: Precision,
    overlap: float = 0.5,
    batch: int = 1,
) -> Float32[np.ndarray, "c x y z"]:
    """Probabilities of every voxel; where windows overlap, their probabilities are averaged with Gaussian weights.

    Every window goes through the same function. The image is padded with 0 (the mean after a z-score) where it is
    smaller than the patch, as in training.
    """

    def predictor(windows: torch.Tensor, corners: Sequence[Any]) -> torch.Tensor:
        places: list[Place] = [tuple(corner[2:]) for corner in corners]
        with autocast(precision, device=device):
            logits = function(windows, places)
        return to_probabilities(logits, exclusive=exclusive)

    inputs = torch.from_numpy(np.require(image, np.float32, ["C", "W"]))[None].to(device)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="monai")
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        found = sliding_window_inference(
            inputs, patch, batch, predictor, overlap=overlap, mode="gaussian", with_coord=True
        )
    probabilities: np.ndarray = found[0].cpu().numpy()
    if exclusive:
        probabilities /= probabilities.sum(axis=0, keepdims=True)
    return np.clip(probabilities, 0, 1, out=probabilities)
