"""What is counted of every two members, so that their diversity can be read from it without the images.

Each statistic holds matrices over the members, row i and column j, that are sums: of voxels, or of what voxels have.
`pool` adds further voxels, other slabs of an image as well as other subjects; two members that never met have 0. Where
measures are read from pooled counts every voxel weighs the same, so that large structures weigh more.

An axis of draws may stand before the matrices (`stack` makes one of subjects), and every measure reads it as well.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True, slots=True, eq=False)
class DecisionPairs:
    """Voxels in which two members decide differently.

    Attributes:
        members: names.
        n: voxels compared.
        differ: of them, those with another decision.
        n_classes: decisions there are to choose from; NaN where regions overlap.
    """

    members: tuple[str, ...]
    n: Float64[np.ndarray, "*b m m"]
    differ: Float64[np.ndarray, "*b m m"]
    n_classes: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class MaskPairs:
    """Voxels of the masks of two members, in the whole image.

    Attributes:
        sizes: of the row's mask.
        shared: in both masks.
    """

    members: tuple[str, ...]
    sizes: Float64[np.ndarray, "*b m m"]
    shared: Float64[np.ndarray, "*b m m"]


@dataclass(frozen=True, slots=True, eq=False)
class SurfacePairs:
    """Normalized surface Dice of two members. Areas of subjects are not added up: each subject weighs the same.

    Attributes:
        n: subjects in which one of the two has the structure.
        nsd: sum over them.
        tolerance_mm: distance up to which two surfaces agree.
    """

    members: tuple[str, ...]
    n: Float64[np.ndarray, "*b m m"]
    nsd: Float64[np.ndarray, "*b m m"]
    tolerance_mm: float


@dataclass(frozen=True, slots=True, eq=False)
class SoftPairs:
    """How far the probabilities of two members are apart, summed over voxels.

    Attributes:
        n: voxels compared.
        kl: Kullback-Leibler divergence of the column's probabilities from the row's, in nats.
        js: Jensen-Shannon divergence, in nats.
    """

    members: tuple[str, ...]
    n: Float64[np.ndarray, "*b m m"]
    kl: Float64[np.ndarray, "*b m m"]
    js: Float64[np.ndarray, "*b m m"]


@dataclass(frozen=True, slots=True, eq=False)
class ErrorPairs:
    """Errors of two members against a reference.

    Attributes:
        n: voxels compared.
        wrong: in which the row's member is wrong.
        both: in which both are.
        differ: in which their decisions differ.
        n_classes: decisions there are to choose from; NaN where regions overlap.
    """

    members: tuple[str, ...]
    n: Float64[np.ndarray, "*b m m"]
    wrong: Float64[np.ndarray, "*b m m"]
    both: Float64[np.ndarray, "*b m m"]
    differ: Float64[np.ndarray, "*b m m"]
    n_classes: float = float("nan")


@dataclass(frozen=True, slots=True, eq=False)
class ErrorGroup:
    """Errors of all members of a set together, against a reference.

    Attributes:
        n: voxels.
        silent: in which every member is wrong and all decide alike.
        wrong: mean over the members of the voxels in which one is wrong.
        differ: mean over the pairs of the voxels in which two differ.
    """

    n: Float64[np.ndarray, "*b"]
    silent: Float64[np.ndarray, "*b"]
    wrong: Float64[np.ndarray, "*b"]
    differ: Float64[np.ndarray, "*b"]


STATISTICS: dict[str, type] = {
    kind.__name__: kind for kind in (DecisionPairs, MaskPairs, SurfacePairs, SoftPairs, ErrorPairs, ErrorGroup)
}
"""By the name that files have for them."""

Counts: TypeAlias = DecisionPairs | MaskPairs | SurfacePairs | SoftPairs | ErrorPairs | ErrorGroup
Counted = TypeVar("Counted", bound=Counts)


def pool(parts: Sequence[Counted]) -> Counted:
    """Add up the counts of further voxels: slabs of an image, or subjects. Members are matched by name.

    Raises:
        ValueError: nothing to add up, or parts of another tolerance or number of classes.
    """
    stacked = stack(parts)
    sums: dict[str, Any] = {name: np.asarray(getattr(stacked, name).sum(axis=0)) for name in counts_of(stacked)}
    return replace(stacked, **sums)


def stack(parts: Sequence[Counted]) -> Counted:
    """Lay the counts of parts behind each other on a first axis. Members are matched by name, in their order of coming.

    Raises:
        ValueError: nothing to stack, or parts of another tolerance or number of classes.
    """
    if not parts:
        raise ValueError("there are no counts to add up")
    told = {tuple(repr(getattr(part, name)) for name in _settings(part)) for part in parts}
    if len(told) > 1:
        raise ValueError(f"counts of different {', '.join(_settings(parts[0]))}: {sorted(told)}")
    values: dict[str, Any]
    if isinstance(parts[0], ErrorGroup):
        values = {name: np.stack([getattr(p, name) for p in parts]) for name in counts_of(parts[0])}
        return replace(parts[0], **values)
    names = tuple(dict.fromkeys(name for part in parts for name in _members(part)))
    values = {name: np.stack([_placed(part, name, names) for part in parts]) for name in counts_of(parts[0])}
    return replace(parts[0], **{"members": names, **values})


def counts_of(part: Any) -> list[str]:
    """Names of the fields that are counts."""
    return [f.name for f in fields(part) if isinstance(getattr(part, f.name), np.ndarray)]


def to_dict(part: Any) -> dict[str, Any]:
    """Return a statistic as plain JSON values."""
    told = {f.name: getattr(part, f.name) for f in fields(part)}
    plain = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in told.items()}
    return {
        "statistic": type(part).__name__,
        **{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in plain.items()},
    }


def from_dict(content: dict[str, Any]) -> Any:
    """Return the statistic of plain JSON values."""
    kind = STATISTICS[content["statistic"]]
    told: dict[str, Any] = {name: value for name, value in content.items() if name != "statistic"}
    scalars = {f.name for f in fields(kind) if f.name in ("n_classes", "tolerance_mm")}
    for name, value in told.items():
        if name == "members":
            told[name] = tuple(value)
        elif name in scalars:
            told[name] = float("nan") if value is None else float(value)
        else:
            told[name] = np.array(value, dtype=np.float64)
    return kind(**told)


def _members(part: Any) -> tuple[str, ...]:
    return tuple(part.members)


def _settings(part: Any) -> list[str]:
    return [f.name for f in fields(part) if f.name not in ("members", *counts_of(part))]


def _placed(part: Any, field: str, names: tuple[str, ...]) -> Float64[np.ndarray, "m m"]:
    """Counts of a part at the places of its members among all."""
    if part.members == names:
        return np.asarray(getattr(part, field))
    places = [names.index(name) for name in part.members]
    whole = np.zeros((len(names), len(names)))
    whole[np.ix_(places, places)] = getattr(part, field)
    return whole
