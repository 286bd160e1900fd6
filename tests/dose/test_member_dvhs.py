"""All members and structures at once: the same as one by one, known uncertainty, memory that does not grow."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from plausible.core import Classes, Dose, Geometry, MemberInfo, Members, collect
from plausible.dose import class_log_odds, mask_dvh, member_dvhs, parse_metric, soft_dvh
from plausible.measure import VoxelStatistics, mean_probability

SHAPE, SPACING = (31, 33, 17), np.array([1.5, 1.5, 2.5])
AFFINE = np.diag([*SPACING, 1.0])
AFFINE[:3, 3] = -SPACING * (np.array(SHAPE) - 1) / 2
GEOMETRY = Geometry(SHAPE, AFFINE)
PLACES = np.indices(SHAPE).reshape(3, -1).T * SPACING + AFFINE[:3, 3]
ORGANS = Classes.exclusive_of({"background": 0, "cord": 1, "parotid": 2})
TEXTS = ("D2%", "D95%", "D0.03cc", "V45Gy[%]", "Mean", "gEUD(a=8)", "Volume")


def dose(direction=(0.6, 0.2, 0.5)):
    return Dose((45 + PLACES @ np.array(direction)).reshape(SHAPE).astype(np.float32), GEOMETRY)


def ball(radius, centre):
    return ((radius - np.linalg.norm(PLACES - centre, axis=1)) / 1.5).reshape(SHAPE)


def probabilities(seed):
    rng = np.random.default_rng(seed)
    logits = np.stack(
        [np.zeros(SHAPE), ball(6 + rng.normal(), (-5, 0, 0)), ball(7 + rng.normal(), rng.normal((7, 0, 0), 0.7))]
    )
    exp = np.exp(logits - logits.max(axis=0))
    return (exp / exp.sum(axis=0)).astype(np.float32)


def alone(p, structure):
    return soft_dvh(class_log_odds(p, structure, exclusive=True), dose(), geometry=GEOMETRY)


def test_soft_members_are_what_each_would_be_alone():
    arrays = [probabilities(m) for m in range(4)]
    members = Members.from_arrays(arrays, geometry=GEOMETRY, classes=ORGANS)
    found = member_dvhs(members, dose())
    assert list(found) == ["cord", "parotid"]
    for number, name in enumerate(found, start=1):
        assert found[name].member_ids == ("member_0", "member_1", "member_2", "member_3")
        nominal = alone(np.mean(arrays, axis=0, dtype=np.float32), number)
        for text in TEXTS:
            each = [parse_metric(text).value(alone(p, number)) for p in arrays]
            assert found[name].values(text) == pytest.approx(each, abs=2e-3)
            assert found[name].nominal_value(text) == pytest.approx(parse_metric(text).value(nominal), abs=2e-3)


def test_label_maps_take_their_voxels_and_are_never_smoothed():
    maps = [probabilities(m).argmax(axis=0).astype(np.uint8) for m in range(3)]
    found = member_dvhs(Members.from_labels(maps, geometry=GEOMETRY, classes=ORGANS), dose())
    for number, name in enumerate(found, start=1):
        for text in TEXTS:
            each = [parse_metric(text).value(mask_dvh(m == number, dose(), geometry=GEOMETRY)) for m in maps]
            assert found[name].values(text) == pytest.approx(each, abs=2e-3)
        votes = sum((m == number).astype(int) for m in maps)
        assert found[name].nominal_value("Volume") == pytest.approx((votes >= 2).sum() * GEOMETRY.voxel_volume_ml)


def test_overlapping_regions_are_cut_at_one_half():
    regions = Classes.overlapping_of({"whole": [1, 2], "core": [2]})
    odds = np.stack([ball(10, (0, 0, 0)), ball(5, (1, 0, 0))])
    p = (1 / (1 + np.exp(-odds))).astype(np.float32)
    found = member_dvhs(Members.from_arrays([p, p], geometry=GEOMETRY, classes=regions), dose())
    assert found["whole"].values("Volume") == pytest.approx([4 / 3 * math.pi * 1000 / 1000] * 2, rel=5e-3)
    assert found["core"].nominal_value("Volume") == pytest.approx(4 / 3 * math.pi * 125 / 1000, rel=2e-2)


def test_structure_that_a_member_or_all_members_lack():
    maps = [np.zeros(SHAPE, np.uint8) for _ in range(3)]
    maps[0][10:14, 10:15, 5:9] = 1
    found = member_dvhs(Members.from_labels(maps, geometry=GEOMETRY, classes=ORGANS), dose())
    assert np.isnan(found["cord"].values("Mean")).tolist() == [False, True, True]
    assert found["cord"].values("Volume").tolist() == pytest.approx([4 * 5 * 4 * 0.005625, 0, 0])
    assert np.isnan(found["parotid"].values("D2%")).all()
    assert math.isnan(found["parotid"].nominal_value("D2%"))


def test_no_members_are_refused():
    with pytest.raises(ValueError, match="no members"):
        member_dvhs(Members(GEOMETRY, ORGANS, ()), dose())


def test_order_of_members_does_not_matter():
    arrays = [probabilities(m) for m in range(3)]
    infos = [MemberInfo(id=name) for name in "abc"]
    members = Members.from_arrays(arrays, geometry=GEOMETRY, classes=ORGANS, infos=infos)
    one, other = member_dvhs(members, dose()), member_dvhs(members.select(["c", "a", "b"]), dose())
    for name, dvhs in one.items():
        assert other[name].values("D2%") == pytest.approx(dvhs.values("D2%")[[2, 0, 1]], abs=1e-12)
        assert other[name].nominal_value("D2%") == pytest.approx(dvhs.nominal_value("D2%"), abs=1e-3)


CYLINDER = Classes.exclusive_of({"background": 0, "target": 1})
LONG, STEP = (17, 17, 61), np.array([2.0, 2.0, 1.0])
LONG_AFFINE = np.diag([*STEP, 1.0])
LONG_AFFINE[:3, 3] = -STEP * (np.array(LONG) - 1) / 2
LONG_GEOMETRY = Geometry(LONG, LONG_AFFINE)
LONG_PLACES = np.indices(LONG).reshape(3, -1).T * STEP + LONG_AFFINE[:3, 3]


def shifted_cylinders(shifts):
    """Cylinders of radius 12 and length 24 whose axis is the gradient's, moved along it."""
    x, y, z = LONG_PLACES.T
    arrays = []
    for shift in shifts:
        odds = np.minimum(12 - np.hypot(x, y), 12 - np.abs(z - shift)) / 1.0
        p = (1 / (1 + np.exp(-odds))).reshape(LONG).astype(np.float32)
        arrays.append(np.stack([1 - p, p]))
    return Members.from_arrays(arrays, geometry=LONG_GEOMETRY, classes=CYLINDER)


