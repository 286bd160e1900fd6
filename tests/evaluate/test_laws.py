"""Laws of every score of `plausible.evaluate`: damage never pays, nothing is undefined, names and order are free."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import Catalogue, Entry
from plausible.evaluate import (
    ACQUISITION_SCORES,
    DETECTION_SCORES,
    RISK_COVERAGE_SCORES,
    SURFACE_SCORES,
    VOLUME_FORECAST_SCORES,
    VolumeForecast,
    acquisition,
    risk_coverage,
    surface_distances,
)
from plausible.evaluate.detection import detection
from tests.evaluate.ladders import LADDERS, NO_SCORES, STEPS, catalogues, climb, masks, scores
from tests.evaluate.shapes import SPACING

EVERY_SCORE = pytest.mark.parametrize(
    ("kind", "entry"), [pytest.param(kind, entry, id=f"{kind}: {entry.name}") for kind, entry in scores()]
)
BLIND = {
    "inter_rater_dice": "looks at the raters alone",
    "dissensus_share": "looks at the raters alone",
    "brier_uncertainty": "looks at the truth alone",
    "brier_within_bins": "sure probabilities do not differ within a bin",
}
OF_NOTHING = {
    "lesion_false_positives": 0,
    "thresholded_dice": 1,  # this and the next four as their protocols have it
    "filtered_dice_area": 1,
    "filtered_positives_area": 0,
    "filtered_negatives_area": 0,
    "qu_brats_score": 1,
}


def loss(entry: Entry, value: float) -> float:
    """Lower is better; a score without direction is best at 0."""
    return {"better": -value, "worse": value, "neither": abs(value)}[entry.higher_is]


def test_every_catalogue_has_a_ladder_or_a_reason():
    found = set(catalogues())
    missing = found - set(LADDERS) - set(NO_SCORES)
    assert not missing, f"add a ladder for {missing} to tests/evaluate/ladders.py, or a reason to NO_SCORES"
    assert not set(LADDERS) - found, "ladders of catalogues that are gone"
    assert {entry.name for _, entry in scores()} >= set(BLIND) | set(OF_NOTHING), "exceptions of scores that are gone"


def test_a_catalogue_without_a_ladder_says_what_to_do():
    _, entry = next(scores())
    with pytest.raises(AssertionError, match="'new score': add one to LADDERS"):
        climb("new score", entry)


@EVERY_SCORE
def test_damage_never_pays(kind, entry):
    values = [loss(entry, climb(kind, entry)(step)) for step in range(STEPS + 1)]
    assert np.isfinite(values).all()
    assert (np.diff(values) >= -1e-9).all(), values
    assert (values[-1] > values[0] + 1e-6) == (entry.name not in BLIND), values


@EVERY_SCORE
def test_nothing_to_score_is_undefined(kind, entry):
    value = climb(kind, entry)(None)
    assert value == OF_NOTHING[entry.name] if entry.name in OF_NOTHING else math.isnan(value)


COHORTS: tuple[tuple[Catalogue, object], ...] = (
    (RISK_COVERAGE_SCORES, lambda unsure, risk: risk_coverage(-unsure, risk)),
    (DETECTION_SCORES, lambda unsure, risk: detection(unsure, risk > 0.5)),
    (ACQUISITION_SCORES, acquisition),
)
OF_A_COHORT = [pytest.param(entry, made, id=entry.name) for catalogue, made in COHORTS for entry in catalogue]


@pytest.mark.parametrize(("entry", "made"), OF_A_COHORT)
@given(seed=st.integers(0, 999), n_levels=st.integers(1, 6))
def test_the_order_of_cases_and_the_scale_of_uncertainty_do_not_matter(entry, made, seed, n_levels):
    rng = np.random.default_rng(seed)
    unsure, risk = rng.integers(0, n_levels, 20).astype(float), rng.random(20)
    order = rng.permutation(20)
    value = entry.function(made(unsure, risk))
    assert entry.function(made(unsure[order], risk[order])) == pytest.approx(value, abs=1e-12, nan_ok=True)
    assert entry.function(made(np.exp(unsure) * 7, risk)) == pytest.approx(value, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("entry", "made"), OF_A_COHORT)
@given(seed=st.integers(0, 999))
def test_an_undefined_case_is_as_if_it_were_not_there(entry, made, seed):
    rng = np.random.default_rng(seed)
    unsure, risk = rng.random((2, 12))
    with_gap = np.append(unsure, np.nan), np.append(risk, 0.9)
    assert entry.function(made(*with_gap)) == pytest.approx(entry.function(made(unsure, risk)), nan_ok=True)


@pytest.mark.parametrize("entry", SURFACE_SCORES, ids=lambda entry: entry.name)
@pytest.mark.parametrize("step", [1, 4])
def test_distances_scale_with_the_spacing(entry, step):
    def value(times: float) -> float:
        told = {"tolerance_mm": 1.2 * times} if entry.unit == "1" else {}
        spacing = tuple(times * side for side in SPACING)
        return entry.function(surface_distances(*masks(step), spacing_mm=spacing), **told)

    assert value(2.5) == pytest.approx(value(1) * (2.5 if entry.unit == "mm" else 1), rel=1e-5)


@pytest.mark.parametrize("entry", VOLUME_FORECAST_SCORES, ids=lambda entry: entry.name)
@given(seed=st.integers(0, 99))
def test_volumes_know_neither_order_nor_unit(entry, seed):
    rng = np.random.default_rng(seed)
    members, raters = rng.uniform(5, 15, (4, 2)), rng.uniform(8, 12, (3, 2))

    def value(members: np.ndarray, raters: np.ndarray) -> np.ndarray:
        return entry.function(VolumeForecast(("liver", "kidney"), members, members.mean(axis=0), raters))

    first = value(members, raters)
    np.testing.assert_allclose(value(members[::-1].copy(), raters[[2, 0, 1]]), first, rtol=1e-9)
    np.testing.assert_allclose(value(members[:, ::-1].copy(), raters[:, ::-1].copy())[::-1], first, rtol=1e-9)
    np.testing.assert_allclose(value(1000 * members, 1000 * raters), 1000 * first, rtol=1e-6)
