"""Images on which members are made to differ: as they are trained on, with artefacts, shuffled, or unlabelled.

Patches are a function of seed and iteration, as those that are trained on.

- shifted: one of `ARTEFACTS_IN_TRAINING`, on the normalised intensities; the anatomy stays where it is.
- shuffled: the patch is cut in four along each axis and put together in another order: what the labels said is gone.
- unlabelled: images of a folder, on the network's grid, with the training's augmentation.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from plausible.simulate import ARTEFACTS
from plausible.train.batches import Batches, augmentation
from plausible.train.cache import load_case
from plausible.train.diversity_objectives import DiversityImages
from plausible.train.job import EnsembleJob
from plausible.train.member import batches_of

ARTEFACTS_IN_TRAINING = ("gaussian_noise", "thick_slices", "blur")
"""Those that are right for intensities of either sign, as normalised ones are."""

PARTS, OTHER_SEED = 4, 1_000_003
"""Parts of a shuffled patch along each axis; what tells the seed of these patches from the members' own."""


@dataclass(frozen=True, slots=True)
class DiversityPatches:
    """Draws the patches of any iteration, with their masks where the anatomy is known."""

    batches: Batches
    images: DiversityImages

    @classmethod
    def of(cls, job: EnsembleJob) -> "DiversityPatches":
        """Return the patches that a training asks for."""
        first, images = job.members[0], job.diversity.images
        own = batches_of(first) if images != "unlabelled" else _unlabelled(job)
        return cls(replace(own, seed=first.split.seed + OTHER_SEED), images)

    def draw(self, iteration: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Images `b n x y z` of an iteration, and masks `b c x y z`, or None where they say nothing."""
        images, masks = self.batches.draw(iteration)
        change = CHANGES[self.images]
        rng = np.random.default_rng([self.batches.seed, 3, iteration])
        changed = torch.stack([torch.from_numpy(change(image.numpy(), rng)) for image in images])
        return changed, masks if self.images == "shifted" else None


def _unlabelled(job: EnsembleJob) -> Batches:
    first = job.members[0]
    cases = [load_case(job.unlabelled_cache, name) for name in job.unlabelled]
    transform = augmentation(first.plan, first.settings)
    return Batches(cases, first.classes, first.plan, first.settings, first.split.seed, transform)


def spoilt(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image `n x y z` with an artefact, the same kind in every channel."""
    artefact = ARTEFACTS[ARTEFACTS_IN_TRAINING[int(rng.integers(len(ARTEFACTS_IN_TRAINING)))]].function
    return np.stack([artefact(channel, rng) for channel in image]).astype(np.float32)


def shuffled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image `n x y z` cut along every axis and put together in another order."""
    for axis in (1, 2, 3):
        parts = np.array_split(np.arange(image.shape[axis]), PARTS)
        order = np.concatenate([parts[p] for p in rng.permutation(PARTS)])
        image = np.take(image, order, axis=axis)
    return np.ascontiguousarray(image)


def unchanged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image as it is."""
    return image


CHANGES: dict[DiversityImages, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "shifted": spoilt,
    "shuffled": shuffled,
    "unlabelled": unchanged,
}
