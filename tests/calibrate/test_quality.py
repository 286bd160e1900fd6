import numpy as np
import pytest

from plausible.calibrate import fit_quality
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows


def patients(n: int, *, seed: int = 0, noise: float = 0.03) -> tuple[list, list, list]:
    """Dice follows pairwise Dice and falls with entropy."""
    rng = np.random.default_rng(seed)
    agreement, entropy = rng.uniform(0.4, 1, n), rng.uniform(0, 0.5, n)
    dice = np.clip(0.1 + 0.8 * agreement - 0.2 * entropy + noise * rng.normal(size=n), 0, 1)
    return (
        rows(agreement, "pairwise_dice", unit="1", higher_is="better"),
        rows(entropy, "entropy", unit="nat", higher_is="worse"),
        rows(dice, "dice", unit="1", higher_is="better"),
    )


def test_a_line_is_found_again():
    agreement, entropy, dice = patients(60, noise=0.0)
    fitted = fit_quality([agreement, entropy], dice, alpha=0.1, seed=0, valid_range=(0.0, 1.0), **WHO)
    assert fitted.coefficients == pytest.approx((0.1, 0.8, -0.2))
    assert (fitted.below, fitted.above) == (pytest.approx(0, abs=1e-12), pytest.approx(0, abs=1e-12))
    predicted, interval = fitted.apply([row(0.5, "entropy"), row(1.0, "pairwise_dice")])
    assert predicted.value == pytest.approx(0.8)
    assert (predicted.measure, predicted.higher_is, predicted.subject) == ("predicted_dice", "better", "new")
    assert interval.low == pytest.approx(interval.high) == pytest.approx(0.8)
    assert (fitted.n_learnt, fitted.guarantee.n_patients) == (30, 30)
    assert len(fitted.guarantee.subjects) == 60  # learnt on or calibrated on: neither may be assessed


def test_isotonic_follows_the_direction_of_its_rows():
    agreement, entropy, _ = patients(80)
    steps = rows([0.3 if r.value < 0.7 else 0.9 for r in agreement], "dice", unit="1", higher_is="better")
    fitted = fit_quality([agreement], steps, alpha=0.1, seed=1, regression="isotonic", **WHO)
    assert fitted.apply([row(0.1, "pairwise_dice")])[0].value == pytest.approx(0.3)
    assert fitted.apply([row(1.0, "pairwise_dice")])[0].value == pytest.approx(0.9)
    falling = rows([0.9 if r.value < 0.25 else 0.3 for r in entropy], "dice", unit="1", higher_is="better")
    fitted = fit_quality([entropy], falling, alpha=0.1, seed=1, regression="isotonic", **WHO)
    assert fitted.apply([row(0.0, "entropy")])[0].value == pytest.approx(0.9)
    assert fitted.apply([row(0.5, "entropy")])[0].value == pytest.approx(0.3)
    with pytest.raises(ValueError, match="isotonic regression needs one feature"):
        fit_quality([agreement, entropy], steps, alpha=0.1, seed=1, regression="isotonic", **WHO)


@pytest.mark.slow
@pytest.mark.parametrize("regression", ["linear", "isotonic"])
def test_intervals_hold_the_quality_as_promised(regression):
    """300 cohorts of 58 patients (29 learnt on), 40 new patients each."""
    held = []
    for seed in range(300):
        agreement, _, dice = (column for column in patients(98, seed=seed))
        fitted = fit_quality([agreement[:58]], dice[:58], alpha=0.2, seed=seed, regression=regression, **WHO)
        for feature, quality in zip(agreement[58:62], dice[58:62], strict=True):
            _, interval = fitted.apply([feature])
            held.append(interval.low <= quality.value <= interval.high)
    assert np.mean(held) == pytest.approx((2 * 27 - 30) / 30, abs=4 * 0.4 / np.sqrt(300))


def test_the_split_does_not_hang_on_names_and_is_seeded():
    agreement, entropy, dice = patients(40)
    settings = {"alpha": 0.2, **WHO}
    one = fit_quality([agreement, entropy], dice, seed=3, **settings)
    assert fit_quality([agreement, entropy], dice, seed=3, **settings) == one
    assert fit_quality([agreement, entropy], dice, seed=4, **settings) != one


def test_learning_and_calibrating_on_the_same_patients_breaks_the_promise():
    """A regression with many features remembers its patients: residuals on them are too small."""
    rng = np.random.default_rng(5)
    held = []
    for _ in range(300):
        x, y = rng.normal(size=(41, 15)), rng.normal(size=41)
        beta = np.linalg.lstsq(x[:40], y[:40], rcond=None)[0]
        bound = np.sort(np.abs(y[:40] - x[:40] @ beta))[36]
        held.append(abs(y[40] - x[40] @ beta) <= bound)
    assert np.mean(held) < 0.8


def test_what_does_not_fit_is_refused():
    agreement, entropy, dice = patients(40)
    fitted = fit_quality([agreement, entropy], dice, alpha=0.2, seed=0, **WHO)
    for wrong in (
        [row(0.5, "entropy")],
        [row(0.5, "entropy"), row(0.5, "entropy")],
        [row(0.5, "entropy"), row(0.9, "pairwise_dice", subject="other")],
    ):
        with pytest.raises(ValueError, match="needs one row of each"):
            fitted.apply(wrong)
    with pytest.raises(InvalidInput, match="3 patients to learn 2 features on"):
        fit_quality([agreement[:6], entropy[:6]], dice[:6], alpha=0.2, seed=0, **WHO)
    with pytest.raises(InvalidInput, match="at least 39"):
        fit_quality([agreement], dice, alpha=0.05, seed=0, **WHO)
