"""Time and memory of the voxel decomposition, against numpy, torch and a plain read of the same bytes.

    python benchmarks/measure.py [--members 10 --classes 5 --shape 256 256 128 --repeats 7]

Every variant computes mean probability, predictive entropy, expected entropy and mutual information, in a process of
its own. There, all members lie in memory before the clock starts (float32, the same values for all variants). Each
timed run is followed by a timed read of the same bytes, so that what else the machine does meets both: `x read` is the
median of their ratios. Peak memory is what the variant needed beyond the members.

The second table reads members that are not in memory: made on demand, or from the member store. Its peak is the whole
process; it must not grow with the number of members.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plausible.core import ArraySource, Classes, Geometry, Member, MemberInfo, Members
from plausible.io.store import StoreSource, store_path, write_member
from plausible.measure import voxel_maps

PLAUSIBLE, ONE_THREAD = "plausible", "plausible, 1 thread"
NUMPY, TORCH = "numpy, stacked", "torch, stacked"
READ, READ_ALL = "read, 1 thread", "read, all threads"
VARIANTS = (PLAUSIBLE, ONE_THREAD, NUMPY, TORCH, READ, READ_ALL)
ON_DEMAND, WHOLE, STORE = "made on demand, slabs", "made on demand, whole", "member store"
MIB = 2**20


@dataclass(frozen=True)
class Setting:
    members: int
    classes: int
    shape: tuple[int, int, int]
    repeats: int
    store: str = ""

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.shape, np.eye(4))

    @property
    def named(self) -> Classes:
        return Classes.exclusive_of({f"class {n}": n for n in range(self.classes)})

    @property
    def infos(self) -> list[MemberInfo]:
        return [MemberInfo(id=f"member_{m}") for m in range(self.members)]


def softmax_field(setting: Setting) -> np.ndarray:
    """Probabilities that are confident in most voxels, as a network's are."""
    rng = np.random.default_rng(0)
    p = rng.standard_normal((setting.classes, *setting.shape), dtype=np.float32)
    p *= 4
    np.exp(p, out=p)
    p /= p.sum(axis=0)
    return p


def member(field: np.ndarray, m: int) -> np.ndarray:
    """Another member: the field mixed with itself, moved by m voxels."""
    return np.float32(0.7) * field + np.float32(0.3) * np.roll(field, m + 1, axis=3)


def status_mib(name: str) -> float:
    """VmRSS or VmHWM of this process (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def with_numpy(arrays: list[np.ndarray]) -> list[np.ndarray]:
    stack = np.stack(arrays)
    mean = stack.mean(axis=0)
    total = -(mean * np.log(np.maximum(mean, 1e-38))).sum(axis=0)
    own = -(stack * np.log(np.maximum(stack, 1e-38))).sum(axis=1).mean(axis=0)
    return [mean, total, own, total - own]


def with_torch() -> Callable[[list[np.ndarray]], list]:
    import torch

    def run(arrays: list[np.ndarray]) -> list:
        stack = torch.stack([torch.from_numpy(array) for array in arrays])
        mean = stack.mean(dim=0)
        total = torch.special.entr(mean).sum(dim=0)
        own = torch.special.entr(stack).sum(dim=1).mean(dim=0)
        return [mean, total, own, total - own]

    return run


def read_with(threads: int) -> Callable[[list[np.ndarray]], None]:
    def run(arrays: list[np.ndarray]) -> None:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(np.max, (part for array in arrays for part in array)))

    return run


def ours(setting: Setting, threads: int | None) -> Callable[[list[np.ndarray]], dict]:
    def run(arrays: list[np.ndarray]) -> dict:
        sources = tuple(ArraySource(array, info) for array, info in zip(arrays, setting.infos, strict=True))
        members = Members(setting.geometry, setting.named, sources, sliceable=True)
        return voxel_maps(members, n_threads=threads)

    return run


def runner(variant: str, setting: Setting) -> Callable[[list[np.ndarray]], object]:
    processors = len(os.sched_getaffinity(0))
    makers: dict[str, Callable[[], Callable]] = {
        PLAUSIBLE: lambda: ours(setting, None),
        ONE_THREAD: lambda: ours(setting, 1),
        NUMPY: lambda: with_numpy,
        TORCH: with_torch,
        READ: lambda: read_with(1),
        READ_ALL: lambda: read_with(processors),
    }
    return makers[variant]()


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock and seconds of processor time."""
    clock, busy = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - clock, time.process_time() - busy


