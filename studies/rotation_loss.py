"""What the interpolation of test-time rotations loses by itself: labels turned there and back, no network between.

    python studies/rotation_loss.py --data DATASET --cases 20

DATASET is an nnU-Net raw dataset; the labels of its first cases are turned about every axis.
"""

import argparse
from collections import defaultdict
from itertools import islice
from pathlib import Path

import numpy as np

from plausible.evaluate import dice, overlap
from plausible.io.raw_dataset import read_dataset
from plausible.sample.view_geometry import rotations


def main() -> None:
    """Print mean and worst Dice by angle."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="nnU-Net raw dataset")
    parser.add_argument("--cases", type=int, default=20)
    asked = parser.parse_args()
    found: dict[str, list[float]] = defaultdict(list)
    for case in islice(read_dataset(Path(asked.data)), asked.cases):
        raters = case.raters()
        if raters is None:
            raise ValueError(f"{case.subject} has no labels")
        truth = next(iter(raters))
        for turn in rotations(raters.geometry.spacing_mm):
            back = turn.undo(turn.apply(truth.probabilities), raters.geometry.shape)
            pairs = zip(case.classes.masks(back), case.classes.masks(truth.probabilities), strict=True)
            found[turn.name.split("_")[2]] += [dice(overlap(a, b, voxel_volume_ml=1.0)) for a, b in pairs]
    print("| degrees | mean Dice | worst | n |\n|---|---|---|---|")
    for degrees, values in sorted(found.items(), key=lambda entry: abs(int(entry[0]))):
        print(f"| {degrees} | {np.nanmean(values):.4f} | {np.nanmin(values):.4f} | {len(values)} |")


if __name__ == "__main__":
    main()
