"""Draws of saved soft predictions: what is drawn from, what is kept, what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.io import read_study
from plausible.runs.draw import draw_case, draw_study, mean_member
from plausible.sample.copula import CopulaSettings, draw_members
from tests.cli.program import contents
from tests.io.folders import label_study
from tests.runs.studies import OnDisk, small_grid, write_study

SETTINGS = CopulaSettings(correlation_mm=3.0)


@pytest.fixture
def soft(geometry, classes, tmp_path) -> OnDisk:
    return write_study(tmp_path / "study", geometry, classes)


def store(soft: OnDisk):
    return soft.root / "draws"


def drawn(study, soft: OnDisk, **changed):
    return draw_study(study, store(soft), **{"samples": 3, "seed": 1, "settings": SETTINGS, **changed})


def test_the_mean_of_the_members_is_drawn_from(soft):
    study = read_study(soft.members)
    done = drawn(study, soft)
    assert done.written == (("case_a", 3), ("case_b", 3), ("case_c", 3))
    members = study.case("case_b").members()
    mean = np.mean([one.probabilities for one in members], axis=0)
    np.testing.assert_allclose(mean_member(members).probabilities, mean, atol=1e-6)
    expected = draw_members(mean_member(members), draws=range(3), seed=1, settings=SETTINGS, subject="case_b")
    again = read_study(store(soft)).case("case_b").members()
    for one, other in zip(again, expected, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert one.hard
        assert (one.info.kind, one.info.method, one.info.seed) == ("draw", "gaussian_field_copula", 1)
    assert again.geometry.matches(members.geometry)


def test_the_store_says_what_its_members_are(soft):
    drawn(read_study(soft.members), soft, settings=CopulaSettings(correlation_mm=np.inf))
    told = json.loads((store(soft) / "members.json").read_text("utf-8"))
    assert told["copula"] == {"correlation_mm": "inf", "coherence": 1.0, "fields": None}
    assert [info["draw"] for info in told["members"]] == [0, 1, 2]
    assert read_study(store(soft)).ensemble == "3 draws of a Gaussian-field copula, correlation length inf mm"


def test_a_rerun_keeps_what_is_there_and_other_settings_do_not(soft):
    study, seen = read_study(soft.members), []
    drawn(study, soft)
    before = contents(store(soft))
    (store(soft) / "draw_1" / "case_b.zarr.zip").unlink()
    done = drawn(study, soft, on_case=lambda *told: seen.append(told))
    assert done.written == (("case_a", 0), ("case_b", 1), ("case_c", 0))
    assert [one[3] for one in seen] == ["kept", "ok", "kept"]
    after = contents(store(soft))
    assert {name for name in before if before[name] != after[name]} <= {"draw_1/case_b.zarr.zip"}
    other = {"settings": CopulaSettings(correlation_mm=4.0)}
    for changed in ({"seed": 2}, {"seed": 2, **other}, {"seed": 2, **other, "overwrite": True}):
        assert [n for _, n in drawn(study, soft, **changed).written] == [3, 3, 3]


def test_soft_draws_keep_the_mean(soft):
    case = read_study(soft.members).case("case_a")
    draw_case(case, store(soft), samples=200, seed=0, settings=CopulaSettings(correlation_mm=1.0, coherence=0.4))
    mean = np.zeros_like(mean_member(case.members()).probabilities)
    for n in range(200):
        (member,) = read_study(store(soft) / f"draw_{n}").case("case_a").members()
        assert not member.hard
        mean += member.probabilities / 200
    assert np.abs(mean - mean_member(case.members()).probabilities).max() < 0.15


def test_a_label_map_alone_is_refused_and_several_that_differ_are_not(geometry, classes, soft):
    grid = small_grid(geometry)
    one, two = np.zeros(grid.shape, int), np.full(grid.shape, 5)
    label_study(soft.root / "alone", {"case_a": [one], "case_b": [one]}, grid, classes)
    done = drawn(read_study(soft.root / "alone"), soft)
    assert [(p.code, p.subject) for p in done.failures] == [("E315", "case_a"), ("E315", "case_b")]
    label_study(soft.root / "several", {"case_a": [one, two]}, grid, classes)
    assert drawn(read_study(soft.root / "several"), soft).written == (("case_a", 3),)
    with pytest.raises(InvalidInput, match="E315"):
        draw_case(read_study(soft.root / "alone").case("case_a"), soft.root / "x", samples=1, seed=0, settings=SETTINGS)


def test_a_store_with_other_members_is_refused(soft):
    study = read_study(soft.members)
    with pytest.raises(ValueError, match="fold_0, fold_1, fold_2"):
        draw_study(study, soft.members, samples=2, seed=0, settings=SETTINGS)
    drawn(study, soft)
    with pytest.raises(ValueError, match="draw_2"):
        drawn(study, soft, samples=2)
    with pytest.raises(ValueError, match="at least 1"):
        drawn(study, soft, samples=0)


def test_a_case_whose_file_went_away_stops_nobody(soft):
    study = read_study(soft.members)
    Path(next(iter(study.case("case_b").files.values()))).unlink()
    done = drawn(study, soft)
    assert [(p.code, p.subject) for p in done.failures] == [("E305", "case_b")]
    assert done.written == (("case_a", 3), ("case_c", 3))
