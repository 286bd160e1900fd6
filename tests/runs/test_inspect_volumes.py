"""Volumes unlike the others': told on a logarithmic scale, and only where there are others to compare with."""

import math
from pathlib import Path

import numpy as np
import pytest

from plausible.runs.inspect import inspect
from plausible.runs.inspect_volumes import unusual_volumes
from tests.io.broken import CLASSES, GRID
from tests.io.folders import save_nifti, write_dataset_json


def cohort(n: int, *, spread: float = 0.2) -> dict[str, dict[str, float]]:
    """Livers around 1500 ml, evenly spread on the logarithmic scale."""
    return {f"s{i}": {"liver": 1500 * math.exp(spread * (i - (n - 1) / 2) / n)} for i in range(n)}


@pytest.mark.parametrize("factor", [1 / 20, 1 / 4, 4, 20])
def test_a_volume_far_from_the_others_is_told_with_them(factor: float) -> None:
    volumes = cohort(9) | {"odd": {"liver": 1500 * factor}}
    (problem,) = unusual_volumes(volumes, rater="anna")
    assert (problem.code, problem.subject, problem.member, problem.severity) == ("E314", "odd", "anna", "warning")
    assert problem.found == f"liver of {1500 * factor:.3g} ml"
    assert "as in the other cases (" in problem.expected


@pytest.mark.parametrize("factor", [0.4, 2.5])
def test_a_patient_of_unusual_size_is_not_told(factor: float) -> None:
    assert unusual_volumes(cohort(9) | {"odd": {"liver": 1500 * factor}}, rater="anna") == []


def test_where_volumes_differ_widely_more_is_usual() -> None:
    volumes = cohort(9, spread=6.0)
    assert unusual_volumes(volumes | {"odd": {"liver": 1500 * 10.0}}, rater="anna") == []
    assert len(unusual_volumes(cohort(9) | {"odd": {"liver": 1500 * 10.0}}, rater="anna")) == 1


def test_few_cases_say_nothing_and_absent_structures_do_not_count() -> None:
    assert unusual_volumes(cohort(6) | {"odd": {"liver": 1e5}}, rater="anna") == []
    assert unusual_volumes(cohort(6) | {"odd": {"liver": 1e5}, "a": {}, "b": {"spleen": 1.0}}, rater="anna") == []


def test_a_wrong_spacing_in_a_dataset_is_told_when_voxels_are_read(tmp_path: Path) -> None:
    write_dataset_json(tmp_path, CLASSES)
    rng = np.random.default_rng(0)
    for n in range(9):
        grid = np.array(GRID.affine)
        grid[:3, :3] *= 10 if n == 4 else 1  # centimetres for millimetres
        save_nifti(tmp_path / "imagesTr" / f"s{n}_0000.nii.gz", rng.random(GRID.shape, np.float32), grid)
        save_nifti(tmp_path / "labelsTr" / f"s{n}.nii.gz", rng.integers(0, 3, GRID.shape).astype(np.uint8), grid)
    assert inspect(tmp_path).problems == ()
    found = inspect(tmp_path, deep=True)
    assert {(p.code, p.subject, p.member) for p in found.problems} == {("E314", "s4", "label")}
    assert [p.found.split()[0] for p in found.problems] == ["liver", "kidney"]
