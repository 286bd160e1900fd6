"""Sets from the members' modes against voxelwise sets and margins: achieved coverage and size on other patients.

    python studies/sample_sets.py --fit FIT/mem FIT/lab --test TEST/mem TEST/lab --alpha 0.1 --share 0.95

Each pair is a folder with a folder per member and a folder of label maps. Every method is to hold a share of the true
structure in 1 - alpha of the patients; the patients of both studies are split anew --repeats times. Size is the volume
of the set over that of the reference, the median over new patients; the mean over splits is printed.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from plausible.calibrate import (
    SampleSetCurve,
    conformal_quantile,
    coverage_band,
    sample_set_curve,
    smallest_reach,
    threshold_counts,
)
from plausible.core import Case, Members, collect
from plausible.io import read_study
from plausible.measure import VoxelStatistics, mean_probability

MARGINS_MM = np.round(np.arange(0, 101) * 0.1, 6)
COMPONENTS = (2, 4)
GOOD_DICE = (0.85, 0.9)


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """How far a family of nested sets has to go in each patient, and how large it is there.

    Attributes:
        needed: smallest index of the family that holds enough; the number of sets if none does.
        size: volume over that of the reference, per patient and index.
    """

    needed: list[int]
    size: list[np.ndarray]


def main() -> None:
    """Measure every patient once, split, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fit", nargs=2, type=Path, required=True, metavar=("MEMBERS", "LABELS"))
    parser.add_argument("--test", nargs=2, type=Path, required=True, metavar=("MEMBERS", "LABELS"))
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--share", type=float, default=0.95)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    studies = [read_study(members, references=labels) for members, labels in (arguments.fit, arguments.test)]
    cases, n_fit = [case for study in studies for case in study], len(studies[0])
    low, high = coverage_band(n_fit, len(cases) - n_fit, arguments.alpha)
    print(f"{n_fit} patients to calibrate, {len(cases) - n_fit} new; band of one split {low:.2f} to {high:.2f}\n")
    print("| structure | set | coverage | size | no set |\n|---|---|---|---|---|")
    for structure in studies[0].classes.structures:
        curves = {k: [curve_of(case, structure, k) for case in cases] for k in COMPONENTS}
        for name, method in measured(cases, structure, curves, arguments.share).items():
            print(f"| {structure} | {name} | {row(method, n_fit, arguments)} |")
        for level in GOOD_DICE:
            print(f"| {structure} | {dice_row(curves[2], level, n_fit, arguments)} |", flush=True)


def curve_of(case: Case, structure: str, n_components: int) -> SampleSetCurve:
    """Curve of one patient."""
    raters = case.raters()
    assert raters is not None, f"{case.subject} has no reference"
    return sample_set_curve(case.members(), raters, structure, n_components=n_components)


def measured(
    cases: list[Case], structure: str, curves: dict[int, list[SampleSetCurve]], share: float
) -> dict[str, Method]:
    """Every method on every patient."""
    found: dict[str, Method] = {"probability at least t": Method([], []), "margin in mm": Method([], [])}
    found |= {f"modes, K = {k}": Method([], []) for k in COMPONENTS}
    for number, case in enumerate(cases):
        members, raters = case.members(), case.raters()
        assert raters is not None, f"{case.subject} has no reference"
        counts = next(one for one in threshold_counts(members, raters) if one.structure == structure)
        inside, outside = counts.inside[::-1], counts.outside[::-1]  # from the empty set to the whole image
        n_true = counts.n_reference
        _add(found["probability at least t"], inside / n_true, (inside + outside) / n_true, share)
        _add(found["margin in mm"], *_margins(members, raters, structure), share)
        for k in COMPONENTS:
            curve = curves[k][number]
            true_ml = n_true * members.geometry.voxel_volume_ml
            _add(found[f"modes, K = {k}"], curve.covered, curve.outer_ml / true_ml, share)
    return found


def _margins(members: Members, raters: Members, structure: str) -> tuple[np.ndarray, np.ndarray]:
    """Share of the reference in the segmentation grown by each margin, and the size of that."""
    number = members.classes.structures.index(structure)
    truth = raters.classes.masks(next(iter(raters)).probabilities)[number]
    mask = members.classes.masks(mean_probability(collect(members, VoxelStatistics)[VoxelStatistics]))[number]
    far = distance_transform_edt(~mask, sampling=members.geometry.spacing_mm)
    held, size = (np.searchsorted(np.sort(one, axis=None), MARGINS_MM + 1e-4) for one in (far[truth], far))
    return held / truth.sum(), size / truth.sum()


def _add(method: Method, held: np.ndarray, size: np.ndarray, share: float) -> None:
    enough = held >= share - 1e-12
    method.needed.append(int(enough.argmax()) if enough.any() else len(held))
    method.size.append(size)


def row(method: Method, n_fit: int, arguments: argparse.Namespace) -> str:
    """Coverage and size over splits."""
    needed, coverage, size, lost = np.array(method.needed), [], [], 0
    for order in splits(len(needed), arguments):
        fit, new = order[:n_fit], order[n_fit:]
        index = int(conformal_quantile(needed[fit].astype(float), arguments.alpha))
        if index >= len(method.size[0]):
            lost += 1
            continue
        coverage.append(np.mean(needed[new] <= index))
        size.append(np.median([method.size[i][index] for i in new]))
    told = f"{np.mean(coverage):.3f} | {np.mean(size):.2f}" if coverage else "- | -"
    return f"{told} | {lost / arguments.repeats:.0%}"


def dice_row(curves: list[SampleSetCurve], level: float, n_fit: int, arguments: argparse.Namespace) -> str:
    """Reach at which one of the masks of two modes has this Dice, its coverage, and that of the mean alone."""
    scores = np.array([smallest_reach(one, level=level, criterion="dice") for one in curves])
    orders, finite = splits(len(curves), arguments), []
    for order in orders:
        reach = float(conformal_quantile(scores[order[:n_fit]], arguments.alpha))
        if np.isfinite(reach):
            finite.append((reach, np.mean(scores[order[n_fit:]] <= reach)))
    alone = f"mean alone {np.mean(scores == 0):.3f}"
    told = f"{np.mean([c for _, c in finite]):.3f} | reach {np.mean([r for r, _ in finite]):.2f}" if finite else "- | -"
    return f"one mask of Dice {level:g} ({alone}) | {told} | {1 - len(finite) / arguments.repeats:.0%}"


def splits(n: int, arguments: argparse.Namespace) -> list[np.ndarray]:
    """Random orders of the patients."""
    rng = np.random.default_rng(arguments.seed)
    return [rng.permutation(n) for _ in range(arguments.repeats)]


if __name__ == "__main__":
    main()
