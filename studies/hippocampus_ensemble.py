"""A deep ensemble against its members on the hippocampus (MSD Task04): train, predict, evaluate, print a table.

Run it again after an interruption: finished members, predictions and scores are kept.

    python studies/hippocampus_ensemble.py --data DATASET --out OUT --members 5 --iterations 2400 --workers 2

DATASET is an nnU-Net raw dataset. Its cases are split by --seed into 120 for training, 30 for validation and the rest
for the test (195 cases: 45). Test cases are read in the last step only. OUT/model is the model, OUT/members the store.
"""

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

from plausible.core import Study
from plausible.io.atomic import write_json
from plausible.io.raw_dataset import read_dataset
from plausible.train import Split, TrainingSettings, split_cases, train_ensemble

N_TRAIN, N_VALIDATION = 120, 30


def main() -> None:
    """Run the steps that were asked for."""
    arguments = _parser().parse_args()
    data, out = Path(arguments.data), Path(arguments.out)
    study = read_dataset(data)
    split, test = _split(study, seed=arguments.seed, path=out / "split.json")
    if "train" in arguments.steps:
        _train(data, out / "model", split, arguments)
    if "predict" in arguments.steps:
        _predict(study, [*split.validation, *test], out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--members", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=2400)
    parser.add_argument("--ensemble", choices=("deep", "cv"), default="deep")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", nargs="+", default=["train", "predict", "evaluate"])
    return parser


def _split(study: Study, *, seed: int, path: Path) -> tuple[Split, tuple[str, ...]]:
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


if __name__ == "__main__":
    main()
