"""Which ensembles of the diversity pool are worth it? Predict, measure, choose, judge; tables and figures.

    python studies/diversity.py --data DATASET --out OUT [--members 5] [--seed 0] [--steps predict measure judge curves]

OUT is the folder of `diversity_pool.py`; models are taken as far as they are trained, and the command is simply run
again when there are more. Beside the pool (deep, ARCHITECTURE_fold_K, checkpoints) every further folder of
OUT/models, such as one trained with an objective of diversity, is an arm of its own. Members are chosen on the 30
validation cases and judged on the 45 test cases, each arm against the plain ensemble with as many members.

Writes OUT/table.md, judged.json, curves.csv, curves_plain.svg, curves_pool.svg, sequential.csv, fort_plane.svg, and
OUT/measure and OUT/components with the pages of `plausible diversity`. GED is left out: these cases have one rater.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from diversity_data import GRID, finished, pooled_ids, predict, read_pool, roles, stores, write_design, write_pool_toml
from diversity_judge import Arm, alone, arms, columns_of, compared, evidence, told, verdict_on
from diversity_table import markdown

from plausible.core import Study
from plausible.diversity import POOL_SCORES, Pool, early_stopping, extrapolate, score_curve, scored
from plausible.diversity.enough import EXTRAPOLATED
from plausible.diversity.pool_scores import agreement
from plausible.io import read_study
from plausible.io.atomic import write_json, write_text
from plausible.io.rows import write_table
from plausible.report.page import svg_file

STEPS = ("predict", "measure", "judge", "curves")
FLAGGED_SHARE = 0.25
"""Early stopping is measured with flags for the mean pairwise Dice below which so many of the validation cases are."""


def main() -> None:
    """Run the steps that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder of diversity_pool.py")
    parser.add_argument("--members", type=int, default=5, help="members of a chosen ensemble")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    asked = parser.parse_args()
    out, cases = asked.out, roles(asked.out)
    print(f"{len(finished(out))} folders of models are trained: {', '.join(path.name for path in finished(out))}")
    if "predict" in asked.steps:
        predict(asked.data, out, [*cases["validation"], *cases["test"]])
    every = [one for members in stores(out).values() for one in members]
    write_pool_toml(out / "pool.toml", out, every)
    study = read_study(out / "pool.toml", references=asked.data / "labelsTr")
    if "measure" in asked.steps:
        _measure(study, asked.data, out, cases["test"], seed=asked.seed)
    pools = {role: read_pool(study, subjects) for role, subjects in cases.items()}
    if "judge" in asked.steps:
        _judge(pools, out, m=asked.members, seed=asked.seed)
    if "curves" in asked.steps:
        _curves(pools, out, seed=asked.seed)


def _measure(study: Study, data: Path, out: Path, test: Sequence[str], *, seed: int) -> None:
    """Diversity of all members, the Fort plane, and the components of the crossed grid."""
    from plausible.diversity import ErrorPairs, fort_plane
    from plausible.diversity.summary import pooled_parts
    from plausible.report.diversity_charts import plane_chart
    from plausible.runs.diversity import diversity_of_study
    from plausible.runs.diversity_case import read_design

    found = diversity_of_study(study.only(test), out / "measure", seed=seed)
    parts = pooled_parts({case.subject: case.parts for case in found.cases})
    counted = [part.counts for part in parts if isinstance(part.counts, ErrorPairs)]
    if counted:
        write_text(out / "fort_plane.svg", svg_file(plane_chart(fort_plane(counted[0]))))
    members = write_design(out / "design.csv", out)
    cells = [cell for name in stores(out) if (cell := GRID.fullmatch(name))]
    if len({cell["fold"] for cell in cells}) < 2:
        print("components: fewer than two folds are trained, nothing to take apart yet")
        return
    write_pool_toml(out / "grid.toml", out, members)
    grid = read_study(out / "grid.toml", references=data / "labelsTr").only(test)
    diversity_of_study(grid, out / "components", design=read_design(out / "design.csv"), seed=seed)


