"""The Markdown table of the diversity study."""

from collections.abc import Mapping, Sequence
from typing import Any

COLUMNS = {
    "dice": ("Dice", 1, 4),
    "negative_log_likelihood": ("NLL", 1, 4),
    "brier_score": ("Brier", 1, 4),
    "expected_calibration_error": ("ECE", 1, 4),
    "area_under_risk_coverage": ("AURC × 100", 100, 2),
    "volume_crps": ("CRPS (µl)", 1000, 1),
    "silent_failure_rate": ("silent failures (%)", 100, 2),
    "mean_member_nll": ("NLL of a member", 1, 4),
    "pairwise_dice": ("pairwise Dice", 1, 3),
    "coverage": ("coverage", 1, 3),
    "interval_width_ml": ("interval (µl)", 1000, 0),
}
"""Number of the table: its head, factor and decimals."""


def markdown(lines: Sequence[Mapping[str, Any]], random: Mapping[str, Any], *, n_cases: int) -> str:
    """Return values, paired differences and verdicts as Markdown."""
    heads = [head for head, _, _ in COLUMNS.values()]
    text = [
        f"{n_cases} test cases; NLL, Brier score, ECE and silent failures within 5 mm of what any member or the "
        "reference marks.",
        "",
        "| ensemble | members | trainings | " + " | ".join(heads) + " |",
        "|---" * (len(heads) + 3) + "|",
    ]
    for line in lines:
        cells = [_value(line["values"].get(name), factor, digits) for name, (_, factor, digits) in COLUMNS.items()]
        text.append(f"| {line['name']} | {line['members']} | {line['trainings']:g} | {' | '.join(cells)} |")
    if random:
        shown = {**random, "dice": {"value": 1 - random["dice_error"]["value"]}}
        cells = [_value(shown.get(name), factor, digits) for name, (_, factor, digits) in COLUMNS.items()]
        text.append(f"| drawn by lot (mean of 100) | | | {' | '.join(cells)} |")
    text += ["", "Change against the plain ensemble of as many members, with the paired 95 % interval over cases.", ""]
    text += ["| ensemble | against | " + " | ".join(heads) + " | verdict |", "|---" * (len(heads) + 3) + "|"]
    for line in lines:
        if "differences" in line:
            cells = [change(line["differences"].get(name), factor, digits)
                     for name, (_, factor, digits) in COLUMNS.items()]  # fmt: skip
            decision = line["verdict"]["decision"]
            text.append(f"| {line['name']} | {line['against']} | {' | '.join(cells)} | {decision} |")
    chosen = [line for line in lines if line["how"] not in ("plain seeds", "trained so", "the whole pool")]
    if chosen:
        text += ["", "Chosen on the validation cases by NLL:", ""]
        text += [f"- {line['name']}: {line['how']}" for line in chosen]
    return "\n".join(text) + "\n"


def _value(told: Mapping[str, float] | None, factor: int, digits: int) -> str:
    return "–" if told is None else f"{told['value'] * factor:.{digits}f}"


def change(told: Mapping[str, float] | None, factor: int, digits: int) -> str:
    """Return a difference with its interval, in bold if the interval leaves zero out."""
    if told is None:
        return "–"
    value, low, high = (told[key] * factor for key in ("value", "low", "high"))
    star = "**" if low > 0 or high < 0 else ""
    return f"{star}{value:+.{digits}f}{star} ({low:+.{digits}f} to {high:+.{digits}f})"