def time_in_memory(variant: str, setting: Setting) -> dict[str, float]:
    run = runner(variant, setting)
    small = Setting(2, setting.classes, (4, 5, 6), 1)
    first, _ = timed(lambda: runner(variant, small)([softmax_field(small)] * 2))
    field = softmax_field(setting)
    arrays = [member(field, m) for m in range(setting.members)]
    del field
    before = status_mib("VmRSS")
    forget_peak()
    run(arrays)
    peak = status_mib("VmHWM") - before
    read = read_with(1)
    pairs = [(timed(lambda: run(arrays)), timed(lambda: read(arrays))) for _ in range(setting.repeats)]
    return {
        "first": first,
        "peak": peak,
        "seconds": statistics.median(own[0] for own, _ in pairs),
        "busy": statistics.median(own[1] for own, _ in pairs),
        "ratio": statistics.median(own[0] / plain[0] for own, plain in pairs),
        "busy_ratio": statistics.median(own[1] / plain[1] for own, plain in pairs),
    }


@dataclass(frozen=True)
class MadeOnDemand:
    """A member that exists only while it is read."""

    setting: Setting
    info: MemberInfo
    hard: bool = False

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        shape = list(self.setting.shape)
        shape[axis] = stop - start
        p = np.random.default_rng(start).random((self.setting.classes, *shape), dtype=np.float32)
        p /= p.sum(axis=0)
        return p


def time_lazily(kind: str, setting: Setting) -> dict[str, float]:
    sources: tuple
    if kind == STORE:
        folder = Path(setting.store)
        paths = [store_path(folder, member=info.id, subject="case") for info in setting.infos]
        sources = tuple(StoreSource(path, info) for path, info in zip(paths, setting.infos, strict=True))
    else:
        sources = tuple(MadeOnDemand(setting, info) for info in setting.infos)
    members = Members(setting.geometry, setting.named, sources, sliceable=kind != WHOLE)
    seconds, busy = timed(lambda: voxel_maps(members))
    return {"seconds": seconds, "busy": busy, "peak": status_mib("VmHWM")}


def fill_store(setting: Setting) -> None:
    field = softmax_field(setting)
    for m, info in enumerate(setting.infos):
        made = Member(member(field, m), setting.geometry, setting.named, info)
        write_member(Path(setting.store), made, subject="case")


def child(task: str, name: str, setting: Setting) -> dict[str, float]:
    """Run one variant in a process of its own."""
    line = [sys.executable, __file__, "--task", task, "--variant", name, "--members", str(setting.members)]
    line += ["--classes", str(setting.classes), "--shape", *map(str, setting.shape)]
    line += ["--repeats", str(setting.repeats), "--store", setting.store]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def print_times(setting: Setting, names: Sequence[str]) -> None:
    size = setting.members * setting.classes * np.prod(setting.shape) * 4 / MIB
    print(f"{setting.members} members, {setting.classes} classes, {setting.shape}, {size:.0f} MiB in memory\n")
    print("| variant | s | processor s | × read | × read, processor | extra peak MiB | first call s |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        r = child("time", name, setting)
        print(
            f"| {name} | {r['seconds']:.2f} | {r['busy']:.2f} | {r['ratio']:.1f} | {r['busy_ratio']:.1f} "
            f"| {r['peak']:.0f} | {r['first']:.1f} |",
            flush=True,
        )


def print_peaks(setting: Setting) -> None:
    print("\n| members from | members | s | processor s | peak of the process MiB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind, n_members in lazy_cases():
            own = Setting(n_members, setting.classes, setting.shape, 1, folder)
            if kind == STORE:
                child("fill", kind, own)
            r = child("lazy", kind, own)
            print(f"| {kind} | {n_members} | {r['seconds']:.1f} | {r['busy']:.1f} | {r['peak']:.0f} |", flush=True)


def lazy_cases() -> Iterator[tuple[str, int]]:
    return ((kind, n_members) for kind in (ON_DEMAND, WHOLE, STORE) for n_members in (2, 20))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--shape", type=int, nargs=3, default=(256, 256, 128))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", nargs="*", choices=(*VARIANTS, "peaks"), help="these variants; all by default")
    for hidden in ("--task", "--variant", "--store"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    told = parse()
    setting = Setting(told.members, told.classes, tuple(told.shape), told.repeats, told.store)
    if told.task == "fill":
        fill_store(setting)
        print("{}")
    elif told.task:
        print(json.dumps((time_in_memory if told.task == "time" else time_lazily)(told.variant, setting)))
    else:
        wanted = told.only or [*VARIANTS, "peaks"]
        print_times(setting, [name for name in VARIANTS if name in wanted])
        if "peaks" in wanted:
            print_peaks(setting)


if __name__ == "__main__":
    main()
