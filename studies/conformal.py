"""What the conformal family keeps and costs on real members, over repeated random splits of the patients.

    python studies/conformal.py --members MEMBERS --references LABELS --cases split.json:test --out OUT

Every case is measured once (OUT/curves, kept and resumed). Then patients are split again and again into calibration
and test patients. OUT/results.json holds every result, OUT/table.md the tables, OUT/coverage.svg the plot.

Splits of the same patients are not independent, and no more patients than there are: read the docs page with care.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from conformal_data import Cohort, Split, cohorts, random_splits
from conformal_methods import Method, conformal_methods
from conformal_naive import clipped_rank, naive_methods
from conformal_plot import coverage_plot
from conformal_results import Result, law_of, repeat, summary, table

from plausible.core import Study
from plausible.io import read_study
from plausible.io.atomic import write_bytes, write_json
from plausible.runs.calibrate import measure_cases
from plausible.runs.calibrate_settings import FailureRule
from plausible.runs.settings import EvaluateSettings

LEVELS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8)
"""Alphas of the plot."""

DRAWN = {
    "volume interval, plain, shared tails": "volume interval, plain",
    "volume interval, normalized, shared tails": "volume interval, normalized",
    "margin that holds 95 %": "margin that holds 95 %",
    "members' mean and sd, not calibrated": "*members' mean and sd, not calibrated",
    "margin that holds 95 % of pooled voxels": "*margin from pooled voxels",
}


def main() -> None:
    """Measure, split, calibrate, test, write."""
    arguments = _parser().parse_args()
    out = Path(arguments.out)
    study = read_study(Path(arguments.members), references=Path(arguments.references))
    if arguments.cases:
        study = study.only(_named(arguments.cases))
    found = cohorts(_measured(study, out))
    rule = FailureRule.parse(arguments.failure)
    promising = conformal_methods(rule, delta=arguments.delta, spread_floor_ml=arguments.spread_floor)
    methods = [*promising, *naive_methods(rule)]
    subjects = found[0].subjects
    n = arguments.calibration or round(len(subjects) * 25 / 45)
    splits = random_splits(subjects, n_calibration=n, repeats=arguments.repeats, seed=arguments.seed)
    results = [repeat(one, method, splits, alpha) for alpha in arguments.alpha for one in found for method in methods]
    few = _few(found, promising[0], subjects, arguments)
    _write(out, results, few, arguments.alpha)
    picture = draw(
        found, methods, splits, title=f"{arguments.title}: {n} calibration, {len(subjects) - n} test patients"
    )
    write_bytes(out / "coverage.svg", picture.encode())


def draw(found: Sequence[Cohort], methods: Sequence[Method], splits: Sequence[Split], *, title: str) -> str:
    """Draw coverage against the nominal one, mean over structures; levels that a method refuses are left out."""
    lines = {}
    for method in (one for one in methods if one.name in DRAWN):
        at = {alpha: np.mean([repeat(one, method, splits, alpha).achieved for one in found]) for alpha in LEVELS}
        lines[DRAWN[method.name]] = [(1 - alpha, float(y)) for alpha, y in at.items() if not np.isnan(y)]
    n, n_test = len(splits[0].calibration), len(splits[0].test)
    feasible = [alpha for alpha in LEVELS if (n + 1) * alpha >= 1]
    band = [(1 - alpha, *law_of("one tail", n, n_test, alpha)[1]) for alpha in feasible]
    return coverage_plot(lines, band, title=title)


def _few(found: Sequence[Cohort], ours: Method, subjects: Sequence[str], arguments: argparse.Namespace) -> list[Result]:
    """Return what happens with too few patients: ours refuses, the clipped rank answers."""
    splits = random_splits(subjects, n_calibration=arguments.few, repeats=arguments.repeats, seed=arguments.seed)
    theirs = Method("clipped rank, separate tails", "coverage", "width, ml", clipped_rank, "none", naive=True)
    return [
        repeat(one, method, splits, alpha) for alpha in arguments.alpha for one in found for method in (ours, theirs)
    ]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", required=True, help="member store, or any folder that plausible reads")
    parser.add_argument("--references", required=True, help="folder of label maps")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--cases", default="", help="FILE.json:KEY, a list of cases; all cases without it")
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.1, 0.2])
    parser.add_argument("--delta", type=float, default=0.1, help="of the failure flag")
    parser.add_argument("--failure", default="dice<0.8", help="when a case fails; decide it on other patients")
    parser.add_argument("--spread-floor", type=float, default=0.1, help="in ml, of the normalized intervals")
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--calibration", type=int, default=0, help="calibration patients; 25 of 45 without it")
    parser.add_argument("--few", type=int, default=8, help="calibration patients of the table on too few")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--title", default="Coverage")
    return parser


def _named(where: str) -> list[str]:
    """Cases under a key of a JSON file."""
    path, _, key = where.rpartition(":")
    return list(json.loads(Path(path).read_text(encoding="utf-8"))[key])


def _measured(study: Study, out: Path) -> list:
    cases, walked = measure_cases(study, out / "curves", scoring=EvaluateSettings(), on_case=_say)
    for problem in walked.failures:
        print(problem, file=sys.stderr)
    return cases


def _say(subject: str, number: int, total: int, result: str) -> None:
    print(f"{number}/{total} {subject}: {result}", file=sys.stderr, flush=True)


def _write(out: Path, results: list[Result], few: list[Result], alphas: Sequence[float]) -> None:
    write_json(out / "results.json", [one.to_dict() for one in (*results, *few)])
    parts = [f"## alpha {alpha:g}, over structures\n\n{summary(results, alpha=alpha)}\n" for alpha in alphas]
    parts.append(f"## Too few patients: {few[0].n_calibration}\n\n{table(few)}\n")
    parts.append(f"## Every structure\n\n{table(results)}\n")
    text = "\n".join(parts)
    write_bytes(out / "table.md", text.encode())
    print(text)


if __name__ == "__main__":
    main()
