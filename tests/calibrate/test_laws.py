"""What holds for every way to calibrate: a promise in words, JSON and back, and no patient of its own."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest

from plausible.calibrate import (
    CALIBRATIONS,
    Calibration,
    fit_by_group,
    fit_by_structure,
    fit_constraint_pass,
    fit_dvh_band,
    fit_failure_flag,
    fit_interval,
    fit_lamp,
    fit_learn_then_test,
    fit_margin,
    fit_novelty,
    fit_quality,
    fit_quantile_interval,
    fit_rater_interval,
    fit_risk_bound,
    fit_risk_control,
    fit_sample_set,
    fit_score_bound,
    fit_weighted_bound,
)
from plausible.core import InvalidInput

from .cohorts import WHO, dvh_curves, loss_curves, margin_curves, row, rows, sample_set_curves, two_members

N = 60
RNG = np.random.default_rng(0)
VALUES = RNG.gamma(2, size=N) + 5
TRUE = rows(VALUES + RNG.normal(size=N), "reference_volume")
PREDICTED = rows(VALUES)
SPREADS = rows(np.ones(N), "volume_sd")
QUALITY = rows(1 - VALUES / 60, "dice", unit="1", higher_is="better")
AGREEMENT = rows(1 - VALUES / 50, "pairwise_dice", unit="1", higher_is="better")
GRID = np.array([0.0, 0.25, 0.5, 0.75, 1.0, np.inf])
MISSED = loss_curves(np.tile([0, 0.0, 0.01, 0.2, 1, 1], (N, 1)), thresholds=GRID)
FALSE = loss_curves(np.tile([1, 0.3, 0.01, 0, 0, 0], (N, 1)), thresholds=GRID, loss="false_discovery_rate")
WEIGHTS = {r.subject: 1.0 for r in PREDICTED}
P = np.full((2, 3, 4), 0.6, np.float32)
MASK = np.ones((2, 3, 4), bool)
SPACING = (1.0, 1.0, 3.0)
BOUND = partial(fit_score_bound, alpha=0.1, side="upper", absent="exclude", **WHO)


class Example(NamedTuple):
    """A fit with its settings, and how to apply its record to a patient."""

    fit: Callable[..., Calibration]
    data: tuple[Any, ...]
    apply: Callable[[Any, str], Any]


def few(fit: Callable[..., Calibration], data: tuple[Any, ...], n: int) -> Calibration:
    """Fit on the first n patients, whatever the data are."""
    kept = {f"p{number:04}" for number in range(n)}

    def cut(part: Any) -> Any:
        return part if not hasattr(part[0], "subject") else [one for one in part if one.subject in kept]

    return fit(*([cut(one) for one in part] if isinstance(part[0], list) else cut(part) for part in data))


EXAMPLES = {
    "fit_score_bound": Example(BOUND, (PREDICTED,), lambda r, s: r.apply(s)),
    "fit_interval": Example(
        partial(fit_interval, alpha=0.1, spread_floor=1.0, **WHO),
        (PREDICTED, TRUE),
        lambda r, s: r.apply(row(7.0, subject=s)),
    ),
    "fit_quantile_interval": Example(
        partial(fit_quantile_interval, alpha=0.1, **WHO),
        (PREDICTED, rows(VALUES + 1), TRUE),
        lambda r, s: r.apply(row(7.0, subject=s), upper=row(9.0, subject=s)),
    ),
    "fit_risk_control": Example(
        partial(fit_risk_control, alpha=0.1, absent="exclude", **WHO),
        (MISSED,),
        lambda r, s: r.apply(P, subject=s).tolist(),
    ),
    "fit_risk_bound": Example(
        partial(fit_risk_bound, alpha=0.1, delta=0.1, absent="exclude", **WHO),
        (MISSED,),
        lambda r, s: r.apply(P, subject=s).tolist(),
    ),
    "fit_learn_then_test": Example(
        partial(
            fit_learn_then_test, targets={"false_negative_rate": 0.1, "false_discovery_rate": 0.1}, delta=0.1,
            order=[0.5], correction="fixed_sequence", prefer="largest_set", absent="exclude", **WHO,
        ),
        ([*MISSED, *FALSE],),
        lambda r, s: r.apply(P, subject=s).tolist(),
    ),
    "fit_margin": Example(
        partial(fit_margin, alpha=0.1, share=0.95, sides="both", absent="exclude", **WHO),
        (margin_curves(RNG.uniform(0, 9, N)),),
        lambda r, s: (
            r.outer(MASK, spacing_mm=SPACING, subject=s).tolist(),
            r.inner(MASK, spacing_mm=SPACING, subject=s).tolist(),
        ),
    ),
    "fit_by_group": Example(
        partial(fit_by_group, BOUND, group_of={r.subject: "AB"[n % 2] for n, r in enumerate(PREDICTED)}, by="site"),
        (PREDICTED,),
        lambda r, s: (r["A"].apply(s), r["B"].apply(s)),
    ),
    "fit_by_structure": Example(
        partial(fit_by_structure, BOUND), (PREDICTED,), lambda r, s: r["liver"].apply(s)
    ),
    "fit_weighted_bound": Example(
        partial(fit_weighted_bound, weights=WEIGHTS, alpha=0.1, side="upper", absent="exclude", **WHO),
        (PREDICTED,),
        lambda r, s: r.apply(s, weight=1.0),
    ),
    "fit_rater_interval": Example(
        partial(fit_rater_interval, alpha=0.1, **WHO),
        (PREDICTED, TRUE),
        lambda r, s: r.apply(row(7.0, subject=s)),
    ),
    "fit_failure_flag": Example(
        partial(fit_failure_flag, limit=0.8, alpha=0.1, delta=0.1, absent="exclude", **WHO),
        (AGREEMENT, QUALITY),
        lambda r, s: r.apply(row(0.8, "pairwise_dice", subject=s)),
    ),
    "fit_quality": Example(
        partial(fit_quality, alpha=0.1, seed=0, **WHO),
        ([AGREEMENT], QUALITY),
        lambda r, s: r.apply([row(0.8, "pairwise_dice", subject=s)]),
    ),
    "fit_lamp": Example(
        partial(fit_lamp, alpha=0.1, seed=0, **WHO), (PREDICTED,), lambda r, s: r.apply([row(7.0, subject=s)])
    ),
    "fit_sample_set": Example(
        partial(fit_sample_set, alpha=0.1, level=0.9, criterion="covered", absent="exclude", **WHO),
        (sample_set_curves(RNG.uniform(0, 9, N)),),
        lambda r, s: r.apply(two_members(s)).outer.tolist(),
    ),
    "fit_novelty": Example(
        partial(fit_novelty, alpha=0.1, **WHO),
        ([PREDICTED, AGREEMENT],),
        lambda r, s: r.apply([row(7.0, subject=s), row(0.8, "pairwise_dice", subject=s)]),
    ),
    "fit_dvh_band": Example(
        partial(fit_dvh_band, alpha=0.1, spread_floor=0.01, **WHO),
        (dvh_curves(RNG.normal(size=N)),),
        lambda r, s: r.apply(dvh_curves([0.0], subjects=[s])[0]).high.tolist(),
    ),
    "fit_constraint_pass": Example(
        partial(fit_constraint_pass, operator="<=", limit=9.0, alpha=0.1, spread_floor=0.1, **WHO),
        (PREDICTED, SPREADS, TRUE),
        lambda r, s: r.apply(row(7.0, subject=s), row(1.0, "volume_sd", subject=s)),
    ),
}  # fmt: skip
NEVER_TOO_FEW = {"fit_lamp"}  # its p-values are right for any n; few patients only make it blind


def fitted(name: str) -> Calibration:
    example = EXAMPLES[name]
    return example.fit(*example.data)


def test_every_calibration_has_an_example():
    assert set(EXAMPLES) == set(CALIBRATIONS.names)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_promise_names_its_patients_and_its_strength(name):
    guarantee = fitted(name).guarantee
    assert guarantee.statement.startswith(f"For a new patient exchangeable with the {guarantee.n_patients} calibration")
    assert "made-up patients" in guarantee.statement
    assert guarantee.statement.count(".  ") == 0
    assert guarantee.date == "2026-03-02"
    assert len(guarantee.data_hash) == 64
    assert guarantee.subjects == tuple(r.subject for r in PREDICTED)
    assert guarantee.n_patients == (30 if name == "fit_quality" else N)


@pytest.mark.parametrize("name", EXAMPLES)
def test_records_survive_json(name):
    record = fitted(name)
    text = json.dumps(record.to_dict(), allow_nan=False)
    back = Calibration.from_dict(json.loads(text))
    assert back == record
    assert json.loads(text)["guarantee"]["statement"] == record.guarantee.statement
    apply = EXAMPLES[name].apply
    assert apply(back, "new") == apply(record, "new")


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_record_refuses_the_patients_it_was_calibrated_on(name):
    record = fitted(name)
    EXAMPLES[name].apply(record, "new")
    for subject in (record.guarantee.subjects[0], record.guarantee.subjects[-1]):
        with pytest.raises(InvalidInput, match="E402") as caught:
            EXAMPLES[name].apply(record, subject)
        assert caught.value.problem.subject == subject


@pytest.mark.parametrize("name", sorted(set(EXAMPLES) - NEVER_TOO_FEW))
def test_too_few_patients_are_an_error_that_says_how_many_are_needed(name):
    with pytest.raises(InvalidInput, match="E401") as caught:
        few(EXAMPLES[name].fit, EXAMPLES[name].data, 8)
    assert "at least" in caught.value.problem.expected


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_hash_follows_the_data_and_not_their_order(name):
    fit, data, _ = EXAMPLES[name]
    turned = tuple([p[::-1] for p in part] if isinstance(part[0], list) else part[::-1] for part in data)
    again = fit(*turned)
    assert again.guarantee.data_hash == fitted(name).guarantee.data_hash
    assert again.guarantee.subjects == fitted(name).guarantee.subjects
    fewer = few(fit, data, N - 4)
    assert fewer.guarantee.data_hash != again.guarantee.data_hash


def test_unknown_or_damaged_records_are_refused():
    good = fitted("fit_interval").to_dict()
    with pytest.raises(ValueError, match="no calibration record 'Horoscope'"):
        Calibration.from_dict({**good, "record": "Horoscope"})
    with pytest.raises(ValueError, match="below"):
        Calibration.from_dict({**good, "below": "much"})


def test_infinite_bounds_survive_json():
    trivial = fit_interval(
        PREDICTED[:5], TRUE[:5], alpha=0.1, valid_range=(0.0, np.inf), if_infeasible="trivial", **WHO
    )
    text = json.dumps(trivial.to_dict(), allow_nan=False)
    assert json.loads(text)["below"] == "inf"
    assert Calibration.from_dict(json.loads(text)) == trivial
