"""`plausible evaluate --compare`: results on disk, what cannot be compared, and the tables."""

import csv
import json
import shutil
from functools import partial

import pytest

from plausible.evaluate import ComparisonSettings, compare_methods
from plausible.io import read_rows, write_rows
from plausible.runs import compare
from plausible.runs.compare_settings import CompareSettings
from tests.cli.program import run, told
from tests.runs.studies import SUBJECTS, OnDisk

DICE = ("--measures", "dice")


@pytest.fixture(autouse=True)
def few_comparison_draws(monkeypatch) -> None:
    """Intervals and ranks from few draws, as shapes are checked at each."""
    quick = partial(ComparisonSettings, n_resamples=20, n_permutations=100)
    monkeypatch.setattr(compare, "ComparisonSettings", quick)
    monkeypatch.setattr(compare, "rank_methods", partial(compare.rank_methods, n_resamples=5))


@pytest.fixture
def two(scored, tmp_path):
    """Results of two methods: the scored study, and a copy whose Dice of the ensemble is 0.1 lower."""
    worse = tmp_path / "worse"
    shutil.copytree(scored.out, worse)
    change(worse, lambda row: row.value - 0.1 if (row.measure, row.reduction) == ("dice", "ensemble") else row.value)
    return scored.out, worse


def change(out, value_of) -> None:
    rows = read_rows(out / "scores.csv")
    changed = [type(row)(**{**row.to_dict(), "value": value_of(row)}) for row in rows]
    write_rows(out / "scores.csv", changed)


def drop(out, subject) -> None:
    write_rows(out / "scores.csv", [row for row in read_rows(out / "scores.csv") if row.subject != subject])


