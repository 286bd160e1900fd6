"""Stream the members of many images to the member store; what is there already is kept.

The unit of work is one member of one case, written whole or not at all under a key of weights, image and settings.
A run that was killed is rerun and predicts what is missing.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import plausible
from plausible.core import Case, InvalidInput, Problem, Study, content_key
from plausible.io.atomic import remove_leftovers
from plausible.io.dicom_files import Accept
from plausible.io.images import find_images, read_image
from plausible.io.results import case_inputs
from plausible.io.store import (
    StoredAs,
    is_stored,
    refuse_other_members,
    store_path,
    write_member,
    write_members_json,
)
from plausible.sample.source import SegmentationModel

OnCase = Callable[[str, int, int], None]
"""Called after each case with its name, its number (from 1) and the number of cases."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """What a run did: members written and kept per case, and the problems of cases that could not be predicted."""

    written: tuple[tuple[str, int], ...]
    kept: tuple[tuple[str, int], ...]
    failures: tuple[Problem, ...]


def image_study(images: Path, model: SegmentationModel, *, accept: Collection[Accept] = ()) -> Study:
    """Images of a folder (`CASE_0000.nii.gz`, as nnU-Net names them) as cases without references, read when asked for.

    Raises:
        InvalidInput: E108, there is no image.
    """
    found = find_images(images) if images.is_dir() else {}
    if not found:
        raise InvalidInput(
            Problem(
                code="E108",
                file=images.name,
                found="no .nii.gz or .nii file, no DICOM" if images.is_dir() else "no such folder",
                expected="images named CASE_0000.nii.gz, CASE_0001.nii.gz, ..., or a folder CASE with a DICOM series",
                fix="give the folder that holds the images",
            )
        )
    return Study(images.name, model.classes, tuple(_case(name, paths, model, accept) for name, paths in found.items()))


def predict_study(
    model: SegmentationModel,
    study: Study,
    store: Path,
    *,
    stored_as: StoredAs = "uint16",
    overwrite: bool = False,
    on_case: OnCase | None = None,
    record: Mapping[str, Any] | None = None,
) -> Predicted:
    """Predict every case of a study into a store; a case that cannot be read is listed and does not stop the others.

    Args:
        model: a trained model.
        study: cases with images.
        store: folder of the members (`STORE/member_0/CASE.zarr.zip`, `STORE/members.json`).
        stored_as: type in the store.
        overwrite: predict again what is there already.
        on_case: called after each case.
        record: what else `members.json` says of how the members were made, as plain JSON values.

    Raises:
        ValueError: the store holds other members, which would be read together with these.
    """
    refuse_other_members(store, model.infos)
    remove_leftovers(store)
    told = {"ensemble": model.ensemble, **_inserted_dropout(model), **(record or {})}
    write_members_json(store, model.infos, classes=model.classes, **told)
    written, kept, failures = [], [], list[Problem]()
    for n, case in enumerate(study, start=1):
        try:
            new, old = predict_case(model, case, store, stored_as=stored_as, overwrite=overwrite)
            written.append((case.subject, new))
            kept.append((case.subject, old))
        except InvalidInput as error:
            failures.append(replace(error.problem, subject=error.problem.subject or case.subject))
        if on_case:
            on_case(case.subject, n, len(study))
    return Predicted(tuple(written), tuple(kept), tuple(failures))


def predict_case(
    model: SegmentationModel, case: Case, store: Path, *, stored_as: StoredAs = "uint16", overwrite: bool = False
) -> tuple[int, int]:
    """Predict the members of one case that the store lacks; return how many were written and how many kept.

    Raises:
        InvalidInput: the image cannot be read or does not fit the model; its problem names the subject.
    """
    keys = member_keys(model, case, stored_as=stored_as)
    paths = [store_path(store, member=info.id, subject=case.subject) for info in model.infos]
    missing = [m for m, path in enumerate(paths) if overwrite or not is_stored(path, key=keys[m])]
    if missing:
        image = case.image()
        if image is None:
            raise ValueError(f"{case.subject}: no image to predict from")
        members = model.predict(image, missing, subject=case.subject)
        for m in missing:  # no name holds a member while the next one is predicted
            write_member(store, next(members), subject=case.subject, key=keys[m], stored_as=stored_as)
    return len(missing), len(paths) - len(missing)


def member_keys(model: SegmentationModel, case: Case, *, stored_as: StoredAs) -> list[str]:
    """Keys of the members of a case: hashes of version, model, image files and settings."""
    image = case_inputs(case)
    common = {"version": plausible.__version__, "image": image, "stored_as": stored_as}
    return [content_key({**common, **model.identity(m)}) for m in range(len(model.infos))]


def _inserted_dropout(model: SegmentationModel) -> dict[str, Any]:
    """Rate and places of inserted dropout, each once; nothing where there is none."""
    told = [model.identity(member).get("inserted_dropout") for member in range(len(model.infos))]
    found = [one for n, one in enumerate(told) if one and one not in told[:n]]
    return {"inserted_dropout": found} if found else {}


def _case(subject: str, paths: list[Path], model: SegmentationModel, accept: Collection[Accept]) -> Case:
    return Case(
        subject,
        model.classes,
        load_image=lambda: read_image(paths, channels=model.channels, subject=subject, accept=accept),
        accept=tuple(accept) if paths[0].is_dir() else (),
        files={path.name: str(path) for path in paths},
    )
