"""Planning on plausible contours of real head-and-neck patients, and what a fixed dose would have said of the contours.

    python studies/closed_loop.py --data OPENKBP_HN --out OUT

Patients are the first of the development split of OpenKBP with all three targets, of at least 50 ml each, cord and
parotids. Every surface is moved by smooth Gaussian noise; a plan is made on each contouring and read on the reference
and on all others. OUT/replan holds the results of `plausible replan` with its page, OUT/table.md the tables. Continued
with the same line after a kill.
"""

import argparse
import importlib.util
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from plausible.dose.plan import PlanMatrix, SearchSettings
from plausible.io import read_study
from plausible.io.atomic import write_json, write_text
from plausible.runs.replan import Replan, Replanned, replan_study
from plausible.runs.replan_fixed import FixedStructures
from plausible.runs.replan_record import matrices_of
from plausible.runs.replan_settings import NoiseSettings, ReplanSettings

TARGETS = ("PTV70", "PTV63", "PTV56")
NEEDED = (*TARGETS, "SpinalCord", "RightParotid", "LeftParotid")
LEAST_ML = 50.0
"""Patients with a smaller target are left out: slivers between targets have no surface of their own to be moved."""
WORSE_GY = 1.0
"""A metric that is worse by more than this is called worse: lower for a target, higher for an organ."""


def main() -> None:
    """Choose patients, close the loop, write the tables."""
    told = _parser().parse_args()
    out = Path(told.out)
    engine = told.engine or ("pyradplan" if importlib.util.find_spec("pyRadPlan") else "analytic")
    subjects = chosen(Path(told.data), told.patients, least_ml=told.least_ml)
    inputs = prepare(Path(told.data), out / "inputs", subjects)
    replan = Replan(
        settings=ReplanSettings(engine=engine, dose_mm=told.dose_mm),
        search=SearchSettings(iterations=told.iterations, warm_iterations=told.warm_iterations, search_seed=told.seed),
        noise=NoiseSettings(noise_mm=told.noise_mm, draws=told.draws, noise_seed=told.seed),
        vary_fixed=True,
    )
    study = read_study(inputs / "labels", images=inputs / "images", references=inputs / "labels")
    wall, processor = time.monotonic(), _processor_seconds()
    found = replan_study(study, out / "replan", replan=replan, fixed=FixedStructures(inputs / "fixed"), on_plan=say)
    spent = {"wall_s": time.monotonic() - wall, "processor_s": _processor_seconds() - processor}
    if found.done:  # a run that found everything there tells no time
        write_json(out / "seconds.json", {"engine": engine, "patients": list(subjects), **spent})
    records = [_record(out / "replan" / line) for line in dict.fromkeys(line.subject for line in found.lines)]
    matrices = [(record["subject"], one) for record in records for one in matrices_of(record)]
    parts = [*tables(found, matrices, engine, told, _read_seconds(out)), "\n".join(by_size(records))]
    text = "\n\n".join(parts)
    write_text(out / "table.md", text + "\n")
    print(text)


def chosen(data: Path, n_patients: int, *, least_ml: float = LEAST_ML) -> list[str]:
    """Return the first patients of the development split with every structure that is needed, no target a sliver."""
    told = {case["id"]: case for case in json.loads((data / "cases.json").read_text("utf-8"))}
    dev = json.loads((data / "split.json").read_text("utf-8"))["dev"]
    whole = [subject for subject in dev if set(NEEDED) <= set(told[subject]["contoured"])]
    return [s for s in whole if min(told[s]["stats"][name]["ml"] for name in TARGETS) >= least_ml][:n_patients]


def prepare(data: Path, inputs: Path, subjects: Sequence[str]) -> Path:
    """Lay out images, label maps of the organs and masks of the targets of these patients."""
    bits = json.loads((data / "dataset.json").read_text("utf-8"))["structure_bits"]
    for folder in ("labels", "images", "fixed"):
        (inputs / folder).mkdir(parents=True, exist_ok=True)
    shutil.copy(data / "dataset.json", inputs / "labels" / "dataset.json")
    for subject in subjects:
        shutil.copy(data / "labelsTr" / f"{subject}.nii.gz", inputs / "labels")
        shutil.copy(data / "imagesTr" / f"{subject}_0000.nii.gz", inputs / "images")
        (inputs / "fixed" / subject).mkdir(exist_ok=True)
        packed = nib.load(data / "structuresTr" / f"{subject}.nii.gz")
        values = np.asarray(packed.dataobj).astype(np.int64)
        for name in TARGETS:
            path = inputs / "fixed" / subject / f"{name}.nii.gz"
            if not path.exists():  # rewriting would change the file, and so the key of what was made from it
                nib.save(nib.Nifti1Image(((values >> bits[name]) & 1).astype(np.uint8), packed.affine), path)
    return inputs