def _judge(pools: dict[str, Pool], out: Path, *, m: int, seed: int) -> None:
    """Every arm on the test cases against the plain ensemble of its size."""
    found = arms(pools["test"], pools["validation"], {n: list(ids) for n, ids in stores(out).items()},
                 pooled_ids(out), m)  # fmt: skip
    by_name = {arm.name: arm for arm in found}
    judged = [arm for arm in found if arm.against in by_name]
    columns = {arm.name: columns_of(pools["test"], arm) for arm in found}
    lines = [_line(arm, columns, seed) for arm in found]
    shown = {arm.name: evidence(pools["test"], arm) for arm in found}
    for arm, line in zip(found, lines, strict=True):
        if arm.against in by_name:
            verdict = verdict_on(shown[arm.name], shown[arm.against], n_arms=len(judged), seed=seed)
            line["verdict"] = verdict.to_dict()
    random = _random(pools["test"], out, m, seed)
    write_json(out / "judged.json", {"arms": lines, "random": random, "n": len(pools["test"].cases), "seed": seed})
    table = markdown(lines, random, n_cases=len(pools["test"].cases))
    write_text(out / "table.md", table)
    print(table)


def _line(arm: Arm, columns: dict[str, Any], seed: int) -> dict[str, Any]:
    """Numbers of one arm: values, and paired differences from its baseline where there is one."""
    ours, theirs = columns[arm.name], columns.get(arm.against)
    line: dict[str, Any] = {"name": arm.name, "members": arm.n_members, "trainings": arm.trainings, "how": arm.how,
                            "against": arm.against if theirs else ""}  # fmt: skip
    line["values"] = {name: told(alone(values, seed=seed)) for name, values in ours.items() if _defined(values)}
    if theirs:
        line["differences"] = {
            name: told(compared(values, theirs[name], seed=seed))
            for name, values in ours.items()
            if _defined(values) and _defined(theirs[name])
        }
    return line


def _random(pool: Pool, out: Path, m: int, seed: int) -> dict[str, Any]:
    """Mean and middle nine tenths of subsets drawn from the pool by lot, what any rule must beat."""
    ids = pooled_ids(out)
    if len(ids) <= m:
        return {}
    part = pool.select(sorted(ids))
    found = {name: score_curve(part, score=name, sizes=(m,), n_subsets=100, seed=seed) for name in POOL_SCORES.names}
    return {name: {"value": c.values[0], "low": c.low[0], "high": c.high[0]} for name, c in found.items()}


def _curves(pools: dict[str, Pool], out: Path, *, seed: int) -> None:
    """Scores against the number of members, of plain seeds and of the pool, and early stopping."""
    from plausible.report.selection_chart import curves_chart

    pool, groups = pools["test"], {"plain": list(stores(out)["deep"]), "pool": pooled_ids(out)}
    rows: list[dict[str, Any]] = []
    stops: list[dict[str, Any]] = []
    for name, ids in groups.items():
        part = pool.select(sorted(ids))
        curves = [score_curve(part, score=score, n_subsets=40, seed=seed) for score in POOL_SCORES.names]
        for curve in curves:
            limit = extrapolate(curve, seed=seed).to_dict() if curve.score in EXTRAPOLATED else {}
            rows += [{"members_of": name, **row, **{k: limit.get(k, "") for k in LIMITS}} for row in curve.rows()]
        before = pools["validation"].select(sorted(ids))
        shared = [agreement(case, before.equal(before.members)) for case in before.cases]
        flag_below = float(np.quantile(shared, FLAGGED_SHARE))
        stopped = early_stopping(part, flag_below=flag_below, seed=seed)
        stops += [{"members_of": name, "flag_below": flag_below, **one.to_dict()} for one in stopped]
        plain = {s: scored(pool, pool.equal(groups["plain"]), s) for s in POOL_SCORES.names}
        chart = curves_chart(curves, {"plain ensemble": (len(groups["plain"]), plain)})
        write_text(out / f"curves_{name}.svg", svg_file(chart))
    write_table(out / "curves.csv", tuple(rows[0]), rows)
    write_table(out / "sequential.csv", tuple(stops[0]), stops)


LIMITS = ("limit_value", "limit_low", "limit_high", "single_value", "misfit")


def _defined(values: Any) -> bool:
    return bool((values == values).any())


if __name__ == "__main__":
    main()
