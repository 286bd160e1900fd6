"""Settings of the dose: at once flags of the command line, defaults in Python and provenance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from plausible.dose import DoseMetric, RiskSettings

DEFAULT_METRICS = ("Mean[Gy]", "D2%[Gy]", "D98%[Gy]")


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseSettings:
    """How the dose to the structures of a case is judged.

    Attributes:
        dose_metrics: metric of every structure besides those of its constraints, such as D95%[Gy], V20Gy[%] or
            Mean[Gy]; give it several times.
        dose_interpolation: dose between the voxels of its grid: linear, as planning systems do, or cubic.
        pass_up_to: largest probability of violation that is called a pass.
        fail_from: smallest probability of violation that is called a fail.
        risk_interval: interval of the probability of violation: jeffreys or wilson.
        risk_level: level of that interval.
        strict_verdicts: call undecided, too, what the members are too few to be sure of.
    """

    dose_metrics: tuple[str, ...] = DEFAULT_METRICS
    dose_interpolation: Literal["linear", "cubic"] = "linear"
    pass_up_to: float = 0.05
    fail_from: float = 0.95
    risk_interval: Literal["jeffreys", "wilson"] = "jeffreys"
    risk_level: float = 0.95
    strict_verdicts: bool = False

    def __post_init__(self) -> None:
        _ = self.risk  # refuses limits that cross
        if self.dose_metrics != DEFAULT_METRICS:
            _ = self.metrics  # refuses what is no metric before any case is read

    @property
    def metrics(self) -> tuple["DoseMetric", ...]:
        """Metrics of every structure.

        Raises:
            InvalidInput: E703, a text that is no metric.
        """
        from plausible.dose import parse_metric

        return tuple(parse_metric(text) for text in self.dose_metrics)

    @property
    def risk(self) -> "RiskSettings":
        """How constraints are judged.

        Raises:
            ValueError: limits that cross, or no level.
        """
        from plausible.dose import RiskSettings

        return RiskSettings(
            pass_up_to=self.pass_up_to,
            fail_from=self.fail_from,
            interval=self.risk_interval,
            interval_level=self.risk_level,
            strict=self.strict_verdicts,
        )
