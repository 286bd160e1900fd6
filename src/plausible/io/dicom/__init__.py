"""DICOM in and out (extra `dicom`): image series, RTSTRUCT, RTDOSE, SEG, parametric maps."""

from plausible.io.dicom.case import DicomCase, check_belong, read_case
from plausible.io.dicom.contour_checks import check_contours
from plausible.io.dicom.datasets import file_names_kept
from plausible.io.dicom.folder import DicomFolder, sort_folder
from plausible.io.dicom.rtdose import RtDose, open_rtdose, read_rtdose
from plausible.io.dicom.rtstruct import SkippedRoi, StructureSet, read_rtstruct
from plausible.io.dicom.seg import SegImage, read_seg
from plausible.io.dicom.series import SeriesImage, read_series
from plausible.io.dicom.source import SourceSeries, deidentified, source_of
from plausible.io.dicom.uids import UidMap
from plausible.io.dicom.write_parametric_map import write_parametric_map
from plausible.io.dicom.write_rtdose import write_rtdose
from plausible.io.dicom.write_rtstruct import write_rtstruct
from plausible.io.dicom.write_seg import write_seg

__all__ = [
    "DicomCase",
    "DicomFolder",
    "RtDose",
    "SegImage",
    "SeriesImage",
    "SkippedRoi",
    "SourceSeries",
    "StructureSet",
    "UidMap",
    "check_belong",
    "check_contours",
    "deidentified",
    "file_names_kept",
    "open_rtdose",
    "read_case",
    "read_rtdose",
    "read_rtstruct",
    "read_seg",
    "read_series",
    "sort_folder",
    "source_of",
    "write_parametric_map",
    "write_rtdose",
    "write_rtstruct",
    "write_seg",
]
