"""DICOM in and out (extra `dicom`): image series, RTSTRUCT, RTDOSE, SEG, parametric maps."""

from plausible.io.dicom.folder import DicomFolder, sort_folder
from plausible.io.dicom.roi_names import standard_name
from plausible.io.dicom.rtdose import RtDose, open_rtdose, read_rtdose
from plausible.io.dicom.rtstruct import SkippedRoi, StructureSet, read_rtstruct
from plausible.io.dicom.series import SeriesImage, read_series

__all__ = [
    "DicomFolder",
    "RtDose",
    "SeriesImage",
    "SkippedRoi",
    "StructureSet",
    "open_rtdose",
    "read_rtdose",
    "read_rtstruct",
    "read_series",
    "sort_folder",
    "standard_name",
]
