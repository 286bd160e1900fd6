"""What others say of the files we write: dciodvfy (dicom3tools), and programs of the dcmqi and plastimatch wheels."""

import shutil
import subprocess
from pathlib import Path

import pydicom
import pytest

ABSENT = "Unrecognized tag"


def errors_of(path: Path) -> list[str]:
    """Errors that dciodvfy finds; skips where it is not installed."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    done = subprocess.run([program, str(path)], capture_output=True, text=True, timeout=60, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    assert lines, "it says at least what kind of object it is"
    return [line for line in lines if line.startswith(("Error", "Abort")) or "Assertion" in line]


def program(name: str) -> str:
    """A program on the path; skips where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (pip install dcmqi plastimatch)")
    return found


def private_elements(path: Path) -> list[str]:
    """Tags of private elements anywhere in a file."""
    return [str(one.tag) for one in pydicom.dcmread(path).iterall() if one.tag.is_private]