def tables(
    found: Replanned,
    matrices: Sequence[tuple[str, PlanMatrix]],
    engine: str,
    told: argparse.Namespace,
    seconds: dict[str, float],
) -> Iterator[str]:
    """Yield what was done, the table per patient and metric, and what a fixed dose would have said."""
    patients = len({line.subject for line in found.lines})
    yield (
        f"{patients} patients, {told.draws} plausible contourings each (surface noise SD {told.noise_mm:g} mm, "
        f"correlation 20 mm, seed {told.seed}), dose by {engine} on {told.dose_mm:g} mm; "
        f"{seconds.get('wall_s', float('nan')):.0f} s, {seconds.get('processor_s', float('nan')):.0f} s of processor."
    )
    rows = [
        f"| {line.subject} | {line.structure} {line.metric} | {line.nominal:.1f} "
        f"| {line.fixed_mean - line.nominal:+.2f} ± {line.fixed_sd:.2f} "
        f"| {line.closed_mean - line.nominal:+.2f} ± {line.closed_sd:.2f} "
        f"| {line.correlation:+.2f} ({line.low:+.2f}, {line.high:+.2f}) | {100 * line.opposite_sign:.0f} % | {line.n} |"
        for line in found.lines
    ]
    yield "\n".join(
        [
            "| patient | metric, Gy | nominal | fixed dose, change | closed loop, change | correlation (95 %) | "
            "opposite sign | n |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
        ]
    )
    yield "\n".join([*_said(matrices)])


def _said(matrices: Sequence[tuple[str, PlanMatrix]]) -> Iterator[str]:
    """Count over patients what a fixed dose calls worse, and what is worse in the loop."""
    yield "| metric | patients | contours | fixed dose calls worse | of these worse in the loop | worse in the loop |"
    yield "|---|---|---|---|---|---|"
    for name in dict.fromkeys(f"{one.structure} {one.metric}" for _, one in matrices):
        ours = [one for _, one in matrices if f"{one.structure} {one.metric}" == name]
        sign = -1 if ours[0].structure in TARGETS else 1
        fixed, loop = (
            np.concatenate([sign * (side - one.nominal) > WORSE_GY for one in ours for side in [getattr(one, which)]])
            for which in ("fixed", "closed")
        )
        yield f"| {name} | {len(ours)} | {len(fixed)} | {fixed.sum()} | {(fixed & loop).sum()} | {loop.sum()} |"


def by_size(records: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield, target by target, what the volume drawn has to do with either view, and what a fixed dose lets pass."""
    yield (
        "| patient | target | correlation of volume, fixed dose | of volume, closed loop | worse in the loop and let "
        "pass by a fixed dose | of these smaller than the reference |"
    )
    yield "|---|---|---|---|---|---|"
    for record in records:
        for one in matrices_of(record):
            if one.structure in TARGETS:
                first, *drawn = (plan["volumes_ml"][one.structure] for plan in record["plans"])
                passed = (one.loss < -WORSE_GY) & (one.fixed - one.nominal >= -WORSE_GY)
                smaller = passed & (np.array(drawn) < first)
                of_fixed, of_loop = (np.corrcoef(drawn, view)[0, 1] for view in (one.fixed, one.closed))
                yield (
                    f"| {record['subject']} | {one.structure} | {of_fixed:+.2f} | {of_loop:+.2f} | {passed.sum()} "
                    f"| {smaller.sum()} |"
                )


def say(contouring: str, number: int, total: int, result: str) -> None:
    """Print one line per plan."""
    print(f"plan {number}/{total} {contouring} {result}", flush=True)


def _record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "replan.json").read_text(encoding="utf-8"))


def _read_seconds(out: Path) -> dict[str, float]:
    path = out / "seconds.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _processor_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the OpenKBP pack")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--engine", choices=("analytic", "pyradplan"), help="pyradplan if it is installed, by default")
    parser.add_argument("--patients", type=int, default=3)
    parser.add_argument("--least-ml", type=float, default=LEAST_ML, help="patients with a smaller target are left out")
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--noise-mm", type=float, default=2.0)
    parser.add_argument("--dose-mm", type=float, default=5.0)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--warm-iterations", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    return parser


if __name__ == "__main__":
    main()
