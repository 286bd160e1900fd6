"""Correlation length of a Gaussian-field copula that explains how far raters' volumes spread, structure by structure.

    python studies/copula_length.py --data DATASET

DATASET is an nnU-Net raw dataset with several raters (`labelsTr_<rater>`). A case counts for a structure that all
of its raters drew; labels that dataset.json does not name are left out.
"""

import argparse
from pathlib import Path

import numpy as np

from plausible.core import Classes, MemberInfo, Members
from plausible.io.nifti import read_labels
from plausible.io.raw_dataset import find_labels, raters_of, read_dataset_json
from plausible.sample import VolumeSpread, fit_correlation_length


def main() -> None:
    """Print one line per structure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="nnU-Net raw dataset with several raters")
    dataset = Path(parser.parse_args().data)
    classes = read_dataset_json(dataset / "dataset.json").classes
    told = cases(dataset, classes)
    print("| structure | cases | correlation length, mm |\n|---|---|---|")
    for structure in classes.structures:
        drawn = [members for members in told if drawn_by_all(members, structure)]
        if len(drawn) > 1:
            fit = fit_correlation_length([VolumeSpread.of(members, structure=structure) for members in drawn])
            print(f"| {structure} | {len(drawn)} | {fit.correlation_mm:.0f} |", flush=True)


def cases(dataset: Path, classes: Classes) -> list[Members]:
    """Every case that all raters drew, with one member per rater."""
    labels = {rater: find_labels(dataset / f"labelsTr_{rater}") for rater in raters_of(dataset)}
    shared = set.intersection(*(set(found) for found in labels.values()))
    return [
        _members({rater: found[subject] for rater, found in labels.items()}, classes, subject)
        for subject in sorted(shared)
    ]


def drawn_by_all(members: Members, structure: str) -> bool:
    """Whether no rater left the structure out."""
    place = members.classes.structures.index(structure)
    return all(member.classes.masks(member.probabilities)[place].any() for member in members)


def _members(paths: dict[str, Path], classes: Classes, subject: str) -> Members:
    known = [value for values in classes.labels for value in values]
    read = [read_labels(path) for path in paths.values()]
    return Members.from_labels(
        [np.where(np.isin(values, known), values, 0) for values, _ in read],
        geometry=read[0][1],
        classes=classes,
        subject=subject,
        infos=[MemberInfo(id=rater, kind="rater", rater=rater) for rater in paths],
    )


if __name__ == "__main__":
    main()
