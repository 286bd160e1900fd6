"""Time and memory of calibrating voxel sets on whole volumes, reading included, against MAPIE on what it can hold.

    python benchmarks/conformal.py --cases 50 --members 3

Writes a few distinct made-up cases to a temporary store, then reads them as if they were `--cases` patients. Each
measurement runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPE = (256, 256, 128)
STRUCTURES = 5
DISTINCT = 3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--measure", choices=["ours", "mapie"])
    options = parser.parse_args()
    if options.measure == "ours":
        ours(options.store, options.cases, options.members)
    elif options.measure == "mapie":
        mapie()
    else:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write(Path(folder), options.members)
            print(f"wrote {DISTINCT} cases x {options.members} members in {time.perf_counter() - start:.0f} s")
            for what in ("ours", "mapie"):
                line = [sys.executable, __file__, "--measure", what, "--store", folder]
                line += ["--cases", str(options.cases), "--members", str(options.members)]
                subprocess.run(line, check=True)


def classes_and_grid():
    from plausible.core import Classes, Geometry

    classes = Classes.exclusive_of({"background": 0, **{f"organ_{n}": n for n in range(1, STRUCTURES + 1)}})
    return classes, Geometry(SHAPE, np.diag([1.0, 1.0, 2.5, 1.0]))


def write(store: Path, members: int) -> None:
    from plausible.core import Member, MemberInfo
    from plausible.io.store import write_member

    classes, geometry = classes_and_grid()
    axes = np.indices(SHAPE, dtype=np.float32)
    for case in range(DISTINCT):
        rng = np.random.default_rng(case)
        centres = rng.uniform(0.25, 0.75, (STRUCTURES, 3)) * SHAPE
        radii = rng.uniform(15, 40, STRUCTURES)
        depths = [
            r - np.sqrt(sum((a - x) ** 2 for a, x in zip(axes, c, strict=True)))
            for r, c in zip(radii, centres, strict=True)
        ]
        labels = np.argmax([np.zeros(SHAPE), *depths], axis=0).astype(np.uint8)
        np.save(store / f"reference_{case}.npy", labels)
        for number in range(members):
            noise = rng.normal(scale=2, size=STRUCTURES)
            logits = np.stack([np.zeros(SHAPE, np.float32), *(d + e for d, e in zip(depths, noise, strict=True))])
            p = np.exp(logits.clip(-30, 30))
            p = (p / p.sum(axis=0)).astype(np.float32)
            member = Member(p, geometry, classes, MemberInfo(id=f"member_{number}", kind="seed", seed=number))
            write_member(store, member, subject=f"case_{case}")


def ours(store: Path, cases: int, members: int) -> None:
    from plausible.calibrate import fit_by_structure, fit_risk_control, loss_curve, threshold_counts
    from plausible.core import MemberInfo, Members
    from plausible.io.store import StoreSource, store_path

    classes, geometry = classes_and_grid()
    start = time.perf_counter()
    curves = []
    for case in range(cases):
        infos = [MemberInfo(id=f"member_{number}") for number in range(members)]
        kind = f"case_{case % DISTINCT}"
        sources = tuple(StoreSource(store_path(store, member=i.id, subject=kind), i) for i in infos)
        read = Members(geometry, classes, sources, f"patient_{case}", sliceable=True)
        labels = np.load(store / f"reference_{case % DISTINCT}.npy")
        reference = Members.from_labels([labels], geometry=geometry, classes=classes)
        counts = threshold_counts(read, reference)
        curves += [loss_curve(one, loss="false_negative_rate") for one in counts]
    measured = time.perf_counter()

    def fit(of_structure):
        return fit_risk_control(of_structure, alpha=0.1, absent="exclude", population="made up", date="2026-03-02")

    fit_by_structure(fit, curves)
    done = time.perf_counter()
    voxels = np.prod(SHAPE) * STRUCTURES
    print(
        f"plausible: {cases} cases of {' x '.join(map(str, SHAPE))} x {STRUCTURES} structures, {members} members: "
        f"{measured - start:.0f} s to measure, {1000 * (done - measured):.0f} ms to fit, peak {peak_gb():.2f} GB, "
        f"{1e9 * (measured - start) / (cases * voxels):.1f} ns a voxel and structure"
    )


def mapie() -> None:
    from mapie.risk_control import SemanticSegmentationController

    rng = np.random.default_rng(0)
    side, cases = 48, 9
    p = rng.random((cases, 1, side, side * side))
    truth = (rng.random(p.shape) < p).astype(int)
    before, start = peak_gb(), time.perf_counter()
    controller = SemanticSegmentationController(lambda x: x, risk="recall", method="crc", target_level=0.8)
    controller.calibrate(p, truth)
    taken = time.perf_counter() - start
    voxels = p.size
    print(
        f"MAPIE: {cases} cases of {side} x {side} x {side} x 1 structure, in memory: {taken:.1f} s, "
        f"peak {peak_gb():.2f} GB ({before:.2f} GB before), {1e9 * taken / voxels:.0f} ns and "
        f"{1e6 * (peak_gb() - before) / voxels:.2f} kB a voxel and structure"
    )


def peak_gb() -> float:
    """Largest memory of this process so far (Linux counts in kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
