"""The closed loop of a case as plain JSON values, and back to matrices."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from plausible.dose.plan import PlanMatrix, disagreement
from plausible.runs.replan_case import Looped
from plausible.runs.replan_patient import Patient


def matrices_of(record: Mapping[str, Any]) -> tuple[PlanMatrix, ...]:
    """Matrices of a case's record."""
    ids = tuple(plan["id"] for plan in record["plans"])
    return tuple(
        PlanMatrix(one["structure"], one["metric"], ids, np.array(one["values"], dtype=np.float64))
        for one in record["metrics"]
    )


def loop_record(found: Looped, patient: Patient) -> dict[str, Any]:
    """Return plans, matrices and how they disagree; what is undefined is None."""
    plans = [
        {
            "id": plan.id,
            "iterations": plan.convergence.n_iterations,
            "evaluations": plan.convergence.n_evaluations,
            "objective_first": plan.convergence.objective[0],
            "objective_last": plan.convergence.objective[-1],
            "projected_gradient": plan.convergence.projected_gradient,
            "converged": plan.convergence.converged,
            "factor": plan.factor,
            "seconds": seconds,
            "volumes_ml": {name: region.volume_ml for name, region in contours.regions.items()},
        }
        for plan, seconds, contours in zip(found.plans, found.seconds, patient.contourings, strict=True)
    ]
    metrics = [
        {
            "structure": one.structure,
            "metric": one.metric,
            "values": [[plain(value) for value in row] for row in one.values.tolist()],
            "loss": [plain(value) for value in one.loss.tolist()],
            **{key: plain(value) for key, value in asdict(disagreement(one)).items()},
        }
        for one in found.matrices
    ]
    return {
        "engine": found.engine,
        "n_beamlets": found.n_beamlets,
        "n_nonzeros": found.n_nonzeros,
        "influence_seconds": found.influence_seconds,
        "plans": plans,
        "metrics": metrics,
    }


def plain(value: Any) -> Any:
    """Return a value that JSON has: None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
