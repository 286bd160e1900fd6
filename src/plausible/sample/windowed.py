"""Members of a model that works on windows of a prepared image: networks x draws x views, the image prepared once.

A member is one function for the whole image, looked at in one view: the same weights, mask or noise in every window.
Its softmax (or sigmoids) are brought back onto the image's own grid. Nothing is averaged over members, neither
probabilities nor logits: their disagreement is what everything later reads.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from plausible.core import Classes, Geometry, Image, InvalidInput, Member, MemberInfo, Problem
from plausible.sample.sampling import Sampling
from plausible.sample.source import SegmentationModel
from plausible.sample.views import UNTOUCHED, View, views_of
from plausible.train.grid import Grid
from plausible.train.preprocess import prepare_image, restore, target_shape
from plausible.train.settings import Precision

if TYPE_CHECKING:
    from plausible.train.hooks import Functions

LARGEST_GRID = 2**28
"""Voxels on the network's grid above which an image is refused: 512 x 512 x 1000, beyond any body scan."""


@dataclass(frozen=True, slots=True, eq=False)
class FunctionSource:
    """One function of a model: what it is drawn from, and by which seed.

    Attributes:
        identity: everything that decides its bits, as plain JSON values.
        patch: size of its windows.
        seed: of the draw; None for the point prediction.
        network: the torch module behind it, into which dropout can be inserted; None where there is none.
    """

    info: MemberInfo
    functions: "Functions"
    identity: Mapping[str, Any]
    patch: tuple[int, int, int]
    seed: int | None = None
    network: Any = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class WindowedModel:
    """A model in memory whose members are functions of windows.

    Attributes:
        grid: spacing and normalisation that all its functions share.
        sources: its functions; those of one network follow each other.
        views: how each function looks at the image.
        overlap: share by which neighbouring windows overlap, from 0 up to but without 1.
        batch: windows computed at once; members do not depend on it but for rounding.
    """

    classes: Classes
    channels: tuple[str, ...]
    ensemble: str
    grid: Grid
    sources: tuple[FunctionSource, ...]
    views: tuple[View, ...] = (UNTOUCHED,)
    device: str = "cpu"
    precision: Precision = "float32"
    overlap: float = 0.5
    batch: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < 1 or self.batch < 1:
            raise ValueError(f"overlap must lie in [0, 1) and batch be at least 1, got {self.overlap} and {self.batch}")

    @property
    def infos(self) -> tuple[MemberInfo, ...]:
        """What makes each member: every view of the first function, then of the second."""
        return tuple(_seen(source.info, view) for source in self.sources for view in self.views)

    def identity(self, member: int) -> Mapping[str, Any]:
        """Everything but the image that decides the bits of a member."""
        source, view = self._split(member)
        return {
            **source.identity,
            "seed": source.seed,
            "view": view.name,
            "overlap": self.overlap,
            "precision": self.precision,
            "device": self.device.split(":", maxsplit=1)[0],
            "classes": asdict(self.classes),
        }

    def predict(self, image: Image, chosen: Sequence[int], *, subject: str = "") -> Iterator[Member]:
        """Yield the members of these numbers, one in memory at a time; the image is prepared once.

        Raises:
            InvalidInput: E109, another number of channels than the model has; E206, a grid too large to be meant.
        """
        check_channels(image, self.channels, subject)
        _check_size(image, self.grid, subject)
        prepared = prepare_image(image, self.grid)
        for member in chosen:  # no name holds one while the next one is predicted
            yield self._member(*self._split(member), prepared, image.geometry)

    def _member(
        self, source: FunctionSource, view: View, prepared: Float32[np.ndarray, "n x y z"], geometry: Geometry
    ) -> Member:
        seen, undo = view.apply(prepared)
        probabilities = undo(self._probabilities(source, seen))
        values = restore(probabilities, geometry, exclusive=self.classes.exclusive)
        return Member(values, geometry, self.classes, _seen(source.info, view))

    def _split(self, member: int) -> tuple[FunctionSource, View]:
        source, view = divmod(member, len(self.views))
        return self.sources[source], self.views[view]

    def _probabilities(
        self, source: FunctionSource, prepared: Float32[np.ndarray, "n x y z"]
    ) -> Float32[np.ndarray, "c x y z"]:
        from plausible.train.infer import padded_shape, window_probabilities

        function = source.functions.draw(source.seed, shape=padded_shape(prepared, source.patch))
        return window_probabilities(
            function,
            prepared,
            source.patch,
            exclusive=self.classes.exclusive,
            device=self.device,
            precision=self.precision,
            overlap=self.overlap,
            batch=self.batch,
        )


def sampled(model: WindowedModel, sampling: Sampling) -> WindowedModel:
    """Return the model with the samplers that are asked for: dropout inserted, and the views of the image.

    Raises:
        InvalidInput: E505, dropout cannot be inserted into one of the networks.
    """
    if "dropout" in sampling.sampler:
        from plausible.sample.inserted_dropout import with_dropout

        model = with_dropout(model, sampling)
    if "tta" in sampling.sampler:
        views = views_of(replace(sampling, tta=sampling.tta or ("flips",)), spacing_mm=model.grid.spacing_mm)
        model = replace(model, views=views, ensemble=f"{model.ensemble} x {len(views)} views")
    return model


def draws_of(
    source: FunctionSource, sampling: Sampling, *, network: int, stochastic: bool
) -> tuple[FunctionSource, ...]:
    """Return the functions drawn from a network: one, or as many as are asked for where it gives many."""
    if not stochastic:
        return (source,)
    return tuple(
        replace(
            source,
            info=replace(source.info, id=f"{source.info.id}.draw_{draw:02d}", kind="draw", draw=draw),
            seed=sampling.seed_of(network, draw),
        )
        for draw in range(sampling.draws)
    )


def predict_members(model: SegmentationModel, image: Image, *, subject: str = "") -> Iterator[Member]:
    """Yield every member of an image, one in memory at a time."""
    return model.predict(image, range(len(model.infos)), subject=subject)


def _seen(info: MemberInfo, view: View) -> MemberInfo:
    return replace(info, id=f"{info.id}.{view.name}", kind="view", view=view.name) if view.name else info


def check_channels(image: Image, channels: tuple[str, ...], subject: str) -> None:
    """Refuse an image with another number of channels than the model has.

    Raises:
        InvalidInput: E109.
    """
    if image.values.shape[0] != len(channels):
        raise InvalidInput(
            Problem(
                code="E109",
                subject=subject,
                found=f"{image.values.shape[0]} channels: {', '.join(image.channels)}",
                expected=f"{len(channels)} as in training: {', '.join(channels)}",
                fix=f"give all channels, e.g. {subject or 'CASE'}_0000.nii.gz to _{len(channels) - 1:04d}.nii.gz",
            )
        )


def _check_size(image: Image, grid: Grid, subject: str) -> None:
    shape = target_shape(image.geometry, grid.spacing_mm)
    if np.prod(shape, dtype=np.int64) > LARGEST_GRID:
        raise InvalidInput(
            Problem(
                code="E206",
                subject=subject,
                found=f"spacing {_mm(image.geometry.spacing_mm)} on a {image.geometry.shape} grid, which is "
                f"{'×'.join(map(str, shape))} voxels at the model's {_mm(grid.spacing_mm)}",
                expected=f"at most {LARGEST_GRID:,} voxels at the model's spacing",
                fix="correct the spacing in the image's header, or crop the image",
            )
        )


def _mm(spacing: tuple[float, float, float]) -> str:
    return "×".join(f"{step:g}" for step in spacing) + " mm"
