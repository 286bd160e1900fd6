"""detection.csv: how well each number that needs no reference finds bad cases, and cases unlike the others."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from plausible.evaluate import CONFIDENCE_COLUMNS, ConfidenceLine, ConfidenceSettings, judge_confidences
from plausible.io.rows import write_table
from plausible.runs.cohort import read_cases

DETECTION = "detection.csv"


def write_detection(
    output: Path, *, limits: Mapping[str, float], outside: Collection[str] = (), seed: int = 0
) -> list[ConfidenceLine]:
    """Judge the confidences of all cases in a folder of results and write the table.

    Args:
        output: folder of the results.
        limits: what a failure is, such as {"dice": 0.8}.
        outside: cases out of distribution.
        seed: of the intervals.

    Raises:
        ValueError: a limit of a measure that no risk is made of, or a case out of distribution without results.
    """
    rows = [row for case in read_cases(output) for row in case.rows]
    lines = list(judge_confidences(rows, ConfidenceSettings(limits=limits, outside=outside, seed=seed)))
    write_table(output / DETECTION, CONFIDENCE_COLUMNS, map(asdict, lines))
    return lines
