"""`plausible replan` and `plausible dose --replan` from the command line."""

import json

import nibabel as nib
import numpy as np
import pytest

from tests.cli.program import run

AFFINE = np.diag([6.0, 6.0, 6.0, 1.0])
SHAPE = (30, 26, 9)
POINTS = (np.argwhere(np.ones(SHAPE, dtype=bool)) - (np.array(SHAPE) - 1) / 2).reshape(*SHAPE, 3) * 6
BODY = ((POINTS[..., :2] / [80, 70]) ** 2).sum(axis=-1) < 1
FAST = ("--angles-deg", "0", "--angles-deg", "120", "--angles-deg", "240", "--beamlet-mm", "12", "--dose-mm", "6",
        "--iterations", "8", "--warm-iterations", "5", "-q")  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    told = {"labels": {"background": 0, "PTV_60": 1}, "file_ending": ".nii.gz", "channel_names": {"0": "CT"}}
    for name, radius in (("labels", 20), ("members/a", 17), ("members/b", 24)):
        save(tmp_path / name / "case.nii.gz", ((POINTS**2).sum(axis=-1) <= radius**2).astype(np.uint8))
        (tmp_path / name / "dataset.json").write_text(json.dumps(told))
    save(tmp_path / "images" / "case_0000.nii.gz", np.where(BODY, 0, -1000).astype(np.int16))
    save(tmp_path / "doses" / "case.nii.gz", np.full(SHAPE, 60, dtype=np.float32))
    (tmp_path / "goals.toml").write_text(
        '[[goal]]\nstructure = "PTV_60"\nobjective = "target_dose"\ndose_gy = 60\nweight = 1000\n'
        '[[goal]]\nstructure = "body"\nobjective = "mean_dose"\n'
    )
    return tmp_path


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, AFFINE), path)


def told(folder, verb, *more):
    return (verb, "-i", folder / "members", "-o", folder / "out", "--images", folder / "images", "--references",
            folder / "labels", "--goals", folder / "goals.toml", *more)  # fmt: skip


def test_replan_says_what_the_loop_and_a_fixed_dose_give(folder):
    dry = json.loads(run(*told(folder, "replan", *FAST, "--dry-run", "--json")).stdout)
    assert dry["case"]["plans"] == 3
    assert not (folder / "out").exists()
    found = json.loads(run(*told(folder, "replan", *FAST, "--json")).stdout)
    (line,) = found["lines"]
    assert (found["done"], line["structure"], line["metric"], line["n"]) == (["case"], "PTV_60", "D95%[Gy]", 2)
    assert line["low"] is None  # two contourings have no interval
    again = run(*told(folder, "replan", *FAST)).stdout
    assert "correlation" in again
    assert json.loads(run(*told(folder, "replan", *FAST, "--json")).stdout)["kept"] == ["case"]


def test_a_wrong_goal_ends_with_its_code(folder):
    (folder / "goals.toml").write_text("[[goal]]\n")
    assert "E653" in run(*told(folder, "replan", *FAST), code=4).stderr


def test_dose_replans_where_asked(folder):
    run(*told(folder, "dose", "--dose", folder / "doses", "--replan", "-q"))
    record = json.loads((folder / "out" / "replan" / "case" / "replan.json").read_text())
    assert [plan["id"] for plan in record["plans"]][1:] == ["a", "b"]
    assert (folder / "out" / "case" / "case.json").exists() or (folder / "out" / "run.json").exists()


def test_what_fails_to_be_planned_takes_nothing_from_the_dose(folder):
    goals = folder / "goals.toml"
    goals.write_text(goals.read_text().replace("PTV_60", "GTV"))  # no case has it
    failed = run(*told(folder, "dose", "--dose", folder / "doses", "--replan", "--json", "-q"), code=3)
    content = json.loads(failed.stdout)
    assert [(one["code"], one["subject"]) for one in content["failures"]] == [("E651", "case")]
    assert content["new"] == ["case"]
    for name in ("doses.csv", "constraints.csv", "run.json", "case/dose.json"):
        assert (folder / "out" / name).is_file(), name


def test_a_misspelt_file_of_plans_is_refused_before_any_dose(folder):
    fixed = run(*told(folder, "dose", "--dose", folder / "doses", "--replan", "--fixed-structures", folder / "nowhere"),
                code=4)  # fmt: skip
    assert "E108" in fixed.stderr
    (folder / "goals.toml").write_text("[[goal]]\n")
    assert "E653" in run(*told(folder, "dose", "--dose", folder / "doses", "--replan"), code=4).stderr
    assert not (folder / "out").exists()


def test_options_without_their_switch_are_refused(folder):
    line = ("-i", folder / "members", "-o", folder / "out")
    dose = ("dose", *line, "--dose", folder / "doses")
    assert "--goals belongs to --replan" in run(*dose, "--goals", folder / "goals.toml", code=2).stderr
    both = run(*dose, "--goals", folder / "goals.toml", "--fixed-structures", folder / "doses", code=2)
    assert "--goals and --fixed-structures belong to --replan" in both.stderr
    for option in ("--constraints", "--dose-calibration"):
        assert f"{option} belongs to --dose" in run("assess", *line, option, "head_and_neck", code=2).stderr
    assert not (folder / "out").exists()
