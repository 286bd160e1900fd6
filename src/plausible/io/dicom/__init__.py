"""DICOM in and out (extra `dicom`): image series, RTSTRUCT, RTDOSE, SEG, parametric maps."""

from plausible.io.dicom.case import DicomCase, check_belong, read_case
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.datasets import file_names_kept
from plausible.io.dicom.folder import DicomFolder, sort_folder
from plausible.io.dicom.roi_names import standard_name
from plausible.io.dicom.rtdose import RtDose, open_rtdose, read_rtdose
from plausible.io.dicom.rtstruct import SkippedRoi, StructureSet, read_rtstruct
from plausible.io.dicom.seg import SegImage, read_seg
from plausible.io.dicom.series import SeriesImage, read_series

__all__ = [
    "DicomCase",
    "DicomFolder",
    "RtDose",
    "SegImage",
    "SeriesImage",
    "SkippedRoi",
    "StructureSet",
    "check_belong",
    "check_contours",
    "file_names_kept",
    "open_rtdose",
    "read_case",
    "read_rtdose",
    "read_rtstruct",
    "read_seg",
    "read_series",
    "sort_folder",
    "standard_name",
]
