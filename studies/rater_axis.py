"""Does training on different raters make an ensemble that varies as raters do? Lung nodules, four readers each.

    python studies/rater_axis.py --data lidc_nodules_2d --out OUT [--iterations 300] [--folds 5] [--seed 0]

Nodules with four readers are taken from the development list, split into folds by patient. Readers of LIDC are
anonymous and change from nodule to nodule, so "rater 1" means nothing; ordered by the area they drew, they are four
styles, from tight to wide. Three ensembles of eight networks each are trained on every fold:

- `seeds`: eight seeds, majority labels; `two seeds` are the first two of them, a control without further training;
- `styles`: four styles x two seeds, a crossed design: these are the same two seeds;
- `random`: eight seeds, each with the labels of a reader drawn at random for every nodule.

All have the same network and number of steps. They are judged on the left-out fold against the four readers: squared
GED, NLL and Brier score of the mean probability against the readers' mean, ECE against every reader, Dice with the
majority, and for `styles` which share of the variance of the area between members comes from style, seed and both.
Intervals are over patients. Run it again after an interruption: finished trainings and scores are kept.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from PIL import Image as Picture

from plausible.aggregate import PairwiseOverlap
from plausible.core import Classes, Geometry, MemberInfo, Members, walk
from plausible.diversity import variance_components
from plausible.evaluate import (
    ReliabilityBins,
    SetOverlap,
    bootstrap_mean,
    dice,
    expected_calibration_error,
    generalized_energy_distance_iou_u,
    overlap,
)
from plausible.evaluate.ambiguity import generalized_energy_distance_iou_v
from plausible.io.atomic import write_json
from plausible.io.raw_dataset import read_dataset
from plausible.sample import load_model, predict_members
from plausible.train import Split, TrainingSettings, train_ensemble

STYLES = ("tightest", "tight", "wide", "widest")
N_MEMBERS = 8
ARMS = ("seeds", "styles", "random")
CONTROL = "two seeds"
"""The seeds that the crossed design has: what the styles add to them, and what too few seeds take away."""
COLUMNS = ("seeds", CONTROL, "styles", "random")
NETWORK = TrainingSettings(width=16, levels=3, patch=(48, 48, 1), batch=8, rotation_deg=20.0, flip_axes=(0, 1))
SLICE_MM = 5.0
"""Thickness that the slices are given: so much coarser than the pixels that no kernel looks along it."""


def main() -> None:
    """Prepare, train, score, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the pack lidc_nodules_2d")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=300)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    nodules = prepare(asked.data, asked.out / "data", seed=asked.seed)
    rows: list[dict[str, Any]] = []
    for fold, held_out in enumerate(folds(nodules, n=asked.folds, seed=asked.seed)):
        split = Split(tuple(n for n in nodules if n not in held_out), ())
        for arm in ARMS:
            folder = asked.out / f"fold_{fold}" / arm
            train(asked.out / "data", folder, arm, split, asked)
            rows += scores(asked.out / "data", folder, arm, held_out, nodules)
    write_json(asked.out / "scores.json", rows)
    print(table(rows, COLUMNS, seed=asked.seed))
    print(table(rows, (CONTROL, "styles"), seed=asked.seed))
    print(areas(rows, asked.out / "data"))
    found = shares([row for row in rows if row["arm"] == "styles"])
    print("variance of the area between members: " + ", ".join(f"{name} {share:.0%}" for name, share in found.items()))


