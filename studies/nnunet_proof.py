"""nnU-Net's own prediction against ours from the same trained-model folder, and what its own prediction throws away.

Trains a small nnU-Net with nnU-Net's own code, predicts with `nnUNetv2_predict`, reads the folder with
`load_nnunet_model` and prints a table. Run it again after an interruption: finished folds and predictions are kept.

    python studies/nnunet_proof.py --data DATASET --out OUT

DATASET is an nnU-Net raw dataset; its first cases are for training, the next ones are predicted. Needs the extra
`nnunet`. nnU-Net draws its seeds from the operating system, so that another run has other numbers.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plausible.aggregate import PairwiseOverlap, mean_pairwise_dice
from plausible.core import Case, Classes, Image, Member, Members, collect
from plausible.evaluate import dice, overlap
from plausible.io.atomic import write_json
from plausible.io.nifti import read_labels
from plausible.io.raw_dataset import read_dataset
from plausible.measure import VoxelStatistics, mean_probability, mutual_information
from plausible.sample.nnunet import NnunetModel, load_nnunet_model
from plausible.sample.nnunet_members import Views

NAME = "Dataset901_Proof"
CONFIGURATION = "3d_fullres"
CHECKPOINT = "checkpoint_final.pth"
LEARNING_RATE = 2e-3
"""With AdamW, which gets further than nnU-Net's SGD in few iterations."""

BATCH = 2
WIDTH = 16
"""Features of the first stage; nnU-Net plans 32."""


