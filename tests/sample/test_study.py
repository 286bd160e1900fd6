"""Many images to the store: reruns keep what is there, a kill loses nothing, a bad image stops nobody else."""

import json
import tracemalloc
import zipfile
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from plausible.core import Case, Geometry, Image, InvalidInput
from plausible.io.store import read_attributes, store_path
from plausible.sample import Sampling, image_study, predict_case, predict_members, predict_study
from tests.cli.program import run_until_killed
from tests.sample.test_views import pointwise
from tests.train.datasets import affine, image_and_labels


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(3):
        values, _ = image_and_labels(n)
        nib.save(nib.Nifti1Image(values[0], affine()), folder / f"case_{n}_0000.nii.gz")
    return folder


def content(store) -> dict:
    """Entries and check sums of every stored member; the time stamps of a zip file are left out."""
    found = {}
    for path in sorted(store.rglob("*.zarr.zip")):
        with zipfile.ZipFile(path) as zipped:
            found[str(path.relative_to(store))] = sorted((entry.filename, entry.CRC) for entry in zipped.infolist())
    return found


def written(store) -> list:
    return [path for path in store.rglob("*.zarr.zip") if not path.name.startswith(".")]


def test_members_go_to_the_store_with_what_made_them(model, images, tmp_path):
    seen = []
    done = predict_study(model, image_study(images, model), tmp_path / "s", on_case=lambda *told: seen.append(told))
    assert done.written == (("case_0", 2), ("case_1", 2), ("case_2", 2))
    assert seen == [("case_0", 1, 3), ("case_1", 2, 3), ("case_2", 3, 3)]
    told = json.loads((tmp_path / "s/members.json").read_text())
    assert told["ensemble"] == "deep ensemble of 2"
    assert [info["kind"] for info in told["members"]] == ["seed", "seed"]
    geometry, classes, attributes = read_attributes(store_path(tmp_path / "s", member="member_1", subject="case_2"))
    study = image_study(images, model)
    expected = list(predict_members(model, study.case("case_2").image()))[1]
    assert geometry.matches(expected.geometry)
    assert classes == model.classes
    assert attributes["info"]["checkpoint"] == model.infos[1].checkpoint


def test_a_rerun_keeps_what_is_there_and_other_settings_do_not(model, images, tmp_path):
    study = image_study(images, model)
    predict_study(model, study, tmp_path / "s")
    before = content(tmp_path / "s")
    store_path(tmp_path / "s", member="member_1", subject="case_1").unlink()
    again = predict_study(model, study, tmp_path / "s")
    assert again.written == (("case_0", 0), ("case_1", 1), ("case_2", 0))
    assert again.kept == (("case_0", 2), ("case_1", 1), ("case_2", 2))
    assert content(tmp_path / "s") == before
    other = replace(model, overlap=0.25)
    assert predict_case(other, study.case("case_0"), tmp_path / "s") == (2, 0)
    assert predict_case(other, study.case("case_0"), tmp_path / "s") == (0, 2)
    assert predict_case(other, study.case("case_0"), tmp_path / "s", overwrite=True) == (2, 0)


def test_another_image_under_the_same_name_is_predicted_again(model, images, tmp_path):
    predict_study(model, image_study(images, model), tmp_path / "s")
    values, _ = image_and_labels(7)
    nib.save(nib.Nifti1Image(values[0], affine()), images / "case_0_0000.nii.gz")
    done = predict_study(model, image_study(images, model), tmp_path / "s")
    assert done.written == (("case_0", 2), ("case_1", 0), ("case_2", 0))


def test_killed_with_sigkill_and_rerun_gives_the_same_store(model, folder, images, tmp_path):
    study = image_study(images, model)
    predict_study(model, study, tmp_path / "whole")
    options = ("--device", "cpu", "--precision", "float32", "-q")
    run_until_killed("predict", folder, "-i", images, "-o", tmp_path / "cut", *options, at=5)
    assert len(written(tmp_path / "cut")) == 3
    (half,) = tmp_path.rglob(".tmp-*")
    assert half.parent.name == "member_1"
    done = predict_study(model, study, tmp_path / "cut")
    assert done.written == (("case_0", 0), ("case_1", 1), ("case_2", 2))
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_bad_image_is_listed_and_stops_nobody(model, images, tmp_path):
    values, _ = image_and_labels(1)
    values[0, 0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(values[0], affine()), images / "case_1_0000.nii.gz")
    whole = (images / "case_2_0000.nii.gz").read_bytes()
    (images / "case_2_0000.nii.gz").write_bytes(whole[: len(whole) // 2])
    done = predict_study(model, image_study(images, model), tmp_path / "s")
    assert done.written == (("case_0", 2),)
    assert [(problem.subject, problem.code) for problem in done.failures] == [("case_1", "E309"), ("case_2", "E305")]


def peak_of(n_members: int, store) -> int:
    """Bytes of numpy's arrays at the peak of streaming so many members of one image."""
    values = np.random.default_rng(0).normal(size=(1, 60, 50, 40)).astype(np.float32)
    lps = np.diag([-1.0, -1.2, 1.4, 1.0])
    model = pointwise(Sampling(tta=("flips",), views=1), seeds=range(n_members))
    case = Case("case", model.classes, load_image=lambda: Image(values, Geometry((60, 50, 40), lps), ("MR",)))
    tracemalloc.start()
    try:
        predict_case(model, case, store)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_members(tmp_path):
    one, six = peak_of(1, tmp_path / "one"), peak_of(6, tmp_path / "six")
    member = 2 * 60 * 50 * 40 * 4
    assert six - one < member  # five more would be five times this
    assert six < 4 * member


def test_a_folder_without_images_is_refused(model, tmp_path):
    with pytest.raises(InvalidInput) as error:
        image_study(tmp_path, model)
    assert error.value.problem.code == "E108"


def test_a_store_with_other_members_is_refused_before_anything_is_written(model, images, tmp_path):
    study = image_study(images, model)
    predict_study(model, study, tmp_path / "s")
    one = replace(model, sources=model.sources[:1])
    before = (tmp_path / "s/members.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds other members \(member_1\)"):
        predict_study(one, image_study(images, one), tmp_path / "s")
    assert (tmp_path / "s/members.json").read_bytes() == before
    predict_study(one, image_study(images, one), tmp_path / "t")
    assert predict_study(model, study, tmp_path / "t").failures == ()  # more members of the same kind join those there
