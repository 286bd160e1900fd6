"""calibration.json: the records of a calibration, found by what they are about, and applied to a case."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from plausible.calibrate import (
    Calibration,
    ExchangeabilityLamp,
    FailureFlag,
    IntervalCalibration,
    Margin,
    Novelty,
    ProbabilityCalibrator,
    SetThreshold,
)
from plausible.io.atomic import write_bytes, write_json
from plausible.runs.layout import make_folder, read_record

FORMAT = "plausible calibration 1"
CALIBRATION_JSON = "calibration.json"

R = TypeVar("R", bound=Calibration)


@dataclass(frozen=True, slots=True, eq=False)
class Calibrations:
    """Everything that a calibration promises.

    Attributes:
        records: one per method and structure.
        refused: what was asked for and cannot be promised, and why.
        provenance: what made it.
        probabilities: post-hoc calibration of the mean probability, which promises nothing; None if there is none.
        sha256: of the file it was read from; empty if it was just made.
    """

    records: tuple[Calibration, ...]
    refused: tuple[Mapping[str, Any], ...]
    provenance: Mapping[str, Any]
    probabilities: ProbabilityCalibrator | None = None
    sha256: str = ""

    def of(self, kind: type[R], structure: str = "") -> R | None:
        """Return the record of a kind for a structure; None if there is none."""
        for one in self.records:
            if isinstance(one, kind) and one.guarantee.structure == structure:
                return one
        return None

    def all_about(self, kind: type[R], structure: str, *, measure: str) -> list[R]:
        """Return the records of a kind about one measure of a structure."""
        found = [one for one in self.records if isinstance(one, kind) and one.guarantee.structure == structure]
        return [one for one in found if getattr(one, "measure", "") == measure]

    def about(self, kind: type[R], structure: str, *, measure: str) -> R | None:
        """Return the first of them; None if there is none."""
        return next(iter(self.all_about(kind, structure, measure=measure)), None)

    def interval(self, structure: str) -> IntervalCalibration | None:
        """Interval of the volume."""
        return self.of(IntervalCalibration, structure)

    def flags(self, structure: str) -> list[FailureFlag]:
        """Failure flags, one per rule."""
        found = [one for one in self.records if isinstance(one, FailureFlag)]
        return [one for one in found if one.guarantee.structure == structure]

    def margin(self, structure: str) -> Margin | None:
        """Margin in mm."""
        return self.of(Margin, structure)

    def set_threshold(self, structure: str) -> SetThreshold | None:
        """Threshold of the voxel set."""
        return self.of(SetThreshold, structure)

    def novelty(self, structure: str) -> Novelty | None:
        """How unlike the calibration patients."""
        return self.of(Novelty, structure)

    @property
    def lamp(self) -> ExchangeabilityLamp | None:
        """Lamp over the agreement of whole subjects."""
        return self.of(ExchangeabilityLamp)

    @property
    def statements(self) -> list[str]:
        """Every promise in one sentence, and what post-hoc calibration did."""
        promises = [one.guarantee.statement for one in self.records]
        return [*promises, *([f"{self.probabilities.statement}."] if self.probabilities else [])]

    @property
    def summary(self) -> dict[str, Any]:
        """What pages say of the calibration."""
        first = self.records[0].guarantee
        return {
            "on": f"{first.n_patients} patients ({first.population})",
            "date": first.date,
            "alpha": first.alpha,
            "record": self.sha256[:12],
        }

    def to_dict(self) -> dict[str, Any]:
        """Return the content of calibration.json."""
        return {
            "format": FORMAT,
            "statements": self.statements,
            "records": [one.to_dict() for one in self.records],
            "refused": [dict(one) for one in self.refused],
            "probabilities": self.probabilities.to_dict() if self.probabilities else None,
            "provenance": dict(self.provenance),
        }


def write_calibration(path: Path, calibrations: Calibrations) -> None:
    """Write calibration.json."""
    write_json(path, calibrations.to_dict())


def read_calibration(path: Path) -> Calibrations:
    """Read calibration.json.

    Raises:
        InvalidInput: E404, it is not there, or not what `plausible calibrate` writes.
    """

    def parse(content: dict[str, Any], sha256: str) -> Calibrations:
        records = tuple(Calibration.from_dict(one) for one in content["records"])
        found = content.get("probabilities")
        calibrator = ProbabilityCalibrator.from_dict(found) if found else None
        return Calibrations(records, tuple(content["refused"]), content["provenance"], calibrator, sha256)

    return read_record(
        path,
        parse,
        form=FORMAT,
        verb="calibrate",
        fix="plausible calibrate -i MEMBERS --references REF -o calibration.json --population WHO",
    )


def adopt_calibration(path: Path | None, output: Path, *, name: str = CALIBRATION_JSON) -> Calibrations | None:
    """Read a calibration and keep a copy with the results; without one, an old copy goes.

    Raises:
        InvalidInput: E404, it cannot be read.
        UnfitEnvironment: E903, the folder of the results cannot be made.
    """
    make_folder(output)
    copy = output / name
    if path is None:
        copy.unlink(missing_ok=True)
        return None
    found = read_calibration(path)
    if path.resolve() != copy.resolve():
        write_bytes(copy, path.read_bytes())
    return found
