"""What the user says about the members of a study: one record, the same flags for inspect, assess and evaluate."""

from dataclasses import dataclass, replace
from pathlib import Path

from plausible.core import Study
from plausible.io import read_study
from plausible.io.activation import Values
from plausible.io.dicom_files import accepted
from plausible.io.member_folders import Structures
from plausible.io.nifti_members import LastAxis
from plausible.io.study import StudyKeywords
from plausible.io.study_toml import Align


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyOptions:
    """Where the parts of a study lie, and what files alone do not say; study.toml can say all of it too.

    Attributes:
        images: folder of the images, CASE_0000.nii.gz, or a folder CASE with a DICOM series.
        references: folder of label maps, CASE.nii.gz, or RTSTRUCT or SEG, CASE.dcm or a folder CASE; for several raters
            NAME=FOLDER, given once per rater.
        values: what floating-point NIfTI files hold.
        last_axis: what a fourth axis of a NIfTI file counts.
        structures: whether structures in files of their own exclude each other.
        align: "names" reads members whose classes have another order by name.
        allow_missing: go on with the members that a case has.
        accept: of DICOM, what is refused otherwise: missing_slices (single ones), uneven_slices and tilted_gantry are
            resampled; other_frame says that somebody checked the coordinates. Give it several times for several.
        name: of the study, as pages show it; the folder's or study.toml's own by default.
    """

    images: Path | None = None
    references: tuple[str, ...] = ()
    values: Values | None = None
    last_axis: LastAxis | None = None
    structures: Structures | None = None
    align: Align | None = None
    allow_missing: bool = False
    accept: tuple[str, ...] = ()
    name: str | None = None

    def __post_init__(self) -> None:
        accepted(self.accept)

    def told(self) -> StudyKeywords:
        """Return the arguments of `read_study`."""
        return StudyKeywords(
            images=self.images,
            references=raters_of(self.references),
            values=self.values,
            last_axis=self.last_axis,
            structures=self.structures,
            align=self.align,
            allow_missing=self.allow_missing,
            accept=accepted(self.accept),
        )

    def study(self, members: Path) -> Study:
        """Find the study.

        Raises:
            InvalidInput: what `read_study` finds.
        """
        found = read_study(members, **self.told())
        return replace(found, name=self.name) if self.name else found


def raters_of(told: tuple[str, ...]) -> Path | dict[str, Path] | None:
    """Folder of the only reference, or the folder of each rater by name.

    Raises:
        ValueError: several folders without names, or a name twice.
    """
    pairs = [one.partition("=") for one in told]
    if not pairs:
        return None
    if len(pairs) == 1 and not pairs[0][1]:
        return Path(told[0])
    names = [name for name, sign, _ in pairs if sign]
    if len(names) < len(pairs) or len(set(names)) < len(names):
        raise ValueError("several references need a name each: --references rater_1=FOLDER --references rater_2=FOLDER")
    return {name: Path(folder) for name, _, folder in pairs}
