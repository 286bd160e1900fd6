import numpy as np
import pytest

from plausible.calibrate import fit_score_bound
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows


def test_upper_and_lower_bound_by_hand():
    distances = rows(np.arange(1.0, 20.0), "hd95", unit="mm", higher_is="worse")
    upper = fit_score_bound(distances, alpha=0.1, side="upper", absent="exclude", **WHO)
    assert upper.bound == 18  # the 18th of 19
    assert upper.apply("new") == 18
    assert "at most 18 mm with probability at least 90 %" in upper.guarantee.statement
    overlaps = rows(np.arange(1.0, 20.0) / 20, "dice", unit="1", higher_is="better")
    lower = fit_score_bound(overlaps, alpha=0.1, side="lower", absent="exclude", **WHO)
    assert lower.bound == 2 / 20
    assert lower.holds(row(0.1, "dice"))
    assert not lower.holds(row(0.09, "dice"))
    assert upper.holds(row(18.0, "hd95"))
    assert not upper.holds(row(18.1, "hd95"))


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_what_an_absent_structure_counts_as(side):
    values = [*np.arange(1.0, 18.0), np.nan, np.nan, np.nan]
    measured = rows(values, "hd95", unit="mm", higher_is="worse")
    bounds = {
        absent: fit_score_bound(measured, alpha=0.2, side=side, absent=absent, **WHO)
        for absent in ("exclude", "covered", "missed")
    }
    turned = [r.bound if side == "upper" else 18 - r.bound for r in bounds.values()]
    # 15th of 17; 17th of 20 with three below; 17th of 20 with three above
    assert turned == [15, 14, 17]
    assert [r.guarantee.n_patients for r in bounds.values()] == [17, 20, 20]
    assert bounds["exclude"].guarantee.excluded == ("p0017", "p0018", "p0019")
    assert "counts as missed" in bounds["missed"].guarantee.statement


def test_too_many_missed_structures_are_infeasible_not_a_large_number():
    measured = rows([*np.arange(1.0, 18.0), np.nan, np.nan, np.nan], "hd95", unit="mm", higher_is="worse")
    with pytest.raises(InvalidInput, match="E403") as caught:
        fit_score_bound(measured, alpha=0.1, side="upper", absent="missed", **WHO)
    assert caught.value.problem.found.startswith("3 of 20")
    trivial = fit_score_bound(measured, alpha=0.1, side="upper", absent="missed", if_infeasible="trivial", **WHO)
    assert trivial.bound == np.inf


def test_records_of_many_cohorts_keep_the_promise():
    """The public fit, not only its quantile: 600 cohorts of 9 patients at alpha 0.2."""
    rng = np.random.default_rng(0)
    held = []
    for _ in range(600):
        values = rng.exponential(size=10)
        fitted = fit_score_bound(rows(values[:9], "hd95", unit="mm"), alpha=0.2, side="upper", absent="exclude", **WHO)
        held.append(fitted.holds(row(values[9], "hd95")))
    assert np.mean(held) == pytest.approx(8 / 10, abs=4 * 0.4 / np.sqrt(600))


def test_no_rows():
    with pytest.raises(ValueError, match="no rows"):
        fit_score_bound([], alpha=0.1, side="upper", absent="exclude", **WHO)


def test_hash_knows_the_patients_as_well_as_the_numbers():
    values = np.arange(20.0)
    hashes = {
        fit_score_bound(one, alpha=0.1, side="upper", absent="exclude", **WHO).guarantee.data_hash
        for one in (rows(values), rows(values, first=1), rows(values + 1), rows(values))
    }
    assert len(hashes) == 3
