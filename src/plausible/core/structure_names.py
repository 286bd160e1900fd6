"""Names of structures: free names to those of AAPM TG-263, so that a constraint finds its organ.

Only spelling is looked at: case, accents, spaces, signs and where the word for left or right stands do not matter. The
spellings are common ones of planning systems and public data sets; a name that is not listed has no standard name.
Source of the names: Mayo et al. 2018, doi:10.1016/j.ijrobp.2017.12.013.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache

SINGLE: Mapping[str, tuple[str, ...]] = {
    "A_Aorta": ("aorta",),
    "Anus": (),
    "Bag_Bowel": ("bowel bag",),
    "Bladder": ("urinary bladder", "vesica"),
    "Bone_Mandible": ("mandible", "mandibula", "jaw"),
    "Bowel": ("bowels",),
    "Bowel_Large": ("large bowel",),
    "Bowel_Small": ("small bowel", "small intestine"),
    "Brain": (),
    "Brainstem": ("bs", "stem", "truncus encephali"),
    "Canal_Anal": ("anal canal",),
    "Cavity_Oral": ("oral cavity", "mouth"),
    "Cervix": ("uterine cervix",),
    "Colon": (),
    "Colon_Sigmoid": ("sigmoid",),
    "Cricopharyngeus": ("crico", "cricopharyngeal inlet"),
    "Duodenum": (),
    "Esophagus": ("oesophagus", "eso"),
    "Esophagus_S": ("cervical esophagus", "esophagus cervical"),
    "External": ("body", "patient outline"),
    "Glnd_Thyroid": ("thyroid", "thyroid gland"),
    "Glottis": ("glottic area",),
    "GreatVes": ("great vessels",),
    "Heart": ("cor",),
    "Kidneys": ("both kidneys", "kidney total", "kidney both"),
    "Larynx": ("glottis larynx",),
    "Larynx_SG": ("supraglottic larynx", "larynx supraglottic"),
    "Lips": (),
    "Liver": ("hepar",),
    "Lungs": ("both lungs", "lungs total", "lung total", "lung both", "total lung"),
    "Musc_Constrict": ("pharynx constrictor", "pcm", "pharyngeal constrictor", "constrictors"),
    "OpticChiasm": ("chiasm", "chiasma"),
    "Pancreas": (),
    "PenileBulb": (),
    "Pericardium": (),
    "Pharynx": (),
    "Pituitary": ("hypophysis", "pituitary gland"),
    "Prostate": (),
    "PTV_56": (),
    "PTV_63": (),
    "PTV_70": (),
    "Rectum": (),
    "SeminalVes": ("seminal vesicles", "seminal vesicle", "sv"),
    "SpinalCanal": ("canal",),
    "SpinalCord": ("cord", "myelon", "medulla spinalis"),
    "Spleen": (),
    "Stomach": (),
    "Trachea": (),
    "Uterus": (),
}
"""Structures that there is one of, with further spellings in use."""

PAIRED: Mapping[str, tuple[str, ...]] = {
    "A_Carotid": ("carotid", "carotid artery"),
    "BrachialPlex": ("brachial plexus",),
    "Breast": (),
    "Cochlea": (),
    "Ear_Internal": ("inner ear", "internal ear"),
    "Eye": ("globe",),
    "Femur_Head": ("femoral head", "femhead"),
    "Glnd_Lacrimal": ("lacrimal gland", "lacrimal"),
    "Glnd_Submand": ("submandibular", "submandibular gland", "submand", "smg", "glnd submandibular"),
    "Hippocampus": (),
    "Joint_TM": ("tmj", "tm joint"),
    "Kidney": (),
    "Lens": (),
    "Lobe_Temporal": ("temporal lobe",),
    "Lung": (),
    "OpticNrv": ("optic nerve", "opt nerve"),
    "Orbit": (),
    "Parotid": ("parotid gland", "par"),
    "Retina": (),
}
"""Structures on both sides; names end in _L or _R."""

SIDES: Mapping[str, tuple[str, ...]] = {"L": ("l", "left", "lt"), "R": ("r", "right", "rt")}


def standard_name(name: str, *, aliases: Mapping[str, str] | None = None) -> str | None:
    """Return the TG-263 name of a structure, e.g. "RightParotid" is Parotid_R; None if it is not known.

    Args:
        name: as somebody wrote it, e.g. "LeftParotid", "parotid l" or "Parotid_L".
        aliases: further names and what they stand for; they go first.
    """
    told = {_bare(alias): meant for alias, meant in (aliases or {}).items()}
    return told.get(_bare(name)) or _known().get(_bare(name))


def _bare(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]", "", plain.lower())


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
