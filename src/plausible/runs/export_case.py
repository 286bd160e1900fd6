"""What of an assessed case is exported: its mean probability, segmentation and maps, and what to say of them."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plausible.core import Classes, Geometry, InvalidInput, LabelMap, Problem, ScalarMap
from plausible.core.axes import axes_between
from plausible.io import read_labels, read_scalar_map
from plausible.io.results import PROBABILITY, PROBABILITY_MAP, SEGMENTATION
from plausible.report import CaseReport
from plausible.runs.apply_calibration import CALIBRATED_PROBABILITY
from plausible.runs.dose_tables import read_dose_result
from plausible.runs.pages import classes_of, read_case


@dataclass(frozen=True, slots=True, eq=False)
class ResultOfCase:
    """The results of one case on one grid.

    Attributes:
        mean: mean probability of the members, a frame per class; a share of votes if they are hard.
        bands: what bands are traced on: the mean, or the calibrated probability.
        segmentation: label rule on the mean probability.
        maps: all other maps.
        hard: members are label maps.
        calibrated: the probability of the bands was calibrated.
        members: what the members are together, e.g. "deep ensemble of 5".
    """

    subject: str
    folder: Path
    classes: Classes
    mean: ScalarMap
    bands: ScalarMap
    segmentation: LabelMap
    maps: tuple[ScalarMap, ...]
    hard: bool
    calibrated: bool
    n_members: int
    members: str

    @property
    def geometry(self) -> Geometry:
        """Grid of all of them."""
        return self.segmentation.geometry

    def mask(self, structure: str) -> np.ndarray:
        """Voxels of a structure: the label rule; regions that overlap by their own probability above one half."""
        if self.classes.exclusive:
            return self.segmentation.mask(structure)
        return np.asarray(self.mean.frame(structure) > 0.5)

    def on(self, wanted: Geometry) -> "ResultOfCase":
        """Return the results on the axes of another grid of the same voxels; it then counts as theirs.

        Raises:
            InvalidInput: E620, these are other voxels.
        """
        axes = axes_between(self.geometry, wanted)

        def turned(one: ScalarMap) -> ScalarMap:
            return replace(one, values=axes.turn(one.values), geometry=wanted)

        labels = replace(self.segmentation, values=axes.turn(self.segmentation.values), geometry=wanted)
        maps = tuple(turned(one) for one in self.maps)
        return replace(self, mean=turned(self.mean), bands=turned(self.bands), segmentation=labels, maps=maps)


def read_result(folder: Path, *, calibrated: bool = False) -> ResultOfCase:
    """Read the results of a case.

    Args:
        folder: the case's folder, as plausible assess wrote it.
        calibrated: trace bands on the calibrated probability instead of the mean of the members.

    Raises:
        InvalidInput: E305, a file is damaged or missing; E404, it has no calibrated probability; E201 or E202, a map
            lies on another grid than the segmentation.
    """
    report, classes = read_case(folder), classes_of(folder)
    values, geometry = read_labels(folder / SEGMENTATION)
    found = {one.quantity: read_scalar_map(folder / one.path) for one in report.maps if one.path != SEGMENTATION}
    dose = read_dose_result(folder)  # without it, maps of a dose are leftovers of a run that failed
    found |= {one.quantity: read_scalar_map(folder / one.path) for one in (dose.maps if dose else ())}
    mean = found.pop(PROBABILITY_MAP, None) or read_scalar_map(folder / PROBABILITY)
    for one in (mean, *found.values()):
        one.geometry.check_matches(geometry, this=one.name, that="the segmentation", subject=report.subject)
    if calibrated and CALIBRATED_PROBABILITY not in found:
        raise _not_calibrated(report)
    return ResultOfCase(
        subject=report.subject,
        folder=folder,
        classes=classes,
        mean=mean,
        bands=found[CALIBRATED_PROBABILITY] if calibrated else mean,
        segmentation=LabelMap(np.asarray(values), geometry, classes),
        maps=tuple(found.values()),
        hard=report.hard_members,
        calibrated=calibrated,
        n_members=max(len(report.members), 1),
        members=report.ensemble,
    )


def _not_calibrated(report: CaseReport) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E404",
            subject=report.subject,
            found=f"no map {CALIBRATED_PROBABILITY}",
            expected="a case assessed with a calibration of probabilities",
            fix="plausible assess --calibration calibration.json, or leave --calibrated out",
        )
    )
