"""nnU-Net v2 trained-model folders as members: folds x checkpoints x mirror views, instead of the mean of them all.

nnU-Net's prediction averages the logits of folds and mirror views and throws their disagreement away. Here every one of
them is a member. An image is preprocessed once, by nnU-Net's own code, which also predicts, resamples and exports;
`NnunetModel.mean_of_logits` is what `nnUNetv2_predict` would have written.

Source: Isensee et al. 2021, doi:10.1038/s41592-020-01008-z
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float16, Float32

from plausible.core import Classes, Image, InvalidInput, Member, MemberInfo, Problem
from plausible.sample.nnunet_checkpoint import FINAL, Checkpoint, Fold, unusable
from plausible.sample.nnunet_folder import TrainedFolder, read_folder
from plausible.sample.nnunet_image import ReadImage, as_read
from plausible.sample.nnunet_members import NnunetMember, Views, ensemble_name, list_members, mirrorings
from plausible.sample.nnunet_stock import Prepared, Stock, open_stock
from plausible.sample.windowed import check_channels

MaskedBy: TypeAlias = Callable[[int], AbstractContextManager[None]]
"""From the seed of a dropout mask to the block in which it is applied to the network."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NnunetModel:
    """A trained-model folder in memory: one network, and the weights of every checkpoint.

    Attributes:
        ensemble: what the members are together, from what each fold was trained on.
        members: functions from image to probabilities, in order.
        checkpoints: their weights, on the CPU.
        stock: nnU-Net's own code, set up for this model.
        reader: nnU-Net's reader of images, named in `plans.json`.
        described: everything but member and image that decides the bits.
        dropout: how the masks of members are applied, where they have one.
    """

    classes: Classes
    channels: tuple[str, ...]
    ensemble: str
    members: tuple[NnunetMember, ...]
    checkpoints: tuple[Checkpoint, ...]
    stock: Stock
    reader: str
    described: Mapping[str, Any]
    dropout: MaskedBy | None = None

    @property
    def infos(self) -> tuple[MemberInfo, ...]:
        """What makes each member."""
        return tuple(member.info for member in self.members)

    def identity(self, member: int) -> Mapping[str, Any]:
        """Everything but the image that decides the bits of a member."""
        chosen = self.members[member]
        return {**self.described, "checkpoint": chosen.info.checkpoint, "flip": list(chosen.flip), "mask": chosen.mask}

    def predict(self, image: Image, chosen: Sequence[int], *, subject: str = "") -> Iterator[Member]:
        """Yield the members of these numbers, on the image's own grid; the image is preprocessed once.

        Raises:
            InvalidInput: E109, another number of channels than the model was trained with; E310, a black image.
        """
        read, prepared = self._prepare(image, subject)
        for logits, member in self._logits(prepared, chosen):
            values = read.restore(self.stock.export(logits, prepared))
            yield Member(values, image.geometry, self.classes, member.info)

    def mean_of_logits(
        self, image: Image, chosen: Sequence[int] = (), *, subject: str = ""
    ) -> Float32[np.ndarray, "c i j k"]:
        """Probabilities of the mean of the members' logits: what nnU-Net's own prediction writes.

        Added up in float16, as nnU-Net does. With `views="averaged"` it is the stock prediction of these folds to the
        last digit of float32; with views as members of their own, up to the rounding of float16, which is coarse in
        the outermost voxels of the image, where windows weigh least.

        Args:
            image: all channels.
            chosen: numbers of the members; none means all.
            subject: name of the case, for messages.

        Raises:
            InvalidInput: as `predict`.
        """
        read, prepared = self._prepare(image, subject)
        numbers = tuple(chosen) or tuple(range(len(self.members)))
        each = self._logits(prepared, numbers)
        total, _ = next(each)
        for logits, _ in each:
            total += logits
        total /= np.float16(len(numbers))
        return read.restore(self.stock.export(total, prepared))

    def _prepare(self, image: Image, subject: str) -> tuple[ReadImage, Prepared]:
        _check_image(image, channels=self.channels, subject=subject)
        read = as_read(image, reader=self.reader)
        return read, self.stock.prepare(read)

    def _logits(
        self, prepared: Prepared, chosen: Sequence[int]
    ) -> Iterator[tuple[Float16[np.ndarray, "c p q r"], NnunetMember]]:
        loaded = None
        for number in chosen:
            member = self.members[number]
            if member.checkpoint != loaded:
                self.stock.load(self.checkpoints[member.checkpoint].weights)
                loaded = member.checkpoint
            with self._masked(member):
                logits = self.stock.logits(prepared, flip=member.flip)
            yield logits, member

    def _masked(self, member: NnunetMember) -> AbstractContextManager[None]:
        if self.dropout is None or member.mask is None:
            return nullcontext()
        return self.dropout(member.mask)


