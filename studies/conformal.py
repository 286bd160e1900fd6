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
from conformal_results import (
    Result,
    all_patients_table,
    audit_table,
    flag_table,
    law_of,
    repeat,
    spread_table,
    summary,
    table,
)

from plausible.io import read_study
from plausible.io.atomic import write_bytes, write_json
from plausible.runs.calibrate import measure_cases
from plausible.runs.calibrate_settings import FailureRule
from plausible.runs.calibration_case import CalibrationCase
from plausible.runs.settings import EvaluateSettings

LEVELS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8)
"""Alphas of the plot."""

DRAWN = {
    "volume interval, plain, shared tails": "volume interval, plain",
    "volume interval, normalized, shared tails": "volume interval, normalized",
    "margin that holds 95 %": "margin that holds 95 %",
    "margin that holds 100 %": "margin that holds 100 %",
    "members' mean and sd, not calibrated": "*members' mean and sd, not calibrated",
    "margin that holds 95 % of pooled voxels": "*margin from pooled voxels",
}


def main() -> None:
    """Measure, split, calibrate, test, write."""
    arguments = _parser().parse_args()
    out = Path(arguments.out)
    cases = _measured(arguments.members, arguments.references, arguments.cases, out)
    found = cohorts(cases)
    rules = [FailureRule.parse(text) for text in arguments.failure]
    promising = conformal_methods(rules, delta=arguments.delta, spread_floor_ml=arguments.spread_floor)
    methods = [*promising, *naive_methods(rules)]
    subjects = found[0].subjects
    n = arguments.calibration or round(len(subjects) * 25 / 45)
    splits = random_splits(subjects, n_calibration=n, repeats=arguments.repeats, seed=arguments.seed)
    results = [repeat(one, method, splits, alpha) for alpha in arguments.alpha for one in found for method in methods]
    few = _few(found, promising[0], subjects, arguments)
    write_json(out / "results.json", [one.to_dict() for one in (*results, *few)])
    plain = [method for method in methods if method.name.startswith("members'")]
    tables = {
        **{f"alpha {alpha:g}, over structures": summary(results, alpha=alpha) for alpha in arguments.alpha},
        "Failure flags": flag_table(results, found, rules),
        "Not calibrated, all patients, alpha 0.1": all_patients_table(found, plain, 0.1),
        "Errors and spread": spread_table(found, seed=arguments.seed),
        f"Too few patients: {arguments.few}": table(few),
        "Every structure": table(results),
    }
    if arguments.other_members:
        other = _measured(arguments.other_members, arguments.other_references, arguments.other_cases, out)
        tables["Calibrated on other patients"] = audit_table(_audit(other, cases, methods, arguments.alpha))
    text = "\n".join(f"## {title}\n\n{body}\n" for title, body in tables.items())
    write_bytes(out / "table.md", text.encode())
    print(text)
    title = f"{arguments.title}: {n} calibration, {len(subjects) - n} test patients"
    write_bytes(out / "coverage.svg", draw(found, methods, splits[: arguments.drawn], title=title).encode())


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


def _audit(
    other: list[CalibrationCase], cases: list[CalibrationCase], methods: Sequence[Method], alphas: Sequence[float]
) -> list[Result]:
    """Calibrate on other patients once, and test on all patients of the study."""
    both = cohorts([*other, *cases])
    once = [Split(tuple(case.subject for case in other), tuple(case.subject for case in cases), 0)]
    return [repeat(one, method, once, alpha) for alpha in alphas for one in both for method in methods]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", required=True, help="member store, or any folder that plausible reads")
    parser.add_argument("--references", required=True, help="folder of label maps")
    parser.add_argument("--out", required=True, help="folder of this study")
    parser.add_argument("--cases", default="", help="FILE.json:KEY, a list of cases; all cases without it")
    parser.add_argument("--other-members", help="members of other patients, to calibrate on them once")
    parser.add_argument("--other-references", help="their label maps")
    parser.add_argument("--other-cases", default="", help="FILE.json:KEY, as --cases")
    parser.add_argument("--alpha", type=float, nargs="+", default=[0.1, 0.2])
    parser.add_argument("--delta", type=float, default=0.1, help="of the failure flag")
    parser.add_argument("--failure", nargs="+", default=["dice<0.8"], help="when a case fails; decided elsewhere")
    parser.add_argument("--spread-floor", type=float, default=0.1, help="in ml, of the normalized intervals")
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--drawn", type=int, default=200, help="how many of the splits the plot shows")
    parser.add_argument("--calibration", type=int, default=0, help="calibration patients; 25 of 45 without it")
    parser.add_argument("--few", type=int, default=8, help="calibration patients of the table on too few")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--title", default="Coverage")
    return parser


def _named(where: str) -> list[str]:
    """Cases under a key of a JSON file."""
    path, _, key = where.rpartition(":")
    return list(json.loads(Path(path).read_text(encoding="utf-8"))[key])


def _measured(members: str, references: str, cases: str, out: Path) -> list[CalibrationCase]:
    study = read_study(Path(members), references=Path(references))
    if cases:
        study = study.only(_named(cases))
    measured, walked = measure_cases(study, out / "curves", scoring=EvaluateSettings(), on_case=_say)
    for problem in walked.failures:
        print(problem, file=sys.stderr)
    return measured


def _say(subject: str, number: int, total: int, result: str) -> None:
    print(f"{number}/{total} {subject}: {result}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
