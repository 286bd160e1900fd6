"""One prediction against all raters of a case, slab by slab: overlaps, bins and proper scores in one compiled pass."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64, Int64, UInt16

from plausible.aggregate.hard import HardMap, in_order, is_one_hot
from plausible.core import Box, Classes, Geometry, Member, Members, slabs
from plausible.evaluate.calibration import ProbabilityScores, ReliabilityBins, probability_scores, questions
from plausible.evaluate.overlap import Overlap
from plausible.measure import PROBABILITY_FLOOR
from plausible.measure.layout import Order, channels, memory_order


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """One rater of a case.

    Attributes:
        name: of the rater.
        hard: the structures, in the whole image.
        box: around all that the rater marked, plus a margin; None if nothing.
        soft: whether probabilities of exclusive classes are no label map: the Brier score then needs them.
    """

    name: str
    hard: HardMap
    box: Box | None
    soft: bool


def truths_of(raters: Members, *, margin_mm: float, slab_voxels: int | None) -> list[Truth]:
    """Read every rater once."""
    parts: dict[str, list[HardMap]] = {info.id: [] for info in raters.infos}
    soft: set[str] = set()
    for start, stop in slabs(raters, slab_voxels=slab_voxels):
        for rater in raters.slab(start, stop):
            parts[rater.info.id].append(HardMap.of(rater))
            if rater.classes.exclusive and not rater.hard and not is_one_hot(rater.classes, rater.probabilities):
                soft.add(rater.info.id)
    whole = {name: first.join(*rest, axis=raters.slab_axis) for name, (first, *rest) in parts.items()}
    return [
        Truth(name, hard, _with_margin(hard, raters.geometry, margin_mm), name in soft) for name, hard in whole.items()
    ]


@dataclass(frozen=True, slots=True, eq=False)
class SlabTruths:
    """The raters in one slab, as the kernels read them.

    Attributes:
        truths: the raters in the whole image.
        bounds: of the slab along the axis.
        axis: axis along which slabs follow.
        soft: raters whose probabilities are needed, by name.
        codes: made once per question and order of memory.
    """

    truths: Sequence[Truth]
    bounds: tuple[int, int]
    axis: int
    soft: Mapping[str, Member]
    codes: dict[tuple[int, Order], UInt16[np.ndarray, "r n"]] = field(default_factory=dict)

    def coded(self, question: int, order: Order) -> UInt16[np.ndarray, "r n"]:
        """True class (or 1 for present) and whether it lies in the rater's box, for every rater and voxel."""
        if (question, order) not in self.codes:
            rows = [
                self._code(truth, question).transpose([axis - 1 for axis in order[1:]]).ravel() for truth in self.truths
            ]
            self.codes[question, order] = np.stack(rows)
        return self.codes[question, order]

    def inside(self, truth: Truth) -> np.ndarray:
        """Voxels of the slab in the box of one rater."""
        shape = list(truth.hard.words.shape[1:])
        shape[self.axis] = self.bounds[1] - self.bounds[0]
        inside = np.zeros(shape, dtype=bool)
        if truth.box is not None:
            offset = [self.bounds[0] if axis == self.axis else 0 for axis in range(3)]
            sides = zip(truth.box, offset, strict=True)
            inside[tuple(slice(max(0, side.start - o), max(0, side.stop - o)) for side, o in sides)] = True
        return inside

    def _code(self, truth: Truth, question: int) -> UInt16[np.ndarray, "i j k"]:
        from plausible.evaluate.kernels import INSIDE

        part = truth.hard.slab(*self.bounds, axis=self.axis)
        code = (part.words[0] if part.exclusive else part.mask(question)).astype(np.uint16)
        code[self.inside(truth)] |= INSIDE
        return code


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """One prediction against every rater: what all overlap and calibration scores are read from. Slabs add.

    Attributes:
        count, confidence_sum, correct_sum: by question, rater, outside or inside the rater's box, and bin.
        log_sum, brier_sum: by question, rater, outside or inside.
        shared: voxels by question, rater, class predicted and class of the rater.
    """

    count: Int64[np.ndarray, "q r 2 b"]
    confidence_sum: Float64[np.ndarray, "q r 2 b"]
    correct_sum: Int64[np.ndarray, "q r 2 b"]
    log_sum: Float64[np.ndarray, "q r 2"]
    brier_sum: Float64[np.ndarray, "q r 2"]
    shared: Int64[np.ndarray, "q r d d"]

    @classmethod
    def zeros(cls, classes: Classes, *, n_raters: int, n_bins: int) -> "Counts":
        """Return the counts of no voxels."""
        asked = len(questions(classes)), n_raters
        answers = len(classes.names) if classes.exclusive else 2
        return cls(
            np.zeros((*asked, 2, n_bins), np.int64),
            np.zeros((*asked, 2, n_bins)),
            np.zeros((*asked, 2, n_bins), np.int64),
            np.zeros((*asked, 2)),
            np.zeros((*asked, 2)),
            np.zeros((*asked, answers, answers), np.int64),
        )

    def join(self, *others: "Counts") -> "Counts":
        """Return the counts in this and further slabs."""
        parts = (self, *others)
        return Counts(*(np.sum([getattr(part, name) for part in parts], axis=0) for name in Counts.__slots__))

    def bins(self, question: int, rater: int, *, inside: bool) -> ReliabilityBins:
        """Reliability bins of the rater's box, or of the whole image."""
        held = slice(1, 2) if inside else slice(None)
        count, confident, correct = (
            each[question, rater, held].sum(axis=0) for each in (self.count, self.confidence_sum, self.correct_sum)
        )
        return ReliabilityBins(count, confident, correct.astype(np.float64))

    def scores(self, question: int, rater: int, *, inside: bool) -> ProbabilityScores:
        """Sums of the proper scores in the rater's box, or in the whole image."""
        held = slice(1, 2) if inside else slice(None)
        n, log_sum, brier_sum = (
            each[question, rater, held].sum() for each in (self.count, self.log_sum, self.brier_sum)
        )
        return ProbabilityScores(int(n), float(log_sum), float(brier_sum))

    def overlaps(self, rater: int, *, exclusive: bool, voxel_volume_ml: float) -> Iterator[Overlap]:
        """Yield the overlap of every structure with one rater."""
        tables = self.shared[:, rater]
        for table, s in ((tables[0], s) for s in range(1, len(tables[0]))) if exclusive else ((t, 1) for t in tables):
            both, predicted, referred = int(table[s, s]), int(table[s].sum()), int(table[:, s].sum())
            neither = int(table.sum()) - predicted - referred + both
            yield Overlap(both, predicted - both, referred - both, neither, voxel_volume_ml)


