"""The published DVH phantoms of Nelms et al. 2015 (Med Phys 42:4435), against their analytic values.

    python studies/nelms.py ../shared/data/dicom_rt/nelms2015
    python studies/nelms.py FOLDER --between linear --limit 1

FOLDER holds `structures/`, `dose/` and `analytical_points.csv` (cGy, half-slice end caps). Prints every statistic that
is off by more than --limit percent, the worst of each kind, and counts with and without minimum and maximum.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from plausible.core import Geometry
from plausible.dose import contours_dvh, parse_metric
from plausible.io.dicom import read_rtdose, read_rtstruct

COLUMNS = {
    "Total Volume (cc)": "Volume[cc]",
    "Dmin": "Min[Gy]",
    "Dmax": "Max[Gy]",
    "Dmean": "Mean[Gy]",
    "D99": "D99%[Gy]",
    "D95": "D95%[Gy]",
    "D5": "D5%[Gy]",
    "D1": "D1%[Gy]",
    "D0.03cc": "D0.03cc[Gy]",
}
EXTREMES = ("Min[Gy]", "Max[Gy]")
PIXEL_MM = 0.6
GRADIENTS = {"Z(AP)": "AntPost", "Y(SI)": "SupInf"}


@dataclass(frozen=True)
class Statistic:
    """One analytic value and ours, in Gy or cc."""

    phantom: str
    slices_mm: float
    dose_mm: float
    gradient: str
    metric: str
    truth: float
    found: float

    @property
    def percent(self) -> float:
        """Deviation in percent of the truth."""
        return 100 * (self.found / self.truth - 1)


def phantoms(folder: Path) -> Iterator[tuple[dict[str, str], Path, Path]]:
    """Every line of the table with its structure and dose file."""
    with (folder / "analytical_points.csv").open(newline="") as lines:
        for line in csv.DictReader(lines):
            dose = f"Linear_{GRADIENTS[line['Gradient direction']]}_{line['Dose Voxel (mm)']}mm_Aligned.dcm"
            yield line, folder / "structures" / f"{line['Structure name']}.dcm", folder / "dose" / dose


def image_grid(slices_mm: float) -> Geometry:
    """Grid of the CT, which is not part of the data: pixels of 0.6 mm."""
    affine = np.diag([PIXEL_MM, PIXEL_MM, slices_mm, 1.0])
    affine[:3, 3] = (-60, -60, -60)
    return Geometry((200, 200, int(120 / slices_mm)), affine)


def statistics(folder: Path, *, cubic: bool = False, between: Literal["slab", "linear"] = "slab") -> list[Statistic]:
    """Every statistic of every phantom."""
    found = []
    for line, structure, dose in phantoms(folder):
        slices_mm = float(line["CT slice spacing (mm)"].removesuffix("mm"))
        (contours,) = (c for c in read_rtstruct(structure).contours if c.loops)
        interpolation = "cubic" if cubic else "linear"
        dvh = contours_dvh(
            contours,
            read_rtdose(dose, n_fractions=1),
            image=image_grid(slices_mm),
            interpolation=interpolation,
            between=between,
        )
        for column, metric in COLUMNS.items():
            truth = float(line[column]) / (1 if metric == "Volume[cc]" else 100)
            value = parse_metric(metric).value(dvh)
            dose_mm, gradient = float(line["Dose Voxel (mm)"]), line["Gradient direction"]
            found.append(Statistic(line["Structure name"], slices_mm, dose_mm, gradient, metric, truth, value))
    return found


def outside(found: list[Statistic], *, limit: float) -> list[Statistic]:
    """Statistics that deviate by more than a limit in percent, or have no value."""
    return [s for s in found if math.isnan(s.percent) or abs(s.percent) > limit]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cubic", action="store_true", help="interpolate the dose by cubic spline")
    parser.add_argument("--between", choices=("slab", "linear"), default="slab", help="what lies between planes")
    parser.add_argument("--limit", type=float, default=3.0, help="percent")
    asked = parser.parse_args()
    found = statistics(asked.folder, cubic=asked.cubic, between=asked.between)
    for s in outside(found, limit=asked.limit):
        print(f"{s.phantom} {s.gradient} {s.metric}: {s.truth:.4f}, found {s.found:.4f} ({s.percent:+.2f} %)")
    print("\n| statistic | n | worst, % | worst, Gy or cc |\n|---|---|---|---|")
    for metric in COLUMNS.values():
        kind = [s for s in found if s.metric == metric]
        print(
            f"| {metric} | {len(kind)} | {max(abs(s.percent) for s in kind):.2f} "
            f"| {max(abs(s.found - s.truth) for s in kind):.3f} |"
        )
    inner = [s for s in found if s.metric not in EXTREMES]
    for name, part in (("all", found), ("without minimum and maximum", inner)):
        print(f"{name}: {len(outside(part, limit=asked.limit))} of {len(part)} off by more than {asked.limit:g} %")


if __name__ == "__main__":
    main()
