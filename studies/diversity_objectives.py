"""Train ensembles of three that are made to differ, with the network, cases and steps of the pool's plain ensemble.

    python studies/diversity_objectives.py --data DATASET --out OUT [--iterations 600]

OUT is the folder of `diversity_pool.py`, whose ensemble `deep` is what they are compared with; every network has the
same number of optimiser steps. Trained are, in this order:

- `ncl_+1`, `ncl_+0.5`, `ncl_0`, `ncl_-0.5`: negative correlation learning; 0 is the control with the same shared
  patches, 1 trains the mean alone, a negative weight makes members alike;
- `oen`: orthogonal ensemble networks, one member after the other;
- `repulsive`: repulsion of the functions on images with artefacts;
- `last_layers`, `last_layers_0`: one network and three last layers that repel each other on shuffled patches; 0 is the
  control without repulsion.

With another `--seed` members are trained from other seeds, into folders named `NAME@SEED`. Run it again after an
interruption: finished members are kept.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from diversity_pool import NETWORK
from hippocampus_ensemble import split_of

from plausible.io.raw_dataset import read_dataset
from plausible.train import DiversitySettings, train_ensemble

MEMBERS = 3
OBJECTIVES = {
    "ncl_+1": DiversitySettings(diversity="negative_correlation", diversity_weight=1.0),
    "ncl_+0.5": DiversitySettings(diversity="negative_correlation", diversity_weight=0.5),
    "oen": DiversitySettings(diversity="orthogonal_filters", diversity_weight=0.1),
    "ncl_0": DiversitySettings(diversity="negative_correlation", diversity_weight=0.0),
    "ncl_-0.5": DiversitySettings(diversity="negative_correlation", diversity_weight=-0.5),
    "last_layers": DiversitySettings(diversity="last_layer_repulsion", diversity_weight=0.1),
    "last_layers_0": DiversitySettings(diversity="last_layer_repulsion", diversity_weight=0.0),
    "repulsive": DiversitySettings(diversity="function_repulsion", diversity_weight=0.1, diversity_images="shifted"),
}


def main() -> None:
    """Train what is not there yet."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder of this study")
    parser.add_argument("--iterations", type=int, default=600, help="optimiser steps of each network")
    parser.add_argument("--split-seed", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the first member")
    parser.add_argument("--objectives", nargs="+", choices=list(OBJECTIVES), default=list(OBJECTIVES))
    asked = parser.parse_args()
    split, _ = split_of(read_dataset(asked.data), seed=asked.split_seed, path=asked.out / "split.json")
    for name in asked.objectives:
        done = train_ensemble(
            asked.data,
            asked.out / "models" / (f"{name}@{asked.seed}" if asked.seed else name),
            members=MEMBERS,
            settings=replace(NETWORK, iterations=asked.iterations),
            split=split,
            threads=1,
            seed=asked.seed,
            diversity=OBJECTIVES[name],
        )
        dice = [f"{record.validation_dice:.3f}" for record in done.info.members]
        print(f"{name}: {done.info.ensemble}, Dice of the validation cases {', '.join(dice)}", flush=True)


if __name__ == "__main__":
    main()
