"""The pieces of the study on members and dose, by hand."""

from itertools import combinations

import numpy as np
import pytest
from dose_members import CLINICAL, by_diversity, by_number, errors

from plausible.evaluate.volume_crps import crps_sample

VALUES = {"a": 10.0, "b": 14.0, "c": 13.0}
TRUTH = 12.0


def patient(subject: str, *, apart_is_better: bool) -> dict:
    """Three members; the error of a pair is made to follow its Dice, or its opposite."""
    found = []
    for m in (1, 2, 3):
        for n, chosen in enumerate(combinations(VALUES, m)):
            dice = 0.9 - 0.1 * n
            off = dice if apart_is_better else 1 - dice
            found.append(
                {
                    "members": list(chosen),
                    "nominal": dict.fromkeys(CLINICAL, TRUTH + (off if m == 2 else m)),
                    "values": {organ: [VALUES[one] for one in chosen] for organ in CLINICAL},
                    "dice": dict.fromkeys(CLINICAL, dice),
                }
            )
    return {"subject": subject, "truth": dict.fromkeys(CLINICAL, TRUTH), "subsets": found}


def test_errors_are_those_of_every_subset():
    nominal, crps, dice = errors(patient("p", apart_is_better=True), "Brainstem", 2)
    assert nominal == pytest.approx([0.9, 0.8, 0.7])
    assert dice == pytest.approx([0.9, 0.8, 0.7])
    assert crps[0] == pytest.approx(crps_sample(np.array([10.0, 14.0]), TRUTH))


@pytest.mark.parametrize(("apart_is_better", "sign"), [(True, "+1.00"), (False, "-1.00")])
def test_the_correlation_is_above_0_where_pairs_that_agree_less_are_better(apart_is_better, sign):
    text = by_diversity([patient(f"p{n}", apart_is_better=apart_is_better) for n in range(4)], seed=0)
    (line,) = (line for line in text.splitlines() if line.startswith("| error of the ensemble"))
    assert line == f"| error of the ensemble | {sign} ({sign} to {sign}) | 4 |"


def test_the_table_has_a_column_for_each_number_and_the_change():
    text = by_number([patient(f"p{n}", apart_is_better=True) for n in range(3)], seed=0)
    (line,) = (line for line in text.splitlines() if line.startswith("| Brainstem") and "error" in line)
    assert line.split(" | ")[2:] == ["1.00", "0.80", "3.00", "+2.00 (+2.00 to +2.00) |"]
