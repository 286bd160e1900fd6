"""The program as a person runs it: in this process, or in one of its own where it is to die."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

from typer.testing import CliRunner, Result

from plausible.cli.main import app

TIMEOUT_S = 100
DYING = """
import os, signal, sys
replace, at, half, done = os.replace, int(sys.argv.pop(1)), sys.argv.pop(1) == "half", 0
def dying(source, target):
    global done
    done += 1
    if done == at:
        if half:
            os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)
os.replace = dying
from plausible.cli.main import main
main()
"""
"""Ends by SIGKILL when the N-th file would take its place: whole or cut in half, it lies under its temporary name."""


def run(*arguments: object, code: int = 0) -> Result:
    """Run a verb in this process; it must end with this code."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == code, f"ended with {done.exit_code}\n{done.stdout}\n{done.stderr}"
    return done


def told(*arguments: object, code: int = 0) -> Any:
    """Run a verb with --json and return what it printed, which must be JSON as others read it: without NaN."""
    return json.loads(run(*arguments, "--json", code=code).stdout, parse_constant=_no_json)


def _no_json(text: str) -> NoReturn:
    raise AssertionError(f"{text} is no JSON")


def run_alone(*arguments: object, code: int = 0, before: tuple[str, ...] = ("-m", "plausible")) -> str:
    """Run a verb in a process of its own, which must end with this code in time; return its standard output."""
    line = [sys.executable, *before, *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == code, f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run_until_killed(*arguments: object, at: int, half: bool = True) -> None:
    """Run a verb in a process of its own that is killed with SIGKILL when its N-th file would take its place."""
    run_alone(*arguments, code=-9, before=("-c", DYING, str(at), "half" if half else "whole"))


def contents(folder: Path, *endings: str) -> dict[str, bytes]:
    """Every file of a folder (with these endings) and its bytes."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    kept = (path for path in found if not endings or path.name.endswith(endings))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in kept}


def without_time(value: Any) -> Any:
    """JSON without what differs between two equal runs: when, and by which commit."""
    if isinstance(value, dict):
        return {
            key: without_time(one)
            for key, one in value.items()
            if key not in ("created", "commit", "minutes", "cpu_minutes")
        }
    return [without_time(one) for one in value] if isinstance(value, list | tuple) else value


def records(folder: Path) -> dict[str, Any]:
    """Every JSON file of a folder, without times."""
    return {name: without_time(json.loads(data)) for name, data in contents(folder, ".json").items()}
