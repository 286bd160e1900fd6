from hypothesis import given
from hypothesis import strategies as st

from plausible.runs.export_names import renamed, roi_names

SUFFIXES = ("_p05", "_p50", "_p95")


def test_names_are_shortened_in_front_of_side_and_level() -> None:
    names = roi_names(["Parotid_L", "Bone_Mandible", "Glnd_Submand_R"], SUFFIXES)
    assert names["Parotid_L", ""] == "Parotid_L"
    assert names["Parotid_L", "_p05"] == "zParotid_L_p05"
    assert names["Bone_Mandible", "_p95"] == "zBone_Mandib_p95"
    assert names["Glnd_Submand_R", ""] == "Glnd_Submand_R"
    assert names["Glnd_Submand_R", "_p50"] == "zGlnd_Subm_R_p50"


def test_names_that_meet_when_cut_get_a_number_that_is_not_cut() -> None:
    names = roi_names(["left anterior descending 1_L", "left anterior descending 2_L"], ("_any", "_half", "_all"))
    assert names["left anterior descending 1_L", ""] == "left_anterior_L"
    assert names["left anterior descending 2_L", ""] == "left_an2_L"
    assert names["left anterior descending 2_L", "_half"] == "zleft_an2_L_half"


def test_a_structure_called_like_a_band_does_not_take_its_name() -> None:
    names = roi_names(["A", "zA_p05", "a"], SUFFIXES)
    assert len({name.lower() for name in names.values()}) == len(names)
    assert names["A", "_p05"] == "zA_p05"


@given(
    st.lists(st.one_of(st.text(max_size=30), st.sampled_from(["Organ_L", "organ_l", "Ö", "O", "x" * 40, "\\"])),
             max_size=12, unique=True),
    st.sampled_from([SUFFIXES, ("_any", "_half", "_all"), ()]),
)  # fmt: skip
def test_names_fit_are_plain_differ_and_end_with_their_level(structures: list[str], suffixes: tuple[str, ...]) -> None:
    names = roi_names(structures, suffixes)
    assert set(names) == {(one, suffix) for one in structures for suffix in ("", *suffixes)}
    assert len({name.lower() for name in names.values()}) == len(names)
    for (_, suffix), name in names.items():
        assert 1 <= len(name) <= 16
        assert name.isascii()
        assert name.replace("_", "").replace("-", "").replace(".", "").isalnum() or set(name) <= set("_-.")
        assert name.endswith(suffix)
        assert not suffix or name.startswith("z")


def test_standard_names_are_taken_where_no_two_structures_claim_one() -> None:
    told = {"RightParotid": "Parotid_R", "parotid r": "Parotid_R", "Mandible": "Bone_Mandible", "thing": None}
    assert renamed(["Mandible", "thing"], told) == {"Mandible": "Bone_Mandible", "thing": "thing"}
    assert renamed(["RightParotid", "parotid r"], told) == {"RightParotid": "RightParotid", "parotid r": "parotid r"}
