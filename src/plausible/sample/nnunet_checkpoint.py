"""The checkpoints of an nnU-Net trained-model folder: which there are, and their weights, read without running code.

nnU-Net's checkpoints are pickles. Only tensors, plain values and numpy's numbers are unpickled; anything else in such a
file is refused.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from plausible.core import InvalidInput, Problem
from plausible.io import hash_file

Fold: TypeAlias = int | Literal["all"]
"""A fold of nnU-Net: its number, or "all" for a training on every case."""

FINAL = "checkpoint_final.pth"


@dataclass(frozen=True, slots=True)
class CheckpointFile:
    """One file of weights: its fold, its name and where it lies."""

    fold: Fold
    name: str
    path: Path

    @property
    def label(self) -> str:
        """Its part of a member's name: `fold_0`, or `fold_0.checkpoint_best` for other than the final weights."""
        return f"fold_{self.fold}" + ("" if self.name == FINAL else f".{self.name.removesuffix('.pth')}")

    @property
    def source(self) -> str:
        """Path within the model's folder."""
        return f"fold_{self.fold}/{self.name}"


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a file of weights holds, as far as prediction needs it.

    Attributes:
        weights: the network's tensors, on the CPU.
        trainer: class that builds the network.
        configuration: e.g. "3d_fullres".
        mirror_axes: spatial axes of the prepared image that were mirrored in training.
        sha256: of the whole file.
    """

    weights: Mapping[str, Any]
    trainer: str
    configuration: str
    mirror_axes: tuple[int, ...]
    sha256: str


def find_checkpoints(model: Path, *, folds: Sequence[Fold], names: Sequence[str]) -> tuple[CheckpointFile, ...]:
    """Return the files of these folds and names, fold by fold.

    No folds means all that have a number or, without any, `fold_all`: as nnU-Net's prediction chooses.

    Raises:
        InvalidInput: E502, there is no fold, or one lacks a file.
    """
    chosen = tuple(folds) or found_folds(model)
    files = [CheckpointFile(fold, name, model / f"fold_{fold}" / name) for fold in chosen for name in names]
    missing = [file.source for file in files if not file.path.is_file()]
    if missing or not files:
        whole = [fold for fold in found_folds(model) if all((model / f"fold_{fold}" / n).is_file() for n in names)]
        raise unusable(
            model,
            found=f"no {', '.join(missing)}" if missing else "no folder fold_0, fold_1, ... or fold_all",
            expected="in each fold that is asked for, " + " and ".join(names),
            fix=_with_folds(model, whole) if whole else TRAIN,
        )
    return tuple(files)


def found_folds(model: Path) -> tuple[Fold, ...]:
    """Folds of a folder, by number; `fold_all` only where no fold has a number."""
    names = [path.name.removeprefix("fold_") for path in model.glob("fold_*") if path.is_dir()]
    numbered = sorted(int(name) for name in names if name.isdigit())
    return tuple(numbered) or (("all",) if "all" in names else ())


def read_checkpoint(file: CheckpointFile) -> Checkpoint:
    """Read the weights of one file.

    Raises:
        InvalidInput: E502, the file is damaged, is no checkpoint of nnU-Net v2, or holds more than tensors and values.
    """
    import torch

    try:
        with torch.serialization.safe_globals(_numpy_numbers()):
            content = torch.load(file.path, map_location="cpu", weights_only=True, mmap=True)
        return Checkpoint(
            weights={_plain(name): tensor.clone() for name, tensor in content["network_weights"].items()},
            trainer=str(content["trainer_name"]),
            configuration=str(content["init_args"]["configuration"]),
            mirror_axes=tuple(int(axis) for axis in content.get("inference_allowed_mirroring_axes") or ()),
            sha256=hash_file(file.path),
        )
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError, AttributeError, EOFError, ValueError) as error:
        raise _unreadable(file, error) from error


def unusable(model: Path, *, found: str, expected: str, fix: str, file: str = "") -> InvalidInput:
    """Return the error of a folder that cannot be used as a trained nnU-Net model."""
    where = file or model.name
    return InvalidInput(Problem(code="E502", file=where, found=found, expected=expected, fix=fix))


TRAIN = "nnUNetv2_train DATASET CONFIGURATION FOLD, and give its folder nnUNetTrainer__nnUNetPlans__CONFIGURATION"


def _with_folds(model: Path, folds: Sequence[Fold]) -> str:
    told = " ".join(f"--folds {fold}" for fold in folds)
    return f"plausible predict {model.name} {told} -i IMAGES -o MEMBERS"


def _plain(name: str) -> str:
    """Name of a tensor without the prefixes that distributed training and torch.compile leave, in either order."""
    return re.sub(r"^(?:module\.|_orig_mod\.)+", "", name)


def _numpy_numbers() -> list[Any]:
    """Return what numpy's numbers are pickled with, under its names before and after version 2."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    kinds = [type(np.dtype(kind)) for kind in (np.float64, np.float32, np.float16, np.int64, np.int32, np.bool_)]
    names = ("numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar")
    return [*((scalar, name) for name in names), np.dtype, *kinds]


def _unreadable(file: CheckpointFile, error: Exception) -> InvalidInput:
    told = str(error).strip().splitlines()
    unsafe = isinstance(error, pickle.UnpicklingError)
    return unusable(
        file.path.parent.parent,
        file=file.source,
        found=f"{type(error).__name__}: {told[0][:200] if told else ''}",
        expected="an nnU-Net v2 checkpoint that holds tensors, plain values and numpy's numbers"
        + (" (other content would be run while it is read)" if unsafe else ""),
        fix=f"copy {file.source} again from where it was trained"
        + ("; if you trust its content, save it again with tensors and plain values only" if unsafe else ""),
    )
