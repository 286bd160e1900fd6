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
    targets = job.classes.encode(np.asarray(case.labels))
    try:
        for image, target, share in _windows([np.asarray(case.image), targets], job.plan.patch):
            with torch.inference_mode(), autocast(job.settings.precision, device=job.device):
                logits = network.eval()(image.to(job.device))
            inside = share.flatten() > 0
            yield Observed(
                features_of(module, seen.pop().float()).flatten(0, 3)[inside],
                _as_rows(logits.float())[inside],
                _as_rows(target.to(job.device))[inside],
                share.flatten()[inside].to(job.device),
            )
    finally:
        hook.remove()


def _as_rows(values: Float[torch.Tensor, "1 c x y z"]) -> Float[torch.Tensor, "n c"]:
    return values[0].flatten(1).T


def _windows(arrays: list[np.ndarray], patch: Voxels) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield both arrays in as few windows as cover them, padded with 0 to at least one, and the share of each voxel."""
    before = arrays[0].shape[1:]
    missing = [max(edge - size, 0) for edge, size in zip(patch, before, strict=True)]
    around = [(room // 2, room - room // 2) for room in missing]
    padded = [torch.from_numpy(np.pad(array, [(0, 0), *around])).float() for array in arrays]
    share = torch.from_numpy(np.pad(np.ones(before, dtype=np.float32), around))
    places = []
    for axis, (size, edge) in enumerate(zip(share.shape, patch, strict=True)):
        starts = np.rint(np.linspace(0, size - edge, -(-size // edge))).astype(int)
        counts = sum(
            ((np.arange(size) >= start) & (np.arange(size) < start + edge)).astype(np.float32) for start in starts
        )
        share = share / torch.as_tensor(counts).reshape([-1 if a == axis else 1 for a in range(3)])
        places.append([slice(int(start), int(start) + edge) for start in starts])
    for place in product(*places):
        image, target = (array[(slice(None), *place)][None] for array in padded)
        yield image, target, share[place]