def load_nnunet_model(
    folder: Path,
    *,
    folds: Sequence[Fold] = (),
    checkpoint: str | Sequence[str] = FINAL,
    views: Views = "none",
    tile_step_size: float = 0.5,
    device: str = "auto",
) -> NnunetModel:
    """Read a trained-model folder of nnU-Net v2 (`nnUNetTrainer__nnUNetPlans__3d_fullres`); no pickle runs code.

    Args:
        folder: holds plans.json, dataset.json and fold_0, fold_1, ...
        folds: their numbers, or "all"; none takes every numbered fold that is there, else `fold_all`.
        checkpoint: file of weights in each fold; several make several members of each fold.
        views: mirroring is off ("none"), makes every view a member ("members"), or averages the views of a member as
            logits, as nnU-Net's prediction does ("averaged").
        tile_step_size: windows move on by this share of their size, above 0 up to 1.
        device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", "mps".

    Raises:
        InvalidInput: E502, the folder is not a trained model, is incomplete, or is a cascade; E311, its dataset.json.
        UnfitEnvironment: E901, nnunetv2, its trainer or the device is missing.
    """
    if not 0 < tile_step_size <= 1:
        raise ValueError(f"tile_step_size must lie above 0 and up to 1, got {tile_step_size}")
    names = (checkpoint,) if isinstance(checkpoint, str) else tuple(checkpoint)
    trained = read_folder(folder, folds=folds, names=names)
    from plausible.train.device import choose_device

    chosen_device = choose_device(device)
    stock = open_stock(
        trained.plans,
        trained.dataset,
        trained.checkpoints[0],
        mirror=views == "averaged",
        tile_step_size=tile_step_size,
        device=chosen_device,
    )
    _check_weights(folder, trained, stock)
    flips = mirrorings(trained.checkpoints[0].mirror_axes if views != "none" else ())
    settings = {
        "averaged": [list(flip) for flip in flips] if views == "averaged" else [],
        "tile_step_size": tile_step_size,
        "autocast": chosen_device.startswith("cuda"),
    }
    return NnunetModel(
        classes=trained.classes,
        channels=trained.channels,
        ensemble=ensemble_name(trained.files, trained.seen, n_views=len(flips), averaged=views == "averaged"),
        members=_members(trained, flips, averaged=views == "averaged"),
        checkpoints=trained.checkpoints,
        stock=stock,
        reader=trained.reader,
        described={**_described(trained, stock), **settings},
    )


def _members(trained: TrainedFolder, flips: Sequence[tuple[int, ...]], *, averaged: bool) -> tuple[NnunetMember, ...]:
    return list_members(
        trained.files,
        [checkpoint.sha256 for checkpoint in trained.checkpoints],
        seen=trained.seen,
        flips=flips,
        averaged=averaged,
        letters=trained.axis_letters,
        architecture=trained.architecture,
    )


def _described(trained: TrainedFolder, stock: Stock) -> dict[str, Any]:
    """Return what decides the bits of every member, as plain JSON values."""
    first = trained.checkpoints[0]
    return {
        "tool": "nnunetv2",
        "version": stock.version,
        **trained.hashes,
        "configuration": first.configuration,
        "trainer": first.trainer,
    }


def _check_weights(folder: Path, trained: TrainedFolder, stock: Stock) -> None:
    """Refuse weights that do not fit the planned network before an image is read."""
    for file, checkpoint in zip(trained.files, trained.checkpoints, strict=True):
        try:
            stock.load(checkpoint.weights)
        except RuntimeError as error:
            raise unusable(
                folder,
                file=file.source,
                found=" ".join(str(error).split())[:200],
                expected=f"the weights of {trained.architecture}, as planned in plans.json",
                fix=f"copy plans.json and {file.source} again from where the model was trained",
            ) from error


def _check_image(image: Image, *, channels: tuple[str, ...], subject: str) -> None:
    check_channels(image, channels, subject)
    if not np.any(image.values):
        raise InvalidInput(
            Problem(
                code="E310",
                subject=subject,
                found="the value 0 everywhere",
                expected="an image with contrast",
                fix="export the image again; leave the case out if it is lost",
            )
        )
