"""The verb: what it writes, resuming, pooled and by subject, tables of a design, and what it refuses."""

import csv
import json
import math

import numpy as np
import pytest

from plausible.core import Case, Classes, Geometry, MemberInfo, Members, Study
from plausible.diversity.summary import lines_by_subject, pooled_lines
from plausible.diversity.voxel_sets import BAND_MM, contour_band
from plausible.io.rows import ENCODING
from plausible.runs.diversity import diversity_of_study
from plausible.runs.diversity_case import read_design
from plausible.runs.diversity_settings import DiversitySettings
from tests.cli.program import contents, run, told
from tests.runs.studies import OnDisk, write_study

GRID = Geometry((12, 10, 8), np.diag([1.0, 1.0, 2.0, 1.0]))
CLASSES = Classes.exclusive_of({"background": 0, "liver": 1})
QUICK = DiversitySettings(resamples=100)


def box(stop: int) -> np.ndarray:
    values = np.zeros(GRID.shape, np.uint8)
    values[2:stop, 2:8, 2:6] = 1
    return values


def grid_case(subject: str, stops: dict[tuple[int, int], int], truth: int = 6) -> Case:
    infos = [MemberInfo(id=f"fold_{f}_seed_{s}", fold=f, seed=s, architecture="unet") for f, s in stops]
    members = Members.from_labels(
        [box(stop) for stop in stops.values()], geometry=GRID, classes=CLASSES, subject=subject, infos=infos
    )
    raters = Members.from_labels([box(truth)], geometry=GRID, classes=CLASSES, infos=[MemberInfo(id="rater")])
    return Case(subject, CLASSES, load_members=lambda: members, load_raters=lambda: raters)


@pytest.fixture(scope="module")
def on_disk(geometry, classes, tmp_path_factory) -> OnDisk:
    """Three members of three cases with references."""
    return write_study(tmp_path_factory.mktemp("on_disk"), geometry, classes)


def grid_study() -> Study:
    first = {(0, 0): 5, (0, 1): 6, (1, 0): 7, (1, 1): 9}
    second = {(0, 0): 6, (0, 1): 6, (1, 0): 8, (1, 1): 8}
    return Study("toy", CLASSES, (grid_case("a", first), grid_case("b", second)))


def lines_of(found, **wanted):
    return [line for line in found.lines if all(getattr(line, k) == v for k, v in wanted.items())]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    output = tmp_path_factory.mktemp("diversity") / "out"
    return output, diversity_of_study(grid_study(), output, settings=QUICK)


def test_the_settings_that_the_help_shows_are_those_of_the_code():
    assert DiversitySettings().voxels == contour_band.__name__
    assert DiversitySettings().band_mm == BAND_MM


def test_by_subject_and_pooled_by_hand(written):
    """Slabs of 6 x 4 voxels: subject a holds 3, 4, 5, 7 of them, b 4, 4, 6, 6."""
    _, found = written

    def distance(a: int, b: int) -> float:
        return 1 - 2 * min(a, b) / (a + b)

    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    by_subject = [np.mean([distance(held[i], held[j]) for i, j in pairs]) for held in ((3, 4, 5, 7), (4, 4, 6, 6))]
    (mean,) = lines_of(found, measure="dice_distance", pooling="mean_of_subjects")
    assert mean.value == pytest.approx(np.mean(by_subject))
    assert mean.n == 2
    both = [(3, 4), (4, 4), (5, 6), (7, 6)]
    pooled = [
        1 - 2 * sum(min(both[i][s], both[j][s]) for s in (0, 1)) / (sum(both[i]) + sum(both[j])) for i, j in pairs
    ]
    (line,) = lines_of(found, measure="dice_distance", pooling="pooled")
    assert line.value == pytest.approx(np.mean(pooled))
    assert line.low <= line.value <= line.high


def test_variance_of_volume_by_hand(written):
    """Subject b: folds apart by two slabs, seeds not at all: the fold's component is 2 slabs squared."""
    _, found = written
    (case,) = (one for one in found.cases if one.subject == "b")
    told_of = {r.reduction: r.value for r in case.rows if r.measure == "variance_of_volume"}
    slab_ml = 6 * 4 * 2 / 1000
    assert told_of["fold"] == pytest.approx(2 * slab_ml**2)
    assert told_of["seed"] == pytest.approx(0, abs=1e-12)
    assert math.isnan(told_of["architecture"]), "one level: undefined, not zero"
    assert case.design == "fold (2) × seed (2)"
    assert case.undefined == ("architecture",)


def test_parts_of_the_loss_add_up(written):
    _, found = written
    for case in found.cases:
        told_of = {(r.measure, r.reduction): r.value for r in case.rows if r.against}
        assert told_of["brier_arithmetic", "ensemble_loss"] == pytest.approx(
            told_of["brier_arithmetic", "member_loss"] - told_of["brier_arithmetic", "diversity"], abs=1e-12
        )
        parts = [told_of["brier_bias_variance_diversity", name] for name in ("bias", "variance", "diversity")]
        assert told_of["brier_bias_variance_diversity", "expected_loss"] == pytest.approx(
            parts[0] + parts[1] - parts[2], abs=1e-12
        )