def main() -> None:
    """Train, predict twice, compare."""
    arguments = _parser().parse_args()
    out = Path(arguments.out).resolve()
    for kind in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{kind}"] = str(out / kind)
    os.environ.update(nnUNet_n_proc_DA="1", nnUNet_def_n_proc="1", nnUNet_compile="f")
    _write_dataset(Path(arguments.data), out / "raw" / NAME, train=arguments.train, test=arguments.test)
    _plan(out)
    for fold in range(arguments.folds):
        _train(out, fold, epochs=arguments.epochs, iterations=arguments.iterations)
    _predict_stock(out, folds=arguments.folds)
    _compare(out, folds=tuple(range(arguments.folds)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--train", type=int, default=60, help="cases for training")
    parser.add_argument("--test", type=int, default=4, help="cases to predict")
    parser.add_argument("--folds", type=int, default=3, help="of the five of its cross-validation")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=50, help="iterations of an epoch")
    return parser


def _write_dataset(data: Path, raw: Path, *, train: int, test: int) -> None:
    """Copy the first cases into an nnU-Net raw dataset of their own; the cases to predict keep their labels beside."""
    cases = read_dataset(data).cases[: train + test]
    for number, case in enumerate(cases):
        part = "Tr" if number < train else "Ts"
        for name, path in case.files.items():
            target = raw / (f"labels{part}" if name == f"{case.subject}.nii.gz" else f"images{part}") / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    content = {
        "channel_names": {"0": "MRI"},
        "labels": dict(zip(cases[0].classes.names, (v[0] for v in cases[0].classes.labels), strict=True)),
        "file_ending": ".nii.gz",
        "numTraining": train,
    }
    write_json(raw / "dataset.json", content)


def _plan(out: Path) -> None:
    """Plan and preprocess with nnU-Net, then make the planned network small."""
    plans = out / "preprocessed" / NAME / "nnUNetPlans.json"
    if (plans.parent / "small").exists():
        return
    _run("nnUNetv2_plan_and_preprocess", "-d", "901", "-c", CONFIGURATION, "-np", "1", "-npfp", "1")
    content = json.loads(plans.read_text(encoding="utf-8"))
    configuration = content["configurations"][CONFIGURATION]
    network = configuration["architecture"]["arch_kwargs"]
    configuration["batch_size"] = BATCH
    network["features_per_stage"] = [WIDTH * 2**stage for stage in range(network["n_stages"])]
    write_json(plans, content)
    (plans.parent / "small").touch()


def _train(out: Path, fold: int, *, epochs: int, iterations: int) -> None:
    """Train one fold with nnU-Net's trainer, for fewer and shorter epochs."""
    if (_model_folder(out) / f"fold_{fold}" / CHECKPOINT).exists():
        return
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args
    from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler

    def optimizer_and_schedule() -> tuple[torch.optim.AdamW, PolyLRScheduler]:
        optimizer = torch.optim.AdamW(trainer.network.parameters(), lr=LEARNING_RATE)
        return optimizer, PolyLRScheduler(optimizer, LEARNING_RATE, epochs)

    began = time.monotonic()
    trainer = get_trainer_from_args(NAME, CONFIGURATION, fold, device=torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = epochs, iterations, 5
    trainer.configure_optimizers = optimizer_and_schedule
    trainer.run_training()
    print(f"fold {fold}: {(time.monotonic() - began) / 60:.1f} min", flush=True)


def _predict_stock(out: Path, *, folds: int) -> None:
    """Predict with nnU-Net's own command, which averages the logits of folds and mirror views."""
    if (out / "stock" / "done").exists():
        return
    common = ("-i", str(out / "raw" / NAME / "imagesTs"), "-o", str(out / "stock"), "-d", "901", "-c", CONFIGURATION)
    chosen = [str(fold) for fold in range(folds)]
    workers = ("-chk", CHECKPOINT, "-npp", "1", "-nps", "1", "-device", "cpu")
    _run("nnUNetv2_predict", *common, "-f", *chosen, "--save_probabilities", *workers)
    (out / "stock" / "done").touch()


def _compare(out: Path, *, folds: Sequence[int]) -> None:
    """Predict the same cases from the same folder, compare with what stock wrote, print the tables.

    With one thread, as stock has it for `nnUNet_def_n_proc=1`: sums in another order differ in their last digit, which
    float16 accumulators make 2e-4 of a probability.
    """
    import torch

    torch.set_num_threads(1)

    def load(views: Views) -> NnunetModel:
        return load_nnunet_model(_model_folder(out), folds=folds, checkpoint=CHECKPOINT, views=views, device="cpu")

    models = {"folds": load("averaged"), "folds x views": load("members")}
    study = read_dataset(out / "raw" / NAME, part="Ts")
    agreed, rows = [], []
    for case in study:
        image, stock = _image(case), _Stock(out / "stock", case)
        predicted = {name: list(model.predict(image, range(len(model.infos)))) for name, model in models.items()}
        agreed.append(_agreement(models, predicted["folds"], image, stock))
        rows.append({name: _thrown_away(members, case, stock) for name, members in predicted.items()})
        print(f"{case.subject}: largest difference {agreed[-1]['mean of logits, views averaged'][0]:.1e}", flush=True)
    write_json(out / "proof.json", {"agreement": agreed, "disagreement": rows})
    print(_tables(agreed, rows, models))


class _Stock:
    """What `nnUNetv2_predict --save_probabilities` wrote for a case, in the axes of the image."""

    def __init__(self, folder: Path, case: Case) -> None:
        with np.load(folder / f"{case.subject}.npz") as file:
            self.probabilities = file["probabilities"].transpose(0, 3, 2, 1)
        self.labels, _ = read_labels(folder / f"{case.subject}.nii.gz")


def _image(case: Case) -> Image:
    image = case.image()
    if image is None:
        raise ValueError(f"{case.subject} has no image")
    return image


def _agreement(
    models: dict[str, NnunetModel], folds: Sequence[Member], image: Image, stock: _Stock
) -> dict[str, tuple[float, int]]:
    """Largest difference to stock's probabilities and number of voxels with another label, for each mean."""
    each = [member.probabilities for member in folds]
    geometric = np.exp(np.mean([np.log(np.maximum(p, 1e-30)) for p in each], axis=0))
    means = {
        "mean of logits, views averaged": models["folds"].mean_of_logits(image),
        "mean of logits, views as members": models["folds x views"].mean_of_logits(image),
        "geometric mean of the folds' probabilities": geometric / geometric.sum(axis=0),
        "mean of the folds' probabilities": np.mean(each, axis=0),
    }
    return {name: _difference(mean, stock, folds[0].classes) for name, mean in means.items()}


def _difference(mean: np.ndarray, stock: _Stock, classes: Classes) -> tuple[float, int]:
    labels = classes.decode(mean.astype(np.float32))
    return float(np.abs(mean - stock.probabilities).max()), int(np.count_nonzero(labels != stock.labels))


def _thrown_away(predicted: Sequence[Member], case: Case, stock: _Stock) -> dict[str, float]:
    """How much the members disagree, and how that goes with the errors of stock's label map."""
    classes = predicted[0].classes
    members = Members.from_arrays(
        [member.probabilities for member in predicted],
        geometry=predicted[0].geometry,
        classes=classes,
        infos=[member.info for member in predicted],
    )
    found = collect(members, VoxelStatistics, PairwiseOverlap)
    information = mutual_information(found[VoxelStatistics])[0]
    truth = _reference(case)
    labels = np.stack([classes.decode(member.probabilities) for member in predicted])
    anywhere = (labels > 0).any(axis=0)
    wrong = stock.labels != classes.decode(truth)
    scores = [_dice(member.probabilities, truth, case) for member in predicted]
    return {
        "members": len(predicted),
        "dice_of_members": float(np.mean(scores)),
        "dice_of_stock": _dice(classes.encode(stock.labels), truth, case),
        "dice_of_mean": _dice(mean_probability(found[VoxelStatistics]).astype(np.float32), truth, case),
        "pairwise_dice": float(np.mean(mean_pairwise_dice(found[PairwiseOverlap]))),
        "disputed_voxels": int(np.count_nonzero((labels != labels[0]).any(axis=0))),
        "foreground_voxels": int(np.count_nonzero(anywhere)),
        "information_where_right": float(information[anywhere & ~wrong].mean()),
        "information_where_wrong": float(information[anywhere & wrong].mean()),
    }


def _reference(case: Case) -> np.ndarray:
    raters = case.raters()
    if raters is None:
        raise ValueError(f"{case.subject} has no reference")
    return next(iter(raters)).probabilities


def _dice(prediction: np.ndarray, truth: np.ndarray, case: Case) -> float:
    """Mean Dice over the structures."""
    masks = zip(case.classes.masks(prediction), case.classes.masks(truth), strict=True)
    return float(np.mean([dice(overlap(ours, theirs, voxel_volume_ml=1.0)) for ours, theirs in masks]))


def _tables(
    agreed: Sequence[dict[str, tuple[float, int]]], rows: Sequence[dict[str, dict[str, Any]]], models: dict[str, Any]
) -> str:
    lines = [f"\n{len(agreed)} cases, {models['folds'].ensemble}\n"]
    lines += ["| against nnUNetv2_predict | largest difference | voxels with another label |", "|---|---|---|"]
    for name in agreed[0]:
        worst, voxels = max(row[name][0] for row in agreed), sum(row[name][1] for row in agreed)
        lines.append(f"| {name} | {worst:.1e} | {voxels} |")
    lines += ["", "| what the members say | " + " | ".join(rows[0]) + " |", "|---|" + "---|" * len(rows[0])]
    for quantity in rows[0]["folds"]:
        means = [np.mean([row[kind][quantity] for row in rows]) for kind in rows[0]]
        lines.append(f"| {quantity.replace('_', ' ')} | " + " | ".join(f"{mean:.4g}" for mean in means) + " |")
    return "\n".join(lines)


def _run(command: str, *arguments: str) -> None:
    subprocess.run([str(Path(sys.executable).with_name(command)), *arguments], check=True)


def _model_folder(out: Path) -> Path:
    return out / "results" / NAME / f"nnUNetTrainer__nnUNetPlans__{CONFIGURATION}"


if __name__ == "__main__":
    main()
