"""Results: what is written is what is read, by us and by others; what is half-written is never taken for done."""

import csv
import json
import math
import platform
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import SCORE_COLUMNS, Classes, Geometry, InvalidInput, LabelMap, Problem, ScalarMap, Score
from plausible.io import (
    finish_case,
    hash_file,
    hash_files,
    is_complete,
    read_failures,
    read_labels,
    read_nifti,
    read_rows,
    read_scalar_map,
    write_case,
    write_failures,
    write_rows,
)


def scalar_map(geometry: Geometry, *, high: float = math.log(3), frames: tuple[str, ...] = ("",)) -> ScalarMap:
    values = np.random.default_rng(3).random((len(frames), *geometry.shape)).astype(np.float32)
    values *= 1.0 if math.isinf(high) else high
    return ScalarMap("predictive_entropy", values, geometry, "nat", (0.0, high), "H(mean p)", frames)


def mean_probability(geometry: Geometry, classes: Classes) -> ScalarMap:
    p = np.random.default_rng(4).random((len(classes.names), *geometry.shape)).astype(np.float32)
    return ScalarMap("mean_probability", p, geometry, "1", (0.0, 1.0), "mean of p", classes.names)


@pytest.mark.parametrize("frames", [("",), ("liver", "kidney")])
@pytest.mark.parametrize("high", [math.log(3), 0.25, 1.0])
def test_a_map_comes_back_within_half_a_step(
    tmp_path: Path, geometry: Geometry, high: float, frames: tuple[str, ...]
) -> None:
    written = scalar_map(geometry, high=high, frames=frames)
    write_case(tmp_path, maps=[written], sidecar={})
    read = read_scalar_map(tmp_path / "predictive_entropy.nii.gz")
    half_a_step = high / 65535 / 2
    assert np.abs(read.values - written.values).max() <= half_a_step * (1 + 1e-9) + high * np.finfo(np.float32).eps
    assert (read.name, read.unit, read.definition, read.frames) == ("predictive_entropy", "nat", "H(mean p)", frames)
    assert read.valid_range == pytest.approx((0, high))
    assert read.geometry.matches(geometry)


def test_the_ends_of_the_valid_range_are_kept(tmp_path: Path, geometry: Geometry) -> None:
    values = np.zeros((1, *geometry.shape), dtype=np.float32)
    values[0, 0, 0, 0] = 1.0
    write_case(tmp_path, maps=[replace(scalar_map(geometry, high=1.0), values=values)], sidecar={})
    read = read_scalar_map(tmp_path / "predictive_entropy.nii.gz").values
    assert np.count_nonzero(read) == 1
    assert read[0, 0, 0, 0] == 1.0


def test_undefined_and_unbounded_maps_are_kept_exactly(tmp_path: Path, geometry: Geometry) -> None:
    undefined, unbounded = scalar_map(geometry), scalar_map(geometry, high=math.inf)
    undefined.values[0, 1, 2, 3] = np.nan
    for written in (undefined, unbounded, replace(undefined, values=np.full_like(undefined.values, np.nan))):
        write_case(tmp_path, maps=[written], sidecar={})
        read = read_scalar_map(tmp_path / "predictive_entropy.nii.gz")
        np.testing.assert_array_equal(read.values, written.values)
        assert read.valid_range[1] == pytest.approx(written.valid_range[1])


