"""The samplers' study: artefacts that keep the anatomy, and tables that say what the scores say."""

import json
from dataclasses import replace

import numpy as np
import pytest
import samplers
from samplers_shifts import SHIFTS, shifted
from samplers_table import tables

from plausible.core import Geometry, Image
from plausible.sample import Sampling

SHAPE = (15, 17, 19)


def ball() -> Image:
    grid = np.indices(SHAPE) - np.array([7, 8, 9])[:, None, None, None]
    values = 100 + 80 * ((grid**2).sum(axis=0) < 25)
    return Image(values[None].astype(np.float32), Geometry(SHAPE, np.eye(4)), ("MR",))


@pytest.mark.parametrize("number", range(len(SHIFTS)))
def test_an_artefact_changes_the_image_and_is_the_same_each_time(number):
    image = ball()
    changed, name = shifted(image, number)
    again, _ = shifted(image, number)
    assert name == SHIFTS[number].__name__
    assert changed.values.shape == image.values.shape
    assert np.isfinite(changed.values).all()
    np.testing.assert_array_equal(changed.values, again.values)
    assert np.abs(changed.values - image.values).std() > 0.02 * image.values.std()
    assert np.corrcoef(changed.values.ravel(), image.values.ravel())[0, 1] > 0.3


def test_every_arm_has_a_training_and_every_training_settings_that_exist():
    assert {arm.training for arm in samplers.ARMS.values()} == set(samplers.TRAININGS)
    assert set(samplers.REFERENCES) <= set(samplers.ARMS)
    for told in samplers.TRAININGS.values():
        settings = replace(samplers.NETWORK, iterations=round(1500 * told["share"]), **told["settings"])
        assert told["members"] * settings.iterations <= 1500 or told["share"] == 1.0
    assert all(isinstance(arm.sampling, Sampling) for arm in samplers.ARMS.values())


def write_scores(out, arm: str, *, shift: float, seed: int = 0, n: int = 12, members: int = 5) -> None:
    """Dice falls from 0.9 with the case; confidence orders the cases rightly; shifted images have twice the entropy."""
    folder = out / "scores" / f"seed_{seed}" / arm.replace(" ", "_")
    for kind, factor in (("iid", 1.0), ("shifted", 2.0)):
        (folder / kind).mkdir(parents=True)
        for case in range(n):
            entropy = factor * (0.1 + 0.001 * case)
            row = {
                "subject": f"case_{case:02d}",
                "artefact": "",
                "members": members,
                "seconds": 1.0,
                "cpu_seconds": 2.0,
                "Dice": 0.9 - 0.01 * case + shift,
                **dict.fromkeys(("NSD", "NLL", "Brier", "ECE"), 0.5),
                "agreement": 1 - 0.01 * case if members > 1 else None,
                "entropy": entropy,
                "information": entropy if members > 1 else None,
                "image entropy": entropy,
            }
            (folder / kind / f"case_{case:02d}.json").write_text(json.dumps(row))
    (folder / "memory.json").write_text(json.dumps({"peak_mb": 700.0}))
    model = out / "models" / f"seed_{seed}" / arm
    model.mkdir(parents=True)
    records = [{"cpu_minutes": 2.0, "minutes": 9.0}] * 3
    (model / "model.json").write_text(json.dumps({"members": records}))


def test_tables_show_means_differences_order_and_cost(tmp_path):
    write_scores(tmp_path, "deep", shift=0.0)
    write_scores(tmp_path, "worse", shift=-0.05, members=1)
    shown = tables(
        tmp_path, ["worse", "deep", "absent"], ["deep"], {"worse": ("worse", 1), "deep": ("deep", 0)}, seed=0
    )
    assert "absent" not in shown
    rows = [line for line in shown.splitlines() if line.startswith("| worse")]
    assert "| 1 | 0.7950 (-0.0500; -0.0500 to -0.0500)" in rows[0]
    assert "| - |" in rows[0]
    risks = 0.1 + 0.01 * np.arange(12)
    kept = np.cumsum(risks) / np.arange(1, 13)
    expected = (kept[0] + ((kept[1:] + kept[:-1]) / 2).sum()) / 12
    deep = next(line for line in shown.splitlines() if line.startswith("| deep"))
    assert float(deep.split("|")[8]) == pytest.approx(expected, abs=1e-4)
    auroc = next(line for line in shown.splitlines() if line.startswith("| deep | 1.000"))
    assert auroc.count("1.000 (1.000 to 1.000)") == 2
    assert "| worse | 1 | 2.0 | 2.00 | 700 |" in shown
    assert "| deep | 5 | 6.0 | 2.00 | 700 |" in shown


def test_tables_take_the_seeds_together(tmp_path):
    write_scores(tmp_path, "deep", shift=0.0)
    write_scores(tmp_path, "deep", shift=-0.02, seed=1)
    shown = tables(tmp_path, ["deep"], ["deep"], {"deep": ("deep", 0)}, seed=0)
    assert "| deep | 2 | 0.8350 |" in shown


def test_differences_take_the_seeds_that_both_have(tmp_path):
    for seed, shift in ((0, 0.0), (1, -0.2)):
        write_scores(tmp_path, "deep", shift=shift, seed=seed)
    write_scores(tmp_path, "worse", shift=-0.05)
    shown = tables(tmp_path, ["worse", "deep"], ["deep"], {"worse": ("worse", 0), "deep": ("deep", 0)}, seed=0)
    assert "| worse | 1 | 0.7950 (-0.0500; -0.0500 to -0.0500)" in shown
    with pytest.raises(ValueError, match="absent: the others are compared"):
        tables(tmp_path, ["deep", "absent"], ["absent"], {"deep": ("deep", 0)}, seed=0)


def test_a_case_without_a_prediction_is_the_least_confident(tmp_path):
    write_scores(tmp_path, "deep", shift=0.0)
    for arm, lost in (("first", 0), ("last", 11)):
        write_scores(tmp_path, arm, shift=0.0)
        path = tmp_path / "scores/seed_0" / arm / f"iid/case_{lost:02d}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "agreement": None, "entropy": None}))
    trainings = {arm: (arm, 0) for arm in ("deep", "first", "last")}
    shown = tables(tmp_path, list(trainings), ["deep"], trainings, seed=0)
    rows = {arm: next(line for line in shown.splitlines() if line.startswith(f"| {arm} |")) for arm in trainings}
    aurc = {arm: float(row.split("|")[8].split()[0]) for arm, row in rows.items()}
    assert aurc["last"] == aurc["deep"]  # the worst case was the least confident already
    assert aurc["first"] > aurc["deep"]
