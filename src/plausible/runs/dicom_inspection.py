"""What `plausible inspect` found in a folder of DICOM objects, as a record and as text."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from plausible.core import DoseKind, Problem
from plausible.runs.inspection_text import told_problems, wrapped

LABEL = 12


@dataclass(frozen=True, slots=True)
class SeriesLine:
    """An image series, or the slices of one that form a volume.

    Attributes:
        shape: columns, rows.
        spacing_mm: along columns, rows and slices; None if the slices form no volume.
        plane: how slices lie, in words.
    """

    series_uid: str
    modality: str
    localizer: bool
    n_slices: int
    shape: tuple[int, int]
    spacing_mm: tuple[float, float, float] | None
    plane: str

    def told(self) -> str:
        """Say it in a line."""
        kind = f"{self.modality} localizer" if self.localizer else self.modality
        spacing = _mm(self.spacing_mm) if self.spacing_mm else "no volume (see below)"
        slices = _count(self.n_slices, "slice")
        return (
            f"{kind}, {slices} of {self.shape[0]}×{self.shape[1]}, {spacing}, {self.plane} · series {self.series_uid}"
        )


@dataclass(frozen=True, slots=True)
class RoiLine:
    """A structure of a structure set.

    Attributes:
        standard_name: as TG-263 calls it; None if that is not known.
        n_loops: closed loops; None if they could not be read.
        interpreted_type: what the file says it is, e.g. "ORGAN".
    """

    number: int
    name: str
    standard_name: str | None
    n_loops: int | None
    interpreted_type: str


@dataclass(frozen=True, slots=True)
class StructureLine:
    """A structure set.

    Attributes:
        drawn_on: series in this folder.
    """

    instance_uid: str
    drawn_on: tuple[str, ...]
    rois: tuple[RoiLine, ...]

    def told(self, images: Mapping[str, str]) -> str:
        """Say it in a line; images by what they are called here."""
        drawn = [roi.name for roi in self.rois if roi.n_loops]
        empty = [roi.name for roi in self.rois if roi.n_loops == 0]
        without = f"; without a volume: {', '.join(empty)}" if empty else ""
        rois = f"{_count(len(self.rois), 'ROI')}: {', '.join(drawn)}{without}"
        return f"{rois} · {_on(self.drawn_on, images)} · {self.instance_uid}"


@dataclass(frozen=True, slots=True)
class DoseLine:
    """A dose; what could not be read is None."""

    instance_uid: str
    summation: str
    plan_uids: tuple[str, ...]
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    maximum_gy: float | None = None
    kind: DoseKind | None = None
    method: str = ""

    def told(self) -> str:
        """Say it in a line."""
        what = f"{self.summation or 'no summation type'}"
        if self.shape and self.spacing_mm and self.maximum_gy is not None:
            grid = "×".join(map(str, self.shape))
            what += f", {self.kind}, {grid} voxels of {_mm(self.spacing_mm)}, maximum {self.maximum_gy:.4g} Gy"
        if "interpolated" in self.method:
            what += f" ({self.method})"
        return f"{what} · {self.instance_uid}"


@dataclass(frozen=True, slots=True)
class SegLine:
    """A DICOM SEG.

    Attributes:
        made_on: series in this folder.
    """

    instance_uid: str
    kind: str
    segments: tuple[str, ...]
    made_on: tuple[str, ...]

    def told(self, images: Mapping[str, str]) -> str:
        """Say it in a line; images by what they are called here."""
        segments = f"{_count(len(self.segments), 'segment')}: {', '.join(self.segments)}"
        return f"{self.kind}, {segments} · {_on(self.made_on, images)} · {self.instance_uid}"


@dataclass(frozen=True, slots=True)
class DicomGroup:
    """Objects of one patient in one frame of reference: they belong together."""

    frame_of_reference_uid: str
    series: tuple[SeriesLine, ...]
    structure_sets: tuple[StructureLine, ...]
    doses: tuple[DoseLine, ...]
    segmentations: tuple[SegLine, ...]
    n_plans: int

    def lines(self) -> Iterator[tuple[str, str]]:
        """What is in it: a label and a line each; images are numbered where there are several."""
        uids = list(dict.fromkeys(one.series_uid for one in self.series))
        images = {uid: "image" if len(uids) == 1 else f"image {n}" for n, uid in enumerate(uids, start=1)}
        yield from ((images[one.series_uid], one.told()) for one in self.series)
        yield from (("structures", one.told(images)) for one in self.structure_sets)
        yield from (("dose", one.told()) for one in self.doses)
        yield from (("SEG", one.told(images)) for one in self.segmentations)
        if self.n_plans:
            yield "plans", str(self.n_plans)


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomInspection:
    """What lies in a folder of DICOM objects and what is wrong with it.

    Attributes:
        name: of the folder, unless it may carry a person's.
        deep: whether pixels were read, or headers only.
        others: objects of other modalities, counted.
        problems: errors, warnings, notes; in this order.
    """

    name: str
    deep: bool
    n_objects: int
    groups: tuple[DicomGroup, ...]
    others: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return {
            "name": self.name,
            "kind": "dicom",
            "recognised": "DICOM objects",
            "deep": self.deep,
            "n_objects": self.n_objects,
            "groups": [asdict(group) for group in self.groups],
            "others": dict(self.others),
            "problems": [problem.to_dict() for problem in self.problems],
        }

    def text(self, width: int = 100) -> str:
        """Return everything as plain text for a terminal of this width."""
        read = "pixels read" if self.deep else "headers, contours and doses read; --deep reads all pixels too"
        title = f"{self.name}: {_count(self.n_objects, 'DICOM object')} ({read})"
        lines = wrapped(title, "", width=width)
        for group in self.groups:
            lines += ["", *wrapped(f"frame of reference {group.frame_of_reference_uid}", "", width=width)]
            for label, told in group.lines():
                lines += wrapped(told, f"  {label:{LABEL}}", width=width)
        if self.others:
            counted = ", ".join(f"{n} {modality}" for modality, n in self.others.items())
            lines += ["", *wrapped(counted, f"{'not read':{LABEL + 2}}", width=width)]
        return "\n".join([*lines, "", *told_problems(self.problems, width=width)])


def _mm(spacing: tuple[float, float, float]) -> str:
    return "×".join(f"{value:.4g}" for value in spacing) + " mm"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _on(series_uids: tuple[str, ...], images: Mapping[str, str]) -> str:
    named = [images[uid] for uid in series_uids if uid in images]
    return f"on {', '.join(named)}" if named else "its images are not here"
