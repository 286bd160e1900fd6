"""What is told to a run of the closed loop beside beams and search, which have records of their own."""

from dataclasses import dataclass
from typing import Literal

from plausible.core import InvalidInput, Problem
from plausible.dose.metric_text import parse_metric
from plausible.dose.plan import Asked, PlanGoal, usual_metrics

Engine = Literal["analytic", "pyradplan"]
Density = Literal["ct", "water"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplanSettings:
    """How dose is computed and what is read of it.

    Attributes:
        engine: analytic is a toy model that needs nothing; pyradplan a photon pencil beam (extra plan).
        dose_mm: side of the dose grid's cubes.
        density: ct takes 1 + HU / 1000 for the toy model's depths, water fills the body with water.
        metric: what is read, STRUCTURE:METRIC, e.g. "PTV_70:D98%[Gy]"; one per goal without it.
    """

    engine: Engine = "analytic"
    dose_mm: float = 5.0
    density: Density = "ct"
    metric: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.dose_mm > 0:
            raise ValueError(f"dose_mm must be above 0, got {self.dose_mm}")
        for told in self.metric:
            structure, sign, text = told.partition(":")
            if not (structure and sign):
                raise ValueError(f"metric must be STRUCTURE:METRIC, e.g. PTV_70:D98%[Gy], got {told!r}")
            parse_metric(text)

    def asked(self, goals: tuple[PlanGoal, ...], structures: list[str]) -> tuple[Asked, ...]:
        """Metrics to read of the structures that are there.

        Raises:
            InvalidInput: E653, a structure that the case does not have.
        """
        if not self.metric:
            return usual_metrics(goals, structures)
        pairs = [told.partition(":") for told in self.metric]
        unknown = [name for name, _, _ in pairs if name not in structures]
        if unknown:
            raise InvalidInput(
                Problem(
                    code="E653",
                    found=f"--metric of {', '.join(unknown)}",
                    expected=f"structures of the case: {', '.join(structures)}",
                    fix="give --metric STRUCTURE:METRIC of structures that every case has, or leave it out",
                )
            )
        return tuple(Asked(name, parse_metric(text)) for name, _, text in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseSettings:
    """Plausible contours made from one: each surface is moved by a smooth Gaussian field, independently by structure.

    Attributes:
        noise_mm: SD of the surface's displacement; 0 takes the case's own members in place of noise.
        noise_correlation_mm: distance along the surface at which the correlation has fallen to exp(-1/2).
        draws: plausible contourings made of a reference by noise.
        noise_seed: of the fields.
    """

    noise_mm: float = 0.0
    noise_correlation_mm: float = 20.0
    draws: int = 12
    noise_seed: int = 0

    def __post_init__(self) -> None:
        if not (self.noise_mm >= 0 and self.noise_correlation_mm > 0 and self.draws >= 1):
            raise ValueError(
                "noise_mm must be at least 0, noise_correlation_mm above 0 and draws at least 1, got "
                f"{self.noise_mm}, {self.noise_correlation_mm} and {self.draws}"
            )
