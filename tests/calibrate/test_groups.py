from functools import partial

import numpy as np
import pytest

from plausible.calibrate import conformal_quantile, fit_by_group, fit_by_structure, fit_interval, fit_score_bound
from plausible.core import InvalidInput

from .cohorts import WHO, row, rows

FIT = partial(fit_score_bound, alpha=0.2, side="upper", absent="exclude", **WHO)


def sites(n_a: int, n_b: int) -> tuple[list, dict]:
    measured = rows([*np.arange(1.0, n_a + 1), *np.arange(101.0, n_b + 101)], "hd95", unit="mm")
    return measured, {r.subject: "A" if n < n_a else "B" for n, r in enumerate(measured)}


def test_every_group_has_its_own_bound():
    measured, site = sites(20, 9)
    fitted = fit_by_group(FIT, measured, group_of=site, by="site")
    assert fitted["A"].apply("new") == 17
    assert fitted["B"].apply("new") == 108
    assert "made-up patients, site B" in fitted["B"].guarantee.statement
    assert fitted.guarantee.n_patients == 29
    assert fitted.guarantee.population == "made-up patients"
    with pytest.raises(InvalidInput, match="no calibration patient with site 'C'"):
        fitted["C"]


def test_a_group_with_too_few_patients_is_named():
    measured, site = sites(20, 3)
    with pytest.raises(InvalidInput, match="E401") as caught:
        fit_by_group(FIT, measured, group_of=site, by="site")
    assert caught.value.problem.found.startswith("site B: 3 calibration patients")
    with pytest.raises(ValueError, match="1 patients have no site: p0022"):
        fit_by_group(FIT, measured, group_of={s: g for s, g in site.items() if s != "p0022"}, by="site")
    with pytest.raises(ValueError, match="nothing to calibrate"):
        fit_by_group(FIT, [], group_of={}, by="site")


def test_structures_share_no_quantile():
    predicted = [*rows(np.full(9, 10.0)), *rows(np.full(9, 10.0), structure="kidney")]
    true = [
        *rows(10 + np.arange(-4.0, 5.0), "reference"),
        *rows(10 + np.arange(-8.0, 9.0, 2), "reference", structure="kidney"),
    ]
    fitted = fit_by_structure(partial(fit_interval, alpha=0.2, **WHO), predicted, true)
    assert fitted["liver"].apply(row(10.0)).high == 14
    assert fitted["kidney"].apply(row(10.0, structure="kidney")).high == 18
    assert fitted.guarantee.n_patients == 9
    with pytest.raises(ValueError, match="calibrated for"):
        fitted["kidney"].apply(row(10.0))


@pytest.mark.parametrize("rare", [0.1, 0.3])
def test_every_group_is_covered_and_pooling_fails_the_small_one(rare):
    """A large easy site and a small hard one; alpha 0.1."""
    rng = np.random.default_rng(0)
    n_hard = round(rare * 200)
    easy, hard = rng.exponential(1, (4000, 201 - n_hard)), rng.exponential(4, (4000, n_hard + 1))
    pooled = conformal_quantile(np.concatenate([easy[:, :-1], hard[:, :-1]], axis=1), 0.1)
    naive = [np.mean(site[:, -1] <= pooled) for site in (easy, hard)]
    ours = [np.mean(site[:, -1] <= conformal_quantile(site[:, :-1], 0.1)) for site in (easy, hard)]
    assert naive[0] > 0.92
    assert naive[1] < 0.8
    for share, n in zip(ours, (200 - n_hard, n_hard), strict=True):
        assert 0.9 - 4 * 0.3 / np.sqrt(4000) <= share <= 0.9 + 1 / (n + 1) + 4 * 0.3 / np.sqrt(4000)
