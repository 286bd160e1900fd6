"""What the writers that build on highdicom share: the package itself, and what every such object says of itself."""

from types import ModuleType
from typing import Any

import plausible
from plausible.io.dicom.datasets import required
from plausible.io.dicom.modules import MANUFACTURER
from plausible.io.dicom.uids import new_uid

SCHEME = "99PLAUSIBLE"
"""Coding scheme of concepts that no public one has (99 marks a scheme as private)."""
RLE = "1.2.840.10008.1.2.5"
CREATOR = "plausible^"
"""One component only: the caret says that it is meant."""


def highdicom() -> ModuleType:
    """Import highdicom.

    Raises:
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    return required("highdicom")


def identification(*, number: int) -> dict[str, Any]:
    """Our own identifiers and device, as every constructor of highdicom takes them."""
    return {
        "series_instance_uid": new_uid(),
        "series_number": number,
        "sop_instance_uid": new_uid(),
        "instance_number": 1,
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MANUFACTURER,
        "software_versions": plausible.__version__,
        "device_serial_number": plausible.__version__,
        "content_creator_name": CREATOR,
    }


def concept(value: str, meaning: str) -> Any:
    """Return a coded concept of our own scheme."""
    return highdicom().sr.CodedConcept(value, SCHEME, meaning)


def compressed(made: Any) -> Any:
    """Compress the frames of an object by RLE, and return it.

    The encoder is pydicom's own: that of GDCM, which is taken where it is installed, ends the whole program at frames
    of some sizes.
    """
    made.compress(RLE, encoding_plugin="pydicom", generate_instance_uid=False)
    return made
