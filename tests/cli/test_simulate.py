"""`plausible simulate`: its dataset goes through train, predict and evaluate with the lines the verbs suggest."""

import json
import shlex

import pytest

from tests.cli.program import run, told
from tests.train.datasets import TINY_OPTIONS

pytestmark = pytest.mark.usefixtures("quick_pages", "no_cohort_numbers")
LINE = ("--size", 16, "--share", 0.02, "-q")


@pytest.mark.timeout(300)
def test_from_toy_images_to_scores_against_three_raters(tmp_path):
    toy, members = tmp_path / "toy", tmp_path / "members"
    said = run("simulate", "3b", "-o", toy, *LINE).stdout.splitlines()
    assert said[0] == "4 train, 2 iid, 3 shifted images, 3 raters"
    words = shlex.split(said[1].removeprefix("next: plausible ").replace("MODEL", str(tmp_path / "model")))
    run(*words, *TINY_OPTIONS)
    run("predict", tmp_path / "model", "-i", toy / "imagesTs", "-o", members, "--precision", "float32", "-q")
    raters = [word for n in (1, 2, 3) for word in ("--references", f"rater_{n}={toy / f'labelsTs_rater_{n}'}")]
    run("evaluate", "-i", members, "-o", tmp_path / "out", *raters, "-q")
    scored = json.loads((tmp_path / "out" / "iid_blurred_000" / "evaluation.json").read_text("utf-8"))
    assert "rater_3" in json.dumps(scored)


def test_raters_are_ensembles_too(tmp_path):
    run("simulate", "1", "-o", tmp_path / "toy", *LINE)
    line = ("train", tmp_path / "toy", "-o", tmp_path / "model", "--ensemble", "rater", "--dry-run")
    planned = told(*line, *TINY_OPTIONS[:1], 3, *TINY_OPTIONS[2:])
    assert "rater_1" in json.dumps(planned)


def test_a_dry_run_writes_nothing_and_a_rerun_keeps(tmp_path):
    line = ("simulate", "2", "-o", tmp_path / "toy", *LINE)
    assert run(*line, "--dry-run").stdout.startswith("would write 4 train, 1 iid, 3 shifted images to ")
    assert not (tmp_path / "toy").exists()
    first, again = told(*line), told(*line)
    assert (first["was_there"], again["was_there"]) == (False, True)
    assert first["split"] == again["split"] == told(*line, "--dry-run")["split"]
    assert "(there before)" in run(*line).stdout


def test_wrong_cases_and_sizes_are_usage_errors(tmp_path):
    run("simulate", "4", "-o", tmp_path / "toy", code=2)
    run("simulate", "1", "-o", tmp_path / "toy", "--size", 8, code=2)
    run("simulate", "1", "-o", tmp_path / "toy", *LINE)
    assert "another dataset" in run("simulate", "2", "-o", tmp_path / "toy", *LINE, code=2).stderr
