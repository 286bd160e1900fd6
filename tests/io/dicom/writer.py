"""Small DICOM objects whose every value says where it is: edit an attribute, save, and see what the reader says.

Values inside the body are `field` of the world position (DICOM's LPS, mm), so a reader that misplaces a voxel by half a
millimetre is seen. Rows, columns and slices differ in number and in spacing.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

ROWS, COLUMNS, SLICES = 14, 20, 12
SPACING = (1.5, 1.0)
"""Between rows, between columns (mm)."""
STEP = 2.5
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
PRONE = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
DECUBITUS = (0.0, 1.0, 0.0, -1.0, 0.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
FEET_FIRST = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
ORIGIN = (-12.0, 7.0, -31.0)
ROOT = "1.2.826.0.1.3680043.8.498.7"
STUDY, SERIES, FRAME = f"{ROOT}.1", f"{ROOT}.2", f"{ROOT}.3"
STRUCTURES, DOSE, PLAN = f"{ROOT}.5", f"{ROOT}.6", f"{ROOT}.7"
CT, MR, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.2.1"
AIR, INTERCEPT = -1000, -1024
SECRET = "Doe^Jane"
"""Name and number of the patient in every object: no message may hold it."""


def oblique() -> tuple[float, ...]:
    """Direction cosines that no axis is parallel to."""
    a, b = np.deg2rad(25), np.deg2rad(-15)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    lean = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    axes = turn @ lean
    return tuple(float(v) for v in (*axes[:, 0], *axes[:, 1]))


def field(points: np.ndarray) -> np.ndarray:
    """Value in HU at a place (LPS, mm)."""
    return np.asarray(points @ np.array([2.0, 3.0, 5.0]) + 40)


def normal_of(orientation: Sequence[float]) -> np.ndarray:
    return np.cross(orientation[:3], orientation[3:])


def positions(orientation: Sequence[float] = AXIAL, *, at_mm: Sequence[float] | None = None) -> list[np.ndarray]:
    """First pixel of each slice."""
    along = STEP * np.arange(SLICES) if at_mm is None else np.asarray(at_mm)
    return [np.array(ORIGIN) + a * normal_of(orientation) for a in along]


def plane_values(origin: np.ndarray, orientation: Sequence[float], spacing: Sequence[float] = SPACING) -> np.ndarray:
    """Values of a plane in HU: the field inside, a border of air."""
    rows, columns = np.meshgrid(np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    points = origin + columns[..., None] * spacing[1] * row + rows[..., None] * spacing[0] * column
    values = np.full((ROWS, COLUMNS), float(AIR))
    values[2:-2, 2:-2] = field(points)[2:-2, 2:-2]
    return values


def common(sop_class: str, instance: str, modality: str) -> Dataset:
    """What every object has: identifiers, and a patient."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = sop_class, instance
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = sop_class, instance, modality
    ds.StudyInstanceUID, ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = STUDY, FRAME, ""
    ds.SeriesInstanceUID = SERIES if modality in {"CT", "MR"} else f"{instance}.1"
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = SECRET, SECRET, "19600102", "F"
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber = "20200102", "101112", "1", ""
    ds.ReferringPhysicianName, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "", "writer", 1, 1
    return ds


def pixels(ds: Dataset, stored: np.ndarray, *, bits: int = 16, signed: bool = False) -> None:
    """Put stored values into an object: rows and columns, or frames before them."""
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, int(signed)
    ds["PixelData"] = _pixel_element(stored.astype(f"<{'i' if signed else 'u'}{bits // 8}").tobytes(), bits)


def _pixel_element(data: bytes, bits: int):
    from pydicom.dataelem import DataElement

    return DataElement(0x7FE00010, "OW" if bits > 8 else "OB", data)


def series(
    orientation: Sequence[float] = AXIAL,
    *,
    at_mm: Sequence[float] | None = None,
    sop_class: str = CT,
    spacing: Sequence[float] = SPACING,
) -> list[Dataset]:
    """A classic series, slices from the first position on; HU are stored plus 1024."""
    slices = []
    for n, origin in enumerate(positions(orientation, at_mm=at_mm)):
        ds = common(sop_class, f"{SERIES}.{n + 1}", "CT" if sop_class == CT else "MR")
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber, ds.SliceThickness = n + 1, STEP
        ds.PatientPosition = "HFS"
        ds.ImagePositionPatient = [round(float(v), 6) for v in origin]
        ds.ImageOrientationPatient = [round(float(v), 12) for v in orientation]
        ds.PixelSpacing = list(spacing)
        ds.RescaleSlope, ds.RescaleIntercept = 1, INTERCEPT
        pixels(ds, np.round(plane_values(origin, orientation, spacing)) - INTERCEPT)
        slices.append(ds)
    return slices