def test_probability_of_violation_under_a_rigid_shift():
    """Shift N(0, 3 mm) at 1 Gy/mm: P(mean > 20) = Φ((16 − 20) / 3) = 0.0912, P(D2 > 30) = 0.2042.

    Shifts are the normal's own quantiles, so that 100 members resolve the probability to one in 100.
    """
    n = 100
    shifts = stats.norm.ppf((np.arange(n) + 0.5) / n) * 3
    dose = Dose((16 + LONG_PLACES[:, 2]).reshape(LONG).astype(np.float32), LONG_GEOMETRY)
    found = member_dvhs(shifted_cylinders(shifts), dose)["target"]
    mean, near_maximum = found.values("Mean"), found.values("D2%")
    assert mean == pytest.approx(16 + shifts, abs=0.1)
    assert (mean > 20).mean() == pytest.approx(0.0912, abs=1 / n)
    assert (near_maximum > 30).mean() == pytest.approx(0.2042, abs=3 / n)
    assert near_maximum.std() == pytest.approx(3.0, rel=0.02)
    expected = np.mean([dvh.volume_at(27.52) / dvh.total_volume_ml for dvh in found.dvhs])
    assert expected > 0.05  # the expected DVH's D2 is 29.9: it is not the mean of D2, 27.52
    assert near_maximum.mean() == pytest.approx(27.52, abs=0.1)


def test_uniform_dose_has_no_uncertainty():
    dose = Dose(np.full(LONG, 20, np.float32), LONG_GEOMETRY)
    found = member_dvhs(shifted_cylinders([-4.0, 0.0, 3.0]), dose)["target"]
    for text in ("D98%", "D2%", "Mean", "V20Gy[%]", "Max"):
        assert np.ptp(found.values(text)) == 0, text
    assert found.values("Mean").tolist() == [20, 20, 20]


