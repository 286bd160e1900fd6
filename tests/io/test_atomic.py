"""A file is whole or not there; nobody removes what another run is writing."""

import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from plausible.core import Classes, Geometry, LabelMap, Member, MemberInfo, ScalarMap, UnfitEnvironment
from plausible.io import write_label_map, write_member, write_rows, write_scalar_map
from plausible.io.atomic import remove_leftovers, replacing, write_bytes, write_json, write_text
from tests.io.folders import probabilities


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def crash(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt


def test_a_crash_leaves_neither_a_file_nor_a_leftover(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        crash(tmp_path / "x.json")
    assert everything(tmp_path) == []


def test_a_crash_leaves_the_file_of_before(tmp_path: Path) -> None:
    write_text(tmp_path / "x.json", "before")
    with pytest.raises(KeyboardInterrupt):
        crash(tmp_path / "x.json")
    assert everything(tmp_path) == ["x.json"]
    assert (tmp_path / "x.json").read_text() == "before"


def test_folders_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b" / "x.json", {"ü": 1})
    assert everything(tmp_path) == ["x.json"]
    assert (tmp_path / "a" / "b" / "x.json").read_text(encoding="utf-8") == '{\n  "ü": 1\n}\n'


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "x.json", {"a": float("nan")})
    assert everything(tmp_path) == []


WRITERS: dict[str, Callable[[Path, Geometry, Classes], object]] = {
    "map": lambda folder, g, c: write_scalar_map(
        folder / "x.nii.gz",
        ScalarMap("q", np.zeros((1, *g.shape), np.float32), g, "nat", (0.0, 1.0), "d"),
        sidecar={},
    ),
    "label map": lambda folder, g, c: write_label_map(folder / "x.nii.gz", LabelMap(np.zeros(g.shape, np.uint8), g, c)),
    "member": lambda folder, g, c: write_member(
        folder,
        Member(probabilities(c, g.shape, seed=0).astype(np.float32), g, c, MemberInfo(id="m")),
        subject="x",
    ),
    "rows": lambda folder, g, c: write_rows(folder / "scores.csv", []),
}


@pytest.mark.parametrize("what", WRITERS)
def test_no_writer_leaves_half_a_file_when_renaming_fails(
    tmp_path: Path, geometry: Geometry, classes: Classes, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UnfitEnvironment) as error:
        WRITERS[what](tmp_path, geometry, classes)
    assert error.value.problem.code == "E903"
    assert "No space left on device" in error.value.problem.found
    assert everything(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is posix")
def test_a_killed_run_leaves_no_result_and_its_leftover_is_cleared_away(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from plausible.io.atomic import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half'); print('writing', flush=True); time.sleep(60)\n"
    )
    target = tmp_path / "x.nii.gz"
    writer = subprocess.Popen([sys.executable, "-c", program, str(target)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    remove_leftovers(tmp_path)
    assert len(everything(tmp_path)) == 1  # it is alive, and what it writes stays
    writer.send_signal(signal.SIGKILL)
    writer.communicate(timeout=10)
    assert not target.exists()
    assert everything(tmp_path)[0].startswith(".tmp-")
    remove_leftovers(tmp_path)
    assert everything(tmp_path) == []


def test_leftovers_of_other_machines_are_cleared_away_after_an_hour(tmp_path: Path) -> None:
    old, new = tmp_path / "a" / ".tmp-elsewhere-7-x.json", tmp_path / "a" / ".tmp-elsewhere-8-x.json"
    for path in (old, new):
        write_bytes(path, b"half")
    before = time.time() - 3700
    os.utime(old, (before, before))
    (tmp_path / "a" / "result.json").write_text("{}")
    remove_leftovers(tmp_path)
    assert everything(tmp_path) == [new.name, "result.json"]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnfitEnvironment, match="E903"):
        write_text(tmp_path / "file" / "x.json", "")


def test_a_temporary_name_says_whose_it_is_and_keeps_the_ending(tmp_path: Path) -> None:
    with replacing(tmp_path / "x.nii.gz") as temporary:
        temporary.write_bytes(b"")
        assert temporary.name == f".tmp-{platform.node()}-{os.getpid()}-x.nii.gz"
