"""Training patches: cropped, turned, stretched and noisy, each a function of seed and iteration alone.

Because nothing is drawn from a running generator, a training that was killed continues with the very patches that an
uninterrupted one would have seen.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Integer

from plausible.core import Classes
from plausible.train.plan import Plan
from plausible.train.settings import TrainingSettings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from monai.transforms import (
        Compose,
        RandAdjustContrastd,
        RandAffined,
        RandFlipd,
        RandGaussianNoised,
        RandScaleIntensityd,
        RandShiftIntensityd,
    )


PLACES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCase:
    """One case on the network's grid.

    Attributes:
        places: some voxels of every structure: label value, x, y, z.
    """

    image: Float32[np.ndarray, "n x y z"]
    labels: Integer[np.ndarray, "x y z"]
    places: Integer[np.ndarray, "p 4"]


def places_of(labels: Integer[np.ndarray, "x y z"]) -> Integer[np.ndarray, "p 4"]:
    """Up to 1000 evenly spaced voxels of every label value but 0: a patch finds a structure without a search."""
    found = [np.zeros((0, 4), dtype=np.int32)]
    for value in np.unique(labels[labels > 0]):
        voxels = np.argwhere(labels == value).astype(np.int32)
        kept = voxels[:: -(-len(voxels) // PLACES)]
        found.append(np.column_stack([np.full(len(kept), value, dtype=np.int32), kept]))
    return np.concatenate(found)


@dataclass(frozen=True, slots=True, eq=False)
class Batches:
    """Draws the batch of any iteration."""

    cases: Sequence[PreparedCase]
    classes: Classes
    plan: Plan
    settings: TrainingSettings
    seed: int
    transform: Any

    def draw(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images `b n x y z` and targets `b c x y z` of an iteration.

        Cases come in an order that is shuffled anew each time all have been seen.
        """
        drawn = [self._patch(iteration * self.settings.batch + slot) for slot in range(self.settings.batch)]
        return torch.stack([image for image, _ in drawn]), torch.stack([target for _, target in drawn])

    def _patch(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, place = divmod(n, len(self.cases))
        case = self.cases[np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.cases))[place]]
        random = np.random.default_rng([self.seed, 2, n])
        start = self._start(case, random)
        image, labels = _cut(case.image, start, self.plan.patch), _cut(case.labels[None], start, self.plan.patch)
        self.transform.set_random_state(seed=int(random.integers(2**31)))
        changed = self.transform(
            {"image": torch.from_numpy(image), "labels": torch.from_numpy(labels.astype(np.float32))}
        )
        values = _plain(changed["labels"])[0].round().to(torch.int64)
        return _plain(changed["image"]).float().contiguous(), _encode(values, self.classes)

    def _start(self, case: PreparedCase, random: np.random.Generator) -> list[int]:
        """First voxel of the patch; an axis that the patch spans is centred."""
        slack = [size - edge for size, edge in zip(case.labels.shape, self.plan.patch, strict=True)]
        anywhere = [int(random.integers(room + 1)) if room > 0 else room // 2 for room in slack]
        if random.random() >= self.settings.foreground_share or max(slack) <= 0 or not len(case.places):
            return anywhere
        value = random.choice(np.unique(case.places[:, 0]))
        centre = random.choice(case.places[case.places[:, 0] == value])[1:]
        return [
            min(max(int(middle) - edge // 2, 0), room) if room > 0 else room // 2
            for middle, edge, room in zip(centre, self.plan.patch, slack, strict=True)
        ]


def augmentation(plan: Plan, settings: TrainingSettings) -> Any:
    """MONAI's transforms for these settings. Across a coarse axis nothing is rotated."""
    turns = [np.deg2rad(settings.rotation_deg) * (plan.coarse_axis in (None, axis)) for axis in range(3)]
    both, image = ["image", "labels"], ["image"]
    affine = RandAffined(
        both,
        prob=0.4 if settings.rotation_deg or settings.scale else 0.0,
        rotate_range=turns,
        scale_range=(settings.scale,) * 3,
        mode=("bilinear", "nearest"),
        padding_mode="zeros",
    )
    return Compose(
        [
            affine,
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in settings.flip_axes),
            RandGaussianNoised(image, prob=0.15 * (settings.noise > 0), std=settings.noise),
            RandScaleIntensityd(image, prob=0.15 * (settings.brightness > 0), factors=settings.brightness),
            RandShiftIntensityd(image, prob=0.15 * (settings.brightness > 0), offsets=settings.brightness),
            RandAdjustContrastd(
                image,
                prob=0.15 * (settings.gamma > 0),
                gamma=(1 - settings.gamma, 1 + settings.gamma),
                retain_stats=True,
            ),
        ]
    )


def _cut(array: np.ndarray, start: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Part of an array from `start`; voxels beyond its edges are 0."""
    part = np.zeros((array.shape[0], *shape), dtype=array.dtype)
    inside, within = [slice(None)], [slice(None)]
    for first, length, size in zip(start, shape, array.shape[1:], strict=True):
        low, high = max(first, 0), min(first + length, size)
        inside.append(slice(low, high))
        within.append(slice(low - first, high - first))
    part[tuple(within)] = array[tuple(inside)]
    return part


def _encode(values: torch.Tensor, classes: Classes) -> torch.Tensor:
    channels = [torch.isin(values, torch.tensor(labels)) for labels in classes.labels]
    return torch.stack(channels).float()


def _plain(tensor: Any) -> torch.Tensor:
    """Return the tensor without MONAI's metadata."""
    plain: torch.Tensor = tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
    return plain
