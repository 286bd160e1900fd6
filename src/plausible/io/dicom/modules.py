"""What every object that we write has: the source's patient and study, our own series, device and identifiers.

Elements that the standard wants even when nothing is known (type 2) are written empty: leaving them out was every
error that checkers found in the files of other writers. Private elements are never written.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import plausible
from plausible.core import INTENDED_USE
from plausible.io.atomic import replacing
from plausible.io.dicom.datasets import pydicom, text
from plausible.io.dicom.source import SourceSeries
from plausible.io.dicom.uids import IMPLEMENTATION_UID, new_uid

MANUFACTURER = "plausible"
BANNER = "RESEARCH USE ONLY"
"""Begins the description of every series that we write."""
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName", "StudyID")
OPTIONAL = ("PatientIdentityRemoved", "DeidentificationMethod", "StudyDescription")
SHORT, LONG, TEXT = 16, 64, 1024
"""Longest values of SH, LO and ST."""


@contextmanager
def discreet() -> Iterator[None]:
    """Silence what pydicom and highdicom say of values while an object is made: they quote names of patients."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def new_object(source: SourceSeries, *, sop_class_uid: str, modality: str, description: str, number: int) -> Any:
    """Return an object of the source's patient and study, in a series of its own.

    Args:
        source: series the results belong to.
        sop_class_uid: what kind of object.
        modality: "RTSTRUCT", "RTDOSE", ...
        description: what the series is; the research banner is put in front.
        number: SeriesNumber.
    """
    dicom = pydicom()
    made = dicom.Dataset()
    made.file_meta = dicom.dataset.FileMetaDataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    for keyword in (*PATIENT, *STUDY):
        setattr(made, keyword, source.header.get(keyword) or "")
    for keyword in OPTIONAL:
        if text(source.header, keyword):
            setattr(made, keyword, source.header.get(keyword))
    made.StudyInstanceUID = text(source.header, "StudyInstanceUID")
    made.SOPClassUID, made.SOPInstanceUID = sop_class_uid, new_uid()
    made.SeriesInstanceUID, made.SeriesNumber, made.InstanceNumber = new_uid(), number, 1
    made.Modality, made.SeriesDescription = modality, series_description(description)
    made.InstanceCreationDate, made.InstanceCreationTime = today()
    made.OperatorsName = ""
    made.Manufacturer, made.ManufacturerModelName = MANUFACTURER, MANUFACTURER
    made.SoftwareVersions, made.DeviceSerialNumber = plausible.__version__, plausible.__version__
    made.FrameOfReferenceUID, made.PositionReferenceIndicator = source.frame_of_reference_uid, ""
    return made


def save(made: Any, path: Path) -> None:
    """Write an object, whole or not at all, without private elements.

    Raises:
        UnfitEnvironment: E903, it cannot be written.
    """
    dicom = pydicom()
    made.remove_private_tags()
    meta = made.file_meta
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.ImplementationClassUID = IMPLEMENTATION_UID
    meta.ImplementationVersionName = f"PLAUSIBLE_{plausible.__version__}"[:SHORT]
    if "TransferSyntaxUID" not in meta:
        meta.TransferSyntaxUID = dicom.uid.ExplicitVRLittleEndian
    with replacing(path) as temporary:
        dicom.dcmwrite(temporary, made, enforce_file_format=True)


def series_description(description: str) -> str:
    """Description of a series with the research banner, in the 64 characters there are."""
    return plain(f"{BANNER} {description}", LONG)


def purpose(description: str) -> str:
    """Text of several lines with the intended use in front, in the 1024 characters there are."""
    return plain(f"{INTENDED_USE[0].upper()}{INTENDED_USE[1:]}. {description}", TEXT)


def plain(words: str, length: int) -> str:
    """Text without what DICOM keeps for itself (backslash, control characters), cut to a length."""
    kept = "".join(letter if letter.isprintable() and letter != "\\" else " " for letter in words)
    return kept[:length].strip()


def today() -> tuple[str, str]:
    """Date and time of now, as DICOM writes them."""
    now = datetime.now()
    return now.strftime("%Y%m%d"), now.strftime("%H%M%S")


def sequence(items: Iterable[Any]) -> Any:
    """Return a sequence of items."""
    return pydicom().Sequence(list(items))


def item(**elements: Any) -> Any:
    """Return one item of a sequence from its elements by keyword."""
    made = pydicom().Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made
