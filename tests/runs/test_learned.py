"""Learnt from assessed cases and used for others: exact to the stated error, and refused where it is misused."""

import json

import numpy as np
import pytest

from plausible.aggregate.thresholds import RELATIVE_ERROR
from plausible.core import InvalidInput, select
from plausible.io import read_labels, read_rows, read_scalar_map
from plausible.runs.learned import LearnSettings, learn, read_learned, write_learned
from tests.cli.program import run, told
from tests.runs.studies import SUBJECTS

pytestmark = pytest.mark.usefixtures("quick_pages")
FEW = LearnSettings(combined=("predictive_entropy@whole_image:mean",))


def test_thresholds_are_the_quantiles_of_all_maps_together(assessed):
    found = learn(assessed.out, settings=FEW)
    shares, stacked = [], {name: [] for name in FEW.measures}
    for subject in SUBJECTS:
        labels, _ = read_labels(assessed.out / subject / "segmentation.nii.gz")
        shares.append(float((labels == 0).mean()))
        for name, maps in stacked.items():
            maps.append(read_scalar_map(assessed.out / subject / f"{name}.nii.gz").values.ravel())
    assert found.background_share == pytest.approx(np.mean(shares))
    for name, maps in stacked.items():
        exact = np.quantile(np.concatenate(maps), np.mean(shares), method="inverted_cdf")
        assert found.thresholds[name] <= exact <= found.thresholds[name] * (1 + RELATIVE_ERROR) + 1e-12


def test_what_is_read_is_what_was_written(assessed, tmp_path):
    found = learn(assessed.out, settings=FEW)
    write_learned(tmp_path / "learned.json", found)
    again = read_learned(tmp_path / "learned.json")
    assert again.to_dict() == json.loads(json.dumps(found.to_dict()))
    assert len(again.sha256) == 64
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InvalidInput, match="E404"):
        read_learned(tmp_path / "other.json")


def test_the_verbs_from_end_to_end(assessed, tmp_path):
    learned = tmp_path / "learned.json"
    line = ("learn", assessed.out, "-o", learned, "--combined", "predictive_entropy@whole_image:mean", "-q")
    assert told(*line, "--dry-run")["cases"] == sorted(SUBJECTS)
    assert "meta_aggregator" in run(*line).stdout
    content = json.loads(learned.read_text("utf-8"))
    content["subjects"] = ["somebody_else"]  # as if the cases below were others
    learned.write_text(json.dumps(content), encoding="utf-8")
    run("assess", "-i", assessed.members, "-o", tmp_path / "new", "--learned", learned, "-q")
    rows = read_rows(tmp_path / "new" / "scores.csv")
    for name, value in content["thresholds"].items():
        above = [row for row in rows if row.measure == name and row.reduction == f"mean_above_threshold_{value:g}"]
        assert {row.subject for row in above} == set(SUBJECTS)
    surprise = select(rows, measure="meta_aggregator")
    assert len(surprise) == len(SUBJECTS)
    assert {(row.unit, row.higher_is, row.n) for row in surprise} == {("nat", "worse", len(SUBJECTS))}


def test_a_case_that_was_learnt_from_is_refused(assessed, tmp_path):
    run(
        "learn",
        assessed.out,
        "-o",
        tmp_path / "learned.json",
        "--combined",
        "predictive_entropy@whole_image:mean",
        "-q",
    )
    done = run(
        "assess", "-i", assessed.members, "-o", tmp_path / "new", "--learned", tmp_path / "learned.json", "-q", code=4
    )
    assert "E402" in done.stderr


def test_too_few_cases_leave_the_thresholds(assessed):
    found = learn(assessed.out)
    assert found.mixture is None
    assert "too few" in found.refused
    assert set(found.thresholds) == set(LearnSettings().measures)


def test_what_is_missing_is_told(assessed, tmp_path):
    with pytest.raises(InvalidInput, match="E407"):
        learn(assessed.out, settings=LearnSettings(measures=("variance",), combined=()))
    with pytest.raises(InvalidInput, match="E108"):
        learn(tmp_path / "nothing")
    with pytest.raises(ValueError, match="MEASURE@REGION:REDUCTION"):
        _ = LearnSettings(combined=("predictive_entropy",)).keys
    with pytest.raises(ValueError, match="no measure of uncertainty"):
        LearnSettings(measures=("vote_share",))


def test_other_structures_are_refused(assessed, tmp_path):
    found = learn(assessed.out, settings=FEW)
    write_learned(tmp_path / "learned.json", found)
    content = json.loads((tmp_path / "learned.json").read_text("utf-8"))
    content.update(structures=["somewhere"], subjects=[])
    (tmp_path / "learned.json").write_text(json.dumps(content), encoding="utf-8")
    line = ("assess", "-i", assessed.members, "-o", tmp_path / "new", "--learned", tmp_path / "learned.json", "-q")
    assert "E407" in run(*line, code=4).stderr


def test_thresholds_alone_are_not_used_on_the_cases_they_were_learnt_from(assessed, tmp_path):
    run("learn", assessed.out, "-o", tmp_path / "learned.json", "-q")  # too few cases for the mixture
    line = ("assess", "-i", assessed.members, "-o", tmp_path / "new", "--learned", tmp_path / "learned.json", "-q")
    assert "E402" in run(*line, code=4).stderr
