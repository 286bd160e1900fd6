"""The demonstration end to end on the bundled data and model, with no way out to a network."""

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from plausible.io import read_rows
from plausible.report import case_from_json, cohort_from_json
from plausible.runs.demo import Demo
from plausible.train import read_model
from tests.report.browsing import chromium, open_in

pytest.importorskip("torch", reason="predicting needs the extra [train]")

CASES = [f"hippocampus_{n}" for n in ("025", "037", "039", "053", "252", "261")]
OFFLINE = """
import socket
def refuse(*told):
    raise AssertionError(f"a connection was opened: {told}")
socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
from plausible.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Demo:
    """Run the demonstration once."""
    folder = tmp_path_factory.mktemp("demo") / "plausible_demo"
    command = [sys.executable, "-c", OFFLINE, "demo", "-o", str(folder), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    assert "open " in done.stdout
    assert done.stderr == ""
    return Demo(folder)


def test_the_bundled_model_is_a_deep_ensemble_that_never_saw_the_cases(demo: Demo) -> None:
    info = read_model(demo.model)
    assert info.ensemble == "deep ensemble of 5"
    assert len({record.seed for record in info.members}) == 5
    seen = {subject for record in info.members for subject in (*record.train_subjects, *record.validation_subjects)}
    assert not seen & set(CASES)
    assert len(info.provenance["inputs"]) == 2 * len(seen)


def test_the_package_stays_small() -> None:
    import plausible

    folder = Path(plausible.__file__).parent / "demo_data"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 5_000_000


def test_every_case_has_maps_numbers_and_a_page(demo: Demo) -> None:
    for subject in CASES:
        folder = demo.results / subject
        report = case_from_json((folder / "case.json").read_text("utf-8"))
        assert report.ensemble == "deep ensemble of 5"
        assert all((folder / listed.path).is_file() for listed in report.maps)
        assert (folder / "case.html").stat().st_size < 8_000_000
    assert (demo.results / "cohort.html").stat().st_size < 3_000_000


def test_the_segmentation_is_good_and_what_was_written(demo: Demo) -> None:
    rows = read_rows(demo.results / "scores.csv")
    found = [row.value for row in rows if row.measure == "dice" and row.reduction == "ensemble"]
    assert len(found) == 2 * len(CASES)
    assert np.mean(found) > 0.85
    subject = CASES[0]
    values = np.asarray(nib.load(demo.results / subject / "segmentation.nii.gz").dataobj)
    truth = np.asarray(nib.load(demo.references / f"{subject}.nii.gz").dataobj)
    for label, structure in ((1, "anterior"), (2, "posterior")):
        overlap = 2 * np.sum((values == label) & (truth == label)) / (np.sum(values == label) + np.sum(truth == label))
        wanted = dict(subject=subject, structure=structure, measure="dice", reduction="ensemble")  # noqa: C408
        (row,) = [r for r in rows if all(getattr(r, name) == value for name, value in wanted.items())]
        assert row.value == pytest.approx(overlap, abs=1e-12)


def test_the_maps_add_up(demo: Demo) -> None:
    folder = demo.results / CASES[-1]
    total, expected, mutual = (
        nib.load(folder / f"{name}.nii.gz").get_fdata()
        for name in ("predictive_entropy", "expected_entropy", "mutual_information")
    )
    step = np.log(3) / 65535
    assert np.abs(total - expected - mutual).max() < 2 * step
    assert mutual.max() > 0.01


def test_the_least_agreed_case_leads_the_triage_and_is_flagged(demo: Demo) -> None:
    cohort = cohort_from_json((demo.results / "cohort.json").read_text("utf-8"))
    least = min(cohort.lines, key=lambda line: line.agreement)
    assert least.state == "review"
    assert least.agreement < json.loads((demo.folder / "data" / "demo.json").read_text("utf-8"))["review_below"]
    assert {line.state for line in cohort.lines} == {"review", "pass"}
    assert not cohort.failures


def test_a_second_run_keeps_everything(demo: Demo) -> None:
    before = {
        p: p.read_bytes() for p in demo.results.rglob("*") if p.suffix in (".gz", ".html") or p.name == "case.json"
    }
    before.pop(demo.results / "cohort.html")
    command = [sys.executable, "-m", "plausible", "demo", "-o", str(demo.folder), "-q"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=True)
    assert "0 cases done, 6 kept from before, 0 failed" in done.stdout
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.browser
def test_both_pages_open_from_disk_without_errors_or_requests(demo: Demo) -> None:
    with chromium() as browser:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
        cohort = open_in(context, demo.results / "cohort.html")
        first = cohort.page.locator("#triage-table tbody tr th a").first
        assert first.text_content() == "hippocampus_261"
        case = open_in(context, demo.results / first.get_attribute("href"))
        assert case.page.text_content(".verdict .word") == "Review"
        before = int(case.page.text_content("#slice-number"))
        case.page.keyboard.press("j")
        assert abs(int(case.page.text_content("#slice-number")) - before) == 1
        cohort.check_quiet()
        case.check_quiet()
