"""What the pixels of a series say that a person should look at: scaling, lossy compression, text burnt in."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from plausible.core import Problem
from plausible.io.dicom.datasets import caution, text
from plausible.io.dicom.planes import Plane

AIR_HU = (-1200.0, -800.0)
LEAST_AIR = 1e-3
"""Share of a CT that should be air, as it surrounds every patient."""

_LOSSY = frozenset(
    f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 81, 91, 93, 100, 101, 102, 103, 104, 105, 106, 107, 108, 112, 203)
)
"""Transfer syntaxes that lose, or (91, 93, 112, 203) may: those four are taken as lossless unless the file says so."""
_MAY_BE_LOSSLESS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (91, 93, 112, 203))


def check_values(values: Float32[np.ndarray, "n rows columns"], *, modality: str, path: Path) -> list[Problem]:
    """Say if a CT has no air: a wrong intercept, or a picture of the inside only."""
    if modality != "CT":
        return []
    share = float(np.mean((values >= AIR_HU[0]) & (values <= AIR_HU[1])))
    if share >= LEAST_AIR:
        return []
    return [
        caution(
            "E608",
            path=path,
            found=f"values from {values.min():.0f} to {values.max():.0f} HU; {100 * share:.2g} % lie near air (-1000)",
            expected="air around the patient near -1000 HU",
            fix="compare RescaleIntercept with the scanner's; a picture of the inside only may be right",
        )
    ]


def pixel_cautions(planes: Sequence[Plane]) -> list[Problem]:
    """Say if any file was compressed with loss, or shows text that may name the patient."""
    lossy = [plane for plane in planes if _is_lossy(plane)]
    burnt = [plane for plane in planes if text(plane.header, "BurnedInAnnotation").upper() == "YES"]
    found = []
    if lossy:
        found.append(
            caution(
                "E609",
                path=lossy[0].path,
                found=f"{len(lossy)} of {len(planes)} slices were compressed with loss",
                expected="values as the scanner made them",
                fix="export the series without lossy compression; small structures and HU values may be off",
            )
        )
    if burnt:
        found.append(
            caution(
                "E609",
                path=burnt[0].path,
                found=f"text is burnt into {len(burnt)} of {len(planes)} slices (BurnedInAnnotation YES)",
                expected="pixels without text: it may name the patient",
                fix="do not pass on pictures of this series; export it without annotation",
            )
        )
    return found


def _is_lossy(plane: Plane) -> bool:
    told = text(plane.header, "LossyImageCompression") == "01"
    return told or text(plane.header.file_meta, "TransferSyntaxUID") in _LOSSY - _MAY_BE_LOSSLESS
