"""What made a result: version, command, settings, inputs. No paths of the machine, no names of patients."""

import hashlib
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plausible

SCHEMA_VERSION = "1.0"
INTENDED_USE = "research use only: not a medical device, not for clinical decisions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What made a result, and what went in.

    Attributes:
        command: the verb with its settings, e.g. "assess --maps mutual_information".
        settings: every setting, defaults included.
        inputs: name of each input and its SHA-256.
        key: hash of version, settings and inputs; a result with the same key need not be made again.
    """

    version: str
    command: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    key: str
    created: str
    python: str
    commit: str = ""
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return asdict(self)


def provenance(command: str, *, settings: Mapping[str, Any], inputs: Mapping[str, str], **extra: Any) -> Provenance:
    """Describe a run; `inputs` maps names to SHA-256 (see `sha256_of`)."""
    return Provenance(
        version=plausible.__version__,
        command=command,
        settings=dict(settings),
        inputs=dict(inputs),
        key=content_key({"version": plausible.__version__, "settings": dict(settings), "inputs": dict(inputs)}),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        python=platform.python_version(),
        commit=_commit(),
        extra=extra,
    )


def content_key(content: Any) -> str:
    """SHA-256 of a value written as canonical JSON."""
    text = json.dumps(content, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of(data: bytes) -> str:
    """SHA-256 of bytes, as a hexadecimal string."""
    return hashlib.sha256(data).hexdigest()


def command_line() -> str:
    """Return the verb and options as typed, without the program's path."""
    return " ".join(["plausible", *sys.argv[1:]])


def _commit() -> str:
    """Commit of our own work tree; nothing for an installed package, whatever repository it is installed in."""
    root = Path(plausible.__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
