"""Tables of the samplers' study: scores of each arm, and differences to the deep ensemble, over cases and seeds."""

import json
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from plausible.evaluate import Estimate, area_under_risk_coverage, bootstrap_statistic, risk_coverage

MEANS = ("Dice", "NSD", "NLL", "Brier", "ECE")
KINDS = ("iid", "shifted")
SIGNALS = ("information", "image entropy")
N_RESAMPLES = 2000
LEAST = -1e9
"""Confidence in a case of which nothing can be said."""


def tables(
    out: Path, arms: Sequence[str], references: Sequence[str], trainings: dict[str, tuple[str, int]], *, seed: int
) -> str:
    """Return the tables as Markdown; an arm that was not run is left out. Every arm is compared with each reference."""
    done = {arm: _seeds(out, arm) for arm in arms}
    common = set.intersection(*(set(done[reference]) for reference in references))
    if not common:
        raise ValueError(f"{', '.join(references)}: the others are compared with them, and no seed of all is predicted")
    seeds = {arm: [s for s in done[arm] if s in common] for arm in arms}
    arms = [arm for arm in arms if seeds[arm]]
    parts = []
    for reference, kind in product(references, KINDS):
        columns = {arm: _columns(out, arm, kind, seeds[arm]) for arm in arms}
        base = {arm: _columns(out, reference, kind, seeds[arm]) for arm in arms}
        parts.append(_scores(columns, base, reference, kind, {arm: len(seeds[arm]) for arm in arms}, seed=seed))
    parts.append(_shift(out, arms, seeds, seed=seed))
    parts.append(_cost(out, arms, seeds, trainings))
    return "\n\n".join(parts)


Columns = dict[str, np.ndarray]
"""By measure: cases x seeds."""


def _folder(out: Path, arm: str, seed: int) -> Path:
    return out / "scores" / f"seed_{seed}" / arm.replace(" ", "_")


def _seeds(out: Path, arm: str) -> list[int]:
    told = sorted(int(path.name.removeprefix("seed_")) for path in (out / "scores").glob("seed_*"))
    return [seed for seed in told if (_folder(out, arm, seed) / "memory.json").exists()]


def _columns(out: Path, arm: str, kind: str, seeds: Sequence[int]) -> Columns:
    by_seed = []
    for seed in seeds:
        paths = sorted((_folder(out, arm, seed) / kind).glob("*.json"))
        by_seed.append([json.loads(path.read_text()) for path in paths])
    names = [name for name, value in by_seed[0][0].items() if not isinstance(value, str)]
    return {
        name: np.array([[np.nan if row[name] is None else row[name] for row in rows] for rows in by_seed]).T
        for name in names
    }


def _aurc(confidence: np.ndarray, dice: np.ndarray) -> float:
    """Mean over seeds of the area under the curve of 1 - Dice; NaN where no case has a confidence.

    A case in which nothing was predicted, so that nothing can be said of it, is the least confident.
    """
    if not np.isfinite(confidence).any():
        return float("nan")
    confidence = np.where(np.isfinite(confidence), confidence, LEAST)
    return float(
        np.mean([area_under_risk_coverage(risk_coverage(c, 1 - d)) for c, d in zip(confidence.T, dice.T, strict=True)])
    )


def _statistics(columns: Columns) -> dict[str, tuple[np.ndarray, ...]]:
    """What each column of the table is made of, per case."""
    means = {name: (columns[name],) for name in MEANS}
    return {
        **means,
        "AURC (pairwise Dice)": (columns["agreement"], columns["Dice"]),
        "AURC (entropy)": (-columns["entropy"], columns["Dice"]),
    }


def _value(name: str, *parts: np.ndarray) -> float:
    return _aurc(*parts) if name.startswith("AURC") else float(np.mean(parts[0]))


def _scores(
    columns: dict[str, Columns],
    base: dict[str, Columns],
    reference: str,
    kind: str,
    n_seeds: dict[str, int],
    *,
    seed: int,
) -> str:
    made = {arm: _statistics(found) for arm, found in columns.items()}
    theirs = {arm: _statistics(found) for arm, found in base.items()}
    names = list(next(iter(made.values())))
    n = len(next(iter(columns.values()))["Dice"])
    lines = [
        f"**{kind}, n = {n} cases.** Mean; in brackets the difference to the {reference} of the same seeds, with its "
        "95 % interval (paired BCa bootstrap over cases, for these networks).",
        "",
        f"| sampler | seeds | {' | '.join(names)} |",
        "|---|---|" + "---|" * len(names),
    ]
    for arm, found in made.items():
        cells = [_cell(name, found[name], theirs[arm][name], arm == reference, seed=seed) for name in names]
        lines.append(f"| {arm} | {n_seeds[arm]} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(
    name: str, ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...], is_reference: bool, *, seed: int
) -> str:
    value = _value(name, *ours)
    if not np.isfinite(value):
        return "-"
    if is_reference:
        return f"{value:.4f}"
    found = _difference(name, ours, theirs, seed=seed)
    return f"{value:.4f} ({found.value:+.4f}; {found.low:+.4f} to {found.high:+.4f})"


