"""How the program ends: every exit code, errors that name what mends them, JSON for machines, and dry runs."""

import json
import math

import numpy as np
import pytest

from plausible.cli import outcome
from plausible.core import InvalidInput, Problem, UnfitEnvironment
from plausible.runs import assess as assess_module
from tests.cli.program import contents, run, told
from tests.io.broken import BROKEN, cut_off
from tests.runs.studies import SUBJECTS

pytestmark = pytest.mark.usefixtures("quick_pages", "no_cohort_numbers")

PARTS = ("code", "title", "found", "expected", "fix", "subject", "member", "file", "severity", "url")


def test_every_exit_code_is_described():
    codes = {outcome.DONE, outcome.USAGE, outcome.SOME_FAILED, outcome.INVALID, outcome.ENVIRONMENT, outcome.FLAGGED}
    assert codes == {0, 2, 3, 4, 5, 10} == set(outcome.EXIT_CODES)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--review-below", 1.5), "review_below is a Dice, from 0 to 1, got 1.5"),
        (("--maps", "sharpness"), "no voxel measure 'sharpness'; there are:"),
        (("--num-parts", 2, "--part-id", 2), "--part-id 2 must lie in 0 .. 1 (--num-parts 2)"),
        (("--references", "a", "--references", "b"), "--references rater_1=FOLDER --references rater_2=FOLDER"),
        (("--references", "a=x", "--references", "a=y"), "need a name each"),
    ],
)
def test_wrong_settings_end_with_2_and_one_line(wrong, said, study):
    done = run("assess", *study.line, *wrong, code=2)
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert said in told("assess", *study.line, *wrong, code=2)["error"]
    assert not study.out.exists()


@pytest.mark.parametrize(
    "wrong", [("--revue-below", 0.5), ("--values", "percent"), ("--num-parts", 0), ("--seed", "x")]
)
def test_wrong_options_end_with_2(wrong, study):
    assert "Error:" in run("assess", *study.line, *wrong, code=2).stderr


def test_a_bad_case_ends_with_3_and_is_told_with_its_fix(study):
    cut_off(study.members / "fold_1" / "case_b.npz")
    done = run("assess", *study.line, code=3)
    first, *rest = [line for line in done.stderr.splitlines() if line]
    assert first == "error: E305 file is truncated or damaged: case_b, fold_1, case_b.npz"
    assert [line.split()[0] for line in rest] == ["found", "expected", "fix"]
    assert "2 cases done, 0 kept from before, 1 failed" in done.stdout
    assert f"failures: {study.out / 'failures.csv'}" in done.stdout


def test_an_unusable_study_ends_with_4_and_is_told_with_its_fix(tmp_path):
    broken = BROKEN["other_class_order"](tmp_path)
    done = run("assess", "-i", broken.members, "-o", tmp_path / "out", code=4)
    first, *rest = done.stderr.splitlines()
    assert first == "E103 class order differs between members: fold_2"
    assert [line.split()[0] for line in rest] == ["found", "expected", "fix"]
    assert done.stdout == ""
    problem = told("assess", "-i", broken.members, "-o", tmp_path / "out", code=4)["problem"]
    assert set(problem) == set(PARTS)
    assert "--align names" in problem["fix"]


def test_a_folder_that_is_not_there_ends_with_4(tmp_path):
    for verb in ("assess", "evaluate", "inspect"):
        arguments = ("-i", tmp_path / "nowhere", *(() if verb == "inspect" else ("-o", tmp_path / "out")))
        assert "E108" in run(verb, *arguments, code=4).output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "out"])
def test_an_output_that_cannot_be_made_ends_with_5(below, study):
    (study.root / "file").write_text("x")
    line = ("assess", "-i", study.members, "-o", study.root / "file" / below, "-q")
    assert run(*line, code=5).stderr.startswith("E903 output cannot be written")
    assert told(*line, code=5)["problem"]["code"] == "E903"


def test_a_machine_that_is_not_fit_ends_with_5(tmp_path):
    (tmp_path / "file").write_text("x")
    assert "fail  output" in run("doctor", "-o", tmp_path / "file", code=5).stdout
    assert {one["status"] for one in told("doctor", "-o", tmp_path / "file", code=5)} >= {"fail", "ok"}
    assert {one["status"] for one in told("doctor", "-o", tmp_path)} <= {"ok", "warn"}


def test_flags_end_with_10_only_where_they_are_asked_for(study):
    line = ("assess", *study.line, "--review-below", 1.0)
    assert told(*line, code=0)["flagged"] == list(SUBJECTS)
    assert "3 flagged" in run(*line, "--fail-on-flag", code=10).stdout
    assert told("assess", *study.line, "--fail-on-flag", code=0)["flagged"] == []
    assert told(*line, "--fail-on-flag", "--num-parts", 3, "--part-id", 1, code=10)["flagged"] == ["case_b"]
    cut_off(study.members / "fold_1" / "case_b.npz")
    assert told(*line, "--fail-on-flag", code=3)["flagged"] == ["case_a", "case_c"]


