"""Settings of a calibration: what is to be promised, and how strictly."""

import re
from dataclasses import dataclass
from typing import Literal

ALIASES = {"hd95": "hausdorff_distance_95", "nsd": "normalized_surface_dice"}
RULE = re.compile(r"^\s*(?P<measure>\w+)\s*[<>]\s*(?P<limit>[0-9.eE+-]+)\s*$")

Tails = Literal["separate", "shared"]
Volume = Literal["plain", "normalized", "quantiles"]
Absent = Literal["exclude", "covered", "missed"]
Probabilities = Literal["none", "temperature", "vector", "dirichlet"]


@dataclass(frozen=True, slots=True)
class FailureRule:
    """When a case fails: a score against the reference beyond a limit, on the side that is worse."""

    measure: str
    limit: float

    @classmethod
    def parse(cls, text: str) -> "FailureRule":
        """Read a rule such as "dice<0.8" or "hd95>5".

        Raises:
            ValueError: it is not a rule.
        """
        found = RULE.match(text)
        try:
            if found:
                return cls(ALIASES.get(found["measure"], found["measure"]), float(found["limit"]))
        except ValueError:
            pass
        raise ValueError(f"--failure {text!r} is no rule; write for instance 'dice<0.8' or 'hd95>5'")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateSettings:
    """What is to be promised for new patients.

    Attributes:
        population: which patients could have been drawn in the place of these, in words: site, scanner, indication.
        alpha: share of new patients for whom an interval or margin may fail; of accepted cases that may fail.
        delta: probability, over the draw of the calibration patients, that the promise of a failure flag is wrong.
        missed: largest share of the true structure that the voxel set may miss, on average.
        margin_share: share of the true structure that the margin must hold.
        failure: when a case fails, e.g. "dice<0.8" or "hd95>5"; gives a failure flag per structure. Quote it.
        score: row that ranks cases for the failure flag, by its measure.
        tails: separate gives each end of a volume interval its own distance, shared one for both.
        volume: plain intervals of one width, normalized by the members' spread, or quantiles of the members.
        spread_floor_ml: smallest spread of the members' volumes that is believed (normalized only).
        absent: what a patient without the structure counts as.
        lamp_alpha: probability of a false alarm of the exchangeability lamp and of the novelty score.
        probabilities: post-hoc calibration of the mean probability; assess then writes calibrated_probability.nii.gz
            too. Sets, margins and flags keep to the mean probability itself.
        band_edge_mm: distance to the predicted boundary where one band of that calibration ends and the next begins;
            give it several times.
        probability_voxels: voxels of a case that it is fitted on, drawn by distance to a boundary.
        seed: of these draws.
    """

    population: str = ""
    alpha: float = 0.1
    delta: float = 0.1
    missed: float = 0.1
    margin_share: float = 0.95
    failure: tuple[str, ...] = ()
    score: str = "mean_pairwise_dice"
    tails: Tails = "separate"
    volume: Volume = "plain"
    spread_floor_ml: float = 0.1
    absent: Absent = "exclude"
    lamp_alpha: float = 0.05
    probabilities: Probabilities = "none"
    band_edge_mm: tuple[float, ...] = ()
    probability_voxels: int = 10_000
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.population.strip():
            raise ValueError('say for which patients: --population "site A, 3 T MR, first treatment"')
        for name in ("alpha", "delta", "missed", "margin_share", "lamp_alpha"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if any(b <= a for a, b in zip((0.0, *self.band_edge_mm), self.band_edge_mm, strict=False)):
            raise ValueError(f"band_edge_mm must be above 0 and ascend, got {self.band_edge_mm}")
        if self.probability_voxels < 4:
            raise ValueError(f"probability_voxels must be at least 4, got {self.probability_voxels}")
        _ = self.failures

    @property
    def failures(self) -> tuple[FailureRule, ...]:
        """Rules that say when a case fails.

        Raises:
            ValueError: one that cannot be read.
        """
        return tuple(FailureRule.parse(text) for text in self.failure)