def count_slab(prediction: Member, truths: SlabTruths, *, n_bins: int) -> tuple[Counts, HardMap]:
    """Compare one prediction with every rater in one slab; return its decisions too.

    Raises:
        ValueError: fewer than one bin.
    """
    if n_bins < 1:
        raise ValueError(f"need one bin or more, got {n_bins}")
    counts = Counts.zeros(prediction.classes, n_raters=len(truths.truths), n_bins=n_bins)
    edges = (np.arange(1, n_bins) / n_bins).astype(np.float32)
    if not prediction.classes.exclusive:
        _count_regions(prediction, truths, counts, edges)
        return counts, HardMap.of(prediction)
    labels = _count_classes(prediction, truths, counts, edges)
    for r, truth in enumerate(truths.truths):
        if truth.soft:
            counts.brier_sum[0, r] = _soft_brier(prediction, truths, truth)
    return counts, HardMap(labels[np.newaxis], len(prediction.classes.structures), exclusive=True)


def _count_classes(prediction: Member, truths: SlabTruths, counts: Counts, edges: np.ndarray) -> np.ndarray:
    from plausible.evaluate.kernels import compare_classes

    p = prediction.probabilities
    order = memory_order(p)
    labels = np.empty(p[0].size, np.uint8 if len(p) <= 256 else np.uint16)
    compare_classes(
        *channels(p, order), len(p), truths.coded(0, order), edges, PROBABILITY_FLOOR, labels, *_of_question(counts, 0)
    )
    return in_order(labels, order, p.shape[1:])


def _count_regions(prediction: Member, truths: SlabTruths, counts: Counts, edges: np.ndarray) -> None:
    from plausible.evaluate.kernels import compare_region

    p = prediction.probabilities
    order = memory_order(p)
    flat, stride = channels(p, order)
    for q in range(len(p)):
        values = flat[q * stride : q * stride + p[0].size]
        compare_region(values, truths.coded(q, order), edges, PROBABILITY_FLOOR, *_of_question(counts, q))


def _of_question(counts: Counts, question: int) -> list[np.ndarray]:
    return [getattr(counts, name)[question] for name in Counts.__slots__]


def _soft_brier(prediction: Member, truths: SlabTruths, truth: Truth) -> list[float]:
    """Sums outside and inside the box against probabilities of a rater, not labels."""
    p, y, inside = prediction.probabilities, truths.soft[truth.name].probabilities, truths.inside(truth)
    return [probability_scores(p, y, within=within).brier_sum for within in (~inside, inside)]


def _with_margin(hard: HardMap, geometry: Geometry, margin_mm: float) -> Box | None:
    """Voxels from and up to which the rater marked anything, plus a margin; None if nothing."""
    boxes = [box for box in hard.boxes() if box is not None]
    if not boxes:
        return None
    sides = []
    for axis, spacing in enumerate(geometry.spacing_mm):
        margin = math.ceil(margin_mm / spacing - 1e-6)
        first, last = min(box[axis].start for box in boxes), max(box[axis].stop for box in boxes)
        sides.append(slice(max(0, first - margin), last + margin))
    return sides[0], sides[1], sides[2]
