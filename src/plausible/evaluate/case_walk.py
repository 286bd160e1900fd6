"""One walk over the members of a case: each is counted against every rater, and so is the mean of all."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from plausible.aggregate.hard import HardMap
from plausible.core import Member, Members, slabs
from plausible.evaluate.case_counts import Counts, SlabTruths, Truth, count_slab
from plausible.evaluate.decisions import Decisions
from plausible.measure.layout import channels, memory_order, rows, zeros_in

ENSEMBLE = "ensemble"
MEMBER = "member:"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """What is kept of a case, by what rows call the prediction.

    Attributes:
        counts: each prediction against every rater.
        hard: masks of each prediction.
        decisions: sizes and shared voxels of the members.
    """

    counts: Mapping[str, Counts]
    hard: Mapping[str, HardMap]
    decisions: Decisions

    def join(self, *others: "Walked", axis: int) -> "Walked":
        """Return what is kept of this and further slabs."""
        return Walked(
            {name: own.join(*(other.counts[name] for other in others)) for name, own in self.counts.items()},
            {name: own.join(*(other.hard[name] for other in others), axis=axis) for name, own in self.hard.items()},
            self.decisions.join(*(other.decisions for other in others), axis=axis),
        )


def walked(
    members: Members,
    raters: Members,
    truths: Sequence[Truth],
    *,
    n_bins: int,
    slab_voxels: int | None,
    n_threads: int,
) -> Walked:
    """Walk over the members, slab by slab.

    Args:
        members: the predictions.
        raters: those of `truths`, in slabs along the same axis; read again only where they are no label maps.
        truths: every rater.
        n_bins: bins of confidence.
        slab_voxels: work in slabs of about this many voxels; None takes whole members.
        n_threads: slabs at a time.
    """
    bounds = slabs(members, slab_voxels=slab_voxels)
    first, *rest = in_order(lambda slab: _slab(members, raters, truths, slab, n_bins), bounds, n_threads)
    return first.join(*rest, axis=members.slab_axis)


def in_order(work: Callable[[T], R], tasks: Sequence[T], n_threads: int) -> Iterator[R]:
    """Do the tasks in threads, a few ahead; yield results in the order of the tasks."""
    if min(n_threads, len(tasks)) < 2:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(n_threads) as executor:
        ahead: deque[Future[R]] = deque()
        for task in tasks:
            ahead.append(executor.submit(work, task))
            if len(ahead) > n_threads:
                yield ahead.popleft().result()
        for future in ahead:
            yield future.result()


def _slab(members: Members, raters: Members, truths: Sequence[Truth], bounds: tuple[int, int], n_bins: int) -> Walked:
    soft = [truth.name for truth in truths if truth.soft]
    read = {rater.info.id: rater for rater in raters.select(soft).slab(*bounds)} if soft else {}
    there = SlabTruths(truths, bounds, members.slab_axis, read)
    counts: dict[str, Counts] = {}
    hard: dict[str, HardMap] = {}
    decisions: Decisions | None = None
    for name, prediction in _segmentations(members, *bounds):
        counts[name], hard[name] = count_slab(prediction, there, n_bins=n_bins)
        if name != ENSEMBLE:
            own = Decisions.of(prediction, bits=hard[name].bits())
            decisions = decisions.merge(own) if decisions else own
        del prediction  # the next one is read before the name is bound again: two would be in memory
    assert decisions is not None
    return Walked(counts, hard, decisions)


def _segmentations(members: Members, start: int, stop: int) -> Iterator[tuple[str, Member]]:
    """Yield each member of a slab, then the mean of all, with the name that rows call it."""
    from plausible.evaluate.kernels import move_mean

    mean = None
    for n, member in enumerate(members.slab(start, stop), start=1):
        p = member.probabilities
        if mean is None:
            mean = zeros_in(memory_order(p), p.shape, np.float32)
        order = memory_order(mean)
        move_mean(*channels(p, order), rows(mean, order), np.float32(1 / n), member.classes.exclusive)
        last = replace(member, probabilities=mean, hard=False)
        yield MEMBER + member.info.id, member
        del member, p  # the next one is read before the names are bound again: two would be in memory
    yield ENSEMBLE, replace(last, probabilities=np.clip(last.probabilities, 0, 1, out=last.probabilities))
