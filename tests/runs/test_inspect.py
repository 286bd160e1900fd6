"""Inspect: what was recognised, which member has which case, and every problem with its fix, at once."""

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from plausible.core import Classes, Geometry, Member, MemberInfo
from plausible.io import write_member, write_members_json
from plausible.runs.inspect import inspect
from plausible.runs.inspection import Inspection
from plausible.runs.inspection_text import size
from plausible.train.grid import ChannelFingerprint
from plausible.train.member_record import MemberRecord
from plausible.train.model import ModelInfo
from plausible.train.plan import Plan
from tests.conftest import SHAPE
from tests.io.broken import BAD, BROKEN, CLASSES, GRID, SUBJECTS, cut_off, rewrite, saved, sound, sound_labels
from tests.io.broken import sound_store as stored
from tests.io.folders import images_and_labels, probabilities, save_nifti, write_dataset_json


def told(found: Inspection) -> set[tuple[str, str, str]]:
    return {(problem.code, problem.subject, problem.severity) for problem in found.problems}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("make", [sound, sound_labels, stored])
def test_a_sound_study_has_no_problem(tmp_path: Path, make, deep: bool) -> None:
    members, images, references = make(tmp_path)
    found = inspect(members, images=images, references=references, deep=deep)
    assert found.problems == ()
    assert found.kind == "members"
    assert found.classes == CLASSES
    assert [line.subject for line in found.cases] == list(SUBJECTS)
    assert all(line.whole and line.shape == SHAPE for line in found.cases)
    assert [part.role for part in found.parts] == ["image", *["member"] * 3, "reference"]
    assert all(part.n_cases == 3 for part in found.parts)
    assert "no problems found" in found.text()


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_told_and_nothing_else(tmp_path: Path, name: str) -> None:
    broken = BROKEN[name](tmp_path)
    for deep in (False, True):
        found = inspect(broken.members, images=broken.images, references=broken.references, deep=deep)
        if broken.deep and not deep:
            assert found.problems == ()
            continue
        assert {problem.code for problem in found.problems} == {broken.code}
        assert found.problems[0].severity == broken.severity
        if broken.bad_subject:
            assert {problem.subject for problem in found.problems} == {broken.bad_subject}
        assert all(problem.found and problem.expected and problem.fix for problem in found.problems)


def test_every_problem_is_collected_at_once(tmp_path: Path) -> None:
    members, images, references = sound(tmp_path)
    (members / "fold_0" / "case_a.npz").unlink()
    cut_off(members / "fold_1" / "case_b.npz")
    p = saved(members / "fold_2" / "case_c.npz")
    p[0, 0, 0, 0] = np.nan
    rewrite(members / "fold_2" / "case_c.npz", p)
    save_nifti(references / "case_c.nii.gz", np.full(SHAPE, 7, np.uint8), GRID)
    save_nifti(images / "case_a_0000.nii.gz", np.ones(SHAPE, np.uint8), GRID)
    (images / "case_b_0000.nii.gz").unlink()
    (members / "logs").mkdir()
    found = inspect(members, images=images, references=references, deep=True)
    assert told(found) == {
        ("E102", "case_a", "error"),
        ("E305", "case_b", "error"),
        ("E309", "case_c", "error"),
        ("E303", "case_c", "error"),
        ("E310", "case_a", "error"),
        ("E107", "case_b", "warning"),
        ("E108", "", "warning"),
    }
    assert [problem.severity for problem in found.problems] == ["error"] * 5 + ["warning"] * 2
    assert found.n_errors == 5
    cells = {line.subject: dict(line.cells) for line in found.cases}
    assert cells["case_a"] == {
        "image": "problem",
        "fold_0": "missing",
        "fold_1": "there",
        "fold_2": "there",
        "reference": "there",
    }
    assert cells["case_b"]["image"] == "missing"
    assert cells["case_b"]["fold_1"] == "problem"
    assert cells["case_c"]["fold_2"] == cells["case_c"]["reference"] == "problem"


def test_headers_alone_do_not_read_voxels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members, images, references = sound(tmp_path)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("voxels were read")

    monkeypatch.setattr("plausible.io.nnunet_predictions.read_array", never)
    monkeypatch.setattr("plausible.io.nnunet_predictions.read_channels", never)
    monkeypatch.setattr("plausible.io.nifti._values", never)
    assert inspect(members, images=images, references=references).problems == ()


