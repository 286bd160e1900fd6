"""Constraint files: what ships reads and names its sources; a fault is told with its line."""

import pytest

from plausible.core import InvalidInput, standard_name
from plausible.dose.constraint_file import SHIPPED, parse_constraints, shipped_constraints
from plausible.dose.metric_text import parse_metric

GOOD = """
name = "ours"
note = "a test"

[[constraint]]
structure = ["Parotid_L", "right parotid"]
metric = "Mean"
operator = "<"
limit = 26
acceptable = 30
priority = 2
source = "us"

[[constraint]]
structure = "Myelon neu"
metric = "D0.03cc[Gy]"
operator = "<="
limit = 45.5
source = "us"
checked = false

[[ntcp]]
structure = "Parotid_L"
endpoint = "dry mouth"
td50_gy = 40
m = 0.4
n = 1
source = "us"

[aliases]
"Myelon neu" = "SpinalCord"
"""


def test_a_good_file():
    found = parse_constraints(GOOD, file="ours.toml")
    assert [one.structure for one in found.constraints] == ["Parotid_L", "Parotid_R", "SpinalCord"]
    first, _, cord = found.constraints
    assert (first.text, first.acceptable, first.priority, first.checked) == ("Mean[Gy] < 26", 30.0, 2, True)
    assert (cord.limit, cord.operator, cord.checked) == (45.5, "<=", False)
    assert found.of("MYELON NEU") == (cord,)
    assert found.of("LeftParotid") == (first,)
    assert found.ntcp_of("parotid_l")[0].td50_gy == 40.0
    assert found.without_structure(["Parotid_L", "cord"]) == ("Parotid_R",)


FAULTS = [
    ('operator = "<"', 'operator = "="', "E631", "line 8:"),
    ('metric = "Mean"', 'metric = "Average"', "E703", "line 7:"),
    ("limit = 26", 'limit = "26"', "E631", "line 9:"),
    ("limit = 26", "limit = nan", "E631", "line 9:"),
    ("limit = 26", "limit = true", "E631", "line 9:"),
    ('metric = "Mean"', 'metric = "V95%[%]"', "E703", "line 7:"),
    ("acceptable = 30", "acceptable = 20", "E631", "line 10:"),
    ("priority = 2", "prio = 2", "E631", "line 11:"),
    ('limit = 45.5\nsource = "us"', "limit = 45.5", "E631", "line 14:"),
    ("checked = false", 'checked = "no"', "E631", "line 20:"),
    ("m = 0.4", "m = 0", "E631", "line 26:"),
    ('name = "ours"', 'nam = "ours"', "E631", "line 2:"),
    ("limit = 26", "limit = ", "E630", "line 9"),
]


@pytest.mark.parametrize(("right", "wrong", "code", "line"), FAULTS, ids=[wrong for _, wrong, _, _ in FAULTS])
def test_faults_are_told_with_their_line(right, wrong, code, line):
    assert right in GOOD
    with pytest.raises(InvalidInput) as caught:
        parse_constraints(GOOD.replace(right, wrong, 1), file="ours.toml")
    problem = caught.value.problem
    assert (problem.code, problem.file) == (code, "ours.toml")
    assert line in problem.found


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_names_a_source_for_every_row(name):
    found = shipped_constraints(name)
    assert found.name == name
    assert found.constraints
    for one in (*found.constraints, *found.ntcp):
        assert one.source
        assert standard_name(one.structure) == one.structure, "a structure that no alias leads to"
    for constraint in found.constraints:
        assert parse_metric(constraint.metric).text == constraint.metric
    assert ("from memory" in found.note) == any(not one.checked for one in (*found.constraints, *found.ntcp))


def test_no_two_rows_that_ship_are_the_same():
    for name in SHIPPED:
        rows = [(one.structure, one.metric, one.limit) for one in shipped_constraints(name).constraints]
        assert len(set(rows)) == len(rows)


def test_an_unknown_set_says_which_there_are():
    with pytest.raises(ValueError, match="head_and_neck"):
        shipped_constraints("hadn_and_neck")