def test_radius_that_varies_moves_extremes_but_not_the_mean():
    """Ball of radius N(7, 0.5) in a linear dose: D_x = D₀ + g R k_x, its spread g |k_x| s."""
    radii = 7 + 0.5 * stats.norm.ppf((np.arange(20) + 0.5) / 20)
    arrays = [np.stack([1 - p, p]) for p in (1 / (1 + np.exp(-ball(r, (0, 0, 0)))) for r in radii)]
    members = Members.from_arrays(
        np.asarray(arrays, np.float32), geometry=GEOMETRY, classes=Classes.exclusive_of({"background": 0, "ball": 1})
    )
    found = member_dvhs(members, dose((1.0, 0.0, 0.0)))["ball"]
    assert found.values("Mean") == pytest.approx(45, abs=0.02)
    assert found.values("D2%") == pytest.approx(45 + 0.831925 * radii, abs=0.05)
    assert found.values("D98%").std() == pytest.approx(0.831925 * radii.std(), rel=0.03)


def test_voxels_drawn_apart_from_each_other_have_no_dose_uncertainty():
    """Negative control: from the same mean map, independent voxels lose the spread that shifted members have."""
    rng = np.random.default_rng(3)
    n = 40
    members = shifted_cylinders(rng.normal(0, 3, n))
    mean = np.mean([member.probabilities[1] for member in members], axis=0)
    drawn = [(rng.random(LONG) < mean).astype(np.uint8) for _ in range(n)]
    dose = Dose((16 + LONG_PLACES[:, 2]).reshape(LONG).astype(np.float32), LONG_GEOMETRY)
    apart = member_dvhs(Members.from_labels(drawn, geometry=LONG_GEOMETRY, classes=CYLINDER), dose)["target"]
    coherent = member_dvhs(members, dose)["target"]
    assert coherent.values("V20Gy[%]").std() > 10  # s / L = 3 / 24
    assert apart.values("V20Gy[%]").std() < 1.5
    assert apart.values("Mean").std() < coherent.values("Mean").std() / 20


def test_kept_curves_are_small_and_memory_does_not_grow_with_members():
    def peak(n):
        members = Members.from_arrays(
            [probabilities(0)] * n, geometry=GEOMETRY, classes=ORGANS, infos=[MemberInfo(id=f"m{i}") for i in range(n)]
        )
        tracemalloc.start()
        found = member_dvhs(members, dose())
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size, max(len(dvh.dose_gy) for dvhs in found.values() for dvh in dvhs.dvhs)

    peak(1)
    (few, kinks), (many, _) = peak(2), peak(8)
    assert kinks < 100 * 40 + 10  # a kink a centigray over at most 40 Gy
    assert many - few < 8 * 2 * 2 * 8 * kinks  # the curves of six more members, two numbers a kink


def test_masks_lie_in_the_box_of_all_members_and_the_segmentation():
    labels = np.zeros((2, *SHAPE), np.uint8)
    labels[0, 10:13, 9:12, 4:6] = 1
    labels[1, 14:17, 9:12, 4:8] = 1
    found = member_dvhs(Members.from_labels(labels, geometry=GEOMETRY, classes=ORGANS), dose())
    assert found["cord"].box == (slice(10, 17), slice(9, 12), slice(4, 8))
    for mask, one in zip(found["cord"].masks(), labels, strict=True):
        np.testing.assert_array_equal(mask, one[found["cord"].box] == 1)
    assert found["parotid"].segmentation.size == 0
    assert found["parotid"].dvhs[0].total_volume_ml == 0


def test_the_segmentation_is_that_of_assess_even_where_classes_tie():
    """Members on a coarse scale have many ties between classes; both verbs must decide them alike."""
    rng = np.random.default_rng(5)
    counts = rng.multinomial(20, [1 / 3] * 3, size=(5, *SHAPE))
    arrays = [np.moveaxis(one / 20, -1, 0).astype(np.float32) for one in counts]
    members = Members.from_arrays(arrays, geometry=GEOMETRY, classes=ORGANS)
    whole = ORGANS.masks(mean_probability(collect(members, VoxelStatistics)[VoxelStatistics]))
    for number, one in enumerate(member_dvhs(members, dose()).values()):
        np.testing.assert_array_equal(one.segmentation, whole[number][one.box])
        assert one.segmentation.sum() == whole[number].sum()
