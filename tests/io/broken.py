"""Small studies with one thing wrong each: the error that must be named, and what it may and may not stop.

`BROKEN[name](folder)` writes three members of three cases with images and references into an empty folder, breaks one
thing, and says what must be told.
"""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from plausible.core import Classes, Geometry, Member, MemberInfo
from plausible.io import write_member, write_members_json
from tests.io.folders import (
    images_and_labels,
    label_study,
    nnunet_study,
    probabilities,
    save_nifti,
    write_dataset_json,
    write_nnunet_case,
)

SUBJECTS = ("case_a", "case_b", "case_c")
BAD = "case_b"
SHAPE = (5, 7, 11)
CLASSES = Classes.exclusive_of({"background": 0, "liver": 1, "kidney": 2})
REGIONS = Classes.overlapping_of({"whole": [1, 2], "core": [2]}, order=[1, 2])


def _oblique() -> Geometry:
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag((0.7, 1.1, 3.0))
    affine[:3, 3] = (-12.5, 30.0, 4.0)
    return Geometry(SHAPE, affine)


GRID = _oblique()


@dataclass(frozen=True)
class BrokenStudy:
    """A study with one thing wrong.

    Attributes:
        members: what `-i` is given: the folder of the members, or a study.toml.
        code: the problem that must be named.
        bad_subject: the only case that it concerns; None if it concerns the whole study.
        stops: what `assess` must stop: the whole study (exit code 4), only the bad case (3, the others have their
            results, failures.csv lists the bad one), or nothing (0: told as a warning, or only by `inspect`).
        deep: whether headers do not show it and `inspect` needs `deep`.
        severity: of the problem.
    """

    members: Path
    images: Path | None
    references: Path | None
    code: str
    bad_subject: str | None
    stops: Literal["study", "case", "nothing"] = "case"
    deep: bool = False
    severity: str = "error"


Builder = Callable[[Path], BrokenStudy]

BROKEN: dict[str, Builder] = {}


def broken(builder: Builder) -> Builder:
    BROKEN[builder.__name__] = builder
    return builder


def sound(folder: Path, *, classes: Classes = CLASSES) -> tuple[Path, Path, Path]:
    """Members, images and references with nothing wrong."""
    nnunet_study(folder / "members", classes, GRID, subjects=SUBJECTS)
    images, references = images_and_labels(folder, GRID, classes, subjects=SUBJECTS)
    return folder / "members", images, references


def sound_labels(folder: Path) -> tuple[Path, Path, Path]:
    """The same, the members being label maps."""
    rng = np.random.default_rng(1)
    labels = {s: [rng.choice([0, 1, 2], size=SHAPE) for _ in range(3)] for s in SUBJECTS}
    label_study(folder / "members", labels, GRID, CLASSES)
    images, references = images_and_labels(folder, GRID, CLASSES, subjects=SUBJECTS)
    return folder / "members", images, references


def sound_store(folder: Path) -> tuple[Path, Path, Path]:
    """The same, the members lying in the member store."""
    infos = tuple(MemberInfo(id=f"member_{m}", kind="seed", seed=m) for m in range(3))
    for m, info in enumerate(infos):
        for s, subject in enumerate(SUBJECTS):
            p = probabilities(CLASSES, SHAPE, seed=100 * m + s).astype(np.float32)
            write_member(folder / "members", Member(p, GRID, CLASSES, info), subject=subject)
    write_members_json(folder / "members", infos, classes=CLASSES)
    images, references = images_and_labels(folder, GRID, CLASSES, subjects=SUBJECTS)
    return folder / "members", images, references


def cut_off(path: Path, *, share: float = 0.6) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])


def rewrite(path: Path, p: np.ndarray, *, classes: Classes = CLASSES, key: str = "probabilities") -> None:
    """Write other probabilities into an npz, and leave the segmentation beside it."""
    np.savez_compressed(path, **{key: p.transpose(0, 3, 2, 1)})


def saved(path: Path) -> np.ndarray:
    return np.load(path)["probabilities"].transpose(0, 3, 2, 1)


def shifted(by_mm: float) -> np.ndarray:
    affine = np.array(GRID.affine)
    affine[0, 3] += by_mm
    return affine


# --- members: which are there, and whose


