"""Small studies on disk, as other tools write them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np

from plausible.core import Classes, Geometry, InvalidInput


def probabilities(classes: Classes, shape: Sequence[int], *, seed: int, sharpness: float = 3.0) -> np.ndarray:
    """Random probabilities `c i j k` of these classes."""
    rng = np.random.default_rng(seed)
    logits = sharpness * rng.standard_normal((len(classes.names), *shape)).astype(np.float32)
    if not classes.exclusive:
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits)
    return powers / powers.sum(axis=0)


def code_of(run: Callable[[], object]) -> str | None:
    """Code of the problem that something ends with; None if it ends well."""
    try:
        run()
    except InvalidInput as error:
        return error.problem.code
    return None


def save_nifti(path: Path, values: np.ndarray, geometry: Geometry | np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = geometry.affine if isinstance(geometry, Geometry) else geometry
    nib.Nifti1Image(values, affine).to_filename(str(path))
    return path


def write_dataset_json(folder: Path, classes: Classes, *, channels: Sequence[str] = ("MR",)) -> None:
    """dataset.json as nnU-Net has it."""
    folder.mkdir(parents=True, exist_ok=True)
    if classes.exclusive:
        labels: dict = {name: values[0] for name, values in zip(classes.names, classes.labels, strict=True)}
    else:
        labels = {"background": 0, **{n: list(v) for n, v in zip(classes.names, classes.labels, strict=True)}}
    content = {"labels": labels, "channel_names": {str(n): c for n, c in enumerate(channels)}, "file_ending": ".nii.gz"}
    if classes.order:
        content["regions_class_order"] = list(classes.order)
    (folder / "dataset.json").write_text(json.dumps(content))


def write_nnunet_case(
    folder: Path,
    subject: str,
    p: np.ndarray,
    geometry: Geometry,
    classes: Classes,
    *,
    key: str = "probabilities",
    dtype: type = np.float32,
    fortran: bool = False,
) -> Path:
    """CASE.npz and CASE.nii.gz as `nnUNetv2_predict --save_probabilities` writes them (reader that keeps file axes)."""
    write_dataset_json(folder, classes)
    array = p.transpose(0, 3, 2, 1).astype(dtype)
    np.savez_compressed(folder / f"{subject}.npz", **{key: np.asarray(array, order="F" if fortran else "C")})
    save_nifti(folder / f"{subject}.nii.gz", classes.decode(p.astype(dtype)), geometry)
    return folder / f"{subject}.npz"


def nnunet_study(
    root: Path,
    classes: Classes,
    geometry: Geometry,
    *,
    members: int = 3,
    subjects: Sequence[str] = ("case_a", "case_b"),
) -> dict[str, list[np.ndarray]]:
    """`MEMBERS/fold_k/CASE.npz`; returns what was saved, by subject."""
    saved: dict[str, list[np.ndarray]] = {subject: [] for subject in subjects}
    for m in range(members):
        for s, subject in enumerate(subjects):
            p = probabilities(classes, geometry.shape, seed=100 * m + s).astype(np.float32)
            write_nnunet_case(root / f"fold_{m}", subject, p, geometry, classes)
            saved[subject].append(p)
    return saved


def label_study(root: Path, labels: Mapping[str, Sequence[np.ndarray]], geometry: Geometry, classes: Classes) -> None:
    """`MEMBERS/member_k/CASE.nii.gz` with label maps, and their dataset.json."""
    for subject, maps in labels.items():
        for m, values in enumerate(maps):
            write_dataset_json(root / f"member_{m}", classes)
            save_nifti(root / f"member_{m}" / f"{subject}.nii.gz", values.astype(np.uint8), geometry)


def images_and_labels(
    root: Path, geometry: Geometry, classes: Classes, *, subjects: Sequence[str] = ("case_a", "case_b")
) -> tuple[Path, Path]:
    """`images/CASE_0000.nii.gz` and `labels/CASE.nii.gz`."""
    rng = np.random.default_rng(7)
    for subject in subjects:
        save_nifti(
            root / "images" / f"{subject}_0000.nii.gz", rng.normal(size=geometry.shape).astype(np.float32), geometry
        )
        values = rng.choice([v[0] for v in classes.labels], size=geometry.shape).astype(np.uint8)
        save_nifti(root / "labels" / f"{subject}.nii.gz", values, geometry)
    return root / "images", root / "labels"