def test_a_case_without_enough_memory_fails_alone(study, monkeypatch):
    whole = assess_module.assess_members

    def hungry(members, settings):
        if members.subject == "case_b":
            raise MemoryError
        return whole(members, settings)

    monkeypatch.setattr(assess_module, "assess_members", hungry)
    done = told("assess", *study.line, code=3)
    assert [(one["subject"], one["code"]) for one in done["failures"]] == [("case_b", "E902")]
    assert done["new"] == ["case_a", "case_c"]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("no such thing"), 2, "no such thing\n"),
        (
            InvalidInput(Problem(code="E305", found="f", expected="e", fix="x")),
            4,
            "E305 file is truncated or damaged\n",
        ),
        (UnfitEnvironment(Problem(code="E901", found="f", expected="e", fix="x")), 5, "E901 an optional package"),
        (MemoryError(), 5, "E902 not enough memory\n"),
    ],
)
def test_each_of_our_errors_becomes_a_message_and_a_code(error, code, said, capsys):
    import typer

    def run_into() -> None:
        raise error

    for as_json in (False, True):
        with pytest.raises(typer.Exit) as ended:
            outcome.guarded(run_into, as_json=as_json)
        assert ended.value.exit_code == code
    out, err = capsys.readouterr()
    assert err.startswith(said)
    assert set(json.loads(out)) <= {"problem", "error"}


def test_errors_of_ours_alone_are_caught():
    with pytest.raises(ZeroDivisionError):
        outcome.guarded(lambda: 1 / 0, as_json=False)


def test_many_problems_of_a_kind_become_one_line(capsys):
    alike = [Problem(code="E106", subject=f"case_{n}", found="f", expected="e", fix="x") for n in range(6)]
    outcome.warn(*alike, alike[0], Problem(code="E107", found="f", expected="e", fix="x", severity="warning"))
    text = capsys.readouterr().err
    assert text.count("found") == 3 + 1
    assert "error: E106 image without label, 3 more: case_3, case_4, case_5\n" in text
    assert "warning: E107" in text


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_dry_run_says_what_it_would_do_and_writes_nothing(extra, study):
    before = contents(study.root)
    for verb in ("assess", "evaluate"):
        text = run(verb, *study.scored_line, "--dry-run", *extra).stdout
        assert "case_b" in text if extra else "3 cases, liver, kidney, spleen" in text
        assert str(study.out) in text
    assert contents(study.root) == before
    assert not study.out.exists()


def test_a_dry_run_of_report_writes_nothing(study):
    run("assess", *study.line)
    (study.out / "case_b" / "case.html").unlink()
    before = contents(study.out)
    assert told("report", "-i", study.out, "--dry-run") == {"cases": list(SUBJECTS)}
    assert "case_b" in run("report", "-i", study.out, "--dry-run").stdout
    assert contents(study.out) == before


def test_json_of_every_verb_has_null_where_a_number_is_undefined(capsys, tmp_path):
    content = {"a": math.nan, "b": (1.5, -math.inf), "c": [{"d": np.float64("inf")}], "e": tmp_path, "f": True}
    outcome.say_json(content)
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert said == {"a": None, "b": [1.5, None], "c": [{"d": None}], "e": str(tmp_path), "f": True}


def test_json_is_all_that_standard_output_holds(study):
    line = [option for option in study.scored_line if option != "-q"]
    done = run("assess", *line, "--json")
    assert set(json.loads(done.stdout)) == {
        *("output", "new", "kept", "failures", "problems", "flagged", "from_before", "cohort"),
    }
    assert "case_a assess 1/3" in done.stderr
    assert told("evaluate", *study.scored_line)["kept"] == list(SUBJECTS)
    assert told("report", "-i", study.out)["cases"] == 3
    assert told("inspect", "-i", study.members, "--images", study.images)["problems"] == []
    for kind in ("case", "cohort"):
        assert json.loads(run("report", "--schema", kind).stdout)["$id"].startswith(f"urn:plausible:schema:{kind}:")


def test_the_last_lines_say_where_to_look_first(study):
    lines = run("assess", *study.line, "--review-below", 0.3).stdout.splitlines()
    assert lines[0].startswith("3 cases done, 0 kept from before, 0 failed, ")
    assert lines[1] == "least agreed (mean pairwise Dice of the members):"
    shown = [line.split() for line in lines[2:-1]]
    assert [float(words[0]) for words in shown] == sorted(float(words[0]) for words in shown)
    assert len(shown) == 5
    assert shown[0][-1] == "review"
    assert lines[-1] == f"open {study.out / 'cohort.html'}"


def test_a_study_is_called_as_it_is_told(study):
    run("assess", *study.line, "--name", "Liver, site A")
    assert json.loads((study.out / "cohort.json").read_text("utf-8"))["study"] == "Liver, site A"
    assert json.loads((study.out / "case_a" / "case.json").read_text("utf-8"))["study"] == "Liver, site A"
    run("report", "-i", study.out)
    assert json.loads((study.out / "cohort.json").read_text("utf-8"))["study"] == "Liver, site A"
