"""The published phantoms of Nelms et al. 2015, which lie beside the repository: every statistic within 3 %."""

import sys

import pytest

pytest.importorskip("pydicom", reason="reads DICOM: pip install plausible[dicom]")


@pytest.fixture(scope="module")
def study():
    from tests.conftest import ROOT

    sys.path.insert(0, str(ROOT / "studies"))
    import nelms

    return nelms


@pytest.fixture(scope="module")
def folder(shared_data):
    found = shared_data / "dicom_rt" / "nelms2015"
    if not found.is_dir():
        pytest.skip("the phantoms of Nelms 2015 are not beside the repository (../shared/data/dicom_rt/nelms2015)")
    return found


def test_every_statistic_is_within_three_percent_with_even_change_between_planes(study, folder):
    """324 statistics, minimum and maximum among them."""
    found = study.statistics(folder, between="linear")
    assert len(found) == 36 * 9
    assert study.outside(found, limit=3.0) == []


def test_slabs_miss_only_what_slabs_must(study, folder):
    """D99 along the slices of a sphere on slices of 3 mm: the slab's own value is 5.86 Gy, the sphere's 5.41."""
    found = study.statistics(folder)
    missed = study.outside(found, limit=3.0)
    assert {(s.phantom.split("_")[0], s.slices_mm, s.gradient, s.metric) for s in missed} == {
        ("Sphere", 3.0, "Y(SI)", "D99%[Gy]")
    }
    assert [s.found for s in missed] == pytest.approx([5.86] * len(missed), abs=0.01)
    fine = [s for s in found if s.slices_mm == 1.0 and s.metric not in study.EXTREMES]
    assert max(abs(s.percent) for s in fine) < 1.7
