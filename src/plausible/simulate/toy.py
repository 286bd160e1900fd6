"""The toy cases of ValUES, whose aleatoric and epistemic uncertainty is known, and a factorial design of both.

A bright ball in a dark image. Blur makes it ambiguous (aleatoric: raters differ however much data there is); grey
balls, cubes and balls over the border were never seen in training (epistemic: more data would help).

| case | training | test as in training | shifted test | what must hold |
|---|---|---|---|---|
| 1 | blurred (σ = 2), three raters | alike | none | expected entropy lights the shells, mutual information is near 0 |
| 2 | sharp, noise, one rater | alike | grey, cube, border | mutual information separates, expected entropy does not |
| 3a | half blurred (σ = 8), half sharp, noise, three raters | sharp | grey, cube, border | as case 2 |
| 3b | as 3a | sharp, blurred | grey, cube, border | entropy high on blurred only, information on shifted only |
| factorial | as 3a | sharp, blurred | grey, cube, border, each sharp and blurred | two main effects, no interaction |

Source: Kahl, Lüth, Zenk, Maier-Hein, Jaeger, ICLR 2024 (ValUES), arXiv:2401.08501, and its code (cases 1 to 3b);
factorial: unpublished. Random numbers are our own, so images are drawn by the same law and are not the same images.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.ndimage import gaussian_filter

from plausible.core import Classes, Geometry, Image, LabelMap, ScalarMap
from plausible.simulate.objects import LEVEL, Kind, ToyObject
from plausible.simulate.raters import aleatoric_entropy, masks_by_quantile, masks_by_radius, rater_fraction, rater_names

Role: TypeAlias = Literal["train", "iid", "shifted"]
CLASSES = Classes.exclusive_of({"background": 0, "object": 1})
SIZE = 64
"""Edge of the published images, in voxels; blur is given for it and scales with another size."""
SMALLEST, LARGEST = 1 / 5, 1 / 2
"""Edge of an object as a share of the image's, as published."""
VISIBLE = 5 / 16
"""Smallest share at which every object stays brighter than `LEVEL` when it is grey and blurred with σ = 8.

Balls of the published recipe with an edge of 12 or 13 do not: nothing of them is above `LEVEL`, every rater draws the
brightest voxels only, and noise hides the object.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToyGroup:
    """Images of one kind.

    Attributes:
        name: first part of the names of its cases.
        role: train, iid (test images as in training) or shifted.
        n: how many.
        seed: as published; groups of one seed hold the same objects.
        kind: of the object.
        sigma: blur in voxels of a 64³ image; 0 for none.
        noise: whether everything dark is overlaid with noise.
        n_raters: how many draw.
        grey: whether the object is darker, by a random factor from 0.5 to 0.9.
        border: whether it reaches over the border.
        smallest: its smallest edge as a share of the image's.
    """

    name: str
    role: Role
    n: int
    seed: int
    kind: Kind = "ball"
    sigma: float = 0.0
    noise: bool = True
    n_raters: int = 3
    grey: bool = False
    border: bool = False
    smallest: float = SMALLEST


@dataclass(frozen=True, slots=True, eq=False)
class ToyCase:
    """One image with its raters and its truth.

    Attributes:
        drawn_by: number of the rater whose mask stands for all in training, drawn at random.
    """

    subject: str
    group: ToyGroup
    toy: ToyObject
    image: Image
    masks: Bool[np.ndarray, "r i j k"]
    drawn_by: int

    def labels(self, rater: int) -> LabelMap:
        """Label map of one rater."""
        return LabelMap(self.masks[rater].astype(np.uint8), self.image.geometry, CLASSES)

    @property
    def reference(self) -> LabelMap:
        """The one label map where only one is asked for.

        In training a random rater's, so that a network learns the share of raters; in tests the majority's, which is
        the middle rater's because raters are nested.
        """
        middle = (len(self.masks) - 1) // 2
        return self.labels(self.drawn_by if self.group.role == "train" else middle)

    @property
    def truth(self) -> tuple[ScalarMap, ...]:
        """Share of raters and aleatoric entropy at every voxel; the epistemic truth of an image as in training is 0."""
        fraction, entropy = rater_fraction(self.masks)[None], aleatoric_entropy(self.masks)[None]
        grid, largest = self.image.geometry, float(np.log(2))
        return (
            ScalarMap("rater_fraction", fraction, grid, "1", (0.0, 1.0), "share of the raters that say yes"),
            ScalarMap("aleatoric_entropy", entropy, grid, "nat", (0.0, largest), "entropy of the share of raters"),
        )


_GREY = ToyGroup(name="shifted_grey", role="shifted", n=7, seed=14, grey=True)
_CUBE = ToyGroup(name="shifted_cube", role="shifted", n=7, seed=17, kind="cube")
_BORDER = ToyGroup(name="shifted_border", role="shifted", n=7, seed=19, border=True)
_SHIFTED = (_GREY, _CUBE, _BORDER)
_MIXED = (
    ToyGroup(name="train_blurred", role="train", n=100, seed=63, sigma=8.0),
    ToyGroup(name="train_sharp", role="train", n=100, seed=36),
)
_SHARP = ToyGroup(name="iid_sharp", role="iid", n=21, seed=24)


def _crossed(*groups: ToyGroup) -> Iterator[ToyGroup]:
    """Each group sharp and blurred, with the same objects."""
    for group in groups:
        name = group.name.removesuffix("_sharp")
        yield replace(group, name=f"{name}_sharp")
        yield replace(group, name=f"{name}_blurred", sigma=8.0)


TOY_CASES: Mapping[str, tuple[ToyGroup, ...]] = {
    "1": (
        ToyGroup(name="train", role="train", n=200, seed=16, sigma=2.0, noise=False),
        ToyGroup(name="iid", role="iid", n=20, seed=5, sigma=2.0, noise=False),
    ),
    "2": (
        ToyGroup(name="train", role="train", n=200, seed=1, n_raters=1),
        *(replace(group, n_raters=1) for group in (replace(_SHARP, name="iid"), *_SHIFTED)),
    ),
    "3a": (*_MIXED, _SHARP, *_SHIFTED),
    "3b": (*_MIXED, _SHARP, replace(_SHARP, name="iid_blurred", seed=34, sigma=8.0), *_SHIFTED),
    "factorial": tuple(replace(group, smallest=VISIBLE) for group in (*_MIXED, *_crossed(_SHARP, *_SHIFTED))),
}
"""Groups of images of each case."""


def simulate(
    case: str, *, seed: int = 0, size: int = SIZE, clean: bool = False, share: float = 1.0
) -> Iterator[ToyCase]:
    """Yield the images of a toy case, one in memory at a time. The same arguments give the same numbers.

    Args:
        case: one of `TOY_CASES`.
        seed: added to the published seeds of the groups; 0 keeps them.
        size: edge of the images in voxels.
        clean: blur in closed form and raters by exact radii, instead of a filtered grid and quantiles; objects are
            never so small that blur hides them.
        share: share of the published number of images, at least one a group; a smaller set is part of a larger one.

    Raises:
        ValueError: no such case, a size below 16, or a share that is not above 0.
    """
    if case not in TOY_CASES:
        raise ValueError(f"no toy case {case!r}; there are: {', '.join(TOY_CASES)}")
    if size < 16 or not share > 0:
        raise ValueError(f"size must be at least 16 and share above 0, got {size} and {share:g}")
    for group in TOY_CASES[case]:
        for number in range(max(round(group.n * share), 1)):
            yield simulate_one(group, number, seed=seed, size=size, clean=clean)


def simulate_one(group: ToyGroup, number: int, *, seed: int = 0, size: int = SIZE, clean: bool = False) -> ToyCase:
    """Image of this number in a group; it does not depend on the others, and its object not on the group's blur."""
    random = np.random.default_rng([group.seed + seed, number])
    smallest = max(group.smallest, VISIBLE) if clean else group.smallest
    toy = draw_object(group, random, size=size, smallest=smallest)
    sigma = group.sigma * size / SIZE
    if clean:
        values = toy.blurred(size, sigma=sigma) if sigma else toy.drawn(size)
        masks = masks_by_radius(toy, size=size, sigma=sigma, n_raters=group.n_raters)
    else:
        values = gaussian_filter(toy.drawn(size), sigma=sigma) if sigma else toy.drawn(size)
        masks = masks_by_quantile(values, n_raters=group.n_raters)
    drawn_by = int(random.integers(group.n_raters))
    shown = with_noise(values, random) if group.noise else values.astype(np.float32)
    image = Image(shown[None], Geometry((size, size, size), np.eye(4)), ("intensity",))
    return ToyCase(f"{group.name}_{number:03d}", group, toy, image, masks, drawn_by)