def test_grids_are_compared_even_where_nobody_explained_the_channels(tmp_path: Path) -> None:
    broken = BROKEN["other_affine"](tmp_path)
    members = tmp_path / "labels_only"
    for fold in broken.members.iterdir():
        (members / fold.name).mkdir(parents=True)
        shutil.copy(fold / f"{BAD}.nii.gz", members / fold.name)
    found = inspect(members)
    assert told(found) == {("E311", "", "error"), ("E201", BAD, "error")}


def test_told_things_are_passed_on(tmp_path: Path) -> None:
    broken = BROKEN["last_axis_not_told"](tmp_path)
    assert inspect(broken.members, last_axis="class", values="probabilities", deep=True).problems == ()
    broken = BROKEN["other_class_order"](tmp_path / "b")
    assert inspect(broken.members, align="names").problems == ()
    broken = BROKEN["structures_not_told"](tmp_path / "c")
    assert inspect(broken.members, structures="overlapping", deep=True).problems == ()
    broken = BROKEN["missing_member"](tmp_path / "d")
    assert told(inspect(broken.members, allow_missing=True)) == {("E102", BAD, "warning")}
    broken = BROKEN["classes_not_told"](tmp_path / "e")
    assert inspect(broken.members, classes=CLASSES, deep=True).problems == ()


def test_a_study_toml_is_a_study(tmp_path: Path) -> None:
    sound(tmp_path)
    (tmp_path / "study.toml").write_text('images = "images"\n[members]\na = "members/fold_0"\nb = "members/fold_1"\n')
    for path in (tmp_path, tmp_path / "study.toml"):
        found = inspect(path)
        assert (found.kind, found.problems) == ("study", ())
        assert [part.id for part in found.parts] == ["image", "a", "b"]


def test_several_raters_are_columns(tmp_path: Path) -> None:
    members, _, references = sound(tmp_path)
    shutil.copytree(references, tmp_path / "ben")
    (tmp_path / "ben" / "case_b.nii.gz").unlink()
    found = inspect(members, references={"anna": references, "ben": tmp_path / "ben"})
    assert [part.id for part in found.parts if part.role == "reference"] == ["anna", "ben"]
    assert found.cases[1].cells["ben"] == "missing"


def dataset(folder: Path, *, subjects: tuple[str, ...] = SUBJECTS) -> Path:
    images, labels = images_and_labels(folder, GRID, CLASSES, subjects=subjects)
    images.rename(folder / "imagesTr")
    labels.rename(folder / "labelsTr")
    write_dataset_json(folder, CLASSES)
    return folder


def test_a_raw_dataset_is_recognised(tmp_path: Path) -> None:
    root = dataset(tmp_path / "Dataset001_x")
    save_nifti(root / "imagesTs" / "case_t_0000.nii.gz", np.random.default_rng(0).random(SHAPE, np.float32), GRID)
    for deep in (False, True):
        found = inspect(root, deep=deep)
        assert (found.kind, found.problems, found.channels) == ("dataset", (), ("MR",))
        assert [line.subject for line in found.cases] == [*SUBJECTS, "case_t"]
        assert [(part.id, part.kind) for part in found.parts] == [
            ("image", "NIfTI in imagesTr"),
            ("label", "label maps in labelsTr"),
            ("image", "NIfTI in imagesTs"),
        ]
        assert found.memory is None


def test_a_raw_dataset_s_images_and_labels_are_checked(tmp_path: Path) -> None:
    root = dataset(tmp_path, subjects=("a", "b", "c", "d", "e"))
    (root / "labelsTr" / "a.nii.gz").unlink()
    (root / "imagesTr" / "b_0000.nii.gz").unlink()
    (root / "imagesTr" / "c_0000.nii.gz").rename(root / "imagesTr" / "c_0000_0000.nii.gz")
    save_nifti(root / "labelsTr" / "d.nii.gz", np.zeros((5, 7, 9), np.uint8), GRID)
    save_nifti(root / "labelsTr" / "e.nii.gz", np.full(SHAPE, 9, np.uint8), GRID)
    shallow = {("E106", "a", "warning"), ("E107", "b", "warning"), ("E101", "c", "error"), ("E202", "d", "error")}
    assert told(inspect(root)) == shallow
    assert [line.subject for line in inspect(root).cases] == ["a", "b", "c", "d", "e"]
    assert told(inspect(root, deep=True)) == shallow | {("E303", "e", "error")}


