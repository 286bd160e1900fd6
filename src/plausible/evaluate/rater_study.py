"""What raters alone tell of a structure: how far they agree, their consensus, and how good the others are as a model.

Three questions, and `reduction` of a row says which:
- "rater:<id>": a rater against another rater, or against the consensus of the others;
- "others": the pooled contours of all other raters against the one left out, as a model would be scored, with their
  share as probability; what a perfect copy of the colleagues would reach;
- "consensus": of all raters.

With two raters the others are one: no pooling, no confidence, no calibration between 0 and 1 (said by NaN).

Sources: Warfield et al. 2004, doi:10.1109/TMI.2004.828354 (STAPLE); the scores are those of this package.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from plausible.aggregate import MemberVolumes, PairwiseOverlap, estimate_staple, mean_pairwise_dice
from plausible.core import Collected, Direction, Members, Score, collect, walk
from plausible.evaluate.ambiguity import AMBIGUITY_SCORES, SetOverlap
from plausible.evaluate.case import ENSEMBLE, REFERENCE_BOX, evaluate_case
from plausible.evaluate.ceiling import ceiling_rows
from plausible.evaluate.consensus import RaterConsensus, dissensus_share
from plausible.evaluate.references import references_of
from plausible.evaluate.volume_crps import VolumeForecast, volume_crps

OTHERS, CONSENSUS_OF_ALL = "others", "consensus"
CONSENSUSES = ("consensus_majority", "consensus_staple")
OF_SETS = ("generalized_energy_distance_dice_v",)


@dataclass(frozen=True, slots=True, kw_only=True)
class RaterLine:
    """One line of a study of raters: a mean over cases with its interval over patients.

    Attributes:
        compared: what is compared with what.
        rater: whom the line describes; empty if it is about all.
        n: patients.
        n_cases: cases in which the structure was compared.
        n_undefined: those of them without a defined value; within a case undefined pairs are left out.
    """

    structure: str
    compared: str
    measure: str
    rater: str
    value: float
    low: float
    high: float
    level: float
    unit: str
    n: int
    n_cases: int
    n_undefined: int


def rater_rows(raters: Members, *, tolerance_mm: float, subject: str) -> list[Score]:
    """Compare the raters of one case on one structure.

    Args:
        raters: two or more, of the classes background and the structure, cropped to its surroundings.
        tolerance_mm: tolerance of the normalized surface Dice.
        subject: name for the rows.

    Raises:
        ValueError: fewer than two raters.
    """
    if len(raters) < 2:
        raise ValueError(f"{subject}: {len(raters)} rater; need two or more")
    rows = ceiling_rows(raters, ("each", *CONSENSUSES), tolerance_mm=tolerance_mm, subject=subject)
    rows += _of_consensus(raters, subject)
    for rater in raters.infos:
        rows += _left_out(raters, rater.id, tolerance_mm=tolerance_mm, subject=subject)
    return rows


def _of_consensus(raters: Members, subject: str) -> Iterator[Score]:
    """Volumes of the raters and their consensus, what is disputed, and each rater's performance by STAPLE."""
    (structure,) = raters.classes.structures
    common = {"subject": subject, "structure": structure}
    volumes = collect(raters, MemberVolumes)[MemberVolumes].volumes_ml[:, 0]
    for info, volume in zip(raters.infos, volumes, strict=True):
        yield _row("volume", float(volume), "ml", common, reduction=f"rater:{info.id}")
        others = np.delete(volumes, raters.infos.index(info)).mean()
        ratio = math.log(volume / others) if volume > 0 and others > 0 else math.nan
        yield _row("log_volume_ratio_to_others", ratio, "1", common, reduction=f"rater:{info.id}")
    for name in CONSENSUSES:
        pooled = references_of(raters, [name], subject=subject)
        volume = float(collect(pooled, MemberVolumes)[MemberVolumes].volumes_ml[0, 0])
        yield _row("volume", volume, "ml", common, reduction=CONSENSUS_OF_ALL, against=name)
    masks = [rater.classes.masks(rater.probabilities)[0] for rater in raters]
    share = np.asarray(np.mean(masks, axis=0, dtype=np.float32))
    counts = RaterConsensus.of(share, np.asarray(share > 0.5), masks)
    yield _row(dissensus_share.__name__, dissensus_share(counts), "1", common, reduction=CONSENSUS_OF_ALL)
    estimate = estimate_staple(raters)
    for measure, values in (("staple_sensitivity", estimate.sensitivity), ("staple_specificity", estimate.specificity)):
        for rater, value in zip(estimate.members, values[0], strict=True):
            yield _row(measure, float(value), "1", common, reduction=f"rater:{rater}", higher_is="better")


def _left_out(raters: Members, left_out: str, *, tolerance_mm: float, subject: str) -> Iterator[Score]:
    """Score the other raters as the members of a model against the one left out."""
    others = raters.select([info.id for info in raters.infos if info.id != left_out])
    reference = raters.select([left_out])
    (structure,) = raters.classes.structures
    common = {"subject": subject, "structure": structure, "reduction": OTHERS, "against": left_out}
    scored = evaluate_case(others, reference, tolerance_mm=tolerance_mm, subject=subject)
    for row in scored.rows:
        of_box = row.region == REFERENCE_BOX and row.structure == ""
        if row.reduction == ENSEMBLE and (of_box or row.structure == structure):
            yield replace(row, reduction=OTHERS, structure=structure)
    ours, theirs = (_of_all_voxels(one) for one in (others, reference))
    sets = SetOverlap.of(theirs[PairwiseOverlap], ours[PairwiseOverlap])
    for name in OF_SETS:
        entry = AMBIGUITY_SCORES[name]
        yield _row(name, entry.function(sets), entry.unit, common, higher_is=entry.higher_is)
    crps = volume_crps(VolumeForecast.of(ours[MemberVolumes], theirs[MemberVolumes]))
    yield _row(volume_crps.__name__, float(crps[0]), "ml", common, higher_is="worse")
    agreed = float(mean_pairwise_dice(ours[PairwiseOverlap])[0]) if len(others) > 1 else math.nan
    yield _row("mean_pairwise_dice", agreed, "1", common, higher_is="better")


def _of_all_voxels(members: Members) -> Collected:
    """Overlaps and volumes in one slab, the whole image, so that masks of two sets can be compared."""
    ((_, collected),) = walk(members, PairwiseOverlap, MemberVolumes)
    return collected


def _row(
    measure: str,
    value: float,
    unit: str,
    common: Mapping[str, str],
    *,
    reduction: str = "",
    against: str = "",
    higher_is: Direction = "neither",
) -> Score:
    return Score(
        subject=common["subject"],
        structure=common["structure"],
        measure=measure,
        value=value,
        unit=unit,
        higher_is=higher_is,
        n=1,
        reduction=reduction or common.get("reduction", ""),
        against=against or common.get("against", ""),
    )
