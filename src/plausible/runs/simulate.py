"""A toy case on disk: an nnU-Net raw dataset that `train`, `predict` and `evaluate` read, and the truth beside it.

```
DIR/  dataset.json  split.json
      imagesTr/ CASE_0000.nii.gz   labelsTr/ CASE.nii.gz   labelsTr_rater_1/ ... labelsTr_rater_3/
      imagesTs/ ...                labelsTs/ ...           labelsTs_rater_1/ ...
      truthTr/, truthTs/  CASE_rater_fraction.nii.gz  CASE_aleatoric_entropy.nii.gz, each with a JSON sidecar
```
The same arguments write the same bytes. dataset.json says what is being made, and at the end that it is complete.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import plausible
from plausible.io import write_image, write_label_map, write_scalar_map
from plausible.io.atomic import remove_leftovers, write_json
from plausible.runs.layout import read_json
from plausible.simulate import TOY_CASES, ToyCase, rater_names, raters_of_case, simulate

DATASET_JSON = "dataset.json"
SPLIT_JSON = "split.json"
OWN = ("images*", "labels*", "truth*")
OnCase = Callable[[str, int, int], None]
"""Called after each image with its name, its number (from 1) and the number of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulateSettings:
    """How a toy case is made.

    Attributes:
        size: edge of the images in voxels of 1 mm; objects and blur scale with it.
        clean: blur in closed form and raters by exact radii, instead of the published recipe's filter and quantiles.
        share: share of the published number of images, at least one of each kind.
    """

    size: int = 64
    clean: bool = False
    share: float = 1.0

    def __post_init__(self) -> None:
        if self.size < 16 or not self.share > 0:
            raise ValueError(f"size must be at least 16 and share above 0, got {self.size} and {self.share:g}")


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a run wrote: the cases of each role, the raters, and whether all of it was there before."""

    split: dict[str, list[str]]
    raters: tuple[str, ...]
    was_there: bool


def simulate_dataset(
    case: str,
    folder: Path,
    *,
    seed: int = 0,
    settings: SimulateSettings | None = None,
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> Simulated:
    """Write a toy case as an nnU-Net raw dataset with its truth; a folder that holds it already is kept.

    Args:
        case: one of `TOY_CASES`.
        folder: of the dataset.
        seed: 0 keeps the published seeds.
        settings: size and recipe.
        overwrite: write again what is there already, or in place of another toy case.
        on_case: called after each image.

    Raises:
        ValueError: no such case, or a folder that holds another dataset.
        UnfitEnvironment: E903, the folder cannot be written to.
    """
    chosen = settings or SimulateSettings()
    made = {"version": plausible.__version__, "case": case, "seed": seed, **asdict(chosen)}
    split, raters = planned(case, settings=chosen), raters_of_case(case)
    before = read_json(folder / DATASET_JSON) or {}
    if before.get("made_by") == made and before.get("complete") and not overwrite:
        return Simulated(split, raters, was_there=True)
    _make_room(folder, before, made, overwrite=overwrite)
    told = {**_nnunet(case, len(split["train"])), "made_by": made}
    write_json(folder / DATASET_JSON, {**told, "complete": False})
    cases, total = {}, sum(map(len, split.values()))
    images = simulate(case, seed=seed, size=chosen.size, clean=chosen.clean, share=chosen.share)
    for number, toy in enumerate(images, start=1):
        write_toy(folder, toy, made=made)
        cases[toy.subject] = described(toy)
        if on_case:
            on_case(toy.subject, number, total)
    write_json(folder / SPLIT_JSON, split)
    write_json(folder / DATASET_JSON, {**told, "complete": True, "cases": cases})
    return Simulated(split, raters, was_there=False)


def planned(case: str, *, settings: SimulateSettings) -> dict[str, list[str]]:
    """Names of the images of each role."""
    if case not in TOY_CASES:
        raise ValueError(f"no toy case {case!r}; there are: {', '.join(TOY_CASES)}")
    split: dict[str, list[str]] = {"train": [], "iid": [], "shifted": []}
    for group in TOY_CASES[case]:
        split[group.role] += [f"{group.name}_{n:03d}" for n in range(max(round(group.n * settings.share), 1))]
    return split


def write_toy(folder: Path, toy: ToyCase, *, made: dict[str, Any]) -> None:
    """Write image, label maps and truth of one image."""
    part = "Tr" if toy.group.role == "train" else "Ts"
    name = f"{toy.subject}.nii.gz"
    write_image(folder / f"images{part}" / f"{toy.subject}_0000.nii.gz", toy.image.values[0], toy.image.geometry)
    write_label_map(folder / f"labels{part}" / name, toy.reference)
    for number, rater in _numbered_raters(toy):
        write_label_map(folder / f"labels{part}_{rater}" / name, toy.labels(number))
    for truth in toy.truth:
        path = folder / f"truth{part}" / f"{toy.subject}_{truth.name}.nii.gz"
        write_scalar_map(path, truth, sidecar={"n_raters": len(toy.masks), "role": toy.group.role, "made_by": made})


def described(toy: ToyCase) -> dict[str, Any]:
    """What an image is, as plain JSON values."""
    told = asdict(toy.group) | asdict(toy.toy)
    kept = ("role", "kind", "sigma", "noise", "grey", "border", "edge", "offset")
    rater = {"labels_of": rater_names(len(toy.masks))[toy.drawn_by]} if toy.group.role == "train" else {}
    return {"group": toy.group.name, **{key: told[key] for key in kept}, **rater}


def _numbered_raters(toy: ToyCase) -> Iterator[tuple[int, str]]:
    if len(toy.masks) > 1:
        yield from enumerate(rater_names(len(toy.masks)))


def _make_room(folder: Path, before: dict[str, Any], made: dict[str, Any], *, overwrite: bool) -> None:
    """Remove another toy case where that was asked for; refuse what is not ours, or what was not to be replaced."""
    foreign = "made_by" not in before and any(folder.glob("images*"))
    if foreign or (before and before["made_by"] != made and not overwrite):
        name = before.get("name", "of another program")
        raise ValueError(f"{folder.name} holds another dataset ({name}); choose a new folder with -o")
    if folder.is_dir():
        remove_leftovers(folder)
    if before and before["made_by"] != made:
        for path in [found for pattern in OWN for found in folder.glob(pattern)]:
            shutil.rmtree(path)


def _nnunet(case: str, n_training: int) -> dict[str, Any]:
    return {
        "name": f"toy case {case}",
        "channel_names": {"0": "intensity"},
        "labels": {"background": 0, "object": 1},
        "numTraining": n_training,
        "file_ending": ".nii.gz",
        "reference": "Kahl et al. 2024 (ValUES), arXiv:2401.08501",
    }
