"""Say what lies in a folder, whether it fits together, how much memory it needs, and how to mend what is wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from plausible.core import Classes, InvalidInput, MemberInfo, Problem
from plausible.io import MemberFolder, find_study
from plausible.io.images import doubled_names, doubled_suffixes, find_images
from plausible.io.member_folders import KINDS, member_folder
from plausible.io.nifti_members import Told
from plausible.io.raw_dataset import read_dataset_json, unpaired
from plausible.io.recognise import FolderKind, folder_kind
from plausible.io.study import StudyKeywords
from plausible.io.study_folders import StudyFolders
from plausible.runs.assess_case import VOTES
from plausible.runs.inspect_case import IMAGE, CaseLook, look_at_case
from plausible.runs.inspect_volumes import unusual_volumes
from plausible.runs.inspection import Inspection, Part
from plausible.runs.memory import MemoryNeed, memory_need
from plausible.runs.settings import AssessSettings
from plausible.train.model import ModelInfo, read_model

SEVERITIES = ("error", "warning", "note")
LABEL = "label"


def inspect(path: Path, *, deep: bool = False, **told: Unpack[StudyKeywords]) -> Inspection:
    """Look at a folder and everything in it; never stop at the first problem.

    Args:
        path: folder of members, study.toml, nnU-Net raw dataset, folder of images, trained model, or results.
        deep: read the voxels too: labels, values that are no probabilities, copies, empty structures. Otherwise
            headers and the directories of zip files are read.
        **told: what is said about a study, as `read_study` has it.

    Returns:
        What was recognised, which member has which case, the memory of the largest case, and every problem.
    """
    kind = folder_kind(path)
    if kind == "model":
        return _of_model(path)
    if kind == "results":
        cases = [folder.parent.name for folder in sorted(path.glob("*/case.json"))]
        return Inspection(name=path.name, kind=kind, deep=deep, facts={"cases": f"{len(cases)} with results"})
    if kind == "dataset":
        return _of_folders(path.name, kind, _dataset_parts(path), deep=deep)
    if kind == "images" and told.get("images") is None and told.get("references") is None:
        return _of_folders(path.name, kind, [_images_alone(path)], deep=deep)
    try:
        folders = find_study(path, **told)
    except InvalidInput as error:
        return Inspection(name=path.name, kind=kind, deep=deep, problems=(error.problem,))
    return _of_folders(folders.name, "study" if kind == "study" else "members", [folders], deep=deep)


def _of_folders(name: str, kind: FolderKind, parts: Sequence[StudyFolders], *, deep: bool) -> Inspection:
    looks = [(folders, look_at_case(folders, s, deep=deep)) for folders in parts for s in _subjects(folders)]
    need = _largest(looks)
    problems = [p for folders in parts for p in folders.problems]
    problems += [p for _, look in looks for p in look.problems]
    problems += [problem for folders in parts for problem in _unusual(folders, looks)]
    problems += [_too_large(need)] if need and need.peak_bytes > (need.machine_bytes or need.peak_bytes) else []
    first = parts[0]
    return Inspection(
        name=name,
        kind=kind,
        deep=deep,
        parts=tuple(part for folders in parts for part in _parts(folders)),
        cases=tuple(look.line() for _, look in looks),
        classes=first.agreed,
        channels=first.channels,
        memory=need,
        problems=tuple(sorted(dict.fromkeys(problems), key=lambda p: SEVERITIES.index(p.severity))),
    )


def _subjects(folders: StudyFolders) -> list[str]:
    doubled = {name for p in folders.problems if p.code == "E101" for name in doubled_names(p)}
    labelled = {subject for folder in folders.references.values() for subject in folder.cases}
    return sorted({*folders.subjects, *(set(folders.images) - doubled), *labelled})


def _unusual(folders: StudyFolders, looks: Sequence[tuple[StudyFolders, CaseLook]]) -> list[Problem]:
    """Volumes of each rater's references that are unlike the other cases'; none where voxels were not read."""
    own = [look for other, look in looks if other is folders]
    problems = []
    for rater in folders.references:
        volumes = {look.subject: look.volumes_ml[rater] for look in own if rater in look.volumes_ml}
        problems += unusual_volumes(volumes, rater=rater)
    return problems


def _parts(folders: StudyFolders) -> list[Part]:
    found = []
    if folders.images:
        first = next(iter(folders.images.values()))[0]
        kind = f"{'DICOM series' if first.is_dir() else 'NIfTI'} in {first.parent.name}"
        found.append(Part(id=IMAGE, role="image", kind=kind, n_cases=len(folders.images)))
    for folder in folders.members:
        kind, source = KINDS[folder.kind], _source(folder.info)
        found.append(Part(id=folder.id, role="member", kind=kind, n_cases=len(folder.cases), source=source))
    for rater, folder in folders.references.items():
        kind = f"{KINDS['dicom'] if folder.kind == 'dicom' else 'label maps'} in {folder.path.name}"
        found.append(Part(id=rater, role="reference", kind=kind, n_cases=len(folder.cases)))
    return found


def _source(info: MemberInfo) -> str:
    """What tells a member from the others, e.g. "seed 3" or "fold 0"."""
    told = {"seed": info.seed, "fold": info.fold}
    numbers = [f"{name} {value}" for name, value in told.items() if value is not None]
    return ", ".join(numbers) or ("" if info.kind == "unknown" else info.kind)


def _largest(looks: Sequence[tuple[StudyFolders, CaseLook]]) -> MemoryNeed | None:
    measures = (*AssessSettings().measures, VOTES)
    opened = [members for folders, look in looks if (members := look.members(folders)) is not None]
    largest = max(opened, key=lambda members: members.geometry.n_voxels, default=None)
    return memory_need(largest, measures) if largest else None


def _too_large(need: MemoryNeed) -> Problem:
    return Problem(
        code="E902",
        subject=need.subject,
        severity="warning",
        found=f"{need.peak_bytes / 2**30:.1f} GiB needed, {(need.machine_bytes or 0) / 2**30:.1f} GiB in this machine",
        expected="memory for one member, the statistics and the maps of the largest case",
        fix="predict into the member store, which is read in slabs (plausible predict), or use a larger machine",
    )


def _dataset_parts(path: Path) -> list[StudyFolders]:
    """Training and test images of a raw dataset, with its labels as the only rater."""
    return [_dataset_part(path, part) for part in ("Tr", "Ts") if (path / f"images{part}").is_dir()]


def _dataset_part(path: Path, part: str) -> StudyFolders:
    problems = list[Problem]()
    classes, channels = None, tuple[str, ...]()
    try:
        told = read_dataset_json(path / "dataset.json")
        classes, channels = told.classes, told.channels
    except InvalidInput as error:
        problems.append(error.problem)
    labels = _labels(path, part, classes, problems)
    labelled = {s: next(iter(files.values())) for folder in labels.values() for s, files in folder.cases.items()}
    images = find_images(path / f"images{part}", known=labelled)
    problems += unpaired(images, labelled) if labels else doubled_suffixes(images)
    return StudyFolders(path.name, (), images, labels, classes, channels, False, tuple(problems))


def _labels(path: Path, part: str, classes: Classes | None, problems: list[Problem]) -> dict[str, MemberFolder]:
    """Label maps of a part: `labelsTr`, and one folder per further rater, `labelsTr_<rater>`."""
    found = {}
    for folder in sorted(path.glob(f"labels{part}*")):
        name = folder.name.removeprefix(f"labels{part}").lstrip("_") or LABEL
        try:
            opened = member_folder(folder, id=name, told=Told("labels"), classes=classes, info=MemberInfo(id=name))
        except InvalidInput as error:
            problems.append(error.problem)
            continue
        if opened:
            found[name] = opened
    return found


def _images_alone(path: Path) -> StudyFolders:
    images = find_images(path)
    return StudyFolders(path.name, (), images, {}, None, (), False, tuple(doubled_suffixes(images)))


def _of_model(path: Path) -> Inspection:
    try:
        info = read_model(path)
    except InvalidInput as error:
        return Inspection(name=path.name, kind="model", problems=(error.problem,))
    lacking = [record.weights for record in info.members if not (path / record.weights).is_file()]
    problems = [_no_weights(path, lacking)] if lacking else []
    return Inspection(
        name=path.name,
        kind="model",
        classes=info.classes,
        channels=info.channels,
        facts=_model_facts(info),
        problems=tuple(problems),
    )


def _model_facts(info: ModelInfo) -> dict[str, str]:
    spacing = " × ".join(f"{s:.3g}" for s in info.plan.spacing_mm)
    cases = sorted({len(record.train_subjects) for record in info.members})
    return {
        "ensemble": info.ensemble,
        "members": ", ".join(record.id for record in info.members),
        "network": info.plan.architecture,
        "spacing": f"{spacing} mm",
        "trained on": " or ".join(map(str, cases)) + " cases",
        "version": str(info.provenance.get("version", "")),
    }


def _no_weights(path: Path, lacking: list[str]) -> Problem:
    return Problem(
        code="E502",
        file=path.name,
        found=f"no {', '.join(lacking)}",
        expected="the weights of every member that model.json names",
        fix="copy the whole folder of the model, or run plausible train again with the same settings (it continues)",
    )