def tilted(degrees: float) -> list[Dataset]:
    """An axial series of a tilted gantry: each slice starts further down, with the values of its place."""
    slices = series()
    for n, ds in enumerate(slices):
        origin = np.array(ds.ImagePositionPatient, dtype=float)
        origin[1] += n * STEP * np.tan(np.deg2rad(degrees))
        ds.ImagePositionPatient = [round(float(v), 6) for v in origin]
        pixels(ds, np.round(plane_values(origin, AXIAL)) - INTERCEPT)
    return slices


def enhanced(orientation: Sequence[float] = AXIAL, *, shuffled: bool = True) -> Dataset:
    """The same volume as one enhanced CT; frames lie in no order, slopes differ from frame to frame."""
    ds = common(ENHANCED_CT, f"{SERIES}.100", "CT")
    ds.ImageType, ds.NumberOfFrames = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], SLICES
    measures, turned = Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = list(SPACING), STEP
    turned.ImageOrientationPatient = [round(float(v), 12) for v in orientation]
    shared = Dataset()
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = Items([measures]), Items([turned])
    ds.SharedFunctionalGroupsSequence = Items([shared])
    order = np.random.default_rng(3).permutation(SLICES) if shuffled else np.arange(SLICES)
    frames, groups = [], []
    for n in order:
        origin, slope = positions(orientation)[n], 1 + int(n) % 2
        place, scale, group = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient = [round(float(v), 6) for v in origin]
        scale.RescaleSlope, scale.RescaleIntercept, scale.RescaleType = 1 / slope, INTERCEPT, "HU"
        group.PlanePositionSequence, group.PixelValueTransformationSequence = Items([place]), Items([scale])
        groups.append(group)
        frames.append((np.round(plane_values(origin, orientation)) - INTERCEPT) * slope)
    ds.PerFrameFunctionalGroupsSequence = Items(groups)
    pixels(ds, np.stack(frames))
    return ds


def circle(centre: Sequence[float], radius: float, n_points: int = 40, *, backwards: bool = False) -> np.ndarray:
    """Points of a loop in an axial plane (LPS, mm)."""
    angles = np.linspace(0, 2 * np.pi, n_points, endpoint=False) * (-1 if backwards else 1)
    x, y, z = centre
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles), np.full(n_points, z)], axis=1)


def loop(points: np.ndarray, *, kind: str = "CLOSED_PLANAR", image: str = "") -> Dataset:
    """One item of a contour sequence."""
    ds = Dataset()
    if image:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = CT, image
        ds.ContourImageSequence = Items([reference])
    ds.ContourGeometricType, ds.NumberOfContourPoints = kind, len(points)
    ds.ContourData = [round(float(v), 4) for v in np.asarray(points).ravel()]
    return ds


def centre() -> tuple[float, float]:
    """Middle of the image in the plane (LPS, mm), for axial slices."""
    return ORIGIN[0] + SPACING[1] * (COLUMNS - 1) / 2, ORIGIN[1] + SPACING[0] * (ROWS - 1) / 2


def cylinder(radius: float = 4.0, *, slices: Sequence[int] = range(3, 9), named: bool = True) -> list[Dataset]:
    """Loops of a cylinder on some slices."""
    x, y = centre()
    return [
        loop(circle((x, y, ORIGIN[2] + n * STEP), radius), image=f"{SERIES}.{n + 1}" if named else "") for n in slices
    ]


def rtstruct(rois: Sequence[tuple[int, str, Sequence[Dataset] | None]]) -> Dataset:
    """A structure set: number, name and loops of each ROI; None writes no contour item for it at all."""
    ds = common("1.2.840.10008.5.1.4.1.1.481.3", STRUCTURES, "RTSTRUCT")
    ds.StructureSetLabel, ds.StructureSetDate, ds.StructureSetTime = "test", "20200102", "101112"
    images, referenced, study, frame = [], Dataset(), Dataset(), Dataset()
    for n in range(SLICES):
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = CT, f"{SERIES}.{n + 1}"
        images.append(image)
    referenced.SeriesInstanceUID, referenced.ContourImageSequence = SERIES, Items(images)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", STUDY
    study.RTReferencedSeriesSequence = Items([referenced])
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = FRAME, Items([study])
    ds.ReferencedFrameOfReferenceSequence = Items([frame])
    ds.StructureSetROISequence = Items([_roi(number, name) for number, name, _ in rois])
    drawn = [(number, loops) for number, _, loops in rois if loops is not None]
    ds.ROIContourSequence = Items([_contours(number, loops) for number, loops in drawn])
    ds.RTROIObservationsSequence = Items([_observation(number) for number, _, _ in rois])
    return ds


def _roi(number: int, name: str) -> Dataset:
    ds = Dataset()
    ds.ROINumber, ds.ReferencedFrameOfReferenceUID, ds.ROIName, ds.ROIGenerationAlgorithm = number, FRAME, name, ""
    return ds


