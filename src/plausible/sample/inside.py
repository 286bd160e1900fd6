"""What the networks of one of our models look like inside: features of the same patches, and the loss between two.

For `plausible.diversity.weights`, which compares them as plain arrays. Features are what the last layer reads, at some
voxels of a patch in the middle of each image; every network sees the same patches. Losses are those of training
(Dice and cross-entropy), at weights on the straight line between those of two members.

Only networks of fixed weights: a network that draws its functions has no single set of features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, Float64

from plausible.core import Classes, Image, LabelMap, missing_extra
from plausible.sample.model import source_of
from plausible.train.grid import Grid
from plausible.train.methods import METHODS
from plausible.train.model import ModelInfo, read_model, unusable_model
from plausible.train.preprocess import prepare_image, prepare_labels

if TYPE_CHECKING:
    import torch

N_VOXELS = 2000
"""Voxels of each patch whose features are compared."""
N_STEPS = 7
"""Sets of weights on the way from one member to another, both ends included."""


@dataclass(frozen=True, slots=True, eq=False)
class Inside:
    """Networks of a model, in memory.

    Attributes:
        members: names.
        networks: one per member.
        info: of the model.
    """

    members: tuple[str, ...]
    networks: tuple[Any, ...]
    info: ModelInfo

    @classmethod
    def open(cls, model: Path) -> "Inside":
        """Read the networks of a model that `plausible train` made.

        Raises:
            InvalidInput: E502, the folder is incomplete or not ours, or its networks draw their functions.
            UnfitEnvironment: E901, torch or MONAI is missing.
        """
        info = read_model(model)
        drawing = [record.id for record in info.members if METHODS[record.method].stochastic]
        if drawing:
            raise unusable_model(model, f"networks that draw their functions: {', '.join(drawing)}")
        try:
            networks = tuple(source_of(model, info, record, device="cpu").network for record in info.members)
        except ImportError as error:
            raise missing_extra(error.name or "torch", extra="train") from error
        return cls(tuple(record.id for record in info.members), tuple(one.eval() for one in networks), info)


def middle_patch(
    image: Image, labels: LabelMap | None, grid: Grid, patch: tuple[int, int, int]
) -> tuple[Float32[np.ndarray, "n x y z"], np.ndarray | None]:
    """Patch around the middle of an image as networks see it, and its labels; filled up with 0."""
    prepared = prepare_image(image, grid)
    told = None if labels is None else prepare_labels(labels.values, image.geometry, grid)
    cut = [
        slice(max(0, (n - p) // 2), max(0, (n - p) // 2) + min(n, p))
        for n, p in zip(prepared.shape[1:], patch, strict=True)
    ]
    fill = [(0, p - min(n, p)) for n, p in zip(prepared.shape[1:], patch, strict=True)]
    inside = np.pad(prepared[(slice(None), *cut)], [(0, 0), *fill])
    return inside, None if told is None else np.pad(told[tuple(cut)], fill)


def features_of(
    inside: Inside, patches: Sequence[Float32[np.ndarray, "n x y z"]], *, seed: int = 0, n_voxels: int = N_VOXELS
) -> dict[str, Float32[np.ndarray, "v f"]]:
    """What the last layer of each member reads, at the same voxels of the same patches: a row per voxel."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(patches[0].shape[1:]))
    chosen = [rng.choice(size, min(n_voxels, size), replace=False) for _ in patches]
    found = {}
    for member, network in zip(inside.members, inside.networks, strict=True):
        rows = [_read(network, patch, len(inside.info.classes.names))[:, at].T
                for patch, at in zip(patches, chosen, strict=True)]  # fmt: skip
        found[member] = np.concatenate(rows)
    return found


def weights_in_a_row(network: Any) -> Float64[np.ndarray, " w"]:
    """Every weight of a network, one after the other."""
    return np.concatenate([p.detach().double().numpy().ravel() for p in network.parameters()])


def losses_between(
    inside: Inside,
    first: str,
    second: str,
    patches: Sequence[tuple[Float32[np.ndarray, "n x y z"], np.ndarray]],
    *,
    steps: int = N_STEPS,
) -> Float64[np.ndarray, " t"] | None:
    """Mean loss of the patches at weights from one member's to another's; None where architectures differ.

    Args:
        inside: the networks.
        first: member at t = 0.
        second: member at t = 1.
        patches: image and labels each.
        steps: sets of weights, both ends included.
    """
    import copy

    import torch

    from plausible.train.network import build_loss

    ends = [inside.networks[inside.members.index(name)] for name in (first, second)]
    a, b = (dict(one.named_parameters()) for one in ends)
    if {n: p.shape for n, p in a.items()} != {n: p.shape for n, p in b.items()}:
        return None
    between, loss = copy.deepcopy(ends[0]), build_loss(inside.info.classes)
    losses = []
    with torch.inference_mode():
        for t in np.linspace(0, 1, steps):
            for name, parameter in between.named_parameters():
                parameter.copy_((1 - t) * a[name] + t * b[name])
            losses.append(np.mean([_loss(between, loss, one, inside.info.classes) for one in patches]))
    return np.array(losses, dtype=np.float64)


def _loss(network: Any, loss: Any, pair: tuple[np.ndarray, np.ndarray], classes: Classes) -> float:
    import torch

    image, labels = pair
    target = torch.from_numpy(classes.encode(labels))[None]
    return float(loss(_logits(network, image), target))


def _logits(network: Any, patch: np.ndarray) -> "torch.Tensor":
    """Logits of the finest head."""
    import torch

    found: torch.Tensor = network(torch.from_numpy(np.ascontiguousarray(patch))[None])
    return (found[:, 0] if found.ndim == 6 else found).float()


def _read(network: Any, patch: np.ndarray, n_outputs: int) -> Float32[np.ndarray, "f v"]:
    """What the last convolution with as many outputs as there are channels reads, one column per voxel."""
    import torch

    seen: list[torch.Tensor] = []
    hooks = [
        layer.register_forward_pre_hook(lambda _, told: seen.append(told[0].detach()))
        for layer in network.modules()
        if isinstance(layer, torch.nn.Conv3d | torch.nn.ConvTranspose3d) and layer.out_channels == n_outputs
    ]
    try:
        with torch.inference_mode():
            _logits(network, patch)
    finally:
        for hook in hooks:
            hook.remove()
    whole = [one for one in seen if tuple(one.shape[2:]) == patch.shape[1:]]
    if not whole:
        raise ValueError("this network has no last layer at the resolution of the image")
    last: np.ndarray = whole[-1][0].float().numpy()
    return last.reshape(len(last), -1)