def table(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def dice_lines(out) -> list[dict]:
    lines = json.loads((out / "comparison.json").read_text("utf-8"))["lines"]
    return [one for one in lines if (one["measure"], one["reduction"]) == ("dice", "ensemble")]


def test_lines_are_those_of_the_library_in_every_table(two, tmp_path):
    out = tmp_path / "cmp"
    done = told("evaluate", "--compare", f"best={two[0]}", two[1], "-o", out)
    rows = {"best": read_rows(two[0] / "scores.csv"), "worse": read_rows(two[1] / "scores.csv")}
    expected = compare_methods(rows, settings=ComparisonSettings(n_resamples=20, n_permutations=100))
    assert done["compared"] == len(expected) > 30
    assert (done["methods"], done["cases"], done["problems"]) == (["best", "worse"], list(SUBJECTS), [])
    written = table(out / "comparison.csv")
    for line, row in zip(expected, written, strict=True):
        assert (row["measure"], row["region"], row["better"]) == (line.measure, line.region, line.better)
        for name in ("difference", "low", "p", "p_holm", "cohens_d", "superiority"):
            value = float(row[name]) if row[name] else float("nan")
            assert value == pytest.approx(getattr(line, name), nan_ok=True), (line, name)
    content = json.loads((out / "comparison.json").read_text("utf-8"))
    assert len(content["lines"]) == len(written)
    assert content["provenance"]["command"].startswith("evaluate --compare best worse")
    assert set(content["provenance"]["inputs"]) == {"best/scores.csv", "worse/scores.csv"}
    for line in dice_lines(out):
        assert (line["difference"], line["better"], line["n"]) == (pytest.approx(0.1), "best", 3)
    first = [one for one in table(out / "ranking.csv") if (one["measure"], one["reduction"]) == ("dice", "ensemble")]
    assert {(one["method"], float(one["rank"])) for one in first} == {("best", 1), ("worse", 2)}


def test_a_person_reads_the_headlines_and_where_the_rest_is(two, tmp_path):
    text = run("evaluate", "--compare", two[0], "--compare", two[1], "-o", tmp_path / "cmp").stdout
    (line,) = [one for one in text.splitlines() if one.startswith("dice liver ensemble")]
    assert line.split()[3:6] == ["+0.1", "[+0.1,", "+0.1]"]
    assert line.split()[-3:] == ["out", "3", "0"]
    assert "sensitivity" not in text
    assert f"lines: {tmp_path / 'cmp' / 'comparison'}.csv" in text
    assert "sensitivity liver ensemble" in (tmp_path / "cmp" / "comparison.txt").read_text("utf-8")


def test_swapping_the_folders_turns_the_signs(two, tmp_path):
    for name, folders in (("one", two), ("other", two[::-1])):
        run("evaluate", "--compare", *folders, "-o", tmp_path / name, *DICE)
    for one, other in zip(dice_lines(tmp_path / "one"), dice_lines(tmp_path / "other"), strict=True):
        assert one["difference"] == pytest.approx(-other["difference"])
        assert (one["better"], one["p"]) == (other["better"], other["p"])


def test_cases_that_one_folder_lacks_are_named_and_left_out(two, tmp_path):
    drop(two[1], "case_b")
    done = told("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE)
    assert done["cases"] == ["case_a", "case_c"]
    (problem,) = done["problems"]
    assert (problem["code"], problem["severity"], problem["member"]) == ("E405", "warning", "worse")
    assert "case_b" in problem["found"]
    assert {line["n"] for line in dice_lines(tmp_path / "cmp")} == {2}
    content = json.loads((tmp_path / "cmp" / "comparison.json").read_text("utf-8"))
    assert content["left_out"] == {"case_b": ["worse"]}


def test_one_common_case_is_too_few(two, tmp_path):
    for subject in ("case_b", "case_c"):
        drop(two[1], subject)
    error = run("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, code=4).stderr
    assert "E401" in error
    assert "1 patient that" in error
    assert not (tmp_path / "cmp").exists()


def test_other_references_are_refused_and_named(two, tmp_path):
    path = two[1] / "case_b" / "evaluation.json"
    content = json.loads(path.read_text("utf-8"))
    inputs = content["provenance"]["inputs"]
    (name,) = [name for name in inputs if name.startswith("reference/")]
    inputs[name] = "0" * 64
    path.write_text(json.dumps(content), "utf-8")
    done = told("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, code=4)
    assert (done["problem"]["code"], done["problem"]["subject"]) == ("E405", "case_b")
    assert "worse: reference 00000000" in done["problem"]["found"]


def test_other_settings_are_a_warning(two, tmp_path):
    path = two[1] / "case_b" / "evaluation.json"
    path.write_text(path.read_text("utf-8").replace("--n-bins 15", "--n-bins 50"), "utf-8")
    (problem,) = told("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE)["problems"]
    assert (problem["code"], problem["severity"]) == ("E405", "warning")
    assert "--n-bins 50" in problem["found"]


def test_patients_are_told_by_a_table(two, tmp_path):
    patients = tmp_path / "patients.csv"
    patients.write_text("subject,patient\ncase_a,p1\ncase_b,p1\ncase_c,p2\n")
    run("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, "--patients", patients)
    assert {(line["n"], line["n_patients"]) for line in dice_lines(tmp_path / "cmp")} == {(3, 2)}
    patients.write_text("subject,patient\ncase_a,p1\ncase_b,p1\n")
    error = run("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, "--patients", patients, code=2).stderr
    assert "no patient is told for case_c" in error
    for damaged in ("subject,owner\ncase_a,p\n", "subject,patient\ncase_a,p\ncase_a,q\n", "subject,patient\ncase_a\n"):
        patients.write_text(damaged)
        error = run("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, "--patients", patients, code=4).stderr
        assert "E305" in error


def test_measures_chosen_beforehand_are_fewer_to_adjust_for(two, tmp_path):
    run("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, "--measures", "iou")
    lines = table(tmp_path / "cmp" / "comparison.csv")
    assert {line["measure"] for line in lines} == {"dice", "iou"}
    assert {int(line["n_compared"]) for line in lines} == {len([line for line in lines if line["p"]])}
    error = run("evaluate", "--compare", *two, "-o", tmp_path / "cmp", "--measures", "dise", code=2).stderr
    assert "no rows of dise; there are: " in error


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--compare", "nowhere", "elsewhere"), 4, "E108"),
        (("--compare", "only"), 2, "at least 2 folders"),
        (("--compare", "x/out", "y/out"), 2, "two folders of one name"),
        (("stray",), 2, "-i MEMBERS"),
        ((), 2, "-i MEMBERS"),
        (("--compare", "x", "y", "--confidence", "entropy:mean"), 2, "MEASURE:REGION:REDUCTION"),
    ],
)
def test_wrong_lines_are_explained(arguments, code, words, tmp_path):
    assert words in run("evaluate", *arguments, "-o", tmp_path / "cmp", code=code).stderr


def test_a_dry_run_says_what_would_be_compared(two, tmp_path):
    done = told("evaluate", "--compare", *two, "-o", tmp_path / "cmp", *DICE, "--dry-run")
    assert done["methods"] == {"out": str(two[0]), "worse": str(two[1])}
    assert not (tmp_path / "cmp").exists()


def test_three_methods_are_compared_in_pairs(two, scored: OnDisk, tmp_path):
    found = compare.compare_results(
        {"a": two[0], "b": two[1], "c": scored.out}, settings=CompareSettings(measures=("dice",))
    )
    assert {(line.first, line.second) for line in found.lines} == {("a", "b"), ("a", "c"), ("b", "c")}
    assert {one.method for one in found.ranking} == {"a", "b", "c"}
