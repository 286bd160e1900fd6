"""Prepared cases on disk, so that members in several processes share them and a rerun finds them."""

from pathlib import Path

import numpy as np

from plausible.core import Case
from plausible.io.atomic import replacing
from plausible.train.batches import PreparedCase, places_of
from plausible.train.cases import read_pair
from plausible.train.plan import Plan
from plausible.train.preprocess import prepare_image, prepare_labels


def prepare_case(case: Case, plan: Plan, *, cache: Path) -> None:
    """Bring one case onto the network's grid and keep it; does nothing if it is there."""
    if all(path.exists() for path in _paths(cache, case.subject)):
        return
    image, labels = read_pair(case)
    keep_prepared(case.subject, prepare_image(image, plan), prepare_labels(labels, image.geometry, plan), cache=cache)


def keep_prepared(subject: str, image: np.ndarray, labels: np.ndarray, *, cache: Path) -> None:
    """Keep what is on the network's grid."""
    for path, values in zip(_paths(cache, subject), (image, labels, places_of(labels)), strict=True):
        with replacing(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, np.ascontiguousarray(values), allow_pickle=False)


def load_case(cache: Path, subject: str) -> PreparedCase:
    """Read one prepared case; its voxels come into memory where they are touched."""
    image, labels, places = (np.load(path, mmap_mode="r", allow_pickle=False) for path in _paths(cache, subject))
    return PreparedCase(image, labels, np.array(places))


def _paths(cache: Path, subject: str) -> list[Path]:
    return [cache / f"{subject}.{part}.npy" for part in ("image", "labels", "places")]
