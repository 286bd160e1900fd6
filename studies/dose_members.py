"""Do more members, or members that differ more, give a better dose? Dose errors as the judge of an ensemble.

    python studies/dose_members.py --data openkbp_hn --out OUT [--seed 0]

OUT is the folder of `openkbp_dose.py` after its steps `train` and `predict`. For every held-out patient, organ and
subset of the members: the clinical metric of the mean probability's segmentation, and those of the members, under the
patient's dose, against the metric of the clinical contour. Two questions:

- **Number.** Absolute error of the ensemble's metric, and CRPS of the members' metrics, mean over all subsets of M
  members, for each M, with the change from one member to all (paired interval over patients).
- **Diversity at equal M.** In each patient and organ, over all pairs of members: Spearman correlation of the pair's
  Dice with its error and with its CRPS. Above 0, pairs that agree less are better. Mean over organs, then patients,
  with its interval.

A patient that was read is kept. Held-out patients chose nothing.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from openkbp_dose_tables import CLINICAL
from scipy.stats import spearmanr

from plausible.core import Case, Dose, Members
from plausible.dose import member_dvhs
from plausible.evaluate import Estimate, bootstrap_mean
from plausible.evaluate.volume_crps import crps_sample
from plausible.io import read_study
from plausible.io.atomic import write_json, write_text
from plausible.io.doses import find_doses, read_dose

Read = Mapping[str, Any]


def main() -> None:
    """Read what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the pack openkbp_hn")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    group, doses = asked.out / "heldout", find_doses(asked.data / "doseTr")
    study = read_study(group / "members", images=group / "img", references=group / "lab")
    read = [kept(case, doses[case.subject], asked.out / "dose_members" / f"{case.subject}.json") for case in study]
    text = (
        f"{len(read)} held-out patients\n\n{by_number(read, seed=asked.seed)}\n\n{by_diversity(read, seed=asked.seed)}"
    )
    write_text(asked.out / "dose_members.md", text + "\n")
    print(text)


def kept(case: Case, dose: Path, path: Path) -> Read:
    """What is known of a patient: read from the file, or made and written."""
    if path.exists():
        found: Read = json.loads(path.read_text(encoding="utf-8"))
        return found
    raters = case.raters()
    assert raters is not None
    made = subsets(case.members(), raters, read_dose(dose, subject=case.subject))
    write_json(path, {"subject": case.subject, **made})
    return {"subject": case.subject, **made}


def subsets(members: Members, raters: Members, dose: Dose) -> dict[str, Any]:
    """Metrics of every subset of the members, and of the reference."""
    ids = [info.id for info in members.infos]
    truth = {name: one.values(CLINICAL[name])[0] for name, one in member_dvhs(raters, dose).items()}
    found = []
    for m in range(1, len(ids) + 1):
        for chosen in combinations(ids, m):
            dvhs = member_dvhs(members.select(chosen), dose)
            found.append(
                {
                    "members": list(chosen),
                    "nominal": {name: one.nominal_value(CLINICAL[name]) for name, one in dvhs.items()},
                    "values": {name: one.values(CLINICAL[name]).tolist() for name, one in dvhs.items()},
                    "dice": {name: _dice(list(one.masks())) for name, one in dvhs.items()},
                }
            )
    return {"truth": truth, "subsets": found}


def _dice(masks: Sequence[np.ndarray]) -> float:
    """Mean pairwise Dice; 1 of a single member."""
    each = [2 * np.sum(a & b) / max(a.sum() + b.sum(), 1) for a, b in combinations(masks, 2)]
    return float(np.mean(each)) if each else 1.0


def errors(read: Read, organ: str, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Absolute error, CRPS and Dice of every subset of m members of a patient."""
    truth = read["truth"][organ]
    found = [one for one in read["subsets"] if len(one["members"]) == m]
    nominal = np.array([abs(one["nominal"][organ] - truth) for one in found])
    crps = np.array([crps_sample(np.array(one["values"][organ]), truth) for one in found])
    return nominal, crps, np.array([one["dice"][organ] for one in found])


def by_number(read: Sequence[Read], *, seed: int) -> str:
    """Error and CRPS by the number of members."""
    most = max(len(one["members"]) for one in read[0]["subsets"])
    lines = [
        "| organ, metric | score (Gy) | "
        + " | ".join(f"M = {m}" for m in range(1, most + 1))
        + f" | {most} against 1 |",
        "|" + "---|" * (most + 3),
    ]
    for organ, metric in CLINICAL.items():
        for place, score in enumerate(("error of the ensemble", "CRPS")):
            values = np.array([[errors(one, organ, m)[place].mean() for m in range(1, most + 1)] for one in read])
            told = values[np.isfinite(values).all(axis=1)]
            change = bootstrap_mean(told[:, -1] - told[:, 0], seed=seed)
            cells = " | ".join(f"{value:.2f}" for value in told.mean(axis=0))
            lines.append(f"| {organ}, {metric} | {score} | {cells} | {_interval(change)} |")
    return "\n".join(lines)


def by_diversity(read: Sequence[Read], *, seed: int) -> str:
    """Correlation of a pair's agreement with its errors, within patients."""
    lines = ["| over the pairs of a patient | Spearman with their Dice | n |", "|---|---|---|"]
    for place, score in enumerate(("error of the ensemble", "CRPS")):
        per_patient = [_mean_correlation(one, place) for one in read]
        told = np.array([value for value in per_patient if np.isfinite(value)])
        lines.append(f"| {score} | {_interval(bootstrap_mean(told, seed=seed))} | {len(told)} |")
    return "\n".join(lines)


def _mean_correlation(read: Read, place: int) -> float:
    """Mean over organs of the correlation over pairs; organs in which nothing differs say nothing."""
    found = []
    for organ in CLINICAL:
        scores = errors(read, organ, 2)
        if np.ptp(scores[place]) > 0 and np.ptp(scores[2]) > 0:
            found.append(float(spearmanr(scores[2], scores[place]).statistic))
    return float(np.mean(found)) if found else float("nan")


def _interval(found: Estimate) -> str:
    return f"{found.value:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


if __name__ == "__main__":
    main()
