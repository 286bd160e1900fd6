"""The closed loop over a study: noise on a surface, records, what is kept after a kill, what is refused."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
from scipy.sparse import csr_array

from plausible.core import Case, Classes, Geometry, InvalidInput, Members
from plausible.dose.plan import BeamSettings, Convergence, FinishedPlan, Influence, PlanGoal, SearchSettings
from plausible.io import read_scalar_map, read_study
from plausible.io.dicom import read_series
from plausible.runs import replan_case as runs_case
from plausible.runs.assess_case import assess_members
from plausible.runs.replan import Replan, _lacking, estimate_case, replan_case, replan_study
from plausible.runs.replan_contours import (
    _reference,
    body_of,
    noisy_contourings,
    signed_distance_mm,
)
from plausible.runs.replan_doses import dose_statistics
from plausible.runs.replan_fixed import FixedStructures, checked
from plausible.runs.replan_goals import read_goals
from plausible.runs.replan_record import matrices_of
from plausible.runs.replan_settings import NoiseSettings, ReplanSettings
from plausible.runs.settings import AssessSettings
from tests.io.dicom.writer import rtstruct
from tests.io.test_dicom_study import CASE, loops, write_case

SHAPE = (32, 28, 12)
AFFINE = np.diag([6.0, 6.0, 6.0, 1.0])
GEOMETRY = Geometry(SHAPE, AFFINE)
MIDDLE = (np.array(SHAPE) - 1) / 2 * 6
POINTS = (np.argwhere(np.ones(SHAPE, dtype=bool)) * 6 - MIDDLE).reshape(*SHAPE, 3)
BODY = ((POINTS[..., :2] / [85, 75]) ** 2).sum(axis=-1) < 1
TARGET = (POINTS**2).sum(axis=-1) <= 22**2
CORD = (((POINTS[..., :2] - [0, -45]) / 10) ** 2).sum(axis=-1) < 1
GOALS = (
    PlanGoal(structure="PTV_60", objective="target_dose", dose_gy=60, weight=1000, aim=1.01),
    PlanGoal(structure="SpinalCord", objective="maximum_dose", dose_gy=20, weight=100, keeps_overlap=True),
    PlanGoal(structure="body", objective="mean_dose"),
)
REPLAN = Replan(
    settings=ReplanSettings(dose_mm=6.0),
    beams=BeamSettings(angles_deg=(0.0, 120.0, 240.0), beamlet_mm=12.0),
    search=SearchSettings(iterations=15, warm_iterations=8, body_share=0.2),
    noise=NoiseSettings(noise_mm=3.0, draws=2),
    goals=GOALS,
)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, AFFINE), path)


@pytest.fixture
def folder(tmp_path):
    """A study of one case: CT, labels of target and cord."""
    labels = np.where(TARGET, 1, np.where(CORD, 2, 0)).astype(np.uint8)
    save(tmp_path / "labels" / "case.nii.gz", labels)
    save(tmp_path / "images" / "case_0000.nii.gz", np.where(BODY, 30, -1000).astype(np.int16))
    told = {"labels": {"background": 0, "PTV60": 1, "cord": 2}, "file_ending": ".nii.gz", "channel_names": {"0": "CT"}}
    (tmp_path / "labels" / "dataset.json").write_text(json.dumps(told))
    return tmp_path


def test_statistics_of_doses_are_numpys():
    rng = np.random.default_rng(3)
    geometry = Geometry((4, 3, 2), np.eye(4))
    matrix = csr_array(rng.random((20, 6)).astype(np.float32))
    influence = Influence(matrix, np.arange(2, 22), geometry, "test", np.zeros(6, dtype=np.int64))
    how = Convergence((1.0,), 1, 0.0, True, "")
    plans = [FinishedPlan(str(n), w, w, 1.0, how) for n, w in enumerate(rng.random((5, 6)))]
    mean, sd = dose_statistics(influence, plans)
    doses = np.stack([influence.dose(plan.weights).dose_gy for plan in plans]).astype(np.float64)
    np.testing.assert_allclose(mean.values[0], doses.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(sd.values[0], doses.std(axis=0, ddof=1), atol=1e-6)
    assert sd.values[0].ravel()[:2].tolist() == [0, 0]
    assert dose_statistics(influence, plans[:1]) == ()


def study_of(folder):
    return read_study(folder / "labels", images=folder / "images", references=folder / "labels")


def test_a_study_gets_a_record_a_table_and_a_page(folder):
    goals = (PlanGoal(structure="PTV60", objective="target_dose", dose_gy=60, weight=1000), *GOALS[1:])
    told = Replan(settings=REPLAN.settings, beams=REPLAN.beams, search=REPLAN.search, noise=REPLAN.noise, goals=goals)
    found = replan_study(study_of(folder), folder / "out", replan=told)
    assert found.failures == ()
    assert [(line.structure, line.metric) for line in found.lines] == [("PTV60", "D95%[Gy]"), ("cord", "D0.1cc[Gy]")]
    record = json.loads((folder / "out" / "case" / "replan.json").read_text())
    assert [plan["id"] for plan in record["plans"]] == ["reference", "draw_0", "draw_1"]
    assert record["reference"].startswith("the reference")
    assert np.diagonal(np.array(record["metrics"][0]["values"])) == pytest.approx(60, abs=1e-3)
    assert record["plans"][0]["iterations"] <= 15
    assert record["maps"] == ["replanned_dose_mean.nii.gz", "replanned_dose_sd.nii.gz"]
    mean, sd = (read_scalar_map(folder / "out" / "case" / name) for name in record["maps"])
    assert mean.geometry.spacing_mm == (6.0, 6.0, 6.0)
    assert (sd.values >= 0).all()
    assert 0 < sd.values.max() < mean.values.max()
    assert "2 plausible contours" in sd.definition
    assert all(plan["iterations"] <= 8 for plan in record["plans"][1:])
    page = (folder / "out" / "replan.html").read_text()
    assert "research use only" in page.lower()
    assert "not for treatment" in page
    assert "closed loop" in (folder / "out" / "closed_loop.svg").read_text()
    assert not (folder / "out" / "case" / "replan" / "influence.npz").exists()
    assert (folder / "out" / "replan.csv").read_text(encoding="utf-8-sig").startswith("subject,structure,metric,n,")


def told_here(**changed):
    goals = (PlanGoal(structure="PTV60", objective="target_dose", dose_gy=60, weight=1000), *GOALS[1:])
    parts = {"settings": REPLAN.settings, "beams": REPLAN.beams, "search": REPLAN.search, "noise": REPLAN.noise}
    return Replan(**{**parts, "goals": goals, **changed})


def test_after_a_kill_the_same_matrix_comes_out_and_finished_plans_are_kept(folder, monkeypatch):
    case = study_of(folder).case("case")
    whole, _ = replan_case(case, folder / "whole", replan=told_here())
    made = []

    def kill(contouring, number, total, result):
        made.append(result)
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replan_case(case, folder / "killed", replan=told_here(), on_plan=kill)
    assert (folder / "killed" / "replan" / "influence.npz").exists()
    monkeypatch.setattr(runs_case, "compute_influence", lambda *_: pytest.fail("the matrix was computed again"))
    again = []
    continued, _ = replan_case(case, folder / "killed", replan=told_here(), on_plan=lambda *told: again.append(told[3]))
    assert again == ["kept", "kept", "ok"]
    for one, other in zip(matrices_of(whole), matrices_of(continued), strict=True):
        assert np.array_equal(one.values, other.values)


def test_a_finished_case_is_kept_and_other_settings_make_it_anew(folder):
    case = study_of(folder).case("case")
    assert replan_case(case, folder / "out", replan=told_here())[1] is False
    assert replan_case(case, folder / "out", replan=told_here())[1] is True
    other = told_here(search=SearchSettings(iterations=15, warm_iterations=8, body_share=0.2, search_seed=1))
    again = []
    record, kept = replan_case(case, folder / "out", replan=other, on_plan=lambda *told: again.append(told[3]))
    assert not kept
    assert again == ["ok", "ok", "ok"]
    assert record["plans"][0]["objective_last"] > 0


def test_a_damaged_plan_is_made_again(folder):
    case = study_of(folder).case("case")
    first, _ = replan_case(case, folder / "out", replan=told_here())
    (folder / "out" / "replan.json").unlink()
    (folder / "out" / "replan" / "plan_1.npz").write_bytes(b"PK damaged")
    again = []
    second, _ = replan_case(case, folder / "out", replan=told_here(), on_plan=lambda *told: again.append(told[3]))
    assert again == ["kept", "ok", "kept"]
    assert [one["values"] for one in first["metrics"]] == [one["values"] for one in second["metrics"]]


def test_targets_may_be_fixed_structures_and_then_do_not_move(folder):
    save(folder / "fixed" / "case" / "PTV_60.nii.gz", TARGET.astype(np.uint8))
    save(folder / "fixed" / "case" / "body.nii.gz", BODY.astype(np.uint8))
    fixed = checked(folder / "fixed")
    still, _ = replan_case(study_of(folder).case("case"), folder / "still", replan=REPLAN, fixed=fixed)
    moved, _ = replan_case(
        study_of(folder).case("case"), folder / "moved", replan=told_here(goals=GOALS, vary_fixed=True), fixed=fixed
    )
    volumes = [[plan["volumes_ml"]["PTV_60"] for plan in record["plans"]] for record in (still, moved)]
    assert len(set(volumes[0])) == 1
    assert len(set(volumes[1])) == 3
    assert volumes[0][0] == volumes[1][0]


def test_targets_may_be_fixed_structures_of_a_structure_set(tmp_path):
    """What the members lack and somebody has a goal for is read of a patient's folder, and the outline."""
    drawn = {"Organ": 3.0, "PTV_60": 4.0, "BODY": 6.0, "Ring": 5.0}
    rois = [(n, name, loops(radius)) for n, (name, radius) in enumerate(drawn.items(), start=1)]
    images = write_case(tmp_path, rtstruct(rois))
    series = read_series(images / CASE)
    fixed = checked(images)
    masks, grid = fixed.read(
        CASE, on=series.geometry, frame=series.frame, wanted=lambda names: _lacking(names, ["Organ"], GOALS)
    )
    assert grid is series.geometry
    assert set(masks) == {"PTV_60", "body"}
    assert masks["PTV_60"].sum() < masks["body"].sum()
    assert list(fixed.files_of(CASE)) == ["fixed structures"]
    with pytest.raises(InvalidInput, match="E627"):
        fixed.read(CASE)


