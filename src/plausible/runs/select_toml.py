"""A study file with some members of a study only, so that every verb can go on with them."""

import json
import os
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

from plausible.core import MemberInfo
from plausible.io.atomic import write_text
from plausible.io.study_folders import StudyFolders
from plausible.io.study_toml import CHOICES


def write_study_toml(path: Path, folders: StudyFolders, ids: Collection[str], *, made_by: str) -> bool:
    """Write a study.toml that names these members; images and references are told to the next verb.

    Returns:
        Whether it could be written: members that share a file (a fourth axis) have no folder of their own.
    """
    chosen = [folder for folder in folders.members if folder.id in ids]
    if len(chosen) < len(ids):
        return False
    lines = [f"# {made_by}", f"name = {json.dumps(folders.name)}", *_told(folders), *_classes(folders), "", "[members]"]
    for folder in chosen:
        where = Path(os.path.relpath(folder.path.resolve(), path.parent.resolve())).as_posix()
        entries = {"path": where, **_info(folder.info)}
        inside = ", ".join(f"{key} = {json.dumps(value)}" for key, value in entries.items())
        lines.append(f"{json.dumps(folder.id)} = {{ {inside} }}")
    write_text(path, "\n".join(lines) + "\n")
    return True


def _told(folders: StudyFolders) -> list[str]:
    """What the first member was told of its files; a mixture cannot be told in one line and is left to the user."""
    told = folders.members[0].told
    values = {key: getattr(told, key, None) for key in CHOICES}
    return [f"{key} = {json.dumps(value)}" for key, value in values.items() if value]


def _classes(folders: StudyFolders) -> list[str]:
    """What the channels mean, for exclusive classes; members of overlapping regions say it themselves."""
    classes = folders.classes
    if not classes.exclusive:
        return []
    labels = zip(classes.names, classes.labels, strict=True)
    inside = ", ".join(f"{json.dumps(name)} = {values[0]}" for name, values in labels)
    return ["", "[classes]", f"labels = {{ {inside} }}"]


def _info(info: MemberInfo) -> dict[str, str | int]:
    """What is known of a member, without its name and source, where it differs from knowing nothing."""
    told = {f.name: (getattr(info, f.name), f.default) for f in fields(MemberInfo) if f.name not in ("id", "source")}
    return {
        name: value
        for name, (value, default) in told.items()
        if value != default and value is not None and name not in ("draw", "checkpoint")
    }
