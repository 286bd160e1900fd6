"""Does low confidence find the cases that failed? A failure is a case whose risk lies above a stated threshold.

`plausible.evaluate.risk_coverage` judges the order of all risks; here a case has failed or not, as in a clinic that
redraws every contour below a Dice of 0.8. The threshold has no default, as it decides what a failure is.

For risks of 0 and 1 both views are one: AUGRC = (1 - AUROC) a (1 - a) + (1 - a)²/2, where a is the share of good cases.

Sources: Jaeger et al. 2023, arXiv:2211.15259; Traub et al. 2024, arXiv:2407.01032; Zenk et al. 2025, arXiv:2406.03323.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from plausible.core import Score
from plausible.evaluate.detection import Detection, detection, detection_rows


def failure_detection(
    confidence: Float[np.ndarray, " s"], risk: Float[np.ndarray, " s"], *, threshold: float
) -> Detection:
    """Sort cases from the least confident; the wanted ones are those whose risk is above the threshold.

    Args:
        confidence: of each case, higher is more confident; give the negative of an uncertainty.
        risk: of each case, for instance 1 - Dice.
        threshold: the largest risk that is no failure.

    Returns:
        The sorted cases. A case without confidence or without risk is left out and counted.

    Raises:
        ValueError: not one confidence for each risk.
    """
    if confidence.shape != risk.shape:
        raise ValueError(f"{len(confidence)} confidences for {len(risk)} risks")
    suspicion = np.where(np.isnan(risk), np.nan, -confidence)
    return detection(suspicion, risk > threshold)


def failure_rows(
    confidence: Float[np.ndarray, " s"],
    risk: Float[np.ndarray, " s"],
    *,
    threshold: float,
    score: str,
    named_risk: str,
    structure: str = "",
) -> Iterator[Score]:
    """Yield the detection scores of failures as rows.

    Args:
        confidence: of each case.
        risk: of each case.
        threshold: the largest risk that is no failure.
        score: what made the confidence, for instance "mean_pairwise_dice"; the rows' reduction.
        named_risk: what the risk is, for instance "1 - dice"; with the threshold the rows' `against`.
        structure: organ or target.
    """
    named = {"structure": structure, "reduction": score, "against": f"{named_risk} > {threshold:g}"}
    yield from detection_rows(failure_detection(confidence, risk, threshold=threshold), named)