def _contours(number: int, loops: Sequence[Dataset]) -> Dataset:
    ds = Dataset()
    ds.ReferencedROINumber, ds.ROIDisplayColor, ds.ContourSequence = number, [10, 20, 30], Items(loops)
    return ds


def _observation(number: int) -> Dataset:
    ds = Dataset()
    ds.ObservationNumber, ds.ReferencedROINumber, ds.RTROIInterpretedType = number, number, "ORGAN"
    ds.ROIInterpreter = ""
    return ds


def dose_gy(points: np.ndarray) -> np.ndarray:
    """Dose at a place (LPS, mm): linear, 10 to 60 Gy or so around the origin."""
    return np.asarray(points @ np.array([0.3, -0.2, 0.25]) + 30)


def rtdose(
    offsets: Sequence[float] = tuple(STEP * n for n in range(SLICES)),
    *,
    orientation: Sequence[float] = AXIAL,
    scaling: float = 1e-4,
    bits: int = 32,
    origin: Sequence[float] = ORIGIN,
    instance: str = DOSE,
    at_mm: Sequence[float] | None = None,
) -> Dataset:
    """A PLAN dose with the linear dose at its frames.

    Args:
        offsets: GridFrameOffsetVector, as it is written.
        at_mm: where the frames lie along the normal from the origin; the offsets, if they are relative.
    """
    ds = common("1.2.840.10008.5.1.4.1.1.481.2", instance, "RTDOSE")
    along = np.asarray(offsets if at_mm is None else at_mm, dtype=float)
    row, column, normal = np.array(orientation[:3]), np.array(orientation[3:]), normal_of(orientation)
    k, j, i = np.meshgrid(along, np.arange(ROWS), np.arange(COLUMNS), indexing="ij")
    points = (
        np.array(origin) + k[..., None] * normal + j[..., None] * SPACING[0] * column + i[..., None] * SPACING[1] * row
    )
    ds.ImagePositionPatient = [float(v) for v in origin]
    ds.ImageOrientationPatient = [round(float(v), 12) for v in orientation]
    ds.PixelSpacing, ds.NumberOfFrames = list(SPACING), len(along)
    ds.FrameIncrementPointer, ds.GridFrameOffsetVector = 0x3004000C, [float(v) for v in offsets]
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType, ds.DoseGridScaling = "GY", "PHYSICAL", "PLAN", scaling
    ds.ReferencedRTPlanSequence = Items([_reference("1.2.840.10008.5.1.4.1.1.481.5", PLAN)])
    pixels(ds, np.round(dose_gy(points) / scaling), bits=bits)
    return ds


def beam_dose(beam: int, share: float) -> Dataset:
    """A BEAM dose: a share of the linear dose."""
    ds = rtdose(instance=f"{DOSE}.{beam}")
    ds.DoseSummationType, ds.DoseGridScaling = "BEAM", 1e-4 * share
    number, group = Dataset(), Dataset()
    number.ReferencedBeamNumber, group.ReferencedFractionGroupNumber = beam, 1
    group.ReferencedBeamSequence = Items([number])
    ds.ReferencedRTPlanSequence[0].ReferencedFractionGroupSequence = Items([group])
    return ds


def rtplan(beams: Sequence[int] = (1, 2)) -> Dataset:
    """A plan of some beams, and one more that only sets the patient up."""
    ds = common("1.2.840.10008.5.1.4.1.1.481.5", PLAN, "RTPLAN")
    ds.ReferencedStructureSetSequence = Items([_reference("1.2.840.10008.5.1.4.1.1.481.3", STRUCTURES)])
    numbers, described = [], []
    for beam in (*beams, 99):
        number, one = Dataset(), Dataset()
        number.ReferencedBeamNumber = one.BeamNumber = beam
        one.TreatmentDeliveryType = "SETUP" if beam == 99 else "TREATMENT"
        numbers.append(number)
        described.append(one)
    group = Dataset()
    group.FractionGroupNumber, group.NumberOfFractionsPlanned, group.ReferencedBeamSequence = 1, 30, Items(numbers)
    ds.FractionGroupSequence, ds.BeamSequence = Items([group]), Items(described)
    return ds


def _reference(sop_class: str, instance: str) -> Dataset:
    ds = Dataset()
    ds.ReferencedSOPClassUID, ds.ReferencedSOPInstanceUID = sop_class, instance
    return ds


def save(folder: Path, *objects: Dataset | Sequence[Dataset], stem: str = "") -> list[Path]:
    """Write objects; their file names say nothing of their order."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = [ds for one in objects for ds in ([one] if isinstance(one, Dataset) else one)]
    numbers = np.random.default_rng(5).permutation(len(flat))
    paths = []
    for ds, number in zip(flat, numbers, strict=True):
        path = folder / f"{stem or ds.Modality}_{number:03d}.dcm"
        ds.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