def test_the_estimate_is_near_what_is_computed(folder):
    case = study_of(folder).case("case")
    size = estimate_case(case, replan=told_here())
    record, _ = replan_case(case, folder / "out", replan=told_here())
    assert size.n_plans == len(record["plans"])
    assert size.n_beamlets == record["n_beamlets"]
    assert size.n_nonzeros == pytest.approx(record["n_nonzeros"], rel=0.3)


def test_members_are_planned_on_as_they_are(folder):
    for n, radius in enumerate((16, 22, 27)):
        labels = np.where((POINTS**2).sum(axis=-1) <= radius**2, 1, np.where(CORD, 2, 0)).astype(np.uint8)
        save(folder / "members" / f"member_{n}" / "case.nii.gz", labels)
        told = (folder / "labels" / "dataset.json").read_text()
        (folder / "members" / f"member_{n}" / "dataset.json").write_text(told)
    study = read_study(folder / "members", images=folder / "images", references=folder / "labels")
    record, _ = replan_case(study.case("case"), folder / "out", replan=told_here(noise=NoiseSettings()))
    assert record["plans"][0]["id"] == "reference"
    assert len(record["plans"]) == 4
    target = matrices_of(record)[0]
    small, same, large = target.fixed
    assert small > same > large  # what a fixed dose says
    assert target.closed[0] < target.closed[2]  # what planning on them does
    assert target.loss[1] == pytest.approx(0, abs=1.5)


