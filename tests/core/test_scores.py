import json
import math

import pytest

from plausible.core import SCORE_COLUMNS, Score, select


def row(**changed: object) -> Score:
    settings = {"subject": "s1", "measure": "dice", "value": 0.8, "unit": "1", "higher_is": "better", "n": 3}
    return Score(**{**settings, **changed})


def test_a_row_is_plain_json_and_undefined_is_null() -> None:
    told = json.loads(json.dumps(row(value=math.nan, structure="liver").to_dict(), allow_nan=False))
    assert told["value"] is None
    assert told["structure"] == "liver"
    assert tuple(told) == SCORE_COLUMNS
    assert row(value=0.25).to_dict()["value"] == 0.25


def test_rows_are_selected_by_any_of_their_fields() -> None:
    rows = [row(), row(structure="liver"), row(structure="liver", subject="s2"), row(measure="hd")]
    assert select(rows, structure="liver") == rows[1:3]
    assert select(rows, structure="liver", subject="s2") == [rows[2]]
    assert select(rows, measure="none") == []
    assert select(rows) == rows
    with pytest.raises(AttributeError):
        select(rows, organ="liver")


def test_the_key_tells_apart_everything_but_the_subject() -> None:
    assert row().key == row(subject="s2", value=0.1, n=9).key
    for field in ("structure", "measure", "region", "reduction", "against"):
        assert row(**{field: "other"}).key != row().key
