"""A small CT series on disk, oblique and with non-square pixels, of a patient whose name must not travel further."""

import math
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
NAME, NUMBER, BIRTH = "Müller^Zäzilie", "SECRET-4711", "19510203"
SHAPE, SPACING = (47, 41, 23), (0.8, 1.1, 2.5)
"""Columns, rows, slices; mm between columns, rows, slices."""


def turn(*, degrees: tuple[float, float]) -> np.ndarray:
    """Columns: directions of a row, of a column and of the normal in DICOM's world."""
    a, b = np.deg2rad(degrees)
    about_z = np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    return about_z @ about_x


def write_ct(
    folder: Path,
    *,
    shape=SHAPE,
    spacing_mm=SPACING,
    degrees=(20.0, 10.0),
    origin_mm=(-18.0, -22.0, -30.0),
    numbers_from_top: bool = False,
) -> Path:
    """Write a CT whose files are not named in the order of its slices; HU counts up from -1000."""
    folder.mkdir(parents=True, exist_ok=True)
    directions = turn(degrees=degrees)
    study, series, frame = (generate_uid(prefix=None) for _ in range(3))
    for k in range(shape[2]):
        number = shape[2] - k if numbers_from_top else k + 1
        header = _header(shape, spacing_mm, directions)
        header.ImagePositionPatient = [
            round(float(v), 6) for v in np.array(origin_mm) + directions[:, 2] * spacing_mm[2] * k
        ]
        header.SOPInstanceUID, header.InstanceNumber = generate_uid(prefix=None), number
        header.StudyInstanceUID, header.SeriesInstanceUID, header.FrameOfReferenceUID = study, series, frame
        values = np.full((shape[1], shape[0]), k, dtype=np.int16)
        header.PixelData = values.tobytes()
        header.file_meta = FileMetaDataset()
        header.file_meta.MediaStorageSOPClassUID = CT
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.save_as(folder / f"IM{(k * 7) % 1000:04d}.dcm", enforce_file_format=True)
    return folder


def _header(shape, spacing_mm, directions) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName, header.PatientID, header.PatientBirthDate, header.PatientSex = NAME, NUMBER, BIRTH, "F"
    header.PatientAge, header.InstitutionName = "070Y", "Klinikum Beispielstadt"
    header.StudyDate, header.StudyTime, header.StudyID, header.AccessionNumber = "20240105", "101500", "S1", "ACC-99"
    header.ReferringPhysicianName, header.StudyDescription = "Referrer^Rolf", "Planungs-CT Müller"
    header.Modality, header.Manufacturer, header.SeriesNumber = "CT", "Test", 3
    header.SOPClassUID, header.ImageType = CT, ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.PositionReferenceIndicator, header.KVP = "", "120"
    header.ImageOrientationPatient = [round(float(v), 8) for v in directions[:, :2].T.ravel()]
    header.PixelSpacing = [spacing_mm[1], spacing_mm[0]]
    header.SliceThickness = spacing_mm[2]
    header.Rows, header.Columns = shape[1], shape[0]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit, header.PixelRepresentation = 16, 16, 15, 1
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = -1000, 1, "HU"
    block = header.private_block(0x0021, "SECRET VENDOR", create=True)
    block.add_new(0x01, "LO", "Müller private")
    return header
