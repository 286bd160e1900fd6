"""Tiny nnU-Net raw datasets with a bright ball to find: anisotropic, oblique, of unequal shapes and orientations."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from plausible.train import TrainingSettings

SPACING = (1.0, 1.2, 2.0)
TINY = TrainingSettings(
    iterations=6, batch=2, width=2, levels=3, patch=(8, 12, 8), checkpoint_every=2, precision="float32"
)
TINY_OPTIONS = (
    *("--members", 2, "--iterations", 6, "--batch", 2, "--width", 2, "--levels", 3, "--patch", 8, 12, 8),
    *("--checkpoint-every", 2, "--precision", "float32", "--threads", 1, "-q"),
)
"""The same as options of `plausible train`, for two members."""


def affine(*, spacing=SPACING, degrees=15.0, flip=False) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    found = np.eye(4)
    found[:3, :3] = turn @ np.diag(spacing) @ np.diag([-1 if flip else 1, 1, 1])
    found[:3, 3] = (-12.5, 30.0, 4.0)
    return found


def image_and_labels(n: int, *, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Noise with two nested balls; their place, the shape of the grid and the noise depend on n."""
    random = np.random.default_rng(n)
    shape = (11 + n % 3, 13, 9)
    grid = np.indices(shape).T.T
    centre = np.array([5, 6, 4]) + random.integers(-1, 2, 3)
    distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(axis=0))
    labels = (distance < 4).astype(np.uint8) + (distance < 2).astype(np.uint8)
    values = [40.0 * labels + random.normal(100, 5, shape) for _ in range(channels)]
    return np.stack(values).astype(np.float32), labels


def write_dataset(folder: Path, *, n_cases: int = 5, channels: int = 1, labels=None, order=None, names=None) -> Path:
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    for n in range(n_cases):
        values, mask = image_and_labels(n, channels=channels)
        for c in range(channels):
            nib.save(nib.Nifti1Image(values[c], affine(flip=n == 1)), folder / f"imagesTr/case_{n}_{c:04d}.nii.gz")
        nib.save(nib.Nifti1Image(mask, affine(flip=n == 1)), folder / f"labelsTr/case_{n}.nii.gz")
    content = {
        "name": "balls",
        "channel_names": {str(c): name for c, name in enumerate(names or ["MR"] * channels)},
        "labels": labels or {"background": 0, "shell": 1, "core": 2},
        "file_ending": ".nii.gz",
    }
    if order:
        content["regions_class_order"] = order
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder
