"""From the image's grid to the network's and back: round trips, closed forms, and MONAI's or nibabel's word on it."""

import nibabel as nib
import numpy as np
import pytest

from plausible.core import Classes, Geometry, Image
from plausible.train import TrainingSettings
from plausible.train.fingerprint import Fingerprint, case_fingerprint, fingerprint, scheme_of
from plausible.train.grid import ChannelFingerprint
from plausible.train.plan import Plan, plan
from plausible.train.preprocess import (
    normalise,
    orientation_of,
    prepare_image,
    prepare_labels,
    resample,
    restore,
    turn,
)

SHAPE = (5, 7, 11)


def channel(name="MR", **more) -> ChannelFingerprint:
    told = {"mean": 50.0, "sd": 10.0, "percentile_00_5": 20.0, "percentile_99_5": 80.0, "zero_share": 0.0}
    return ChannelFingerprint(name=name, scheme=scheme_of(name), **{**told, **more})


def plan_of(*channels, spacing=(1.0, 1.0, 1.0)) -> Plan:
    return Plan(
        spacing_mm=spacing, patch=(8, 8, 8), strides=((1, 1, 1),), kernels=((3, 3, 3),), filters=(2,), channels=channels
    )


def fingerprint_of(*, spacing=(1.0, 1.0, 1.0), fine=None, size=(35.0, 51.0, 35.0)) -> Fingerprint:
    return Fingerprint(
        n_cases=1,
        median_spacing_mm=spacing,
        fine_spacing_mm=fine or spacing,
        median_size_mm=size,
        channels=(channel(),),
    )


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA", "ASR"])
def test_orientation_agrees_with_nibabel_and_is_undone(codes):
    values = np.random.default_rng(0).random((1, *SHAPE)).astype(np.float32)
    wanted = nib.Nifti1Image(values[0], np.diag([0.7, 1.1, 3.0, 1]))
    ornt = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    stored = wanted.as_reoriented(ornt)
    geometry = Geometry(stored.shape, stored.affine)
    array = np.asarray(stored.dataobj)[None]
    turned = turn(array, orientation_of(geometry))
    np.testing.assert_array_equal(turned, values)
    back = np.empty_like(array)
    turn(back, orientation_of(geometry))[...] = turned
    np.testing.assert_array_equal(back, array)


