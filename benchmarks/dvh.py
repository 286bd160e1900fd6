"""Seconds, memory and error of DVHs, against sub-sampling and against dicompyler-core.

    python benchmarks/dvh.py [--members 20 --structures 10 --shape 512 512 150]
    python benchmarks/dvh.py --phantoms ../shared/data/dicom_rt/nelms2015 [--dicompyler PYTHON]

The first prints what a case of soft members costs: DVHs of every structure in every member and in their mean. Members
are ellipsoids of known volume in a dose linear along one axis (D2% and D98% in closed form), made when they are read:
`reading` is what making them costs, and is in the seconds. Plain sub-sampling asks trilinear probabilities and dose at
3 × 3 × 3 points of every voxel in the box; it is timed on --sampled members and multiplied.
Processor seconds are shown, as a busy machine makes the clock's mean little.

The second compares DVHs of contours with those of dicompyler-core 0.5.6 (PYTHON: an interpreter of an environment with
it and pydicom < 3), per structure: seconds without reading files, and errors against the analytic values.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

from plausible.core import Classes, Dose, Geometry, MemberInfo, Members
from plausible.dose import MemberDvhs, contours_dvh, member_dvhs, parse_metric

SPACING = np.array([0.98, 0.98, 2.0])
K2 = 0.831925
DICOMPYLER = """
import json, sys, time
import numpy as np
from dicompylercore import dicomparser, dvhcalc
found = []
for structure, number, dose in json.load(sys.stdin):
    rtss, rtdose = dicomparser.DicomParser(structure), dicomparser.DicomParser(dose)
    start = time.perf_counter()
    dvh = dvhcalc.get_dvh(rtss.ds, rtdose.ds, number)
    seconds = time.perf_counter() - start
    values = {"Volume[cc]": dvh.volume, "Mean[Gy]": dvh.mean}
    values |= {f"D{x}%[Gy]": dvh.statistic(f"D{x}").value for x in (99, 95, 5, 1)}
    values["D0.03cc[Gy]"] = dvh.statistic("D0.03cc").value
    found.append([seconds, {name: float(value) for name, value in values.items()}])
