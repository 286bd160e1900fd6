import numpy as np
import pytest

from plausible.calibrate import betting, certified, fit_learn_then_test, fit_risk_bound, hoeffding_bentkus
from plausible.core import InvalidInput

from .cohorts import WHO, loss_curves
from .test_risk_control import smooth_losses

GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0, np.inf])
TOGETHER = {"false_negative_rate": 0.1, "false_discovery_rate": 0.2}


def two_losses(n: int) -> list:
    missed = np.tile([0, 0.0, 0.02, 0.2, 1, 1], (n, 1))
    false = np.tile([0.9, 0.5, 0.05, 0.02, 0, 0], (n, 1))
    return [
        *loss_curves(missed, thresholds=GRID),
        *loss_curves(false, thresholds=GRID, loss="false_discovery_rate"),
    ]


def test_one_risk_by_hand():
    """60 patients who miss 0 0 .02 .2 1 1: .02 is certified below .1 (p = .02), .2 is not."""
    curves = loss_curves(np.tile([0, 0, 0.02, 0.2, 1, 1], (60, 1)), thresholds=GRID)
    fitted = fit_risk_bound(curves, alpha=0.1, delta=0.1, absent="exclude", **WHO)
    assert fitted.threshold == 0.5
    assert fitted.certified == (0, 0.25, 0.5)
    assert fitted.estimates == {"false_negative_rate": pytest.approx(0.02)}
    assert "with confidence 90 %" in fitted.guarantee.statement
    falling = loss_curves(np.tile([1, 0.5, 0.02, 0, 0, 0], (60, 1)), thresholds=GRID, loss="excess_rate")
    assert fit_risk_bound(falling, alpha=0.1, delta=0.1, absent="exclude", **WHO).threshold == 0.5


@pytest.mark.parametrize("correction", ["fixed_sequence", "fallback", "bonferroni"])
def test_sensitivity_and_precision_together(correction):
    fitted = fit_learn_then_test(
        two_losses(100), targets=TOGETHER, delta=0.1, order=[0.5, 0.75], correction=correction,
        prefer="smallest_set", absent="exclude", **WHO,
    )  # fmt: skip
    assert fitted.threshold == 0.5
    assert fitted.certified == (0.5,)
    assert fitted.targets == TOGETHER
    assert "false negative rate at most 0.1 and the false discovery rate at most 0.2" in fitted.guarantee.statement


def test_preferred_set():
    easy = {"false_negative_rate": 0.4, "false_discovery_rate": 0.7}
    thresholds = {
        prefer: fit_learn_then_test(
            two_losses(200), targets=easy, delta=0.1, order=[0.5, 0.25, 0.75], correction="fixed_sequence",
            prefer=prefer, absent="exclude", **WHO,
        ).threshold
        for prefer in ("largest_set", "smallest_set")
    }  # fmt: skip
    assert thresholds == {"largest_set": 0.25, "smallest_set": 0.75}


def test_infeasible_and_too_few():
    settings = {"delta": 0.1, "absent": "exclude", **WHO}
    pair = {"order": [0.5], "correction": "fixed_sequence", "prefer": "largest_set", **settings}
    with pytest.raises(InvalidInput, match="E401"):
        fit_risk_bound(two_losses(21)[:21], alpha=0.1, **settings)
    with pytest.raises(InvalidInput, match="E401"):
        fit_learn_then_test(two_losses(21), targets=TOGETHER, **pair)
    with pytest.raises(InvalidInput, match="E403"):
        fit_learn_then_test(two_losses(60), targets={**TOGETHER, "false_discovery_rate": 0.04}, **pair)
    hard = loss_curves(np.tile([0, 0.9, 0.9, 0.9, 1, 1], (60, 1)), thresholds=GRID)
    with pytest.raises(InvalidInput, match="E403"):
        fit_risk_bound(hard, alpha=0.1, **settings)
    for curves in (hard, two_losses(5)[:5]):
        assert fit_risk_bound(curves, alpha=0.1, if_infeasible="trivial", **settings).threshold == 0


