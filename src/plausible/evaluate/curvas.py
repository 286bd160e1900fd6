"""The scores of the CURVAS 2024 challenge: multi-organ CT, three raters, judged by what raters agree and dispute.

Per structure: Dice outside dissensus, confidence in consensus, and the protocol's volume CRPS (it saturates, see
`crps_curvas`). Of the subject: calibration error of the top label in 50 bins over all voxels, against each rater, then
the mean; and the means over structures.

The prediction is the mean probability of the members. Written from the published definitions.

Sources: Riera-Marín et al. 2025, arXiv:2505.08685.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from plausible.aggregate import MemberVolumes
from plausible.core import Catalogue, Members, Score, collect, walk
from plausible.evaluate.calibration import ReliabilityBins, expected_calibration_error, top_label_bins
from plausible.evaluate.consensus import RATER_CONSENSUS_SCORES, RaterConsensus
from plausible.evaluate.volume_crps import VOLUME_FORECAST_SCORES, VolumeForecast, crps_curvas
from plausible.measure import VoxelStatistics, mean_probability

CURVAS_BINS = 50

ProtocolScore: TypeAlias = Callable[..., float]

PROTOCOL_SCORES: Catalogue[ProtocolScore] = Catalogue("protocol score")


@PROTOCOL_SCORES.add(
    unit="1", higher_is="worse", source="Riera-Marín et al. 2025 (CURVAS), arXiv:2505.08685", label="ECE (CURVAS)"
)
def calibration_error_50_bins(raters: Sequence[ReliabilityBins]) -> float:
    """Calibration error of the top label in 50 bins against each rater, then the mean over the raters.

    From 0 to 1; NaN without voxels. Another number than the error of 15 bins.
    """
    return float(np.mean([expected_calibration_error(bins) for bins in raters]))


def curvas_2024_rows(
    members: Members, raters: Members, *, subject: str = "", slab_voxels: int | None = None
) -> list[Score]:
    """Score the mean of the members as the CURVAS 2024 challenge does.

    Args:
        members: the predictions, of exclusive classes.
        raters: two references or more, on the same grid and with the same classes.
        subject: name for the rows; the members' own if empty.
        slab_voxels: work in slabs of about this many voxels.

    Returns:
        Rows per structure, and of the subject with n = defined structures (calibration: raters).

    Raises:
        InvalidInput: E201 or E202, raters on another grid.
        ValueError: overlapping regions, or fewer than two raters.
    """
    if not members.classes.exclusive or len(raters) < 2:
        raise ValueError("CURVAS 2024 is defined for exclusive classes and several raters")
    raters.geometry.check_matches(members.geometry, this="the raters", that="the members", subject=members.subject)
    consensus, bins = _walked(members, raters, slab_voxels)
    volumes = [collect(each, MemberVolumes, slab_voxels=slab_voxels)[MemberVolumes] for each in (members, raters)]
    crps = crps_curvas(VolumeForecast.of(volumes[0], volumes[1]))
    values = {entry.name: [entry.function(one) for one in consensus] for entry in RATER_CONSENSUS_SCORES}
    values[crps_curvas.__name__] = crps.tolist()
    named = {"subject": subject or members.subject, "reduction": "ensemble", "against": f"{len(raters)}_raters"}
    return [*_rows(values, members.classes.structures, named), _calibration_row(bins, named)]


def _walked(
    members: Members, raters: Members, slab_voxels: int | None
) -> tuple[list[RaterConsensus], list[ReliabilityBins]]:
    """Consensus counts per structure, and bins per rater, slab by slab."""
    aligned = replace(raters, slab_axis=members.slab_axis)
    counts: list[list[RaterConsensus]] = [[] for _ in members.classes.structures]
    bins: list[list[ReliabilityBins]] = [[] for _ in raters.sources]
    for bounds, collected in walk(members, VoxelStatistics, slab_voxels=slab_voxels):
        p = mean_probability(collected[VoxelStatistics])
        truths = [rater.probabilities for rater in aligned.slab(*bounds)]
        masks = [members.classes.masks(truth) for truth in truths]
        for s, mask in enumerate(members.classes.masks(p)):
            counts[s].append(RaterConsensus.of(p[s + 1], mask, [each[s] for each in masks]))
        for r, truth in enumerate(truths):
            bins[r].append(top_label_bins(p, truth, n_bins=CURVAS_BINS))
    return [first.join(*rest) for first, *rest in counts], [first.merge(*rest) for first, *rest in bins]


def _rows(values: dict[str, list[float]], structures: tuple[str, ...], named: dict[str, str]) -> Iterator[Score]:
    for measure, per_structure in values.items():
        entry = (RATER_CONSENSUS_SCORES if measure in RATER_CONSENSUS_SCORES else VOLUME_FORECAST_SCORES)[measure]
        defined = [value for value in per_structure if not math.isnan(value)]
        mean = float(np.mean(defined)) if defined else math.nan
        rows = [(structure, value, 1) for structure, value in zip(structures, per_structure, strict=True)]
        for structure, value, n in (*rows, ("", mean, len(defined))):
            yield Score(
                structure=structure, measure=measure, value=value, unit=entry.unit, higher_is=entry.higher_is, n=n,
                **named,
            )  # fmt: skip


def _calibration_row(bins: list[ReliabilityBins], named: dict[str, str]) -> Score:
    entry = PROTOCOL_SCORES[calibration_error_50_bins.__name__]
    return Score(
        measure=entry.name,
        region="whole_image",
        value=entry.function(bins),
        unit=entry.unit,
        higher_is=entry.higher_is,
        n=len(bins),
        **named,
    )
