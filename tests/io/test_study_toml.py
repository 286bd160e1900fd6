from pathlib import Path

import pytest

from plausible.core import Classes, InvalidInput, MemberInfo
from plausible.io import read_study_toml
from plausible.io import study_toml as module


def told(folder: Path, text: str, *folders: str) -> Path:
    for name in folders:
        (folder / name).mkdir(parents=True)
    (folder / "study.toml").write_text(text, encoding="utf-8")
    return folder / "study.toml"


def test_a_file_says_everything_that_folders_do_not(tmp_path: Path) -> None:
    text = """
name = "prostate"
images = "imagesTs"
values = "probabilities"
last_axis = "class"
structures = "overlapping"
align = "names"
allow_missing = true

[references]
anna = "raters/anna"
ben = "raters/ben"

[classes]
labels = { background = 0, prostate = 1, rectum = 2 }

[members]
seed_1 = "runs/a"
seed_2 = { path = "runs/b", kind = "seed", seed = 2, architecture = "DynUNet", values = "logits" }
"""
    path = told(tmp_path, text, "imagesTs", "raters/anna", "raters/ben", "runs/a", "runs/b")
    read = read_study_toml(path)
    assert (read.name, read.images, read.allow_missing) == ("prostate", tmp_path / "imagesTs", True)
    assert (read.values, read.last_axis, read.structures, read.align) == (
        "probabilities",
        "class",
        "overlapping",
        "names",
    )
    assert dict(read.references) == {"anna": tmp_path / "raters/anna", "ben": tmp_path / "raters/ben"}
    assert read.classes == Classes.exclusive_of({"background": 0, "prostate": 1, "rectum": 2})
    assert list(read.members) == ["seed_1", "seed_2"]
    assert read.members["seed_1"].info == MemberInfo(id="seed_1")
    second = read.members["seed_2"]
    assert second.info == MemberInfo(id="seed_2", kind="seed", seed=2, architecture="DynUNet")
    assert (second.path, second.values, second.last_axis) == (tmp_path / "runs/b", "logits", None)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    read = read_study_toml(told(tmp_path, ""))
    assert read == module.StudyToml(tmp_path.name)


def test_one_reference_needs_no_name(tmp_path: Path) -> None:
    read = read_study_toml(told(tmp_path, 'references = "labels"', "labels"))
    assert dict(read.references) == {"reference": tmp_path / "labels"}


@pytest.mark.parametrize(
    "text",
    [
        "labels = { background = 0, ptv = 1, bladder = 2 }\nexclusive = false",
        "labels = { background = 0, ptv = [1], bladder = [2] }\nexclusive = false",
        "labels = { background = 0, ptv = 1, bladder = 2 }\nregions_class_order = [1, 2]",
    ],
)
def test_regions_are_told_by_either_word(tmp_path: Path, text: str) -> None:
    classes = read_study_toml(told(tmp_path, f"[classes]\n{text}")).classes
    assert classes is not None
    assert not classes.exclusive
    assert classes.labels == ((1,), (2,))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("images = ", "TOMLDecodeError"),
        ('vallues = "labels"', "unknown vallues; there are: accept, align, allow_missing"),
        ('values = "probs"', "values = 'probs'; there are: labels, probabilities, logits"),
        ('images = "nowhere"', "no folder 'nowhere' beside study.toml"),
        ('[members]\na = "nowhere"', "no folder 'nowhere'"),
        ("[members]\na = 3", "TypeError"),
        ('[members]\na = { kind = "seed" }', "KeyError: 'path'"),
        ('[members]\na = { path = ".", sed = 1 }', "unknown sed"),
        ('[members]\na = { path = ".", seed = "1" }', "seed = '1' must be a whole number"),
        ("[classes]\nlabel = { background = 0 }", "unknown label"),
        ("[classes]\nlabels = { liver = 1 }", "background of value 0"),
        ('allow_missing = "yes"', "allow_missing must be true or false"),
        ("[classes]\nlabels = { background = 0, a = 1 }\nexclusive = 'no'", "exclusive must be true or false"),
    ],
)
def test_a_mistake_is_told_with_what_there_is(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(InvalidInput) as error:
        read_study_toml(told(tmp_path, text))
    assert error.value.problem.code == "E110"
    assert found in error.value.problem.found


PAGE = Path(__file__).resolve().parents[2] / "docs" / "methods" / "io.md"


@pytest.mark.parametrize("text", [module.__doc__, PAGE.read_text(encoding="utf-8")], ids=["module", "page"])
def test_the_examples_of_the_documentation_are_read(tmp_path: Path, text: str) -> None:
    example = text.split("```toml\n")[1].split("```", maxsplit=1)[0]
    read = read_study_toml(told(tmp_path, example, "imagesTs", "labelsTs", "runs/a", "runs/b"))
    assert (read.name, read.align, read.structures) == ("prostate", "names", "overlapping")
    assert list(read.members) == ["seed_1", "seed_2"]
    assert read.members["seed_2"].values == "logits"
