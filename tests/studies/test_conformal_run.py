"""The study of the conformal family on small members on disk, and again from the curves that were kept."""

import json
import sys

import conformal
import numpy as np
import pytest

from plausible.core import Geometry
from tests.io.folders import images_and_labels, nnunet_study

SUBJECTS = tuple(f"case_{letter}" for letter in "abcdefgh")


@pytest.fixture(scope="module")
def line(geometry, classes, tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    grid = Geometry((7, 5, 3), geometry.affine)
    nnunet_study(root / "members", classes, grid, subjects=SUBJECTS)
    images_and_labels(root, grid, classes, subjects=SUBJECTS)
    (root / "split.json").write_text(json.dumps({"test": SUBJECTS[:7], "train": []}))
    return [
        *("conformal.py", "--members", root / "members", "--references", root / "labels", "--out", root / "out"),
        *("--cases", f"{root / 'split.json'}:test", "--alpha", 0.3, "--repeats", 3, "--calibration", 4, "--few", 1),
        *("--drawn", 1, "--failure", "dice<0.3", "--title", "Made up"),
    ]


def run(line, monkeypatch, *more) -> dict:
    monkeypatch.setattr(sys, "argv", [str(word) for word in (*line, *more)])
    conformal.main()
    out = line[line.index("--out") + 1]
    files = {name: (out / name).read_text(encoding="utf-8") for name in ("results.json", "table.md", "coverage.svg")}
    return {**files, "results.json": json.loads(files["results.json"])}


def test_results_tables_and_plot_are_written_and_curves_kept(line, monkeypatch, capsys):
    first = run(line, monkeypatch)
    assert capsys.readouterr().err.count(": ok") == 7
    found = first["results.json"]
    assert {one["structure"] for one in found} == {"liver", "kidney", "spleen"}
    plain = next(one for one in found if one["method"] == "volume interval, plain, shared tails")
    assert (plain["n_calibration"], plain["n_test"], plain["n_splits"], plain["refused"]) == (4, 3, 3, 0)
    assert plain["expected"] == pytest.approx(4 / 5)
    separate = next(one for one in found if one["method"] == "volume interval, plain, separate tails")
    assert (separate["refused"], separate["why"], separate["achieved"]) == (3, "E401", None)
    assert "Made up: 4 calibration, 3 test patients" in first["coverage.svg"]
    again = run(line, monkeypatch)
    assert capsys.readouterr().err.count(": kept") == 7
    assert again == first


def test_intervals_of_the_members_reach_the_calibration(line, monkeypatch, capsys):
    """They are rows with a reduction of their own, and were once left out."""
    found = run(line, monkeypatch)["results.json"]
    quantiles = [one for one in found if one["method"] == "volume interval, quantiles, shared tails"]
    assert len(quantiles) == 3
    assert all(one["n_splits"] == 3 and np.isfinite(one["size"]) for one in quantiles)


def test_other_patients_to_calibrate_on(line, monkeypatch, capsys):
    root = line[2].parent
    (root / "other.json").write_text(json.dumps({"cal": SUBJECTS[:5], "rest": SUBJECTS[5:]}))
    other = ("--other-members", line[2], "--other-references", line[4], "--other-cases", f"{root / 'other.json'}:cal")
    rest = [f"{root / 'other.json'}:rest" if str(word).endswith(":test") else word for word in line]
    text = run(rest, monkeypatch, *other, "--calibration", 2)["table.md"]
    audit = text.partition("## Calibrated on other patients")[2].partition("\n## ")[0]
    assert "| liver | volume interval, plain, shared tails | 0.3 | ≥ 0.70 |" in audit
