"""The dose phantom on disk: members, image, dose and constraints, so that every verb of the dose can be tried on it."""

from dataclasses import dataclass
from pathlib import Path

from plausible.core import Study
from plausible.io import read_study, write_image
from plausible.io.atomic import write_text
from plausible.io.store import write_member, write_members_json
from plausible.report.dose_model import CaseDose
from plausible.simulate import DosePhantom, dose_phantom, probability_mean_dose_above
from plausible.simulate.dose_phantom import CENTRE_GY

MEAN_LIMIT_GY = CENTRE_GY + 4
"""Limit of the cylinder's mean dose; the true probability of exceeding it is 9.12 %."""

CONSTRAINTS = f"""# Limits of a made-up phantom, not of a patient.
name = "phantom"
note = "Limits of a made-up phantom whose true probabilities of violation are known."

[[constraint]]
structure = "Cylinder"
metric = "Mean[Gy]"
operator = "<="
limit = {MEAN_LIMIT_GY:g}
source = "made up; true probability of violation {probability_mean_dose_above(MEAN_LIMIT_GY):.4f}"

[[constraint]]
structure = "Cylinder"
metric = "D2%[Gy]"
operator = "<="
limit = 60
source = "made up"

[[constraint]]
structure = "Ball"
metric = "Mean[Gy]"
operator = "<="
limit = 45
source = "made up; the ball's mean dose is 40 Gy in every member"

[[constraint]]
structure = "Ball"
metric = "D2%[Gy]"
operator = "<="
limit = 48
source = "made up"
"""


@dataclass(frozen=True, slots=True)
class PhantomFiles:
    """Where the parts of the phantom lie."""

    folder: Path

    @property
    def members(self) -> Path:
        """Store of the plausible contours."""
        return self.folder / "members"

    @property
    def images(self) -> Path:
        """Folder of the image."""
        return self.folder / "images"

    @property
    def doses(self) -> Path:
        """Folder of the dose."""
        return self.folder / "doses"

    @property
    def constraints(self) -> Path:
        """Limits, as a file for --constraints."""
        return self.folder / "constraints.toml"

    @property
    def results(self) -> Path:
        """Folder of what is made of them."""
        return self.folder / "results"

    def study(self) -> Study:
        """Members and image as a study."""
        return read_study(self.members, images=self.images)


def write_phantom(folder: Path, *, n_members: int = 40, seed: int = 0) -> PhantomFiles:
    """Write the phantom; what is there already is written again, with the same bytes for the same seed."""
    found, files = dose_phantom(n_members=n_members, seed=seed), PhantomFiles(folder)
    for each in (files.images, files.doses, files.members):
        each.mkdir(parents=True, exist_ok=True)
    _write_members(found, files)
    subject = found.members.subject
    write_image(files.images / f"{subject}_0000.nii.gz", found.image.values[0], found.image.geometry)
    write_image(files.doses / f"{subject}.nii.gz", found.dose.dose_gy, found.dose.geometry)
    write_text(files.constraints, CONSTRAINTS)
    return files


def _write_members(found: DosePhantom, files: PhantomFiles) -> None:
    for member in found.members:
        write_member(files.members, member, subject=found.members.subject)
    write_members_json(files.members, found.members.infos, classes=found.members.classes)


def headline(found: CaseDose) -> str:
    """Say what the members of the phantom give beside what is true."""
    (cylinder,) = (one for one in found.structures if one.name == "Cylinder")
    risk = next(one for one in cylinder.constraints if one.metric == "Mean[Gy]")
    true = probability_mean_dose_above(MEAN_LIMIT_GY)
    share = "-" if risk.probability is None else f"{100 * risk.probability:.1f} %"
    return (
        f"P(mean dose > {MEAN_LIMIT_GY:g} Gy) {share} of {risk.n} members "
        f"[{100 * (risk.low or 0):.1f}, {100 * (risk.high or 0):.1f}], true {100 * true:.2f} %"
    )