def _difference(name: str, ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], *, seed: int) -> Estimate:
    """Bootstrap over cases: a draw takes the same cases of both arms, with all their seeds."""
    parts = len(ours)
    patients = np.arange(len(ours[0]), dtype=float)

    def statistic(drawn: np.ndarray) -> float:
        rows = drawn.astype(int)
        both = [array[rows] for array in (*ours, *theirs)]
        return _value(name, *both[:parts]) - _value(name, *both[parts:])

    return bootstrap_statistic(statistic, patients, seed=seed, n_resamples=N_RESAMPLES)


def _shift(out: Path, arms: Sequence[str], seeds: dict[str, list[int]], *, seed: int) -> str:
    lines = [
        "**Telling shifted images from others**: AUROC of the image's mean, each image once as it is and once with an "
        "artefact, with 95 % intervals over cases; then of images from elsewhere against the test images.",
        "",
        "| sampler | information, artefact | entropy, artefact | information, elsewhere | entropy, elsewhere |",
        "|---|---|---|---|---|",
    ]
    for arm in arms:
        iid, other = (_columns(out, arm, kind, seeds[arm]) for kind in KINDS)
        cells = [_auroc_cell(iid[name], other[name], seed=seed) for name in SIGNALS]
        cells += _elsewhere(out, arm, iid, seeds[arm])
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _elsewhere(out: Path, arm: str, iid: Columns, seeds: Sequence[int]) -> list[str]:
    """AUROC of the few images from elsewhere, with their number; no interval for so few."""
    if not all((_folder(out, arm, seed) / "others").is_dir() for seed in seeds):
        return ["-"] * len(SIGNALS)
    other, found = _columns(out, arm, "others", seeds), []
    for name in SIGNALS:
        known = np.isfinite(iid[name]).all()
        values = [_auroc(a, b) for a, b in zip(iid[name].T, other[name].T, strict=True)] if known else []
        found.append(f"{np.mean(values):.3f} (n = {len(other[name])})" if values else "-")
    return found


def _auroc_cell(iid: np.ndarray, other: np.ndarray, *, seed: int) -> str:
    if not (np.isfinite(iid).all() and np.isfinite(other).all()):
        return "-"
    patients = np.arange(len(iid), dtype=float)

    def statistic(drawn: np.ndarray) -> float:
        rows = drawn.astype(int)
        return float(np.mean([_auroc(a, b) for a, b in zip(iid[rows].T, other[rows].T, strict=True)]))

    found = bootstrap_statistic(statistic, patients, seed=seed, n_resamples=N_RESAMPLES)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _auroc(low: np.ndarray, high: np.ndarray) -> float:
    """Share of pairs in which the second is higher; ties count half."""
    difference = high[:, None] - low[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def _cost(out: Path, arms: Sequence[str], seeds: dict[str, list[int]], trainings: dict[str, tuple[str, int]]) -> str:
    lines = [
        "**Cost.** Processor minutes of training, processor seconds of all members of one image, peak memory of "
        "predicting.",
        "",
        "| sampler | members | training, CPU min | inference, CPU s | peak, MB |",
        "|---|---|---|---|---|",
    ]
    for arm in arms:
        columns = _columns(out, arm, "iid", seeds[arm])
        memory = [json.loads((_folder(out, arm, s) / "memory.json").read_text())["peak_mb"] for s in seeds[arm]]
        minutes = [_minutes(out, *trainings[arm], seed) for seed in seeds[arm]]
        lines.append(
            f"| {arm} | {columns['members'].max():.0f} | {np.mean(minutes):.1f} | "
            f"{np.median(columns['cpu_seconds']):.2f} | {np.mean(memory):.0f} |"
        )
    return "\n".join(lines)


def _minutes(out: Path, training: str, members: int, seed: int) -> float:
    model = json.loads((out / "models" / f"seed_{seed}" / training / "model.json").read_text())
    records = model["members"][: members or None]
    return float(sum(record["cpu_minutes"] or record["minutes"] for record in records))
