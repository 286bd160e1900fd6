"""The truth as the measures see it: an oracle's members are certain of the share of raters, raters disagree by it."""

import numpy as np
import pytest

from plausible.core import MemberInfo, Members
from plausible.measure import voxel_maps
from plausible.simulate import TOY_CASES, simulate_one
from plausible.simulate.toy import CLASSES


@pytest.mark.parametrize("clean", [False, True])
def test_an_oracle_has_the_aleatoric_entropy_and_no_mutual_information(clean):
    toy = simulate_one(TOY_CASES["1"][0], 3, size=32, clean=clean)
    fraction, entropy = (scalar.values for scalar in toy.truth)
    oracle = np.concatenate([1 - fraction, fraction])
    members = Members.from_arrays([oracle] * 4, geometry=toy.image.geometry, classes=CLASSES)
    maps = voxel_maps(members)
    np.testing.assert_allclose(maps["expected_entropy"].values, entropy, atol=1e-6)
    np.testing.assert_allclose(maps["mutual_information"].values, 0, atol=1e-12)


def test_raters_as_members_have_the_entropy_as_disagreement():
    """Hard members have no entropy of their own: what raters leave open is all between them."""
    toy = simulate_one(TOY_CASES["1"][0], 3, size=32)
    infos = [MemberInfo(id=f"rater_{n}", kind="rater") for n in range(3)]
    labels = [toy.labels(n).values for n in range(3)]
    maps = voxel_maps(Members.from_labels(labels, geometry=toy.image.geometry, classes=CLASSES, infos=infos))
    np.testing.assert_allclose(maps["mutual_information"].values, toy.truth[1].values, atol=1e-6)
    np.testing.assert_allclose(maps["expected_entropy"].values, 0, atol=1e-12)