def test_what_is_written(written):
    output, found = written
    names = {path.name for path in output.iterdir()}
    assert names == {"a", "b", "diversity.json", "diversity.csv", "summary.csv", "matrices.csv", "failures.csv",
                     "diversity.html"}  # fmt: skip
    page = (output / "diversity.html").read_text(encoding="utf-8")
    assert "Research use only" in page or "research use only" in page
    assert "fold (2) × seed (2)" in page
    assert "undefined (one level)" in page
    assert page.count("<svg") >= 4
    assert "http://" not in page.replace("http://www.w3.org", "")
    with (output / "matrices.csv").open(encoding=ENCODING) as file:
        cells = [row for row in csv.DictReader(file) if row["measure"] == "dice_distance" and row["subject"] == "a"]
    assert len(cells) == 4 * 3
    content = json.loads((output / "diversity.json").read_text(encoding="utf-8"))
    assert content["n_cases"] == len(found.cases) == 2
    assert not any(str(output) in path.read_text(encoding="utf-8", errors="ignore") for path in output.glob("*.*"))


def test_a_second_run_keeps_the_cases(written):
    output, _ = written
    before = contents(output)
    again = diversity_of_study(grid_study(), output, settings=QUICK)
    assert again.walked.kept == ("a", "b")
    assert again.walked.done == ()
    after = contents(output)
    assert {k: v for k, v in after.items() if k.endswith(".csv")} == {
        k: v for k, v in before.items() if k.endswith(".csv")
    }
    band = diversity_of_study(grid_study(), output, settings=DiversitySettings(resamples=100, band_mm=2.0))
    assert band.walked.done == ("a", "b")


def test_maps_say_where_each_source_acts(tmp_path):
    import nibabel as nib

    diversity_of_study(grid_study(), tmp_path, settings=DiversitySettings(resamples=100, maps=True))
    image = nib.load(tmp_path / "b" / "variance_of_probability_liver.nii.gz")
    sidecar = json.loads((tmp_path / "b" / "variance_of_probability_liver.json").read_text())
    assert sidecar["frames"] == ["fold", "seed", "residual (fold × seed)"]
    values = image.get_fdata()[..., 0]
    assert values[6, 4, 3] == pytest.approx(0.5)  # one fold marks it, the other does not
    assert values[3, 4, 3] == 0


def test_a_case_with_one_member_stops_nobody(tmp_path):
    alone = grid_case("c", {(0, 0): 6})
    study = Study("toy", CLASSES, (*grid_study().cases, alone))
    found = diversity_of_study(study, tmp_path, settings=QUICK)
    assert [problem.code for problem in found.walked.failures] == ["E104"]
    assert found.walked.n_good == 2


def test_patients_are_drawn_together(written):
    _, found = written
    parts = {case.subject: case.parts for case in found.cases}
    settings = {"seed": 0, "n_resamples": 100}
    lines = list(pooled_lines(parts, {"a": "p", "b": "p"}, **settings))
    assert {line.n for line in lines} == {1}
    assert all(math.isnan(line.low) for line in lines)
    rows = {case.subject: case.rows for case in found.cases}
    assert {line.n for line in lines_by_subject(rows, {"a": "p", "b": "p"}, **settings)} <= {0, 1}


def test_the_verb(on_disk, tmp_path):
    shown = run(
        "diversity", on_disk.members, "-o", tmp_path, "--references", on_disk.references, "-q", "--resamples", 100
    )
    assert "silent failure rate" in shown.stdout
    again = told("diversity", on_disk.members, "-o", tmp_path, "--references", on_disk.references, "-q", "--json",
                 "--resamples", 100)  # fmt: skip
    assert again["cases"] == 3
    assert {line["measure"] for line in again["lines"]} >= {"disagreement", "error_consistency"}


def test_the_verb_without_references_and_dry(on_disk, tmp_path):
    run("diversity", on_disk.members, "-o", tmp_path / "out", "--dry-run")
    assert not (tmp_path / "out").exists()
    run("diversity", on_disk.members, "-o", tmp_path / "out", "-q", "--resamples", 100)
    page = (tmp_path / "out" / "diversity.html").read_text(encoding="utf-8")
    assert "this needs references" in page


def test_a_table_tells_the_design(on_disk, tmp_path):
    names = sorted(path.name for path in on_disk.members.iterdir() if path.is_dir())
    table = tmp_path / "design.csv"
    table.write_text("member,rater\n" + "".join(f"{name},{'x' if n else 'y'}\n" for n, name in enumerate(names[:2])))
    failed = run("diversity", on_disk.members, "-o", tmp_path / "out", "-q", "--design", table, code=4)
    assert "E408" in failed.stderr
    table.write_text("member,rater\n" + "".join(f"{name},{'x' if n else 'y'}\n" for n, name in enumerate(names)))
    run("diversity", on_disk.members, "-o", tmp_path / "out", "-q", "--design", table, "--resamples", 100)


@pytest.mark.parametrize(
    "text", ["", "member\na\n", "name,fold\na,0\n", "member,fold\na,0\na,1\n", "member,fold\na,\n"]
)
def test_a_table_that_is_none(tmp_path, text):
    path = tmp_path / "design.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match="E408"):
        read_design(path)


@pytest.mark.parametrize("wrong", [{"band_mm": 0.0}, {"tolerance_mm": -1.0}, {"resamples": 3}, {"voxels": "nowhere"}])
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=r"must be|no voxel set"):
        DiversitySettings(**wrong)
