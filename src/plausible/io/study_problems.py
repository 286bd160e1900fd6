"""What can be missing or contradictory between the folders of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from plausible.core import Classes, Problem
from plausible.io.copies import copies
from plausible.io.images import doubled_names, doubled_suffixes
from plausible.io.member_folders import Kind, MemberFolder
from plausible.io.study_toml import Align


def gaps(
    members: Sequence[MemberFolder],
    *,
    images: Mapping[str, Sequence[Path]] | None,
    references: Mapping[str, MemberFolder],
    allow_missing: bool,
) -> list[Problem]:
    """What is missing: members of a case, images, references; a lone member, and members that are copies."""
    predicted = {subject for folder in members for subject in folder.cases}
    labelled = {subject for folder in references.values() for subject in folder.cases}
    doubled = doubled_suffixes(images or {}, known=predicted | labelled)
    problems = [*doubled, *copies(members)]
    if len(members) == 1 and members[0].told.last_axis != "member":
        problems.append(_lone(members[0]))
    severity = "warning" if allow_missing else "error"
    for subject in sorted(predicted):
        absent = [folder.id for folder in members if subject not in folder.cases]
        problems += [missing_member(subject, m, members, severity=severity) for m in absent]
        problems += [_no_reference(subject, r) for r, folder in references.items() if subject not in folder.cases]
    if images is None or not members:
        return problems
    named = {name for problem in doubled for name in doubled_names(problem)}
    problems += [_no_image(s, "predictions") for s in sorted(predicted - set(images) - named)]
    problems += [_no_image(s, "a label") for s in sorted(labelled - predicted - set(images) - named)]
    return [*problems, *(_not_predicted(s, members[0].kind) for s in sorted(set(images) - predicted - named))]


def class_problems(found: Sequence[MemberFolder], agreed: Classes, align: Align | None) -> list[Problem]:
    """Members with other classes than the agreed ones (E308), or with another order of them (E103)."""
    problems = []
    for folder in found:
        own = folder.classes or agreed
        if set(own.names) != set(agreed.names) or own.exclusive != agreed.exclusive:
            problems.append(_other_classes(folder.id, own, agreed, found[0].id))
        elif own.names != agreed.names and align != "names":
            problems.append(_other_order(folder.id, own, agreed, found[0].id))
    return problems


def missing_member(subject: str, member: str, folders: Sequence[MemberFolder], *, severity: str = "error") -> Problem:
    """Return problem E102 of one case and member."""
    present = sum(subject in folder.cases for folder in folders)
    folder = next(f for f in folders if f.id == member)
    label_only = folder.kind == "nnunet" and (folder.path / f"{subject}.nii.gz").exists()
    return Problem(
        code="E102",
        subject=subject,
        member=member,
        severity=severity,
        found=f"{present} of {len(folders)} members have this case"
        + ("; here is its segmentation, without probabilities" if label_only else ""),
        expected="every member has every case",
        fix=_PREDICT_AGAIN[folder.kind].format(member=member)
        + ", or allow_missing = true in study.toml (--allow-missing)",
    )


_NNUNET = "nnUNetv2_predict -i IMAGES -o MEMBERS/{member} -d DATASET -c CONFIGURATION -f FOLD --save_probabilities"
_PREDICT_AGAIN: dict[Kind, str] = {
    "store": "plausible predict MODEL -i IMAGES -o MEMBERS (finished members are kept)",
    "nnunet": _NNUNET,
    "nifti": "predict this case with {member}",
    "structures": "predict this case with {member}",
    "dicom": "contour this case with {member}, as MEMBERS/{member}/CASE.dcm",
}
_ONE_EACH = "predict with every model of the ensemble, each into a folder of its own: MEMBERS/<member>/<CASE>.nii.gz"
_MORE_MEMBERS: dict[Kind, str] = {
    "store": "plausible train DATASET -o MODEL --members 5, then plausible predict MODEL -i IMAGES -o MEMBERS",
    "nnunet": "predict every fold into a folder of its own: for f in 0 1 2 3 4; do nnUNetv2_predict -i IMAGES "
    "-o MEMBERS/fold_$f -d DATASET -c CONFIGURATION -f $f --save_probabilities; done",
    "nifti": _ONE_EACH,
    "structures": _ONE_EACH,
    "dicom": "contour every case again by another rater or program, each in a folder of its own: "
    "MEMBERS/<member>/<CASE>.dcm",
}


def _lone(folder: MemberFolder) -> Problem:
    return Problem(
        code="E104",
        member=folder.id,
        severity="warning",
        found=f"one member, {folder.id}",
        expected="at least two, for anything to disagree; folds averaged by nnUNetv2_predict are one member",
        fix=_MORE_MEMBERS[folder.kind],
    )


def _no_image(subject: str, what: str) -> Problem:
    return Problem(
        code="E107",
        subject=subject,
        severity="warning",
        found=f"{what} and no image",
        expected=f"{subject}_0000.nii.gz, or a folder {subject} with a DICOM series, among the images",
        fix=f"add the image of {subject}; without it the page shows no picture",
    )


def _no_reference(subject: str, rater: str) -> Problem:
    return Problem(
        code="E106",
        subject=subject,
        member=rater,
        severity="warning",
        found=f"no reference of {rater}",
        expected=f"{subject}.nii.gz among the references, or {subject} in DICOM (RTSTRUCT, SEG)",
        fix=f"add the reference of {subject}; without it the case is assessed and not evaluated",
    )


def _not_predicted(subject: str, kind: Kind) -> Problem:
    return Problem(
        code="E102",
        subject=subject,
        severity="warning",
        found="an image of which no member has a prediction",
        expected="every member has every case",
        fix=_PREDICT_AGAIN[kind].format(member="<member>"),
    )


def _other_order(member: str, own: Classes, agreed: Classes, first: str) -> Problem:
    return Problem(
        code="E103",
        member=member,
        found=f"{first}: {', '.join(agreed.names)}; {member}: {', '.join(own.names)}",
        expected="the same order in every member",
        fix='align = "names" in study.toml (--align names) reads each member by its own names',
    )


def _other_classes(member: str, own: Classes, agreed: Classes, first: str) -> Problem:
    return Problem(
        code="E308",
        member=member,
        found=f"{first}: {', '.join(agreed.names)}; {member}: {', '.join(own.names)}",
        expected="the same classes in every member",
        fix=f"leave {member} out (list the others in study.toml [members]), or correct its dataset.json",
    )
