"""The pieces of the study on raters, by hand."""

import nibabel as nib
import numpy as np
import pytest
from rater_axis import COLUMNS, STYLES, areas, calibration_error, judged, shares, table

from plausible.core import Geometry

GRID = Geometry((4, 5, 1), np.diag([0.7, 0.7, 5.0, 1.0]))


def disc(size: int) -> np.ndarray:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[0, :size] = 1
    return mask


def soft(p: float) -> np.ndarray:
    return np.stack([np.full(GRID.shape, 1 - p), np.full(GRID.shape, p)]).astype(np.float32)


def test_calibration_is_against_every_reader():
    mean = np.full(GRID.shape, 0.8)
    readers = [np.ones(GRID.shape, np.uint8)] * 3 + [np.zeros(GRID.shape, np.uint8)]
    assert calibration_error(mean, readers) == pytest.approx(0.8 - 3 / 4)
    assert calibration_error(1 - mean, readers) == pytest.approx(0.8 - 1 / 4)


@pytest.mark.parametrize("constant", ["style", "seed"])
def test_the_area_varies_by_what_the_members_differ_in(constant):
    of_style, of_seed = np.array([10, 20, 40, 50]), np.array([0, 7])
    if constant == "style":
        of_style[:] = 10
    else:
        of_seed[:] = 0
    rows = [{"area_px": [int(k * (of_style[m % 4] + of_seed[m // 4])) for m in range(8)]} for k in (1, 2)]
    found = shares(rows)
    assert found.pop("seed" if constant == "style" else "style") == pytest.approx(1)
    assert list(found.values()) == pytest.approx([0, 0])


def test_areas_are_means_by_style_over_nodules(tmp_path):
    for k, nodule in enumerate(("n0", "n1"), start=1):
        for n, style in enumerate(STYLES, start=1):
            folder = tmp_path / f"labelsTr_{style}"
            folder.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(disc(n if k == 1 else n + 2), np.eye(4)), folder / f"{nodule}.nii.gz")
    rows = [{"arm": "styles", "nodule": f"n{k}", "area_px": [10 * k + m for m in range(8)]} for k in range(2)]
    text = areas([*rows, {"arm": "seeds", "nodule": "n0", "area_px": [0] * 8}], tmp_path)
    assert text.endswith("seed 0: 5, 6, 7, 8; seed 1: 9, 10, 11, 12; readers: 2, 3, 4, 4")


def test_the_table_has_every_arm_and_no_areas():
    readers = [disc(n) for n in range(1, 1 + len(STYLES))]
    rows = []
    for arm, p in zip(COLUMNS, (0.6, 0.65, 0.7, 0.8), strict=True):
        for n in range(3):
            told = judged([soft(p), soft(p - 0.3)], readers, GRID)
            rows.append({"arm": arm, "nodule": f"n{n}", "patient": f"p{n}", **told})
    text = table(rows, COLUMNS, seed=0)
    assert "| ECE | " in text
    assert "area" not in text
    assert text.splitlines()[0].endswith("| seeds | two seeds | styles | random |")
    assert table(rows, COLUMNS[1:3], seed=0).splitlines()[0].endswith("| two seeds | styles |")
