"""Settings of a comparison of methods, at once flags of the command line."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSettings:
    """How the results of several methods are compared.

    Attributes:
        patients: with --compare, a table with the columns subject and patient, where a patient has several cases; they
            are drawn together. Without it each case is a patient.
        confidence: with --compare, what orders the cases of a risk-coverage curve, as MEASURE or
            MEASURE:REGION:REDUCTION (predictive_entropy:whole_image:mean).
        measures: with --compare, only this measure, chosen beforehand, so that p is adjusted for fewer lines; give it
            several times. area_under_risk_coverage is one too.
    """

    patients: Path | None = None
    confidence: str = "mean_pairwise_dice"
    measures: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.confidence.count(":") not in (0, 2):
            raise ValueError(f"--confidence is MEASURE or MEASURE:REGION:REDUCTION, got {self.confidence}")
