"""The verb dose on a phantom whose dose uncertainty is known; calibrated doses; the pages that show them."""

import csv
import json
import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from plausible.core import InvalidInput
from plausible.io import write_image
from plausible.report.dose_model import CaseDose
from plausible.runs.calibration import read_calibration, write_calibration
from plausible.runs.dose_calibrated import calibrated_case
from plausible.runs.dose_calibration import DoseCalibrateSettings, calibrate_doses
from plausible.runs.dose_settings import DoseSettings
from plausible.runs.dose_tables import read_dose_result, read_dose_results
from plausible.runs.phantom import MEAN_LIMIT_GY, PhantomFiles, write_phantom
from plausible.simulate import dose_phantom
from plausible.simulate.dose_phantom import CENTRE_GY, SHIFT_SD_MM
from tests.cli.program import run

N = 12
WHO = DoseCalibrateSettings(population="phantoms", alpha=0.2, missed=0.1, tails="shared")


def line(files: PhantomFiles, out, *more):
    return ("-i", files.members, "--images", files.images, "--dose", files.doses, "--constraints", files.constraints,
            "-o", out, "-q", *more)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_phantom(tmp_path_factory.mktemp("phantom"), n_members=N, seed=2)


@pytest.fixture(scope="module")
def judged(files, tmp_path_factory) -> CaseDose:
    out = tmp_path_factory.mktemp("judged")
    run("dose", *line(files, out))
    found = read_dose_result(out / "phantom")
    assert found is not None
    return found


def metric(case: CaseDose, structure: str, text: str):
    (one,) = (s for s in case.structures if s.name == structure)
    return next(m for m in one.metrics if m.metric == text)


def test_every_member_has_the_mean_dose_of_its_shift(judged):
    """A cylinder in a linear dose of 1 Gy/mm: mean dose = 40 Gy + shift; a concentric ball keeps 40 Gy.

    Flat faces along the slices are the worst case of the sub-voxel cut: they lie within half a quarter of 2 mm.
    """
    truth = dose_phantom(n_members=N, seed=2)
    np.testing.assert_allclose(metric(judged, "Cylinder", "Mean[Gy]").members, CENTRE_GY + truth.shifts_mm, atol=0.25)
    np.testing.assert_allclose(metric(judged, "Ball", "Mean[Gy]").members, CENTRE_GY, atol=0.02)
    k_2 = 0.831925
    np.testing.assert_allclose(metric(judged, "Ball", "D2%[Gy]").members, CENTRE_GY + k_2 * truth.radii_mm, atol=0.1)


def test_the_risk_of_a_constraint_is_the_share_of_members_beyond_it(judged):
    truth = dose_phantom(n_members=N, seed=2)
    beyond = int((CENTRE_GY + truth.shifts_mm > MEAN_LIMIT_GY).sum())
    (cylinder,) = (s for s in judged.structures if s.name == "Cylinder")
    (one,) = (c for c in cylinder.constraints if c.metric == "Mean[Gy]")
    assert (one.k, one.n) == (beyond, N)
    assert one.low <= beyond / N <= one.high
    (ball,) = (s for s in judged.structures if s.name == "Ball")
    assert [c.verdict for c in ball.constraints if c.metric == "Mean[Gy]"] == ["pass"]


def test_spread_of_the_curve_is_that_of_the_members(judged):
    (cylinder,) = (s for s in judged.structures if s.name == "Cylinder")
    curves = cylinder.curves
    assert curves is not None
    at = int(np.argmin(np.abs(np.array(curves.dose_gy) - CENTRE_GY)))
    expected = np.std(dose_phantom(n_members=N, seed=2).shifts_mm, ddof=1) / 24  # V(d) falls by 1/24 a Gy
    assert curves.sd[at] == pytest.approx(expected, rel=0.1)
    assert max(curves.sd) < 0.5
    assert SHIFT_SD_MM == 3.0


def test_a_second_run_keeps_and_another_constraint_file_judges_again(files, tmp_path):
    shutil.copytree(files.folder, tmp_path / "own", dirs_exist_ok=True)
    own, out = PhantomFiles(tmp_path / "own"), tmp_path / "out"
    assert json.loads(run("dose", *line(own, out, "--json")).stdout)["failures"] == []
    first = (out / "phantom" / "dose.json").stat().st_mtime_ns
    run("dose", *line(own, out))
    assert (out / "phantom" / "dose.json").stat().st_mtime_ns == first
    own.constraints.write_text(own.constraints.read_text().replace("limit = 48", "limit = 30"))
    run("dose", *line(own, out))
    assert (out / "phantom" / "dose.json").stat().st_mtime_ns != first


