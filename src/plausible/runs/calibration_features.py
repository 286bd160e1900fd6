"""The rows that say how unlike the calibration patients one is: volume, and mean uncertainty inside the structure."""

from collections.abc import Sequence

from plausible.core import Score, select

FEATURES = ("predictive_entropy", "mutual_information")
REGION = "predicted_structure"


def novelty_rows(rows: Sequence[Score], structure: str, *, volume: str) -> list[Score]:
    """Rows of one structure, the volume first; of one patient or of many."""
    of = [row for row in rows if row.structure == structure and not row.against]
    means = [one for name in FEATURES for one in select(of, measure=name, region=REGION, reduction="mean")]
    return [*select(of, measure=volume), *means]
