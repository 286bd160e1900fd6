"""Time and memory of every pairwise matrix of one case, against the obvious loop in numpy.

    python benchmarks/diversity.py [--members 20 --structures 5 --shape 256 256 128]

Members are label maps made on demand, so that what a variant keeps is what it needs; making them is timed too and the
same for all. Compared on the contour band, against one reference: disagreement, 1 - Dice, error consistency, Q,
correlation, double fault and normalised disagreement of every pair and structure, and the silent-failure rate. The loop
keeps all label maps and compares masks two at a time with numpy. It is given the band; `plausible` finds it within its
time. The largest difference between their matrices is printed. Each variant runs in a process of its own, one thread.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from plausible.core import Classes, Geometry, MemberInfo, Members
from plausible.diversity.decisions import Decisions, decision_pairs, error_counts, mask_pairs
from plausible.diversity.pairwise import ErrorPairs
from plausible.diversity.pairwise_measures import DIVERSITY_MEASURES, GROUP_MEASURES
from plausible.diversity.voxel_sets import unpacked, voxel_set

OURS, LOOP = "plausible", "numpy loop"
SPACING_MM = (1.0, 1.0, 2.0)


@dataclass(frozen=True)
class Blobs:
    """A label map of ellipsoids, drawn anew whenever it is read."""

    number: int
    classes: Classes
    shape: tuple[int, int, int]
    hard: bool = True

    @property
    def info(self) -> MemberInfo:
        return MemberInfo(id=f"member_{self.number}")

    def labels(self) -> np.ndarray:
        rng = np.random.default_rng(self.number)
        values = np.zeros(self.shape, np.uint8)
        axes = [np.arange(n, dtype=np.float32) / n for n in self.shape]
        for s in range(len(self.classes.structures)):
            centre = 0.2 + 0.6 * np.array([s * 0.37 % 1, s * 0.61 % 1, s * 0.83 % 1]) + 0.008 * rng.normal(size=3)
            radius = 0.12 * (1 + 0.05 * rng.normal(size=3))
            apart = [((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radius, strict=True)]
            values[apart[0][:, None, None] + apart[1][:, None] + apart[2] < 1] = s + 1
        return values

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        part = (slice(None),) * axis + (slice(start, stop),)
        return self.classes.encode(self.labels()[part])


def setting(asked: argparse.Namespace) -> tuple[Members, Members]:
    shape = tuple(asked.shape)
    classes = Classes.exclusive_of({"background": 0, **{f"organ {n}": n for n in range(1, asked.structures + 1)}})
    grid = Geometry(shape, np.diag([*SPACING_MM, 1.0]))
    members = Members(grid, classes, tuple(Blobs(n, classes, shape) for n in range(asked.members)))
    return members, Members(grid, classes, (Blobs(10_000, classes, shape),))


def with_plausible(members: Members, references: Members) -> tuple[dict[str, np.ndarray], float]:
    start = time.perf_counter()
    decisions = Decisions.of(members)
    truth = Decisions.of_references(references, members).bits[0]
    read_s = time.perf_counter() - start
    region = voxel_set("contour_band", np.concatenate([decisions.bits, truth[None]]), members.geometry, references=1)
    found: dict[str, np.ndarray] = {}
    for place, structure in enumerate(decisions.structures):
        errors, group = error_counts(decisions, truth, structure, region.bits[place])
        differ = decision_pairs(decisions, structure, region.bits[place])
        counts = [errors, differ] + ([mask_pairs(decisions, structure)] if structure else [])
        for entry in DIVERSITY_MEASURES:
            for one in counts:
                if entry.reads is type(one):
                    found[f"{entry.name} {structure}"] = entry.function(one)
        found[f"silent_failure_rate {structure}"] = GROUP_MEASURES["silent_failure_rate"].function(group)
    return found, read_s


def with_loop(
    members: Members, references: Members, found_bands: list[np.ndarray]
) -> tuple[dict[str, np.ndarray], float]:
    start = time.perf_counter()
    kept = [members.classes.decode(member.probabilities) for member in members]
    (truth,) = (members.classes.decode(one.probabilities) for one in references)
    read_s = time.perf_counter() - start
    structures = (*members.classes.structures, "")
    found: dict[str, np.ndarray] = {}
    for place, (structure, band) in enumerate(zip(structures, found_bands, strict=True)):
        masks = [one == place + 1 if structure else one for one in kept]
        right = truth == place + 1 if structure else truth
        for name, values in loop_over_pairs(masks, right, band, dice=bool(structure)):
            found[f"{name} {structure}"] = values
        told = [mask[band] for mask in masks]
        alike = np.all([one == told[0] for one in told], axis=0)
        found[f"silent_failure_rate {structure}"] = np.mean(alike & (told[0] != right[band]))
    return found, read_s


def loop_over_pairs(
    masks: list[np.ndarray], right: np.ndarray, band: np.ndarray, *, dice: bool
) -> Iterator[tuple[str, np.ndarray]]:
    m = len(masks)
    names = ("n", "differ", "wrong", "both")
    n, differ, wrong, both = (np.zeros((m, m)) for _ in names)
    distance = np.zeros((m, m))
    for a, b in [(a, a) for a in range(m)] + list(combinations(range(m), 2)):
        first, second, truth = masks[a][band], masks[b][band], right[band]
        differ[a, b] = differ[b, a] = np.sum(first != second)
        wrong[a, b], wrong[b, a] = np.sum(first != truth), np.sum(second != truth)
        both[a, b] = both[b, a] = np.sum((first != truth) & (second != truth))
        n[a, b] = n[b, a] = band.sum()
        if dice:
            shared = 2 * np.sum(masks[a] & masks[b])
            distance[a, b] = distance[b, a] = 1 - shared / (masks[a].sum() + masks[b].sum())
    pairs = ErrorPairs(tuple(map(str, range(m))), n, wrong, both, differ)
    for entry in DIVERSITY_MEASURES:
        if entry.reads is ErrorPairs:
            yield entry.name, entry.function(pairs)
    yield "disagreement", differ / n
    if dice:
        yield "dice_distance", distance


def bands(members: Members, references: Members) -> list[np.ndarray]:
    bits = np.concatenate([Decisions.of(members).bits, Decisions.of_references(references, members).bits])
    region = voxel_set("contour_band", bits, members.geometry, references=1)
    return [unpacked(one, members.geometry.shape) for one in region.bits]


def peak_mib() -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def run_one(asked: argparse.Namespace) -> None:
    members, references = setting(asked)
    small = argparse.Namespace(members=2, structures=2, shape=(32, 32, 16))
    with_plausible(*setting(small))  # loads what is compiled
    known = bands(members, references) if asked.variant == LOOP else []
    start, cpu = time.perf_counter(), time.process_time()
    found, read_s = with_plausible(members, references) if not known else with_loop(members, references, known)
    wall, used = time.perf_counter() - start, time.process_time() - cpu
    np.savez(asked.result, **found)
    print(json.dumps({"wall": wall, "cpu": used, "read": read_s, "peak": peak_mib()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--structures", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 128))
    parser.add_argument("--folder", type=Path, default=Path("."), help="where matrices of both lie for a moment")
    parser.add_argument("--only", choices=(OURS, LOOP), nargs="+", default=(OURS, LOOP))
    parser.add_argument("--variant", choices=(OURS, LOOP), help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.variant:
        run_one(asked)
        return
    told, results = {}, {}
    for n, variant in enumerate(asked.only):
        path = asked.folder / f".diversity_{n}.npz"
        settings = ["--members", asked.members, "--structures", asked.structures, "--shape", *asked.shape]
        line = [sys.executable, __file__, *map(str, settings), "--variant", variant, "--result", str(path)]
        done = subprocess.run(line, check=True, capture_output=True, text=True)
        told[variant] = json.loads(done.stdout)
        with np.load(path) as read:
            results[variant] = dict(read)
        path.unlink()
    print(f"{asked.members} members, {asked.structures} structures, {'x'.join(map(str, asked.shape))} voxels")
    print(f"{'':12} {'all':>8} {'reading':>8} {'pairs':>8} {'processor':>9} {'peak':>10}")
    for variant, one in told.items():
        times = (one["wall"], one["read"], one["wall"] - one["read"], one["cpu"])
        print(f"{variant:12} " + " ".join(f"{seconds:6.1f} s" for seconds in times) + f" {one['peak']:7.0f} MiB")
    if len(results) < 2:
        return
    apart = max(np.nanmax(np.abs(results[OURS][name] - values)) for name, values in results[LOOP].items())
    print(f"largest difference {apart:.1e} over {len(results[LOOP])} matrices")


if __name__ == "__main__":
    main()
