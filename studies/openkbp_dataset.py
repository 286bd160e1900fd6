"""Five organs of OpenKBP as an nnU-Net raw dataset, with a split by seed: train, validation, and held-out patients.

    python studies/openkbp_dataset.py --data openkbp_hn --out OUT [--seed 0]

Kept are the organs that were drawn in every patient: brainstem, spinal cord, both parotids, mandible. Esophagus and
larynx become background: where they are missing nobody knows whether they were not drawn. Writes OUT/data
(dataset.json, imagesTr, labelsTr, split.json), OUT/heldout/img and OUT/heldout/lab, and OUT/split.json for
`plausible train`.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from plausible.io import find_labels, read_dataset_json
from plausible.io.atomic import write_json

ORGANS = ("Brainstem", "SpinalCord", "RightParotid", "LeftParotid", "Mandible")
N_TRAIN, N_VALIDATION = 33, 4


def main() -> None:
    """Write the dataset."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the pack openkbp_hn")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    prepare(arguments.data, arguments.out, seed=arguments.seed)


def prepare(data: Path, out: Path, *, seed: int) -> None:
    """Write dataset, held-out patients and split."""
    classes = read_dataset_json(data / "dataset.json").classes
    values = {int(classes.labels[classes.channel(organ)][0]): n for n, organ in enumerate(ORGANS, start=1)}
    labels = find_labels(data / "labelsTr")
    split = shares(sorted(labels), seed=seed)
    held_out = set(split["test"])
    for subject, path in labels.items():
        image = data / "imagesTr" / f"{subject}_0000.nii.gz"
        places = [(out / "data/imagesTr", out / "data/labelsTr")]
        places += [(out / "heldout/img", out / "heldout/lab")] if subject in held_out else []
        for images, masks in places:
            images.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(image, images / image.name)
            write_labels(path, masks / f"{subject}.nii.gz", values)
    names = {"background": 0, **{organ: n for n, organ in enumerate(ORGANS, start=1)}}
    told = {"name": "openkbp_hn_5", "channel_names": {"0": "CT"}, "labels": names, "file_ending": ".nii.gz"}
    write_json(out / "data/dataset.json", told)
    write_json(out / "split.json", split)
    write_json(out / "data/split.json", split)


def shares(subjects: Sequence[str], *, seed: int) -> dict[str, list[str]]:
    """Share patients out by seed."""
    order = [subjects[n] for n in np.random.default_rng(seed).permutation(len(subjects))]
    return {
        "train": sorted(order[:N_TRAIN]),
        "validation": sorted(order[N_TRAIN : N_TRAIN + N_VALIDATION]),
        "test": sorted(order[N_TRAIN + N_VALIDATION :]),
    }


def write_labels(source: Path, target: Path, values: Mapping[int, int]) -> None:
    """Write the labels that are asked for under new values; all others are background."""
    found = nib.load(source)
    kept = np.zeros(found.shape, np.uint8)
    for old, new in values.items():
        kept[np.asarray(found.dataobj) == old] = new
    target.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(kept, found.affine, found.header), target)


if __name__ == "__main__":
    main()
