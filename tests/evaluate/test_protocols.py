"""Protocols by name: the rows of the functions, one line each, and settings that cannot be."""

import numpy as np
import pytest

from plausible.aggregate import linear_pool
from plausible.core import Classes, select
from plausible.evaluate import PROTOCOLS, check_protocols, curvas_2024_rows, pdacvi_2025_rows, protocol_rows
from tests.evaluate.test_references import CLASSES, drawn, raters_of


def test_rows_are_those_of_the_functions():
    members, raters = raters_of(*drawn(2, seed=5)), raters_of(*drawn(3))
    found = protocol_rows(["curvas_2024"], members, raters)
    assert [row.to_dict() for row in found] == [row.to_dict() for row in curvas_2024_rows(members, raters)]
    vessel = np.mean([rater.classes.masks(rater.probabilities)[1] for rater in raters], axis=0) > 0.5
    expected = pdacvi_2025_rows(
        linear_pool(members), raters, structure="liver", vessels={"spleen": vessel}, subject="s1"
    )
    found = protocol_rows(["pdacvi_2025"], members, raters, tumour="liver", vessels=["spleen"])
    assert [(row.measure, row.value) for row in found] == [(row.measure, row.value) for row in expected]
    assert {row.reduction for row in found} == {"ensemble"}
    assert len(select(found, measure="vascular_involvement_distance", structure="spleen")) == 3


def test_a_row_of_two_protocols_is_written_once():
    members, raters = raters_of(*drawn(2, seed=5)), raters_of(*drawn(3))
    found = protocol_rows(PROTOCOLS.names, members, raters, tumour="liver", vessels=["spleen"])
    assert len({row.key for row in found}) == len(found)
    assert len(select(found, measure="crps_curvas", structure="liver")) == 1


def test_what_cannot_be_scored_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"--tumour STRUCTURE --vessels STRUCTURE .* liver, spleen"):
        check_protocols(["pdacvi_2025"], CLASSES, tumour=None, vessels=())
    with pytest.raises(ValueError, match="no structure aorta"):
        check_protocols(["pdacvi_2025"], CLASSES, tumour="liver", vessels=["aorta"])
    regions = Classes.overlapping_of({"whole": (1, 2), "core": (2,)}, order=(1, 2))
    with pytest.raises(ValueError, match="exclude each other"):
        check_protocols(["curvas_2024"], regions, tumour=None, vessels=())
    check_protocols([], regions, tumour=None, vessels=())
