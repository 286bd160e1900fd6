"""Every broken study through the program: the right code, the right error with its fix, and the others' results."""

import json
import warnings

import numpy as np
import pytest

from plausible.core.problems import ProblemWarning
from plausible.io import read_failures, read_scalar_map, read_study
from plausible.measure import voxel_maps
from tests.cli.program import contents, told
from tests.io.broken import BROKEN, SUBJECTS, BrokenStudy

pytestmark = pytest.mark.usefixtures("quick_pages", "no_cohort_numbers")

ONLY_INSPECT = {"copied_case"}
OF_REFERENCES = {"image_without_label", "unknown_label_in_reference"}
EXIT_CODE = {"study": 4, "case": 3, "nothing": 0}


def options(study: BrokenStudy, name: str) -> list[object]:
    images = ["--images", study.images] if study.images else []
    return [*images, *(["--references", study.references] if name in OF_REFERENCES else [])]


def check_results(study: BrokenStudy, out, subjects: set[str]) -> None:
    """The maps of these cases, and of no other, are there and are what the library computes."""
    found = read_study(study.members, images=study.images)
    for subject in sorted(subjects):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ProblemWarning)
            (expected,) = voxel_maps(found.case(subject).members(), ["predictive_entropy"]).values()
        written = read_scalar_map(out / subject / "predictive_entropy.nii.gz")
        assert np.abs(written.values - expected.values).max() <= expected.valid_range[1] / 65535
        assert (out / subject / "case.html").is_file()
    assert {path.parent.name for path in out.glob("*/case.json")} == subjects


def check_inspection(study: BrokenStudy) -> None:
    """Inspect names the problem, and ends as invalid if it would stop a case."""
    options = [*(("--images", study.images) if study.images else ())]
    options += [*(("--references", study.references) if study.references else ())]
    found = told("inspect", "-i", study.members, *options, "--deep", code=4 if study.severity == "error" else 0)
    assert {problem["code"] for problem in found["problems"]} == {study.code}
    assert str(study.members.parent) not in json.dumps(found["problems"])


@pytest.mark.parametrize("name", BROKEN)
def test_inspect_and_assess_name_it_and_assess_does_the_rest(name, tmp_path):
    study = BROKEN[name](tmp_path)
    check_inspection(study)
    out, code = tmp_path / "out", EXIT_CODE[study.stops]
    done = told("assess", "-i", study.members, "-o", out, *options(study, name), "-q", code=code)
    assert str(tmp_path) not in json.dumps([done.get("problem"), done.get("failures"), done.get("problems")])
    if study.stops == "study":
        for problem in [done["problem"]] if "problem" in done else done["failures"]:
            assert (problem["code"], problem["url"]) == (study.code, f"errors/{study.code}")
            assert all(problem[part] for part in ("title", "found", "expected", "fix"))
        assert not list(tmp_path.glob("out/*/case.json"))
        return
    if study.stops == "nothing" and study.severity == "warning" and name not in ONLY_INSPECT:
        assert study.code in {one["code"] for one in done["problems"]}
    of_references = study.stops == "case" and name in OF_REFERENCES
    bad = {study.bad_subject} if study.stops == "case" else set()
    check_results(study, out, set(SUBJECTS) - (set() if of_references else bad))
    listed = read_failures(out / "failures.csv")
    assert {(problem.subject, problem.code) for _, problem in listed} == {(subject, study.code) for subject in bad}
    assert [one["code"] for one in done["failures"]] == [problem.code for _, problem in listed]
    for _, problem in listed:
        assert all((problem.found, problem.expected, problem.fix))
        assert problem.fix in (out / "cohort.html").read_text("utf-8").replace("&#34;", '"').replace("&#39;", "'")
    texts = contents(out, ".json", ".html", ".csv")
    assert [name for name, data in texts.items() if str(tmp_path).encode() in data] == []


def test_a_study_whose_every_case_is_bad_ends_as_invalid(tmp_path):
    study = BROKEN["truncated_npz"](tmp_path)
    for path in study.members.glob("*/*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    done = told("assess", "-i", study.members, "-o", tmp_path / "out", "-q", code=4)
    assert [one["subject"] for one in done["failures"]] == list(SUBJECTS)
    assert "3 of 3 cases could not be done" in (tmp_path / "out" / "cohort.html").read_text("utf-8")
