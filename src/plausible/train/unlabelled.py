"""Images without labels, on which members are made to differ: found, hashed, brought onto the network's grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plausible.core import InvalidInput, Problem
from plausible.io.images import find_images, read_image
from plausible.io.raw_dataset import DatasetJson
from plausible.io.results import hash_file
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.plan import Plan
from plausible.train.preprocess import prepare_image

UNLABELLED = "unlabelled"


@dataclass(frozen=True, slots=True)
class Unlabelled:
    """Images of a folder.

    Attributes:
        images: files of each, one a channel.
        hashes: SHA-256 of every file by its name.
    """

    images: dict[str, list[Path]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)


def asked_unlabelled(folder: Path | None, diversity: DiversitySettings, told: DatasetJson) -> Unlabelled:
    """Images without labels, where they are asked for and given.

    Raises:
        ValueError: only one of the two.
    """
    wanted = diversity.used and diversity.images == UNLABELLED
    if wanted != (folder is not None):
        raise ValueError("--unlabelled FOLDER and --diversity-images unlabelled need each other")
    return find_unlabelled(folder, channels=told.channels) if folder else Unlabelled()


def find_unlabelled(folder: Path, *, channels: Sequence[str]) -> Unlabelled:
    """Read every image of a folder once.

    Raises:
        InvalidInput: E507, there is none; what the reader raises for an image that cannot be read.
    """
    images = find_images(folder) if folder.is_dir() else {}
    if not images:
        raise InvalidInput(
            Problem(
                code="E507",
                file=folder.name,
                found="no image" if folder.is_dir() else "no such folder",
                expected="images named like those of the dataset, NAME_0000.nii.gz",
                fix="give the folder of the images, or leave --unlabelled out",
            )
        )
    for name, paths in images.items():
        read_image(paths, channels=channels, subject=name)
    return Unlabelled(images, {path.name: hash_file(path) for paths in images.values() for path in paths})


def prepare_unlabelled(found: Unlabelled, plan: Plan, *, channels: Sequence[str], cache: Path) -> None:
    """Bring every image onto the network's grid and keep it, with labels of 0."""
    from plausible.train.cache import keep_prepared  # imports torch

    for name, paths in found.images.items():
        prepared = prepare_image(read_image(paths, channels=channels, subject=name), plan)
        keep_prepared(name, prepared, np.zeros(prepared.shape[1:], dtype=np.uint8), cache=cache)
