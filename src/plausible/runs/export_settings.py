"""What is exported, and how: at once flags of the command line, defaults in Python and provenance."""

from dataclasses import dataclass
from typing import Literal

Holes = Literal["nested", "xor"]
DICOM = ("rtstruct", "seg", "seg-fractional", "seg-labelmap", "parametric-map", "rtdose", "rtdose-statistics")
BIDS, NIFTI = "bids", "nifti"
TARGETS = (*DICOM, NIFTI, BIDS)
"""What can be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSettings:
    """What is written, and how.

    Attributes:
        calibrated: trace bands on the calibrated probability instead of the mean of the members.
        holes: holes of contours as nested loops, which every program reads in its way, or as the standard's xor.
        tg263: call structures by their names of AAPM TG-263 where they are known.
        deidentify: replace all identifiers and leave patient, study and device out of what is written.
    """

    calibrated: bool = False
    holes: Holes = "nested"
    tg263: bool = False
    deidentify: bool = False
