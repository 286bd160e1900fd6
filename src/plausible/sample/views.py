"""Views of an image for test-time augmentation: the image is changed, predicted, and the prediction is changed back.

The order of the views is fixed, so that more of them contain the fewer: the untouched image; one change, of each kind
in turn; two changes of two kinds; and so on. A member is one function looked at in one view, and every function has the
same views. What varies over the views of one function is the *network's* answer to changes that leave the anatomy as it
is: augmentation variability, not a posterior over segmentations.

Source: Wang et al. 2019, doi:10.1016/j.neucom.2019.01.103; the exact inverse after prediction: Moshkov et al. 2020,
doi:10.1038/s41598-020-61808-3.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations, product
from typing import TypeAlias

import numpy as np
from jaxtyping import Float32

from plausible.sample.sampling import Sampling
from plausible.sample.view_geometry import Turn, flips, quarter_turns, rotations
from plausible.sample.view_intensity import Shade, shades
from plausible.train.grid import Triple

Undo: TypeAlias = Callable[[np.ndarray], np.ndarray]
Change: TypeAlias = Turn | Shade


@dataclass(frozen=True, slots=True)
class View:
    """One way to look at a prepared image.

    Attributes:
        changes: what is done to the image, in this order; none is the untouched image.
    """

    changes: tuple[Change, ...] = ()

    @property
    def name(self) -> str:
        """The changes by name, e.g. "flip_x+noise_0_1"; empty for the untouched image."""
        return "+".join(change.name for change in self.changes)

    def apply(self, values: Float32[np.ndarray, "n x y z"]) -> tuple[Float32[np.ndarray, "n i j k"], Undo]:
        """Return the changed image, and what brings probabilities of it back onto the image's grid."""
        shapes: list[tuple[Turn, tuple[int, int, int]]] = []
        for change in self.changes:
            if isinstance(change, Turn):
                shapes.append((change, _three(values.shape[1:])))
            values = change.apply(values)
        return values, lambda found: reduce(lambda seen, turned: turned[0].undo(seen, turned[1]), shapes[::-1], found)


UNTOUCHED = View()
"""The image as it is."""


def views_of(sampling: Sampling, *, spacing_mm: Triple) -> tuple[View, ...]:
    """Return the views that are asked for, the untouched image first.

    Args:
        sampling: kinds of views, their number, and the seed of the noise.
        spacing_mm: of the prepared image; rotations are in mm, and not across slices far apart.

    Raises:
        ValueError: the kinds give fewer views than are asked for.
    """
    kinds: dict[str, Sequence[Change]] = {
        "flips": flips(),
        "rotations": rotations(spacing_mm),
        "quarter_turns": quarter_turns(spacing_mm),
        "intensity": shades(sampling.sampling_seed),
    }
    found = list(_ordered([kinds[kind] for kind in dict.fromkeys(sampling.tta)]))
    if len(found) < sampling.views:
        raise ValueError(
            f"views must be at most {len(found)} for {' and '.join(sampling.tta)} at a spacing of "
            f"{'×'.join(f'{step:g}' for step in spacing_mm)} mm, got {sampling.views}"
        )
    return tuple(found[: sampling.views])


def _ordered(kinds: Sequence[Sequence[Change]]) -> Iterator[View]:
    """Fewer kinds first; within them the changes that stand early in their lists."""
    yield UNTOUCHED
    for several in range(1, len(kinds) + 1):
        places = [
            (sum(places), chosen, places)
            for chosen in combinations(range(len(kinds)), several)
            for places in product(*(range(len(kinds[kind])) for kind in chosen))
        ]
        for _, chosen, where in sorted(places):
            yield View(tuple(kinds[kind][place] for kind, place in zip(chosen, where, strict=True)))


def _three(shape: Sequence[int]) -> tuple[int, int, int]:
    i, j, k = shape
    return i, j, k
