"""Is this machine fit for plausible? Each line is ok, a warning or a failure, and says what mends it."""

import importlib.metadata
import importlib.util
import locale
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warn", "fail"]

EXTRAS = {
    "train": "to train and predict",
    "dicom": "to read and write DICOM",
    "codecs": "to read compressed DICOM series",
    "plan": "to plan with pyRadPlan, in an environment of its own",
    "nnunet": "to predict with trained models of nnU-Net v2",
    "onnx": "to predict with ONNX models",
    "calibrate": "for further calibrators of probabilities",
}
"""What each extra is for."""
LITTLE_MEMORY_GB = 4.0
LITTLE_DISK_GB = 2.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    status: Status
    found: str
    fix: str = ""


def examine(output: Path) -> tuple[Finding, ...]:
    """Look at Python, packages, processor, memory, accelerator, output folder, disk and text encoding.

    Args:
        output: folder that results would be written to; it need not exist.
    """
    return tuple(finding for check in CHECKS for finding in check(output))


def _python(output: Path) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("python", "ok" if sys.version_info >= (3, 11) else "fail", version, "install Python 3.11 or newer")


def _packages(output: Path) -> Iterator[Finding]:
    needed = requirements()
    for extra, names in needed.items():
        missing = [name for name in names if not _version(name) or (extra and not importlib.util.find_spec(name))]
        found = f"missing: {', '.join(missing)}" if missing else ", ".join(f"{n} {_version(n)}" for n in names)
        if not extra:
            yield Finding("packages", "fail" if missing else "ok", found, "pip install plausible")
        elif extra in EXTRAS:
            fix = f'only needed {EXTRAS[extra]}: pip install "plausible[{extra}]"'
            yield Finding(f"extra [{extra}]", "warn" if missing else "ok", found, fix)


def requirements() -> dict[str, list[str]]:
    """Packages that the installed plausible asks for: by extra, those that it always needs under ""."""
    found: dict[str, list[str]] = {"": []}
    for line in importlib.metadata.requires("plausible") or ():
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name:
            found.setdefault(extra[1] if extra else "", []).append(name[0])
    return found


def _machine(output: Path) -> Iterator[Finding]:
    yield Finding("cores", "ok", f"{os.cpu_count() or 1}")
    gigabytes = _memory_gb()
    if gigabytes is not None:
        little = gigabytes < LITTLE_MEMORY_GB
        fix = "large images need more; plausible inspect says how much a study needs"
        yield Finding("memory", "warn" if little else "ok", f"{gigabytes:.1f} GB", fix)


def _accelerator(output: Path) -> Iterator[Finding]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch

    name = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none, the processor is used"
    yield Finding("CUDA", "ok", name)


def _folder(output: Path) -> Iterator[Finding]:
    existing = next(path for path in (output, *output.resolve().parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".plausible-"):
            yield Finding("output", "ok", f"{existing.resolve().name or existing} can be written to")
    except OSError as error:
        found = f"{existing.resolve().name or existing}: {error.strerror}"
        yield Finding("output", "fail", found, "choose another folder with -o")
    free = shutil.disk_usage(existing).free / 1e9
    yield Finding("disk", "warn" if free < LITTLE_DISK_GB else "ok", f"{free:.1f} GB free", "make room")


def _text(output: Path) -> Iterator[Finding]:
    encoding = locale.getpreferredencoding(do_setlocale=False)
    utf8 = encoding.replace("-", "").lower() == "utf8"
    fix = "files are written as UTF-8 all the same; set PYTHONUTF8=1 for the terminal"
    yield Finding("text", "ok" if utf8 else "warn", encoding, fix)


CHECKS: tuple[Callable[[Path], Iterator[Finding]], ...] = (_python, _packages, _machine, _accelerator, _folder, _text)


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    except (ValueError, OSError, AttributeError):  # not told on this system
        return None
