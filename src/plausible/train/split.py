"""Who trains, who validates, and which fold each member leaves out. By seed, so that it can be told again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from plausible.core import content_key
from plausible.train.settings import EnsembleKind


@dataclass(frozen=True, slots=True)
class Split:
    """Subjects to train on and to validate on; they share nobody.

    Raises:
        ValueError: a subject stands on both sides, or twice on one.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        everybody = [*self.train, *self.validation]
        twice = sorted({subject for subject in everybody if everybody.count(subject) > 1})
        if twice:
            raise ValueError(f"these subjects stand in the split more than once: {', '.join(twice)}")


@dataclass(frozen=True, slots=True)
class MemberSplit:
    """What one member sees: training and validation subjects, the fold it leaves out and the rater, if any."""

    seed: int
    fold: int | None
    train: tuple[str, ...]
    validation: tuple[str, ...]
    rater: str = ""

    @property
    def key(self) -> str:
        """Hash of the training subjects, whatever their order."""
        return content_key(sorted(self.train))


def split_cases(subjects: Sequence[str], *, fractions: Sequence[float], seed: int) -> tuple[tuple[str, ...], ...]:
    """Share subjects out by seed, e.g. `fractions=(0.6, 0.15, 0.25)` for training, validation and test.

    Names are sorted first, so that the order in which a folder is listed has no say. Each share is sorted again.

    Raises:
        ValueError: fractions are not positive or do not sum to one, or a share would be empty.
    """
    shares = np.asarray(fractions, dtype=float)
    if (shares <= 0).any() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"fractions must be positive and sum to 1, got {tuple(fractions)}")
    ordered = sorted(subjects)
    shuffled = [ordered[n] for n in np.random.default_rng(seed).permutation(len(ordered))]
    ends = np.rint(np.cumsum(shares) * len(shuffled)).astype(int)
    parts = [shuffled[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    if not all(parts):
        raise ValueError(f"{len(ordered)} subjects are too few for shares of {tuple(fractions)}")
    return tuple(tuple(sorted(part)) for part in parts)


def member_splits(
    splits: Mapping[str, Split], *, members: int, ensemble: EnsembleKind, seed: int
) -> tuple[MemberSplit, ...]:
    """Share the subjects out to the members. `splits` has one entry per rater, or one under "".

    deep, heterogeneous: all members train on the same cases, each with a seed of its own.
    cv: member k leaves out fold k of the training cases and validates on it and on the split's validation cases.
    rater: every seed with every rater, raters changing first: with two raters member 2 has the first rater and the
    second seed. A crossed design, so that the shares of rater and seed can be told apart later.

    Raises:
        ValueError: fewer than one member, too few cases for so many folds, or raters that do not fit the ensemble.
    """
    if members < 1:
        raise ValueError(f"an ensemble needs at least one member, got {members}")
    if (ensemble == "rater") != (set(splits) != {""}):
        raise ValueError("a rater ensemble needs raters, and no other ensemble takes them")
    if ensemble == "rater":
        return _crossed(splits, members, seed)
    split = splits[""]
    if ensemble != "cv":
        return tuple(MemberSplit(seed + m, None, split.train, split.validation) for m in range(members))
    if members < 2 or len(split.train) < members:
        raise ValueError(f"{members} folds need at least two members and as many cases; there are {len(split.train)}")
    order = np.random.default_rng(seed).permutation(len(split.train))
    shuffled = [sorted(split.train)[n] for n in order]
    return tuple(_without_fold(shuffled[m::members], m, split, seed + m) for m in range(members))


def _crossed(splits: Mapping[str, Split], members: int, seed: int) -> tuple[MemberSplit, ...]:
    if members % len(splits):
        raise ValueError(f"{members} members cannot be shared out to {len(splits)} raters; take a multiple of it")
    told = [(rater, splits[rater]) for rater in splits]
    return tuple(
        MemberSplit(seed + m // len(told), None, split.train, split.validation, rater)
        for m, (rater, split) in ((m, told[m % len(told)]) for m in range(members))
    )


def _without_fold(left_out: Sequence[str], fold: int, split: Split, seed: int) -> MemberSplit:
    train = tuple(subject for subject in sorted(split.train) if subject not in set(left_out))
    return MemberSplit(seed, fold, train, tuple(sorted([*left_out, *split.validation])))
