import math

import numpy as np
import pytest

from plausible.aggregate import fit_meta_aggregator
from plausible.core import Score

KEYS = tuple(("", "predictive_entropy", "whole_image", name, "") for name in ("mean", "max", "morans_i"))


def rows(table: np.ndarray, *, prefix: str = "s") -> list[Score]:
    return [
        Score(
            subject=f"{prefix}{number}",
            measure="predictive_entropy",
            region="whole_image",
            reduction=key[3],
            value=float(value),
            unit="nat",
            higher_is="worse",
            n=100,
        )
        for number, values in enumerate(table)
        for key, value in zip(KEYS, values, strict=True)
    ]


def in_distribution(n: int = 60) -> np.ndarray:
    rng = np.random.default_rng(0)
    size = rng.normal(0.3, 0.05, n)
    return np.stack([size, 2 * size + rng.normal(0, 0.01, n), rng.normal(0.8, 0.02, n)], axis=1)


def test_a_combination_that_was_never_seen_surprises_although_each_number_is_usual():
    fitted = fit_meta_aggregator(rows(in_distribution()), KEYS, seed=0)
    table = np.array([[0.30, 0.60, 0.80], [0.37, 0.46, 0.80]])  # the second has a usual mean and a usual maximum
    usual, odd = fitted.surprise(rows(table, prefix="new"))
    assert odd.value > usual.value + 10
    assert (usual.subject, odd.subject) == ("new0", "new1")
    assert (usual.measure, usual.unit, usual.higher_is, usual.n) == ("meta_aggregator", "nat", "worse", 60)


def test_it_is_minus_the_log_density_of_standardised_numbers():
    known = in_distribution()
    fitted = fit_meta_aggregator(rows(known), KEYS, seed=0, n_components=[1])
    (row,) = fitted.surprise(rows(known[:1]))
    z = (known[0] - known.mean(axis=0)) / known.std(axis=0)
    covariance = np.corrcoef(known.T) + 1e-6 * np.eye(3)
    density = math.exp(-z @ np.linalg.inv(covariance) @ z / 2) / math.sqrt(
        (2 * math.pi) ** 3 * np.linalg.det(covariance)
    )
    assert row.value == pytest.approx(-math.log(density), rel=1e-6)


def test_units_do_not_matter():
    known, scale = in_distribution(), np.array([1000.0, 1e-3, 7.0])
    first = fit_meta_aggregator(rows(known), KEYS, seed=0).surprise(rows(known))
    scaled = fit_meta_aggregator(rows(known * scale), KEYS, seed=0).surprise(rows(known * scale))
    assert [row.value for row in scaled] == pytest.approx([row.value for row in first], rel=1e-6)


def test_an_undefined_aggregate_is_undefined_and_fits_nothing():
    known = in_distribution()
    known[3, 1] = math.nan
    fitted = fit_meta_aggregator(rows(known), KEYS, seed=0)
    assert fitted.n_cases == 59
    assert math.isnan(fitted.surprise(rows(known))[3].value)
    missing = [row for row in rows(known[:1]) if row.reduction != "max"]
    assert math.isnan(fitted.surprise(missing)[0].value)


def test_too_few_cases_and_constants_are_named():
    with pytest.raises(ValueError, match="3 cases with every aggregate are too few for 3 aggregates"):
        fit_meta_aggregator(rows(in_distribution(3)), KEYS, seed=0)
    known = in_distribution()
    known[:, 2] = 0.1
    with pytest.raises(ValueError, match="the aggregate predictive_entropy whole_image morans_i is the same"):
        fit_meta_aggregator(rows(known), KEYS, seed=0)