json.dump(found, sys.stdout)
"""


@dataclass(frozen=True)
class Setting:
    members: int
    structures: int
    shape: tuple[int, int, int]

    @property
    def geometry(self) -> Geometry:
        affine = np.diag([*SPACING, 1.0])
        affine[:3, 3] = -SPACING * (np.array(self.shape) - 1) / 2
        return Geometry(self.shape, affine)

    @property
    def classes(self) -> Classes:
        return Classes.overlapping_of({f"organ {s}": [s + 1] for s in range(self.structures)})

    def ellipsoid(self, member: int, structure: int) -> tuple[np.ndarray, np.ndarray]:
        """Centre and half axes in mm."""
        rng = np.random.default_rng([member, structure])
        extent = SPACING * self.shape / 2
        angle = 2 * math.pi * structure / self.structures
        centre = np.array([0.5 * extent[0] * math.cos(angle), 0.5 * extent[1] * math.sin(angle), 0.0])
        size = np.geomspace(0.05, 0.28, self.structures)[structure] * extent.min()
        return centre + rng.normal(0, 1.0, 3), size * np.array([1.0, 0.8, 1.2]) * rng.normal(1, 0.03, 3)


@dataclass(frozen=True)
class Ellipsoids:
    """A member whose probabilities are made when they are read."""

    setting: Setting
    number: int
    hard: bool = False

    @property
    def info(self) -> MemberInfo:
        return MemberInfo(id=f"member_{self.number}")

    def read(self, start: int, stop: int, *, axis: int) -> np.ndarray:
        geometry = self.setting.geometry.slab(start, stop, axis=axis)
        found = np.zeros((self.setting.structures, *geometry.shape), np.float32)
        origin = geometry.affine[:3, 3]
        for structure in range(self.setting.structures):
            centre, axes = self.setting.ellipsoid(self.number, structure)
            low = np.clip(np.floor((centre - axes - 16 - origin) / SPACING).astype(int), 0, geometry.shape)
            high = np.clip(np.ceil((centre + axes + 16 - origin) / SPACING).astype(int) + 1, 0, geometry.shape)
            if (high <= low).any():
                continue
            places = [
                (np.arange(a, b) * s + o - c) / r
                for a, b, s, o, c, r in zip(low, high, SPACING, origin, centre, axes, strict=True)
            ]
            x, y, z = np.ix_(*places)
            odds = (1 - np.sqrt(x * x + y * y + z * z)) * axes.min() / 1.5
            box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            found[(structure, *box)] = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return found


def linear_dose(setting: Setting) -> Dose:
    """Dose rising 0.1 Gy a mm along the first axis, on a grid of 2.5 mm."""
    extent = SPACING * setting.shape
    shape = tuple(int(n) for n in np.ceil(extent / 2.5) + 4)
    affine = np.diag([2.5, 2.5, 2.5, 1.0])
    affine[:3, 3] = -2.5 * (np.array(shape) - 1) / 2
    x = affine[0, 3] + 2.5 * np.arange(shape[0])
    return Dose(np.broadcast_to((40 + 0.1 * x)[:, None, None], shape).astype(np.float32), Geometry(shape, affine))


def errors(setting: Setting, found: dict[str, MemberDvhs], n_members: int) -> tuple[float, float]:
    """Largest error of D2% and D98% as a shift of the surface in mm, and of the volume in percent."""
    shift, volume = 0.0, 0.0
    for s, dvhs in enumerate(found.values()):
        near = {text: dvhs.values(text) for text in ("D2%", "D98%", "Volume")}
        for m in range(n_members):
            centre, axes = setting.ellipsoid(m, s)
            for text, sign in (("D2%", 1), ("D98%", -1)):
                shift = max(shift, abs(near[text][m] - (40 + 0.1 * (centre[0] + sign * K2 * axes[0]))) / 0.1)
            volume = max(volume, abs(near["Volume"][m] / (4 / 3 * math.pi * axes.prod() / 1000) - 1))
    return shift, 100 * volume


def subsampled(setting: Setting, dose: Dose, member: int) -> tuple[float, float, float]:
    """Processor seconds and largest errors (mm, %) of one member by 3 × 3 × 3 points a voxel."""
    p = Ellipsoids(setting, member).read(0, setting.shape[0], axis=0)
    start, shift, volume = time.process_time(), 0.0, 0.0
    inverse = np.linalg.inv(dose.geometry.affine)
    for s in range(setting.structures):
        places = np.argwhere(p[s] > 0.5)
        low, high = np.maximum(places.min(axis=0) - 1, 0), np.minimum(places.max(axis=0) + 2, setting.shape)
        axes_at = [np.arange(3 * (b - a)) / 3 - 1 / 3 + a for a, b in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*axes_at, indexing="ij")).reshape(3, -1)
        points = points[:, map_coordinates(p[s], points, order=1) > 0.5]
        world = setting.geometry.affine[:3, :3] @ points + setting.geometry.affine[:3, 3:]
        doses = map_coordinates(dose.dose_gy, inverse[:3, :3] @ world + inverse[:3, 3:], order=1)
        d98, d2 = np.percentile(doses, [2, 98])
        centre, axes = setting.ellipsoid(member, s)
        for value, sign in ((d2, 1), (d98, -1)):
            shift = max(shift, abs(value - (40 + 0.1 * (centre[0] + sign * K2 * axes[0]))) / 0.1)
        true = 4 / 3 * math.pi * axes.prod()
        volume = max(volume, abs(points.shape[1] * SPACING.prod() / 27 / true - 1))
    return time.process_time() - start, shift, 100 * volume


def case(setting: Setting, sampled: int) -> None:
    dose = linear_dose(setting)
    warm = Setting(1, 1, (48, 48, 24))
    member_dvhs(members_of(warm), linear_dose(warm))
    start = time.process_time()
    for member in range(sampled):
        Ellipsoids(setting, member).read(0, setting.shape[0], axis=0)
    reading = (time.process_time() - start) / sampled
    clock, start = time.perf_counter(), time.process_time()
    found = member_dvhs(members_of(setting), dose)
    ours, clock = time.process_time() - start, time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    shift, volume = errors(setting, found, setting.members)
    other = [subsampled(setting, dose, member) for member in range(sampled)]
    theirs = (np.mean([o[0] for o in other]) + reading) * setting.members
    print(f"{setting.members} members × {setting.structures} structures, {'×'.join(map(str, setting.shape))}")
    print(
        f"peak memory {peak:.2f} GB; one member is {4 * setting.structures * np.prod(setting.shape) / 1024**3:.2f} GB"
    )
    print(f"plausible took {clock:.1f} s by the clock")
    print(f"making one member: {reading:.2f} processor seconds")
    print("\n| | processor seconds | ratio | D2%, D98%: worst, mm | volume: worst, % |\n|---|---|---|---|---|")
    print(f"| plausible | {ours:.1f} | 1 | {shift:.3f} | {volume:.2f} |")
    print(
        f"| 3 × 3 × 3 points | {theirs:.1f} | {theirs / ours:.1f} | {max(o[1] for o in other):.3f} "
        f"| {max(o[2] for o in other):.2f} |"
    )


def members_of(setting: Setting) -> Members:
    sources = tuple(Ellipsoids(setting, member) for member in range(setting.members))
    return Members(setting.geometry, setting.classes, sources, sliceable=True, slab_axis=2)


def phantoms(folder: Path, python: str) -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "studies"))
    import nelms

    from plausible.io.dicom import read_rtdose, read_rtstruct

    lines = list(nelms.phantoms(folder))
    metrics = {c: m for c, m in nelms.COLUMNS.items() if m not in nelms.EXTREMES}
    ours, numbers = [], []
    for line, structure, dose in lines:
        (contours,) = read_rtstruct(structure).contours
        numbers.append(contours.number)
        read, grid = read_rtdose(dose, n_fractions=1), nelms.image_grid(float(line["CT slice spacing (mm)"][:-2]))
        contours_dvh(contours, read, image=grid) if not ours else None
        start = time.perf_counter()
        dvh = contours_dvh(contours, read, image=grid)
        values = {m: parse_metric(m).value(dvh) for m in metrics.values()}
        ours.append((time.perf_counter() - start, values))
    arms = {"plausible": ours}
    if python:
        files = json.dumps([[str(s), n, str(d)] for (_, s, d), n in zip(lines, numbers, strict=True)])
        command = [python, "-W", "ignore", "-c", DICOMPYLER]
        done = subprocess.run(command, input=files, capture_output=True, text=True, check=True)
        arms["dicompyler-core"] = json.loads(done.stdout)
    print("\n| | ms a structure, median | ratio | off by more than 3 % | error, Gy: median | worst |")
    print("|---|---|---|---|---|---|")
    base = np.median([seconds for seconds, _ in ours])
    for name, results in arms.items():
        gray, off, total = [], 0, 0
        for (line, _, _), (_, values) in zip(lines, results, strict=True):
            for column, metric in metrics.items():
                truth = float(line[column]) / (1 if metric == "Volume[cc]" else 100)
                off, total = off + (not abs(values[metric] / truth - 1) <= 0.03), total + 1
                gray += [] if metric == "Volume[cc]" else [abs(values[metric] - truth)]
        median = np.median([seconds for seconds, _ in results])
        print(
            f"| {name} | {1000 * median:.1f} | {median / base:.1f} | {off} of {total} "
            f"| {np.median(gray):.4f} | {max(gray):.3f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--structures", type=int, default=10)
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 150))
    parser.add_argument("--sampled", type=int, default=1, help="members that are sub-sampled")
    parser.add_argument("--phantoms", type=Path, help="folder of the phantoms; leaves the case out")
    parser.add_argument("--dicompyler", default="", help="interpreter with dicompyler-core")
    asked = parser.parse_args()
    if asked.phantoms:
        phantoms(asked.phantoms, asked.dicompyler)
    else:
        case(Setting(asked.members, asked.structures, tuple(asked.shape)), asked.sampled)


if __name__ == "__main__":
    main()
