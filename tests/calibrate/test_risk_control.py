import numpy as np
import pytest
from mapie.risk_control import SemanticSegmentationController
from mapie.risk_control.methods import find_best_predict_param, get_r_hat_plus
from scipy import stats

from plausible.calibrate import ThresholdCounts, fit_risk_control, loss_curve
from plausible.calibrate.risk_control import controlled_index
from plausible.core import InvalidInput

from .cohorts import WHO, loss_curves

GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0, np.inf])


def smooth_losses(n_kinds: int = 400, n_thresholds: int = 401, *, seed: int = 0) -> np.ndarray:
    """Missed share of patients of many kinds against the threshold: rising, without jumps worth naming."""
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(1, 8, size=(2, n_kinds, 1))
    return stats.beta.cdf(np.linspace(0, 1, n_thresholds), a, b)


def test_by_hand():
    """Nine patients who miss 0 0 .1 .5 1 1; (9 R + 1) / 10 is .1 .1 .19 .55 1 1."""
    curves = loss_curves(np.tile([0, 0, 0.1, 0.5, 1, 1], (9, 1)), thresholds=GRID)
    for alpha, threshold in ((0.1, 0.25), (0.18, 0.25), (0.19, 0.5), (0.56, 0.75), (0.99, 0.75)):
        fitted = fit_risk_control(curves, alpha=alpha, absent="exclude", **WHO)
        assert fitted.threshold == threshold
    assert fitted.estimates == {"false_negative_rate": pytest.approx(0.5)}
    p = np.array([0.1, 0.25, 0.3, 0.8], np.float32).reshape(4, 1, 1)
    fitted = fit_risk_control(curves, alpha=0.1, absent="exclude", **WHO)
    assert fitted.apply(p, subject="new").ravel().tolist() == [False, True, True, True]


def test_falling_losses_give_the_largest_set():
    curves = loss_curves(np.tile([1, 0.6, 0.1, 0.0, 0, 0], (19, 1)), thresholds=GRID, loss="excess_rate")
    assert fit_risk_control(curves, alpha=0.06, absent="exclude", **WHO).threshold == 0.75
    assert fit_risk_control(curves, alpha=0.15, absent="exclude", **WHO).threshold == 0.5


def test_mapie_agrees():
    rng = np.random.default_rng(1)
    thresholds = np.linspace(0.01, 1, 100)
    for n, alpha in ((30, 0.1), (12, 0.2), (57, 0.05)):
        missed = np.sort(rng.random((n, 100)) * rng.random((n, 1)), axis=1) ** 2
        missed[:, 0] = 0
        _, adjusted = get_r_hat_plus(missed, thresholds, "crc", None, None, None)
        theirs = find_best_predict_param(thresholds, adjusted, np.array([alpha]))
        ours = controlled_index(missed.T, alpha=alpha, bound=1.0, course="rises")
        assert thresholds[ours] == theirs


def test_mapie_agrees_from_images_to_threshold():
    rng = np.random.default_rng(2)
    p = rng.random((25, 1, 12, 14)).astype(np.float32)
    truth = rng.random(p.shape) < p**2
    grid = np.arange(0, 1, 0.01)
    theirs = SemanticSegmentationController(lambda x: x, risk="recall", method="crc", target_level=0.8)
    theirs.calibrate(p, truth.astype(int))
    thresholds = np.concatenate([grid, [1.0, np.inf]])
    curves = []
    for n in range(25):
        counts = ThresholdCounts.of(
            p[n], truth[n], thresholds=thresholds, voxel_volume_ml=1.0, subject=f"p{n}", structure="liver"
        )
        curves.append(loss_curve(counts, loss="false_negative_rate"))
    ours = fit_risk_control(curves, alpha=0.2, absent="exclude", **WHO)
    assert ours.threshold == pytest.approx(theirs.best_predict_param[0])
    assert 0.1 < ours.threshold < 0.9


@pytest.mark.parametrize(("n", "alpha"), [(30, 0.1), (20, 0.2), (99, 0.05)])
def test_risk_is_kept_and_not_by_far(n, alpha):
    """4000 cohorts drawn from 400 kinds of patient, whose mean loss at any threshold is known exactly."""
    losses = smooth_losses()
    rng = np.random.default_rng(n)
    drawn = rng.integers(0, len(losses), (4000, n))
    index = np.array([controlled_index(losses[d].T, alpha=alpha, bound=1.0, course="rises") for d in drawn])
    risk = losses.mean(axis=0)[index]
    error = 4 * risk.std() / np.sqrt(len(risk))
    assert alpha - 2 / (n + 1) - error <= risk.mean() <= alpha + error
    falling = np.array(
        [controlled_index(1 - losses[d].T, alpha=alpha, bound=1.0, course="falls") for d in drawn[:1000]]
    )
    risk = 1 - losses.mean(axis=0)[falling]
    assert alpha - 2 / (n + 1) - 0.01 <= risk.mean() <= alpha + 0.01


