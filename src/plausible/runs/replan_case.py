"""The closed loop of one case: its matrix and every plan are kept under a key of what made them, and found again.

```
CASE/replan.json  CASE/replan/influence.npz (while plans are missing)  CASE/replan/plan_<contouring>.npz
```
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from plausible.core import Geometry, InvalidInput, Problem, ScalarMap, content_key, sha256_of
from plausible.dose.plan import (
    Asked,
    BeamSettings,
    Contouring,
    Convergence,
    FinishedPlan,
    Influence,
    PlanGoal,
    PlanMatrix,
    Planner,
    Region,
    SearchSettings,
    matrices,
    read_plan,
)
from plausible.io.atomic import replacing
from plausible.runs.replan_doses import dose_statistics
from plausible.runs.replan_patient import Patient, compute_influence, targets_mm
from plausible.runs.replan_settings import ReplanSettings

INFLUENCE = "influence.npz"
OnPlan = Callable[[str, int, int, str], None]
"""Called after each plan with the name of its contouring, its number, the number of plans, and how it went."""


@dataclass(frozen=True, slots=True, eq=False)
class Looped:
    """The loop of one case, finished; with mean and SD of the doses, where there are several."""

    matrices: tuple[PlanMatrix, ...]
    plans: tuple[FinishedPlan, ...]
    seconds: tuple[float, ...]
    influence_seconds: float
    engine: str
    n_beamlets: int
    n_nonzeros: int
    doses: tuple[ScalarMap, ...] = ()


def loop_case(
    patient: Patient,
    folder: Path,
    goals: Sequence[PlanGoal],
    asked: Sequence[Asked],
    *,
    settings: ReplanSettings,
    beams: BeamSettings,
    search: SearchSettings,
    on_plan: OnPlan | None = None,
) -> Looped:
    """Plan on every contouring and read every plan on every contouring; what is there from before is taken.

    Args:
        patient: contours, body and CT.
        folder: where matrix and plans are kept.
        goals: with the names of this case.
        asked: metrics to read.
        settings: engine and dose grid.
        beams: beams and beamlets.
        search: how plans are searched for.
        on_plan: called after each plan.

    Raises:
        InvalidInput: E651, no target.
        UnfitEnvironment: E650 or E901, pyRadPlan is not there or does not work; E903, results cannot be written.
    """
    points = targets_mm(patient, goals)
    key = _key_of_matrix(patient, points, settings, beams)
    began = time.monotonic()
    influence = _read_influence(folder / INFLUENCE, key)
    seconds = 0.0
    if influence is None:
        influence = compute_influence(patient, points, goals, settings, beams)
        seconds = time.monotonic() - began
        _write_influence(folder / INFLUENCE, influence, key)
    planner = Planner(influence, patient.contourings, goals, search)
    told = {"matrix": key, "goals": [str(goal) for goal in goals], "search": str(search),
            "asked": [f"{one.structure}:{one.metric.text}" for one in asked],
            "contours": [each.key for each in patient.contourings]}  # fmt: skip
    plans, read, took = list[FinishedPlan](), dict[tuple[str, str], np.ndarray](), list[float]()
    for number, contours in enumerate(patient.contourings, start=1):
        path = folder / f"plan_{number - 1}.npz"
        start = plans[0].searched if plans else None
        plan, values, lasted, result = _plan(
            path, content_key({**told, "plan": number - 1}), planner, contours, patient, asked, start
        )
        plans.append(plan)
        took.append(lasted)
        read |= {(contours.id, other.id): row for other, row in zip(patient.contourings, values, strict=True)}
        if on_plan:
            on_plan(contours.id, number, len(patient.contourings), result)
    found = matrices(asked, [each.id for each in patient.contourings], read)
    (folder / INFLUENCE).unlink(missing_ok=True)  # of no use any more, and the largest file by far
    n_nonzeros = int(influence.matrix.nnz)
    doses = dose_statistics(influence, plans[1:])
    return Looped(found, tuple(plans), tuple(took), seconds, influence.engine, influence.n_beamlets, n_nonzeros, doses)


def _plan(
    path: Path,
    key: str,
    planner: Planner,
    contours: Contouring,
    patient: Patient,
    asked: Sequence[Asked],
    start: np.ndarray | None,
) -> tuple[FinishedPlan, np.ndarray, float, str]:
    """Return a plan with what it gives on every contouring, from its file or newly made."""
    known = _read(path, key)
    if known is not None:
        convergence = Convergence(
            tuple(known["objective"].tolist()), int(known["n_evaluations"]), float(known["projected_gradient"]),
            bool(known["converged"]), str(known["message"]),
        )  # fmt: skip
        plan = FinishedPlan(contours.id, known["weights"], known["searched"], float(known["factor"]), convergence)
        return plan, known["values"], float(known["seconds"]), "kept"
    began = time.monotonic()
    try:
        plan = planner.plan(contours, start=start)
    except ValueError as error:
        raise InvalidInput(
            Problem(
                code="E651",
                subject=patient.subject,
                member=contours.id,
                found=str(error),
                expected="a target with voxels on the dose grid, reached by beamlets",
                fix="take a finer dose grid (--dose-mm), or leave this member out",
            )
        ) from error
    dose = planner.influence.dose(plan.weights)
    values = np.stack([read_plan(dose, other, asked) for other in patient.contourings])
    seconds = time.monotonic() - began
    how = plan.convergence
    with replacing(path) as temporary:
        np.savez(temporary, key=key, weights=plan.weights, searched=plan.searched, factor=plan.factor, values=values,
                 seconds=seconds, objective=np.array(how.objective), n_evaluations=how.n_evaluations,
                 projected_gradient=how.projected_gradient, converged=how.converged, message=how.message)  # fmt: skip
    return plan, values, seconds, "ok"


def _key_of_matrix(patient: Patient, points: np.ndarray, settings: ReplanSettings, beams: BeamSettings) -> str:
    image = b"" if patient.image_hu is None else np.ascontiguousarray(patient.image_hu).tobytes()
    return content_key(
        {
            "image": sha256_of(image),
            "body": Region.of(patient.body, patient.geometry).key,
            "targets": sha256_of(np.ascontiguousarray(points).tobytes()),
            "engine": [settings.engine, settings.dose_mm, settings.density],
            "beams": str(beams),
        }
    )


def _write_influence(path: Path, influence: Influence, key: str) -> None:
    matrix = influence.matrix
    with replacing(path) as temporary:
        np.savez(temporary, key=key, data=matrix.data, indices=matrix.indices, indptr=matrix.indptr,
                 voxels=influence.voxels, beam_of=influence.beam_of, engine=influence.engine,
                 shape=np.array(influence.geometry.shape), affine=influence.geometry.affine)  # fmt: skip


def _read_influence(path: Path, key: str) -> Influence | None:
    known = _read(path, key)
    if known is None:
        return None
    shape = (len(known["voxels"]), len(known["beam_of"]))
    matrix = csr_array((known["data"], known["indices"], known["indptr"]), shape=shape)
    i, j, k = known["shape"].tolist()
    return Influence(
        matrix, known["voxels"], Geometry((i, j, k), known["affine"]), str(known["engine"]), known["beam_of"]
    )


def _read(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """Arrays of a file that was made from the same; None if there is none, or another, or a damaged one."""
    try:
        with np.load(path, allow_pickle=False) as known:
            return dict(known) if str(known["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError):
        return None