@broken
def doubled_channel_suffix(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (images / f"{BAD}_0000.nii.gz").rename(images / f"{BAD}_0000_0000.nii.gz")
    return BrokenStudy(members, images, references, "E101", BAD)


@broken
def missing_member(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    for ending in (".npz", ".nii.gz"):
        (members / "fold_1" / f"{BAD}{ending}").unlink()
    return BrokenStudy(members, images, references, "E102", BAD)


@broken
def segmentation_without_probabilities(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (members / "fold_2" / f"{BAD}.npz").unlink()
    return BrokenStudy(members, images, references, "E102", BAD)


@broken
def other_class_order(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    write_dataset_json(members / "fold_2", Classes.exclusive_of({"background": 0, "kidney": 1, "liver": 2}))
    return BrokenStudy(members, images, references, "E103", None, "study")


@broken
def single_member(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    for fold in ("fold_1", "fold_2"):
        shutil.rmtree(members / fold)
    return BrokenStudy(members, images, references, "E104", None, "nothing", severity="warning")


@broken
def copied_member(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    for path in (members / "fold_0").iterdir():
        shutil.copy(path, members / "fold_2" / path.name)
    return BrokenStudy(members, images, references, "E105", None, "study")


@broken
def copied_case(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    for ending in (".npz", ".nii.gz"):
        shutil.copy(members / "fold_0" / f"{BAD}{ending}", members / "fold_2" / f"{BAD}{ending}")
    return BrokenStudy(members, images, references, "E105", BAD, "nothing", severity="warning")


@broken
def image_without_label(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (references / f"{BAD}.nii.gz").unlink()
    return BrokenStudy(members, images, references, "E106", BAD, "nothing", severity="warning")


@broken
def label_without_image(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (images / f"{BAD}_0000.nii.gz").unlink()
    return BrokenStudy(members, images, references, "E107", BAD, "nothing", severity="warning")


@broken
def nothing_recognised(folder: Path) -> BrokenStudy:
    (folder / "members" / "fold_0").mkdir(parents=True)
    (folder / "members" / "fold_0" / "notes.txt").write_text("no predictions")
    return BrokenStudy(folder / "members", None, None, "E108", None, "study")


@broken
def channel_missing(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    for fold in members.iterdir():
        write_dataset_json(fold, CLASSES, channels=("T1", "T2"))
    for subject in SUBJECTS:
        if subject != BAD:
            shutil.copy(images / f"{subject}_0000.nii.gz", images / f"{subject}_0001.nii.gz")
    return BrokenStudy(members, images, references, "E109", BAD, "nothing")


@broken
def misspelt_study_file(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (members / "study.toml").write_text('vallues = "probabilities"\n')
    return BrokenStudy(members / "study.toml", images, references, "E110", None, "study")


# --- geometry


@broken
def other_affine(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.nii.gz"
    save_nifti(path, np.asarray(nib.load(path).dataobj), shifted(2.0))
    return BrokenStudy(members, images, references, "E201", BAD)


@broken
def image_on_another_grid(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    save_nifti(images / f"{BAD}_0000.nii.gz", np.random.default_rng(0).random(SHAPE, np.float32), shifted(2.0))
    return BrokenStudy(members, images, references, "E201", BAD)


@broken
def other_shape(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    grid = Geometry((5, 7, 9), GRID.affine)
    write_nnunet_case(members / "fold_1", BAD, probabilities(CLASSES, grid.shape, seed=9), grid, CLASSES)
    return BrokenStudy(members, images, references, "E202", BAD)


@broken
def cropped_probabilities(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    rewrite(path, saved(path)[:, 1:])
    return BrokenStudy(members, images, references, "E202", BAD)


@broken
def nnunet_version_1(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    rewrite(path, saved(path), key="softmax")
    return BrokenStudy(members, images, references, "E202", BAD)


@broken
def probabilities_of_another_case(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    shutil.copy(members / "fold_1" / "case_a.npz", members / "fold_1" / f"{BAD}.npz")
    return BrokenStudy(members, images, references, "E203", BAD, deep=True)


@broken
def probabilities_without_segmentation(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (members / "fold_1" / f"{BAD}.nii.gz").unlink()
    return BrokenStudy(members, images, references, "E203", BAD)


@broken
def postprocessed_segmentation(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.nii.gz"
    values = np.asarray(nib.load(path).dataobj).copy()
    values[tuple(np.argwhere(values > 0)[0])] = 0
    save_nifti(path, values, GRID)
    return BrokenStudy(members, images, references, "E203", BAD, "nothing", deep=True, severity="warning")


@broken
def affine_with_nan(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.nii.gz"
    header = bytearray(gzip.decompress(path.read_bytes()))
    header[280:284] = np.float32(np.nan).tobytes()  # srow_x[0]
    path.write_bytes(gzip.compress(bytes(header)))
    return BrokenStudy(members, images, references, "E204", BAD)


@broken
def image_with_four_axes(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    values = np.random.default_rng(0).random((*SHAPE, 2), np.float32)
    save_nifti(images / f"{BAD}_0000.nii.gz", values, GRID)
    return BrokenStudy(members, images, references, "E205", BAD, "nothing")


# --- values


@broken
def softmax_that_sums_to_half(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    rewrite(path, saved(path) / 2)
    return BrokenStudy(members, images, references, "E301", BAD, deep=True)


@broken
def negative_probabilities(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    p = saved(path)
    p[0, 0, 0, 0] = -0.2
    rewrite(path, p)
    return BrokenStudy(members, images, references, "E302", BAD, deep=True)


@broken
def logits_as_probabilities(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    rewrite(path, 3 + np.log(saved(path)))
    return BrokenStudy(members, images, references, "E302", BAD, deep=True)


@broken
def unknown_label_in_member(folder: Path) -> BrokenStudy:
    members, images, references = sound_labels(folder)
    values = np.zeros(SHAPE, np.uint8)
    values[2, 3, 4] = 9
    save_nifti(members / "member_1" / f"{BAD}.nii.gz", values, GRID)
    return BrokenStudy(members, images, references, "E303", BAD, deep=True)


@broken
def unknown_label_in_reference(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    values = np.zeros(SHAPE, np.uint8)
    values[2, 3, 4] = 9
    save_nifti(references / f"{BAD}.nii.gz", values, GRID)
    return BrokenStudy(members, images, references, "E303", BAD, deep=True)


@broken
def regions_without_order(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder, classes=REGIONS)
    for fold in members.iterdir():
        write_dataset_json(fold, Classes(REGIONS.names, False, REGIONS.labels))
    return BrokenStudy(members, images, references, "E304", None, "study")


@broken
def truncated_npz(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    cut_off(members / "fold_1" / f"{BAD}.npz")
    return BrokenStudy(members, images, references, "E305", BAD)


@broken
def damaged_npz(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    return BrokenStudy(members, images, references, "E305", BAD, deep=True)


@broken
def pickle_in_npz(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(members / "fold_1" / f"{BAD}.npz", probabilities=objects)
    return BrokenStudy(members, images, references, "E305", BAD)


@broken
def truncated_nifti(folder: Path) -> BrokenStudy:
    members, images, references = sound_labels(folder)
    cut_off(members / "member_1" / f"{BAD}.nii.gz", share=0.9)
    return BrokenStudy(members, images, references, "E305", BAD)


@broken
def truncated_image(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    cut_off(images / f"{BAD}_0000.nii.gz", share=0.9)
    return BrokenStudy(members, images, references, "E305", BAD, "nothing")


@broken
def truncated_store(folder: Path) -> BrokenStudy:
    members, images, references = sound_store(folder)
    cut_off(members / "member_1" / f"{BAD}.zarr.zip")
    return BrokenStudy(members, images, references, "E305", BAD)


@broken
def structure_empty_everywhere(folder: Path) -> BrokenStudy:
    members, images, references = sound_labels(folder)
    for member in sorted(members.iterdir()):
        values = np.asarray(nib.load(member / f"{BAD}.nii.gz").dataobj).copy()
        values[values == 2] = 0
        save_nifti(member / f"{BAD}.nii.gz", values, GRID)
    return BrokenStudy(members, images, references, "E306", BAD, "nothing", deep=True, severity="note")


@broken
def last_axis_not_told(folder: Path) -> BrokenStudy:
    members, images, references = sound_labels(folder)
    for m, member in enumerate(sorted(members.iterdir())):
        for subject in SUBJECTS:
            p = probabilities(CLASSES, SHAPE, seed=m).astype(np.float32)
            save_nifti(member / f"{subject}.nii.gz", np.moveaxis(p, 0, -1), GRID)
    return BrokenStudy(members, images, references, "E307", None, "study")


@broken
def other_number_of_channels(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    rewrite(path, saved(path)[:2])
    return BrokenStudy(members, images, references, "E308", BAD)


@broken
def other_classes(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    write_dataset_json(members / "fold_2", Classes.exclusive_of({"background": 0, "liver": 1, "spleen": 2}))
    return BrokenStudy(members, images, references, "E308", None, "study")


@broken
def probabilities_with_nan(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    path = members / "fold_1" / f"{BAD}.npz"
    p = saved(path)
    p[:, 0, 0, 0] = np.nan
    rewrite(path, p)
    return BrokenStudy(members, images, references, "E309", BAD, deep=True)


@broken
def image_with_nan(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    values[0, 0, 0] = np.nan
    save_nifti(images / f"{BAD}_0000.nii.gz", values, GRID)
    return BrokenStudy(members, images, references, "E309", BAD, "nothing", deep=True)


@broken
def constant_image(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    save_nifti(images / f"{BAD}_0000.nii.gz", np.full(SHAPE, 7, np.int16), GRID)
    return BrokenStudy(members, images, references, "E310", BAD, "nothing", deep=True)


@broken
def classes_not_told(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    for fold in members.iterdir():
        (fold / "dataset.json").unlink()
    return BrokenStudy(members, images, references, "E311", None, "study")


@broken
def dataset_json_that_is_none(folder: Path) -> BrokenStudy:
    members, images, references = sound(folder)
    (members / "fold_1" / "dataset.json").write_text('{"labels": ')
    return BrokenStudy(members, images, references, "E311", None, "study")


@broken
def floats_not_told(folder: Path) -> BrokenStudy:
    members, images, references = sound_labels(folder)
    for path in members.glob("*/*.nii.gz"):
        save_nifti(path, np.asarray(nib.load(path).dataobj).astype(np.float32), GRID)
    return BrokenStudy(members, images, references, "E312", None, "study")


@broken
def structures_not_told(folder: Path) -> BrokenStudy:
    _, images, references = sound(folder / "other")
    rng = np.random.default_rng(2)
    for run in ("run_0", "run_1"):
        for subject in SUBJECTS:
            for name in ("liver", "kidney"):
                mask = (rng.random(SHAPE) > 0.5).astype(np.uint8)
                save_nifti(folder / "members" / run / subject / f"{name}.nii.gz", mask, GRID)
    return BrokenStudy(folder / "members", images, references, "E313", None, "study")
