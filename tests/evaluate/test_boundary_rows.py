"""Rows of calibration near contours: what they name, and that slabs change nothing."""

import numpy as np
import pytest

from plausible.core import MemberInfo, Members, select
from plausible.evaluate import (
    boundary_aware_calibration_error,
    boundary_bands,
    boundary_calibration_rows,
    presence_answers,
    spatial_calibration_error,
    top_label_answers,
)

RATERS = (MemberInfo(id="first", kind="rater"), MemberInfo(id="second", kind="rater"))


def case(geometry, classes) -> tuple[Members, Members]:
    rng = np.random.default_rng(0)
    p = rng.random((3, len(classes.names), *geometry.shape)).astype(np.float32)
    p = p / p.sum(axis=1, keepdims=True) if classes.exclusive else p
    values = sorted(classes.label_values())
    labels = [rng.choice(values, geometry.shape).astype(np.uint8) for _ in RATERS]
    members = Members.from_arrays(p, geometry=geometry, classes=classes, subject="s1")
    return members, Members.from_labels(labels, geometry=geometry, classes=classes, infos=RATERS)


@pytest.mark.parametrize("kind", ["classes", "regions"])
def test_rows_are_the_functions_applied_and_slabs_change_nothing(geometry, kind, request):
    members, raters = case(geometry, request.getfixturevalue(kind))
    rows = boundary_calibration_rows(members, raters, sigma_mm=1.5)
    parts = boundary_calibration_rows(members, raters, sigma_mm=1.5, slab_voxels=90)
    assert [row.key for row in rows] == [row.key for row in parts]
    np.testing.assert_allclose([row.value for row in rows], [row.value for row in parts], rtol=1e-6)
    asked = ("",) if members.classes.exclusive else members.classes.names
    assert len({row.key for row in rows}) == len(rows) == 2 * len(RATERS) * len(asked)
    p, truth = np.mean([m.probabilities for m in members], axis=0), list(raters)[1].probabilities
    question = asked[-1]
    if question:
        channel = members.classes.channel(question)
        answers, reference = presence_answers(p, channel=channel), (truth[channel] > 0.5).astype(np.int64)
    else:
        answers, reference = top_label_answers(p), truth.argmax(axis=0)
    bands = boundary_bands(answers, reference, spacing_mm=geometry.spacing_mm)
    space = spatial_calibration_error(answers, reference, spacing_mm=geometry.spacing_mm, sigma_mm=1.5)
    found = select(rows, structure=question, against="second", reduction="ensemble")
    assert {row.region: row.n for row in found} == {"bands_0_3_7_15_inf_mm": bands.n, "sigma_1.5_mm": reference.size}
    assert [row.value for row in found] == pytest.approx([boundary_aware_calibration_error(bands), space], rel=1e-6)
