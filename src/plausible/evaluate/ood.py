"""Does an uncertainty tell cases unlike the training data from familiar ones? Detection of out-of-distribution cases.

Which cases are out of distribution is told by name: never read from file numbers or from the score itself. An
out-of-distribution case may be segmented well, and a familiar one may fail: a good detector here can be a bad detector
of failures (`plausible.evaluate.failure`); compare both.

Sources: Hendrycks and Gimpel 2017, arXiv:1610.02136; Kahl et al. 2024, arXiv:2401.08501 (ValUES).
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
from jaxtyping import Float

from plausible.core import Score
from plausible.evaluate.detection import Detection, detection, detection_rows


def ood_detection(familiar: Float[np.ndarray, " f"], unfamiliar: Float[np.ndarray, " u"]) -> Detection:
    """Sort cases by uncertainty; the wanted ones are those out of distribution.

    Args:
        familiar: uncertainty of each in-distribution case, higher is less sure.
        unfamiliar: the same of each out-of-distribution case.
    """
    wanted = np.append(np.zeros(len(familiar), dtype=bool), np.ones(len(unfamiliar), dtype=bool))
    return detection(np.append(familiar, unfamiliar), wanted)


def ood_rows(rows: Sequence[Score], *, outside: Collection[str], against: str = "out_of_distribution") -> list[Score]:
    """Judge every uncertainty that rows hold by how well it finds the cases outside the distribution.

    Args:
        rows: of familiar and unfamiliar subjects, without a reference; measures that are neither better nor worse are
            left out.
        outside: the subjects out of distribution.
        against: name of that group, for instance "other_scanner".

    Returns:
        Rows with the same structure; `region` and `reduction` tell which number was judged:
        "mutual_information:predicted_structure" and "mean".

    Raises:
        ValueError: a subject is named as outside but has no row.
    """
    missing = sorted(set(outside) - {row.subject for row in rows})
    if missing:
        raise ValueError(f"no rows of the out-of-distribution cases {', '.join(missing)}")
    groups: dict[tuple[str, ...], dict[str, Score]] = {}
    for row in rows:
        if row.higher_is != "neither" and not row.against:
            groups.setdefault((row.structure, row.measure, row.region, row.reduction), {})[row.subject] = row
    return [found for key, group in groups.items() for found in _judged(key, group, outside, against)]


def _judged(key: tuple[str, ...], group: dict[str, Score], outside: Collection[str], against: str) -> Iterator[Score]:
    structure, measure, region, reduction = key
    sign = {subject: 1.0 if row.higher_is == "worse" else -1.0 for subject, row in group.items()}
    suspicion = np.array([sign[subject] * row.value for subject, row in group.items()])
    cases = detection(suspicion, np.array([subject in outside for subject in group]))
    region = f"{measure}:{region}" if region else measure
    yield from detection_rows(
        cases, {"structure": structure, "region": region, "reduction": reduction, "against": against}
    )