def prepare(pack: Path, data: Path, *, seed: int) -> dict[str, str]:
    """Write the nodules as one-slice volumes with labels of each style, of readers at random, and of the majority."""
    facts = {one["id"]: one for one in json.loads((pack / "cases.json").read_text(encoding="utf-8"))}
    dev = json.loads((pack / "split.json").read_text(encoding="utf-8"))["dev"]
    nodules = [name for name in sorted(dev) if facts[name]["n_raters"] == len(STYLES)]
    rng = np.random.default_rng(seed)
    for name in nodules:
        affine = np.diag([facts[name]["pixel_spacing_mm"]] * 2 + [SLICE_MM, 1.0])
        masks = [_picture(pack / "labelsTr_raters" / f"{name}_r{r}.png") > 0 for r in range(1, len(STYLES) + 1)]
        ordered = sorted(masks, key=lambda mask: int(mask.sum()))
        _write(data / "imagesTr" / f"{name}_0000.nii.gz", _picture(pack / "imagesTr" / f"{name}_0000.png"), affine)
        _write(data / "labelsTr" / f"{name}.nii.gz", np.mean(masks, axis=0) >= 0.5, affine)
        for style, mask in zip(STYLES, ordered, strict=True):
            _write(data / f"labelsTr_{style}" / f"{name}.nii.gz", mask, affine)
        for m in range(N_MEMBERS):
            _write(data / f"labelsTr_draw{m}" / f"{name}.nii.gz", masks[rng.integers(len(masks))], affine)
    labels = {"background": 0, "nodule": 1}
    told = {"name": "lidc_nodules", "channel_names": {"0": "8-bit"}, "labels": labels, "file_ending": ".nii.gz"}
    write_json(data / "dataset.json", told)
    return {name: str(facts[name]["patient"]) for name in nodules}


def _picture(path: Path) -> np.ndarray:
    return np.asarray(Picture.open(path).convert("L")).T


