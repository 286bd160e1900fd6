"""From a dataset to pages with the program alone: each verb says the line that comes next, and that line works."""

import json
import shlex
import shutil

import pytest

from plausible.cli import predict as predict_module
from plausible.core import missing_extra
from plausible.io import read_study
from tests.cli.program import contents, run, told
from tests.train.datasets import TINY_OPTIONS

pytestmark = pytest.mark.usefixtures("quick_pages", "no_cohort_numbers")


@pytest.fixture(scope="session")
def members(model, dataset, tmp_path_factory):
    """Members of every image of the dataset, predicted by the program."""
    folder = tmp_path_factory.mktemp("predicted") / "members"
    images = dataset / "imagesTr"
    said = run("predict", model, "-i", images, "-o", folder, "--precision", "float32", "-q").stdout.splitlines()
    assert said == [
        "deep ensemble of 2: 10 members predicted, 0 kept from before, 0 cases failed",
        f"next: plausible assess -i {folder} -o OUT --images {images}",
    ]
    return folder


def test_train_says_what_it_made_and_what_comes_next(model, dataset):
    line = ("train", dataset, "-o", model, "--split", dataset.parent / "split.json", *TINY_OPTIONS)
    before = contents(model)
    done = run(*line).stdout.splitlines()
    assert done[0] == "deep ensemble of 2 (finished before)"
    assert [one.split()[:5] for one in done[1:-1]] == [
        [f"member_{m}", "DynUNet", "2-4-8", "seed", str(m)] for m in range(2)
    ]
    assert done[-1] == f"next: plausible predict {model} -i IMAGES -o MEMBERS"
    found = told(*line)
    assert found["was_finished"]
    assert [one["seed"] for one in found["members"]] == [0, 1]
    assert contents(model) == before


def test_training_otherwise_into_the_same_folder_is_refused(model, dataset):
    line = ("train", dataset, "-o", model, "--split", dataset.parent / "split.json", *TINY_OPTIONS)
    problem = told(*line, "--seed", 5, code=4)["problem"]
    assert problem["code"] == "E503"
    assert "seed 0, now 5" in problem["found"]


def test_the_line_that_predict_suggests_works(members, dataset, tmp_path):
    words = shlex.split(f"assess -i {members} -o {tmp_path / 'out'} --images {dataset / 'imagesTr'} -q")
    run(*words, "--references", dataset / "labelsTr")
    assert read_study(members).ensemble == "deep ensemble of 2"
    report = json.loads((tmp_path / "out" / "case_1" / "case.json").read_text("utf-8"))
    assert report["ensemble"] == "deep ensemble of 2"
    assert [one["seed"] for one in report["members"]] == [0, 1]
    assert report["channels"] == ["MR"]


def test_predict_keeps_what_is_there(members, model, dataset):
    before = contents(members)
    done = told("predict", model, "-i", dataset / "imagesTr", "-o", members, "--precision", "float32", "-q")
    assert (done["written"], done["kept"], done["failures"]) == (0, 10, [])
    assert contents(members) == before


def test_predict_lists_a_bad_image_and_does_the_others(model, dataset, tmp_path):
    for n in range(2):
        shutil.copy(dataset / "imagesTr" / f"case_{n}_0000.nii.gz", tmp_path)
    (tmp_path / "case_0_0000.nii.gz").write_bytes(b"no image")
    line = ("predict", model, "-i", tmp_path, "-o", tmp_path / "members", "--precision", "float32", "-q")
    done = told(*line, code=3)
    assert [(one["subject"], one["code"]) for one in done["failures"]] == [("case_0", "E305")]
    assert done["written"] == 2
    assert str(tmp_path) not in json.dumps(done)
    assert "E305" in run(*line, code=3).stderr
    (tmp_path / "case_1_0000.nii.gz").unlink()
    assert told(*line, code=4)["written"] == 0


def test_parts_of_predict_are_parts_of_the_cases(model, dataset, tmp_path):
    line = ("predict", model, "-i", dataset / "imagesTr", "-o", tmp_path / "m", "--num-parts", 2, "--part-id", 1)
    assert told(*line, "--dry-run")["cases"] == ["case_1", "case_3"]


def test_dry_runs_write_nothing(model, dataset, tmp_path):
    predict = ("predict", model, "-i", dataset / "imagesTr", "-o", tmp_path / "members", "--dry-run")
    assert told(*predict)["members"] == ["member_0", "member_1"]
    assert "5 images; would write 2 members each" in run(*predict).stdout
    train = ("train", dataset, "-o", tmp_path / "model", *TINY_OPTIONS, "--dry-run")
    assert told(*train)["plan"]["patch"] == [8, 12, 8]
    assert '"patch": [8, 12, 8]' in run(*train).stdout
    assert list(tmp_path.iterdir()) == []


def test_without_torch_the_extra_is_named(model, dataset, tmp_path, monkeypatch):
    def missing(*_: object, **__: object) -> None:
        raise missing_extra("torch", extra="train")

    monkeypatch.setattr(predict_module, "open_model", missing)
    line = ("predict", model, "-i", dataset / "imagesTr", "-o", tmp_path / "members")
    assert 'pip install "plausible[train]"' in run(*line, code=5).stderr


@pytest.mark.parametrize("content", ["", "[]", '{"train": "case_1"}', '{"validation": []}'])
def test_a_split_that_cannot_be_read_says_how_it_looks(content, dataset, tmp_path):
    (tmp_path / "split.json").write_text(content)
    line = ("train", dataset, "-o", tmp_path / "model", "--split", tmp_path / "split.json", *TINY_OPTIONS)
    problem = told(*line, code=4)["problem"]
    assert (problem["code"], problem["file"]) == ("E501", "split.json")


def test_a_model_that_is_none_is_refused(dataset, tmp_path):
    done = told("predict", tmp_path, "-i", dataset / "imagesTr", "-o", tmp_path / "members", code=4)
    assert done["problem"]["code"] == "E504"
