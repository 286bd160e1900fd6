"""Time and memory of calibrating voxel sets on whole volumes, reading included, against MAPIE and plain numpy.

    python benchmarks/conformal.py --cases 50 --members 2

A few distinct made-up cases are written to a temporary member store; `--cases` patients are read from it, each of them
anew (from the page cache, mostly). Each measurement runs in a process of its own, so that its peak memory is its own;
writing does too, because Linux hands the peak of a parent down to its children.
The others get cases that they can hold; plausible runs on these too, and must find the same threshold.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SMALL = (48, 48, 48)
SMALL_CASES, SMALL_ALPHA = 9, 0.2
STRUCTURES, DISTINCT = 5, 2
THRESHOLDS = np.arange(0, 1, 0.01)
"""MAPIE's default, and the sweep of plain numpy; plausible keeps 1004."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--members", type=int, default=2)
    parser.add_argument("--shape", type=int, nargs=3, default=[256, 256, 128])
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--measure", choices=list(WAYS))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write:
        write(options.store, tuple(options.shape), n=options.cases, members=options.members)
        return
    if options.measure:
        measure(WAYS[options.measure], options.store, options.cases, options.alpha)
        return
    print("| what | cases | voxels | structures | members | s | peak GB | of it imports | thresholds |")
    print("|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        large, small = Path(folder) / "large", Path(folder) / "small"
        for store, shape, n in ((large, options.shape, DISTINCT), (small, SMALL, SMALL_CASES)):
            told = ("--store", store, "--cases", n, "--members", options.members, "--shape", *shape)
            subprocess.run([sys.executable, __file__, "--write", *map(str, told)], check=True)
        run("plausible", large, options.cases, options.alpha)
        for way in WAYS:
            run(way, small, SMALL_CASES, SMALL_ALPHA)


def run(way: str, store: Path, cases: int, alpha: float) -> None:
    """Measure one way in a process of its own and print its line."""
    line = [sys.executable, __file__, "--measure", way, "--store", store, "--cases", cases, "--alpha", alpha]
    found = json.loads(subprocess.run(list(map(str, line)), check=True, stdout=subprocess.PIPE, text=True).stdout)
    shape, members = (json.loads((store / "made.json").read_text())[key] for key in ("shape", "members"))
    grid = " x ".join(map(str, shape))
    thresholds = " ".join(f"{value:.3f}" for value in found["thresholds"])
    print(
        f"| {way} | {cases} | {grid} | {STRUCTURES} | {members} | {found['seconds']:.1f} | {found['peak_gb']:.2f} | "
        f"{found['before_gb']:.2f} | {thresholds} |",
        flush=True,
    )


def measure(way: Callable[..., list[float]], store: Path, cases: int, alpha: float) -> None:
    """Print time and peak memory of one way as JSON; imports are not timed."""
    from mapie.risk_control import SemanticSegmentationController  # noqa: F401

    import plausible.calibrate
    import plausible.io  # noqa: F401

    before, start = peak_gb(), time.perf_counter()
    thresholds = way(store, cases, alpha)
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_gb": peak_gb(), "before_gb": before, "thresholds": thresholds}))


def plausible_way(store: Path, cases: int, alpha: float) -> list[float]:
    """Count voxels slab by slab, one case after the other; keep two counts per threshold and structure."""
    from plausible.calibrate import fit_by_structure, fit_risk_control, loss_curve, threshold_counts

    curves = []
    for case in range(cases):
        counts = threshold_counts(members_of(store, case), reference_of(store, case))
        curves += [loss_curve(one, loss="false_negative_rate") for one in counts]

    def fit(of_structure):
        return fit_risk_control(of_structure, alpha=alpha, absent="exclude", population="made up", date="2026-03-02")

    fitted = fit_by_structure(fit, curves)
    return [one.threshold for one in fitted.groups.values()]


def mapie_at_once(store: Path, cases: int, alpha: float) -> list[float]:
    """Give MAPIE all cases, one structure after the other; the third axis is folded into the second."""
    found = []
    for structure in range(1, STRUCTURES + 1):
        pairs = [structure_of(store, case, structure) for case in range(cases)]
        controller = mapie_controller(alpha)
        controller.calibrate(np.stack([p for p, _ in pairs]), np.stack([mask for _, mask in pairs]))
        found.append(float(controller.best_predict_param[0]))
    return found


def mapie_by_case(store: Path, cases: int, alpha: float) -> list[float]:
    """Give MAPIE one case at a time (`compute_risks`), as its documentation advises for large data."""
    found = []
    for structure in range(1, STRUCTURES + 1):
        controller = mapie_controller(alpha)
        for case in range(cases):
            p, mask = structure_of(store, case, structure)
            controller.compute_risks(p[np.newaxis], mask[np.newaxis])
        controller.compute_best_predict_param()
        found.append(float(controller.best_predict_param[0]))
    return found


def numpy_sweep(store: Path, cases: int, alpha: float) -> list[float]:
    """Stack all cases and compare them with every threshold."""
    found = []
    for structure in range(1, STRUCTURES + 1):
        pairs = [structure_of(store, case, structure) for case in range(cases)]
        p, truth = np.stack([p for p, _ in pairs]), np.stack([mask for _, mask in pairs]).astype(bool)
        size = truth.sum(axis=(1, 2, 3))
        missed = np.array([((p < t) & truth).sum(axis=(1, 2, 3)) / size for t in THRESHOLDS])
        kept = (missed.sum(axis=1) + 1) / (cases + 1) <= alpha + 1e-12
        found.append(float(THRESHOLDS[np.flatnonzero(kept)[-1]]))
    return found


WAYS = {
    "plausible": plausible_way,
    "MAPIE, all cases at once": mapie_at_once,
    "MAPIE, case by case": mapie_by_case,
    "numpy, all cases stacked": numpy_sweep,
}


def mapie_controller(alpha: float):
    from mapie.risk_control import SemanticSegmentationController

    return SemanticSegmentationController(
        lambda x: x, risk="recall", method="crc", target_level=1 - alpha, predict_params=THRESHOLDS
    )


def members_of(store: Path, case: int):
    """Members of a patient, read lazily from the store."""
    from plausible.core import MemberInfo, Members
    from plausible.io.store import StoreSource, read_attributes, store_path

    made = json.loads((store / "made.json").read_text())
    subject = f"case_{case % made['n']}"
    infos = [MemberInfo(id=f"member_{number}") for number in range(made["members"])]
    sources = tuple(StoreSource(store_path(store, member=one.id, subject=subject), one) for one in infos)
    geometry, classes, _ = read_attributes(sources[0].path)
    return Members(geometry, classes, sources, f"patient_{case}", sliceable=True)


def reference_of(store: Path, case: int):
    from plausible.core import Members

    made = json.loads((store / "made.json").read_text())
    classes, geometry = classes_and_grid(tuple(made["shape"]))
    labels = np.load(store / f"reference_{case % made['n']}.npy")
    return Members.from_labels([labels], geometry=geometry, classes=classes)


def structure_of(store: Path, case: int, structure: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean probability and mask of one structure, as images of one channel for MAPIE."""
    members = members_of(store, case)
    mean = np.mean([member.probabilities[structure] for member in members], axis=0, dtype=np.float32)
    (truth,) = reference_of(store, case)
    flat = (1, mean.shape[0], -1)
    return mean.reshape(flat), (truth.probabilities[structure] > 0.5).astype(int).reshape(flat)


def classes_and_grid(shape: tuple[int, int, int]):
    from plausible.core import Classes, Geometry

    classes = Classes.exclusive_of({"background": 0, **{f"organ_{n}": n for n in range(1, STRUCTURES + 1)}})
    return classes, Geometry(shape, np.diag([1.0, 1.0, 2.5, 1.0]))


def write(store: Path, shape: tuple[int, int, int], *, n: int, members: int) -> None:
    """Write n made-up cases: balls whose borders every member puts elsewhere."""
    from plausible.core import Member, MemberInfo
    from plausible.io.store import write_member

    classes, geometry = classes_and_grid(shape)
    axes = np.indices(shape, dtype=np.float32)
    for case in range(n):
        rng = np.random.default_rng(case)
        centres = rng.uniform(0.25, 0.75, (STRUCTURES, 3)) * shape
        radii = rng.uniform(0.1, 0.25, STRUCTURES) * min(shape)
        apart = [sum((a - x) ** 2 for a, x in zip(axes, c, strict=True)) for c in centres]
        depths = [(r - np.sqrt(d)).astype(np.float32) for r, d in zip(radii, apart, strict=True)]
        store.mkdir(exist_ok=True)
        np.save(store / f"reference_{case}.npy", np.argmax([np.zeros(shape), *depths], axis=0).astype(np.uint8))
        for number in range(members):
            noise = rng.normal(scale=1, size=STRUCTURES).astype(np.float32)
            logits = np.stack([np.zeros(shape, np.float32), *(d + e for d, e in zip(depths, noise, strict=True))])
            p = np.exp(logits.clip(-30, 30))
            p /= p.sum(axis=0)
            member = Member(p, geometry, classes, MemberInfo(id=f"member_{number}", kind="seed", seed=number))
            write_member(store, member, subject=f"case_{case}")
    (store / "made.json").write_text(json.dumps({"shape": shape, "n": n, "members": members}))


def peak_gb() -> float:
    """Largest memory of this process so far (Linux counts in kB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
