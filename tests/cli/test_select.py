"""`plausible select`: a pool of saved members, chosen on some cases and judged on others."""

import json

import nibabel as nib
import numpy as np
import pytest

from plausible.core import MemberInfo
from plausible.diversity import pool_case
from plausible.io import read_study
from plausible.io.store import write_member, write_members_json
from plausible.runs import select_members
from tests.cli.program import contents, run, told
from tests.diversity.pools import AFFINE, CLASSES, case_of, truth

NOISE = (2.4, 2.2, 0.6, 0.7)
QUICK = ("--resamples", "300", "--margin-mm", "4")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """Four members of twenty cases, of which the last two are much better, and references."""
    root = tmp_path_factory.mktemp("select")
    infos = tuple(MemberInfo(id=f"member_{n}", kind="seed", seed=n) for n in range(4))
    for n in range(20):
        _, members, _ = case_of(n, noise=NOISE, ids=tuple(info.id for info in infos))
        for member in members:
            write_member(root / "members", member, subject=f"s{n:02d}")
        (root / "labels").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(truth(n), AFFINE), root / "labels" / f"s{n:02d}.nii.gz")
    write_members_json(root / "members", infos, classes=CLASSES)
    (root / "split.json").write_text(json.dumps({"dev": [f"s{n:02d}" for n in range(5)], "test": ["s05", "s06"]}))
    return root


def line(pool, out):
    return ("select", pool / "members", "--references", pool / "labels", "-o", out, *QUICK, "-q")


def test_better_members_are_chosen_and_accepted_and_the_next_verb_takes_them(pool, tmp_path):
    out = tmp_path / "out"
    said = run(*line(pool, out), "--members", 2, "--rule", "greedy", "--rule", "stacking").stdout
    assert "greedy: member_2, member_3; test: NLL" in said
    assert "ACCEPTED" in said
    assert "members: mean member not worse" in said
    assert f"next: plausible assess -i {out / 'greedy.toml'} -o OUT" in said
    result = json.loads((out / "selection.json").read_text("utf-8"))
    assert result["accepted"] == "greedy"
    assert result["members"] == ["member_2", "member_3"]
    assert result["baseline"]["members"] == ["member_0", "member_1"]
    assert len(result["selection_cases"]) == len(result["test_cases"]) == 10
    assert not set(result["selection_cases"]) & set(result["test_cases"])
    study = read_study(out / "greedy.toml")
    assert [info.id for info in study.case("s00").members().infos] == ["member_2", "member_3"]
    assert study.case("s00").members().infos[0].seed == 2
    assert (out / "curves.svg").read_text("utf-8").startswith("<svg")
    assert len((out / "curves.csv").read_text("utf-8").splitlines()) == 1 + 6 * 4
    again = tmp_path / "again"
    run(*line(pool, again), "--members", 2, "--rule", "greedy", "--rule", "stacking")
    assert contents(again, ".csv", ".svg") == contents(out, ".csv", ".svg")


def test_members_that_share_a_file_have_no_study_file_and_none_is_promised(pool, tmp_path):
    shared = tmp_path / "all"
    shared.mkdir()
    for case in read_study(pool / "members"):
        labels = np.stack([m.probabilities.argmax(axis=0).astype(np.uint8) for m in case.members()], axis=-1)
        nib.save(nib.Nifti1Image(labels, AFFINE), shared / f"{case.subject}.nii.gz")
    (shared / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "head": 1, "body": 2}}))
    out = tmp_path / "out"
    told_of = ("select", shared, "--last-axis", "member", "--references", pool / "labels", "-o", out, *QUICK, "-q")
    said = run(*told_of, "--members", 2).stdout
    assert "ACCEPTED" in said
    assert "next:" not in said
    assert "greedy is accepted; members that share a file" in said
    assert list(out.glob("*.toml")) == []


