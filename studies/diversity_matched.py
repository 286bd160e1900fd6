"""Ensembles trained to differ against all plain ensembles of their size, not only the first seeds.

    python studies/diversity_matched.py --data DATASET --out OUT --objectives oen ncl_0 [--seed 0]

OUT is the folder of `diversity_pool.py` and `diversity_objectives.py`; predictions are made where they are missing.
Each objective with M members is compared, case by case on the test cases, with the mean over all subsets of M of the
plain ensemble's members, on the voxels within 5 mm of what any of these members or the reference marks: one objective
that marks half the image changes nobody else's numbers. The acceptance rule judges each against every one of these
subsets, and the verdicts are counted. Ensembles of one training are also compared with single members, at equal cost.
Writes OUT/matched.json and OUT/matched.md.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from diversity_data import PLAIN, predict, read_pool, roles, stores, write_pool_toml
from diversity_judge import ONE_TRAINING, Arm, columns_of, compared, evidence, told, verdict_on
from diversity_table import COLUMNS, change

from plausible.diversity import Pool
from plausible.evaluate import Estimate, bootstrap_weighted, weighted_aurc
from plausible.io import read_study
from plausible.io.atomic import write_json, write_text


def main() -> None:
    """Predict, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="nnU-Net raw dataset")
    parser.add_argument("--out", type=Path, required=True, help="folder of diversity_pool.py")
    parser.add_argument("--objectives", nargs="+", required=True, help="folders of OUT/models")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    cases = roles(asked.out)["test"]
    predict(asked.data, asked.out, cases, only=[PLAIN, *asked.objectives])
    found = []
    for name in asked.objectives:
        ids = {one: list(stores(asked.out)[one]) for one in (PLAIN, name)}
        path = asked.out / f"matched_{name}.toml"
        write_pool_toml(path, asked.out, [*ids[PLAIN], *ids[name]])
        pool = read_pool(read_study(path, references=asked.data / "labelsTr"), cases)
        for size in [len(ids[name]), *([1] if name in ONE_TRAINING else [])]:
            of_size = matched(pool, ids[name], ids[PLAIN], size=size, n_arms=len(asked.objectives), seed=asked.seed)
            found.append({"name": name, **of_size})
    write_json(asked.out / "matched.json", {"objectives": found, "n": len(cases), "seed": asked.seed})
    write_text(asked.out / "matched.md", table(found))
    print(table(found))


def matched(
    pool: Pool, ours: Sequence[str], plain: Sequence[str], *, size: int, n_arms: int, seed: int
) -> dict[str, Any]:
    """Differences of one ensemble from the mean plain ensemble of a size, and the verdicts on each of those."""
    arm = Arm("change", pool.equal(list(ours)), len(ours), PLAIN, "")
    plains = [Arm(" ".join(ids), pool.equal(list(ids)), size, "", "") for ids in combinations(plain, size)]
    columns, theirs = columns_of(pool, arm), [columns_of(pool, one) for one in plains]
    differences = {name: told(difference(values, [one[name] for one in theirs], seed=seed))
                   for name, values in columns.items() if name != "pairwise_dice" or size > 1}  # fmt: skip
    ours_judged = evidence(pool, arm)
    judged = [verdict_on(ours_judged, evidence(pool, one), n_arms=n_arms, seed=seed).decision for one in plains]
    return {
        "members": len(ours),
        "size": size,
        "plain": len(plains),
        "differences": differences,
        "verdicts": dict(Counter(judged)),
    }


def difference(ours: np.ndarray, theirs: Sequence[np.ndarray], *, seed: int) -> Estimate:
    """Ours minus the mean of theirs, with its paired interval over cases; areas are made anew in each resample."""
    if len(ours) == 1:
        return compared(ours, np.mean(theirs, axis=0), seed=seed)
    return bootstrap_weighted(_mean_area_difference, *ours, *np.concatenate(theirs), seed=seed)


def _mean_area_difference(*columns: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    first, *others = [weighted_aurc(columns[n], columns[n + 1]) for n in range(0, len(columns), 2)]
    return lambda weights: first(weights) - np.mean([one(weights) for one in others], axis=0)


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Return the differences and the counted verdicts as Markdown."""
    lines = ["| ensemble | plain members | " + " | ".join(head for head, _, _ in COLUMNS.values()) + " | verdicts |",
             "|---" * (len(COLUMNS) + 3) + "|"]  # fmt: skip
    for one in found:
        cells = [change(one["differences"].get(name), factor, digits) for name, (_, factor, digits) in COLUMNS.items()]
        judged = ", ".join(f"{times} {decision}" for decision, times in sorted(one["verdicts"].items()))
        lines.append(f"| {one['name']} | {one['size']} | {' | '.join(cells)} | {judged} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
