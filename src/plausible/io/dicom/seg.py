"""DICOM SEG to masks on the grid of an image, through highdicom: placed by geometry, never by the number of a frame.

Empty frames are left out of such files and slices are counted from another end, so a mask is put on the grid of the
image by `match_geometry`; without an image the segments keep the file's own grid.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Integer

from plausible.core import Classes, FrameOfReference, Geometry, InvalidInput, LabelMap
from plausible.core.problems import ProblemWarning, locating
from plausible.io.dicom.datasets import LPS_TO_RAS, check_size, file_label, refusal, text, tolerant
from plausible.io.dicom.folder import sort_folder
from plausible.io.dicom.highdicom_parts import highdicom
from plausible.io.dicom.objects import SEGMENTATIONS, frame_of
from plausible.io.dicom.roi_names import unique_names
from plausible.io.dicom.series import SeriesImage

SegKind = Literal["binary", "fractional", "labelmap"]
HALF = 0.5
"""Share of a segment from which a voxel belongs to its mask."""
KINDS: Mapping[str, SegKind] = {"BINARY": "binary", "FRACTIONAL": "fractional"}


@dataclass(frozen=True, slots=True, eq=False)
class SegImage:
    """Segments of a DICOM SEG on one grid.

    Attributes:
        fractions: by name, the share of each voxel or its probability, 0 to 1; exactly 0 and 1 unless `kind` is
            fractional.
        numbers: SegmentNumber of each name.
        geometry: of the image, or of the file where no image was given.
    """

    kind: SegKind
    fractions: Mapping[str, Float32[np.ndarray, "i j k"]]
    numbers: Mapping[str, int]
    geometry: Geometry
    instance_uid: str
    frame: FrameOfReference

    def mask(self, name: str) -> Bool[np.ndarray, "i j k"]:
        """Voxels of which a segment has at least half."""
        return self.fractions[name] >= HALF

    def label_map(self) -> LabelMap:
        """Return all segments as labels, by their numbers.

        Raises:
            InvalidInput: E308, two segments share voxels: then only masks can hold them.
        """
        values: Integer[np.ndarray, "i j k"] = np.zeros(self.geometry.shape, dtype=np.uint16)
        for name, number in self.numbers.items():
            mask = self.mask(name)
            if values[mask].any():
                raise refusal(
                    "E308",
                    found=f"segment {name} shares {int(np.count_nonzero(values[mask]))} voxels with another",
                    expected="segments that exclude each other",
                    fix="take each segment's mask instead",
                )
            values[mask] = number
        return LabelMap(values, self.geometry, Classes.exclusive_of({"background": 0, **self.numbers}))


def read_seg(path: Path, *, image: SeriesImage | None = None) -> SegImage:
    """Read a DICOM SEG file.

    Args:
        path: file.
        image: series whose grid the segments are put on; None keeps the file's own grid (empty slices may be lacking).

    Raises:
        InvalidInput: E601, the file is none; E201, its grid is not the image's; E610 or E611, of another frame of
            reference or patient; E619.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    with tolerant():
        seg = _opened(path)
        if image is not None:
            with locating(file=file_label(path)):
                for problem in image.frame.check_holds(frame_of(seg), what="segmentation"):
                    warnings.warn(ProblemWarning(problem), stacklevel=2)
        written = {
            int(number): text(seg.get_segment_description(number), "SegmentLabel") for number in seg.segment_numbers
        }
        named, _ = unique_names(written, path=path)
        grid = image.geometry if image else None
        placed = {name: _placed(path, seg, number, grid) for number, name in named.items()}
        return SegImage(
            kind=KINDS.get(str(seg.SegmentationType), "labelmap"),
            fractions={name: values for name, (values, _) in placed.items()},
            numbers={name: number for number, name in named.items()},
            geometry=next(iter(placed.values()))[1],
            instance_uid=text(seg, "SOPInstanceUID"),
            frame=frame_of(seg),
        )


def segments_on_grid(path: Path, grid: Geometry, numbers: Sequence[int]) -> tuple[np.ndarray, ...]:
    """Read some segments of a DICOM SEG onto a grid: bool of masks, else the share or probability as float32.

    Raises:
        InvalidInput: E601, the file is none; E201, its grid is not this one; E619.
        UnfitEnvironment: E901 without the extra `dicom`.
    """
    with tolerant():
        seg = _opened(path)
        soft = KINDS.get(str(seg.SegmentationType)) == "fractional"
        found = (_placed(path, seg, number, grid)[0] for number in numbers)
        return tuple(values if soft else values >= HALF for values in found)


def _opened(path: Path) -> Any:
    _check_is_seg(path)
    seg = highdicom().seg.segread(path)
    rows, columns, frames = int(seg.Rows), int(seg.Columns), int(seg.get("NumberOfFrames") or 1)
    check_size(frames * rows * columns, path=path, what=f"{frames} frames {rows}×{columns}")
    return seg


def _check_is_seg(path: Path) -> None:
    found = sort_folder(path)
    if found.problems:
        raise InvalidInput(found.problems[0])
    if not found.segmentations:
        raise refusal(
            "E601",
            path=path,
            found="an object that is no segmentation",
            expected=f"a DICOM SEG (SOP class {SEGMENTATIONS[0]} or {SEGMENTATIONS[1]})",
            fix="plausible inspect -i FOLDER lists the segmentations of a folder",
        )


def _placed(path: Path, seg: Any, number: int, grid: Geometry | None) -> tuple[np.ndarray, Geometry]:
    """Values of one segment on the wanted grid, and that grid."""
    try:
        volume = seg.get_volume(segment_numbers=[number], rescale_fractional=True, dtype=np.float32)
        if grid is not None:
            volume = volume.match_geometry(_grid(grid, text(seg, "FrameOfReferenceUID")), tol=1e-3)
    except (ValueError, RuntimeError) as error:
        raise refusal(
            "E201",
            path=path,
            found=f"segment {number} cannot be put on the grid: {error}",
            expected="frames on the slices of the image, with its spacing",
            fix="use the series the segmentation was made on, or resample it there first",
        ) from error
    values = np.asarray(volume.array, dtype=np.float32)
    values = values[..., 0] if values.ndim == 4 else values
    if grid is not None:
        return values, grid
    values = values.transpose(2, 1, 0)
    affine = np.array(volume.affine, dtype=np.float64)[:, [2, 1, 0, 3]]
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return values, Geometry((values.shape[0], values.shape[1], values.shape[2]), affine)


def _grid(geometry: Geometry, frame_of_reference_uid: str) -> Any:
    """The grid as highdicom has it, with our order of axes and DICOM's world."""
    affine = geometry.affine.copy()
    affine[:3] = LPS_TO_RAS @ affine[:3]
    return highdicom().VolumeGeometry(
        affine=affine,
        spatial_shape=geometry.shape,
        coordinate_system="PATIENT",
        frame_of_reference_uid=frame_of_reference_uid or None,
    )