def test_the_coverage_map_counts_members_as_the_curves_do(files, tmp_path):
    out = tmp_path / "out"
    run("dose", *line(files, out))
    with (out / "phantom" / "dose_volume_coverage.csv").open(encoding="utf-8-sig", newline="") as table:
        rows = [row for row in csv.DictReader(table) if row["structure"] == "Cylinder"]
    truth = dose_phantom(n_members=N, seed=2)
    (half,) = (row for row in rows if (row["dose_gy"], row["volume_percent"]) == (str(float(CENTRE_GY)), "50.0"))
    # half of the cylinder receives 40 Gy if it shifted up
    assert float(half["probability"]) == pytest.approx(np.mean(truth.shifts_mm > 0), abs=1.01 / N)
    assert {float(row["probability"]) for row in rows if row["dose_gy"] == "0.0"} == {1.0}
    assert {float(row["volume_percent"]) for row in rows} == {5.0 * n for n in range(1, 21)}


def test_assess_with_a_dose_shows_it_on_the_page(files, tmp_path):
    out = tmp_path / "out"
    run("assess", *line(files, out))
    page = (out / "phantom" / "case.html").read_text()
    for words in ("Dose-volume histograms", "P(violation)", "Cylinder", "D2% ≤ 60 Gy", "dose aware uncertainty"):
        assert words in page, words
    assert "Cylinder" in (out / "cohort.html").read_text()
    header = (out / "constraints.csv").read_text().splitlines()[0]
    assert header.removeprefix("\ufeff").startswith("subject,structure")


def patients(judged: CaseDose, n: int, *, seed: int = 0) -> list[CaseDose]:
    """Patients like the phantom whose true contour is another draw of its members' distribution."""
    rng, made = np.random.default_rng(seed), []
    for k in range(n):
        shift = float(rng.normal(0, 3))
        structures = tuple(_with_reference(s, shift) for s in judged.structures)
        made.append(replace(judged, subject=f"p{k:03}", structures=structures, raters=("truth",)))
    return made


def _with_reference(structure, shift):
    metrics = tuple(replace(m, reference={"truth": m.nominal + shift}) for m in structure.metrics)
    constraints = tuple(
        replace(c, reference_violates={"truth": c.nominal + shift > c.limit}) for c in structure.constraints
    )
    dose = np.array(structure.curves.dose_gy)
    moved = np.interp(dose - shift, dose, np.array(structure.curves.nominal, dtype=float))
    curves = replace(structure.curves, reference={"truth": tuple(moved.tolist())})
    return replace(structure, metrics=metrics, constraints=constraints, curves=curves)


def test_calibrated_intervals_bands_and_rules_of_new_patients(judged, tmp_path):
    cases = patients(judged, 49)
    made = calibrate_doses(cases, WHO, today=date(2026, 3, 2))
    assert not made.refused
    write_calibration(tmp_path / "cal.json", made)
    back = read_calibration(tmp_path / "cal.json")
    assert back.statements == made.statements
    inside, bands, missed = [], [], []
    for case in (replace(one, subject=f"new_{one.subject}") for one in patients(judged, 60, seed=1)):
        found = calibrated_case(case, back)
        one = metric(found, "Cylinder", "Mean[Gy]")
        inside.append(one.calibrated[0] <= one.reference["truth"] <= one.calibrated[1])
        (cylinder,) = (s for s in found.structures if s.name == "Cylinder")
        curves = cylinder.curves
        low, high, true = (
            np.array(c) for c in (curves.low_calibrated, curves.high_calibrated, curves.reference["truth"])
        )
        bands.append(bool(((low <= true + 0.02) & (true <= high + 0.02)).all()))
        missed += [c.calibrated_pass and c.reference_violates["truth"] for c in cylinder.constraints]
    assert 0.65 <= np.mean(inside) <= 0.95
    assert 0.6 <= np.mean(bands) <= 1.0
    assert np.mean(missed) <= 0.2


def test_patients_of_the_calibration_are_refused(judged):
    cases = patients(judged, 20)
    with pytest.raises(InvalidInput, match="E402"):
        calibrated_case(cases[3], calibrate_doses(cases, WHO, today=date(2026, 3, 2)))


def test_a_calibration_needs_one_true_contour_a_patient(judged):
    with pytest.raises(InvalidInput, match="E406") as caught:
        calibrate_doses([judged], WHO, today=date(2026, 3, 2))
    assert "--references" in caught.value.problem.fix
    two = [replace(one, raters=("truth", "other")) for one in patients(judged, 20)]
    with pytest.raises(InvalidInput, match="truth, other"):
        calibrate_doses(two, WHO, today=date(2026, 3, 2))
    assert calibrate_doses(two, replace(WHO, rater="truth"), today=date(2026, 3, 2)).records


