"""The pool of the diversity study: predictions of every finished folder of models, and one study file over all of them.

Layout of OUT: models/FOLDER (trained), members/FOLDER (the stores), pool.toml, split.json. Predictions that are there
are kept.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plausible.core import Study
from plausible.diversity import Pool, PoolCase, pool_case
from plausible.io.atomic import write_text
from plausible.io.raw_dataset import read_dataset
from plausible.io.rows import write_table
from plausible.io.store import read_members_json

PLAIN = "deep"
GRID = re.compile(r"(?P<architecture>\w+?)_fold_(?P<fold>\d+)")
POOLED = ("deep", "checkpoints")
"""Folders that join the pool beside the grid; any other is an arm of its own."""
MARGIN_MM = 5.0


def finished(out: Path) -> list[Path]:
    """Folders of models whose training is done, the plain ensemble first."""
    found = sorted(path.parent for path in (out / "models").glob("*/model.json"))
    return sorted(found, key=lambda path: (path.name != PLAIN, path.name))


def predict(data: Path, out: Path, subjects: Sequence[str], *, only: Sequence[str] = ()) -> None:
    """Predict the cases with every finished model, or only with those named; what is there is kept."""
    from plausible.sample import load_model, predict_study

    study = read_dataset(data).only(subjects)
    for folder in finished(out):
        if only and folder.name not in only:
            continue
        done = predict_study(load_model(folder, device="cpu"), study, out / "members" / folder.name)
        written, kept = (sum(n for _, n in part) for part in (done.written, done.kept))
        print(f"{folder.name}: {written} members predicted, {kept} kept, {len(done.failures)} failed", flush=True)


def stores(out: Path) -> dict[str, dict[str, dict[str, Any]]]:
    """By folder of models the members of its store, by their names in the pool, with what is known of each.

    A member with the weights of an earlier one goes by that one's name: the first of `ncl_0` is the first of `deep`.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    named: dict[str, str] = {}
    for folder in finished(out):
        store = out / "members" / folder.name
        if (store / "members.json").is_file():
            members = found[folder.name] = {}
            for one in read_members_json(store)["members"]:
                name = f"{folder.name}_{one['id'].removeprefix('member_')}"
                members[named.setdefault(one.get("checkpoint") or name, name)] = one
    return found


def write_pool_toml(path: Path, out: Path, ids: Sequence[str]) -> None:
    """Write a study file with these members of the pool: `plausible diversity`, `select` and `assess` read it."""
    lines, missing = ['name = "diversity pool"', "", "[members]"], set(ids)
    for name, members in stores(out).items():
        grid = GRID.fullmatch(name)
        for pooled, info in members.items():
            if pooled not in missing:
                continue
            missing.remove(pooled)
            told: dict[str, Any] = {"path": f"members/{name}/{info['id']}", "kind": info["kind"]}
            told |= {key: info[key] for key in ("seed", "architecture", "method") if info[key] not in (None, "")}
            if grid:
                told["fold"] = int(grid["fold"])
            inside = ", ".join(f"{key} = {json.dumps(value)}" for key, value in told.items())
            lines.append(f"{json.dumps(pooled)} = {{ {inside} }}")
    write_text(path, "\n".join(lines) + "\n")


def write_design(path: Path, out: Path) -> list[str]:
    """Write which network, fold and seed every member of the crossed grid has; return the members."""
    rows = []
    for name, members in stores(out).items():
        grid = GRID.fullmatch(name)
        for n, pooled in enumerate(members if grid else ()):
            rows.append({"member": pooled, **(grid.groupdict() if grid else {}), "seed": str(n)})
    write_table(path, ("member", "architecture", "fold", "seed"), rows)
    return [row["member"] for row in rows]


def pooled_ids(out: Path) -> list[str]:
    """Members that rules may choose from: the plain ensemble, the grid and the checkpoints."""
    return [one for name, members in stores(out).items() if name in POOLED or GRID.fullmatch(name) for one in members]


def read_pool(study: Study, subjects: Sequence[str]) -> Pool:
    """Read cases of the pool on the voxels within 5 mm of what any member or the reference marks."""
    return Pool(tuple(_cases(study, subjects)))


def _cases(study: Study, subjects: Sequence[str]) -> Iterator[PoolCase]:
    for subject in subjects:
        case = study.case(subject)
        raters = case.raters()
        if raters is None:
            raise ValueError(f"{subject} has no reference")
        yield pool_case(case.members(), raters, margin_mm=MARGIN_MM)


def roles(out: Path) -> Mapping[str, tuple[str, ...]]:
    """Cases to choose on (validation) and to judge on (test), as the pool was trained."""
    told = json.loads((out / "split.json").read_text(encoding="utf-8"))
    return {role: tuple(told[role]) for role in ("validation", "test")}
