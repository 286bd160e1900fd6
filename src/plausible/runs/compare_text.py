"""A comparison as plain text: one line per measure and pair of methods, and who comes first."""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from plausible.evaluate import AURC, ENSEMBLE, ComparedLine, Ranked

HEADLINES = (
    "dice",
    "normalized_surface_dice",
    "hausdorff_distance_95",
    "absolute_volume_difference_ml",
    "negative_log_likelihood",
    "brier_score",
    "expected_calibration_error",
    AURC,
)
"""Measures that are shown on the screen; the tables hold all."""
DASH = "–"
COLUMNS = ("difference", "95 % interval", "d", "r", "superior", "p", "Holm", "BH", "better", "n", "undefined")


def headlines(lines: Sequence[ComparedLine]) -> list[ComparedLine]:
    """Lines of the most read measures, of the members' mean; all if there are none of them."""
    found = [one for one in lines if (one.measure in HEADLINES and one.reduction == ENSEMBLE) or one.measure == AURC]
    return found or list(lines)


def comparison_text(lines: Sequence[ComparedLine], ranking: Sequence[Ranked]) -> str:
    """Return the table of all lines, a block for each pair of methods, and the ranks."""
    text: list[str] = []
    for (first, second), of_pair in groupby(lines, key=lambda one: (one.first, one.second)):
        text += [f"{first} minus {second}", *_aligned(list(of_pair)), ""]
    text += _notes(lines)
    if ranking:
        text += ["", "first in so many draws of patients (rank, its interval):", *_ranks(ranking)]
    return "\n".join(text) + "\n"


def _aligned(lines: Sequence[ComparedLine]) -> Iterator[str]:
    level = f"{100 * lines[0].level:g} % interval"
    head = ("measure", *(level if name == "95 % interval" else name for name in COLUMNS))
    rows = [head, *map(_cells, lines)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    for row in rows:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  ".join((row[0].ljust(widths[0]), *rest)).rstrip()


def _cells(line: ComparedLine) -> tuple[str, ...]:
    name = " ".join(filter(None, (line.measure, line.structure, line.region, line.reduction)))
    n = f"{line.n}" if line.n == line.n_patients else f"{line.n} of {line.n_patients}"
    interval = DASH if math.isnan(line.low) else f"[{_signed(line.low)}, {_signed(line.high)}]"
    unit = "" if line.unit in ("1", "risk") else f" {line.unit}"
    return (
        name,
        _signed(line.difference) + unit,
        interval,
        _fixed(line.cohens_d, "+.2f"),
        _fixed(line.rank_biserial, "+.2f"),
        _fixed(line.superiority, ".2f"),
        *(_probability(p) for p in (line.p, line.p_holm, line.p_benjamini_hochberg)),
        line.better or DASH,
        n,
        str(line.n_undefined),
    )


def _signed(value: float) -> str:
    return _fixed(value, "+.3g")


def _fixed(value: float, form: str) -> str:
    return DASH if math.isnan(value) else format(value, form)


def _probability(p: float) -> str:
    return DASH if math.isnan(p) else f"{p:.2g}" if p >= 0.0001 else "<0.0001"


def _notes(lines: Sequence[ComparedLine]) -> Iterator[str]:
    n_compared = lines[0].n_compared if lines else 0
    yield f"p: sign-flip test, adjusted for {n_compared} lines by Holm and by Benjamini-Hochberg (BH)."
    yield "d: Cohen's d of paired differences. r: matched-pairs rank-biserial. superior: share of cases in which the"
    yield "first is better. better: whom the mean difference speaks for, whatever p. n: cases (of so many patients)."


def _ranks(ranking: Sequence[Ranked]) -> Iterator[str]:
    def key(one: Ranked) -> tuple[str, ...]:
        return one.measure, one.structure, one.region, one.reduction

    for name, alike in groupby(ranking, key=key):
        ordered = sorted(alike, key=lambda one: one.mean_rank)
        places = (f"{one.method} {one.share_first:.0%} ({one.rank:g}, {one.low:g} to {one.high:g})" for one in ordered)
        yield f"  {' '.join(filter(None, name))}: {', '.join(places)}, n {ordered[0].n}"
