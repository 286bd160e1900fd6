"""What an nnU-Net v2 trained-model folder says of itself, read and checked before anything is predicted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plausible.core import Classes, InvalidInput
from plausible.io import hash_file, read_dataset_json
from plausible.sample.nnunet_checkpoint import (
    TRAIN,
    Checkpoint,
    CheckpointFile,
    Fold,
    find_checkpoints,
    read_checkpoint,
    unusable,
)
from plausible.sample.nnunet_image import READERS
from plausible.sample.nnunet_members import Seen, training_cases
from plausible.sample.nnunet_stock import open_plans


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TrainedFolder:
    """Plans, classes and weights of a trained model.

    Attributes:
        plans: nnU-Net's manager of `plans.json`.
        dataset: content of `dataset.json`.
        files: the checkpoints asked for, fold by fold.
        checkpoints: what they hold.
        seen: what each fold was trained on.
        hashes: SHA-256 of `plans.json` and `dataset.json`.
    """

    classes: Classes
    channels: tuple[str, ...]
    plans: Any
    dataset: Mapping[str, Any]
    files: tuple[CheckpointFile, ...]
    checkpoints: tuple[Checkpoint, ...]
    seen: Mapping[Fold, Seen]
    hashes: Mapping[str, str]

    @property
    def reader(self) -> str:
        """nnU-Net's reader of images."""
        return str(self.plans.plans["image_reader_writer"])

    @property
    def configuration(self) -> Any:
        """nnU-Net's manager of the configuration that was trained."""
        return self.plans.get_configuration(self.checkpoints[0].configuration)

    @property
    def architecture(self) -> str:
        """Network and its widths, e.g. "PlainConvUNet 32-64-128"."""
        widths = self.configuration.network_arch_init_kwargs.get("features_per_stage", ())
        name = str(self.configuration.network_arch_class_name).rpartition(".")[2]
        return f"{name} {'-'.join(map(str, widths))}".strip()

    @property
    def axis_letters(self) -> str:
        """Axis of the image (x, y or z) behind each spatial axis of the network's windows."""
        letters = "".join("zyx"[axis] for axis in self.plans.transpose_forward)
        return letters[-len(self.configuration.patch_size) :]


def read_folder(folder: Path, *, folds: Sequence[Fold], names: Sequence[str]) -> TrainedFolder:
    """Read a trained-model folder with these folds and checkpoints.

    Raises:
        InvalidInput: E502, it is none, lacks something, holds different trainings, or is a cascade; E311, classes.
        UnfitEnvironment: E901, nnunetv2 is not installed.
    """
    plans, dataset = _read_json(folder, "plans.json"), _read_json(folder, "dataset.json")
    told = read_dataset_json(folder / "dataset.json")
    files = find_checkpoints(folder, folds=folds, names=names)
    manager = open_plans(plans)
    checkpoints = tuple(read_checkpoint(file) for file in files)
    _check_one_training(folder, files, checkpoints)
    _check_plans(folder, manager, checkpoints[0].configuration)
    seen = training_cases(
        folder,
        [file.fold for file in files],
        dataset_name=str(plans.get("dataset_name", "")),
        n_cases=int(dataset.get("numTraining", 0)),
    )
    return TrainedFolder(
        classes=told.classes,
        channels=told.channels,
        plans=manager,
        dataset=dataset,
        files=files,
        checkpoints=checkpoints,
        seen=seen,
        hashes={name: hash_file(folder / name) for name in ("plans.json", "dataset.json")},
    )


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((folder / name).read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not a table")
        return content
    except (OSError, ValueError) as error:
        inside = sorted(path.parent.name for path in folder.glob("*__*__*/plans.json"))
        raise unusable(
            folder,
            found=f"no {name}" if isinstance(error, OSError) else f"{name}: {error}",
            expected="a trained-model folder of nnU-Net v2: plans.json, dataset.json, fold_0, fold_1, ...",
            fix=f"give one of {', '.join(f'{folder.name}/{name}' for name in inside)}" if inside else TRAIN,
        ) from error


def _check_one_training(folder: Path, files: Sequence[CheckpointFile], checkpoints: Sequence[Checkpoint]) -> None:
    """Refuse checkpoints that were made by different trainers or configurations, or mirrored other axes."""
    first = checkpoints[0]
    for file, other in zip(files, checkpoints, strict=True):
        made = [(c.trainer, c.configuration, c.mirror_axes) for c in (first, other)]
        if made[0] != made[1]:
            raise unusable(
                folder,
                file=file.source,
                found=f"trainer {made[1][0]}, configuration {made[1][1]}, mirrored axes {list(made[1][2])}",
                expected=f"as {files[0].source}: {made[0][0]}, {made[0][1]}, {list(made[0][2])}",
                fix="keep checkpoints of one trainer and configuration in one folder, as nnU-Net writes them",
            )


def _check_plans(folder: Path, plans: Any, configuration: str) -> None:
    if configuration not in plans.available_configurations:
        raise unusable(
            folder,
            found=f"weights of configuration {configuration}, plans for {', '.join(plans.available_configurations)}",
            expected="the plans that the model was trained with",
            fix="copy plans.json again from where it was trained",
        )
    if plans.get_configuration(configuration).previous_stage_name is not None:
        raise _cascade(folder, configuration)
    if plans.plans.get("image_reader_writer") not in READERS:
        raise unusable(
            folder,
            found=f"images read by {plans.plans.get('image_reader_writer')}",
            expected=f"one of {', '.join(READERS)} (volumes with a grid)",
            fix="nnUNetv2_predict ... -f FOLD --save_probabilities for each fold, then plausible inspect -i MEMBERS",
        )


def _cascade(folder: Path, configuration: str) -> InvalidInput:
    return unusable(
        folder,
        found=f"{configuration}, the second stage of a cascade: it needs the first stage's segmentation as input",
        expected="a model that needs the image alone: 2d, 3d_fullres or 3d_lowres",
        fix=f"for f in 0 1 2 3 4; do nnUNetv2_predict -i IMAGES -o members/fold_$f -d DATASET -c {configuration} -f $f "
        "-prev_stage_predictions FIRST_STAGE --save_probabilities; done; plausible inspect -i members",
    )
