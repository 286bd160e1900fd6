"""Every sampler on the hippocampus (MSD Task04) with the same network, data and budget: train, predict, compare.

    python studies/samplers.py --data DATASET --out OUT --seeds 0 --iterations 1500 --workers 2

DATASET is an nnU-Net raw dataset. Its cases are split by --split-seed into 120 for training, 30 for validation and the
rest (45) for the test. Each training gets --iterations optimiser steps in all: one network gets all of them, each of
five members a fifth. "full" ensembles train each of three networks that long: they show what a method gains when
training costs nothing. Choices (the rate of inserted dropout) are made on validation cases; test cases are read in the
last two steps only, as they are and with an artefact each (`samplers_shifts.py`). --others is a folder of images from
elsewhere. Run it again after an interruption: finished trainings and scores are kept.
"""

import argparse
import json
import multiprocessing
import resource
import time
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from hippocampus_ensemble import split_of
from samplers_scores import accuracy, uncertainty
from samplers_shifts import shifted
from samplers_table import tables

from plausible.core import Case, Image, Members, Study
from plausible.io.atomic import write_json
from plausible.io.images import find_images, read_image
from plausible.io.raw_dataset import read_dataset
from plausible.sample import Sampling, WindowedModel, load_model
from plausible.train import Split, TrainingSettings, train_ensemble

SEEDS_APART = 100
"""Seeds of repetition s start at 100 s, so that no two trainings share one."""

OVERLAP = 0.25

NETWORK = TrainingSettings(width=16, levels=3, patch=(40, 56, 40), precision="bfloat16")


@dataclass(frozen=True)
class Arm:
    """One row of the table: which training, and how members are made of it."""

    training: str
    sampling: Sampling = field(default_factory=Sampling)
    members: int = 0  # networks that are used; 0 uses all
    choose_rate: bool = False


def one(method: str, **more: Any) -> dict[str, Any]:
    """Return one network with the whole budget."""
    return {"members": 1, "share": 1.0, "settings": {"method": method, **more}}


def five(ensemble: str) -> dict[str, Any]:
    """Return five networks with a fifth of the budget each."""
    return {"members": 5, "share": 0.2, "ensemble": ensemble, "settings": {}}


TRAININGS: dict[str, dict[str, Any]] = {
    "deep": five("deep"),
    "cv": five("cv"),
    "heterogeneous": five("heterogeneous"),
    "full": {"members": 3, "share": 1.0, "settings": {}},
    "mc_dropout": one("mc_dropout"),
    "bayes_by_backprop": one("bayes_by_backprop"),
    "stochastic_segmentation": one("stochastic_segmentation"),
    "checkpoints": one("checkpoints"),
    "snapshots": one("snapshots"),
    "cyclical_sgld": one("cyclical_sgld"),
    "swag": one("swag"),
    "laplace": one("laplace"),
}

DRAWS = Sampling(draws=5)
VIEWS = Sampling(sampler=("tta",), tta=("rotations", "intensity"), views=5)
INSERTED = Sampling(sampler=("dropout",), draws=5)

ARMS: dict[str, Arm] = {
    "single network": Arm("full", members=1),
    "test-time augmentation": Arm("full", VIEWS, members=1),
    "inserted dropout": Arm("full", INSERTED, members=1, choose_rate=True),
    "MC dropout": Arm("mc_dropout", DRAWS),
    "Bayes by Backprop": Arm("bayes_by_backprop", DRAWS),
    "stochastic segmentation network": Arm("stochastic_segmentation", DRAWS),
    "SWAG": Arm("swag", DRAWS),
    "last-layer Laplace": Arm("laplace", DRAWS),
    "checkpoints": Arm("checkpoints"),
    "snapshots": Arm("snapshots"),
    "cyclical SGLD": Arm("cyclical_sgld"),
    "cross-validation ensemble": Arm("cv"),
    "deep ensemble": Arm("deep"),
    "heterogeneous ensemble": Arm("heterogeneous"),
    "deep ensemble x views": Arm("deep", VIEWS),
    "full deep ensemble of 3": Arm("full"),
}
REFERENCES = ("deep ensemble", "full deep ensemble of 3")
"""What every arm is compared with: an ensemble of the same training budget, and one whose networks train as long."""


def main() -> None:
    """Run the steps that were asked for."""
    asked = _parser().parse_args()
    data, out = Path(asked.data), Path(asked.out)
    split, test = split_of(read_dataset(data), seed=asked.split_seed, path=out / "split.json")
    for seed in asked.seeds:
        if "train" in asked.steps:
            for name in asked.trainings:
                _train(name, data, out, split, asked, seed)
        if "predict" in asked.steps:
            for arm in asked.arms:
                if _is_trained(out, arm, seed):
                    _in_a_process(_predict, arm, asked, split, test, seed)
    if "table" in asked.steps:
        print(tables(out, list(ARMS), REFERENCES, TRAININGS_OF, seed=asked.split_seed))


TRAININGS_OF = {name: (arm.training, arm.members) for name, arm in ARMS.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="repetitions of every training")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=1500, help="optimiser steps of each training in all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="auto", help="of the trainings")
    parser.add_argument("--others", help="folder of images from elsewhere, CASE_0000.nii.gz")
    parser.add_argument("--draw-device", default="auto", help="of the predictions")
    parser.add_argument("--trainings", nargs="+", choices=list(TRAININGS), default=list(TRAININGS))
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--steps", nargs="+", default=["train", "predict", "table"])
    return parser