def _write(path: Path, values: np.ndarray, affine: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        nib.save(nib.Nifti1Image(np.ascontiguousarray(values[:, :, None]).astype(np.uint8), affine), path)


def folds(nodules: dict[str, str], *, n: int, seed: int) -> list[set[str]]:
    """Nodules of each fold; a patient is in one fold only."""
    patients = sorted(set(nodules.values()))
    order = np.random.default_rng(seed).permutation(len(patients))
    fold_of = {patients[p]: place % n for place, p in enumerate(order)}
    return [{name for name, patient in nodules.items() if fold_of[patient] == fold} for fold in range(n)]


def train(data: Path, folder: Path, arm: str, split: Split, asked: argparse.Namespace) -> None:
    """Train one ensemble, or keep it if it is finished."""
    settings = replace(NETWORK, iterations=asked.iterations)
    raters = {"seeds": (), "styles": STYLES, "random": tuple(f"draw{m}" for m in range(N_MEMBERS))}[arm]
    train_ensemble(
        data,
        folder,
        members=N_MEMBERS,
        ensemble="rater" if raters else "deep",
        settings=settings,
        raters=raters,
        split=split,
        validation_fraction=0.0,
        seed=asked.seed,
        workers=asked.workers,
        threads=1,
    )


def scores(data: Path, folder: Path, arm: str, held_out: set[str], nodules: dict[str, str]) -> list[dict[str, Any]]:
    """Scores of every nodule of the left-out fold."""
    kept = folder / "scores.json"
    groups = {arm: slice(None), **({CONTROL: slice(0, 2)} if arm == "seeds" else {})}
    if kept.exists():
        found: list[dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
        if {row["arm"] for row in found} == set(groups):
            return found
    model, study = load_model(folder), read_dataset(data)
    rows = []
    for name in sorted(held_out):
        image = study.case(name).image()
        assert image is not None
        members = [m.probabilities for m in predict_members(model, image, subject=name)]
        readers = [_reader(data, style, name) for style in STYLES]
        for group, which in groups.items():
            told = judged(members[which], readers, image.geometry)
            rows.append({"arm": group, "nodule": name, "patient": nodules[name], **told})
    write_json(kept, rows)
    return rows


def judged(members: Sequence[np.ndarray], readers: Sequence[np.ndarray], geometry: Geometry) -> dict[str, Any]:
    """Scores of one nodule against its readers."""
    classes = Classes.exclusive_of({"background": 0, "nodule": 1})
    hard = [(p[1] > 0.5).astype(np.uint8) for p in members]
    between = SetOverlap.of(*(_pairs(masks, kind, geometry, classes) for masks, kind in ((readers, "r"), (hard, "m"))))
    mean, told = np.mean([p[1] for p in members], axis=0, dtype=np.float64), np.mean(readers, axis=0)
    clipped = np.clip(mean, 1e-6, 1 - 1e-6)
    majority = told >= 0.5
    found = overlap(mean > 0.5, majority, voxel_volume_ml=geometry.voxel_volume_ml)
    return {
        "GED² (IoU, U)": generalized_energy_distance_iou_u(between),
        "GED² (IoU, V)": generalized_energy_distance_iou_v(between),
        "NLL": float(-(told * np.log(clipped) + (1 - told) * np.log(1 - clipped)).mean()),
        "Brier": float(((mean - told) ** 2).mean()),
        "ECE": calibration_error(mean, readers),
        "Dice with the majority": dice(found),
        "area_px": [int(mask.sum()) for mask in hard],
    }


def calibration_error(mean: np.ndarray, readers: Sequence[np.ndarray]) -> float:
    """ECE of the more probable class against every reader, all in the same bins."""
    confidence, chosen = np.maximum(mean, 1 - mean), mean > 0.5
    first, *others = [ReliabilityBins.of(confidence, chosen == (reader > 0)) for reader in readers]
    return expected_calibration_error(first.merge(*others))


def shares(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Shares of the variance of the area between members of the crossed design, by source; means over nodules."""
    area = np.array([row["area_px"] for row in rows], dtype=float)
    grid = area.reshape(len(area), -1, len(STYLES))  # member m has style m modulo 4, raters change first
    found = variance_components(grid.T[:, :, np.newaxis], ("style", "seed"))
    means = np.maximum(found.values.mean(axis=1), 0)
    return dict(zip(found.names, (means / means.sum()).tolist(), strict=True))


def areas(rows: Sequence[dict[str, Any]], data: Path) -> str:
    """Mean area of what each style's members and readers drew, in pixels: does a member learn its style?"""
    crossed = [row for row in rows if row["arm"] == "styles"]
    members = np.mean([row["area_px"] for row in crossed], axis=0).reshape(-1, len(STYLES))
    readers = np.mean([[np.sum(_reader(data, style, row["nodule"])) for style in STYLES] for row in crossed], axis=0)
    told = [f"seed {seed}: {', '.join(f'{one:.0f}' for one in of_seed)}" for seed, of_seed in enumerate(members)]
    return f"mean area by style, {'; '.join(told)}; readers: {', '.join(f'{one:.0f}' for one in readers)}"


def _reader(data: Path, style: str, nodule: str) -> np.ndarray:
    return np.asarray(nib.load(data / f"labelsTr_{style}" / f"{nodule}.nii.gz").dataobj)


def _pairs(masks: Sequence[np.ndarray], kind: str, geometry: Geometry, classes: Classes) -> PairwiseOverlap:
    infos = [MemberInfo(id=f"{kind}{n}") for n in range(len(masks))]
    members = Members.from_labels([np.asarray(mask) for mask in masks], geometry=geometry, classes=classes, infos=infos)
    ((_, whole),) = walk(members, PairwiseOverlap)
    return whole[PairwiseOverlap]


def table(rows: Sequence[dict[str, Any]], arms: Sequence[str], *, seed: int) -> str:
    """Means over nodules, with intervals over patients, and the differences to the first arm."""
    names = [name for name in rows[0] if name not in ("arm", "nodule", "patient", "area_px")]
    by_arm = {arm: {row["nodule"]: row for row in rows if row["arm"] == arm} for arm in arms}
    first = arms[0]
    order = sorted(by_arm[first])
    patients = [by_arm[first][name]["patient"] for name in order]
    lines = [f"| measure (n = {len(order)} nodules of {len(set(patients))} patients) | " + " | ".join(arms) + " |",
             "|" + "---|" * (len(arms) + 1)]  # fmt: skip
    for name in names:
        cells = []
        for arm in arms:
            values = np.array([by_arm[arm][nodule][name] for nodule in order], dtype=float)
            cell = f"{np.nanmean(values):.4f}"
            if arm != first:
                apart = values - np.array([by_arm[first][nodule][name] for nodule in order], dtype=float)
                found = bootstrap_mean(apart, seed=seed, clusters=patients)
                cell += f" ({found.value:+.4f}; {found.low:+.4f} to {found.high:+.4f})"
            cells.append(cell)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
