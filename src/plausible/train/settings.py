"""Settings of a training, all in one frozen record that is written into the model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from plausible.train.methods import MethodName

Precision = Literal["auto", "bfloat16", "float32"]
WeightsAs = Literal["float16", "float32"]
EnsembleKind = Literal["deep", "cv", "rater", "heterogeneous"]
Architecture = Literal["dynunet", "residual_dynunet", "residual_unet", "segresnet"]
LossName = Literal["dice_ce", "ce", "dice", "dice_focal", "tversky", "brier"]
DropoutPlaces = Literal["all", "inner", "bottleneck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How each member is trained. The defaults follow nnU-Net where its size allows it on a few CPU cores.

    Attributes:
        iterations: optimiser steps of each member.
        batch: patches a step.
        learning_rate: peak of the one-cycle schedule (AdamW).
        warmup: share of the iterations in which the learning rate rises.
        weight_decay: of AdamW.
        width: channels of the first level of the U-Net; they double at each level up to 320.
        levels: resolution levels of the U-Net; 0 lets the patch size decide, as nnU-Net does.
        patch: size of a training patch in voxels of the target spacing; None takes the median image, within
            `patch_voxels`.
        patch_voxels: largest number of voxels of a patch that is planned.
        foreground_share: share of the patches that are centred on a voxel of a structure.
        rotation_deg, scale, noise, brightness, gamma: largest random change; 0 leaves it out.
        flip_axes: axes (0 left-right, 1 back-front, 2 foot-head) that are mirrored at random. None by default: a
            mirrored left kidney looks like a right one.
        deep_supervision: whether coarser levels have a loss of their own.
        ema_decay: decay of an exponential moving average of the weights; 0 keeps the last weights.
        validate_every: iterations between two validations; 0 validates at the end only.
        patience: stop after so many validations without a better Dice, and keep the best weights; 0 never stops.
        checkpoint_every: iterations between two checkpoints.
        precision: "auto" takes bfloat16 where the processor computes in it.
        weights_as: type in which the finished weights are stored.
        method: how a network is trained and what can be drawn from it.
        architecture: network; "dynunet" is nnU-Net's plain U-Net, "residual_dynunet" has residual blocks.
        loss: objective of the segmentation.
        dropout_rate: share of the channels that MC dropout leaves out.
        dropout_at: where it leaves them out; "inner" spares the finest level.
        prior_sd: standard deviation of the Gaussian prior over each weight (Bayes by Backprop).
        initial_sd: standard deviation of the weights at the start (Bayes by Backprop).
        kl_weight: weight of the KL divergence to the prior; 1 is the evidence lower bound (Bayes by Backprop).
        rank: rank of the covariance (stochastic segmentation network, SWAG).
        loss_samples: draws in each step's loss (stochastic segmentation network).
        keep: sets of weights that are kept (checkpoints, snapshots, cyclical SGLD).
        keep_from: share of the training after which weights are collected (checkpoints, SWAG).
        constant_rate: learning rate while they are collected, relative to the peak (SWAG).
        temperature: of the posterior; below 1 is colder (cyclical SGLD).
    """

    iterations: int = 1000
    batch: int = 2
    learning_rate: float = 2e-3
    warmup: float = 0.1
    weight_decay: float = 1e-2
    width: int = 16
    levels: int = 0
    patch: tuple[int, int, int] | None = None
    patch_voxels: int = 2**20
    foreground_share: float = 1 / 3
    rotation_deg: float = 15.0
    scale: float = 0.15
    noise: float = 0.1
    brightness: float = 0.2
    gamma: float = 0.3
    flip_axes: tuple[int, ...] = ()
    deep_supervision: bool = False
    ema_decay: float = 0.0
    validate_every: int = 0
    patience: int = 0
    checkpoint_every: int = 100
    precision: Precision = "auto"
    weights_as: WeightsAs = "float16"
    method: MethodName = "plain"
    architecture: Architecture = "dynunet"
    loss: LossName = "dice_ce"
    dropout_rate: float = 0.2
    dropout_at: DropoutPlaces = "all"
    prior_sd: float = 0.1
    initial_sd: float = 0.01
    kl_weight: float = 1.0
    rank: int = 10
    loss_samples: int = 10
    keep: int = 5
    keep_from: float = 0.5
    constant_rate: float = 0.25
    temperature: float = 1.0

    def __post_init__(self) -> None:
        for names, fits, expected in RANGES:
            for name in names:
                if not fits(getattr(self, name)):
                    raise ValueError(f"{name} must {expected}, got {getattr(self, name)}")
        if self.patience and not self.validate_every:
            raise ValueError("early stopping (patience) needs validate_every above 0")
        if self.deep_supervision and self.architecture not in ("dynunet", "residual_dynunet"):
            raise ValueError(f"{self.architecture} has no heads for deep supervision")


RANGES: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (
        ("iterations", "batch", "width", "patch_voxels", "checkpoint_every", "rank", "loss_samples", "keep"),
        lambda value: value >= 1,
        "be at least 1",
    ),
    (("kl_weight", "temperature"), lambda value: value >= 0, "be at least 0"),
    (("prior_sd", "initial_sd", "constant_rate"), lambda value: value > 0, "be above 0"),
    (("dropout_rate", "keep_from", "ema_decay"), lambda value: 0 <= value < 1, "lie in [0, 1)"),
    (("warmup",), lambda value: 0 < value < 1, "lie between 0 and 1"),
    (("flip_axes",), lambda value: set(value) <= {0, 1, 2}, "be among 0, 1, 2"),
)
"""Settings, what they must fulfil, and how it is said."""