def test_the_mean_loss_alone_breaks_the_promise():
    """Picking the threshold whose mean loss on nine patients is at most alpha: no allowance for their number."""
    n, alpha = 9, 0.23
    rng = np.random.default_rng(3)
    jumps = rng.random((6000, n + 1))  # each patient is lost wholly from its own threshold on
    grid = np.linspace(0, 1, 501)
    losses = (grid[:, np.newaxis] >= jumps[:, np.newaxis, :]).astype(float)
    naive = 500 - (losses[..., :n].mean(axis=-1) <= alpha)[:, ::-1].argmax(axis=1)
    ours = controlled_index(losses[..., :n], alpha=alpha, bound=1.0, course="rises")
    of_new = [losses[np.arange(6000), index, n].mean() for index in (naive, ours)]
    assert of_new[0] > alpha + 0.05
    assert alpha - 2 / (n + 1) - 0.02 <= of_new[1] <= alpha + 0.02


def test_too_few_patients_and_infeasible_risks():
    missed = np.tile([0, 0, 0.1, 0.5, 1, 1], (5, 1))
    with pytest.raises(InvalidInput, match="E401") as caught:
        fit_risk_control(loss_curves(missed, thresholds=GRID), alpha=0.1, absent="exclude", **WHO)
    assert "at least 9 patients" in caught.value.problem.expected
    assert "alpha 0.1667 at best" in caught.value.problem.expected
    assert fit_risk_control(loss_curves(missed, thresholds=GRID), alpha=0.1667, absent="exclude", **WHO).threshold
    hard = loss_curves(np.tile([0, 0.9, 0.9, 0.9, 1, 1], (50, 1)), thresholds=GRID)
    with pytest.raises(InvalidInput, match="no set but the whole image"):
        fit_risk_control(hard, alpha=0.1, absent="exclude", **WHO)
    for curves in (hard, loss_curves(missed, thresholds=GRID)):
        trivial = fit_risk_control(curves, alpha=0.1, absent="exclude", if_infeasible="trivial", **WHO)
        assert trivial.threshold == 0
        assert trivial.apply(np.zeros((1, 2, 2), np.float32), subject="new").all()
    excess = loss_curves(np.tile([1, 0.9, 0.9, 0.9, 0.9, 0], (50, 1)), thresholds=GRID, loss="excess_rate")
    trivial = fit_risk_control(excess, alpha=0.1, absent="exclude", if_infeasible="trivial", **WHO)
    assert not trivial.apply(np.ones((1, 2, 2), np.float32), subject="new").any()


def test_what_a_patient_without_the_structure_counts_as():
    """Ten patients who have it, ten who do not. Left out: R of ten; covered: halved; missed: at least a half."""
    has = np.tile([0, 0.05, 0.1, 0.3, 1, 1], (10, 1))
    curves = loss_curves(np.vstack([has, np.full((10, 6), np.nan)]), thresholds=GRID)
    left_out = fit_risk_control(curves, alpha=0.2, absent="exclude", **WHO)
    covered = fit_risk_control(curves, alpha=0.2, absent="covered", **WHO)
    assert (left_out.threshold, left_out.guarantee.n_patients) == (0.5, 10)  # (10 · .1 + 1) / 11 = .18
    assert (covered.threshold, covered.guarantee.n_patients) == (0.75, 20)  # (10 · .3 + 1) / 21 = .19
    assert left_out.guarantee.excluded == tuple(f"p{n:04}" for n in range(10, 20))
    with pytest.raises(InvalidInput, match="E403"):
        fit_risk_control(curves, alpha=0.2, absent="missed", **WHO)


def test_losses_that_neither_rise_nor_fall_are_refused():
    curves = loss_curves(np.tile([0, 0.3, 0.1, 0.5, 1, 1], (9, 1)), thresholds=GRID)
    with pytest.raises(ValueError, match="fit_learn_then_test"):
        fit_risk_control(curves, alpha=0.2, absent="exclude", **WHO)


def test_a_loss_with_another_bound():
    """Millilitres missed, at most 5: alpha 0.5 ml needs 5 / 0.5 - 1 = 9 patients."""
    curves = [
        type(c)(c.subject, c.structure, "missed_ml", c.thresholds, 5 * c.values, 5.0)
        for c in loss_curves(np.tile([0, 0, 0.1, 0.5, 1, 1], (9, 1)), thresholds=GRID)
    ]
    assert fit_risk_control(curves, alpha=0.5, absent="exclude", **WHO).threshold == 0.25
    with pytest.raises(InvalidInput, match="at least 9"):
        fit_risk_control(curves[:8], alpha=0.5, absent="exclude", **WHO)
