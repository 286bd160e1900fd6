"""nnU-Net's raw datasets: what dataset.json says, and which cases have both image and label."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plausible.core import Classes, Geometry, InvalidInput
from plausible.io import read_dataset, read_dataset_json
from plausible.io.raw_dataset import parse_labels
from tests.io.folders import images_and_labels, save_nifti, write_dataset_json


def dataset(root: Path, geometry: Geometry, classes: Classes, *, subjects: tuple[str, ...] = ("a", "b", "c")) -> Path:
    images, labels = images_and_labels(root, geometry, classes, subjects=subjects)
    images.rename(root / "imagesTr")
    labels.rename(root / "labelsTr")
    write_dataset_json(root, classes, channels=("MR",))
    return root


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (
            {"background": 0, "liver": 1, "tumour": 2},
            Classes.exclusive_of({"background": 0, "liver": 1, "tumour": 2}),
        ),
        ({"background": 0, "liver": [1]}, Classes.exclusive_of({"background": 0, "liver": 1})),
        ({"0": "background", "1": "liver"}, Classes.exclusive_of({"background": 0, "liver": 1})),
        ({"background": 0, "liver": 1, "ignore": 2}, Classes.exclusive_of({"background": 0, "liver": 1})),
        (
            {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3},
            Classes.overlapping_of({"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}),
        ),
    ],
)
def test_labels_are_read_as_nnunet_reads_them(labels: dict[str, Any], classes: Classes) -> None:
    assert parse_labels(labels) == classes


def test_overlapping_regions_of_one_value_each_are_told() -> None:
    labels = {"background": 0, "ptv": 1, "bladder": 2}
    assert parse_labels(labels, overlapping=True) == Classes.overlapping_of({"ptv": [1], "bladder": [2]})
    with pytest.raises(ValueError, match="one label value each; ptv has another number"):
        parse_labels({"background": 0, "ptv": [1, 2]}, overlapping=False)


def test_channels_come_by_number(tmp_path: Path) -> None:
    channels = {str(n): f"c{n}" for n in (10, 2, 0, 1, 3, 4, 5, 6, 7, 8, 9)}
    told = {"labels": {"background": 0, "a": 1}, "channel_names": channels, "name": "Brain"}
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    read = read_dataset_json(tmp_path / "dataset.json")
    assert read.channels == tuple(f"c{n}" for n in range(11))
    assert read.name == "Brain"


def test_version_1_calls_channels_modality(tmp_path: Path) -> None:
    told = {"labels": {"0": "background", "1": "a"}, "modality": {"0": "CT"}}
    (tmp_path / "dataset.json").write_text(json.dumps(told))
    assert read_dataset_json(tmp_path / "dataset.json").channels == ("CT",)


@pytest.mark.parametrize(
    "text",
    [
        '{"labels": ',
        "[]",
        "{}",
        '{"labels": {"liver": 1}}',
        '{"labels": {"background": 0, "a": "x"}}',
        '{"labels": {"background": 0, "a": [1, 2]}, "regions_class_order": [1, 2]}',
    ],
)
def test_a_dataset_json_that_cannot_be_read_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(InvalidInput, match="E311"):
        read_dataset_json(tmp_path / "dataset.json")


def test_cases_have_image_and_label(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    study = read_dataset(dataset(tmp_path, geometry, classes))
    assert [case.subject for case in study] == ["a", "b", "c"]
    assert study.problems == ()
    case = study.case("b")
    image, raters = case.image(), case.raters()
    assert image is not None
    assert raters is not None
    assert image.channels == ("MR",)
    (reference,) = raters
    assert reference.hard
    assert reference.info.kind == "rater"
    assert reference.geometry.matches(geometry)
    assert set(case.files) == {"b_0000.nii.gz", "b.nii.gz"}


def test_what_has_no_partner_is_a_problem_and_no_case(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    root = dataset(tmp_path, geometry, classes, subjects=("a", "b", "c", "d_0001"))
    (root / "labelsTr" / "a.nii.gz").unlink()
    (root / "imagesTr" / "b_0000.nii.gz").unlink()
    (root / "imagesTr" / "c_0000.nii.gz").rename(root / "imagesTr" / "c_0000_0000.nii.gz")
    study = read_dataset(root)
    assert [case.subject for case in study] == ["d_0001"]
    assert [(p.code, p.subject) for p in study.problems] == [("E101", "c"), ("E106", "a"), ("E107", "b")]


def test_only_the_subjects_asked_for(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    root = dataset(tmp_path, geometry, classes)
    (root / "labelsTr" / "a.nii.gz").unlink()
    study = read_dataset(root, subjects=["b"])
    assert [case.subject for case in study] == ["b"]
    assert study.problems == ()


def test_a_label_without_a_name_is_told_when_it_is_read(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    root = dataset(tmp_path, geometry, classes)
    save_nifti(root / "labelsTr" / "a.nii.gz", np.full(geometry.shape, 4, np.uint8), geometry)
    with pytest.raises(InvalidInput, match="E303"):
        read_dataset(root).case("a").raters()


@pytest.mark.parametrize("lacking", ["dataset.json", "imagesTr"])
def test_what_is_no_dataset_is_refused(tmp_path: Path, geometry: Geometry, classes: Classes, lacking: str) -> None:
    root = dataset(tmp_path, geometry, classes)
    (root / lacking).rename(root / "elsewhere")
    with pytest.raises(InvalidInput, match="E108"):
        read_dataset(root)
