"""Protocols of challenges, by name: what `plausible evaluate --protocol` writes beside its own rows.

Each takes the members and all raters of a case, whatever reference was chosen for the other rows, and several raters.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from plausible.aggregate import linear_pool, majority_vote
from plausible.core import Catalogue, Classes, Members, Score
from plausible.evaluate.case import ENSEMBLE
from plausible.evaluate.curvas import curvas_2024_rows
from plausible.evaluate.pdacvi import SOURCE, pdacvi_2025_rows

Protocol: TypeAlias = Callable[..., list[Score]]

PROTOCOLS: Catalogue[Protocol] = Catalogue("protocol")


@PROTOCOLS.add(
    unit="1", higher_is="neither", source="Riera-Marín et al. 2025 (CURVAS), arXiv:2505.08685", label="CURVAS 2024"
)
def curvas_2024(
    members: Members,
    raters: Members,
    *,
    tumour: str,
    vessels: Sequence[str],
    subject: str,
    slab_voxels: int | None = None,
) -> list[Score]:
    """Multi-organ CT: agreement with what raters agree on, and calibration; see `curvas_2024_rows`."""
    return curvas_2024_rows(members, raters, subject=subject, slab_voxels=slab_voxels)


@PROTOCOLS.add(unit="1", higher_is="neither", source=SOURCE, label="PDACVI 2025")
def pdacvi_2025(
    members: Members,
    raters: Members,
    *,
    tumour: str,
    vessels: Sequence[str],
    subject: str,
    slab_voxels: int | None = None,
) -> list[Score]:
    """A tumour and the vessels it touches; see `pdacvi_2025_rows`. A vessel is where most raters drew it."""
    pooled = linear_pool(members, slab_voxels=slab_voxels)
    drawn = majority_vote(raters, ties="background", slab_voxels=slab_voxels).probabilities
    masks = {vessel: drawn[raters.classes.channel(vessel)] > 0.5 for vessel in vessels}
    named = replace(pooled, info=replace(pooled.info, id=ENSEMBLE))
    return pdacvi_2025_rows(named, raters, structure=tumour, vessels=masks, subject=subject)


def check_protocols(protocols: Sequence[str], classes: Classes, *, tumour: str | None, vessels: Sequence[str]) -> None:
    """Refuse protocols that these classes cannot be scored by.

    Raises:
        ValueError: CURVAS 2024 with overlapping regions; PDACVI 2025 without a tumour, or with structures that the
            classes do not have.
    """
    if curvas_2024.__name__ in protocols and not classes.exclusive:
        raise ValueError("the protocol curvas_2024 is defined for classes that exclude each other, not for regions")
    if pdacvi_2025.__name__ not in protocols:
        return
    known = ", ".join(classes.structures)
    if not tumour or not vessels:
        raise ValueError(
            "the protocol pdacvi_2025 scores one tumour and the vessels beside it: name them with --tumour STRUCTURE "
            f"--vessels STRUCTURE [--vessels STRUCTURE ...]; there are: {known}"
        )
    unknown = [name for name in (tumour, *vessels) if name not in classes.structures]
    if unknown:
        raise ValueError(f"no structure {', '.join(unknown)} for the protocol pdacvi_2025; there are: {known}")


def protocol_rows(
    protocols: Sequence[str],
    members: Members,
    raters: Members,
    *,
    tumour: str | None = None,
    vessels: Sequence[str] = (),
    subject: str = "",
    slab_voxels: int | None = None,
) -> list[Score]:
    """Score one case by every protocol; a row that two of them have is written once.

    Args:
        protocols: names of `PROTOCOLS`.
        members: the predictions.
        raters: two references or more, on the same grid and with the same classes.
        tumour: structure that PDACVI 2025 scores.
        vessels: structures that it measures the tumour's contact with.
        subject: name for the rows; the members' own if empty.
        slab_voxels: work in slabs of about this many voxels.

    Raises:
        InvalidInput: E201 or E202, raters on another grid.
        ValueError: see `check_protocols`; fewer than two raters.
    """
    check_protocols(protocols, members.classes, tumour=tumour, vessels=vessels)
    found: dict[tuple[str, ...], Score] = {}
    for name in protocols:
        rows = PROTOCOLS[name].function(
            members,
            raters,
            tumour=tumour or "",
            vessels=tuple(vessels),
            subject=subject or members.subject,
            slab_voxels=slab_voxels,
        )
        for row in rows:
            found.setdefault(row.key, row)
    return list(found.values())
