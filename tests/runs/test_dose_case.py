"""Laws of a case's dose, whatever the metric: uniform dose, order of members, a scaled dose, a dose that ends early."""

import math

import numpy as np
import pytest

from plausible.core import Classes, Dose, Geometry, MemberInfo, Members
from plausible.dose import parse_constraints, shipped_constraints
from plausible.runs.dose_case import assess_dose
from plausible.runs.dose_settings import DoseSettings

SHAPE = (20, 24, 16)
GRID = Geometry(SHAPE, np.diag([1.5, 1.0, 2.0, 1.0]))
CLASSES = Classes.exclusive_of({"background": 0, "Cord": 1, "Left parotid": 2, "Nothing": 3})
X, Y, Z = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
METRICS = DoseSettings(
    dose_metrics=("Mean[Gy]", "D2%[Gy]", "D98%[Gy]", "D0.1cc[Gy]", "Max[Gy]", "Min[Gy]", "V20Gy[%]", "gEUD(a=8)[Gy]")
)
CONSTRAINTS = shipped_constraints("head_and_neck")


def labels(shift):
    values = np.zeros(SHAPE, np.uint8)
    values[(X - 6) ** 2 + (Y - 8 - shift) ** 2 < 16] = 1
    values[(X - 14) ** 2 + (Y - 15 - shift) ** 2 + (Z - 8) ** 2 < 20] = 2
    return values


def members(shifts=(0, 1, -1, 2)):
    infos = [MemberInfo(id=f"m{n}") for n in range(len(shifts))]
    return Members.from_labels([labels(s) for s in shifts], geometry=GRID, classes=CLASSES, subject="a", infos=infos)


def dose(values):
    return Dose(np.broadcast_to(values, SHAPE).astype(np.float32), GRID)


RAMP = 10 + 2.0 * Y


def numbers(found):
    return {(s.name, m.metric): (m.nominal, m.median, *m.interval_90) for s in found.structures for m in s.metrics}


def test_uniform_dose_has_no_uncertainty_in_any_metric():
    found = assess_dose(members(), dose(np.full(SHAPE, 30.0)), CONSTRAINTS, METRICS)
    for structure in found.structures[:2]:
        assert structure.uncertainty_gy == pytest.approx(0, abs=1e-4)
        for metric in structure.metrics:
            assert metric.interval_90[1] - metric.interval_90[0] == pytest.approx(0, abs=1e-4), metric.metric
        for constraint in structure.constraints:
            assert constraint.probability in (0.0, 1.0)


def test_order_of_members_does_not_matter():
    one = assess_dose(members(), dose(RAMP), CONSTRAINTS, METRICS)
    other = assess_dose(members((2, -1, 1, 0)), dose(RAMP), CONSTRAINTS, METRICS)
    assert numbers(one).keys() == numbers(other).keys()
    for key, values in numbers(one).items():
        assert values == pytest.approx(numbers(other)[key], rel=1e-6, nan_ok=True), key
    assert [s.uncertainty_gy for s in one.structures[:2]] == pytest.approx(
        [s.uncertainty_gy for s in other.structures[:2]], rel=1e-5
    )


def test_twice_the_dose_is_twice_every_metric_in_gy():
    one = numbers(assess_dose(members(), dose(RAMP), CONSTRAINTS, METRICS))
    other = numbers(assess_dose(members(), dose(2 * RAMP), CONSTRAINTS, METRICS))
    for (structure, metric), values in one.items():
        if metric.endswith("[Gy]") and structure != "Nothing":
            assert other[structure, metric] == pytest.approx([2 * v for v in values], rel=2e-3, abs=0.02), metric


def test_a_structure_that_nobody_has_is_undefined_and_fails_nothing():
    found = assess_dose(members(), dose(RAMP), CONSTRAINTS, METRICS)
    nothing = found.structures[2]
    assert (nothing.n, nothing.curves, nothing.review_slice) == (0, None, None)
    assert all(math.isnan(metric.nominal) for metric in nothing.metrics)