def test_the_verb_calibrates_and_the_dose_shows_the_promises(judged, files, tmp_path):
    from plausible.io.atomic import write_text
    from plausible.report.schema import to_json

    for case in patients(judged, 20):
        write_text(tmp_path / "cal" / case.subject / "dose.json", to_json(case))
    assert len(read_dose_results(tmp_path / "cal")) == 20
    told = run(
        "calibrate-dose", tmp_path / "cal", "-o", tmp_path / "cal.json", "--population", "phantoms", "--alpha", "0.2"
    )
    assert "the whole dose-volume histogram of Ball" in told.stdout
    out = tmp_path / "out"
    run("assess", *line(files, out, "--dose-calibration", tmp_path / "cal.json"))
    page = (out / "phantom" / "case.html").read_text()
    assert "calibrated band" in page
    assert "Calibrated on 20 patients (phantoms)" in page
    assert "E402" not in page
    run("calibrate-dose", tmp_path / "nothing", "-o", tmp_path / "no.json", "--population", "x", code=2)


def test_what_is_undefined_in_a_new_patient_stays_without_a_promise(judged):
    made = calibrate_doses(patients(judged, 20), WHO, today=date(2026, 3, 2))
    undefined = tuple(
        replace(
            s,
            metrics=tuple(replace(m, nominal=float("nan"), sd=float("nan")) for m in s.metrics),
            curves=replace(s.curves, nominal=(float("nan"),) * len(s.curves.dose_gy)),
        )
        for s in judged.structures
    )
    found = calibrated_case(replace(judged, subject="new", structures=undefined), made)
    assert all(m.calibrated is None for s in found.structures for m in s.metrics)
    assert all(c.calibrated_pass is None for s in found.structures for c in s.constraints)
    assert all(s.curves.low_calibrated == () for s in found.structures)


def test_a_reference_hotter_than_every_member_keeps_its_whole_curve(files, tmp_path):
    """The grid of doses must reach the end of the reference, or a calibration would not see what members miss."""
    from plausible.dose import Dvh, dvh_bands

    def block(low: float, high: float) -> Dvh:
        return Dvh(
            np.array([low, high], dtype=float),
            np.array([10.0, 0.0]),
            10.0,
            (low + high) / 2,
            low,
            high,
            0.0,
            100,
            0.1,
            "test",
        )

    members = [block(10.0, 20.0), block(12.0, 24.0)]
    bands = dvh_bands(members, nominal=members[0], beside=[block(15.0, 45.0)])
    assert bands.dose_gy[-1] > 45


def test_a_patient_of_the_calibration_keeps_what_is_there(judged, files, tmp_path):
    out = tmp_path / "out"
    run("dose", *line(files, out))
    before = (out / "phantom" / "dose.json").read_bytes()
    cases = [*patients(judged, 19), replace(patients(judged, 1)[0], subject="phantom")]
    write_calibration(tmp_path / "cal.json", calibrate_doses(cases, WHO, today=date(2026, 3, 2)))
    done = run("dose", *line(files, out, "--dose-calibration", tmp_path / "cal.json"), code=4)
    assert "E402" in done.stderr
    assert (out / "phantom" / "dose.json").read_bytes() == before


def test_what_reading_the_dose_warned_of_stays_with_the_case(files, tmp_path):
    """A dose in cGy is not changed; the warning is in dose.json and on the page, also when the case is kept."""
    shutil.copytree(files.folder, tmp_path / "own", dirs_exist_ok=True)
    own, out = PhantomFiles(tmp_path / "own"), tmp_path / "out"
    phantom = dose_phantom(n_members=N, seed=2)
    write_image(own.doses / "phantom.nii.gz", phantom.dose.dose_gy * 100, phantom.dose.geometry)
    for _ in range(2):
        run("dose", *line(own, out))
        found = read_dose_result(out / "phantom")
        assert found is not None
        assert any("maximum of" in text for text in found.warnings)


@pytest.mark.parametrize("wrong", [{"pass_up_to": 0.5, "fail_from": 0.5}, {"risk_level": 1.0}])
def test_settings_are_refused_as_the_risk_refuses_them(wrong):
    with pytest.raises(ValueError, match=r"between 0 and 1|from 0 to 1"):
        DoseSettings(**wrong)


def test_two_doses_of_one_case_are_refused(files, tmp_path):
    shutil.copytree(files.folder, tmp_path / "own", dirs_exist_ok=True)
    own = PhantomFiles(tmp_path / "own")
    shutil.copyfile(own.doses / "phantom.nii.gz", own.doses / "phantom_0000.nii.gz")
    done = run("dose", *line(own, tmp_path / "out"), code=4)
    assert "two doses of one case" in done.stderr
