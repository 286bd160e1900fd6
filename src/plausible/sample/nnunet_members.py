"""The members of an nnU-Net model: folds x checkpoints x mirror views, and what they are together.

What a fold was trained on is read from `splits_final.json` where it can be found, else from the validation that nnU-Net
wrote beside the weights. Without either, folds 0 to 4 are taken for nnU-Net's default five-fold cross-validation and
nothing is claimed of others.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, TypeAlias

from plausible.core import MemberInfo, content_key
from plausible.sample.nnunet_checkpoint import CheckpointFile, Fold

Views: TypeAlias = Literal["none", "members", "averaged"]
"""Mirroring: off; each view a member of its own; or the views averaged as logits, as nnU-Net's prediction does."""

DEFAULT_FOLDS = 5

ALL_CASES = "all cases"

PREPROCESSED = "nnUNet_preprocessed"
"""Environment variable that names nnU-Net's folder of preprocessed datasets."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a fold was trained on.

    Attributes:
        key: the same for folds that saw the same cases; empty if nobody knows.
        held_out: whether it left cases out.
    """

    key: str
    held_out: bool


@dataclass(frozen=True, slots=True)
class NnunetMember:
    """One function from image to probabilities: weights, and the axes its windows are mirrored on.

    Attributes:
        checkpoint: number of its file among those of the model.
        flip: spatial axes of the prepared image.
        info: where it comes from.
        mask: seed of its dropout mask; None leaves nothing out.
    """

    checkpoint: int
    flip: tuple[int, ...]
    info: MemberInfo
    mask: int | None = None


def list_members(
    files: Sequence[CheckpointFile],
    hashes: Sequence[str],
    *,
    seen: Mapping[Fold, Seen],
    flips: Sequence[tuple[int, ...]],
    averaged: bool,
    letters: str,
    architecture: str,
) -> tuple[NnunetMember, ...]:
    """Return the members, file by file, each with its views; the view that is not mirrored comes first.

    Args:
        files: the checkpoints.
        hashes: SHA-256 of each.
        seen: what each fold was trained on.
        flips: the views, as spatial axes of the prepared image.
        averaged: whether the views are averaged within a member.
        letters: the image's axis (x, y or z) for each of the prepared image's.
        architecture: network and its widths.
    """
    members = []
    for number, file in enumerate(files):
        fold = int(file.fold) if file.fold != "all" and seen[file.fold].held_out else None
        for flip in [()] if averaged else flips:
            name = view_name(flip, letters=letters)
            info = MemberInfo(
                id=file.label + (f".{name}" if name else ""),
                kind="view" if name else "seed" if fold is None else "fold",
                fold=fold,
                architecture=architecture,
                checkpoint=hashes[number],
                method="nnunet",
                view=f"mean of {len(flips)} views" if averaged and len(flips) > 1 else name,
                source=file.source,
            )
            members.append(NnunetMember(number, flip, info))
    return tuple(members)


def mirrorings(axes: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Every combination of mirrored axes, the empty one first, in nnU-Net's order."""
    return tuple(chosen for n in range(len(axes) + 1) for chosen in combinations(axes, n))


def view_name(flip: Sequence[int], *, letters: str) -> str:
    """Name of a view by the image's axes, e.g. "flip_xy"; empty for the view that is not mirrored."""
    return "flip_" + "".join(sorted(letters[axis] for axis in flip)) if flip else ""


def ensemble_name(files: Sequence[CheckpointFile], seen: Mapping[Fold, Seen], *, n_views: int, averaged: bool) -> str:
    """Say what the members are together, from what each fold saw.

    "cross-validation ensemble of 5 (nnU-Net)": each left out other cases. "deep ensemble of 5 (nnU-Net)": all saw the
    same cases; nnU-Net draws its seeds from the operating system. Views and checkpoints of each are counted after that.
    """
    folds = tuple(dict.fromkeys(file.fold for file in files))
    per_fold = len(files) // len(folds)
    details = ["nnU-Net"]
    if per_fold > 1:
        details.append(f"{per_fold} checkpoints each")
    if n_views > 1:
        details.append(f"{n_views} views {'averaged as logits' if averaged else 'each'}")
    return f"{_together([seen[fold] for fold in folds])} ({', '.join(details)})"


def _together(seen: Sequence[Seen]) -> str:
    n, keys = len(seen), {fold.key for fold in seen}
    if n == 1:
        return "single network"
    if "" in keys:
        return f"ensemble of {n} of unknown training cases"
    if len(keys) == 1:
        return f"deep ensemble of {n}"
    if len(keys) == n and all(fold.held_out for fold in seen):
        return f"cross-validation ensemble of {n}"
    return f"mixed ensemble of {n}"


def training_cases(model: Path, folds: Sequence[Fold], *, dataset_name: str, n_cases: int) -> dict[Fold, Seen]:
    """Find out what each fold was trained on; see the head of this file.

    Args:
        model: the trained-model folder.
        folds: those asked for.
        dataset_name: nnU-Net's, e.g. "Dataset004_Hippocampus".
        n_cases: training cases of the dataset (`numTraining`); 0 if unknown.
    """
    splits = _read_splits(model, dataset_name)
    cases = {case for split in splits for case in (*split["train"], *split["val"])}
    found: dict[Fold, Seen] = {}
    for fold in folds:
        if fold == "all":
            found[fold] = Seen(content_key(sorted(cases)) if cases else ALL_CASES, held_out=False)
        elif fold < len(splits):
            train = set(splits[fold]["train"])
            found[fold] = Seen(content_key(sorted(train)), held_out=not train >= cases)
        else:
            found[fold] = _from_validation(model, fold, n_cases=n_cases, default=not splits)
    return found


def _from_validation(model: Path, fold: int, *, n_cases: int, default: bool) -> Seen:
    validated = _validated(model / f"fold_{fold}" / "validation" / "summary.json")
    if validated and n_cases:
        return Seen(ALL_CASES, held_out=False) if len(validated) >= n_cases else Seen(content_key(validated), True)
    known = default and fold < DEFAULT_FOLDS
    return Seen(f"fold {fold}" if known else "", held_out=known)


def _validated(summary: Path) -> list[str]:
    """Names of the cases that nnU-Net validated a fold on; none if it did not."""
    content = _read_json(summary)
    per_case = content.get("metric_per_case", []) if isinstance(content, dict) else []
    return sorted(Path(str(case.get("reference_file", ""))).name for case in per_case)


def _read_splits(model: Path, dataset_name: str) -> list[dict[str, Any]]:
    preprocessed = os.environ.get(PREPROCESSED)
    places = [model, *([Path(preprocessed) / dataset_name] if preprocessed else [])]
    for place in places:
        content = _read_json(place / "splits_final.json")
        if isinstance(content, list) and all(isinstance(s, dict) and {"train", "val"} <= set(s) for s in content):
            return content
    return []


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