def test_a_dose_that_ends_inside_a_structure_is_told():
    short = Geometry((20, 9, 16), GRID.affine)
    found = assess_dose(members(), Dose(RAMP[:, :9].astype(np.float32), short), CONSTRAINTS, METRICS)
    assert 0 < found.outside["Cord"] < 1
    cord = found.structures[0]
    assert math.isnan(next(m for m in cord.metrics if m.metric == "Mean[Gy]").nominal)
    assert {one.verdict for one in cord.constraints} == {"cannot_tell"}


def test_raters_stand_beside_the_members_and_inside_or_outside_their_interval():
    raters = members((0, 9)).select(["m0", "m1"])
    found = assess_dose(members(), dose(RAMP), CONSTRAINTS, METRICS, raters=raters)
    mean = next(m for m in found.structures[0].metrics if m.metric == "Mean[Gy]")
    assert set(mean.reference) == {"m0", "m1"}
    assert mean.reference["m1"] - mean.reference["m0"] > 10
    assert mean.covered == 1


def test_names_find_their_constraints_by_alias():
    found = assess_dose(members(), dose(RAMP), CONSTRAINTS, METRICS)
    assert [s.standard_name for s in found.structures] == ["SpinalCord", "Parotid_L", "Nothing"]
    assert [one.text for one in found.structures[0].constraints] == ["D2%[Gy] < 45"]


def test_first_order_sd_is_near_the_sd_of_the_members():
    found = assess_dose(members((0, 1, -1)), dose(RAMP), CONSTRAINTS, METRICS)
    for structure in found.structures[:2]:
        mean = next(m for m in structure.metrics if m.metric == "Mean[Gy]")
        assert mean.sd == pytest.approx(2.0, rel=0.02)  # 2 Gy a voxel, shifts of 0, 1 and -1 voxel
        assert mean.review.sd == pytest.approx(mean.sd, rel=0.1)


def test_percentages_have_one_interval_in_the_file_and_in_the_rows():
    asked = DoseSettings(dose_metrics=("V12Gy[%]",))
    found = assess_dose(members((0, 1, -2)), dose(RAMP), CONSTRAINTS, asked)
    metric = next(m for m in found.structures[0].metrics if m.metric == "V12Gy[%]")
    (row,) = [r for r in found.rows if (r.structure, r.measure, r.region) == ("Cord", "dose_metric_width", "V12Gy[%]")]
    assert row.value == pytest.approx(metric.interval_90[1] - metric.interval_90[0])
    assert metric.interval_90[1] <= 100


def test_the_review_slice_is_where_members_differ_counted_in_the_image():
    """The ball of the parotid begins above the image's first slice; members differ in slice 6 only."""
    values = [labels(0) for _ in range(4)]
    for n, one in enumerate(values):
        one[:, :, 6][(X[:, :, 6] - 14) ** 2 + (Y[:, :, 6] - 15 - n) ** 2 < 16] = 2
    varied = Members.from_labels(values, geometry=GRID, classes=CLASSES, subject="a")
    parotid = assess_dose(varied, dose(RAMP), CONSTRAINTS, METRICS).structures[1]
    assert parotid.review_slice == 6
    assert next(m for m in parotid.metrics if m.metric == "Mean[Gy]").review.share == pytest.approx(1.0)


def test_a_metric_in_percent_of_a_prescription():
    target = parse_constraints(
        '[[constraint]]\nstructure = "cord"\nmetric = "V95%[%]"\noperator = ">="\nlimit = 98\nprescription_gy = 20\n'
        'source = "a test"\n',
        file="x.toml",
    )
    cord = assess_dose(members(), dose(np.full(SHAPE, 19.5)), target, METRICS).structures[0]
    (one,) = cord.constraints
    assert (one.nominal, one.verdict, one.at_dose_gy) == (pytest.approx(100.0), "pass", pytest.approx(19.0))
