"""The prediction models of a validation study: trained where needed, and what they predict for the test images.

Folders carry a part of the hash of what is told of them, so that a changed study makes anew what changed and keeps the
rest.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from plausible.core import Case, Study, content_key
from plausible.io.images import read_image
from plausible.io.study import read_study
from plausible.runs.validation_data import HeldOut, PreparedData
from plausible.runs.validation_toml import ToldModel, ToldTraining, ValidationStudy
from plausible.sample import SegmentationModel, WindowedModel, open_model, predict_study
from plausible.sample.study import OnCase
from plausible.train import Trained, train_ensemble

Progress = Callable[[int, int, int, float], None]


def training_folder(output: Path, data: str, told: ToldTraining) -> Path:
    """Folder of a model that a training of the study makes on one dataset."""
    return output / "models" / data / f"{told.name}-{_short(asdict(told))}"


def train_model(
    told: ToldTraining,
    data: PreparedData,
    output: Path,
    *,
    device: str = "auto",
    workers: int = 1,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Trained:
    """Train on one dataset; a finished training is kept, one that was killed continues.

    Raises:
        InvalidInput, UnfitEnvironment: as `train_ensemble`.
    """
    return train_ensemble(
        data.dataset,
        training_folder(output, data.name, told),
        members=told.members,
        ensemble=told.ensemble,
        settings=told.settings,
        split=data.split,
        seed=told.seed,
        device=device,
        workers=workers,
        threads=threads,
        on_progress=on_progress,
    )


def model_key(told: ToldModel, study: ValidationStudy) -> str:
    """Hash of everything that is told of a model, its training included."""
    training = asdict(study.trainings[told.training]) if told.training else {}
    return _short({**asdict(told), "training": training})


def predicted(
    told: ToldModel,
    study: ValidationStudy,
    data: PreparedData,
    output: Path,
    *,
    device: str = "auto",
    on_case: OnCase | None = None,
) -> Study:
    """Return the test images of a dataset with the members of a model; what was predicted before is kept.

    Raises:
        InvalidInput: the first image that cannot be predicted, E502 or E504 for the model, E101 to E105 for members.
    """
    folder = told.members
    if folder is None:
        folder = output / "members" / data.name / f"{told.name}-{model_key(told, study)}"
        model = _opened(told, study, data, output, device=device)
        done = predict_study(model, _images(data), folder, on_case=on_case)
        if done.failures:
            from plausible.core import InvalidInput

            raise InvalidInput(done.failures[0])
    return read_study(folder, classes=data.classes if told.members else None)


def _opened(
    told: ToldModel, study: ValidationStudy, data: PreparedData, output: Path, *, device: str
) -> SegmentationModel:
    """Return the model with as many of its networks as were asked for."""
    where = told.model or training_folder(output, data.name, study.trainings[told.training])
    model = open_model(where, device=device, sampling=told.sampling, overlap=told.overlap)
    if not told.networks:
        return model
    if not isinstance(model, WindowedModel):
        raise ValueError(f"[models.{told.name}] networks: {where.name} is of another tool; choose its folds instead")
    per_network = _members_per_network(model)
    if told.networks * per_network > len(model.sources):
        raise ValueError(
            f"[models.{told.name}] networks = {told.networks}, but {where.name} has {len(model.sources) // per_network}"
        )
    return replace(model, sources=model.sources[: told.networks * per_network])


def _members_per_network(model: WindowedModel) -> int:
    firsts = sum(source.info.draw in (None, 0) for source in model.sources)
    return len(model.sources) // max(firsts, 1)


def _images(data: PreparedData) -> Study:
    return Study(data.name, data.classes, tuple(_case(one, data) for one in data.held_out))


def _case(one: HeldOut, data: PreparedData) -> Case:
    return Case(
        one.subject,
        data.classes,
        load_image=lambda: read_image(one.images, channels=data.told.channels, subject=one.subject),
        files={path.name: str(path) for path in one.images},
    )


def _short(told: object) -> str:
    return content_key(told)[:8]
