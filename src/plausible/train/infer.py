"""Probabilities of one network on a whole prepared image: windows with Gaussian weights."""

import warnings

import numpy as np
import torch
from jaxtyping import Float32

from plausible.train.network import Network, autocast, to_probabilities
from plausible.train.plan import Plan
from plausible.train.settings import Precision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.inferers.utils import sliding_window_inference


def window_probabilities(
    network: Network,
    image: Float32[np.ndarray, "n x y z"],
    plan: Plan,
    *,
    exclusive: bool,
    device: str,
    precision: Precision,
    overlap: float = 0.5,
    batch: int = 1,
) -> Float32[np.ndarray, "c x y z"]:
    """Probabilities of every voxel; where windows overlap, their probabilities are averaged with Gaussian weights.

    The image is padded with 0 (the mean after a z-score) where it is smaller than the patch, as in training.
    """

    def predictor(windows: torch.Tensor) -> torch.Tensor:
        with autocast(precision, device=device):
            logits = network(windows)
        return to_probabilities(logits, exclusive=exclusive)

    network.eval()
    inputs = torch.from_numpy(np.array(image, dtype=np.float32))[None].to(device)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="monai")
        warnings.filterwarnings("ignore", category=UserWarning, module="torch")
        found = sliding_window_inference(inputs, plan.patch, batch, predictor, overlap=overlap, mode="gaussian")
    probabilities: np.ndarray = found[0].cpu().numpy()
    if exclusive:
        probabilities = probabilities / probabilities.sum(axis=0, keepdims=True)
    return probabilities.clip(0, 1)
