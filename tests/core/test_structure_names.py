"""Names of structures: what stands for an organ of TG-263, and that no spelling stands for two."""

from collections import Counter

import pytest

from plausible.core import standard_name
from plausible.core.structure_names import PAIRED, SIDES, SINGLE, _bare, _sided


@pytest.mark.parametrize(
    ("name", "standard"),
    [
        ("RightParotid", "Parotid_R"),
        ("LeftParotid", "Parotid_L"),
        ("parotid gland lt", "Parotid_L"),
        ("Lt parotid gland", "Parotid_L"),
        ("PAROTID_R", "Parotid_R"),
        ("Parotid_R", "Parotid_R"),
        ("Lt Lung", "Lung_L"),
        ("LFemHead", "Femur_Head_L"),
        ("Optic_Nerve_R", "OpticNrv_R"),
        ("Mandible", "Bone_Mandible"),
        ("spinal cord", "SpinalCord"),
        ("SpinalCord", "SpinalCord"),
        ("Oesophagus", "Esophagus"),
        ("Pharynx constrictor", "Musc_Constrict"),
        ("Pharynx", "Pharynx"),
        ("Eye_L", "Eye_L"),
        ("orbit left", "Orbit_L"),
        ("PTV70", "PTV_70"),
        ("BODY", "External"),
        ("Côr", "Heart"),
        ("Parotid", None),
        ("Thymus", None),
        ("L", None),
        ("", None),
    ],
)
def test_free_names_find_those_of_tg_263(name, standard):
    assert standard_name(name) == standard


def test_aliases_that_were_told_go_first():
    assert standard_name("Gland A", aliases={"gland_a": "Parotid_L"}) == "Parotid_L"
    assert standard_name("cord", aliases={"Cord": "SpinalCanal"}) == "SpinalCanal"


def test_no_spelling_stands_for_two_structures():
    single = {(_bare(alias), name) for name, aliases in SINGLE.items() for alias in (name, *aliases)}
    paired = {
        (text, f"{base}_{side}")
        for base, aliases in PAIRED.items()
        for side, words in SIDES.items()
        for alias in (base, *aliases)
        for text in _sided(alias, words)
    }
    counts = Counter(spelling for spelling, _ in single | paired)
    assert [spelling for spelling, n in counts.items() if n > 1] == []


def test_standard_names_fit_planning_systems_and_are_their_own():
    for name in (*SINGLE, *(f"{base}_{side}" for base in PAIRED for side in SIDES)):
        assert len(name) <= 16
        assert standard_name(name) == name
