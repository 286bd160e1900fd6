"""Write a file whole or not at all: to a temporary name beside the target, then renamed."""

import json
import math
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from plausible.core import Problem, UnfitEnvironment

ABANDONED_AFTER_S = 3600
"""A temporary file of another machine that did not change for so long was left behind."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; when the block ends well it replaces `path`, otherwise it is removed.

    The temporary name keeps the file's ending (writers choose a format by it) and starts with a dot, so that no
    reader takes it for a result.

    Raises:
        UnfitEnvironment: E903, the folder cannot be written to or the disk is full.
    """
    temporary = path.with_name(f".tmp-{platform.node()}-{os.getpid()}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        _remove(temporary)


def write_bytes(path: Path, data: bytes) -> None:
    """Write bytes, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, *, encoding: str = "utf-8") -> None:
    """Write text, whole or not at all."""
    write_bytes(path, text.encode(encoding))


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indent; NaN is refused, because JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def plain_json(value: Any) -> Any:
    """Return a value as JSON can hold it: undefined and infinite numbers become null, in lists and objects too."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: plain_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(one) for one in value]
    return value


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed run left behind in a folder and its sub-folders.

    What another run is writing right now stays: files of a living process of this machine, and files of other machines
    that changed within the last hour.
    """
    for path in sorted(folder.rglob(".tmp-*"), reverse=True):
        if _abandoned(path):
            _remove(path)


def _remove(path: Path) -> None:
    """Remove a temporary file or folder; one that cannot be removed is found again by the next run."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _abandoned(path: Path) -> bool:
    writer = re.match(rf"\.tmp-{re.escape(platform.node())}-(\d+)-", path.name)
    if writer and os.name == "posix":
        return int(writer[1]) == os.getpid() or not _alive(int(writer[1]))
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_AFTER_S
    except FileNotFoundError:  # its run has just finished it
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _unwritable(path: Path, error: OSError) -> UnfitEnvironment:
    return UnfitEnvironment(
        Problem(
            code="E903",
            file=path.name,
            found=f"{type(error).__name__}: {error.strerror or error}",
            expected="a folder that can be written to, on a disk with room",
            fix="choose another output folder with -o, or free some space",
        )
    )
