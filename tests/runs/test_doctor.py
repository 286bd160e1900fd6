"""What doctor looks at, and what it calls a warning and a failure."""

import importlib.metadata
import importlib.util
import tomllib
from pathlib import Path

import pytest

from plausible.runs import doctor
from plausible.runs.doctor import EXTRAS, examine, requirements

ROOT = Path(__file__).resolve().parents[2]


def findings(output: Path) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in examine(output)}


def test_this_machine_is_fit(tmp_path):
    found = findings(tmp_path)
    assert {one.status for one in found.values()} <= {"ok", "warn"}
    assert {"python", "packages", "extra [train]", "cores", "memory", "output", "disk", "text"} <= set(found)
    assert all(one.found for one in found.values())


def test_every_dependency_and_extra_is_looked_at():
    told = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert {"numpy", "nibabel", "typer"} <= set(requirements()[""])
    assert set(EXTRAS) == set(told["optional-dependencies"])


def test_requirements_are_those_of_the_installed_package(monkeypatch):
    lines = ["numpy>=2.0", 'pillow ; python_version > "3"', "torch>=2.6; extra == 'train'", 'x-y[z]>=1; extra == "cal"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: lines)
    assert requirements() == {"": ["numpy", "pillow"], "train": ["torch"], "cal": ["x-y"]}


def test_the_output_need_not_exist_and_is_not_made(tmp_path):
    assert findings(tmp_path / "a" / "b")["output"].status == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("below", ["", "results"])
def test_an_output_that_is_a_file_or_below_one_fails(below, tmp_path):
    (tmp_path / "file").write_text("x")
    found = findings(tmp_path / "file" / below)["output"]
    assert found.status == "fail"
    assert found.fix == "choose another folder with -o"


def test_a_missing_package_fails_and_a_missing_extra_does_not(tmp_path, monkeypatch):
    version = importlib.metadata.version

    def some_version(name: str) -> str:
        if name in ("zarr", "torch"):
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", some_version)
    found = findings(tmp_path)
    assert (found["packages"].status, found["packages"].found) == ("fail", "missing: zarr")
    assert (found["extra [train]"].status, found["extra [train]"].found) == ("warn", "missing: torch")
    assert found["extra [train]"].fix.endswith('pip install "plausible[train]"')


def test_without_torch_no_accelerator_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "CUDA" not in findings(tmp_path)


def test_little_memory_and_a_full_disk_are_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "LITTLE_MEMORY_GB", 1e9)
    monkeypatch.setattr(doctor, "LITTLE_DISK_GB", 1e9)
    found = findings(tmp_path)
    assert found["memory"].status == found["disk"].status == "warn"


def test_a_terminal_that_is_not_utf_8_is_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.locale, "getpreferredencoding", lambda do_setlocale: "ANSI_X3.4-1968")
    assert findings(tmp_path)["text"].status == "warn"
