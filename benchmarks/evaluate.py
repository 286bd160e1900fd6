"""Time and memory of the evaluation of one case and of a cohort, against loops of numpy and scipy.

    python benchmarks/evaluate.py [--members 10 --structures 5 --raters 3 --shape 256 256 128]
    python benchmarks/evaluate.py --only cohort [--cases 10000 --resamples 10000]

Prints seconds, processor seconds, how many times faster than each loop, peak memory, and the largest difference of
any number from the loop's. `first call` is what a process pays once before (loading and compiling, a small case).

The case: members are soft maps of blobs that shift and swell from member to member, in the member store; raters are
label maps. "Full evaluation" is what `plausible evaluate` does of a case: every member and the mean of all against
every rater (overlap, surfaces, calibration in the whole image and around the reference), raters against each other,
volumes, pairwise agreement, and the distances and correlations of the two sets.

Every arm runs in a process of its own, reads the members from the store and writes its numbers; the clock runs from
the first read to the last number. The loops take minutes; `--only` leaves them out. `loop` is `evaluate_loop.py` with
surfaces in the box around both masks, `loop, whole image` the same with distance transforms of the whole image. Peak
memory is that of the whole process.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import evaluate_loop
import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from plausible.aggregate import agreement_rows, volume_rows
from plausible.core import Classes, Geometry, Member, MemberInfo, Members, Score
from plausible.evaluate import (
    ambiguity_rows,
    area_under_risk_coverage,
    bootstrap_mean,
    bootstrap_weighted,
    ceiling_rows,
    evaluate_case,
    paired_difference,
    risk_coverage,
    weighted_aurc,
    weighted_auroc,
)
from plausible.io.store import StoreSource, store_path, write_member
from plausible.measure import default_slab_voxels

OURS, OURS_1, LOOP, LOOP_WHOLE = "plausible", "plausible, 1 thread", "loop", "loop, whole image"
ARMS = (OURS, OURS_1, LOOP, LOOP_WHOLE)
SPACING_MM = (1.0, 1.0, 2.0)
TOLERANCE_MM = 2.0
COHORT = "cohort"
SMALL = (48, 44, 30)


@dataclass(frozen=True)
class Setting:
    members: int
    structures: int
    raters: int
    shape: tuple[int, int, int]
    folder: str = ""

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.shape, np.diag([*SPACING_MM, 1.0]))

    @property
    def classes(self) -> Classes:
        return Classes.exclusive_of({"background": 0} | {f"organ {s}": s for s in range(1, self.structures + 1)})

    @property
    def infos(self) -> list[MemberInfo]:
        return [MemberInfo(id=f"member_{m}") for m in range(self.members)]


def field(shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Smooth noise of mean 0 and SD 1."""
    coarse = gaussian_filter(np.random.default_rng(seed).standard_normal([-(-n // 8) for n in shape]), 1.5)
    coarse = (coarse - coarse.mean()) / coarse.std()
    fine = zoom(coarse.astype(np.float32), [n / m for n, m in zip(shape, coarse.shape, strict=True)], order=1)
    return np.asarray(fine, dtype=np.float32)


def soft_map(setting: Setting, *, seed: int, sd_mm: float) -> np.ndarray:
    """Softmax of the distances to ellipsoids whose surfaces move in and out by smooth noise."""
    shape, rng = setting.shape, np.random.default_rng(7)
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    noise = field(shape, seed) * np.float32(sd_mm)
    half_mm = np.array([n * spacing / 2 for n, spacing in zip(shape, SPACING_MM, strict=True)])
    p = np.zeros((setting.structures + 1, *shape), dtype=np.float32)
    for s in range(1, setting.structures + 1):
        angle = 2 * math.pi * s / setting.structures
        centre = np.array([0.45 * math.cos(angle), 0.45 * math.sin(angle), rng.uniform(-0.3, 0.3)])
        radii_mm = rng.uniform(0.18, 0.3, 3) * half_mm
        squares = [
            ((axis - c) * half / r) ** 2 for axis, c, half, r in zip(axes, centre, half_mm, radii_mm, strict=True)
        ]
        r = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :])
        p[s] = np.clip((1 - r) * np.float32(radii_mm.mean()) + np.roll(noise, 31 * s, axis=0), -12, 12)
    np.exp(p, out=p)
    p /= p.sum(axis=0)
    return p


def write_case(setting: Setting) -> None:
    folder = Path(setting.folder)
    for m, info in enumerate(setting.infos):
        made = Member(soft_map(setting, seed=m, sd_mm=1.5), setting.geometry, setting.classes, info)
        write_member(folder, made, subject="case")
    labels = [soft_map(setting, seed=100 + r, sd_mm=1.0).argmax(axis=0) for r in range(setting.raters)]
    np.save(folder / "raters.npy", np.array(labels, dtype=np.uint8))


def stored_members(setting: Setting) -> Members:
    paths = [store_path(Path(setting.folder), member=info.id, subject="case") for info in setting.infos]
    sources = tuple(StoreSource(path, info) for path, info in zip(paths, setting.infos, strict=True))
    return Members(setting.geometry, setting.classes, sources, "case", sliceable=True)


def stored_raters(setting: Setting) -> np.ndarray:
    return np.asarray(np.load(Path(setting.folder) / "raters.npy"))


def evaluate_ours(setting: Setting, n_threads: int | None) -> dict[evaluate_loop.Key, float]:
    members = stored_members(setting)
    infos = [MemberInfo(id=f"rater_{r}", kind="rater") for r in range(setting.raters)]
    raters = Members.from_labels(
        list(stored_raters(setting)), geometry=setting.geometry, classes=setting.classes, infos=infos
    )
    slab_voxels = default_slab_voxels(members)
    scored = evaluate_case(members, raters, tolerance_mm=TOLERANCE_MM, slab_voxels=slab_voxels, n_threads=n_threads)
    rows = [
        *scored.rows,
        *volume_rows(scored.volumes, subject="case"),
        *agreement_rows(scored.overlap, subject="case"),
        *ambiguity_rows(members, raters, slab_voxels=slab_voxels, n_threads=n_threads),
        *ceiling_rows(raters, tolerance_mm=TOLERANCE_MM, slab_voxels=slab_voxels),
    ]
    return {(row.measure, row.structure, row.region, row.reduction, row.against): row.value for row in rows}


def evaluate_by_loop(setting: Setting, *, cropped: bool) -> dict[evaluate_loop.Key, float]:
    told = evaluate_loop.Setting(setting.classes.structures, SPACING_MM, tolerance_mm=TOLERANCE_MM, cropped=cropped)
    members = np.stack([member.probabilities for member in stored_members(setting)])
    return evaluate_loop.evaluate_with_loops(members, stored_raters(setting), told)


def runner(arm: str, setting: Setting) -> dict:
    """Run one arm."""
    makers: dict[str, Callable[[], dict]] = {
        OURS: lambda: evaluate_ours(setting, None),
        OURS_1: lambda: evaluate_ours(setting, 1),
        LOOP: lambda: evaluate_by_loop(setting, cropped=True),
        LOOP_WHOLE: lambda: evaluate_by_loop(setting, cropped=False),
    }
    return makers[arm]()


def timed(function: Callable[[], object]) -> tuple[object, float, float]:
    """Result, seconds on the clock and seconds of processor time."""
    clock, busy = time.perf_counter(), time.process_time()
    found = function()
    return found, time.perf_counter() - clock, time.process_time() - busy


def run_arm(arm: str, setting: Setting) -> dict:
    """Evaluate a small case, then the one that counts; the numbers go into a file."""
    first = 0.0
    with tempfile.TemporaryDirectory() as folder:
        small = Setting(2, setting.structures, setting.raters, SMALL, folder)
        write_case(small)
        _, first, _ = timed(lambda: runner(arm, small))
    found, seconds, busy = timed(lambda: runner(arm, setting))
    assert isinstance(found, dict)
    numbers = [[list(key), value] for key, value in found.items()]
    (Path(setting.folder) / f"{arm}.json").write_text(json.dumps(numbers))
    return {"first": first, "seconds": seconds, "busy": busy, "peak": peak_mib()}


def peak_mib() -> float:
    """Peak of this process (Linux); what the parent needed before does not count."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def largest_difference(setting: Setting, arm: str, loop: str) -> tuple[float, int]:
    """Largest difference from a loop, as a share of values above 1, and how many numbers both have."""
    ours, theirs = (
        {tuple(key): value for key, value in json.loads((Path(setting.folder) / f"{name}.json").read_text())}
        for name in (arm, loop)
    )
    missing = [key for key in theirs if key not in ours]
    if missing:
        raise SystemExit(f"{arm} lacks {len(missing)} numbers, such as {missing[0]}")
    pairs = [(ours[key], value) for key, value in theirs.items()]
    if any(math.isnan(a) != math.isnan(b) for a, b in pairs):
        raise SystemExit("one of both is not defined")
    return max(abs(a - b) / max(1, abs(b)) for a, b in pairs if not math.isnan(a)), len(pairs)


def print_case(setting: Setting, arms: list[str]) -> None:
    done = {arm: child(arm, setting) for arm in arms}
    loops = [arm for arm in arms if arm.startswith(LOOP)]
    print(f"{setting.members} members, {setting.structures} structures, {setting.raters} raters, {setting.shape}")
    print(f"load of the machine {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} processors\n")
    print("| arm | s | processor s |", *(f"{loop}, processor time × |" for loop in loops), "peak MiB | first call s |")
    print("|---|---|---|" + "---|" * (len(loops) + 2))
    for arm, r in done.items():
        times = "".join(f" {done[loop]['busy'] / r['busy']:.1f} |" for loop in loops)
        print(f"| {arm} | {r['seconds']:.1f} | {r['busy']:.1f} |{times} {r['peak']:.0f} | {r['first']:.1f} |")
    for arm in (arm for arm in arms if arm not in loops):
        for loop in loops:
            apart, n = largest_difference(setting, arm, loop)
            print(f"\n{arm} and {loop}: {n} numbers, largest difference {apart:.1e}")


def print_cohort(cases: int, resamples: int) -> None:
    """Times of the numbers of a cohort, in one process; peak memory is that of all up to there."""
    rng = np.random.default_rng(0)
    risk = rng.beta(2, 8, cases)
    confidence = -risk + rng.normal(0, 0.1, cases)
    told = {"seed": 0, "n_resamples": resamples}
    rows = [dice_rows(risk + rng.normal(0, 0.02, cases)) for _ in range(2)]
    tasks: dict[str, Callable[[], object]] = {
        "risk-coverage curve and area": lambda: area_under_risk_coverage(risk_coverage(confidence, risk)),
        "mean, BCa": lambda: bootstrap_mean(risk, **told),
        "paired difference, BCa": lambda: paired_difference(*rows, **told),
        "AURC, BCa": lambda: bootstrap_weighted(weighted_aurc, confidence, risk, **told),
        "AUROC, BCa": lambda: bootstrap_weighted(weighted_auroc, -confidence, (risk > 0.3).astype(float), **told),
    }
    print(f"{cases} cases, {resamples} resamples, load {os.getloadavg()[0]:.1f}\n")
    print("| cohort | s | processor s | peak MiB |\n|---|---|---|---|")
    for name, task in tasks.items():
        _, seconds, busy = timed(task)
        print(f"| {name} | {seconds:.2f} | {busy:.2f} | {peak_mib():.0f} |", flush=True)
    print()


def dice_rows(values: np.ndarray) -> list[Score]:
    named = {"measure": "dice", "unit": "1", "higher_is": "better", "n": 1}
    return [Score(subject=f"case {n}", value=float(value), **named) for n, value in enumerate(values)]


def child(arm: str, setting: Setting) -> dict:
    """Run one arm in a process of its own."""
    line = [sys.executable, __file__, "--task", arm, "--folder", setting.folder, "--members", str(setting.members)]
    line += ["--structures", str(setting.structures), "--raters", str(setting.raters)]
    line += ["--shape", *map(str, setting.shape)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{arm}: {done.stderr}")
    return dict(json.loads(done.stdout))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--structures", type=int, default=5)
    parser.add_argument("--raters", type=int, default=3)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 128))
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", choices=(*ARMS, COHORT), help="these arms; all by default")
    for hidden in ("--task", "--folder"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    told = parse()
    setting = Setting(told.members, told.structures, told.raters, tuple(told.shape), told.folder)
    if told.task:
        print(json.dumps(run_arm(told.task, setting)))
        return
    wanted = told.only or [*ARMS, COHORT]
    arms = [arm for arm in ARMS if arm in wanted]
    if COHORT in wanted:  # before the case is made, which takes more memory
        print_cohort(told.cases, told.resamples)
    if arms:
        with tempfile.TemporaryDirectory() as folder:
            case = replace(setting, folder=folder)
            write_case(case)
            print_case(case, arms)


if __name__ == "__main__":
    main()