def test_a_raw_dataset_may_have_several_raters_and_a_broken_dataset_json(tmp_path: Path) -> None:
    root = dataset(tmp_path)
    shutil.copytree(root / "labelsTr", root / "labelsTr_second")
    assert [part.id for part in inspect(root).parts] == ["image", "label", "second"]
    (root / "dataset.json").write_text("{")
    found = inspect(root, deep=True)
    assert told(found) == {("E311", "", "error")}
    assert len(found.cases) == 3


def test_images_alone_are_recognised(tmp_path: Path) -> None:
    _, images, _ = sound(tmp_path)
    found = inspect(images)
    assert (found.kind, found.problems, len(found.cases)) == ("images", (), 3)
    save_nifti(images / "case_b_0000.nii.gz", np.zeros(SHAPE, np.uint8), GRID)
    (images / "case_c_0000.nii.gz").rename(images / "case_c_0000_0000.nii.gz")
    found = inspect(images, deep=True)
    assert told(found) == {("E310", "case_b", "error"), ("E101", "case_c", "error")}


def test_results_are_recognised(tmp_path: Path) -> None:
    for subject in ("a", "b"):
        (tmp_path / subject).mkdir()
        (tmp_path / subject / "case.json").write_text("{}")
    found = inspect(tmp_path)
    assert (found.kind, found.facts["cases"]) == ("results", "2 with results")


def test_a_place_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    found = inspect(tmp_path / "nowhere")
    assert told(found) == {("E108", "", "error")}
    assert found.problems[0].found == "no such folder"


def test_a_model_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    found = inspect(tmp_path)
    assert (found.kind, told(found)) == ("model", {("E502", "", "error")})
    assert "model" in found.text()


def model(folder: Path) -> ModelInfo:
    """model.json of two members, with their weights."""
    channel = ChannelFingerprint(
        name="MR", scheme="z-score", mean=0.0, sd=1.0, percentile_00_5=0.0, percentile_99_5=1.0, zero_share=0.0
    )
    plan = Plan(
        spacing_mm=(1.0, 1.0, 2.5),
        patch=(8, 8, 8),
        strides=((1, 1, 1), (2, 2, 2)),
        kernels=((3, 3, 3), (3, 3, 3)),
        filters=(16, 32),
        channels=(channel,),
    )
    members = tuple(
        MemberRecord(
            id=f"member_{m}",
            seed=m,
            fold=None,
            architecture=plan.architecture,
            train_subjects=("a", "b", "c"),
            train_key="k",
            validation_subjects=(),
            weights=f"member_{m}/weights.pt",
            weights_sha256="ab" * 32,
            minutes=1.0,
            iterations=10,
            validation_dice=None,
        )
        for m in range(2)
    )
    info = ModelInfo(
        classes=CLASSES,
        channels=("MR",),
        plan=plan,
        members=members,
        ensemble="deep ensemble of 2",
        provenance={"version": "0.1"},
        fingerprint={},
        environment={},
    )
    for record in members:
        (folder / record.id).mkdir(parents=True)
        (folder / record.weights).write_bytes(b"weights")
    (folder / "model.json").write_text(json.dumps(info.to_dict()))
    return info


def test_a_model_is_described_without_loading_it(tmp_path: Path) -> None:
    info = model(tmp_path / "MODEL")
    found = inspect(tmp_path / "MODEL")
    assert (found.kind, found.problems, found.classes, found.channels) == ("model", (), info.classes, ("MR",))
    assert found.facts["ensemble"] == "deep ensemble of 2"
    assert found.facts["network"] == "DynUNet 16-32"
    assert found.facts["spacing"] == "1 × 1 × 2.5 mm"
    assert found.facts["trained on"] == "3 cases"
    assert "deep ensemble of 2" in found.text()


def test_a_model_without_its_weights_is_a_problem(tmp_path: Path) -> None:
    model(tmp_path)
    (tmp_path / "member_1" / "weights.pt").unlink()
    found = inspect(tmp_path)
    assert told(found) == {("E502", "", "error")}
    assert found.problems[0].found == "no member_1/weights.pt"


