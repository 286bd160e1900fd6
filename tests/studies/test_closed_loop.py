"""The pieces of the study of the closed loop, on made-up matrices and on a pack that looks like the real one."""

import json

import nibabel as nib
import numpy as np
import pytest
from closed_loop import _said, by_size, chosen, prepare

from plausible.dose.plan import PlanMatrix


def matrix(structure, metric, fixed, closed):
    values = np.full((4, 4), 50.0)
    values[0, 1:], values[1:, 0] = fixed, closed
    return PlanMatrix(structure, metric, ("reference", "a", "b", "c"), values)


def test_worse_is_lower_for_a_target_and_higher_for_an_organ():
    found = list(
        _said(
            [
                ("p", matrix("PTV70", "D95%[Gy]", [45, 47, 50], [51, 48, 40])),
                ("q", matrix("PTV70", "D95%[Gy]", [49.5, 52, 50], [50, 50, 48.5])),
                ("p", matrix("SpinalCord", "D0.1cc[Gy]", [52, 49, 53], [50.5, 60, 52])),
            ]
        )
    )[2:]
    assert found == ["| PTV70 D95%[Gy] | 2 | 6 | 2 | 1 | 3 |", "| SpinalCord D0.1cc[Gy] | 1 | 3 | 2 | 1 | 2 |"]


def test_a_target_drawn_too_small_is_counted_where_a_fixed_dose_lets_it_pass():
    one = matrix("PTV70", "D95%[Gy]", [50, 49.5, 46], [44, 48, 50])
    volumes = [100.0, 80.0, 110.0, 120.0]
    record = {
        "subject": "p",
        "plans": [{"id": n, "volumes_ml": {"PTV70": v}} for n, v in zip(one.ids, volumes, strict=True)],
        "metrics": [{"structure": "PTV70", "metric": "D95%[Gy]", "values": one.values.tolist()}],
    }
    (row,) = list(by_size([record]))[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:2] == ["p", "PTV70"]
    assert float(cells[2]) < 0 < float(cells[3])
    assert cells[4:] == ["2", "1"]  # both of the first two miss; only the first is smaller


@pytest.fixture
def pack(tmp_path):
    drawn = ["PTV70", "PTV63", "PTV56", "SpinalCord", "RightParotid", "LeftParotid"]
    stats = {name: {"ml": 60.0} for name in drawn[:3]}
    sliver = {**stats, "PTV63": {"ml": 49.0}}
    cases = [
        {"id": "pt_1", "contoured": drawn[1:], "stats": stats},
        {"id": "pt_2", "contoured": drawn, "stats": stats},
        {"id": "pt_3", "contoured": drawn, "stats": sliver},
        {"id": "pt_4", "contoured": drawn, "stats": stats},
    ]
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (tmp_path / "split.json").write_text(json.dumps({"dev": ["pt_1", "pt_2", "pt_3", "pt_4"]}))
    bits = {"structure_bits": {"PTV70": 2, "PTV63": 1, "PTV56": 0}}
    (tmp_path / "dataset.json").write_text(json.dumps(bits))
    values = np.arange(8, dtype=np.uint16).reshape(2, 2, 2)
    for folder, name in (("labelsTr", "pt_2"), ("imagesTr", "pt_2_0000"), ("structuresTr", "pt_2")):
        (tmp_path / folder).mkdir()
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / folder / f"{name}.nii.gz")
    return tmp_path


def test_patients_have_every_structure_that_is_needed(pack):
    assert chosen(pack, 5) == ["pt_2", "pt_4"]
    assert chosen(pack, 1) == ["pt_2"]


def test_targets_are_taken_from_their_bits(pack, tmp_path):
    inputs = prepare(pack, tmp_path / "inputs", ["pt_2"])
    masks = {name: np.asarray(nib.load(inputs / "fixed" / "pt_2" / f"{name}.nii.gz").dataobj).ravel().tolist()
             for name in ("PTV70", "PTV56")}  # fmt: skip
    assert masks == {"PTV70": [0, 0, 0, 0, 1, 1, 1, 1], "PTV56": [0, 1, 0, 1, 0, 1, 0, 1]}
