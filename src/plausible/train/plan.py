"""From the fingerprint to the plan: target spacing, patch, network.

The rules are nnU-Net's (Isensee et al. 2021): median spacing, with the 10th percentile along a coarse axis; a patch as
large as the median image allows; an axis is halved while it has 8 voxels or more and is not twice as coarse as the
finest.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from plausible.train.fingerprint import Fingerprint
from plausible.train.grid import ChannelFingerprint, Triple
from plausible.train.preprocess import ANISOTROPIC
from plausible.train.settings import Architecture, TrainingSettings

Voxels = tuple[int, int, int]
MIN_LEVELS, MAX_LEVELS, MAX_FILTERS, SMALLEST_EDGE = 3, 6, 320, 4
HALVES_EVERY_AXIS: tuple[Architecture, ...] = ("segresnet",)
LABELS: Mapping[Architecture, str] = {
    "dynunet": "DynUNet",
    "residual_dynunet": "residual DynUNet",
    "residual_unet": "residual UNet",
    "segresnet": "SegResNet",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The grid and the network. Axes are left-right, back-front, foot-head.

    Attributes:
        spacing_mm: target spacing.
        patch: voxels of a patch; a multiple of the network's total stride.
        strides, kernels, filters: one entry per resolution level.
        channels: how each channel is normalised.
        deep_supervision: number of coarser levels with a head of their own.
        network: kind of network.
    """

    spacing_mm: Triple
    patch: Voxels
    strides: tuple[Voxels, ...]
    kernels: tuple[Voxels, ...]
    filters: tuple[int, ...]
    channels: tuple[ChannelFingerprint, ...]
    deep_supervision: int = 0
    network: Architecture = "dynunet"

    @property
    def architecture(self) -> str:
        """Name of the network, e.g. "DynUNet 16-32-64"."""
        return f"{LABELS[self.network]} " + "-".join(map(str, self.filters))

    @property
    def coarse_axis(self) -> int | None:
        """Axis more than three times as coarse as the finest, in which rotating would tear the image."""
        spacing = np.asarray(self.spacing_mm)
        return int(spacing.argmax()) if spacing.max() / spacing.min() > ANISOTROPIC else None

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Plan":
        """Return the plan from plain JSON values."""
        return cls(
            spacing_mm=_three(content["spacing_mm"]),
            patch=_three(content["patch"]),
            strides=tuple(_three(s) for s in content["strides"]),
            kernels=tuple(_three(k) for k in content["kernels"]),
            filters=tuple(content["filters"]),
            channels=tuple(ChannelFingerprint(**channel) for channel in content["channels"]),
            deep_supervision=int(content["deep_supervision"]),
            network=content.get("network", "dynunet"),
        )


def plan(fingerprint: Fingerprint, settings: TrainingSettings) -> Plan:
    """Plan grid, patch and network for a dataset."""
    spacing = _target_spacing(fingerprint)
    shape = np.maximum(1, np.rint(np.asarray(fingerprint.median_size_mm) / spacing)).astype(int)
    wanted = np.asarray(settings.patch) if settings.patch else _limited(shape, spacing, settings.patch_voxels)
    strides, kernels = _levels(wanted, spacing, settings.levels)
    if settings.architecture in HALVES_EVERY_AXIS:
        strides = [strides[0], *[_three([2, 2, 2])] * (len(strides) - 1)]
    total = np.prod(strides, axis=0)
    patch = np.ceil(wanted / total).astype(int) * total
    filters = tuple(min(settings.width * 2**level, MAX_FILTERS) for level in range(len(strides)))
    return Plan(
        spacing_mm=_three(spacing.tolist()),
        patch=_three(patch.tolist()),
        strides=tuple(strides),
        kernels=tuple(kernels),
        filters=filters,
        channels=fingerprint.channels,
        deep_supervision=len(filters) - 2 if settings.deep_supervision else 0,
        network=settings.architecture,
    )


def _target_spacing(fingerprint: Fingerprint) -> np.ndarray:
    spacing = np.asarray(fingerprint.median_spacing_mm)
    axis = int(spacing.argmax())
    if spacing[axis] / spacing.min() > ANISOTROPIC:
        spacing[axis] = max(fingerprint.fine_spacing_mm[axis], np.delete(spacing, axis).max())
    return spacing


def _limited(shape: np.ndarray, spacing: np.ndarray, voxels: int) -> np.ndarray:
    """Shrink the axis that is longest in mm, step by step, until the patch holds at most so many voxels."""
    patch = shape.astype(int)
    while patch.prod() > voxels:
        longest = int(np.argmax(patch * spacing * (patch > SMALLEST_EDGE)))
        patch[longest] = max(SMALLEST_EDGE, patch[longest] * 15 // 16)
    return patch


def _levels(patch: np.ndarray, spacing: np.ndarray, levels: int) -> tuple[list[Voxels], list[Voxels]]:
    """Strides and kernels of each level; levels beyond what the patch allows keep the resolution."""
    size, step = patch.astype(float), spacing.astype(float)
    strides, kernels = [_three([1, 1, 1])], [_kernel(step)]
    while len(strides) < (levels or MAX_LEVELS):
        halved = (size >= 2 * SMALLEST_EDGE) & (step < 2 * step[size >= 2 * SMALLEST_EDGE].min(initial=np.inf))
        if not halved.any() and (levels or len(strides) >= MIN_LEVELS):
            break
        stride = np.where(halved, 2, 1)
        size, step = np.ceil(size / stride), step * stride
        strides.append(_three(stride.tolist()))
        kernels.append(_kernel(step))
    while len(strides) < MIN_LEVELS:
        strides.append(_three([1, 1, 1]))
        kernels.append(kernels[-1])
    return strides, kernels


def _kernel(spacing: np.ndarray) -> Voxels:
    """Three voxels along each axis; one along an axis at least twice as coarse as the finest."""
    kernel: Voxels = _three([3 if s < 2 * spacing.min() else 1 for s in spacing])
    return kernel


def _three(values: Any) -> Any:
    return tuple(values)
