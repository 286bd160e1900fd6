"""How different are two members? Every measure of diversity, read from counts of pairs.

Without references: how often members decide differently, how far their masks, surfaces and probabilities are apart.
With references: whether they make the same errors, which is what a mean can mend and what agreement can hide.

None of these is good or bad by itself. Members that differ because they are bad differ too: diversity is never a goal,
see [how to read it](../methods/diversity.md).

A measure takes the counts of any number of members and gives a matrix, row i and column j; before it may stand an axis
of draws. NaN where two members have nothing in common to compare.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float

from plausible.core import Catalogue
from plausible.diversity.pairwise import DecisionPairs, ErrorGroup, ErrorPairs, MaskPairs, SoftPairs, SurfacePairs

DiversityMeasure: TypeAlias = Callable[..., Float[np.ndarray, "*b m m"]]

DIVERSITY_MEASURES: Catalogue[DiversityMeasure] = Catalogue("diversity measure")

KUNCHEVA = "Kuncheva and Whitaker 2003, doi:10.1023/A:1022859003006"


@DIVERSITY_MEASURES.add(unit="1", higher_is="neither", source=KUNCHEVA, reads=DecisionPairs)
def disagreement(pairs: DecisionPairs) -> Float[np.ndarray, "*b m m"]:
    """Share of the voxels in which two members decide differently.

    From 0 (copies) to 1. Falls as more background is looked at, so the voxel set belongs to the number.
    """
    return _ratio(pairs.differ, pairs.n)


@DIVERSITY_MEASURES.add(
    unit="1", higher_is="neither", source="Dice 1945, doi:10.2307/1932409", reads=MaskPairs, label="1 − pairwise Dice"
)
def dice_distance(pairs: MaskPairs) -> Float[np.ndarray, "*b m m"]:
    """How little the masks of two members share: 1 - Dice, over the whole image.

    From 0 (copies) to 1 (nothing shared). NaN where both lack the structure.
    """
    both = pairs.sizes + np.swapaxes(pairs.sizes, -1, -2)
    return 1 - _ratio(2 * pairs.shared, both)


@DIVERSITY_MEASURES.add(
    unit="1",
    higher_is="neither",
    source="Nikolov et al. 2021, arXiv:1809.04430",
    reads=SurfacePairs,
    label="1 − pairwise NSD",
)
def surface_dice_distance(pairs: SurfacePairs) -> Float[np.ndarray, "*b m m"]:
    """Share of both surfaces that lies farther than the tolerance from the other one: 1 - NSD, mean over subjects.

    From 0 (everywhere within the tolerance) to 1. NaN where both lack the structure.
    """
    return 1 - _ratio(pairs.nsd, pairs.n)


@DIVERSITY_MEASURES.add(
    unit="nat",
    higher_is="neither",
    source="Kullback and Leibler 1951, doi:10.1214/aoms/1177729694",
    reads=SoftPairs,
    label="pairwise KL",
)
def kullback_leibler(pairs: SoftPairs) -> Float[np.ndarray, "*b m m"]:
    """Information lost where the column's probabilities stand for the row's, mean per voxel. Not symmetric.

    KL(p_i ‖ p_j) = Σ_c p_i log(p_i / p_j), from 0 (copies); p is floored at 1/131070, so at most log 131070 = 11.8.
    """
    return _ratio(pairs.kl, pairs.n)


@DIVERSITY_MEASURES.add(
    unit="nat",
    higher_is="neither",
    source="Lin 1991, doi:10.1109/18.61115",
    reads=SoftPairs,
    label="pairwise JSD",
)
def jensen_shannon(pairs: SoftPairs) -> Float[np.ndarray, "*b m m"]:
    """Mutual information of a voxel's class and which of the two members is asked, mean per voxel.

    H((p_i + p_j) / 2) - (H(p_i) + H(p_j)) / 2, from 0 (copies) to log 2.
    """
    return _ratio(pairs.js, pairs.n)


@DIVERSITY_MEASURES.add(
    unit="1",
    higher_is="neither",
    source="Fort et al. 2019, arXiv:1912.02757",
    reads=ErrorPairs,
    label="normalised disagreement",
)
def normalised_disagreement(pairs: ErrorPairs) -> Float[np.ndarray, "*b m m"]:
    """Disagreement of row and column, as a multiple of the column's error rate. Not symmetric.

    d_ij / (1 - a_j), from 0 (copies) to 2 where both err equally often. Independent errors of accuracy a among C
    classes give (1 - a² - (1 - a)² / (C - 1)) / (1 - a). NaN where the column makes no error.
    """
    return _ratio(pairs.differ, np.swapaxes(pairs.wrong, -1, -2))


@DIVERSITY_MEASURES.add(
    unit="1",
    higher_is="neither",
    source="Geirhos et al. 2020, arXiv:2006.16736",
    reads=ErrorPairs,
    label="error consistency κ",
)
def error_consistency(pairs: ErrorPairs) -> Float[np.ndarray, "*b m m"]:
    """Whether two members are right and wrong in the same voxels, beyond what their accuracies give by chance.

    κ = (c_obs - c_exp) / (1 - c_exp) with c_exp = a_i a_j + (1 - a_i)(1 - a_j): 1 for copies, 0 for independent errors,
    below 0 where one errs where the other does not. NaN if both make no error.
    """
    right, other = 1 - _ratio(pairs.wrong, pairs.n), 1 - _ratio(np.swapaxes(pairs.wrong, -1, -2), pairs.n)
    observed = 1 - _ratio(_only(pairs) + np.swapaxes(_only(pairs), -1, -2), pairs.n)
    expected = right * other + (1 - right) * (1 - other)
    return _ratio(observed - expected, 1 - expected)


@DIVERSITY_MEASURES.add(unit="1", higher_is="neither", source=KUNCHEVA, reads=ErrorPairs, label="Q statistic")
def q_statistic(pairs: ErrorPairs) -> Float[np.ndarray, "*b m m"]:
    """Whether two members err in the same voxels, by the odds: Yule's Q of the four counts.

    (N11 N00 - N01 N10) / (N11 N00 + N01 N10), from -1 (never together) over 0 (independent) to 1 (one's errors are
    among the other's, as for copies). NaN where one makes no error.
    """
    together = (pairs.n - pairs.wrong - np.swapaxes(_only(pairs), -1, -2)) * pairs.both
    apart = _only(pairs) * np.swapaxes(_only(pairs), -1, -2)
    return _ratio(together - apart, together + apart)


@DIVERSITY_MEASURES.add(unit="1", higher_is="neither", source=KUNCHEVA, reads=ErrorPairs, label="correlation of errors")
def error_correlation(pairs: ErrorPairs) -> Float[np.ndarray, "*b m m"]:
    """Correlation over voxels of being wrong, of two members.

    From -1 over 0 (independent) to 1 (copies). NaN where one makes no error, or nothing but errors.
    """
    mine, other = pairs.wrong, np.swapaxes(pairs.wrong, -1, -2)
    spread = np.sqrt(mine * (pairs.n - mine)) * np.sqrt(other * (pairs.n - other))
    return _ratio(pairs.n * pairs.both - mine * other, spread)


@DIVERSITY_MEASURES.add(unit="1", higher_is="neither", source=KUNCHEVA, reads=ErrorPairs, label="double fault")
def double_fault(pairs: ErrorPairs) -> Float[np.ndarray, "*b m m"]:
    """Share of the voxels in which both members are wrong.

    From 0 to the smaller error rate of the two; copies: their error rate. No vote of the two can mend these voxels.
    """
    return _ratio(pairs.both, pairs.n)


GroupMeasure: TypeAlias = Callable[[ErrorGroup], Float[np.ndarray, "*b"]]

GROUP_MEASURES: Catalogue[GroupMeasure] = Catalogue("diversity measure of a set")


@GROUP_MEASURES.add(unit="1", higher_is="worse", source="joint error of all members; unpublished under this name")
def silent_failure_rate(group: ErrorGroup) -> Float[np.ndarray, "*b"]:
    """Share of the voxels in which all members are wrong and agree: errors that no disagreement can show.

    From 0 to the error rate of the best member; copies: their error rate. Bounds every check that rests on agreement.
    """
    return _ratio(group.silent, group.n)


@GROUP_MEASURES.add(unit="1", higher_is="worse", source="joint error of all members; unpublished under this name")
def silent_share_of_errors(group: ErrorGroup) -> Float[np.ndarray, "*b"]:
    """Share of a member's errors that all others make with it, alike: what looking at disagreement leaves unseen.

    From 0 (each error is doubted by somebody) to 1 (copies). NaN if nobody makes an error.
    """
    return _ratio(group.silent, group.wrong)


@GROUP_MEASURES.add(
    unit="1", higher_is="neither", source="Theisen et al. 2023, arXiv:2305.12313", label="disagreement-error ratio"
)
def disagreement_error_ratio(group: ErrorGroup) -> Float[np.ndarray, "*b"]:
    """Mean disagreement of two different members over their mean error rate.

    From 0 (copies) to 2 of two classes. Above 1 a majority vote gains much over its members, below 1 little.
    NaN if nobody makes an error.
    """
    return _ratio(group.differ, group.wrong)


def mean_of_pairs(matrices: Float[np.ndarray, "*b m m"]) -> Float[np.ndarray, "*b"]:
    """Mean over all ordered pairs of two different members; undefined pairs are left out, NaN if all are."""
    values = matrices[..., off_diagonal(matrices.shape[-1])]
    known = ~np.isnan(values)
    return _ratio(np.asarray(np.where(known, values, 0).sum(axis=-1)), np.asarray(known.sum(axis=-1)))


def off_diagonal(n_members: int) -> Bool[np.ndarray, "m m"]:
    """Places of a matrix that compare two different members."""
    return ~np.eye(n_members, dtype=bool)


def _only(pairs: ErrorPairs) -> Float[np.ndarray, "*b m m"]:
    """Voxels in which only the row's member is wrong."""
    return np.asarray(pairs.wrong - pairs.both)


def _ratio(part: np.ndarray, whole: np.ndarray) -> Float[np.ndarray, "*b"]:
    """Share, NaN where there is nothing to divide by."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=np.abs(whole) > 1e-300)
