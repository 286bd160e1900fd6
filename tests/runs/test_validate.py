"""A validation study from its file to its table: saved predictions, artefacts, caches, and what a user gets wrong."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from plausible.core import InvalidInput, Member, MemberInfo
from plausible.io.raw_dataset import raters_of
from plausible.runs.simulate import SimulateSettings, simulate_dataset
from plausible.runs.validate import validate_study
from plausible.runs.validation_data import prepare_data
from plausible.runs.validation_models import train_model, training_folder
from plausible.runs.validation_toml import ToldTraining, read_validation_study
from plausible.simulate.toy import CLASSES
from plausible.validate import TASKS
from tests.cli.program import contents, run, told

STUDY = """
name = "saved"
resamples = 30
aggregations = ["whole_image:mean", "foreground_ratio_quantile"]
[data.toy]
dataset = "toy"
ambiguous = ["iid_blurred_*"]
artefacts = ["blur"]
[models.saved]
members = "members"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Toy case 3b with three raters, whose label maps stand for what three members predicted."""
    root = tmp_path_factory.mktemp("validate")
    simulate_dataset("3b", root / "toy", settings=SimulateSettings(size=16, share=0.1))
    (root / "study.toml").write_text(STUDY, encoding="utf-8")
    for rater in raters_of(root / "toy", part="Ts"):
        shutil.copytree(root / "toy" / f"labelsTs_{rater}", root / "members" / rater)
        shutil.copy(root / "toy" / "dataset.json", root / "members" / rater)
    for folder in (root / "members").iterdir():
        for path in [*folder.glob("iid*.nii.gz")]:
            shutil.copy(path, folder / path.name.replace(".nii.gz", ".blur.nii.gz"))
    return root


@pytest.fixture(scope="module")
def validated(made):
    study = read_validation_study(made / "study.toml")
    return validate_study(study, made / "out"), made / "out"


def values(done, what="value", **wanted):
    found = [line for line in done.lines if all(getattr(line, key) == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return getattr(found[0], what)


def test_every_task_has_lines_and_nothing_failed(validated):
    done, _ = validated
    assert done.failures == ()
    assert {line.task for line in done.lines} == set(TASKS.names)
    assert {line.cases for line in done.lines} == {"familiar", "shifted", "all"}


def test_members_that_are_the_raters_are_as_far_from_them_as_they_are_from_each_other(validated):
    done, _ = validated
    told = {"task": "ambiguity", "cases": "familiar"}
    assert values(done, score="generalized_energy_distance_dice_v", **told) == pytest.approx(0, abs=1e-6)
    told = {"task": "separation", "cases": "familiar", "score": "mean", "aggregation": "raters_differ"}
    truth = values(done, measure="rater_entropy", **told)
    assert truth == pytest.approx(0.6365, abs=1e-4)
    assert values(done, measure="predictive_entropy", **told) == pytest.approx(truth, abs=1e-6)
    assert values(done, measure="expected_entropy", **told) == pytest.approx(0, abs=1e-6)
    told = {"task": "separation", "cases": "familiar", "aggregation": "whole_image"}
    assert values(done, measure="predictive_entropy", score="normalized_cross_correlation", **told) == pytest.approx(1)
    assert values(done, measure="predictive_entropy", score="distance_from_rater_entropy", **told) == pytest.approx(
        0, abs=1e-6
    )


def test_the_table_holds_what_was_returned(validated):
    done, out = validated
    with (out / "table.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(done.lines) == len(json.loads((out / "validation.json").read_text("utf-8"))["lines"])
    assert [row["score"] for row in rows] == [line.score for line in done.lines]
    page = (out / "validation.html").read_text("utf-8")
    assert page.count("<svg") == len(list((out / "plots").glob("*.svg"))) > 20
    assert "://" not in page


def test_no_folder_of_the_machine_is_written(validated, made):
    _, out = validated
    for name, data in contents(out, ".json", ".csv", ".html").items():
        assert str(made).encode() not in data, name


def test_what_was_made_before_is_kept_and_what_changed_is_made_anew(made, validated, monkeypatch):
    _, out = validated
    study = read_validation_study(made / "study.toml")

    def never(*_args, **_told):
        raise AssertionError("nothing has changed")

    monkeypatch.setattr("plausible.runs.validate.case_values", never)
    again = validate_study(study, out)
    assert len(again.lines) == len(validated[0].lines)
    (made / "other.toml").write_text(STUDY.replace("whole_image:mean", "whole_image:max"), encoding="utf-8")
    with pytest.raises(AssertionError, match="nothing has changed"):
        validate_study(read_validation_study(made / "other.toml"), out)


def test_copies_with_an_artefact_are_shifted_and_of_the_same_patient(made, tmp_path):
    study = read_validation_study(made / "study.toml")
    data = prepare_data(study.data["toy"], tmp_path, seed=0)
    copies = [one for one in data.held_out if one.subject.endswith(".blur")]
    assert len(copies) == sum(not one.shifted for one in data.held_out) == 4
    assert all(one.shifted and one.patient == one.subject.removesuffix(".blur") for one in copies)
    first = {name: path.read_bytes() for name, path in ((p.name, p) for one in copies for p in one.images)}
    again = prepare_data(study.data["toy"], tmp_path / "again", seed=0)
    assert {p.name: p.read_bytes() for one in again.held_out for p in one.images if ".blur" in p.name} == first


def test_a_case_without_members_is_told_and_stops_nobody(made, tmp_path):
    shutil.copytree(made / "members", tmp_path / "members")
    for path in (tmp_path / "members").glob("*/iid_sharp_000.nii.gz"):
        path.unlink()
    (tmp_path / "study.toml").write_text(STUDY.replace('"toy"\nambiguous', f'"{made / "toy"}"\nambiguous'), "utf-8")
    done = validate_study(read_validation_study(tmp_path / "study.toml"), tmp_path / "out")
    assert [(problem.code, problem.subject) for problem in done.failures] == [("E102", "iid_sharp_000")]
    assert len(done.lines) > 100


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("[models.saved]", "[models.saved]\ncolour = 1"), "colour"),
        (('members = "members"', 'training = "deep"'), "deep"),
        (('dataset = "toy"', 'dataset = "nowhere"'), "nowhere"),
        (('"whole_image:mean"', '"whole_image:mode"'), "mode"),
        (('artefacts = ["blur"]', 'artefacts = ["rain"]'), "rain"),
        (('members = "members"', ""), "training, model and members"),
        (('dataset = "toy"', 'simulate = "9"'), "3b"),
        (('name = "saved"', 'tasks = ["luck"]'), "luck"),
        (('ambiguous = ["iid_blurred_*"]', 'ambiguous = "iid_blurred_*"'), "must be a list"),
        (("resamples = 30", "resamples = 0"), "at least 1"),
        (("resamples = 30", "tolerance_mm = -1.0"), "at least 0"),
        (('dataset = "toy"', 'dataset = "toy"\nfractions = [0.8, 0.2]'), "three numbers"),
        (('members = "members"', 'training = "deep"\nnetworks = 9\n[training.deep]\nmembers = 2'), "2 are trained"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(made, tmp_path, change, says):
    path = made / f"wrong_{tmp_path.name}.toml"
    path.write_text(STUDY.replace(*change), encoding="utf-8")
    with pytest.raises(InvalidInput, match="E110") as error:
        read_validation_study(path)
    assert says in error.value.problem.found


def test_the_verb_says_what_it_would_do_and_does_it(made, validated, tmp_path):
    _, out = validated
    assert told("validate", made / "study.toml", "-o", tmp_path / "no", "--dry-run")["arms"] == [
        {"data": "toy", "model": "saved", "training": ""}
    ]
    assert not (tmp_path / "no").exists()
    assert "page" in run("validate", made / "study.toml", "-o", out, "-q").stdout
    (made / "broken.toml").write_text("name = ", encoding="utf-8")
    assert "E110" in run("validate", made / "broken.toml", "-o", out, code=4).stderr


def split_of(made, folder, **roles):
    """A study of the toy images with another split."""
    (folder / "split.json").write_text(json.dumps(roles), encoding="utf-8")
    text = STUDY.replace('dataset = "toy"', f'dataset = "{made / "toy"}"\nsplit = "split.json"')
    text = text.replace('ambiguous = ["iid_blurred_*"]\n', "").replace('"members"', f'"{made / "members"}"')
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return read_validation_study(folder / "study.toml").data["toy"]


def test_a_case_has_one_role(made, tmp_path):
    both = {"train": ["train_sharp_000", "train_sharp_001"], "test": ["train_sharp_001"]}
    with pytest.raises(InvalidInput, match="train_sharp_001 in train and in test"):
        prepare_data(split_of(made, tmp_path, **both), tmp_path, seed=0)
    with pytest.raises(InvalidInput, match="iid_sharp_000 in test and in iid"):
        prepare_data(split_of(made, tmp_path, test=["iid_sharp_000"], iid=["iid_sharp_000"]), tmp_path, seed=0)


def test_nobody_trains_on_the_test_because_nobody_was_told_to_train(made, tmp_path):
    data = prepare_data(split_of(made, tmp_path, test=["train_sharp_001"]), tmp_path, seed=0)
    with pytest.raises(InvalidInput, match="a split without train"):
        train_model(ToldTraining(name="deep"), data, tmp_path)


def test_a_patient_is_on_one_side(made, tmp_path):
    names = [path.name.removesuffix("_0000.nii.gz") for path in sorted((made / "toy" / "imagesTr").iterdir())]
    owners = {name: f"p{n // 2}" for n, name in enumerate(names)}
    lines = ["subject,patient", *(f"{name},{owner}" for name, owner in owners.items())]
    (made / "patients.csv").write_text("\n".join(lines), encoding="utf-8")
    told = 'dataset = "toy"\nfractions = [2, 1, 1]\npatients = "patients.csv"\nreferences = ["labelsTr"]'
    for seed in range(4):
        text = STUDY.replace('dataset = "toy"', f"{told}\ndata_seed = {seed}")
        (made / "owned.toml").write_text(text.replace('ambiguous = ["iid_blurred_*"]\n', ""), encoding="utf-8")
        data = prepare_data(read_validation_study(made / "owned.toml").data["toy"], tmp_path / str(seed), seed=0)
        learnt = {owners[name] for name in (*data.split.train, *data.split.validation)}
        assert not learnt & {one.patient for one in data.held_out}
    train, test = ["train_blurred_000"], ["train_blurred_001"]
    text = (made / "owned.toml").read_text("utf-8").replace("fractions = [2, 1, 1]", 'split = "pair.json"')
    (made / "pair.json").write_text(json.dumps({"train": train, "test": test}), encoding="utf-8")
    (made / "owned.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match="also in the training"):
        prepare_data(read_validation_study(made / "owned.toml").data["toy"], tmp_path, seed=0)


def test_copies_are_made_anew_when_what_they_are_made_of_changes(made, tmp_path):
    told = read_validation_study(made / "study.toml").data["toy"]

    def copies(out, seed):
        held_out = prepare_data(told, out, seed=seed).held_out
        return {one.subject: one.images[0].read_bytes() for one in held_out if one.subject.endswith(".blur")}

    first = copies(tmp_path / "one", 0)
    assert copies(tmp_path / "one", 1) == copies(tmp_path / "other", 1) != first
    assert copies(tmp_path / "one", 0) == first


def test_a_changed_toy_case_or_split_is_made_anew(made, tmp_path):
    text = '[data.toy]\nsimulate = "2"\nsize = 16\nshare = 0.05\n[models.saved]\nmembers = "members"\n'
    keys = set()
    for change in ("0.05", "0.1"):
        (made / "again.toml").write_text(text.replace("0.05", change), encoding="utf-8")
        data = prepare_data(read_validation_study(made / "again.toml").data["toy"], tmp_path, seed=0)
        keys.add((data.dataset, training_folder(tmp_path, data, ToldTraining(name="deep"))))
    assert len({folder for folder, _ in keys}) == len({model for _, model in keys}) == 2


def test_members_with_classes_in_another_order_are_refused(made, tmp_path):
    shutil.copytree(made / "members", tmp_path / "members")
    for path in (tmp_path / "members").glob("*/dataset.json"):
        told_classes = json.loads(path.read_text("utf-8"))
        told_classes["labels"] = {"background": 0, "something": 1}
        path.write_text(json.dumps(told_classes), encoding="utf-8")
    text = STUDY.replace('dataset = "toy"', f'dataset = "{made / "toy"}"')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    done = validate_study(read_validation_study(tmp_path / "study.toml"), tmp_path / "out")
    assert {problem.code for problem in done.failures} == {"E103"}
    assert done.lines == ()
    assert not (tmp_path / "out" / "validation.html").exists()
    run("validate", tmp_path / "study.toml", "-o", tmp_path / "out", "-q", code=4)


def test_figures_are_drawn_whatever_the_first_aggregation_is_called(made, tmp_path):
    text = STUDY.replace('["whole_image:mean", "foreground_ratio_quantile"]', '["foreground_ratio_quantile"]')
    (made / "first.toml").write_text(text, encoding="utf-8")
    validate_study(read_validation_study(made / "first.toml"), tmp_path / "out")
    names = {path.name.partition("-")[0] for path in (tmp_path / "out" / "plots").iterdir()}
    assert {"failure", "out_of_distribution", "active_learning"} <= names
    drawing = (tmp_path / "out" / "plots" / "failure-toy-area_under_risk_coverage-familiar.svg").read_text("utf-8")
    assert "mutual information" in drawing
    (tmp_path / "out" / "plots" / "old.svg").write_text("of another study", encoding="utf-8")
    validate_study(read_validation_study(made / "first.toml"), tmp_path / "out")
    assert not (tmp_path / "out" / "plots" / "old.svg").exists()


class Threshold:
    """A model of two members that call bright what is above one half, and a bit less."""

    classes, channels, ensemble = CLASSES, ("intensity",), "two thresholds"
    infos = (MemberInfo(id="member_0"), MemberInfo(id="member_1"))

    def identity(self, member):
        return {"threshold": member}

    def predict(self, image, chosen, *, subject=""):
        for number in chosen:
            bright = (image.values[0] > 0.5 - 0.1 * number).astype(np.float32)
            yield Member(np.stack([1 - bright, bright]), image.geometry, self.classes, self.infos[number])


def test_one_unreadable_image_drops_itself_only(made, tmp_path, monkeypatch):
    shutil.copytree(made / "toy", tmp_path / "toy")
    (tmp_path / "toy" / "imagesTs" / "iid_sharp_000_0000.nii.gz").write_bytes(b"no image")
    text = STUDY.replace('artefacts = ["blur"]\n', "").replace('members = "members"', 'model = "toy"')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("plausible.runs.validation_models.open_model", lambda *_, **__: Threshold())
    done = validate_study(read_validation_study(tmp_path / "study.toml"), tmp_path / "out")
    assert [(problem.code, problem.subject) for problem in done.failures] == [("E305", "iid_sharp_000")]
    n_images = len(list((made / "toy" / "imagesTs").iterdir()))
    assert values(done, "n", task="segmentation", score="dice", cases="all") == n_images - 1


def test_more_networks_than_a_model_of_another_tool_tells_are_refused(made, tmp_path, monkeypatch):
    text = STUDY.replace('members = "members"', f'model = "{made / "toy"}"\nnetworks = 1')
    (made / "networks.toml").write_text(text, encoding="utf-8")
    monkeypatch.setattr("plausible.runs.validation_models.open_model", lambda *_, **__: Threshold())
    done = validate_study(read_validation_study(made / "networks.toml"), tmp_path / "out")
    assert [problem.code for problem in done.failures] == ["E110"]


def test_a_map_keeps_its_unit_and_only_entropies_are_as_far_from_an_entropy(made, tmp_path):
    text = STUDY.replace("resamples = 30", 'resamples = 30\nmeasures = ["variance", "predictive_entropy"]')
    (made / "units.toml").write_text(text, encoding="utf-8")
    done = validate_study(read_validation_study(made / "units.toml"), tmp_path / "out")
    found = [line for line in done.lines if line.task == "separation"]
    assert {line.unit for line in found if line.score == "mean" and line.measure == "variance"} == {"1"}
    assert {line.unit for line in found if line.score == "mean" and line.measure == "predictive_entropy"} == {"nat"}
    apart = {line.measure for line in found if line.score == "distance_from_rater_entropy"}
    assert apart == {"predictive_entropy"}


def test_the_study_of_the_toy_cases_can_be_read():
    study = read_validation_study(Path(__file__).parents[2] / "studies" / "toy.toml")
    assert {"case_1", "case_2", "case_3b", "factorial"} == set(study.data)


def test_folders_of_the_machine_are_told_on_the_command_line(made, tmp_path):
    text = STUDY.replace('"toy"', '"elsewhere"').replace('members = "members"', 'members = "nowhere"')
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match="--folder"):
        read_validation_study(tmp_path / "study.toml")
    study = read_validation_study(
        tmp_path / "study.toml", folders={"data.toy": made / "toy", "models.saved": made / "members"}
    )
    assert (study.data["toy"].dataset, study.models["saved"].members) == (made / "toy", made / "members")
    line = ("validate", tmp_path / "study.toml", "-o", tmp_path / "out", "--dry-run")
    assert "data.toy" in run(*line, "--folder", f"data.tay={made}", code=4).stderr
    assert "WHAT=DIR" in run(*line, "--folder", "data.toy", code=2).stderr


def test_fractions_share_the_training_images_out_by_seed(made, tmp_path):
    text = STUDY.replace('dataset = "toy"', 'dataset = "toy"\nfractions = [2, 1, 1]\nreferences = ["labelsTr"]')
    text = text.replace('ambiguous = ["iid_blurred_*"]\n', "")
    path = made / "shares.toml"
    path.write_text(text, encoding="utf-8")
    parts = []
    for seed in (0, 0, 1):
        path.write_text(text.replace("fractions", f"data_seed = {seed}\nfractions"), encoding="utf-8")
        told = read_validation_study(path).data["toy"]
        data = prepare_data(told, tmp_path / f"{len(parts)}", seed=0)
        test = [one.subject for one in data.held_out if not one.shifted]
        assert data.split is not None
        assert len(data.split.train) == 10 == 2 * len(data.split.validation) == 2 * len(test)
        assert not set(test) & {*data.split.train, *data.split.validation}
        parts.append(test)
    assert parts[0] == parts[1] != parts[2]


def test_a_file_that_is_not_there_is_told_without_the_machines_folders(tmp_path):
    with pytest.raises(InvalidInput, match="E110") as error:
        read_validation_study(tmp_path / "nothing.toml")
    assert str(tmp_path) not in str(error.value)
