"""The network, its loss, and the numbers a processor computes them in. MONAI's, not rewritten."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeAlias

import torch

from plausible.core import Classes
from plausible.train.plan import Plan
from plausible.train.settings import LossName, Precision

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.losses.dice import DiceLoss
    from monai.losses.focal_loss import FocalLoss
    from monai.losses.tversky import TverskyLoss
    from monai.networks.nets.dynunet import DynUNet
    from monai.networks.nets.segresnet import SegResNet
    from monai.networks.nets.unet import UNet

Network: TypeAlias = Any
"""A `torch.nn.Module` from patches to logits."""

Loss: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From logits and targets to one number."""


def build_network(plan: Plan, *, channels: int, outputs: int, seed: int) -> Network:
    """Network of the plan with weights drawn by seed; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return NETWORKS[plan.network](plan, channels, outputs)


def _dynunet(plan: Plan, channels: int, outputs: int, *, residual: bool = False) -> Network:
    return DynUNet(
        spatial_dims=3,
        in_channels=channels,
        out_channels=outputs,
        kernel_size=plan.kernels,
        strides=plan.strides,
        upsample_kernel_size=plan.strides[1:],
        filters=plan.filters,
        norm_name=("instance", {"affine": True}),
        deep_supervision=plan.deep_supervision > 0,
        deep_supr_num=max(plan.deep_supervision, 1),
        res_block=residual,
    )


def _residual_unet(plan: Plan, channels: int, outputs: int) -> Network:
    return UNet(
        spatial_dims=3,
        in_channels=channels,
        out_channels=outputs,
        channels=plan.filters,
        strides=plan.strides[1:],
        num_res_units=2,
        norm=("INSTANCE", {"affine": True}),
        act=("leakyrelu", {"inplace": True, "negative_slope": 0.01}),
    )


def _segresnet(plan: Plan, channels: int, outputs: int) -> Network:
    levels = len(plan.filters)
    return SegResNet(
        spatial_dims=3,
        init_filters=plan.filters[0],
        in_channels=channels,
        out_channels=outputs,
        norm=("INSTANCE", {"affine": True}),
        blocks_down=(1, *[2] * (levels - 1)),
        blocks_up=(1,) * (levels - 1),
    )


NETWORKS: dict[str, Callable[[Plan, int, int], Network]] = {
    "dynunet": _dynunet,
    "residual_dynunet": partial(_dynunet, residual=True),
    "residual_unet": _residual_unet,
    "segresnet": _segresnet,
}
"""From plan, input channels and output channels to a network. None has batch statistics: weights say everything."""


def weights_of(network: Network) -> dict[str, torch.Tensor]:
    """Copy of every parameter under one name (the network's own table lists some under two)."""
    return {name: weights.detach().clone() for name, weights in network.named_parameters()}


def load_weights(network: Network, weights: Mapping[str, torch.Tensor]) -> None:
    """Put parameters into a network, from whatever type they were stored in.

    Raises:
        ValueError: names or shapes are not those of this network.
    """
    parameters = dict(network.named_parameters())
    if {n: p.shape for n, p in parameters.items()} != {n: w.shape for n, w in weights.items()}:
        raise ValueError("these weights do not fit the network of the plan")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def build_loss(classes: Classes, name: LossName = "dice_ce") -> Loss:
    """Objective by name: softmax for exclusive classes (overlap without the background), sigmoid for regions.

    "dice_ce" (nnU-Net's), "ce", "dice", "dice_focal" (Dice plus focal loss with gamma 2), "tversky" (misses weigh 0.7),
    "brier" (squared error of the probabilities, summed over classes, mean over voxels).
    MONAI's `DiceCELoss` takes a softmax cross-entropy whenever there are several channels, even with `sigmoid=True`;
    for overlapping regions the two parts are therefore put together here.
    """
    activation = {"softmax": True, "include_background": False} if classes.exclusive else {"sigmoid": True}
    smooth: dict[str, Any] = {"batch": True, "smooth_nr": 1e-5, "smooth_dr": 1e-5}
    dice = DiceLoss(**activation, **smooth)
    if name == "dice":
        return dice
    if name == "tversky":
        return TverskyLoss(**activation, **smooth, alpha=0.3, beta=0.7)
    if name == "brier":
        return partial(_squared_error, exclusive=classes.exclusive)
    entropy = torch.nn.CrossEntropyLoss() if classes.exclusive else torch.nn.BCEWithLogitsLoss()
    second = FocalLoss(gamma=2.0, use_softmax=classes.exclusive) if name == "dice_focal" else entropy
    return second if name == "ce" else lambda logits, target: dice(logits, target) + second(logits, target)


def _squared_error(logits: torch.Tensor, target: torch.Tensor, *, exclusive: bool) -> torch.Tensor:
    return (to_probabilities(logits, exclusive=exclusive) - target).square().sum(dim=1).mean()


def supervised_loss(loss: Loss, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Loss of one head (`b c i j k`) or of several (`b h c i j k`), each coarser one with half the weight before it."""
    if logits.ndim == target.ndim:
        return loss(logits.float(), target)
    weights = [0.5**head for head in range(logits.shape[1])]
    parts = [w * loss(logits[:, head].float(), target) for head, w in enumerate(weights)]
    total: torch.Tensor = torch.stack(parts).sum() / sum(weights)
    return total


def to_probabilities(logits: torch.Tensor, *, exclusive: bool) -> torch.Tensor:
    """Softmax over the channels, or a sigmoid of each."""
    return torch.softmax(logits.float(), dim=1) if exclusive else torch.sigmoid(logits.float())


def choose_precision(precision: Precision, *, device: str) -> Precision:
    """Resolve "auto" to bfloat16 where the processor has it, else float32."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return "bfloat16" if device == "cpu" and native() else "float32"


def autocast(precision: Precision, *, device: str) -> AbstractContextManager[Any]:
    """Compute in bfloat16 inside this block, if that is the precision."""
    context: AbstractContextManager[Any] = torch.autocast(
        device_type=device.split(":", maxsplit=1)[0], dtype=torch.bfloat16, enabled=precision == "bfloat16"
    )
    return context
