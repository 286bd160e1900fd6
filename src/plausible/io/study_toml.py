"""study.toml: a study told in a file, for what folders alone do not say. Paths are relative to the file.

```toml
name = "prostate"                 # default: name of the folder
images = "imagesTs"               # CASE_0000.nii.gz, ...
references = "labelsTs"           # one reference, or a table [references] with one folder per rater
allow_missing = false             # go on with the members that a case has
accept = ["missing_slices"]       # DICOM: missing_slices, uneven_slices, tilted_gantry, other_frame
align = "names"                   # members whose classes have another order are read by name
values = "probabilities"          # labels, probabilities or logits: what floating-point NIfTI files hold
last_axis = "class"               # class or member: what a fourth axis counts
structures = "overlapping"        # overlapping or exclusive: one file per structure

[classes]                         # default: dataset.json or members.json
labels = { background = 0, prostate = 1, rectum = 2 }
regions_class_order = [1, 2]      # overlapping regions
exclusive = false                 # overlapping regions of one label value each

[members]                         # default: every sub-folder
seed_1 = "runs/a"
seed_2 = { path = "runs/b", kind = "seed", seed = 2, values = "logits" }
```
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar, get_args

from plausible.core import Classes, InvalidInput, MemberInfo, Problem
from plausible.io.activation import Values
from plausible.io.dicom_files import Accept, accepted
from plausible.io.member_folders import Structures
from plausible.io.nifti_members import LastAxis
from plausible.io.raw_dataset import parse_labels

Parsed = TypeVar("Parsed")
Align: TypeAlias = Literal["names"]

CHOICES: Mapping[str, tuple[str, ...]] = {
    "values": get_args(Values),
    "last_axis": get_args(LastAxis),
    "structures": get_args(Structures),
    "align": get_args(Align),
}
MEMBER_KEYS = {"path", "values", "last_axis", *(f.name for f in fields(MemberInfo))} - {"id", "source"}

WHOLE_NUMBERS = {"seed", "fold"}


@dataclass(frozen=True, slots=True)
class ToldMember:
    """One entry of [members]: where it lies, what is known of it, and settings of its own."""

    path: Path
    info: MemberInfo
    values: Values | None = None
    last_axis: LastAxis | None = None


@dataclass(frozen=True, slots=True)
class StudyToml:
    """What a study.toml tells; None or empty where it says nothing."""

    name: str
    members: Mapping[str, ToldMember] = field(default_factory=dict)
    images: Path | None = None
    references: Mapping[str, Path] = field(default_factory=dict)
    classes: Classes | None = None
    values: Values | None = None
    last_axis: LastAxis | None = None
    structures: Structures | None = None
    align: Align | None = None
    allow_missing: bool = False
    accept: tuple[Accept, ...] = ()


def read_study_toml(path: Path) -> StudyToml:
    """Read a study.toml.

    Raises:
        InvalidInput: E110, not TOML, an unknown key, a value that is none of the choices, or a folder not there.
    """
    return read_toml(
        path,
        lambda content: _parse(content, path.parent),
        expected="TOML with the keys images, references, values, last_axis, structures, align, allow_missing, accept, "
        "[classes] and [members]",
        fix="correct this line of study.toml; docs/methods/io.md has a whole example",
    )


def read_toml(path: Path, parse: Callable[[dict[str, Any]], Parsed], *, expected: str, fix: str) -> Parsed:
    """Read a TOML file with a parser that raises ValueError and its like for what it refuses.

    Args:
        path: the file.
        parse: makes something of its content.
        expected: what the message says should be there.
        fix: what it says to do.

    Raises:
        InvalidInput: E110, the file is not there or not TOML, or the parser refuses it.
    """
    try:
        return parse(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InvalidInput):
            raise
        found = f"{type(error).__name__}: {str(error).replace(str(path), path.name)[:300]}"
        raise InvalidInput(Problem(code="E110", file=path.name, found=found, expected=expected, fix=fix)) from error


def _parse(content: dict[str, Any], folder: Path) -> StudyToml:
    _known(
        content,
        {"name", "images", "references", "members", "classes", "allow_missing", "accept", *CHOICES},
        "study.toml",
    )
    references = content.get("references", {})
    references = {"reference": references} if isinstance(references, str) else references
    if not isinstance(content.get("allow_missing", False), bool):
        raise ValueError("allow_missing must be true or false")
    return StudyToml(
        name=str(content.get("name", folder.name)),
        members={name: _member(name, told, folder) for name, told in content.get("members", {}).items()},
        images=_folder(folder, content["images"]) if "images" in content else None,
        references={rater: _folder(folder, where) for rater, where in references.items()},
        classes=_classes(content["classes"]) if "classes" in content else None,
        allow_missing=content.get("allow_missing", False),
        accept=accepted(content.get("accept", [])),
        **{key: _chosen(key, content.get(key)) for key in CHOICES},
    )


def _member(name: str, told: Any, folder: Path) -> ToldMember:
    told = {"path": told} if isinstance(told, str) else dict(told)
    _known(told, MEMBER_KEYS, f"[members] {name}")
    for key, value in told.items():
        kind, words = (int, "a whole number") if key in WHOLE_NUMBERS else (str, "a text in quotes")
        if type(value) is not kind:
            raise ValueError(f"[members] {name}: {key} = {value!r} must be {words}")
    path = _folder(folder, told.pop("path"))
    own = {key: _chosen(key, told.pop(key, None)) for key in ("values", "last_axis")}
    return ToldMember(path, MemberInfo(id=name, **told), **own)


def _classes(told: dict[str, Any]) -> Classes:
    _known(told, {"labels", "regions_class_order", "exclusive"}, "[classes]")
    if not isinstance(told.get("exclusive", False), bool):
        raise ValueError("exclusive must be true or false")
    order = told.get("regions_class_order", [])
    overlapping = not told["exclusive"] if "exclusive" in told else (bool(order) or None)
    return parse_labels(told["labels"], order=order, overlapping=overlapping)


def _chosen(key: str, value: Any) -> Any:
    if value is not None and value not in CHOICES[key]:
        raise ValueError(f"{key} = {value!r}; there are: {', '.join(CHOICES[key])}")
    return value


def _known(content: Mapping[str, Any], keys: set[str], where: str) -> None:
    unknown = sorted(set(content) - keys)
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; there are: {', '.join(sorted(keys))}")


def _folder(root: Path, where: str) -> Path:
    path = root / where
    if not path.is_dir():
        raise ValueError(f"no folder {where!r} beside study.toml")
    return path
