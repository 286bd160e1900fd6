"""New identifiers for what we write, and replacements for those of the source when it is de-identified."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from plausible.core import InvalidInput, Problem
from plausible.io.atomic import write_json
from plausible.io.dicom.datasets import file_label, pydicom

IMPLEMENTATION_UID = "2.25.272370062722698425906206920827883739429"
"""Class of this writer (a UUID as decimal number), as file headers name it."""
FORMAT = "plausible uid map"


def new_uid() -> str:
    """Return an identifier that nobody else has: 2.25 and a random UUID (PS3.5 B.2)."""
    return str(pydicom().uid.generate_uid(prefix=None))


@dataclass(slots=True)
class UidMap:
    """Which new identifier stands for which of the source: the same one wherever it occurs.

    Whoever has this map can tell which archive object a de-identified one came from, so it is the user's, and is
    written only where the user asks for it.
    """

    known: dict[str, str] = field(default_factory=dict, repr=False)

    def of(self, uid: str) -> str:
        """Replacement of an identifier; nothing stands for nothing."""
        if uid and uid not in self.known:
            self.known[uid] = new_uid()
        return self.known[uid] if uid else ""

    @classmethod
    def read(cls, path: Path) -> "UidMap":
        """Read a map that `write` wrote; an empty one if there is no such file.

        Raises:
            InvalidInput: E625, the file is none.
        """
        if not path.exists():
            return cls()
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format {content['format']!r}")
            return cls({str(old): str(new) for old, new in content["uids"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                Problem(
                    code="E625",
                    file=file_label(path),
                    found=f"{type(error).__name__}: not a map of identifiers",
                    expected="a file that plausible export --uid-map wrote, or no file yet",
                    fix="name a new file; identifiers of earlier exports then get other replacements",
                )
            ) from error

    def write(self, path: Path) -> None:
        """Write the map, for the next export of the same data."""
        write_json(path, {"format": FORMAT, "uids": self.known})