def draw_object(group: ToyGroup, random: np.random.Generator, *, size: int, smallest: float) -> ToyObject:
    """Object of a group: an edge from a share of the image to half of it, fully inside or over the border.

    Over the border a random non-empty set of axes starts up to two thirds of the edge before the first voxel, and the
    first two axes are then flipped with probability one half each.
    """
    edge = int(random.integers(int(size * smallest), int(size * LARGEST), endpoint=True))
    offset = [int(random.integers(0, size - edge, endpoint=True)) for _ in range(3)]
    if group.border:
        chosen = int(random.integers(1, 7, endpoint=True))
        for axis in range(3):
            if chosen >> axis & 1:
                offset[axis] = int(random.integers(-(2 * edge // 3), 0, endpoint=True))
        for axis in (0, 1):
            if random.random() < 0.5:
                offset[axis] = size - edge - offset[axis]
    grey = float(random.uniform(0.5, 0.9)) if group.grey else 1.0
    return ToyObject(kind=group.kind, edge=edge, offset=(offset[0], offset[1], offset[2]), grey=grey)


def with_noise(values: Float64[np.ndarray, "i j k"], random: np.random.Generator) -> Float32[np.ndarray, "i j k"]:
    """Every voxel below `LEVEL` replaced: by a uniform number with probability one half, else by 0."""
    noise = random.random(values.shape)
    noise[random.random(values.shape) < 0.5] = 0
    return np.where(values < LEVEL, noise, values).astype(np.float32)


def raters_of_case(case: str) -> tuple[str, ...]:
    """Names of the raters of a toy case; none where there is one rater only, whose label maps need no name."""
    n_raters = TOY_CASES[case][0].n_raters
    return rater_names(n_raters) if n_raters > 1 else ()
