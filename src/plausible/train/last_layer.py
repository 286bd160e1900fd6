"""The convolution that makes the logits, as a linear model: logits = features · weights + whatever else is added.

A convolution with a kernel of several voxels is linear in the neighbourhoods of its input. Which one it is, is seen in
a pass through the network: the last one called with as many channels as there are logits.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float

from plausible.train.batches import PreparedCase
from plausible.train.job import MemberJob
from plausible.train.network import Network, autocast

Voxels = tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Voxels as the last layer sees them.

    Attributes:
        features: inputs of the layer, 1 last where it has a bias.
        logits: of the network.
        targets: 1 for the classes that a voxel has, else 0.
        share: of each observation; where windows overlap, those of a voxel sum to one.
    """

    features: Float[torch.Tensor, "n f"]
    logits: Float[torch.Tensor, "n c"]
    targets: Float[torch.Tensor, "n c"]
    share: Float[torch.Tensor, " n"]

    def every(self, stride: int) -> "Observed":
        """Return every so manyth voxel."""
        parts = (self.features, self.logits, self.targets, self.share)
        return Observed(*(part[::stride].clone() for part in parts))


def last_layer_of(network: Network, images: torch.Tensor) -> str:
    """Return the name of the convolution that makes the logits.

    Raises:
        ValueError: there is none that is linear in neighbourhoods of its input.
    """
    called: list[str] = []
    hooks = [
        module.register_forward_hook(lambda module, inputs, output, name=name: called.append(name))
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv3d)
    ]
    try:
        with torch.inference_mode():
            outputs = network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    fitting = [name for name in called if network.get_submodule(name).out_channels == outputs.shape[1]]
    if not fitting or not _is_plain(network.get_submodule(fitting[-1])):
        raise ValueError("this network does not end with a convolution of stride 1 whose weights could be Gaussian")
    return fitting[-1]


def _is_plain(layer: torch.nn.Conv3d) -> bool:
    simple = set(layer.stride) == {1} and set(layer.dilation) == {1} and layer.groups == 1
    return simple and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def matrix_of(layer: torch.nn.Conv3d) -> Float[torch.Tensor, "c f"]:
    """Weights of the layer, one row a logit, its bias last."""
    parts = [layer.weight.flatten(1)]
    return torch.cat(parts if layer.bias is None else [*parts, layer.bias[:, None]], dim=1).detach().clone()


def put_matrix(layer: torch.nn.Conv3d, matrix: Float[torch.Tensor, "c f"]) -> None:
    """Put weights into the layer, as `matrix_of` returns them."""
    with torch.no_grad():
        layer.weight.copy_(matrix[:, : layer.weight[0].numel()].reshape(layer.weight.shape))
        if layer.bias is not None:
            layer.bias.copy_(matrix[:, -1])


def features_of(layer: torch.nn.Conv3d, inputs: Float[torch.Tensor, "b n x y z"]) -> Float[torch.Tensor, "b i j k f"]:
    """Return what each voxel's logits are linear in."""
    i, j, k = layer.padding
    around = torch.nn.functional.pad(inputs, (k, k, j, j, i, i))
    for axis, size in enumerate(layer.kernel_size, start=2):
        around = around.unfold(axis, size, 1)
    features = around.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4)
    if layer.bias is None:
        return features
    return torch.cat([features, torch.ones_like(features[..., :1])], dim=-1)


def observe(network: Network, layer: str, case: PreparedCase, job: MemberJob) -> Iterator[Observed]:
    """Yield the voxels of a prepared case, window by window; every voxel counts once."""
    seen: list[torch.Tensor] = []
    module = network.get_submodule(layer)
    hook = module.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        for image, labels, shares in _windows(case, job.plan.patch):
            with torch.inference_mode(), autocast(job.settings.precision, device=job.device):
                logits = network.eval()(torch.from_numpy(image).float()[None].to(job.device))
            share = torch.from_numpy(shares).flatten().to(job.device)
            targets = torch.from_numpy(job.classes.encode(labels)).flatten(1).T.to(job.device)
            features = features_of(module, seen.pop().float()).flatten(0, 3)
            inside = share > 0
            yield Observed(features[inside], logits[0].float().flatten(1).T[inside], targets[inside], share[inside])
    finally:
        hook.remove()


def _windows(case: PreparedCase, patch: Voxels) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield image and labels in as few windows as cover them, and the share of each voxel; 0 outside of the image."""
    image, labels = _padded(case.image, patch), _padded(case.labels[None], patch)
    axes = [_places(size, edge) for size, edge in zip(case.labels.shape, patch, strict=True)]
    for (i, x), (j, y), (k, z) in product(*axes):
        share = x[:, None, None] * y[:, None] * z
        yield np.array(image[:, i, j, k]), np.array(labels[0, i, j, k]), share


def _padded(array: np.ndarray, patch: Voxels) -> np.ndarray:
    """Return the array padded with 0 to at least one window, as for prediction."""
    missing = [max(edge - size, 0) for edge, size in zip(patch, array.shape[1:], strict=True)]
    return np.pad(array, [(0, 0), *((room // 2, room - room // 2) for room in missing)]) if any(missing) else array


def _places(size: int, edge: int) -> list[tuple[slice, np.ndarray]]:
    """Windows along one axis of an image, and the share of each of their voxels."""
    length, before = max(size, edge), max(edge - size, 0) // 2
    starts = [round(start) for start in np.linspace(0, length - edge, -(-length // edge))]
    share, counts = np.zeros(length, dtype=np.float32), np.zeros(length, dtype=np.float32)
    share[before : before + size] = 1
    for start in starts:
        counts[start : start + edge] += 1
    return [(slice(start, start + edge), (share / counts)[start : start + edge]) for start in starts]
