"""Variance by source: planted components, statsmodels, designs with gaps, sources that say nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plausible.core import InvalidInput, MemberInfo
from plausible.diversity.design import design_of, levels_of
from plausible.diversity.variance_components import variance_components


def planted(shape, sds, *, n=4000, seed=0):
    """Values of a crossed grid: sd of each source, of their interaction where there are two, and of the residual."""
    rng = np.random.default_rng(seed)
    y = np.zeros((*shape, n))
    for axes, sd in sds.items():
        y += sd * rng.normal(size=[size if axis in axes else 1 for axis, size in enumerate(shape)] + [n])
    return y


def test_planted_components_of_two_sources():
    y = planted((3, 4, 2), {(0,): 2.0, (1,): 1.0, (0, 1): 0.5, (0, 1, 2): 0.7})
    found = variance_components(y, ["fold", "seed"])
    assert found.names == ("fold", "seed", "fold × seed", "residual")
    assert found.degrees_of_freedom == (2, 3, 6, 12)
    assert found.values.mean(axis=1) == pytest.approx([4, 1, 0.25, 0.49], rel=0.08)


def test_planted_components_of_three_sources():
    y = planted((3, 2, 3, 1), {(0,): 1.0, (1,): 2.0, (0, 2): 0.8, (0, 1, 2): 0.5}, n=20_000)
    found = variance_components(y, ["fold", "network", "seed"], residual=["checkpoint"])
    expected = {"fold": 1, "network": 4, "seed": 0, "fold × network": 0, "fold × seed": 0.64, "network × seed": 0}
    assert found.names == (*expected, "residual (fold × network × seed and checkpoint)")
    told = dict(zip(found.names, found.values.mean(axis=1), strict=True))
    for name, value in expected.items():
        assert told[name] == pytest.approx(value, abs=0.1), name
    assert told[found.names[-1]] == pytest.approx(0.25, rel=0.05)


def test_seeds_within_folds():
    y = planted((4, 3), {(0,): 1.5, (0, 1): 1.0})
    found = variance_components(y, ["fold"], residual=["seed"])
    assert found.names == ("fold", "residual (seed)")
    assert found.values.mean(axis=1) == pytest.approx([2.25, 1.0], rel=0.08)


def test_by_hand_and_below_zero():
    found = variance_components(np.array([[0.0, 2.0], [0.0, 2.0]]), ["fold"])
    assert found.values.tolist() == [-1.0, 2.0]  # mean square between 0, within 2; (0 - 2) / 2


def test_constant_values_have_no_variance():
    assert variance_components(np.ones((2, 3, 1)), ["fold", "seed"]).values.tolist() == [0, 0, 0]


@given(st.integers(0, 2**16), st.floats(-5, 5))
def test_a_shift_changes_nothing_and_scale_squares(seed, shift):
    y = np.random.default_rng(seed).normal(size=(2, 3, 2, 5))
    found = variance_components(y, ["a", "b"]).values
    assert variance_components(3 * y + shift, ["a", "b"]).values == pytest.approx(9 * found, abs=1e-9)


def test_as_statsmodels():
    """Mean squares are those of its ANOVA; the components its REML's, where none is below 0."""
    import pandas as pd
    import statsmodels.api as sm
    import statsmodels.formula.api as smf

    y = planted((4, 5, 3), {(0,): 2.0, (1,): 1.5, (0, 1): 1.0, (0, 1, 2): 0.6}, n=1, seed=3)[..., 0]
    found = variance_components(y, ["fold", "seed"])
    assert (found.values > 0).all()
    cells = np.array(list(np.ndindex(y.shape)))
    table = pd.DataFrame({"y": y.ravel(), "fold": cells[:, 0], "seed": cells[:, 1], "one": 1})
    anova = sm.stats.anova_lm(smf.ols("y ~ C(fold) * C(seed)", table).fit())
    assert found.mean_squares == pytest.approx(anova["mean_sq"].to_numpy())
    parts = {"fold": "0 + C(fold)", "seed": "0 + C(seed)", "both": "0 + C(fold):C(seed)"}
    reml = smf.mixedlm("y ~ 1", table, groups="one", vc_formula=parts).fit(reml=True)
    told = dict(zip(reml.model.exog_vc.names, reml.vcomp, strict=True))
    assert found.values == pytest.approx([told["fold"], told["seed"], told["both"], reml.scale], rel=0.01)


