"""What is in the repository: no place on somebody's machine, no large file."""

import re
import shutil
import subprocess

import pytest

from tests.docs.blocks import ROOT

MACHINE = re.compile(rb"(?<![\w./:$}-])/(?:work|tmp|home|root|Users)/[\w.]")
LARGEST = 1_000_000


def files() -> list[str]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_place_on_a_machine() -> None:
    assert [name for name in files() if MACHINE.search((ROOT / name).read_bytes())] == []


def test_a_place_on_a_machine_is_seen_and_an_address_is_not() -> None:
    assert MACHINE.search(b"open('/ho" + b"me/anna/x.nii.gz')")
    assert not MACHINE.search(b"https://example.org/home/x, ../home/x, $ROOT/home/x")


def test_no_file_is_large() -> None:
    assert {name: size for name in files() if (size := (ROOT / name).stat().st_size) > LARGEST} == {}
