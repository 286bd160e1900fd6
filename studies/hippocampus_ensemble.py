"""A deep ensemble against its members on the hippocampus (MSD Task04): train, predict, evaluate, print a table.

Run it again after an interruption: finished members, predictions and scores are kept.

    python studies/hippocampus_ensemble.py --data DATASET --out OUT --members 5 --iterations 800 --workers 2

DATASET is an nnU-Net raw dataset. Its cases are split by --seed into 120 for training, 30 for validation and the rest
for the test (195 cases: 45). Test cases are read in the last step only. OUT/model is the model, OUT/members the store.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from plausible.core import Case, Classes, Geometry, MemberInfo, Members, Study, collect
from plausible.evaluate import (
    Estimate,
    area_under_risk_coverage,
    bootstrap_mean,
    bootstrap_statistic,
    brier_score,
    dice,
    expected_calibration_error,
    negative_log_likelihood,
    overlap,
    probability_scores,
    risk_coverage,
    top_label_bins,
)
from plausible.io.atomic import write_json
from plausible.io.raw_dataset import read_dataset
from plausible.io.store import StoreSource, read_members_json, store_path
from plausible.measure import VoxelStatistics, mean_probability
from plausible.train import Split, TrainingSettings, split_cases, train_ensemble

NEAR_MM = 5.0
"""Voxels this close to a reference structure count as "near": elsewhere the background is easy and hides everything."""

N_TRAIN, N_VALIDATION = 120, 30


def main() -> None:
    """Run the steps that were asked for."""
    arguments = _parser().parse_args()
    data, out = Path(arguments.data), Path(arguments.out)
    study = read_dataset(data)
    split, test = split_of(study, seed=arguments.seed, path=out / "split.json")
    if "train" in arguments.steps:
        _train(data, out / "model", split, arguments)
    if "predict" in arguments.steps:
        _predict(study, [*split.validation, *test], out)
    if "evaluate" in arguments.steps:
        for name, subjects in (("validation", split.validation), ("test", test)):
            rows = [_scores(study.case(subject), out / "members") for subject in subjects]
            write_json(out / f"scores_{name}.json", rows)
            print(f"\n{len(subjects)} {name} cases\n\n{_table(rows, arguments.members, seed=arguments.seed)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=800)
    parser.add_argument("--ensemble", choices=("deep", "cv"), default="deep")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", nargs="+", default=["train", "predict", "evaluate"])
    return parser


def split_of(study: Study, *, seed: int, path: Path) -> tuple[Split, tuple[str, ...]]:
    """Return the cases for training and validation, and those for the test; the same for the same seed."""
    subjects = [case.subject for case in study]
    n = len(subjects)
    fractions = (N_TRAIN / n, N_VALIDATION / n, 1 - (N_TRAIN + N_VALIDATION) / n)
    train, validation, test = split_cases(subjects, fractions=fractions, seed=seed)
    write_json(path, {"seed": seed, "train": train, "validation": validation, "test": test})
    return Split(train, validation), test


def _train(data: Path, model: Path, split: Split, arguments: argparse.Namespace) -> None:
    settings = TrainingSettings(iterations=arguments.iterations, width=arguments.width, levels=arguments.levels)
    began = time.monotonic()

    def progress(member: int, iteration: int, total: int, loss: float) -> None:
        if iteration % 200 == 0:
            minutes = (time.monotonic() - began) / 60
            print(f"member {member}: {iteration}/{total}, loss {loss:.3f}, {minutes:.1f} min", flush=True)

    trained = train_ensemble(
        data,
        model,
        members=arguments.members,
        ensemble=arguments.ensemble,
        settings=settings,
        split=split,
        seed=arguments.seed,
        device=arguments.device,
        workers=arguments.workers,
        threads=1,
        on_progress=progress,
    )
    print(f"{trained.info.ensemble}, {trained.info.plan.architecture}, {(time.monotonic() - began) / 60:.1f} min")
    for record in trained.info.members:
        dice = json.dumps({k: round(v, 4) for k, v in record.validation_dice_by_structure.items() if v is not None})
        print(f"  {record.id}: {record.minutes} min, validation Dice {record.validation_dice:.4f} {dice}")


def _predict(study: Study, subjects: list[str], out: Path) -> None:
    from plausible.sample import load_model, predict_study

    wanted = replace(study, cases=tuple(case for case in study if case.subject in set(subjects)))
    done = predict_study(load_model(out / "model"), wanted, out / "members")
    print(f"{sum(n for _, n in done.written)} members predicted, {sum(n for _, n in done.kept)} kept")
    for problem in done.failures:
        print(problem)


def _scores(case: Case, store: Path) -> dict[str, Any]:
    """Scores of every member and of their mean probability against the reference, and how much members agree."""
    raters, info = case.raters(), read_members_json(store)
    if raters is None:
        raise ValueError(f"{case.subject} has no reference")
    truth = next(iter(raters)).probabilities
    near = distance_transform_edt(truth[0] > 0.5, sampling=raters.geometry.spacing_mm) <= NEAR_MM
    paths = [store_path(store, member=member["id"], subject=case.subject) for member in info["members"]]
    sources = tuple(StoreSource(path, MemberInfo(id=path.parent.name)) for path in paths)
    members = Members(raters.geometry, case.classes, sources, case.subject, sliceable=True)
    singles = [member.probabilities for member in members]
    mean = mean_probability(collect(members, VoxelStatistics)[VoxelStatistics])
    return {
        "subject": case.subject,
        "members": [_row(p, truth, near, case.classes, raters.geometry) for p in singles],
        "ensemble": {
            **_row(mean.astype(np.float32), truth, near, case.classes, raters.geometry),
            "agreement": _agreement(singles, case.classes),
        },
    }


def _row(p: np.ndarray, truth: np.ndarray, near: np.ndarray, classes: Classes, geometry: Geometry) -> dict[str, float]:
    pairs = zip(classes.structures, classes.masks(p), classes.masks(truth), strict=True)
    counts = {name: overlap(a, b, voxel_volume_ml=geometry.voxel_volume_ml) for name, a, b in pairs}
    row = {f"Dice {name}": dice(found) for name, found in counts.items()}
    row["Dice"] = float(np.mean(list(row.values())))
    for region, within in (("image", None), ("near", near)):
        proper = probability_scores(p, truth, within=within)
        row[f"NLL {region}"] = negative_log_likelihood(proper)
        row[f"Brier {region}"] = brier_score(proper)
        row[f"ECE {region}"] = expected_calibration_error(top_label_bins(p, truth, within=within))
    entropy = -(p * np.log(np.clip(p, 1e-9, 1))).sum(axis=0)
    row["entropy"] = float(entropy[p[0] < 0.5].mean()) if (p[0] < 0.5).any() else float("inf")
    return row


def _agreement(singles: list[np.ndarray], classes: Classes) -> float:
    """Mean pairwise Dice of the members over all structures."""
    masks = [classes.masks(p) for p in singles]
    pairs = [zip(a, b, strict=True) for a, b in combinations(masks, 2)]
    return float(np.nanmean([dice(overlap(a, b, voxel_volume_ml=1.0)) for pair in pairs for a, b in pair]))


def _table(rows: list[dict[str, Any]], n_members: int, *, seed: int) -> str:
    lines = [
        "| measure | mean single member | ensemble | ensemble minus member | n |",
        "|---|---|---|---|---|",
    ]
    for name in (name for name in rows[0]["ensemble"] if name not in ("entropy", "agreement")):
        single = np.array([[member[name] for member in row["members"]] for row in rows]).mean(axis=1)
        pooled = np.array([row["ensemble"][name] for row in rows])
        found = [bootstrap_mean(values, seed=seed) for values in (single, pooled, pooled - single)]
        lines.append(_line(name, found))
    risk = [_column(rows, m, "Dice", lambda value: 1 - value) for m in (*range(n_members), None)]
    unsure = [_column(rows, m, "entropy", lambda value: -value) for m in (*range(n_members), None)]
    agreement = np.array([row["ensemble"]["agreement"] for row in rows])
    for name, confidence in (("entropy", unsure[-1]), ("agreement", agreement)):
        columns = [*unsure[:-1], confidence, *risk]
        found = [
            bootstrap_statistic(_aurc(part), *columns, seed=seed, n_resamples=2000)
            for part in ("members", "ensemble", "difference")
        ]
        lines.append(_line(f"AURC of 1 - Dice by {name}", found))
    return "\n".join(lines)


def _column(rows: list[dict[str, Any]], member: int | None, name: str, change: Callable[[float], float]) -> np.ndarray:
    """One value per subject, of one member or (None) of the ensemble."""
    return np.array([change((row["ensemble"] if member is None else row["members"][member])[name]) for row in rows])


def _aurc(part: str) -> Callable[..., float]:
    """Area under risk-coverage of the mean member, of the ensemble (last of each half), or their difference."""

    def statistic(*columns: np.ndarray) -> float:
        half = len(columns) // 2
        areas = [area_under_risk_coverage(risk_coverage(columns[m], columns[half + m])) for m in range(half)]
        member, ensemble = float(np.mean(areas[:-1])), areas[-1]
        return {"members": member, "ensemble": ensemble, "difference": ensemble - member}[part]

    return statistic


def _line(name: str, found: Sequence[Estimate]) -> str:
    shown = [f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})" for one in found]
    return f"| {name} | {' | '.join(shown)} | {found[0].n} |"


if __name__ == "__main__":
    main()
