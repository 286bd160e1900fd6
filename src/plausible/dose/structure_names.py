"""Names of structures: free names to those of TG-263, so that a constraint finds its organ.

Only spelling is looked at: case, spaces, signs and the words for left and right do not matter. What is not in the table
keeps its own name. Source of the names: Mayo et al. 2018 (AAPM TG-263).
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache

SINGLE: Mapping[str, tuple[str, ...]] = {
    "Bladder": ("urinary bladder",),
    "Bone_Mandible": ("mandible", "mandibula", "jaw"),
    "Brain": (),
    "Brainstem": ("brain stem", "truncus encephali"),
    "Cavity_Oral": ("oral cavity", "mouth"),
    "Esophagus": ("oesophagus",),
    "Heart": (),
    "Kidneys": ("both kidneys", "kidney both"),
    "Larynx": (),
    "Liver": (),
    "Lungs": ("both lungs", "lung both"),
    "OpticChiasm": ("chiasm", "chiasma", "optic chiasm"),
    "Pericardium": (),
    "Pharynx": ("pharynx constrictor", "musc constrict"),
    "PTV_56": (),
    "PTV_63": (),
    "PTV_70": (),
    "Prostate": (),
    "Rectum": (),
    "SpinalCord": ("cord", "spinal cord", "medulla spinalis", "myelon"),
}
"""Structures that there is one of, with further names in use."""

PAIRED: Mapping[str, tuple[str, ...]] = {
    "Cochlea": (),
    "Ear_Internal": ("inner ear", "internal ear"),
    "Glnd_Submand": ("submandibular", "submandibular gland"),
    "Kidney": (),
    "Lens": (),
    "Lobe_Temporal": ("temporal lobe",),
    "Lung": (),
    "OpticNrv": ("optic nerve",),
    "Orbit": ("eye",),
    "Parotid": ("parotid gland",),
}
"""Structures on both sides; names end in _L or _R."""

SIDES: Mapping[str, tuple[str, ...]] = {"L": ("l", "left", "lt"), "R": ("r", "right", "rt")}


def standard_name(name: str, *, aliases: Mapping[str, str] | None = None) -> str:
    """Name of TG-263 for a structure; the name itself if it is not known.

    Args:
        name: as somebody wrote it, e.g. "LeftParotid", "parotid l" or "Parotid_L".
        aliases: further names and what they stand for; they go first.
    """
    told = {_bare(alias): meant for alias, meant in (aliases or {}).items()}
    if _bare(name) in told:
        return told[_bare(name)]
    return _known().get(_bare(name), name)


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _known() -> dict[str, str]:
    found = {_bare(alias): name for name, aliases in SINGLE.items() for alias in (name, *aliases)}
    for base, aliases in PAIRED.items():
        for side, words in SIDES.items():
            found |= {text: f"{base}_{side}" for alias in (base, *aliases) for text in _sided(alias, words)}
    return found


def _sided(alias: str, words: tuple[str, ...]) -> Iterator[str]:
    for word in words:
        yield _bare(alias + word)
        yield _bare(word + alias)
