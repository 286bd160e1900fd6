"""Prepare nnU-Net to train a deep ensemble: every member sees all cases, and only chance tells them apart.

nnU-Net has folds, not members. Each member becomes an entry of its `splits_final.json` that trains and validates on
every case. nnU-Net takes its random numbers from the operating system and records no seed: two trainings of the same
entry differ, and a member is known by the SHA-256 of its checkpoint. nnU-Net warns that training and validation cases
are the same; its validation of these folds says nothing about new patients.

nnU-Net need not be installed here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from plausible.core import InvalidInput, Problem, sha256_of
from plausible.io.atomic import write_bytes, write_json

Split: TypeAlias = dict[str, list[str]]
"""One fold of nnU-Net: cases to train on, cases to validate on."""

SPLITS = "splits_final.json"

DEFAULT_SEED, DEFAULT_FOLDS = 12345, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepEnsemble:
    """What was prepared, and what is to be run now.

    Attributes:
        folds: numbers of the entries that train on all cases.
        commands: one training each, on as many machines as there are.
        splits: the file that names them.
        kept: copy of the file as it was before; None if nothing had to be changed, or there was none.
        n_cases: cases that each member is trained on.
    """

    folds: tuple[int, ...]
    commands: tuple[str, ...]
    splits: Path
    kept: Path | None
    n_cases: int


def prepare_deep_ensemble(
    preprocessed: Path, members: int, *, configuration: str = "3d_fullres", plans: str = "", trainer: str = ""
) -> DeepEnsemble:
    """Append entries that train on all cases to `splits_final.json`; those that are there already are taken first.

    The entries that are there keep their numbers. Without the file, nnU-Net's own five-fold cross-validation is written
    before them, so that folds 0 to 4 mean what they always mean.

    Args:
        preprocessed: nnU-Net's folder of the dataset, `nnUNet_preprocessed/Dataset004_Hippocampus`.
        members: trainings.
        configuration: of nnU-Net.
        plans: name of the plans; needed where there are several.
        trainer: nnU-Net's class; empty means its default.

    Raises:
        ValueError: fewer than two members.
        InvalidInput: E501, no plans or several, no such configuration, or it is not clear which cases are all cases.
        UnfitEnvironment: E903, the folder cannot be written to.
    """
    if members < 2:
        raise ValueError(f"an ensemble has at least two members, got {members}")
    chosen = _choose_plans(preprocessed, plans, configuration)
    cases, path = _all_cases(preprocessed), preprocessed / SPLITS
    splits = _read_splits(path, cases) if path.exists() else cross_validation(cases)
    full: Split = {"train": list(cases), "val": list(cases)}
    there = [number for number, split in enumerate(splits) if _is_full(split, cases)][:members]
    added = [full] * (members - len(there))
    kept = _write(path, [*splits, *added]) if added else None
    folds = (*there, *range(len(splits), len(splits) + len(added)))
    options = f" -p {chosen}" + (f" -tr {trainer}" if trainer else "")
    return DeepEnsemble(
        folds=folds,
        commands=tuple(f"nnUNetv2_train {preprocessed.name} {configuration} {fold}{options}" for fold in folds),
        splits=path,
        kept=kept,
        n_cases=len(cases),
    )


def cross_validation(cases: Sequence[str]) -> list[Split]:
    """Return the five folds that nnU-Net makes by default: scikit-learn's shuffled KFold with its seed."""
    order = np.arange(len(cases))
    np.random.RandomState(DEFAULT_SEED).shuffle(order)
    folds = [set(part.tolist()) for part in np.array_split(order, DEFAULT_FOLDS)]
    return [
        {
            "train": [case for number, case in enumerate(cases) if number not in fold],
            "val": [case for number, case in enumerate(cases) if number in fold],
        }
        for fold in folds
    ]


def _write(path: Path, splits: Sequence[Split]) -> Path | None:
    """Replace the file, and keep a copy of what was there under a name of its own."""
    kept = None
    if path.exists():
        before = path.read_bytes()
        kept = path.with_name(f"splits_final.before_{sha256_of(before)[:8]}.json")
        write_bytes(kept, before)
    write_json(path, list(splits))
    return kept


def _choose_plans(preprocessed: Path, plans: str, configuration: str) -> str:
    found = {path.stem: _configurations(path) for path in sorted(preprocessed.glob("*.json"))}
    named = {name: configurations for name, configurations in found.items() if configurations}
    if plans in named or (not plans and len(named) == 1):
        chosen = plans or next(iter(named))
        if configuration in named[chosen]:
            return chosen
        raise _unclear(
            preprocessed,
            found=f"configuration {configuration!r}, and plans for {', '.join(named[chosen])}",
            expected="a configuration of the plans",
            fix=f"configuration={named[chosen][0]!r}",
        )
    raise _unclear(
        preprocessed,
        found=f"plans {plans!r}, and {', '.join(named) or 'no plans'} in the folder",
        expected="one file of plans, or the name of one of them",
        fix=f"plans={next(iter(named))!r}" if named else "nnUNetv2_plan_and_preprocess -d DATASET",
    )


def _configurations(path: Path) -> list[str]:
    content = _read_json(path)
    told = content.get("configurations") if isinstance(content, dict) else None
    return list(told) if isinstance(told, dict) and "plans_name" in content else []


def _all_cases(preprocessed: Path) -> tuple[str, ...]:
    """Return the cases that nnU-Net preprocessed, by their labels, in its order."""
    dataset = _read_json(preprocessed / "dataset.json")
    ending = str(dataset.get("file_ending", "")) if isinstance(dataset, dict) else ""
    labels = preprocessed / "gt_segmentations"
    cases = sorted(p.name.removesuffix(ending) for p in labels.glob(f"*{ending}") if not p.name.startswith("."))
    if not ending or len(cases) < DEFAULT_FOLDS:
        raise _unclear(
            preprocessed,
            found=f"{len(cases)} labels in gt_segmentations" if ending else "no dataset.json with a file_ending",
            expected=f"a dataset that nnU-Net preprocessed, of {DEFAULT_FOLDS} cases or more",
            fix="nnUNetv2_plan_and_preprocess -d DATASET",
        )
    return tuple(cases)


def _read_splits(path: Path, cases: Sequence[str]) -> list[Split]:
    content = _read_json(path)
    if not isinstance(content, list) or not all(isinstance(s, dict) and {"train", "val"} <= set(s) for s in content):
        raise _unclear(
            path.parent,
            found=f"a {SPLITS} that is not a list of train and val",
            expected="the file as nnU-Net writes it",
            fix=f"move {SPLITS} away: the default folds are made again",
        )
    split = {case for entry in content for case in (*entry["train"], *entry["val"])}
    unsplit, unknown = sorted(set(cases) - split), sorted(split - set(cases))
    if unsplit or unknown:
        raise _unclear(
            path.parent,
            found=f"{len(unsplit)} labelled cases in no fold{_some(unsplit)}; {len(unknown)} of the folds without a "
            f"label{_some(unknown)}",
            expected="the same cases in gt_segmentations and in the folds: these are all cases",
            fix="preprocess again after adding or removing cases, and add them to the folds or move their labels away",
        )
    return content


def _is_full(split: Split, cases: Sequence[str]) -> bool:
    return sorted(split["train"]) == sorted(split["val"]) == list(cases)


def _some(names: Sequence[str]) -> str:
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})" if names else ""


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _unclear(preprocessed: Path, *, found: str, expected: str, fix: str) -> InvalidInput:
    return InvalidInput(Problem(code="E501", file=preprocessed.name, found=found, expected=expected, fix=fix))