def test_simpleitk_reads_the_same_values_and_grid(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    write_case(tmp_path, maps=[scalar_map(geometry), mean_probability(geometry, classes)], sidecar={})
    for name in ("predictive_entropy.nii.gz", "probability.nii.gz"):
        ours, grid = read_nifti(tmp_path / name)
        image = sitk.ReadImage(str(tmp_path / name))
        theirs = sitk.GetArrayFromImage(image).T
        np.testing.assert_allclose(theirs, ours, atol=1e-7)
        np.testing.assert_allclose(image.GetSpacing()[:3], grid.spacing_mm, rtol=1e-6)
        corner = image.TransformIndexToPhysicalPoint((4, 6, 10, 0)[: image.GetDimension()])[:3]
        expected = (grid.affine @ (4, 6, 10, 1))[:3] * (-1, -1, 1)  # ITK counts to the left and back
        np.testing.assert_allclose(corner, expected, atol=1e-4)


def test_the_segmentation_is_kept_and_named(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    values = np.random.default_rng(5).choice([0, 1, 2, 5], size=geometry.shape).astype(np.uint8)
    write_case(tmp_path, maps=[], segmentation=LabelMap(values, geometry, classes), sidecar={"members": ["a", "b"]})
    read, grid = read_labels(tmp_path / "segmentation.nii.gz")
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.uint8
    assert grid.matches(geometry)
    told = json.loads((tmp_path / "segmentation.json").read_text())
    assert told["labels"] == {"0": "background", "1": "liver", "2": "kidney", "5": "spleen"}
    assert told["members"] == ["a", "b"]


def test_the_same_map_gives_the_same_bytes(tmp_path: Path, geometry: Geometry) -> None:
    for run in ("first", "again"):
        write_case(tmp_path / run, maps=[scalar_map(geometry)], sidecar={})
    first, again = (tmp_path / run / "predictive_entropy.nii.gz" for run in ("first", "again"))
    assert first.read_bytes() == again.read_bytes()


def finished(folder: Path, geometry: Geometry, *, key: str) -> None:
    listed = write_case(folder, maps=[scalar_map(geometry)], sidecar={})
    finish_case(folder, {"maps": list(listed), "provenance": {"key": key}})


def test_a_case_is_complete_only_with_its_key_and_all_its_files(tmp_path: Path, geometry: Geometry) -> None:
    assert not is_complete(tmp_path, "k1")
    finished(tmp_path, geometry, key="k1")
    assert is_complete(tmp_path, "k1")
    assert not is_complete(tmp_path, "k2")
    for name in ("predictive_entropy.nii.gz", "predictive_entropy.json"):
        finished(tmp_path, geometry, key="k1")
        (tmp_path / name).unlink()
        assert not is_complete(tmp_path, "k1")
    finished(tmp_path, geometry, key="k1")
    (tmp_path / "case.json").write_text('{"maps": [')
    assert not is_complete(tmp_path, "k1")


def test_a_run_killed_between_maps_and_case_json_leaves_the_case_unfinished(tmp_path: Path, geometry: Geometry) -> None:
    finished(tmp_path, geometry, key="old")
    left = tmp_path / f".tmp-{platform.node()}-{2**22 + 1}-probability.nii.gz"  # no process has that number
    left.write_bytes(b"half")
    write_case(tmp_path, maps=[scalar_map(geometry)], sidecar={})  # another run with other settings, killed here
    assert not is_complete(tmp_path, "old")
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_map_without_its_sidecar_is_refused(tmp_path: Path, geometry: Geometry) -> None:
    write_case(tmp_path, maps=[scalar_map(geometry)], sidecar={})
    (tmp_path / "predictive_entropy.json").unlink()
    with pytest.raises(InvalidInput, match="E305"):
        read_scalar_map(tmp_path / "predictive_entropy.nii.gz")


def test_hash_of_a_file_follows_its_content(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")  # FIPS 180-2, appendix B.1
    assert hash_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path.write_bytes(b"abcd")
    assert hash_files({"x": str(path)})["x"] != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
ROWS = st.lists(
    st.builds(
        Score,
        subject=TEXT,
        measure=TEXT,
        value=st.floats(),
        unit=st.sampled_from(["1", "nat", "ml"]),
        higher_is=st.sampled_from(["better", "worse", "neither"]),
        n=st.integers(0, 10**12),
        structure=TEXT,
        region=TEXT,
        reduction=TEXT,
        against=TEXT,
    ),
    max_size=5,
)


@given(rows=ROWS)
def test_rows_come_back_to_the_last_digit(tmp_path_factory: pytest.TempPathFactory, rows: list[Score]) -> None:
    path = tmp_path_factory.mktemp("rows") / "scores.csv"
    write_rows(path, rows)
    assert [row.to_dict() for row in read_rows(path)] == [row.to_dict() for row in rows]


def test_rows_open_in_a_spreadsheet(tmp_path: Path) -> None:
    row = Score(subject="Müller, A", measure="dice", value=math.nan, unit="1", higher_is="better", n=3)
    write_rows(tmp_path / "scores.csv", [row])
    data = (tmp_path / "scores.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    with (tmp_path / "scores.csv").open(encoding="utf-8-sig", newline="") as file:
        (read,) = csv.DictReader(file)
    assert tuple(read) == SCORE_COLUMNS
    assert read["subject"] == "Müller, A"
    assert read["value"] == ""


def test_a_table_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("subject,measure\na,dice\n")
    with pytest.raises(InvalidInput, match="E305"):
        read_rows(tmp_path / "scores.csv")


def test_failures_come_back(tmp_path: Path) -> None:
    problem = Problem(code="E202", subject="case_a", member="m1", found="5×7×11, not", expected="b", fix="c")
    write_failures(tmp_path / "failures.csv", [("assess", problem)])
    assert read_failures(tmp_path / "failures.csv") == [("assess", problem)]
    assert read_failures(tmp_path / "none.csv") == []