def test_told_cases_are_kept_apart_and_json_says_it_all(pool, tmp_path):
    split = pool / "split.json"
    more = ("--selection-cases", f"{split}:dev", "--test-cases", f"{split}:test")
    found = told(*line(pool, tmp_path / "out"), *more, "--members", 2, "--prune-tolerance", 9, "--flag-below", 0.9)
    assert found["selection_cases"] == [f"s{n:02d}" for n in range(5)]
    assert found["test_cases"] == ["s05", "s06"]
    assert len(found["pruned"]["members"]) == 1
    assert found["early_stopping"][0]["rule"] == "all members"
    assert {one["score"] for one in found["extrapolation"]} == {
        "negative_log_likelihood", "brier_score", "volume_crps"
    }  # fmt: skip
    assert found["rules"][0]["verdict"]["lines"][0]["condition"] == "members"


def test_an_undefined_number_is_null_on_the_screen_and_in_the_file(pool, tmp_path, monkeypatch):
    monkeypatch.setattr("plausible.runs.select_members.scored", lambda *asked: float("nan"))
    found = told(*line(pool, tmp_path / "out"), "--members", 2)
    assert found["rules"][0]["test"]["silent_failure_rate"] is None
    assert json.loads((tmp_path / "out" / "selection.json").read_text("utf-8"))["rules"] == found["rules"]


def test_all_members_can_be_the_baseline_and_nothing_may_be_accepted(pool, tmp_path):
    said = run(*line(pool, tmp_path / "out"), "--members", 4, "--baseline", "all", "--rule", "random_members").stdout
    assert "UNDECIDED" in said
    assert "nothing was accepted: stay with member_0, member_1, member_2, member_3" in said


def test_dry_run_says_what_and_writes_nothing(pool, tmp_path):
    out = tmp_path / "out"
    said = run(*line(pool, out), "--dry-run", "--selection-cases", f"{pool / 'split.json'}:dev").stdout
    assert "would choose on 5 cases and judge on 15" in said
    assert not out.exists()


@pytest.mark.parametrize(
    ("more", "code", "part"),
    [
        (("--members", "9"), 4, "E412"),
        (("--test-cases", "SPLIT:dev", "--selection-cases", "SPLIT:dev"), 4, "E414"),
        (("--test-cases", "SPLIT:none"), 2, "KeyError"),
        (("--selection-cases", "SPLIT"), 2, "no list of cases"),
        (("--rule", "best"), 2, "no selection rule"),
        (("--score", "dice"), 2, "no pool score"),
        (("--resamples", "3"), 2, "at least 100 resamples"),
    ],
)
def test_what_makes_no_sense_is_refused(pool, tmp_path, more, code, part):
    options = [one.replace("SPLIT", str(pool / "split.json")) for one in more]
    done = run(*line(pool, tmp_path / "out"), *options, code=code)
    assert part in done.stderr


def test_a_study_without_references_cannot_be_chosen_on(pool, tmp_path):
    done = run("select", pool / "members", "-o", tmp_path / "out", "-q", code=4)
    assert "E416" in done.stderr


def test_a_damaged_case_is_written_down_and_the_others_go_on(pool, tmp_path):
    import shutil

    shutil.copytree(pool / "members", tmp_path / "members")
    (tmp_path / "members" / "member_1" / "s03.zarr.zip").write_bytes(b"no store")
    more = ("select", tmp_path / "members", "--references", pool / "labels", "-o", tmp_path / "out", *QUICK, "-q")
    found = told(*more, "--members", 2, code=3)
    assert "s03" not in {*found["selection_cases"], *found["test_cases"]}
    assert "E305" in (tmp_path / "out" / "failures.csv").read_text("utf-8")
    assert np.isfinite(found["baseline"]["test"]["brier_score"])


def test_a_case_that_cannot_be_read_stops_nobody(pool, tmp_path, monkeypatch):
    def reading(members, raters, **settings):
        if members.subject == "s07":
            raise PermissionError(13, "denied", "member_0/s07.zarr.zip")
        return pool_case(members, raters, **settings)

    monkeypatch.setattr(select_members, "pool_case", reading)
    failed = run(*line(pool, tmp_path / "out"), "--members", 2, "--rule", "greedy", code=3)
    assert "E305" in failed.stderr
    assert "s07" in failed.stderr
    result = json.loads((tmp_path / "out" / "selection.json").read_text("utf-8"))
    assert len(result["selection_cases"]) + len(result["test_cases"]) == 19
