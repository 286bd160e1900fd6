"""Train the pool of the diversity study on the hippocampus (MSD Task04): seeds, data folds, networks, checkpoints.

    python studies/diversity_pool.py --data DATASET --out OUT [--iterations 600] [--workers 2]

DATASET is an nnU-Net raw dataset; its cases are split by --split-seed into 120 for training, 30 for validation and the
rest (45) for the test, as in `hippocampus_ensemble.py`. Trained are

- `deep`: five seeds on all training cases, the plain deep ensemble;
- `ARCHITECTURE_fold_K`: a crossed grid of two networks, three folds (each leaves out a third of the training cases) and
  three seeds, from which variance components are estimated;
- `checkpoints`: five sets of weights of one training.

Every network has the same patch, batch and number of optimiser steps. Run it again after an interruption: finished
members are kept.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hippocampus_ensemble import split_of

from plausible.io.raw_dataset import read_dataset
from plausible.train import Split, TrainingSettings, train_ensemble

NETWORK = TrainingSettings(width=16, levels=3, patch=(40, 56, 40), precision="bfloat16")
ARCHITECTURES = ("dynunet", "segresnet")
N_FOLDS, N_SEEDS, N_DEEP = 3, 3, 5


@dataclass(frozen=True)
class Training:
    """One folder of models."""

    name: str
    settings: TrainingSettings
    split: Split
    members: int
    seed: int = 0


def trainings(split: Split, *, iterations: int, seed: int) -> Iterator[Training]:
    """Yield what is trained, the plain ensemble first; the seeds of the grid repeat in each of its cells."""
    network = replace(NETWORK, iterations=iterations)
    yield Training("deep", network, split, N_DEEP)
    for architecture in ARCHITECTURES:
        for fold in range(N_FOLDS):
            settings = replace(network, architecture=architecture)
            yield Training(f"{architecture}_fold_{fold}", settings, without_fold(split, fold, seed=seed), N_SEEDS, 100)
    yield Training("checkpoints", replace(network, method="checkpoints"), split, 1, 200)


def without_fold(split: Split, fold: int, *, seed: int) -> Split:
    """Leave a third of the training cases out; they validate nothing. The folds are the same for everybody."""
    order = np.random.default_rng(seed).permutation(len(split.train))
    left_out = {split.train[n] for n in order[fold::N_FOLDS]}
    return Split(tuple(case for case in split.train if case not in left_out), split.validation)


def main() -> None:
    """Train what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder of this study")
    parser.add_argument("--iterations", type=int, default=600, help="optimiser steps of each network")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--split-seed", type=int, default=0)
    asked = parser.parse_args()
    split, _ = split_of(read_dataset(asked.data), seed=asked.split_seed, path=asked.out / "split.json")
    for one in trainings(split, iterations=asked.iterations, seed=asked.split_seed):
        done = train_ensemble(
            asked.data,
            asked.out / "models" / one.name,
            members=one.members,
            settings=one.settings,
            split=one.split,
            seed=one.seed,
            workers=asked.workers,
            threads=1,
        )
        dice = [f"{record.validation_dice:.3f}" for record in done.info.members]
        print(f"{one.name}: {done.info.ensemble}, Dice of the validation cases {', '.join(dice)}", flush=True)


if __name__ == "__main__":
    main()
