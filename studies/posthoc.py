"""Post-hoc calibration fitted on some patients and scored on others: a table of NLL and ECE before and after.

    python studies/posthoc.py --fit FIT/mem FIT/lab --test TEST/mem TEST/lab

Each pair is a folder with a folder per member and a folder of label maps. NLL and ECE (15 bins) are means over the
test patients with 95 % bootstrap intervals, over the whole image and within 5 mm of a reference structure.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt

from plausible.calibrate import VoxelSample, calibrated_members, fit_fiducio, fit_probabilities, sample_voxels
from plausible.core import Case, Members, Study, collect
from plausible.evaluate import (
    bootstrap_mean,
    expected_calibration_error,
    negative_log_likelihood,
    probability_scores,
    top_label_bins,
)
from plausible.io import read_study
from plausible.measure import VoxelStatistics, mean_probability

NEAR_MM = 5.0
BANDS_MM = (1.0, 3.0)

Calibrated = Callable[[Members], np.ndarray]
"""From members to the probability that is scored."""


def main() -> None:
    """Fit on one study, score on another, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fit", nargs=2, type=Path, required=True, metavar=("MEMBERS", "LABELS"))
    parser.add_argument("--test", nargs=2, type=Path, required=True, metavar=("MEMBERS", "LABELS"))
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    fit, test = (read_study(members, references=labels) for members, labels in (arguments.fit, arguments.test))
    print(f"fitted on {len(fit)} patients, scored on {len(test)}\n")
    found = methods(fit, seed=arguments.seed)
    print("| | NLL, image | NLL, near | ECE, image | ECE, near |\n|---|---|---|---|---|")
    plain: np.ndarray | None = None
    for name, calibrated in found:
        scores = np.array([scored(case, calibrated) for case in test])
        plain = scores if plain is None else plain
        print(
            f"| {name} | " + " | ".join(cell(scores[:, i], plain[:, i], seed=arguments.seed) for i in range(4)) + " |"
        )


def methods(fit: Study, *, seed: int) -> list[tuple[str, Calibrated]]:
    """Every way to calibrate, fitted."""
    samples, member_samples = drawn(fit, seed=seed, of="mean"), drawn(fit, seed=seed, of="members")
    who = {"population": fit.name, "date": "2026-11-25"}
    found: list[tuple[str, Calibrated]] = [("no calibration", mean_of)]
    for method in ("temperature", "vector", "dirichlet"):
        found.append((method, partial(after, fit_probabilities(samples, method=method, **who))))
    banded = fit_probabilities(samples, method="temperature", edges_mm=BANDS_MM, **who)
    found.append((f"temperature in bands ({', '.join(f'{edge:g}' for edge in BANDS_MM)} mm)", partial(after, banded)))
    single = fit_probabilities(member_samples, method="temperature", **who)
    found.append(("temperature of the members", lambda members: mean_of(calibrated_members(members, single))))
    for record in (found[1][1], found[4][1]):
        calibrator = record.args[0]
        print(f"temperatures: {', '.join(f'{maps[0].temperature:.3f}' for maps in calibrator.maps)}")
    print(f"temperature of the members: {single.maps[0][0].temperature:.3f}")
    try:
        theirs = fit_fiducio(samples, calibrator="TemperatureScaling", seed=seed)
        print(f"fiducio's temperature, on 200000 voxels drawn by weight: {theirs.calibrator.temperature:.3f}\n")
    except RuntimeError as error:
        print(f"{error}\n")
    return found


def drawn(study: Study, *, seed: int, of: str) -> list[VoxelSample]:
    """Voxels of every case."""
    return [sample_voxels(case.members(), case.raters(), seed=seed, of=of) for case in study]


def mean_of(members: Members) -> np.ndarray:
    """Mean probability."""
    return mean_probability(collect(members, VoxelStatistics)[VoxelStatistics])


def after(calibrator, members: Members) -> np.ndarray:  # noqa: ANN001
    """Calibrated mean probability."""
    return calibrator.transform(mean_of(members), spacing_mm=members.geometry.spacing_mm)


def scored(case: Case, calibrated: Calibrated) -> tuple[float, ...]:
    """NLL and ECE of a case over the image and near the reference."""
    members, raters = case.members(), case.raters()
    assert raters is not None, f"{case.subject} has no reference"
    probabilities, truth = calibrated(members), next(iter(raters)).probabilities
    near = distance_transform_edt(truth[0] == 1, sampling=members.geometry.spacing_mm) <= NEAR_MM
    nll = [negative_log_likelihood(probability_scores(probabilities, truth, within=w)) for w in (None, near)]
    ece = [expected_calibration_error(top_label_bins(probabilities, truth, within=w)) for w in (None, near)]
    return (*nll, *ece)


def cell(values: np.ndarray, plain: np.ndarray, *, seed: int) -> str:
    """Mean, and the interval of its difference from no calibration."""
    if np.array_equal(values, plain):
        return f"{values.mean():.4f}"
    change: Sequence = bootstrap_mean(values - plain, seed=seed)
    return f"{values.mean():.4f} ({change.low:+.4f} to {change.high:+.4f})"


if __name__ == "__main__":
    main()
