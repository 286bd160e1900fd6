"""The demonstration: a bundled deep ensemble predicts bundled images, and everything is made of them."""

import json
import shutil
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from plausible.core import Study
from plausible.io import read_study
from plausible.io.atomic import replacing
from plausible.runs.settings import AssessSettings, EvaluateSettings

DATA = "demo_data"
TOLERANCE_MM = 1.0
"""One voxel of the demonstration's images."""


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the parts of a demonstration lie."""

    folder: Path

    @property
    def images(self) -> Path:
        """Folder of the images."""
        return self.folder / "data" / "imagesTs"

    @property
    def references(self) -> Path:
        """Folder of the label maps."""
        return self.folder / "data" / "labelsTs"

    @property
    def model(self) -> Path:
        """Folder of the deep ensemble."""
        return self.folder / "data" / "model"

    @property
    def members(self) -> Path:
        """Folder that the members are predicted to."""
        return self.folder / "members"

    @property
    def results(self) -> Path:
        """Folder of maps, tables and pages."""
        return self.folder / "results"

    @property
    def about(self) -> dict[str, Any]:
        """What the bundled files are: cases, limit of agreement, licence."""
        content: dict[str, Any] = json.loads((self.folder / "data" / "demo.json").read_text(encoding="utf-8"))
        return content

    @property
    def settings(self) -> AssessSettings:
        """How the cases are assessed; the limit comes from validation cases, see demo.json."""
        return AssessSettings(review_below=float(self.about["review_below"]))

    @property
    def scoring(self) -> EvaluateSettings:
        """How the cases are scored."""
        return EvaluateSettings(tolerance_mm=TOLERANCE_MM)

    def study(self) -> Study:
        """Members, images and references as a study."""
        found = read_study(self.members, images=self.images, references=self.references)
        return replace(found, name="Hippocampus demonstration")


def unpack_demo(folder: Path) -> Demo:
    """Copy the bundled images, label maps and model beside the results, so that all verbs can be tried on them."""
    target = folder / "data"
    if not (target / "demo.json").is_file():
        with as_file(files("plausible") / DATA) as bundled, replacing(target) as temporary:
            shutil.copytree(bundled, temporary)
    return Demo(folder)
