"""Arms whose answers are known: cases with chosen Dice and chosen numbers."""

from plausible.core import Score
from plausible.evaluate import ENSEMBLE
from plausible.validate import Arm, Judged

INFORMATION, ENTROPY = "mutual_information", "expected_entropy"


def row(subject: str, measure: str, value: float, **told: str) -> Score:
    return Score(subject=subject, measure=measure, value=value, unit="1", n=1, **{"higher_is": "worse", **told})


def case(
    n: int, *, dice: float, shifted: bool = False, ambiguous: bool = False, patient: str = "", **numbers: float
) -> Judged:
    """A case with one structure, one rater and one number per map over the whole image."""
    subject = f"case_{n:02d}"
    rows = [row(subject, "dice", dice, structure="ball", reduction=ENSEMBLE, against="rater_1", higher_is="better")]
    rows += [row(subject, name, v, region="whole_image", reduction="mean") for name, v in numbers.items()]
    return Judged(subject, patient or subject, shifted, ambiguous, tuple(rows))


def arm(*cases: Judged, measures: tuple[str, ...] = (ENTROPY, INFORMATION)) -> Arm:
    return Arm("data", "model", cases, measures, seed=0, resamples=200)
