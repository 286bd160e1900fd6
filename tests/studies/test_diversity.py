"""The pieces of the study on diversity, on a made-up pool."""

import json

import numpy as np
import pytest
from diversity_data import GRID, stores, write_design, write_pool_toml
from diversity_judge import Arm, alone, arms, columns_of, compared, conformal_volume, evidence, told, verdict_on
from diversity_table import markdown

from plausible.diversity import Pool
from plausible.io.study_toml import read_study_toml
from plausible.runs.diversity_case import read_design
from tests.diversity.pools import case_of

IDS = ("deep_0", "deep_1", "dynunet_fold_0_0", "dynunet_fold_1_0", "segresnet_fold_0_0", "ncl_0")
STORES = {"deep": IDS[:2], "dynunet_fold_0": IDS[2:3], "dynunet_fold_1": IDS[3:4], "segresnet_fold_0": IDS[4:5],
          "ncl": IDS[5:]}  # fmt: skip


def pool(n_cases: int, *, start: int = 0) -> Pool:
    return Pool(tuple(case_of(start + n, ids=IDS)[0] for n in range(n_cases)))


@pytest.fixture(scope="module")
def judged():
    test, validation = pool(18), pool(6, start=100)
    return test, {arm.name: arm for arm in arms(test, validation, STORES, IDS[:5], 2)}


def test_every_arm_is_compared_with_as_many_plain_members(judged):
    _, found = judged
    assert {"deep 1", "deep 2", "ncl 1", "mixed folds 2", "mixed networks and folds 2", "greedy 2", "all 5"} <= {*found}
    for arm in found.values():
        if arm.against and not arm.name.startswith("all"):
            assert found[arm.against].n_members == arm.n_members, arm.name
    assert {IDS[n] for n in np.flatnonzero(found["mixed folds 2"].weights)} == {IDS[2], IDS[3]}
    assert {IDS[n] for n in np.flatnonzero(found["mixed networks and folds 2"].weights)} == {IDS[2], IDS[4]}
    assert found["greedy 2"].weights[5] == 0  # what is an arm of its own cannot be chosen


def test_intervals_cover_as_often_as_they_say_and_a_bias_does_not_widen_them(judged):
    test, found = judged
    coverage, width = conformal_volume(test, found["deep 2"].weights)
    assert 0.7 < coverage.mean() < 0.97
    assert (width > 0).all()
    assert coverage.shape == width.shape == (18,)


def test_the_table_has_values_differences_and_verdicts(judged):
    test, found = judged
    lines = []
    for arm in (found["deep 2"], found["greedy 2"]):
        ours = columns_of(test, arm)
        line = {"name": arm.name, "members": arm.n_members, "trainings": arm.trainings, "how": arm.how}
        line["values"] = {name: told(alone(values, seed=0)) for name, values in ours.items()}
        if arm.against:
            theirs = columns_of(test, found["deep 2"])
            line["against"] = arm.against
            line["differences"] = {name: told(compared(v, theirs[name], seed=0)) for name, v in ours.items()}
            line["verdict"] = verdict_on(
                evidence(test, arm), evidence(test, found["deep 2"]), n_arms=1, seed=0
            ).to_dict()
        lines.append(line)
    text = markdown(lines, {}, n_cases=18)
    assert text.count("| greedy 2 |") == 2
    assert lines[1]["verdict"]["decision"] in ("accepted", "rejected", "undecided")
    dice = [line["values"]["dice"]["value"] for line in lines]
    assert lines[1]["differences"]["dice"]["value"] == pytest.approx(dice[1] - dice[0])


def test_the_study_file_of_the_pool_can_be_read(tmp_path):
    for name in ("deep", "dynunet_fold_1", "ncl_+0.5"):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").touch()
        (tmp_path / "members" / name / "member_0").mkdir(parents=True)
        info = {"id": "member_0", "kind": "seed", "seed": 3, "architecture": "DynUNet", "method": ""}
        (tmp_path / "members" / name / "members.json").write_text(json.dumps({"members": [info]}))
    write_pool_toml(tmp_path / "pool.toml", tmp_path, ["deep_0", "dynunet_fold_1_0", "ncl_+0.5_0"])
    found = read_study_toml(tmp_path / "pool.toml").members
    assert list(found) == ["deep_0", "dynunet_fold_1_0", "ncl_+0.5_0"]
    assert (found["deep_0"].info.fold, found["dynunet_fold_1_0"].info.fold) == (None, 1)
    assert GRID.fullmatch("deep") is None
    assert write_design(tmp_path / "design.csv", tmp_path) == ["dynunet_fold_1_0"]
    levels = {"architecture": "dynunet", "fold": "1", "seed": "0"}
    assert read_design(tmp_path / "design.csv") == {"dynunet_fold_1_0": levels}
    assert isinstance(Arm("a", np.ones(1), 1, "", "").n_members, int)


def test_a_copy_of_a_member_goes_by_its_name(tmp_path):
    for name, weights in (("deep", ("a", "b")), ("ncl_0", ("a", "c"))):
        (tmp_path / "models" / name).mkdir(parents=True)
        (tmp_path / "models" / name / "model.json").touch()
        told = {"kind": "seed", "seed": 3, "architecture": "DynUNet", "method": ""}
        infos = [{**told, "id": f"member_{n}", "checkpoint": one} for n, one in enumerate(weights)]
        for info in infos:
            (tmp_path / "members" / name / info["id"]).mkdir(parents=True)
        (tmp_path / "members" / name / "members.json").write_text(json.dumps({"members": infos}))
    assert [list(one) for one in stores(tmp_path).values()] == [["deep_0", "deep_1"], ["deep_0", "ncl_0_1"]]
    write_pool_toml(tmp_path / "pool.toml", tmp_path, ["deep_0", "deep_1", "ncl_0_1"])
    assert list(read_study_toml(tmp_path / "pool.toml").members) == ["deep_0", "deep_1", "ncl_0_1"]