def test_restore_undoes_prepare_on_an_oblique_anisotropic_grid(geometry):
    grid = np.indices(geometry.shape).astype(np.float32)
    smooth = 0.1 + 0.05 * grid[0] + 0.03 * grid[1] + 0.02 * grid[2]
    plain = plan_of(channel("noNorm"), spacing=(1.0, 1.0, 2.0))
    prepared = prepare_image(Image(smooth[None], geometry, ("noNorm",)), plain)
    assert prepared.shape == (1, round(5 * 0.7 / 1), round(7 * 1.1 / 1), round(11 * 3 / 2))
    back = restore(prepared, geometry, exclusive=False)
    inner = (0, slice(1, -1), slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(back[inner], smooth[inner[1:]], atol=0.02)


def test_resampling_keeps_the_extent():
    """Halving a ramp gives the means of its pairs: voxels are cells, not points."""
    ramp = np.arange(8, dtype=np.float32).reshape(8, 1, 1)
    np.testing.assert_allclose(resample(ramp, (4, 1, 1), order=1)[:, 0, 0], [0.5, 2.5, 4.5, 6.5])


def test_labels_keep_their_values_and_thin_structures_their_place(geometry):
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[1:4, 2:5, 3:8] = 5
    labels[2:4, 3:5, 5:7] = 1
    prepared = prepare_labels(labels, geometry, plan_of(channel(), spacing=(0.35, 0.55, 1.5)))
    assert prepared.shape == (10, 14, 22)
    assert set(np.unique(prepared)) == {0, 1, 5}
    for value in (1, 5):
        assert (prepared == value).sum() == pytest.approx(8 * (labels == value).sum(), rel=0.15)


def test_ct_is_clipped_and_scaled_with_the_dataset():
    values = np.array([-1000, 20, 50, 60, 3000], dtype=np.float32).reshape(5, 1, 1)
    found = normalise(values, plan_of(channel("ct")), channel=0)
    np.testing.assert_allclose(found[:, 0, 0], [(20 - 50) / 10, (20 - 50) / 10, 0, (60 - 50) / 10, (80 - 50) / 10])


def test_other_images_get_their_own_z_score():
    values = np.array([2, 4], dtype=np.float32).reshape(2, 1, 1)
    np.testing.assert_allclose(normalise(values, plan_of(channel("T1")), channel=0)[:, 0, 0], [-1, 1])


def test_masked_images_leave_the_zeros_out_of_the_z_score():
    values = np.array([0, 0, 2, 4], dtype=np.float32).reshape(4, 1, 1)
    found = normalise(values, plan_of(channel("T1", zero_share=0.5)), channel=0)
    np.testing.assert_allclose(found[2:, 0, 0], [-1, 1])


def test_fingerprint_pools_the_structures_of_all_cases(geometry):
    values = np.zeros((1, *geometry.shape), dtype=np.float32)
    labels = np.zeros(geometry.shape, dtype=np.uint8)
    labels[0, 0, :4] = 1
    values[0, 0, 0, :4] = [10, 20, 30, 40]
    cases = [case_fingerprint(Image(values + step, geometry, ("CT",)), labels) for step in (0, 100)]
    found = fingerprint(cases, channels=("CT",))
    assert found.channels[0].scheme == "ct"
    assert found.channels[0].mean == pytest.approx((10 + 20 + 30 + 40) / 4 + 100 / 2)
    assert found.median_spacing_mm == pytest.approx((0.7, 1.1, 3.0))
    assert found.median_size_mm == pytest.approx((5 * 0.7, 7 * 1.1, 11 * 3.0))
    with pytest.raises(ValueError, match="foreground"):
        fingerprint([case_fingerprint(Image(values, geometry, ("CT",)), 0 * labels)], channels=("CT",))


def test_plan_halves_while_there_are_eight_voxels():
    found = plan(fingerprint_of(), TrainingSettings(width=16))
    assert found.strides == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2))
    assert found.patch == (40, 56, 40)
    assert found.filters == (16, 32, 64, 128)
    assert plan(fingerprint_of(), TrainingSettings(levels=3)).patch == (36, 52, 36)


def test_plan_leaves_a_coarse_axis_whole_until_the_others_are_as_coarse():
    found = plan(fingerprint_of(spacing=(1.0, 1.0, 4.5), size=(64.0, 64.0, 90.0)), TrainingSettings())
    assert found.strides[1:4] == ((2, 2, 1), (2, 2, 1), (2, 2, 2))
    assert found.kernels[:4] == ((3, 3, 1), (3, 3, 1), (3, 3, 3), (3, 3, 3))
    assert found.coarse_axis == 2


def test_patch_is_limited_and_fits_the_strides():
    settings = TrainingSettings(patch_voxels=20_000)
    found = plan(fingerprint_of(size=(200.0, 90.0, 90.0)), settings)
    total = np.prod(found.strides, axis=0)
    assert (np.asarray(found.patch) % total == 0).all()
    assert np.prod(found.patch) < 1.6 * 20_000
    assert Plan.from_dict(found.to_dict()) == found


def test_restored_probabilities_sum_to_one(geometry):
    classes = Classes.exclusive_of({"background": 0, "a": 1, "b": 2})
    random = np.random.default_rng(0).random((3, 4, 8, 16)).astype(np.float32)
    back = restore(random / random.sum(axis=0), geometry, exclusive=classes.exclusive)
    assert back.shape == (3, *geometry.shape)
    np.testing.assert_allclose(back.sum(axis=0), 1, atol=1e-6)