def test_curves_must_belong_together():
    settings = {
        "delta": 0.1, "order": [0.5], "correction": "bonferroni", "prefer": "largest_set", "absent": "exclude", **WHO,
    }  # fmt: skip
    with pytest.raises(ValueError, match="targets for false_negative_rate"):
        fit_learn_then_test(two_losses(60), targets={"false_negative_rate": 0.1}, **settings)
    with pytest.raises(ValueError, match="every loss needs a curve"):
        fit_learn_then_test(two_losses(60)[:-1], targets=TOGETHER, **settings)
    with pytest.raises(ValueError, match="thresholds to test"):
        fit_learn_then_test(two_losses(60), targets=TOGETHER, **{**settings, "order": []})
    dips = loss_curves(np.tile([0, 0.3, 0.1, 0.2, 1, 1], (60, 1)), thresholds=GRID)
    with pytest.raises(ValueError, match="fit_learn_then_test"):
        fit_risk_bound(dips, alpha=0.1, delta=0.1, absent="exclude", **WHO)


def test_a_patient_without_the_structure_counts_alike_for_every_loss():
    curves = two_losses(60)
    missing = loss_curves(np.full((1, 6), np.nan), thresholds=GRID)[0]
    curves[0] = missing  # p0000 has no structure; its false discoveries are defined
    fitted = fit_learn_then_test(
        curves, targets=TOGETHER, delta=0.1, order=[0.5], correction="fixed_sequence",
        prefer="largest_set", absent="exclude", **WHO,
    )  # fmt: skip
    assert fitted.guarantee.n_patients == 59
    assert fitted.guarantee.excluded == ("p0000",)


@pytest.mark.slow
@pytest.mark.parametrize("p_value", ["hoeffding_bentkus", "betting"])
def test_the_risk_exceeds_alpha_in_delta_of_cohorts_at_most(p_value):
    """400 cohorts of 60 patients from 400 kinds whose mean loss is known, through the public fit."""
    losses = smooth_losses(n_thresholds=104)
    risks = losses.mean(axis=0)
    grid = np.concatenate([np.linspace(0, 1, 103), [np.inf]])
    rng = np.random.default_rng(6)
    alpha, delta = 0.15, 0.2
    reached = []
    for _ in range(400):
        curves = loss_curves(losses[rng.integers(0, 400, 60)], thresholds=grid)
        fitted = fit_risk_bound(curves, alpha=alpha, delta=delta, absent="exclude", p_value=p_value, **WHO)
        reached.append(risks[np.flatnonzero(grid == fitted.threshold)[0]])
    assert np.mean(np.array(reached) > alpha) <= delta
    assert np.mean(reached) > alpha / 3  # and it is not the whole image


def test_no_wrong_threshold_is_certified_for_two_risks():
    """Every threshold breaks one of two targets by little: all but delta of cohorts must come out empty-handed."""
    rng = np.random.default_rng(7)
    missed, false = smooth_losses(n_thresholds=21, seed=1), 1 - smooth_losses(n_thresholds=21, seed=2)
    targets = missed.mean(axis=0)[8] - 0.002, false.mean(axis=0)[7] - 0.002
    assert ((missed.mean(axis=0) > targets[0]) | (false.mean(axis=0) > targets[1])).all()
    places = [8, 7, 9, 6, 10, 5]
    drawn = rng.integers(0, 400, (2000, 40))
    tables = [table[drawn].swapaxes(1, 2)[:, places] for table in (missed, false)]
    for p_value in (hoeffding_bentkus, betting):
        p = np.max([p_value(t, alpha=target, delta=0.1) for t, target in zip(tables, targets, strict=True)], axis=0)
        for correction in ("fixed_sequence", "fallback", "bonferroni"):
            assert certified(p, delta=0.1, correction=correction).any(axis=1).mean() <= 0.1 + 4 * 0.3 / np.sqrt(2000)
    naive = np.all([t.mean(axis=2) <= target for t, target in zip(tables, targets, strict=True)], axis=0)
    assert naive.any(axis=1).mean() > 0.2  # thresholds that look good on the calibration patients
