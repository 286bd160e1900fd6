import numpy as np
import pytest

from plausible.core import Case, Classes, Geometry, Image, Members, Problem, Study


def study(classes: Classes, *, n: int = 5) -> Study:
    problem = Problem(code="E104", found="a", expected="b", fix="c")
    return Study("x", classes, tuple(Case(f"s{i}", classes) for i in range(n)), (problem,))


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7])
def test_parts_share_the_cases_out_like_nnunet(classes: Classes, num_parts: int) -> None:
    whole = study(classes)
    parts = [whole.part(k, num_parts=num_parts) for k in range(num_parts)]
    assert sorted(case.subject for part in parts for case in part) == ["s0", "s1", "s2", "s3", "s4"]
    assert [case.subject for case in parts[0]] == ["s0", "s1", "s2", "s3", "s4"][::num_parts]
    assert all(part.problems == whole.problems and part.classes == classes for part in parts)


@pytest.mark.parametrize("part_id", [-1, 3])
def test_a_part_that_does_not_exist_is_refused(classes: Classes, part_id: int) -> None:
    with pytest.raises(ValueError, match="--part-id"):
        study(classes).part(part_id, num_parts=3)


def test_cases_are_found_by_name(classes: Classes) -> None:
    assert study(classes).case("s3").subject == "s3"
    assert len(study(classes)) == 5
    with pytest.raises(KeyError, match="no case 's9' in x"):
        study(classes).case("s9")


def test_a_case_reads_when_asked_and_only_then(classes: Classes, geometry: Geometry) -> None:
    read = []

    def load_image() -> Image:
        read.append("image")
        return Image(np.zeros((1, *geometry.shape)), geometry, ("CT",))

    def load_members() -> Members:
        read.append("members")
        return Members(geometry, classes, ())

    case = Case("s1", classes, load_image=load_image, load_members=load_members)
    assert read == []
    assert case.image() is not None
    assert case.image() is not None
    assert len(case.members()) == 0
    assert read == ["image", "image", "members"]


def test_a_case_without_image_or_raters_says_so(classes: Classes) -> None:
    case = Case("s1", classes)
    assert case.image() is None
    assert case.raters() is None
    with pytest.raises(ValueError, match="s1: no members; predict them first"):
        case.members()