def test_inspect_does_not_need_torch(tmp_path: Path) -> None:
    model(tmp_path)
    program = "import sys; from pathlib import Path; from plausible.runs.inspect import inspect; "
    program += "inspect(Path(sys.argv[1])); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)


def test_everything_is_plain_json(tmp_path: Path) -> None:
    broken = BROKEN["negative_probabilities"](tmp_path)
    found = inspect(broken.members, images=broken.images, references=broken.references, deep=True)
    content = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert content["kind"] == "members"
    assert content["cases"][1]["cells"]["fold_1"] == "problem"
    assert content["cases"][0]["shape"] == list(SHAPE)
    assert content["problems"][0]["url"] == "errors/E302"
    assert content["memory"]["shape"] == list(SHAPE)
    assert str(tmp_path) not in json.dumps(content)


def test_the_text_has_a_matrix_with_ticks_and_problems_with_their_fixes(tmp_path: Path) -> None:
    broken = BROKEN["missing_member"](tmp_path)
    cut_off(broken.members / "fold_2" / "case_c.npz")
    text = inspect(broken.members, images=broken.images, references=broken.references).text()
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  case_")}
    assert text.splitlines()[0].startswith("members: members of a study (headers read")
    assert [line.split() for line in text.splitlines() if line.startswith("  case  ")] == [
        ["case", "image", "fold_0", "fold_1", "fold_2", "reference"]
    ]
    assert rows["case_a"] == ["✓"] * 5
    assert "  case_b    ✓      ✓       –       ✓         ✓" in text.splitlines()
    assert "  case_c    ✓      ✓       ✓       ✗         ✓" in text.splitlines()
    assert "found 2 errors" in text
    for part in ("error E102: a member lacks a case", "error E305: file is truncated", "fix       nnUNetv2_predict"):
        assert part in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_longer_than_the_terminal(tmp_path: Path, width: int) -> None:
    infos = tuple(MemberInfo(id=f"deep_ensemble_member_{m}", kind="seed", seed=m) for m in range(12))
    for info in infos:
        p = probabilities(CLASSES, SHAPE, seed=info.seed or 0).astype(np.float32)
        write_member(tmp_path / "store", Member(p, GRID, CLASSES, info), subject="a_case_with_a_long_name")
    write_members_json(tmp_path / "store", infos, classes=CLASSES)
    cut_off(tmp_path / "store" / infos[3].id / "a_case_with_a_long_name.zarr.zip")
    text = inspect(tmp_path / "store").text(width=width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "deep_ensemble_member_3 (seed 3)" in " ".join(text.split())


def test_many_whole_cases_are_counted_and_the_others_shown(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    for n in range(40):
        save_nifti(tmp_path / f"case_{n:02}_0000.nii.gz", values, GRID)
    cut_off(tmp_path / "case_07_0000.nii.gz", share=0.9)
    text = inspect(tmp_path).text()
    assert "  case_07    ✗" in text.splitlines()
    assert "  and 39 more in which everything is ✓" in text.splitlines()
    assert "case_08" not in text


def test_many_problems_of_one_kind_are_named_not_repeated(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random(SHAPE, np.float32)
    for n in range(6):
        cut_off(save_nifti(tmp_path / f"case_{n}_0000.nii.gz", values, GRID), share=0.9)
    text = inspect(tmp_path).text()
    assert "error E305: file is truncated or damaged (6 times)" in text
    assert text.count("fix ") == 3
    assert "and case_3, case_4, case_5" in text


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (10 * 2**20, "10 MiB"), (2**30, "1.0 GiB")],
)
def test_sizes_are_said_as_people_say_them(n_bytes: int, text: str) -> None:
    assert size(n_bytes) == text


HIPPOCAMPUS = {
    "image_4d": "E205",
    "image_constant": "E310",
    "image_nan": "E309",
    "image_shape_mismatch": "E202",
    "image_shifted_origin": "E201",
    "image_truncated": "E305",
    "image_wrong_spacing": "E201",
}


@pytest.fixture
def bad_input(shared_data: Path, tmp_path: Path) -> Path:
    """A dataset of the damaged and odd files of the hippocampus pack, and two good cases."""
    pack = shared_data / "hippocampus"
    root = tmp_path / "Dataset004"
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    shutil.copy(pack / "dataset.json", root)
    label = pack / "labelsTr" / "hippocampus_006.nii.gz"
    for what in HIPPOCAMPUS:
        shutil.copy(pack / "bad_input" / f"hippocampus_006_{what}.nii.gz", root / "imagesTr" / f"{what}_0000.nii.gz")
        shutil.copy(label, root / "labelsTr" / f"{what}.nii.gz")
    bad = pack / "bad_input"
    shutil.copy(pack / "imagesTr" / "hippocampus_006_0000.nii.gz", root / "imagesTr" / "unknown_0000.nii.gz")
    shutil.copy(bad / "hippocampus_006_label_unknown_value.nii.gz", root / "labelsTr" / "unknown.nii.gz")
    shutil.copy(bad / "hippocampus_118_image_without_label.nii.gz", root / "imagesTr" / "lone_image_0000.nii.gz")
    shutil.copy(bad / "hippocampus_010_label_without_image.nii.gz", root / "labelsTr" / "lone_label.nii.gz")
    for good in ("hippocampus_006", "hippocampus_007"):
        shutil.copy(pack / "imagesTr" / f"{good}_0000.nii.gz", root / "imagesTr")
        shutil.copy(pack / "labelsTr" / f"{good}.nii.gz", root / "labelsTr")
    return root


def test_the_odd_files_of_a_real_dataset_are_told(bad_input: Path) -> None:
    found = inspect(bad_input, deep=True)
    expected = {(code, what) for what, code in HIPPOCAMPUS.items()}
    expected |= {("E303", "unknown"), ("E106", "lone_image"), ("E107", "lone_label")}
    assert {(problem.code, problem.subject) for problem in found.problems} == expected
    assert all(line.whole for line in found.cases if line.subject.startswith("hippocampus"))


def test_headers_show_most_of_it(bad_input: Path) -> None:
    codes = {(problem.code, problem.subject) for problem in inspect(bad_input).problems}
    only_deep = {("E310", "image_constant"), ("E309", "image_nan")}
    assert codes == {(c, w) for w, c in HIPPOCAMPUS.items()} - only_deep | {
        ("E106", "lone_image"),
        ("E107", "lone_label"),
    }


def test_a_whole_real_dataset_has_no_problem(shared_data: Path) -> None:
    found = inspect(shared_data / "hippocampus")
    assert found.problems == ()
    assert len(found.cases) == 195


def test_a_damaged_header_of_a_member_leaves_the_others_their_grid(tmp_path: Path) -> None:
    members, _, _ = sound_labels(tmp_path)
    (members / "member_0" / f"{BAD}.nii.gz").write_bytes(gzip.compress(b"nothing"))
    found = inspect(members, deep=True)
    assert [(p.code, p.subject, p.member) for p in found.problems] == [("E305", BAD, "member_0")]
    line = next(line for line in found.cases if line.subject == BAD)
    assert line.shape == SHAPE
    assert line.cells == {"member_0": "problem", "member_1": "there", "member_2": "there"}


def test_a_member_that_ends_too_early_is_seen_from_its_end(tmp_path: Path) -> None:
    grid = Geometry((40, 50, 60), np.eye(4))
    for m in range(2):
        values = np.random.default_rng(m).integers(0, 3, grid.shape).astype(np.uint8)
        save_nifti(tmp_path / f"member_{m}" / "case.nii.gz", values, grid)
    cut_off(tmp_path / "member_1" / "case.nii.gz")  # its header is whole
    found = inspect(tmp_path, classes=CLASSES)
    assert [(p.code, p.member) for p in found.problems] == [("E305", "member_1")]


def test_a_structure_is_empty_only_where_every_member_was_read(tmp_path: Path) -> None:
    broken = BROKEN["structure_empty_everywhere"](tmp_path)
    cut_off(broken.members / "member_1" / f"{BAD}.nii.gz")
    found = inspect(broken.members, deep=True)
    assert told(found) == {("E305", BAD, "error")}


def test_the_record_of_a_problem_free_folder_is_small(geometry: Geometry, classes: Classes) -> None:
    empty = Inspection(name="x", kind="members")
    assert (empty.n_errors, empty.recognised, empty.to_dict()["memory"]) == (0, "members of a study", None)