def _model(out: Path, training: str, seed: int) -> Path:
    return out / "models" / f"seed_{seed}" / training


def _is_trained(out: Path, arm: str, seed: int) -> bool:
    return (_model(out, ARMS[arm].training, seed) / "model.json").exists()


def _train(name: str, data: Path, out: Path, split: Split, asked: argparse.Namespace, seed: int) -> None:
    told = TRAININGS[name]
    settings = replace(NETWORK, iterations=round(asked.iterations * told["share"]), **told["settings"])
    trained = train_ensemble(
        data,
        _model(out, name, seed),
        members=told["members"],
        ensemble=told.get("ensemble", "deep"),
        settings=settings,
        split=split,
        seed=SEEDS_APART * seed,
        device=asked.device,
        workers=asked.workers,
        threads=1,
    )
    dice = [record.validation_dice or 0.0 for record in trained.info.members]
    print(f"{name}: {trained.info.ensemble}, validation Dice {', '.join(f'{d:.4f}' for d in dice)}", flush=True)


def _in_a_process(function: Any, *arguments: Any) -> None:
    """Run in a process of its own, so that its peak of memory is its own."""
    process = multiprocessing.get_context("spawn").Process(target=function, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"{arguments[0]} ended with {process.exitcode}")


def _predict(name: str, asked: argparse.Namespace, split: Split, test: tuple[str, ...], seed: int) -> None:
    arm, study, out = ARMS[name], read_dataset(Path(asked.data)), Path(asked.out)
    folder = out / "scores" / f"seed_{seed}" / name.replace(" ", "_")
    model = _loaded(arm, out, study, split, seed, asked.draw_device)
    for number, subject in enumerate(test):
        for kind in ("iid", "shifted"):
            path = folder / kind / f"{subject}.json"
            if not path.exists():
                write_json(path, _scored(model, study.case(subject), number, kind))
    for subject, paths in find_images(Path(asked.others)).items() if asked.others else ():
        image = read_image(paths, channels=model.channels, subject=subject)
        write_json(folder / "others" / f"{subject}.json", uncertainty(_members(model, image, subject)))
    before = read_json(folder / "memory.json").get("peak_mb", 0.0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    write_json(folder / "memory.json", {"peak_mb": max(before, peak)})  # a run that was continued does less


def read_json(path: Path) -> dict[str, Any]:
    """Content of a JSON file; nothing if it is not there."""
    return dict(json.loads(path.read_text())) if path.exists() else {}


def _loaded(arm: Arm, out: Path, study: Study, split: Split, seed: int, device: str) -> WindowedModel:
    sampling = arm.sampling
    if arm.choose_rate:
        sampling = replace(sampling, insert_rate=_chosen_rate(arm, out, study, split, seed, device))
    return _opened(arm, out, seed, device, sampling)


def _opened(arm: Arm, out: Path, seed: int, device: str, sampling: Sampling) -> WindowedModel:
    """Return the model of an arm, with as many of its networks as the arm takes."""
    model = load_model(_model(out, arm.training, seed), device=device, sampling=sampling, overlap=OVERLAP)
    if not arm.members:
        return model
    per_network = len(model.sources) // sum(source.info.draw in (None, 0) for source in model.sources)
    return replace(model, sources=model.sources[: arm.members * per_network])


def _members(model: WindowedModel, image: Image, subject: str) -> Members:
    members = list(model.predict(image, range(len(model.infos)), subject=subject))
    return Members.from_arrays(
        [m.probabilities for m in members],
        geometry=image.geometry,
        classes=model.classes,
        infos=[m.info for m in members],
    )


def _scored(model: WindowedModel, case: Case, number: int, kind: str) -> dict[str, Any]:
    image, raters, artefact = case.image(), case.raters(), ""
    if image is None or raters is None:
        raise ValueError(f"{case.subject} has no image or no reference")
    if kind == "shifted":
        image, artefact = shifted(image, number)
    began, worked = time.monotonic(), time.process_time()
    members = _members(model, image, case.subject)
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - worked
    scores = {**accuracy(members, next(iter(raters)).probabilities), **uncertainty(members)}
    told = {"subject": case.subject, "artefact": artefact, "members": len(members)}
    return {**told, "seconds": seconds, "cpu_seconds": cpu_seconds, **scores}


def _chosen_rate(arm: Arm, out: Path, study: Study, split: Split, seed: int, device: str) -> float:
    """Return the rate of inserted dropout that has the lowest NLL on the first ten validation cases."""
    from plausible.runs.insert_rate import choose_insert_rate

    path = out / "rates" / f"seed_{seed}.json"
    if not path.exists():
        cases = replace(study, cases=tuple(study.case(subject) for subject in split.validation[:10]))
        chosen = choose_insert_rate(partial(_opened, arm, out, seed, device), cases, sampling=arm.sampling)
        write_json(path, asdict(chosen))
    rate: float = json.loads(path.read_text())["rate"]
    return rate


if __name__ == "__main__":
    main()
