"""A study shared out to several runs and merged gives what one run gives."""

import json
import shutil

import pytest

from tests.cli.program import contents, records, run, told
from tests.runs.studies import LIMIT, SUBJECTS, OnDisk

pytestmark = pytest.mark.usefixtures("quick_pages")


def results(study: OnDisk) -> tuple[dict, dict, dict]:
    """Tables, maps and records; cohort.json without what made it, run.json not at all."""
    found = records(study.out)
    found["cohort.json"].pop("provenance")
    kept = {name: value for name, value in found.items() if not name.startswith("run")}
    return contents(study.out, ".csv"), contents(study.out, ".nii.gz"), kept


@pytest.mark.parametrize("verb", ["assess", "evaluate"])
def test_three_parts_and_report_give_what_one_part_gives(verb, study, tmp_path):
    limit = LIMIT if verb == "assess" else ()
    shutil.copytree(study.root, tmp_path / "parts")
    shared = OnDisk(tmp_path / "parts")
    run(verb, *study.scored_line, *limit)
    for part in (2, 0, 1):
        done = told(verb, *shared.scored_line, *limit, "--num-parts", 3, "--part-id", part)
        assert done["new"] == [SUBJECTS[part]]
        assert done["cohort"] is None
    assert not (shared.out / "cohort.json").exists()
    assert sorted(path.name for path in shared.out.glob("run*.json")) == ["run.0.json", "run.1.json", "run.2.json"]
    told("report", "-i", shared.out)
    assert results(shared) == results(study)


def test_a_part_says_what_comes_next_and_leaves_the_pages_of_others_alone(study):
    run("assess", *study.line, "--num-parts", 2, "--part-id", 1)
    (study.out / "case_b" / "case.html").unlink()
    done = run("assess", *study.line, "--num-parts", 2, "--part-id", 0)
    assert done.stdout.splitlines()[-1] == f"when all parts are done: plausible report -i {study.out}"
    assert not (study.out / "case_b" / "case.html").exists()
    assert (study.out / "case_a" / "case.html").exists()


def test_a_part_without_cases_is_done_at_once(study):
    for verb in ("assess", "evaluate"):
        assert told(verb, *study.scored_line, "--num-parts", 5, "--part-id", 4)["new"] == []


def test_a_failure_in_one_part_is_on_the_merged_page(study):
    (study.members / "fold_1" / "case_b.npz").write_bytes(b"no zip")
    run("assess", *study.line, "--num-parts", 3, "--part-id", 1, code=4)
    for part in (0, 2):
        run("assess", *study.line, "--num-parts", 3, "--part-id", part)
    done = told("report", "-i", study.out)
    assert (done["cases"], done["failed"]) == (3, 1)
    assert "E305" in (study.out / "failures.csv").read_text("utf-8")


def test_a_whole_run_replaces_the_records_of_parts_and_the_other_way_round(study):
    run("assess", *study.line, "--num-parts", 2, "--part-id", 0)
    run("assess", *study.line)
    assert [path.name for path in study.out.glob("run*.json")] == ["run.json"]
    assert json.loads((study.out / "run.json").read_text("utf-8"))["extra"]["part"] == "0 of 1"
    run("assess", *study.line, "--num-parts", 2, "--part-id", 0)
    assert [path.name for path in study.out.glob("run*.json")] == ["run.0.json"]
