"""Settings of how confidences are judged over the cases of a study, at once flags of the command line."""

import json
from dataclasses import dataclass
from pathlib import Path

from plausible.runs.calibrate_settings import FailureRule


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingSettings:
    """What confidences should find; the scores of single cases do not depend on it.

    Attributes:
        failure: when a case fails, e.g. "dice<0.8" or "hd95>5"; detection.csv then also says how well each number
            finds these cases. Quote it; give it several times, one limit per measure.
        ood: file with the names of the cases out of distribution, one a line or a JSON list; detection.csv then also
            says how well each number finds these. They need results in the same folder, and no reference.
    """

    failure: tuple[str, ...] = ()
    ood: Path | None = None

    def __post_init__(self) -> None:
        rules = [FailureRule.parse(text) for text in self.failure]
        if len({rule.measure for rule in rules}) < len(rules):
            raise ValueError(f"--failure: one limit per measure, got {', '.join(self.failure)}")

    @property
    def limits(self) -> dict[str, float]:
        """Limit of each measure."""
        return {rule.measure: rule.limit for rule in map(FailureRule.parse, self.failure)}

    def outside(self) -> tuple[str, ...]:
        """Names of the cases out of distribution; none without a file.

        Raises:
            ValueError: the file cannot be read, or names nobody.
        """
        if self.ood is None:
            return ()
        try:
            text = self.ood.read_text(encoding="utf-8")
            told = json.loads(text) if text.lstrip().startswith("[") else text.splitlines()
        except (OSError, ValueError) as error:
            raise ValueError(f"--ood {self.ood}: {type(error).__name__}: {error}") from error
        names = tuple(dict.fromkeys(name.strip() for name in map(str, told) if name.strip()))
        if not names:
            raise ValueError(f"--ood {self.ood} names no case; write one name a line, or a JSON list")
        return names