@pytest.mark.parametrize("noise_mm", [1.0, 3.0])
def test_noise_moves_a_surface_by_its_sd(noise_mm):
    geometry = Geometry((60, 60, 60), np.eye(4))
    ball = (((np.argwhere(np.ones(geometry.shape, dtype=bool)) - 29.5) ** 2).sum(axis=1) < 18**2).reshape(60, 60, 60)
    noise = NoiseSettings(noise_mm=noise_mm, noise_correlation_mm=500.0, draws=60)  # moves as a whole
    volumes = [each.regions["ball"].volume_ml for each in noisy_contourings({"ball": ball}, {}, geometry, noise)]
    radii = (np.array(volumes) * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    assert radii.std(ddof=1) == pytest.approx(noise_mm, rel=0.25)
    assert radii.mean() == pytest.approx(18, abs=4 * noise_mm / np.sqrt(60) + 0.2)


def test_noise_depends_on_seed_subject_draw_and_name_only():
    masks = {"a": TARGET, "b": TARGET}
    draws = list(noisy_contourings(masks, {"c": CORD}, GEOMETRY, NoiseSettings(noise_mm=4.0, draws=3), subject="s"))
    fewer = list(noisy_contourings({"b": TARGET}, {}, GEOMETRY, NoiseSettings(noise_mm=4.0, draws=1), subject="s"))
    other = list(noisy_contourings({"b": TARGET}, {}, GEOMETRY, NoiseSettings(noise_mm=4.0, draws=1), subject="t"))
    assert draws[0].regions["b"].key == fewer[0].regions["b"].key
    assert other[0].regions["b"].key != fewer[0].regions["b"].key
    keys = {each.regions[name].key for each in draws for name in ("a", "b")}
    assert len(keys) == 6
    assert len({each.regions["c"].key for each in draws}) == 1


def test_noise_stays_in_the_body():
    allowed = POINTS[..., 0] < 8
    noise = NoiseSettings(noise_mm=6.0, draws=4)
    inside = TARGET & allowed
    for each in noisy_contourings({"a": inside}, {}, GEOMETRY, noise, body=allowed):
        assert not (each.regions["a"].onto(GEOMETRY) & ~allowed).any()


def test_signed_distance_is_to_the_faces_of_the_voxels():
    geometry = Geometry((9, 7, 5), np.diag([2.0, 3.0, 4.0, 1.0]))
    slab = np.zeros(geometry.shape, dtype=bool)
    slab[3:6] = True
    found = signed_distance_mm(slab, geometry)[:, 3, 2]
    assert found == pytest.approx([-5, -3, -1, 1, 3, 1, -1, -3, -5])
    assert np.isneginf(signed_distance_mm(np.zeros((2, 2, 2), dtype=bool), GEOMETRY)).all()


def test_the_body_is_the_largest_part_with_what_it_encloses():
    image = np.full(SHAPE, -1000.0)
    image[BODY] = 40
    image[14:17, 12:15] = -900  # an airway
    image[0, 0] = 100  # the couch
    found = body_of(image, GEOMETRY)
    assert np.array_equal(found, BODY)
    with pytest.raises(InvalidInput, match="E652"):
        body_of(np.full(SHAPE, -1000.0), GEOMETRY)


def test_a_case_without_what_it_needs_is_listed(folder):
    study = study_of(folder)
    told = told_here(goals=GOALS)  # PTV_60 is known as PTV60 to nobody
    assert [p.code for p in replan_study(study, folder / "out", replan=told).failures] == ["E651"]
    assert [p.code for p in replan_study(study, folder / "a", replan=told_here(
        goals=(PlanGoal(structure="GTV", objective="target_dose", dose_gy=60),))).failures] == ["E651"]  # fmt: skip
    bare = read_study(folder / "labels", references=folder / "labels")
    assert [p.code for p in replan_study(bare, folder / "b", replan=told_here()).failures] == ["E652"]


def test_an_unreadable_case_stops_nobody(folder):
    for name in ("labels/{}.nii.gz", "images/{}_0000.nii.gz"):
        shutil.copy(folder / name.format("case"), folder / name.format("another"))
    study = study_of(folder)
    (folder / "images" / "another_0000.nii.gz").unlink()
    found = replan_study(study, folder / "out", replan=told_here(noise=NoiseSettings(noise_mm=3.0, draws=1)))
    assert [(p.code, p.subject) for p in found.failures] == [("E305", "another")]
    assert found.done == ("case",)


def test_what_one_case_lacks_is_its_own_failure(folder):
    for name in ("labels/{}.nii.gz", "images/{}_0000.nii.gz"):
        shutil.copy(folder / name.format("case"), folder / name.format("another"))
    save(folder / "labels" / "another.nii.gz", TARGET.astype(np.uint8))  # no cord
    asked = ReplanSettings(dose_mm=6.0, metric=("cord:Mean[Gy]",))
    told = told_here(settings=asked, noise=NoiseSettings(noise_mm=3.0, draws=1))
    found = replan_study(study_of(folder), folder / "out", replan=told)
    assert [(p.code, p.subject) for p in found.failures] == [("E653", "another")]
    assert found.done == ("case",)


def test_of_several_references_one_must_be_chosen(folder):
    references = dict.fromkeys("ab", folder / "labels")
    study = read_study(folder / "labels", images=folder / "images", references=references)
    (problem,) = replan_study(study, folder / "out", replan=told_here()).failures
    assert (problem.code, problem.found) == ("E654", "several references: a, b")


def test_goals_from_a_file(tmp_path):
    path = tmp_path / "goals.toml"
    path.write_text('[[goal]]\nstructure = "PTV"\nobjective = "target_dose"\ndose_gy = 50\nweight = 10\n')
    assert read_goals(path) == (PlanGoal(structure="PTV", objective="target_dose", dose_gy=50.0, weight=10.0),)
    for wrong, found in [
        ("goal = 3", "the keys goal"),
        ("[[goal]]\n", "goal 1"),
        ('[[goal]]\nstructure = "a"\nobjective = "none"\n', "no objective 'none'"),
        ('[[goal]]\nstructure = "a"\nobjective = "mean_dose"\nlevel = 3\n', "unknown fields"),
        ('[[goal]]\nstructure = "a"\nobjective = "mean_dose"\n', "nothing has a prescription"),
        ("[[goal", "TOMLDecodeError"),
    ]:
        path.write_text(wrong)
        with pytest.raises(InvalidInput, match="E653") as error:
            read_goals(path)
        assert found in str(error.value)


def test_settings_are_checked(tmp_path):
    with pytest.raises(ValueError, match="STRUCTURE:METRIC"):
        ReplanSettings(metric=("D95%",))
    with pytest.raises(InvalidInput, match="E703"):
        ReplanSettings(metric=("PTV:best",))
    with pytest.raises(ValueError, match="noise_mm"):
        NoiseSettings(noise_mm=-1.0)
    with pytest.raises(InvalidInput, match="E108"):
        checked(tmp_path / "nowhere")
    assert ReplanSettings(metric=("a:Mean",)).asked(GOALS, ["a"])[0].metric.text == "Mean[Gy]"
    with pytest.raises(InvalidInput, match="E653"):
        ReplanSettings(metric=("b:Mean",)).asked(GOALS, ["a"])
    assert FixedStructures(tmp_path).read("nobody") == ({}, None)
    assert Classes.exclusive_of({"background": 0}).structures == ()


def test_without_a_reference_plans_are_made_on_the_segmentation_that_assess_makes():
    """Members on a coarse scale tie often between classes; both must decide alike."""
    rng = np.random.default_rng(1)
    classes = Classes.exclusive_of({"background": 0, "PTV70": 1, "SpinalCord": 2})
    counts = rng.multinomial(20, [1 / 3] * 3, size=(5, 9, 8, 7))
    arrays = [np.moveaxis(one / 20, -1, 0).astype(np.float32) for one in counts]
    members = Members.from_arrays(arrays, geometry=Geometry((9, 8, 7), np.eye(4)), classes=classes, subject="a")
    masks, geometry, called = _reference(Case("a", classes, load_members=lambda: members))
    segmentation = assess_members(members, AssessSettings()).segmentation
    for name, mask in masks.items():
        np.testing.assert_array_equal(mask, segmentation.mask(name))
    assert geometry.matches(members.geometry)
    assert "mean probability" in called