def test_one_level_is_refused_not_zero():
    with pytest.raises(ValueError, match="fold is undefined"):
        variance_components(np.ones((1, 3, 2)), ["fold", "seed"])
    with pytest.raises(ValueError, match="repeats"):
        variance_components(np.ones((3, 1)), ["fold"])


def grid(**levels):
    """Members of all combinations, each with weights of its own."""
    names = list(levels)
    cells = [
        dict(zip(names, cell, strict=True))
        for cell in np.array(np.meshgrid(*levels.values())).T.reshape(-1, len(names))
    ]
    return {f"m{n}": {**{k: str(v) for k, v in cell.items()}, "checkpoint": f"w{n}"} for n, cell in enumerate(cells)}


def test_a_crossed_grid():
    found = design_of(grid(architecture=["unet"], fold=[0, 1, 2], seed=[0, 1]))
    assert found.factors == ("fold", "seed")
    assert found.undefined == ("architecture",)
    assert found.residual == ("checkpoint",)
    assert found.shape == (3, 2, 1)
    assert found.left_out == ()


def test_cells_follow_the_levels():
    levels = grid(fold=[0, 1, 10], seed=[0, 1])
    found = design_of(levels)
    assert found.levels == (("0", "1", "10"), ("0", "1"))
    told = [(levels[m]["fold"], levels[m]["seed"]) for m in found.cells]
    assert told == [("0", "0"), ("0", "1"), ("1", "0"), ("1", "1"), ("10", "0"), ("10", "1")]


def test_seeds_that_never_repeat_are_the_residual():
    infos = [MemberInfo(id=f"f{f}s{s}", fold=f, seed=10 * f + s) for f in range(2) for s in range(3)]
    found = design_of(levels_of(infos))
    assert (found.factors, found.n_repeats, found.residual) == (("fold",), 3, ("seed",))
    assert found.told == "fold (2), 3 repeats each, seed within"


def test_nested_seeds_with_repeats_stay_within():
    infos = [
        MemberInfo(id=f"f{f}s{s}c{c}", fold=f, seed=10 * f + s) for f in range(2) for s in range(2) for c in range(2)
    ]
    found = design_of(levels_of(infos))
    assert (found.factors, found.n_repeats, found.residual) == (("fold",), 4, ("seed",))


def test_sources_that_always_change_together_are_one():
    levels = grid(architecture=["a", "b"], seed=[0, 1])
    for told in levels.values():
        told["method"] = {"a": "plain", "b": "dropout"}[told["architecture"]]
    assert design_of(levels).factors == ("architecture = method", "seed")


def test_gaps_are_cut_away_and_named():
    levels = grid(fold=[0, 1, 2], seed=[0, 1, 2])
    (gone,) = [m for m, told in levels.items() if (told["fold"], told["seed"]) == ("2", "0")]
    del levels[gone]
    found = design_of(levels)
    assert np.prod(found.shape) == 6
    assert len(found.left_out) == 2
    assert {*found.cells, *found.left_out} == {*levels}


def test_nothing_balanced_is_refused():
    levels = {
        f"m{n}": {"fold": f, "seed": s} for n, (f, s) in enumerate([("0", "0"), ("1", "1"), ("0", "2"), ("2", "0")])
    }
    with pytest.raises(InvalidInput, match="E409"):
        design_of(levels)


def test_a_deep_ensemble_has_one_variance_and_no_parts():
    infos = [MemberInfo(id=f"s{s}", seed=s) for s in range(5)]
    with pytest.raises(InvalidInput, match="E410"):
        design_of(levels_of(infos))
