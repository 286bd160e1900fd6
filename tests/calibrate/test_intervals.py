import numpy as np
import pytest

from plausible.calibrate import fit_interval, fit_quantile_interval
from plausible.calibrate.intervals import tail_distances
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows

REPEATS = 6000


def errors(n: int, *, bias: float = 0.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(loc=bias, size=(REPEATS, n + 1))


def test_by_hand():
    """Errors -4 ... 4 of 9 patients, alpha 0.2: both ends at the largest of each side."""
    predicted, true = rows(np.full(9, 50.0)), rows(50 + np.arange(-4.0, 5.0), "reference_volume")
    fitted = fit_interval(predicted, true, alpha=0.2, **WHO)
    assert (fitted.below, fitted.above) == (4, 4)
    made = fitted.apply(row(10.0))
    assert (made.low, made.high, made.level, made.subject) == (6, 14, 0.8, "new")
    shared = fit_interval(predicted, true, alpha=0.2, tails="shared", **WHO)
    assert shared.below == shared.above == 4
    shared = fit_interval(predicted, true, alpha=0.4, tails="shared", **WHO)
    assert shared.above == 3  # 6th smallest of 0 1 1 2 2 3 3 4 4


def test_order_of_rows_does_not_matter():
    predicted, true = rows(np.arange(20.0)), rows(np.arange(20.0) ** 1.1, "reference_volume")
    one = fit_interval(predicted, true, alpha=0.2, **WHO)
    assert fit_interval(predicted[::-1], true[3:] + true[:3], alpha=0.2, **WHO) == one


def test_bias_moves_separate_tails_and_widens_shared_ones():
    n, alpha = 200, 0.1
    above = errors(n, bias=3.0, seed=1)
    widths, held = {}, {}
    for tails in ("separate", "shared"):
        low, high = tail_distances(-above[:, :n], above[:, :n], alpha, tails=tails)
        widths[tails] = np.mean(low + high)
        held[tails] = np.mean((-low <= above[:, n]) & (above[:, n] <= high))
    assert widths["separate"] == pytest.approx(3.33, abs=0.02)
    assert widths["shared"] == pytest.approx(8.59, abs=0.02)
    assert held["separate"] == pytest.approx((2 * 191 - 201) / 201, abs=0.016)
    assert held["shared"] == pytest.approx(181 / 201, abs=0.016)


def test_a_shift_leaves_the_width_of_separate_tails():
    above = errors(40)
    widths = [sum(tail_distances(-(above + b), above + b, 0.1, tails="separate")) for b in (0.0, 7.0)]
    np.testing.assert_allclose(widths[0], widths[1], atol=1e-12)


@pytest.mark.parametrize("tails", ["separate", "shared"])
@pytest.mark.parametrize("n", [19, 40])
def test_intervals_hold_the_truth_as_promised(n, tails):
    """Skewed errors whose size follows a known spread."""
    alpha = 0.1
    rng = np.random.default_rng(n)
    spread = rng.lognormal(size=(REPEATS, n + 1))
    error = spread * (rng.gamma(2, size=spread.shape) - 1)
    for scale in (np.ones_like(spread), spread):
        low, high = tail_distances(-(error / scale)[:, :n], (error / scale)[:, :n], alpha, tails=tails)
        last = error[:, n] / scale[:, n]
        rank = int(np.ceil((n + 1) * (1 - alpha / 2)))
        exact = (2 * rank - n - 1) / (n + 1) if tails == "separate" else np.ceil((n + 1) * (1 - alpha)) / (n + 1)
        held = np.mean((-low <= last) & (last <= high))
        assert held == pytest.approx(exact, abs=4 * 0.31 / np.sqrt(REPEATS))
        assert exact >= 1 - alpha - 1e-12


def test_normalised_intervals_follow_the_case():
    """Sure and unsure cases: one width covers the first always and the second seldom, multiples of the spread both."""
    n, alpha = 50, 0.1
    rng = np.random.default_rng(7)
    spread = rng.choice([1.0, 5.0], size=(REPEATS, n + 1))
    error = spread * rng.normal(size=spread.shape)
    held = {}
    for name, scale in (("plain", np.ones_like(spread)), ("normalised", spread)):
        low, high = tail_distances(-(error / scale)[:, :n], (error / scale)[:, :n], alpha, tails="separate")
        last = (error / scale)[:, n]
        inside = (-low <= last) & (last <= high)
        held[name] = [inside[spread[:, n] == s].mean() for s in (1.0, 5.0)]
    assert held["plain"][0] > 0.99
    assert held["plain"][1] < 0.85
    assert held["normalised"] == pytest.approx([0.92, 0.92], abs=0.02)


def test_member_quantiles_alone_do_not_hold_and_are_mended():
    """Members that agree too much: 5 to 95 % of them hold half of the truths; conformalised they hold 9 in 10."""
    n, alpha = 60, 0.1
    rng = np.random.default_rng(8)
    true = rng.normal(size=(REPEATS, n + 1))
    members = true[..., np.newaxis] + rng.normal(size=(REPEATS, n + 1, 1)) + 0.5 * rng.normal(size=(REPEATS, n + 1, 5))
    low, high = np.quantile(members, [0.05, 0.95], axis=2)
    naive = np.mean((low[:, n] <= true[:, n]) & (true[:, n] <= high[:, n]))
    assert naive < 0.6
    for tails, exact in (("shared", 55 / 61), ("separate", (2 * 58 - 61) / 61)):
        below, above = tail_distances((low - true)[:, :n], (true - high)[:, :n], alpha, tails=tails)
        held = np.mean((low[:, n] - below <= true[:, n]) & (true[:, n] <= high[:, n] + above))
        assert held == pytest.approx(exact, abs=4 * 0.31 / np.sqrt(REPEATS))


def test_conformalised_quantiles_by_hand():
    low, high = rows(np.full(19, 40.0), "volume_p05"), rows(np.full(19, 60.0), "volume_p95")
    true = rows(30 + 2 * np.arange(19.0), "reference_volume")  # 30 ... 66
    fitted = fit_quantile_interval(low, high, true, alpha=0.1, **WHO)
    assert (fitted.below, fitted.above) == (10, 6)
    made = fitted.apply(row(20.0, "volume_p05"), upper=row(25.0, "volume_p95"))
    assert (made.low, made.high) == (10, 31)


def test_too_wide_quantiles_are_narrowed_and_never_cross():
    low, high = rows(np.full(19, 0.0), "low"), rows(np.full(19, 100.0), "high")
    true = rows(np.linspace(49, 51, 19), "reference_volume")
    fitted = fit_quantile_interval(low, high, true, alpha=0.1, **WHO)
    assert (fitted.below, fitted.above) == (-49, -49)
    narrow = fitted.apply(row(0.0, "low"), upper=row(10.0, "high"))
    assert narrow.low < narrow.high


def test_values_that_are_impossible_are_left_out():
    predicted, true = rows(np.full(39, 5.0)), rows(np.linspace(0, 10, 39), "reference_volume")
    fitted = fit_interval(predicted, true, alpha=0.1, valid_range=(0.0, np.inf), **WHO)
    assert fitted.apply(row(1.0)).low == 0
    assert fitted.apply(row(100.0)).low > 90


def test_absent_structure_is_a_volume_of_0_and_nan_is_excluded():
    predicted = rows([0.0, *np.full(20, 5.0), np.nan])
    true = rows([0.0, *np.linspace(4, 6, 20), 5.0], "reference_volume")
    fitted = fit_interval(predicted, true, alpha=0.2, **WHO)
    assert fitted.guarantee.n_patients == 21
    assert fitted.guarantee.excluded == ("p0021",)
    assert "only patients in whom the quantity is defined" in fitted.guarantee.statement


def test_spread_of_0_needs_a_floor():
    predicted, true = rows(np.full(20, 5.0)), rows(np.linspace(4, 6, 20), "reference_volume")
    spreads = rows([0.0, *np.ones(19)], "volume_sd")
    with pytest.raises(ValueError, match="1 patients have a spread of 0"):
        fit_interval(predicted, true, spreads=spreads, alpha=0.2, **WHO)
    fitted = fit_interval(predicted, true, spreads=spreads, spread_floor=0.5, alpha=0.2, **WHO)
    new = fitted.apply(row(5.0), spread=row(0.0, "volume_sd"))
    assert new.high - new.low == pytest.approx(0.5 * (fitted.below + fitted.above))


def test_rows_that_do_not_fit_are_refused():
    predicted, true = rows(np.full(20, 5.0)), rows(np.linspace(4, 6, 20), "reference_volume")
    fitted = fit_interval(predicted, true, alpha=0.2, **WHO)
    for wrong in (
        row(5.0, "surface"),
        row(5.0, unit="mm"),
        row(5.0, structure="kidney"),
    ):
        with pytest.raises(ValueError, match="calibrated for"):
            fitted.apply(wrong)
    with pytest.raises(ValueError, match="calibrated for"):
        fitted.apply(row(5.0), spread=row(1.0, "volume_sd"))
    with pytest.raises(ValueError, match="different units"):
        fit_interval(predicted, rows(np.ones(20), unit="mm"), alpha=0.2, **WHO)
    with pytest.raises(ValueError, match="one column only: p0000"):
        fit_interval(predicted, true[1:], alpha=0.2, **WHO)
    with pytest.raises(ValueError, match="come several times"):
        fit_interval(predicted + predicted[:1], true, alpha=0.2, **WHO)
    with pytest.raises(ValueError, match="one structure"):
        fit_interval(predicted[:-1] + rows([5.0], structure="kidney", first=19), true, alpha=0.2, **WHO)
    with pytest.raises(ValueError, match="above the upper"):
        fit_quantile_interval(rows(np.full(20, 7.0)), predicted, true, alpha=0.2, **WHO)


def test_too_few_patients():
    predicted, true = rows(np.full(10, 5.0)), rows(np.linspace(4, 6, 10), "reference_volume")
    with pytest.raises(InvalidInput, match="at least 19") as caught:
        fit_interval(predicted, true, alpha=0.1, **WHO)
    assert "alpha 0.1819 at best" in caught.value.problem.expected
    assert fit_interval(predicted, true, alpha=0.1, tails="shared", **WHO).below == 1
    trivial = fit_interval(predicted, true, alpha=0.1, valid_range=(0.0, np.inf), if_infeasible="trivial", **WHO).apply(
        row(5.0)
    )
    assert (trivial.low, trivial.high) == (0, np.inf)
